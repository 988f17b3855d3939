//! Results of a run: a table for people, JSON for programs.

pub(crate) mod records;
mod table;

use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;
use serf_proto::{Instant, Sent};

use crate::phase::{Figures, Phase, PhaseSettings};
use crate::series::Series;
use crate::{allocations, usage};

/// Results of a run. The keys of its JSON form are stable: they may be added to, not changed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Setup of the run.
    pub setup: Setup,
    /// Phases, in order.
    pub phases: Vec<PhaseReport>,
    /// Inputs dropped by nodes in all phases, by reason.
    pub node_dropped: BTreeMap<&'static str, u64>,
    /// Messages sent in datagrams in all phases, by kind.
    pub sent: BTreeMap<&'static str, Sent>,
    /// Anti-entropy by digests in all phases.
    pub anti_entropy: AntiEntropy,
    /// Virtual duration in seconds.
    pub virtual_s: f64,
    /// Cost of the run.
    pub cost: Cost,
    /// Hash of every input of every node, in hexadecimal.
    pub trace_hash: String,
    /// Time series. Part of results files, not of the summary.
    #[serde(skip)]
    pub series: Series,
}

/// Anti-entropy by digests, summed over all nodes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct AntiEntropy {
    /// Digests compared.
    pub compared: u64,
    /// Of those, digests that differed.
    pub differed: u64,
    /// Reconciliations of views that were begun.
    pub reconciliations: u64,
    /// Rows sent in them.
    pub rows: u64,
    /// Reconciliations of recent user events that were begun.
    pub event_reconciliations: u64,
    /// Push/pulls that were begun, those of joins included.
    pub push_pulls: u64,
}

/// Setup of a run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Setup {
    /// Number of nodes.
    pub nodes: u32,
    /// The seed.
    pub seed: u64,
    /// Number of threads.
    pub threads: u32,
    /// The timing profile.
    pub profile: &'static str,
    /// Start mode of the nodes.
    pub start: &'static str,
    /// Codec of the nodes.
    pub codec: &'static str,
    /// Whether traffic was encrypted.
    pub encrypted: bool,
    /// Whether traffic was compressed.
    pub compressed: bool,
    /// Share of datagrams lost by the link model.
    pub loss: f64,
    /// Share of datagrams duplicated.
    pub duplicate: f64,
    /// Share of datagrams delayed for reordering.
    pub reorder: f64,
    /// Minimum one-way latency.
    pub latency_min_s: f64,
    /// Maximum one-way latency.
    pub latency_max_s: f64,
    /// One-way time across the square of the nodes; 0 if they are in one place.
    pub geometry_s: f64,
    /// Whether Lifeguard was enabled.
    pub lifeguard: bool,
    /// Pace of gossip: `library` or `hashicorp`.
    pub pace: &'static str,
    /// Gossip packets per peer and tick.
    pub gossip_packets: u32,
    /// Whether the checks were enabled.
    pub checks: bool,
    /// Version of the simulator; see [`crate::results::VERSION`].
    pub version: &'static str,
    /// Share of stream chunks that reset their stream.
    pub stream_reset: f64,
    /// Send rate of a node on streams, in Mbit/s.
    pub bandwidth_mbit_per_s: u64,
    /// The cluster's label; empty if there is none.
    pub label: String,
    /// Limit of virtual time; `None` if there is none.
    pub virtual_max_s: Option<f64>,
    /// Settings of the phases, whether they ran or not.
    pub phase_settings: PhaseSettings,
}

/// Results of one phase.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PhaseReport {
    /// The phase.
    #[serde(serialize_with = "phase_name")]
    pub phase: Phase,
    /// The goal. `total`, `done` and `reached_s` are about it.
    pub goal: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Start, in virtual seconds.
    pub started_at_s: f64,
    /// Duration, in virtual seconds.
    pub took_s: f64,
    /// Deadline, in virtual seconds from the start.
    pub deadline_s: f64,
    /// Number of pairs of nodes, or deliveries, that complete it.
    pub total: i64,
    /// Number that were complete at its end.
    pub done: i64,
    /// Number of nodes that were up at its end.
    pub nodes_up: usize,
    /// Times at which shares of the total were complete, in virtual seconds from the start; of a phase with several
    /// steps from the start of the step that has this goal.
    pub reached_s: Reached,
    /// Datagrams sent, per node and second.
    pub datagrams_per_node_second: Spread,
    /// Payload bytes of these, per node and second.
    pub bytes_per_node_second: Spread,
    /// Datagrams sent by all nodes.
    pub datagrams_sent: u64,
    /// Datagrams that reached a node.
    pub datagrams_delivered: u64,
    /// Stream bytes that reached nodes.
    pub stream_bytes: u64,
    /// Queries that ended.
    pub queries: u64,
    /// Answers to these, one per node and query.
    pub query_answers: u64,
    /// Suspicions of nodes that were up, one per observer.
    pub false_suspicions: u64,
    /// Number of nodes suspected in this way.
    pub falsely_suspected_nodes: usize,
    /// Nodes that were up and were declared failed, one per observer.
    pub false_failures: u64,
    /// Number of nodes declared failed in this way.
    pub falsely_failed_nodes: usize,
    /// Packets that the network did not deliver, by reason.
    pub network_dropped: BTreeMap<&'static str, u64>,
    /// Number of violated rules.
    pub violation_count: u64,
    /// The first violations.
    pub violations: Vec<String>,
    /// Steps of a phase that has several, in order. The counters above are totals over all steps; the goal and its
    /// times are those of the step that the phase is about, or of the one that failed.
    pub steps: Vec<StepReport>,
    /// Share of the total that was complete over time: virtual seconds from the start of the step of `reached_s`, and the share that holds
    /// from then on. Part of results files, not of the summary.
    #[serde(skip)]
    pub curve: Vec<(f64, f64)>,
    /// Messages sent in datagrams during the phase, by kind. Part of results files, not of the summary.
    #[serde(skip)]
    pub sent: BTreeMap<&'static str, Sent>,
    /// Nodes that the phase crashed or let leave. Part of results files, not of the summary.
    #[serde(skip)]
    pub subjects: Vec<SubjectReport>,
}

