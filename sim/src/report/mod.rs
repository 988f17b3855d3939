//! What a run found out: as a table for people, as JSON for programs.

mod table;

use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;
use serf_proto::{Instant, Sent};

use crate::phase::{Figures, Phase};
use crate::{allocations, usage};

/// Everything about a run. The keys of its JSON form are stable: they may be added to, not changed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was run.
    pub setup: Setup,
    /// Each phase, in order.
    pub phases: Vec<PhaseReport>,
    /// Inputs that nodes dropped in all phases, by reason.
    pub node_dropped: BTreeMap<&'static str, u64>,
    /// What nodes sent in datagrams in all phases, by kind of message.
    pub sent: BTreeMap<&'static str, Sent>,
    /// Virtual seconds in all.
    pub virtual_s: f64,
    /// What it cost.
    pub cost: Cost,
    /// The hash of every input of every node, in hexadecimal.
    pub trace_hash: String,
}

/// What was run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Setup {
    /// How many nodes.
    pub nodes: u32,
    /// The seed.
    pub seed: u64,
    /// How many threads.
    pub threads: u32,
    /// The timing profile.
    pub profile: &'static str,
    /// How nodes started.
    pub start: &'static str,
    /// What nodes spoke.
    pub codec: &'static str,
    /// Whether all was encrypted.
    pub encrypted: bool,
    /// Whether all was compressed.
    pub compressed: bool,
    /// The share of datagrams that were lost.
    pub loss: f64,
    /// The share of datagrams that were doubled.
    pub duplicate: f64,
    /// The share of datagrams that were held up.
    pub reorder: f64,
    /// The least one-way latency.
    pub latency_min_s: f64,
    /// The greatest one-way latency.
    pub latency_max_s: f64,
    /// The one-way time across the square over which nodes are spread; 0 when they are in one place.
    pub geometry_s: f64,
    /// Whether nodes do as Lifeguard says.
    pub lifeguard: bool,
    /// Gossip packets to one node in one tick.
    pub gossip_packets: u32,
    /// Whether the checkers watched.
    pub checks: bool,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PhaseReport {
    /// Which.
    #[serde(serialize_with = "phase_name")]
    pub phase: Phase,
    /// What was waited for.
    pub goal: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began, in virtual seconds.
    pub started_at_s: f64,
    /// How long it took, in virtual seconds.
    pub took_s: f64,
    /// How long it was allowed to take, in virtual seconds.
    pub deadline_s: f64,
    /// How many pairs of nodes, or deliveries, complete it.
    pub total: i64,
    /// How many were complete at its end.
    pub done: i64,
    /// How many nodes were up at its end.
    pub nodes_up: usize,
    /// When shares of the total were complete, in virtual seconds since it began.
    pub reached_s: Reached,
    /// Datagrams that nodes sent.
    pub datagrams_per_node_second: Spread,
    /// Their payload bytes.
    pub bytes_per_node_second: Spread,
    /// Datagrams sent by all.
    pub datagrams_sent: u64,
    /// Datagrams that reached a node.
    pub datagrams_delivered: u64,
    /// Bytes that reached nodes on streams.
    pub stream_bytes: u64,
    /// Queries that ended.
    pub queries: u64,
    /// Answers to them, each node's once a query.
    pub query_answers: u64,
    /// Suspicions of nodes that were up, one for each observer.
    pub false_suspicions: u64,
    /// How many nodes were so suspected.
    pub falsely_suspected_nodes: usize,
    /// Nodes that were up and were marked failed, one for each observer.
    pub false_failures: u64,
    /// How many nodes were so marked.
    pub falsely_failed_nodes: usize,
    /// What the network did not deliver, by reason.
    pub network_dropped: BTreeMap<&'static str, u64>,
    /// How many rules of the protocol were broken.
    pub violation_count: u64,
    /// The first of them.
    pub violations: Vec<String>,
    /// The steps of a phase that has several, in order. What is counted above is counted over all of them; the goal and its
    /// times are those of the last.
    pub steps: Vec<StepReport>,
}

/// One step of a phase that has several.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StepReport {
    /// Its name.
    pub step: &'static str,
    /// What was waited for.
    pub goal: &'static str,
    /// How long it took, in virtual seconds.
    pub took_s: f64,
    /// How long it was allowed to take, in virtual seconds.
    pub deadline_s: f64,
    /// How many pairs of nodes, or deliveries, complete it; 0 when time just passes.
    pub total: i64,
    /// How many were complete at its end.
    pub done: i64,
    /// When shares of the total were complete, in virtual seconds since it began.
    pub reached_s: Reached,
    /// Suspicions of nodes that were up and in reach, one for each observer.
    pub false_suspicions: u64,
    /// Nodes that were up and in reach and were marked failed, one for each observer.
    pub false_failures: u64,
    /// Datagrams that reached a node.
    pub datagrams_delivered: u64,
    /// What only this kind of step counts.
    pub figures: Figures,
}

/// How a phase ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Its goal was reached.
    Done,
    /// It made no sense.
    Skipped {
        /// Why.
        why: &'static str,
    },
    /// Its goal was not reached in time.
    Missing {
        /// How many pairs or nodes were missing.
        count: u64,
        /// The first of them.
        examples: Vec<String>,
        /// The time that was allowed, in virtual seconds.
        deadline_s: f64,
    },
    /// The run was to end after a given virtual time.
    CutShort,
    /// The run was stopped from outside.
    Halted,
}

