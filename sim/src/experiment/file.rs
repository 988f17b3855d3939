//! The scenario file: one struct per table. Its documentation is that of the JSON schema (`sim schema`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{LatencyValue, Share, Time};
use crate::profile::{Pace, Profile, StartKind};

/// A scenario of the Serf simulator.
///
/// A run goes through `phases`, or through a timeline of `[[fault]]` and `[[load]]` that lasts `for`. Any value that is
/// no list may be a list, or a range such as "1..=20" or "0..=0.3 step 0.1": then the scenario is a sweep over all
/// combinations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[schemars(title = "sim scenario", rename_all = "snake_case")]
pub(crate) struct File {
    /// Name in results. Default: the file's name.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// What the scenario shows, in a sentence.
    #[serde(default)]
    #[expect(dead_code, reason = "for people, and known to the schema")]
    pub(crate) about: Option<String>,
    /// Whose pace the nodes have: that of this library (early gossip, 16 packets per peer and tick), or that of
    /// HashiCorp's nodes. Default: library.
    #[serde(default, rename = "as")]
    pub(crate) pace: Pace,
    /// Seed of a run. Default: 1.
    #[serde(default)]
    #[expect(dead_code, reason = "the document takes them out; known to the schema and to suggestions")]
    pub(crate) seeds: Option<u64>,
    /// Phases to run, in their own order: join, event, query, crash, leave, rejoin, partition, restart, slow, flap,
    /// rotate, rtt, idle.
    #[serde(default)]
    pub(crate) phases: Vec<String>,
    /// Length of a timeline.
    #[serde(default, rename = "for")]
    pub(crate) length: Option<Time>,
    /// Settings of phases.
    #[serde(default)]
    pub(crate) phase: PhaseTable,
    /// The nodes.
    #[serde(default)]
    pub(crate) cluster: Cluster,
    /// Groups of nodes. They take nodes in order, from the first on; the others are the group "rest".
    #[serde(default)]
    pub(crate) group: Vec<Group>,
    /// The network between the nodes.
    #[serde(default)]
    pub(crate) network: Network,
    /// Faults on the timeline.
    #[serde(default)]
    pub(crate) fault: Vec<Fault>,
    /// Load on the timeline.
    #[serde(default)]
    pub(crate) load: Vec<Load>,
    /// Options of the nodes.
    #[serde(default)]
    pub(crate) settings: Settings,
    /// Conditions on metrics, such as `false_failures = 0` or `detect_p99 = "< 20s"`; those of a phase in a table of
    /// its own, as `crash.reached_p99 = "< 20s"`.
    #[serde(default)]
    pub(crate) assert: BTreeMap<String, Condition>,
}

/// The nodes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Number of nodes. Default: 1000. Memory grows with the square.
    pub(crate) nodes: Option<u32>,
    /// Whether nodes start one after another and join, or all at once and know each other. Default: converged, cold
    /// with phase join.
    pub(crate) start: Option<StartKind>,
    /// Time over which the nodes of a cold start arrive. Default: 10s.
    pub(crate) join_spread: Option<Time>,
    /// Whether the protocol's rules are checked. Default: true.
    pub(crate) checks: Option<bool>,
    /// Whether the nodes encrypt, with a key drawn from the seed. Default: false.
    pub(crate) encrypt: Option<bool>,
    /// Whether every second node speaks HashiCorp's codec only. Default: false.
    pub(crate) mixed_codecs: Option<bool>,
}

/// A group of nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name, for links, faults, load and results.
    pub(crate) name: String,
    /// Number of nodes.
    pub(crate) nodes: Option<u32>,
    /// Share of all nodes, instead of their number.
    pub(crate) share: Option<Share>,
    /// Tags of the nodes, beside `role = "web"` of all.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// When they start and join, if later than the others. Only on a timeline.
    pub(crate) start_at: Option<Time>,
    /// Options that differ from `[settings]`.
    #[serde(default)]
    pub(crate) settings: Settings,
}

