//! The report as text.

use core::fmt;

use super::{Outcome, PhaseReport, Reached, Report};
use crate::phase::Phase;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_setup(f)?;
        self.write_times(f)?;
        self.write_steps(f)?;
        self.write_alarms(f)?;
        self.write_traffic(f)?;
        self.write_kinds(f)?;
        self.write_anti_entropy(f)?;
        self.write_drops(f)?;
        self.write_cost(f)?;
        self.write_verdict(f)
    }
}

impl Report {
    fn write_setup(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setup = &self.setup;
        writeln!(
            f,
            "{} nodes, {} profile, pace of {}, {} start, loss {} %, one-way latency {} to {} ms, seed {}",
            setup.nodes,
            setup.profile,
            setup.pace,
            setup.start,
            setup.loss * 100.0,
            setup.latency_min_s * 1e3,
            setup.latency_max_s * 1e3,
            setup.seed,
        )
    }

    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nVirtual seconds until a share of all pairs of nodes (event: of all nodes) had noticed:")?;
        writeln!(
            f,
            "  {:9} {:42} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "phase", "until", "50 %", "90 %", "99 %", "99.9 %", "all"
        )?;
        for phase in &self.phases {
            write!(f, "  {:9} {:42}", phase.phase.name(), phase.goal)?;
            match &phase.outcome {
                Outcome::Skipped { why } => write!(f, " skipped: {why}")?,
                _ if phase.total == 0 => write!(f, " {} s passed", phase.took_s)?,
                _ => write_shares(f, &phase.reached_s)?,
            }
            writeln!(f)?;
        }
        if let Some(query) = self.phases.iter().find(|phase| phase.queries > 0) {
            writeln!(f, "  queries that ended: {}, with {} answers in all", query.queries, query.query_answers)?;
        }
        if let Some(crash) = self.phases.iter().find(|phase| phase.phase == Phase::Crash && phase.total > 0) {
            let shown = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |s| format!("{s:.2} s"));
            writeln!(
                f,
                "  crash detection latency: p50 {}, p99 {}, max {}",
                shown(crash.reached_s.p50),
                shown(crash.reached_s.p99),
                shown(crash.reached_s.p100)
            )?;
        }
        Ok(())
    }

    fn write_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in self.phases.iter().filter(|phase| !phase.steps.is_empty()) {
            writeln!(f, "\nThe steps of {}, virtual seconds since each began:", phase.phase)?;
            for step in &phase.steps {
                write!(f, "  {:9} {:42}", step.step, step.goal)?;
                if step.total == 0 {
                    write!(f, " {:.2} s passed", step.took_s)?;
                } else {
                    write_shares(f, &step.reached_s)?;
                }
                writeln!(f)?;
                let figures =
                    step.figures.iter().map(|(name, value)| format!("{} {}", name.replace('_', " "), shown(value)));
                let alarms = [("false suspicions", step.false_suspicions), ("false failures", step.false_failures)];
                let alarms = alarms.iter().map(|(name, count)| format!("{name} {count}"));
                let packets = core::iter::once(format!("packets {}", step.datagrams_delivered));
                write_wrapped(f, figures.chain(alarms).chain(packets))?;
            }
        }
        Ok(())
    }

    fn write_alarms(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nFalse alarms about nodes that were up (each observer counted, and how many nodes it hit):")?;
        writeln!(f, "  {:9} {:>24} {:>24}", "phase", "suspected (nodes)", "marked failed (nodes)")?;
        for phase in self.ran() {
            let suspected = format!("{} ({})", phase.false_suspicions, phase.falsely_suspected_nodes);
            let failed = format!("{} ({})", phase.false_failures, phase.falsely_failed_nodes);
            writeln!(f, "  {:9} {suspected:>24} {failed:>24}", phase.phase.name())?;
        }
        Ok(())
    }

    fn write_traffic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nDatagrams sent per node and second (payload bytes, without IP and UDP headers):")?;
        writeln!(
            f,
            "  {:9} {:>12} {:>12} {:>12} {:>12} {:>14} {:>14}",
            "phase", "mean", "p99", "bytes mean", "bytes p99", "datagrams", "stream bytes"
        )?;
        for phase in self.ran() {
            let (datagrams, bytes) = (phase.datagrams_per_node_second, phase.bytes_per_node_second);
            writeln!(
                f,
                "  {:9} {:>12.2} {:>12.2} {:>12.0} {:>12.0} {:>14} {:>14}",
                phase.phase.name(),
                datagrams.mean,
                datagrams.p99,
                bytes.mean,
                bytes.p99,
                phase.datagrams_sent,
                phase.stream_bytes
            )?;
        }
        Ok(())
    }

    /// Writes one line per message kind, which shows the savings of a codec.
    fn write_kinds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nMessages in those datagrams, all phases (before compression and encryption):")?;
        writeln!(f, "  {:14} {:>14} {:>16} {:>14}", "kind", "messages", "bytes", "bytes each")?;
        for (kind, sent) in self.sent.iter().filter(|(_, sent)| sent.messages > 0) {
            let kind = kind.replace('_', " ");
            let each = sent.bytes as f64 / sent.messages as f64;
            writeln!(f, "  {kind:14} {:>14} {:>16} {each:>14.1}", sent.messages, sent.bytes)?;
        }
        Ok(())
    }

    fn write_anti_entropy(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = &self.anti_entropy;
        writeln!(
            f,
            "\nAnti-entropy: {} digests compared, {} differed; {} reconciliations with {} rows, {} of user events; {} push/pulls",
            sum.compared, sum.differed, sum.reconciliations, sum.rows, sum.event_reconciliations, sum.push_pulls,
        )
    }

    fn write_drops(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        let mut network = std::collections::BTreeMap::new();
        for (reason, count) in self.phases.iter().flat_map(|phase| &phase.network_dropped) {
            *network.entry(*reason).or_insert(0) += count;
        }
        writeln!(f, "Not delivered by the network: {}", counts(&network))?;
        writeln!(f, "Dropped by nodes:             {}", counts(&self.node_dropped))
    }

    fn write_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = &self.cost;
        let delivered: u64 = self.phases.iter().map(|phase| phase.datagrams_delivered).sum();
        writeln!(f, "\nWhat the run cost (differs from run to run; all above and the trace hash do not):")?;
        write!(f, "  {:.2} s wall", cost.wall_s)?;
        if let Some(cpu) = cost.cpu_s {
            write!(f, ", {cpu:.2} s processor")?;
        }
        writeln!(f, ", {} threads, for {:.2} virtual s", self.setup.threads, self.virtual_s)?;
        write!(f, "  {delivered} datagrams delivered, {:.0} per wall second", cost.datagrams_per_wall_second)?;
        if let Some(ns) = cost.cpu_ns_per_datagram {
            write!(f, ", {ns:.0} ns of processor time each")?;
        }
        if let Some(allocations) = cost.allocations_per_datagram {
            write!(f, ", {allocations:.3} allocations each")?;
        }
        writeln!(f)?;
        if let Some(node_seconds) = cost.node_seconds_per_cpu_second {
            writeln!(f, "  {node_seconds:.0} node-seconds simulated per processor second")?;
        }
        if let (Some(peak), Some(pair)) = (cost.peak_memory_bytes, cost.bytes_per_pair) {
            write!(f, "  {} MiB of memory at the peak", peak >> 20)?;
            // Fixed costs would hide those that grow with the square.
            if self.setup.nodes >= NODES_FOR_PAIRS {
                write!(f, ", {pair:.1} bytes per node and known member")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\nseed {}, trace hash {}", self.setup.seed, self.trace_hash)
    }

    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in &self.phases {
            match &phase.outcome {
                Outcome::Missing { count, examples, deadline_s } => writeln!(
                    f,
                    "FAILED: {}: after {deadline_s:.0} virtual s {count} of {} are missing, such as {}",
                    phase.phase,
                    phase.total,
                    examples.join(", ")
                )?,
                Outcome::CutShort => {
                    writeln!(
                        f,
                        "Reached the time limit during {}, {} of {} done.",
                        phase.phase, phase.done, phase.total
                    )?;
                }
                Outcome::Halted => {
                    writeln!(f, "Stopped during {}, {} of {} done.", phase.phase, phase.done, phase.total)?;
                }
                Outcome::Done | Outcome::Skipped { .. } => {}
            }
            if phase.violation_count > 0 {
                writeln!(
                    f,
                    "BROKEN RULES: {} during {} (seed {}), such as:",
                    phase.violation_count, phase.phase, self.setup.seed
                )?;
                for violation in &phase.violations {
                    writeln!(f, "  {violation}")?;
                }
            }
        }
        Ok(())
    }

    fn ran(&self) -> impl Iterator<Item = &PhaseReport> {
        self.phases.iter().filter(|phase| !matches!(phase.outcome, Outcome::Skipped { .. }))
    }
}

