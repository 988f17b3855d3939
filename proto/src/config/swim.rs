use core::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of membership: how failures are found, and how news spreads. memberlist's `Config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SwimOptions {
    /// How often one member is probed. Longer: failures are noticed later. Above zero; default 1 s.
    pub probe_interval: Duration,
    /// How long a probe waits for its ack before it asks others. About the 99th percentile of the round-trip times: too short
    /// means needless indirect probes on a busy host, too long leaves them no time. Above zero and below
    /// [`probe_interval`](Self::probe_interval); default 500 ms.
    pub probe_timeout: Duration,
    /// How many members are asked to probe a silent one. More: fewer false suspicions where datagrams are lost, and more packets
    /// for each member that is really gone. 0 to 32 768; default 3.
    pub indirect_probes: u32,
    /// Whether a silent member is also pinged over a stream, which tells a dead member from a network that
    /// loses datagrams. Default true.
    pub stream_pings: bool,
    /// Times `log10(n)` times `probe_interval`: how long a suspect may refute at the least. More: fewer false failures, later
    /// notice of the real ones. 1 to 32 768; default 4.
    pub suspicion_mult: u32,
    /// How many times longer than that a suspicion lasts while no other member confirms it (Lifeguard). 1 to 32 768, where 1 turns
    /// that off; default 6.
    pub suspicion_max_timeout_mult: u32,
    /// The health score stays below this (Lifeguard): an unhealthy node probes up to this many times slower. 1 to 32 768, where 1
    /// turns that off; default 8.
    pub awareness_max_multiplier: u32,
    /// How often broadcasts are sent. Nothing is sent while there is nothing to tell. Shorter: news spreads faster, in
    /// more packets. Above zero; default 200 ms.
    pub gossip_interval: Duration,
    /// To how many members broadcasts are sent each time. 1 to 32 768; default 3.
    pub gossip_nodes: u32,
    /// How many packets each of those members may get at a time while there is a backlog. 1 is what HashiCorp's
    /// nodes do; any value is compatible. More makes large joins faster and the bursts larger. 1 to 32 768; default 16.
    pub gossip_packets_per_tick: u32,
    /// Whether news after a quiet time goes out at once, instead of with the next tick of a fixed grid as HashiCorp's nodes
    /// have it. Ticks are never closer than `gossip_interval`, so that it costs no more packets, and any value is
    /// compatible. It takes half a gossip interval off every hop. Default true.
    pub gossip_early: bool,
    /// How long the dead are still gossiped to, so that they may refute. Default 30 s.
    pub gossip_to_the_dead_time: Duration,
    /// Times `ceil(log10(n + 1))`: how often each broadcast is sent. More: news reaches all members despite more loss, in more
    /// packets. 1 to 32 768; default 4.
    pub retransmit_mult: u32,
    /// How often the whole state is exchanged with one random member; scaled up from 33 members on. It repairs what gossip lost, so
    /// shorter heals sooner, for the size of the whole state each time. Above zero; [`Duration::MAX`]: never. Default 30 s.
    pub push_pull_interval: Duration,
    /// How long a name must have been dead until another address may take it; zero: never, only a name that
    /// left may be taken. Set it where members come back under new addresses. Default zero.
    pub dead_node_reclaim_time: Duration,
}