/// The network.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    /// One-way latency: "5ms", "1ms..20ms", { distribution = "normal", min, mean, deviation } or
    /// { distribution = "pareto", min, shape }. Default: "1ms..20ms".
    pub(crate) latency: Option<LatencyValue>,
    /// Share of datagrams that are lost. Default: 0.
    #[serde(default)]
    pub(crate) loss: Share,
    /// Share of datagrams that arrive twice. Default: 0.
    #[serde(default)]
    pub(crate) duplicate: Share,
    /// Share of datagrams that are delayed so that later ones overtake them. Default: 0.
    #[serde(default)]
    pub(crate) reorder: Share,
    /// Share of stream chunks that reset their stream. Default: 0.
    #[serde(default)]
    pub(crate) stream_reset: Share,
    /// Send rate of each node on streams, in Mbit/s. Default: 1000.
    pub(crate) bandwidth_mbit: Option<u32>,
    /// Send rate of each node for datagrams, in kbit/s, IP and UDP headers included. They queue for up to 100 ms, and are
    /// dropped beyond that. Default: they take no time.
    pub(crate) datagram_kbit: Option<u32>,
    /// Largest IP packet, in bytes, 576 to 65535: larger datagrams are dropped. Default: any size arrives.
    pub(crate) mtu: Option<u32>,
    /// Places the nodes in a square whose side a packet crosses in this time, in addition to the latency.
    pub(crate) geometry: Option<Time>,
    /// Bursts of loss at the uplink of each node.
    pub(crate) burst: Option<Burst>,
    /// Links between two groups, or within one.
    #[serde(default)]
    pub(crate) between: Vec<Between>,
    /// Exceptions for the whole run: one-way links, gray links.
    #[serde(default)]
    pub(crate) link: Vec<Exception>,
}

/// Bursts of loss.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Burst {
    /// Share of datagrams that are lost during a burst.
    pub(crate) loss: Share,
    /// Mean length of a burst.
    #[serde(rename = "for")]
    pub(crate) lasts: Time,
    /// Mean pause between two bursts of one node.
    pub(crate) every: Time,
}

/// Links between two groups. What is absent is as in `[network]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Between {
    /// Group of the senders.
    pub(crate) from: String,
    /// Group of the receivers.
    pub(crate) to: String,
    /// Whether the reverse direction is the same. Default: true.
    pub(crate) both_ways: Option<bool>,
    /// One-way latency.
    pub(crate) latency: Option<LatencyValue>,
    /// Share of datagrams that are lost.
    pub(crate) loss: Option<Share>,
    /// Share of datagrams that arrive twice.
    pub(crate) duplicate: Option<Share>,
    /// Share of datagrams that are delayed so that later ones overtake them.
    pub(crate) reorder: Option<Share>,
}

/// An exception for packets between some nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    /// Group of the senders. Default: all nodes.
    pub(crate) from: Option<String>,
    /// Group of the receivers. Default: all nodes.
    pub(crate) to: Option<String>,
    /// Whether it holds for the reverse direction, too. Default: false.
    #[serde(default)]
    pub(crate) both_ways: bool,
    /// Share of datagrams that are lost, in addition.
    pub(crate) loss: Option<Share>,
    /// Delay of all packets, in addition.
    pub(crate) delay: Option<Time>,
    /// Drops all packets; streams stall.
    #[serde(default)]
    pub(crate) drop: bool,
}

/// A fault on the timeline.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// What happens.
    pub(crate) kind: FaultKind,
    /// When, from the start of the run.
    pub(crate) at: Time,
    /// How long; until the end if absent. Of: stall, block, slow, clock, partition, link.
    #[serde(rename = "for")]
    pub(crate) lasts: Option<Time>,
    /// Number of nodes that it hits, drawn from those that are up.
    pub(crate) nodes: Option<u32>,
    /// Share of the nodes that it hits, instead of their number; at least one.
    pub(crate) share: Option<Share>,
    /// Group from which they are drawn; alone: all its nodes.
    pub(crate) group: Option<String>,
    /// Time that they are down. Of: restart, rolling. Default: 1s.
    pub(crate) down: Option<Time>,
    /// Time over which they return, at random. Of: restart. Default: 0.
    pub(crate) spread: Option<Time>,
    /// Whether they return with their snapshots, or without any state. Of: restart, rolling. Default: true.
    pub(crate) snapshot: Option<bool>,
    /// Whether they leave before they stop. Of: rolling. Default: true.
    pub(crate) leave: Option<bool>,
    /// Time between two nodes of a rolling deploy; between two steps of a key rotation. Of: rolling, rotate. Default:
    /// 5s.
    pub(crate) every: Option<Time>,
    /// Length of each stall; one stall of the whole time if absent. Of: stall, block.
    pub(crate) stall: Option<Time>,
    /// Time that they run between two stalls. Of: stall, block. Default: 64ms.
    pub(crate) gap: Option<Time>,
    /// Processor time that each input takes. Of: slow.
    pub(crate) input_cost: Option<Time>,
    /// How far the clocks are set ahead at the end; without `for` at once, and they do not stand still. Default: 0, they
    /// go on from where they stood. Of: clock.
    pub(crate) jump: Option<Time>,
    /// Group of the senders. Of: link. Default: all nodes.
    pub(crate) from: Option<String>,
    /// Group of the receivers. Of: link. Default: all nodes.
    pub(crate) to: Option<String>,
    /// Whether it holds for the reverse direction, too. Of: link. Default: false.
    pub(crate) both_ways: Option<bool>,
    /// Share of datagrams that are lost, in addition. Of: link.
    pub(crate) loss: Option<Share>,
    /// Delay of all packets, in addition. Of: link.
    pub(crate) delay: Option<Time>,
    /// Drops all packets; streams stall. Of: link.
    pub(crate) drop: Option<bool>,
}

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// The nodes crash and stay down.
    Crash,
    /// The nodes crash and return.
    Restart,
    /// The nodes leave gracefully.
    Leave,
    /// The nodes' processes stall; their inputs are queued.
    Stall,
    /// The nodes' packets wait, those that they get and those that they send, while their timers go on.
    Block,
    /// The nodes' processors are slow: each input takes `input_cost`.
    Slow,
    /// The nodes' clocks stand still while packets go on arriving, or jump ahead: no timer fires, or many at once.
    Clock,
    /// The nodes are isolated from all others.
    Partition,
    /// The links from `from` to `to` lose, delay or drop packets.
    Link,
    /// The nodes restart one after another.
    Rolling,
    /// The cluster's key is rotated: install, use, remove.
    Rotate,
}

