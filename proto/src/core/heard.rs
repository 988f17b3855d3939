//! Where a message came from.

use core::net::SocketAddr;

use crate::complaints::PeerAt;
use crate::limits::ANSWERS_PER_PACKET_MAX;
use crate::wire::Codec;

/// What the layers act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A timer, or the application.
    Local,
    /// A packet from there.
    Packet(SocketAddr),
    /// An exchange of states that the peer there began.
    Exchange(SocketAddr),
    /// The reply to an exchange that we began with the peer there.
    Reply(SocketAddr),
}

impl Origin {
    /// The peer that a complaint about the input names.
    pub(crate) const fn peer(self) -> Option<PeerAt> {
        match self {
            Self::Local => None,
            Self::Packet(addr) => Some(PeerAt { addr, listens: true }),
            Self::Exchange(addr) | Self::Reply(addr) => Some(PeerAt { addr, listens: false }),
        }
    }
}

/// The packet that is being handled.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) from: SocketAddr,
    /// The codec of the message that is being handled.
    pub(crate) codec: Codec,
    /// The length of the datagram.
    pub(crate) bytes: usize,
    /// How many more of its requests are answered.
    answers_left: u32,
}

impl Heard {
    /// A datagram of `bytes` that came from `from`.
    pub(crate) const fn new(from: SocketAddr, bytes: usize) -> Self {
        Self { from, codec: Codec::Native, bytes, answers_left: ANSWERS_PER_PACKET_MAX }
    }

    pub(crate) const fn origin(&self) -> Origin {
        Origin::Packet(self.from)
    }

    /// Takes one of the answers that the packet gets; false when it has had them all.
    pub(crate) const fn take_answer(&mut self) -> bool {
        let may = self.answers_left > 0;
        self.answers_left = self.answers_left.saturating_sub(1);
        may
    }
}
