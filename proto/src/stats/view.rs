use serde::Serialize;

/// A node's Lamport clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Clocks {
    /// Of join and leave intents.
    pub member: u64,
    /// Of user events.
    pub event: u64,
    /// Of queries.
    pub query: u64,
}

/// How many broadcasts wait to be gossiped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueDepths {
    /// Members whose state others are to be told.
    pub swim: usize,
    /// Join and leave intents.
    pub intents: usize,
    /// Queries.
    pub queries: usize,
    /// User events.
    pub events: usize,
}

/// How many members a node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemberCounts {
    /// In any status, ourselves included.
    pub known: usize,
    /// Alive or about to leave.
    pub live: usize,
    /// Failed and not yet forgotten.
    pub failed: usize,
    /// Left and not yet forgotten.
    pub left: usize,
    /// Of the live, those that are suspected and have not refuted yet.
    pub suspected: usize,
}