/// Load on the timeline.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    /// What is sent.
    pub(crate) kind: LoadKind,
    /// Number per second.
    pub(crate) per_second: f64,
    /// Payload of an event, or of each answer to a query, in bytes. Default: 64.
    pub(crate) bytes: Option<u32>,
    /// When it starts. Default: at once.
    pub(crate) from: Option<Time>,
    /// When it ends. Default: with the timeline.
    pub(crate) until: Option<Time>,
    /// Group of the senders. Default: all nodes.
    pub(crate) group: Option<String>,
}

/// Kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LoadKind {
    /// User events.
    Event,
    /// Queries to all nodes.
    Query,
    /// Changes of a node's tags.
    Tags,
}

/// Options of nodes: a profile, an agent's configuration file, and single options of the protocol by their names.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Settings {
    /// Timing profile. Default: lan.
    pub(crate) profile: Option<Profile>,
    /// Configuration file of an agent, relative to the scenario file. Its settings that concern the protocol are used.
    pub(crate) agent_config: Option<String>,
    /// Whether Lifeguard is on: health scores, and suspicions that wait for confirmations. Default: true.
    pub(crate) lifeguard: Option<bool>,
    /// Any option of the protocol, such as `gossip_interval = "100ms"` or `suspicion_mult = 6`.
    #[serde(flatten)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) options: BTreeMap<String, toml::Value>,
}

/// Settings of phases. What they mean is in `sim --help`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PhaseTable {
    /// Share of the nodes that crash.
    pub(crate) crash_fraction: Option<Share>,
    /// Share of the nodes that leave.
    pub(crate) leave_fraction: Option<Share>,
    /// Payload of the user event, in bytes.
    pub(crate) event_bytes: Option<u32>,
    /// Relays per answer to a query.
    pub(crate) query_relays: Option<u8>,
    /// Bytes per answer to a query.
    pub(crate) query_answer_bytes: Option<u32>,
    /// Share of the nodes that a partition isolates.
    pub(crate) partition_fraction: Option<Share>,
    /// Duration of the partition; until both sides have declared each other failed if absent.
    pub(crate) partition_for: Option<Time>,
    /// Share of the nodes that restart.
    pub(crate) restart_fraction: Option<Share>,
    /// Downtime of the restarted nodes.
    pub(crate) restart_down: Option<Time>,
    /// Time over which they start again.
    pub(crate) restart_spread: Option<Time>,
    /// Share of the nodes that are slow.
    pub(crate) slow_fraction: Option<Share>,
    /// Duration of each stall of a slow node.
    pub(crate) slow_by: Option<Time>,
    /// Time that a slow node runs between two stalls.
    pub(crate) slow_gap: Option<Time>,
    /// Duration of the slow phase.
    pub(crate) slow_for: Option<Time>,
    /// Share of the nodes that flap.
    pub(crate) flap_fraction: Option<Share>,
    /// Crashes per flapping node.
    pub(crate) flap_count: Option<u32>,
    /// Average time between two crashes.
    pub(crate) flap_every: Option<Time>,
    /// Bound of the median relative error of estimated round trips.
    pub(crate) rtt_error: Option<Share>,
    /// Duration of the idle phase.
    pub(crate) idle: Option<Time>,
}

/// A condition on a metric, or the conditions on the metrics of a phase.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Condition {
    /// The metric must be equal.
    Number(f64),
    /// `< 20s`, `>= 0.99`, `= 0`.
    Text(String),
    /// Conditions of a phase.
    Phase(BTreeMap<String, Self>),
}