/// When shares of a total were complete, in virtual seconds; to the end of a bucket of 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reached {
    /// Half of it.
    pub p50: Option<f64>,
    /// 90 %.
    pub p90: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
    /// 99.9 %.
    pub p99_9: Option<f64>,
    /// All of it; exact.
    pub p100: Option<f64>,
}

/// How a rate spreads over nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// The mean over all nodes.
    pub mean: f64,
    /// What 99 % of nodes stay at or below.
    pub p99: f64,
}

/// What a run cost. The only figures that are not the same every time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Cost {
    /// Wall time, in seconds.
    pub wall_s: f64,
    /// Processor time of all threads, in seconds, where the system tells.
    pub cpu_s: Option<f64>,
    /// Virtual seconds of nodes that were up, in one second of processor time.
    pub node_seconds_per_cpu_second: Option<f64>,
    /// Datagrams delivered in one second of wall time.
    pub datagrams_per_wall_second: f64,
    /// Processor time for each datagram delivered, in nanoseconds.
    pub cpu_ns_per_datagram: Option<f64>,
    /// Allocations for each datagram delivered, when the program was built to count them.
    pub allocations_per_datagram: Option<f64>,
    /// The most memory that the process had, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// The same for each pair of a node and a member.
    pub bytes_per_pair: Option<f64>,
}

impl Spread {
    /// The spread of `counts`, which are sorted, over nodes and per second of `time`.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn of(counts: &mut [u64], time: Duration) -> Self {
        counts.sort_unstable();
        let Some(last) = counts.len().checked_sub(1) else { return Self::default() };
        if time.is_zero() {
            return Self::default();
        }
        let sum: u64 = counts.iter().sum();
        let p99 = counts[(counts.len() * 99).div_ceil(100).saturating_sub(1).min(last)];
        let seconds = time.as_secs_f64();
        Self { mean: sum as f64 / counts.len() as f64 / seconds, p99: p99 as f64 / seconds }
    }
}

impl PhaseReport {
    pub(crate) fn skipped(phase: Phase, started_at: Instant, why: &'static str) -> Self {
        Self {
            phase,
            goal: phase.goal(),
            outcome: Outcome::Skipped { why },
            started_at_s: started_at.as_secs_f64(),
            took_s: 0.0,
            deadline_s: 0.0,
            total: 0,
            done: 0,
            nodes_up: 0,
            reached_s: Reached::default(),
            datagrams_per_node_second: Spread::default(),
            bytes_per_node_second: Spread::default(),
            datagrams_sent: 0,
            datagrams_delivered: 0,
            stream_bytes: 0,
            queries: 0,
            query_answers: 0,
            false_suspicions: 0,
            falsely_suspected_nodes: 0,
            false_failures: 0,
            falsely_failed_nodes: 0,
            network_dropped: BTreeMap::new(),
            violation_count: 0,
            violations: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Whether the phase went as it must.
    pub fn is_fine(&self) -> bool {
        self.violation_count == 0 && !matches!(self.outcome, Outcome::Missing { .. })
    }
}

impl Cost {
    /// What phases cost that took `wall_s`, as far as this process did nothing else.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn new(phases: &[PhaseReport], nodes: u32, wall_s: f64) -> Self {
        let (cpu_s, peak) = (usage::cpu_seconds(), usage::peak_memory_bytes());
        let node_seconds: f64 = phases.iter().map(|phase| phase.took_s * phase.nodes_up as f64).sum();
        let delivered: u64 = phases.iter().map(|phase| phase.datagrams_delivered).sum();
        let cpu_s = cpu_s.filter(|cpu| *cpu > 0.0);
        Self {
            wall_s,
            cpu_s,
            node_seconds_per_cpu_second: cpu_s.map(|cpu| node_seconds / cpu),
            datagrams_per_wall_second: delivered as f64 / wall_s.max(1e-9),
            cpu_ns_per_datagram: cpu_s.filter(|_| delivered > 0).map(|cpu| cpu * 1e9 / delivered as f64),
            allocations_per_datagram: allocations::count().map(|count| count as f64 / delivered.max(1) as f64),
            peak_memory_bytes: peak,
            bytes_per_pair: peak.map(|peak| peak as f64 / f64::from(nodes).powi(2)),
        }
    }
}

impl Report {
    /// Whether every phase went as it must.
    pub fn is_fine(&self) -> bool {
        self.phases.iter().all(PhaseReport::is_fine)
    }

    /// Whether the run was stopped from outside.
    pub fn is_halted(&self) -> bool {
        self.phases.iter().any(|phase| phase.outcome == Outcome::Halted)
    }
}

fn phase_name<S: serde::Serializer>(phase: &Phase, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(phase.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_a_mean_and_a_99th_percentile_per_second() {
        let mut counts: Vec<u64> = (1..=200).rev().collect();
        let spread = Spread::of(&mut counts, Duration::from_secs(2));
        assert_eq!(spread, Spread { mean: 50.25, p99: 99.0 });
        assert_eq!(Spread::of(&mut [], Duration::from_secs(1)), Spread::default());
    }
}
