//! What a running node has done, and how it is.

use serf_proto::{Clocks, QueueDepths};

/// Counters and gauges of a running node, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What the protocol counts: packets, probes, refutations, and what was dropped for which reason.
    pub protocol: serf_proto::Stats,
    /// The Lamport clocks.
    pub clocks: Clocks,
    /// Broadcasts that wait to be gossiped.
    pub queues: QueueDepths,
    /// Lifeguard's score: 0 is well; each point makes the node one probe interval slower to accuse others.
    pub health_score: u32,
    /// Exchanges on streams that are under way.
    pub streams_live: usize,
    /// Packets lost because the socket, and then the queue before it, had no room.
    pub datagrams_lost: u64,
    /// Sending, receiving or accepting that failed; each is also a `tracing` event.
    pub socket_errors: u64,
    /// Writing the snapshot or the keyring file that failed. Each is also a `tracing` event; the snapshot is tried again.
    pub file_errors: u64,
    /// Streams of peers that were closed at once because there were too many.
    pub streams_refused: u64,
}
