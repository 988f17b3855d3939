use serde::{Deserialize, Serialize};

/// A node's Lamport clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Clocks {
    /// Clock of join and leave intents.
    pub member: u64,
    /// Clock of user events.
    pub event: u64,
    /// Clock of queries.
    pub query: u64,
}

/// Number of queued broadcasts, by queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueDepths {
    /// Membership updates.
    pub swim: usize,
    /// Join and leave intents.
    pub intents: usize,
    /// Queries.
    pub queries: usize,
    /// User events.
    pub events: usize,
}

/// Number of known members, by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberCounts {
    /// In any status, including this node.
    pub known: usize,
    /// Alive or leaving.
    pub live: usize,
    /// Failed and not yet reaped.
    pub failed: usize,
    /// Left and not yet reaped.
    pub left: usize,
    /// Live members under suspicion.
    pub suspected: usize,
}
