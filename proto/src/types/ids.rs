//! Identifiers that a node hands out.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Names one stream between its opening and its end. `proto` hands them out, for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub(crate) u64);

impl StreamId {
    /// The number behind the name, for logs and traces.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Identifies one call of [`Node::join`](crate::Node::join).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JoinId(pub(crate) u32);

/// Identifies a query: the Lamport time at which it was asked, and a random number that tells queries of one time apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryId {
    pub(crate) ltime: u64,
    pub(crate) id: u32,
}

impl QueryId {
    /// The Lamport time at which it was asked.
    pub const fn ltime(self) -> u64 {
        self.ltime
    }

    /// The number that tells queries of one time apart.
    pub const fn number(self) -> u32 {
        self.id
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ltime, self.id)
    }
}

/// Names one change of our keys, in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyringChange(pub(crate) u64);

impl KeyringChange {
    /// The number behind the name; a later change has a greater one.
    pub const fn number(self) -> u64 {
        self.0
    }
}
