use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of membership: failure detection, gossip and push/pull. The equivalent of memberlist's `Config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SwimOptions {
    /// Interval between probes; each probes one member. A longer interval delays the detection of failures. Above zero;
    /// default 1 s.
    pub probe_interval: Duration,
    /// Time that a direct probe waits for its ack before indirect probes start. Choose about the 99th percentile of the
    /// round-trip time: if it is shorter, busy hosts cause needless indirect probes; if it is longer, indirect probes
    /// have no time. Above zero and below [`probe_interval`](Self::probe_interval); default 500 ms.
    pub probe_timeout: Duration,
    /// Number of members that are asked to probe a silent member. More of them cause fewer false suspicions at high
    /// packet loss, and more packets for each member that has failed. 0 to 32 768; default 3.
    pub indirect_probes: u32,
    /// Whether a silent member is also pinged over a stream. That distinguishes a dead member from a network that drops
    /// datagrams. Default true.
    pub stream_pings: bool,
    /// Factor of the least time that a suspect has to refute: `suspicion_mult * log10(n) * probe_interval`. A larger
    /// factor causes fewer false failures and delays the detection of real ones. 1 to 32 768; default 4.
    pub suspicion_mult: u32,
    /// Ratio of the longest to the least suspicion timeout. A suspicion starts with the longest and becomes shorter
    /// with each other member that confirms it (Lifeguard §IV-B). 1 to 32 768, 1 disables the mechanism; default 6.
    pub suspicion_max_timeout_mult: u32,
    /// Number of members, this node included, that must have accused a suspect by their own probes before this node
    /// declares it failed (Rapid, Orleans). If fewer are alive, all of them. 1 to 32 768, 1 disables the rule; default 1.
    pub accusers_min: u32,
    /// Upper bound, exclusive, of the health score (Lifeguard §IV-A). An unhealthy node probes slower by a factor of up
    /// to this value. 1 to 32 768, 1 disables the mechanism; default 8.
    pub awareness_max_multiplier: u32,
    /// Interval between gossip ticks. No packet is sent while no broadcast is queued. A shorter interval spreads
    /// broadcasts faster and sends more packets. Above zero; default 200 ms.
    pub gossip_interval: Duration,
    /// Number of members that each gossip tick sends to. 1 to 32 768; default 3.
    pub gossip_nodes: u32,
    /// Number of packets that one gossip tick may send to each of these members while there is a backlog. HashiCorp's
    /// nodes send one; any value is compatible. A larger value makes large joins faster and bursts larger. 1 to 32 768;
    /// default 16.
    pub gossip_packets_per_tick: u32,
    /// Whether the first broadcast after an idle time is sent at once. HashiCorp's nodes wait for the next tick of a
    /// fixed grid. Ticks are never closer than [`gossip_interval`](Self::gossip_interval), so this costs no additional
    /// packets, and any value is compatible. It saves half a gossip interval per hop. Default true.
    pub gossip_early: bool,
    /// Time during which a dead member still receives gossip, so that it can refute. Default 30 s.
    pub gossip_to_the_dead_time: Duration,
    /// Factor of the number of transmits of each broadcast: `retransmit_mult * ceil(log10(n + 1))`. With a larger
    /// factor, broadcasts reach all members at higher packet loss, and more packets are sent. 1 to 32 768; default 4.
    pub retransmit_mult: u32,
    /// Interval between push/pulls, each a full state exchange with one random member; it grows with the cluster from
    /// 33 members on. A push/pull repairs what gossip lost: a shorter interval repairs sooner, at the cost of the full
    /// state each time. Above zero; [`Duration::MAX`] disables push/pull; default 30 s.
    pub push_pull_interval: Duration,
    /// Time for which a name must have been dead before another address can take it. Zero: only the name of a member
    /// that left can be taken. Set it where members return with new addresses. Default zero.
    pub dead_node_reclaim_time: Duration,
    /// Name of the tag whose value is a member's zone, such as `zone`; empty: no zones. With zones, probes, gossip and
    /// push/pulls stay mostly in the own zone, which spares the links between zones; news takes some 200 ms longer to
    /// cross them. The first [`zone_bridges`](Self::zone_bridges) members of a zone, in the order of the hashes of their
    /// names, send half of theirs to other zones, any other member 1/64. A member without the tag, and every member for a
    /// node without it, is treated as without zones. Any value is compatible. Default empty.
    pub zone_tag: String,
    /// Number of members of a zone that are bridges. More of them make news cross faster, and more bytes. 0 to 32 768;
    /// default 3.
    pub zone_bridges: u32,
}
