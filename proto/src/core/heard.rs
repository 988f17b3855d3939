//! Origin of a message.

use core::net::SocketAddr;

use crate::complaints::PeerAt;
use crate::limits::ANSWERS_PER_PACKET_MAX;
use crate::wire::Codec;

/// The trigger of a state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A timer or a command of the application.
    Local,
    /// A datagram from this address.
    Packet(SocketAddr),
    /// A request on a stream that this peer opened.
    Exchange(SocketAddr),
    /// A reply on a stream that we opened to this peer.
    Reply(SocketAddr),
}

impl Origin {
    /// The peer that complaints about this input name.
    pub(crate) const fn peer(self) -> Option<PeerAt> {
        match self {
            Self::Local => None,
            Self::Packet(addr) => Some(PeerAt { addr, listens: true }),
            // `listens`: the source port of a stream is ephemeral, so only the IP identifies the peer.
            Self::Exchange(addr) | Self::Reply(addr) => Some(PeerAt { addr, listens: false }),
        }
    }
}

/// The datagram that is being handled.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) from: SocketAddr,
    /// The codec of the current message.
    pub(crate) codec: Codec,
    /// Length of the datagram, in bytes.
    pub(crate) bytes: usize,
    /// Remaining number of requests in the datagram that may be answered.
    answers_left: u32,
}

impl Heard {
    /// A datagram of `bytes` bytes from `from`.
    pub(crate) const fn new(from: SocketAddr, bytes: usize) -> Self {
        Self { from, codec: Codec::Native, bytes, answers_left: ANSWERS_PER_PACKET_MAX }
    }

    pub(crate) const fn origin(&self) -> Origin {
        Origin::Packet(self.from)
    }

    /// Takes one answer from the datagram's budget; false if it is used up.
    pub(crate) const fn take_answer(&mut self) -> bool {
        let may = self.answers_left > 0;
        self.answers_left = self.answers_left.saturating_sub(1);
        may
    }
}
