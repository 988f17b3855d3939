//! Identifiers that a node assigns.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Identifies a stream from its opening to its end. Assigned by the node, for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub(crate) u64);

impl StreamId {
    /// The number, for logs and traces.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Identifies one call of [`Node::join`](crate::Node::join).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JoinId(pub(crate) u32);

/// Identifies a query: its Lamport time, and a random number that distinguishes queries of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryId {
    pub(crate) ltime: u64,
    pub(crate) id: u32,
}

impl QueryId {
    /// Lamport time of the query.
    pub const fn ltime(self) -> u64 {
        self.ltime
    }

    /// Random number of the query.
    pub const fn number(self) -> u32 {
        self.id
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ltime, self.id)
    }
}

/// Identifies a change of the keyring; later changes are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyringChange(pub(crate) u64);

impl KeyringChange {
    /// The number; later changes have greater ones.
    pub const fn number(self) -> u64 {
        self.0
    }
}
