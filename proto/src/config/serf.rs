use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of Serf: user events, queries, leaves, and how long former members are remembered. The equivalent of serf's
/// `Config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SerfOptions {
    /// Version of Serf's protocol that this node announces, 2 to 5. It changes no message. HashiCorp's nodes answer no
    /// queries of a cluster below version 4. Default 5.
    pub protocol_version: u8,
    /// Time limit of each step of a leave, which waits until its broadcast is sent. Default 5 s.
    pub broadcast_timeout: Duration,
    /// Time for which a node that left still acks probes, so that no member considers it failed. Default 1 s.
    pub leave_propagate_delay: Duration,
    /// Interval of the reaper, which removes failed and left members after their timeouts. Above zero; default 15 s.
    pub reap_interval: Duration,
    /// Interval between reconnect attempts, each to one failed member. Above zero; default 30 s.
    pub reconnect_interval: Duration,
    /// Time for which a failed member is remembered and reconnected to. Choose it longer than the longest partition
    /// that should heal by itself. [`Duration::MAX`]: forever. Default 24 h.
    pub reconnect_timeout: Duration,
    /// Time for which a member that left is remembered. Default 24 h.
    pub tombstone_timeout: Duration,
    /// Time for which a join or leave intent about an unknown member is kept. Default 5 min.
    pub recent_intent_timeout: Duration,
    /// A failed member that returns within this time counts as flapping. Default 60 s.
    pub flap_timeout: Duration,
    /// Number of Lamport times for which received user events are remembered, to recognise repeats. Older events are
    /// dropped. Choose more than the number of events that are sent while one spreads. 1 to 32 768; default 512.
    pub event_buffer: u32,
    /// Size limit of a user event in bytes, for name and payload together and for the encoded event. At most 9216, and
    /// at most the room of a packet ([`Config::message_room`](crate::Config::message_room)), because an accepted event
    /// must be able to be gossiped. Default 512 bytes.
    pub user_event_bytes_max: u32,
    /// Number of Lamport times for which received queries are remembered, to recognise repeats. 1 to 32 768; default
    /// 512.
    pub query_buffer: u32,
    /// Size limit of a query in HashiCorp's encoding. Default 1024 bytes.
    pub query_bytes_max: u32,
    /// Size limit of a response in HashiCorp's encoding. Default 1024 bytes.
    pub query_response_bytes_max: u32,
    /// Size limit, in bytes, of the payload of a large answer: one that exceeds
    /// [`query_response_bytes_max`](Self::query_response_bytes_max), and that the requester fetches over a stream. It
    /// holds for answers that this node gives and for those that it fetches, so choose the same in the whole cluster.
    /// Only members that read the native codec fetch answers. Each answer is held in memory until the query's deadline;
    /// prefer a reference to the data above some hundred KiB. Zero disables large answers. At most 1 MiB; default 64
    /// KiB.
    pub query_answer_bytes_max: u32,
    /// Factor of the default timeout of a query: `query_timeout_mult * gossip_interval * ceil(log10(n + 1))`. 1 to 32
    /// 768; default 16.
    pub query_timeout_mult: u32,
    /// Whether a vote of the other members is started when another node claims our name. Default true.
    pub name_conflict_resolution: bool,
    /// Longest time for which member events are collected, so that events of one kind are delivered as one. It has no
    /// effect unless it is longer than [`quiescent_period`](Self::quiescent_period). Zero disables coalescing. Default
    /// zero.
    pub coalesce_period: Duration,
    /// Time without a member event after which the collected ones are delivered. Zero disables coalescing. Default
    /// zero.
    pub quiescent_period: Duration,
    /// Longest time for which user events that may be coalesced are collected. Zero disables it. Default zero.
    pub user_coalesce_period: Duration,
    /// Time without such a user event after which the collected ones are delivered. Zero disables it. Default zero.
    pub user_quiescent_period: Duration,
    /// Whether the node emits the records of its snapshot, as [`Output::Persist`](crate::Output::Persist). Default
    /// false.
    pub snapshot: bool,
    /// Whether the node computes a network coordinate from its probes, and sends it in acks. If disabled, acks carry
    /// none, and those of others are ignored. Default true.
    pub coordinates: bool,
    /// Limit of the queue of intents, and of the queue of user events. At the limit the most often sent items are
    /// dropped. 1 to 32 768; default 4096.
    pub queue_depth_max: u32,
    /// Time without a change of members after which the node judges how many are missing, and reports it as
    /// [`Event::Partition`](crate::Event::Partition). Longer than the detection of a failure takes, so that a partition
    /// is one event: 10 s suits up to a hundred members on a LAN, 30 s a thousand. Zero disables the signal. Default zero.
    pub partition_stable_after: Duration,
    /// Share of the largest stable membership from which on missing members may be a partition, in percent. 1 to 100;
    /// default 20.
    pub partition_lost_percent: u32,
}
