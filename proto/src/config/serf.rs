use core::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of Serf: user events, queries, leaves, and how long former members are remembered. serf's `Config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SerfOptions {
    /// The version of Serf's protocol that we announce to speak, 2 to 5. Nothing that we send depends on it: HashiCorp's nodes
    /// answer no queries of a cluster below 4. Default 5.
    pub protocol_version: u8,
    /// How long a leave waits for its messages to go out. Default 5 s.
    pub broadcast_timeout: Duration,
    /// How long a node that left still answers probes, so that no member takes it for failed. Default 1 s.
    pub leave_propagate_delay: Duration,
    /// How often failed and left members are checked for their age. Above zero; default 15 s.
    pub reap_interval: Duration,
    /// How often we try to reach a failed member again. Above zero; default 30 s.
    pub reconnect_interval: Duration,
    /// How long a failed member is remembered, and tried to be reached again. Longer than the longest partition that should heal by
    /// itself. [`Duration::MAX`]: for ever. Default 24 h.
    pub reconnect_timeout: Duration,
    /// How long a member that left is remembered. Default 24 h.
    pub tombstone_timeout: Duration,
    /// How long a join or leave intent is kept for a member that we do not know yet. Default 5 min.
    pub recent_intent_timeout: Duration,
    /// A failed member that is back before this is counted as flapping. Default 60 s.
    pub flap_timeout: Duration,
    /// How many Lamport times back user events are recognised as seen. More than the events of the time that one takes to
    /// spread; older ones are dropped. 1 to 32 768; default 512.
    pub event_buffer: u32,
    /// The largest user event, name and payload together and also as encoded. At most 9216, and no more than a packet has room
    /// for ([`Config::message_room`](crate::Config::message_room)): what is accepted must be possible to gossip. Default 512 bytes.
    pub user_event_bytes_max: u32,
    /// How many Lamport times back queries are recognised as seen. 1 to 32 768; default 512.
    pub query_buffer: u32,
    /// The largest query as HashiCorp's nodes encode it. Default 1024 bytes.
    pub query_bytes_max: u32,
    /// The largest answer to a query as HashiCorp's nodes encode it. Default 1024 bytes.
    pub query_response_bytes_max: u32,
    /// Times `gossip_interval` times `ceil(log10(n + 1))`: how long a query may be answered that does not say. 1 to 32 768;
    /// default 16.
    pub query_timeout_mult: u32,
    /// Whether the others are asked which node has our name when another claims it too. Default true.
    pub name_conflict_resolution: bool,
    /// How long member events are held back at the most, so that those of one kind become one. Longer than
    /// [`quiescent_period`](Self::quiescent_period), or that has no effect. Zero: they are not held back. Default zero.
    pub coalesce_period: Duration,
    /// After how long without a member event those held back are passed on. Zero: none is held back. Default zero.
    pub quiescent_period: Duration,
    /// How long user events that may be coalesced are held back at the most. Zero: they are not. Default zero.
    pub user_coalesce_period: Duration,
    /// After how long without such a user event those held back are passed on. Zero: none is held back. Default zero.
    pub user_quiescent_period: Duration,
    /// Whether the node says what its snapshot should record, as [`Output::Persist`](crate::Output::Persist). Default false.
    pub snapshot: bool,
    /// Whether acks carry network coordinates, and we find our own from those of others. Off: acks carry nothing, and what
    /// others carry is not looked at. Default true.
    pub coordinates: bool,
    /// The most intents, and the most user events, that wait to be gossiped; the most often sent are dropped
    /// beyond. 1 to 32 768; default 4096.
    pub queue_depth_max: u32,
}