fn write_shares(f: &mut fmt::Formatter<'_>, reached: &Reached) -> fmt::Result {
    for share in [reached.p50, reached.p90, reached.p99, reached.p99_9, reached.p100] {
        write!(f, " {:>9}", share.map_or_else(|| "-".to_owned(), |s| format!("{s:.2}")))?;
    }
    Ok(())
}

/// Writes words separated by commas, as many per line as fit.
fn write_wrapped(f: &mut fmt::Formatter<'_>, words: impl Iterator<Item = String>) -> fmt::Result {
    let mut column = LINE_COLUMNS;
    for word in words {
        if column + word.len() + 2 > LINE_COLUMNS {
            write!(f, "{}{:10}{word}", if column == LINE_COLUMNS { "" } else { ",\n" }, "")?;
            column = 10 + word.len();
        } else {
            write!(f, ", {word}")?;
            column += 2 + word.len();
        }
    }
    writeln!(f)
}

/// Formats a count as an integer, other values with three decimals.
fn shown(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.3}") }
}

/// Formats counts in descending order; "nothing" if empty.
fn counts(by_reason: &std::collections::BTreeMap<&'static str, u64>) -> String {
    let mut seen: Vec<(&str, u64)> = by_reason.iter().map(|(reason, count)| (*reason, *count)).collect();
    seen.retain(|(_, count)| *count > 0);
    seen.sort_by_key(|(reason, count)| (core::cmp::Reverse(*count), *reason));
    if seen.is_empty() {
        return "nothing".to_owned();
    }
    let words: Vec<String> =
        seen.iter().map(|(reason, count)| format!("{count} {}", reason.replace('_', " "))).collect();
    words.join(", ")
}

/// Maximum line length.
const LINE_COLUMNS: usize = 110;

const NODES_FOR_PAIRS: u32 = 500;
