//! How something became known.

use core::net::SocketAddr;

use crate::time::Instant;
use crate::types::Name;

/// When and how something became known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// When.
    pub at: Instant,
    /// How.
    pub source: Source,
}

/// How something about a member became known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Our own probe of it was not answered, directly or over others.
    OwnProbe,
    /// It did not refute in time: our own timer ran out.
    OwnTimer,
    /// We said so: it is ourselves.
    Ourselves,
    /// A packet said so.
    Gossip {
        /// Where the packet came from.
        from: SocketAddr,
        /// The member that is there, if we know one.
        member: Option<Name>,
    },
    /// Another node's state said so.
    PushPull {
        /// The other end of the exchange. The port of a node that called us is not the one at which it listens.
        with: SocketAddr,
        /// The member that is there, if we know one, and only one of that address.
        member: Option<Name>,
    },
}
