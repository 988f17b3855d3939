//! The messages of the membership layer, as they are meant, whatever the codec.

use core::net::SocketAddr;

use super::Versions;

/// A message in a packet, borrowing the buffer it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Are you there?
    Ping(Ping<'a>),
    /// Ask another whether it is there.
    IndirectPing(IndirectPing<'a>),
    /// Yes, to the ping with this number.
    Ack(Ack<'a>),
    /// I asked for you and got no answer.
    Nack { seq: u32 },
    /// A member may have failed.
    Suspect(Accusation<'a>),
    /// A member is alive.
    Alive(Alive<'a>),
    /// A member failed, or left when it says so itself.
    Dead(Accusation<'a>),
    /// For the layer above.
    User(&'a [u8]),
}

/// Asks the node at the address whether it is `node` and there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ping<'a> {
    pub(crate) seq: u32,
    /// Whom the ping is for; others must not answer. Empty: whoever gets it.
    pub(crate) node: &'a str,
    pub(crate) source: Option<Source<'a>>,
}

/// Asks a member to ping `node` at `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndirectPing<'a> {
    pub(crate) seq: u32,
    pub(crate) target: SocketAddr,
    pub(crate) node: &'a str,
    /// Whether a nack is wanted when the target does not answer.
    pub(crate) nack: bool,
    pub(crate) source: Option<Source<'a>>,
}

/// Where the answer should go, when not to the address that the packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source<'a> {
    pub(crate) addr: SocketAddr,
    pub(crate) node: &'a str,
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack<'a> {
    pub(crate) seq: u32,
    pub(crate) payload: &'a [u8],
}

/// `from` says that `node`, at this incarnation, is suspect or dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accusation<'a> {
    pub(crate) incarnation: u32,
    pub(crate) node: &'a str,
    pub(crate) from: &'a str,
}

/// A node says of itself that it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alive<'a> {
    pub(crate) incarnation: u32,
    pub(crate) peer: PeerRef<'a>,
}

/// What a node announces about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerRef<'a> {
    pub(crate) name: &'a str,
    pub(crate) addr: SocketAddr,
    pub(crate) meta: &'a [u8],
    pub(crate) versions: Versions,
}

/// The state of a member. The numbers are memberlist's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum State {
    Alive = 0,
    Suspect = 1,
    Dead = 2,
    Left = 3,
}

impl State {
    pub(crate) const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Alive),
            1 => Some(Self::Suspect),
            2 => Some(Self::Dead),
            3 => Some(Self::Left),
            _ => None,
        }
    }
}
