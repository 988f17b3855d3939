//! Evidence: how a fact about a member became known.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::time::Instant;
use crate::types::Name;

/// When and how a fact became known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// The time.
    pub at: Instant,
    /// The source.
    pub source: Source,
}

/// Source of a fact about a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Source {
    /// Our own probe failed, direct and indirect.
    OwnProbe,
    /// Our own suspicion timer expired.
    OwnTimer,
    /// A local decision about this node itself.
    Ourselves,
    /// A packet.
    Gossip {
        /// The sender's address.
        from: SocketAddr,
        /// The member at that address, if known.
        member: Option<Name>,
    },
    /// Another node's state in a push/pull.
    PushPull {
        /// The peer's address. Its port is ephemeral if the peer opened the stream.
        with: SocketAddr,
        /// The member at that address, if exactly one is known.
        member: Option<Name>,
    },
}