/// When the others noticed what happened to one node; virtual seconds from the start of the step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SubjectReport {
    /// The node's name.
    pub node: String,
    /// The first suspicion at any node.
    pub suspected_s: Option<f64>,
    /// The first node that had the verdict: failed, or left.
    pub first_observer: Option<String>,
    /// When it had it.
    pub first_s: Option<f64>,
    /// When the last node had it.
    pub last_s: Option<f64>,
    /// Number of nodes that had it.
    pub observers: u64,
}

/// Results of one step of a phase.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The step's name.
    pub step: &'static str,
    /// The goal.
    pub goal: &'static str,
    /// Duration, in virtual seconds.
    pub took_s: f64,
    /// Deadline, in virtual seconds from its start.
    pub deadline_s: f64,
    /// Number of pairs of nodes, or deliveries, that complete it; 0 if it only waits.
    pub total: i64,
    /// Number that were complete at its end.
    pub done: i64,
    /// Times at which shares of the total were complete, in virtual seconds from its start.
    pub reached_s: Reached,
    /// Suspicions of nodes that were up and reachable, one per observer.
    pub false_suspicions: u64,
    /// Nodes that were up and reachable and were declared failed, one per observer.
    pub false_failures: u64,
    /// Datagrams that reached a node.
    pub datagrams_delivered: u64,
    /// Figures of this kind of step only.
    pub figures: Figures,
    /// As the curve of a phase, from the start of the step.
    #[serde(skip)]
    pub curve: Vec<(f64, f64)>,
}

/// Outcome of a phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Its goal was reached.
    Done,
    /// It was not applicable.
    Skipped {
        /// The reason.
        why: &'static str,
    },
    /// Its goal was not reached in time.
    Missing {
        /// Number of missing pairs or nodes.
        count: u64,
        /// The first of them.
        examples: Vec<String>,
        /// Deadline, in virtual seconds.
        deadline_s: f64,
    },
    /// The run reached its limit of virtual time before the goal. Counts as a failure, except for the idle phase.
    CutShort,
    /// The run was stopped from outside.
    Halted,
}

/// Times at which shares of a total were complete, in virtual seconds, rounded up to 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reached {
    /// 50 %.
    pub p50: Option<f64>,
    /// 90 %.
    pub p90: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
    /// 99.9 %.
    pub p99_9: Option<f64>,
    /// 100 %; exact.
    pub p100: Option<f64>,
}

/// Distribution of a rate over nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// Mean over all nodes.
    pub mean: f64,
    /// 99th percentile over nodes.
    pub p99: f64,
}

/// Cost of a run. The only figures that differ between equal runs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Cost {
    /// Wall time, in seconds.
    pub wall_s: f64,
    /// Processor time of all threads, in seconds, where the system reports it.
    pub cpu_s: Option<f64>,
    /// Virtual seconds of nodes that were up, per second of processor time.
    pub node_seconds_per_cpu_second: Option<f64>,
    /// Datagrams delivered per second of wall time.
    pub datagrams_per_wall_second: f64,
    /// Processor time per delivered datagram, in nanoseconds.
    pub cpu_ns_per_datagram: Option<f64>,
    /// Allocations per delivered datagram, if the program was built to count them.
    pub allocations_per_datagram: Option<f64>,
    /// Peak memory of the process, where the system reports it.
    pub peak_memory_bytes: Option<u64>,
    /// The same per pair of a node and a member.
    pub bytes_per_pair: Option<f64>,
}

impl Spread {
    /// Computes the distribution of sorted `counts` over nodes, per second of `time`.
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
            curve: Vec::new(),
            sent: BTreeMap::new(),
            subjects: Vec::new(),
        }
    }

    /// Whether the phase succeeded.
    pub fn is_fine(&self) -> bool {
        let is_open = match self.outcome {
            Outcome::Missing { .. } => true,
            // An idle phase has nothing to reach.
            Outcome::CutShort => self.phase != Phase::Idle,
            Outcome::Done | Outcome::Skipped { .. } | Outcome::Halted => false,
        };
        self.violation_count == 0 && !is_open
    }
}

impl Cost {
    /// Computes the cost of phases that took `wall_s`, assuming that the process did nothing else.
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
    /// Whether all phases succeeded.
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
