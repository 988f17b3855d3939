//! Runs one cell and collects its results.

use core::time::Duration;
use std::collections::BTreeMap;

use serf_proto::{Config, DropReason, Instant, MessageKind};

use super::plan::{Course, Plan};
use super::timeline::{self, Measured, Planned, Struck, Timeline};
use crate::addressing::name_of;
use crate::engine::Progress;
use crate::histogram::Histogram;
use crate::notes::Notes;
use crate::phase::Phase as RunPhase;
use crate::report::records::{
    add, add_anti_entropy, add_count, add_counts, add_curve, add_labelled, add_world, of_phases,
};
use crate::results::{Distribution, Finding, Phase, Record, Series, Subject};
use crate::scenario::Monitor;
use crate::series::Alarm;
use crate::tally::NetDrop;
use crate::world::World;

/// What a cell gave.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) records: Vec<Record>,
    pub(super) virtual_s: f64,
    pub(super) trace_hash: String,
}

/// Runs a cell; `None` if `progress` stopped it by returning true.
pub(super) fn run(plan: &Plan, seed: u64, threads: u32, progress: &mut dyn FnMut(Progress) -> bool) -> Option<Ran> {
    let (options, layout) = plan.seeded(seed, threads);
    let config = options.config.clone();
    let mut world = World::with_layout(options, layout);
    let mut records = match &plan.course {
        Course::Phases(scenario) => {
            let mut watch = Watch { progress, is_halted: false };
            let phases = scenario.run(&mut world, &config, &mut watch);
            if watch.is_halted {
                return None;
            }
            of_phases(&phases)
        }
        Course::Timeline(course) => {
            let measured = timeline::run(course, &mut world, progress);
            if measured.is_halted {
                return None;
            }
            of_timeline(plan, course, &measured, &world)
        }
    };
    let virtual_s = world.now().as_secs_f64();
    let sent = MessageKind::ALL.iter().map(|kind| kind.name()).zip(world.sent()).collect();
    let node_dropped = DropReason::ALL.iter().map(|reason| reason.name()).zip(world.node_drops()).collect();
    let series = world.series();
    add_count(&mut records, "", "datagrams_count", series.datagrams.iter().sum());
    add(&mut records, "", "virtual_s", Some(virtual_s));
    add_world(&mut records, &sent, &node_dropped, &series);
    add_anti_entropy(&mut records, &world.anti_entropy());
    add_crossed(&mut records, plan, &world);
    let assertions: Vec<_> = plan.assertions.iter().map(|assertion| assertion.check(&records)).collect();
    records.extend(assertions.into_iter().map(Record::Assertion));
    let trace_hash = format!("{:016x}", world.trace_hash());
    // The system reclaims the memory of the last world faster than millions of small frees; those of a sweep are freed.
    Some(Ran { records, virtual_s, trace_hash })
}

/// Passes the progress of phases on.
struct Watch<'a> {
    progress: &'a mut dyn FnMut(Progress) -> bool,
    is_halted: bool,
}

impl Monitor for Watch<'_> {
    fn phase_begins(&mut self, _: RunPhase, _: i64, _: Instant) {}

    fn progress(&mut self, progress: Progress) -> bool {
        self.is_halted |= (self.progress)(progress);
        self.is_halted
    }

    fn phase_ends(&mut self) {}
}

fn of_timeline(plan: &Plan, timeline: &Timeline, measured: &Measured, world: &World) -> Vec<Record> {
    let (tally, notes) = (world.tally(), world.notes());
    let mut records = Vec::new();
    for (nth, (fault, struck)) in timeline.faults.iter().zip(&measured.struck).enumerate() {
        add_fault(&mut records, fault, struck, &notes, nth);
        let converged = converged_after(&measured.converged, struck.until, 1.0);
        let since = |at: Duration| (at.saturating_sub(struck.at)).as_secs_f64();
        add(&mut records, &fault.name, "converged_s", converged.map(since));
    }
    add_detections(&mut records, timeline, measured, &notes);
    add_events(&mut records, measured, &notes);
    let dropped = NetDrop::ALL.iter().map(|reason| (reason.name(), tally.drops[*reason as usize])).collect();
    add_counts(&mut records, "network_dropped_count", "reason", &dropped);
    add_count(&mut records, "", "queries_count", tally.queries);
    add_count(&mut records, "", "query_answers_count", tally.query_answers);
    add_count(&mut records, "", "false_suspicions_count", tally.false_suspicions);
    add_count(&mut records, "", "falsely_suspected_nodes_count", tally.falsely_suspected.len() as u64);
    add_count(&mut records, "", "false_failures_count", tally.false_failures);
    add_count(&mut records, "", "falsely_failed_nodes_count", tally.falsely_failed.len() as u64);
    add_blame(&mut records, &tally);
    add_groups(&mut records, plan, &notes);
    add_signals(&mut records, plan, &notes);
    add_count(&mut records, "", "wrong_views_count", measured.wrong_views as u64);
    let converged = converged_after(&measured.converged, last_act(measured), 1.0);
    add(&mut records, "", "converged_s", converged.map(|at| at.as_secs_f64()));
    add_count(&mut records, "", "violations_count", tally.violation_count);
    records.push(Record::Series(Series {
        phase: String::new(),
        name: "converged_share".to_owned(),
        labels: BTreeMap::new(),
        start_s: 0.0,
        step_s: 1.0,
        values: measured.converged.iter().map(|share| Some((share * 1e7).round() / 1e7)).collect(),
    }));
    let finding = |finding: String| Record::Finding(Finding { finding });
    records.extend(tally.violations.iter().map(ToString::to_string).map(finding));
    records
}

fn add_fault(records: &mut Vec<Record>, fault: &Planned, struck: &Struck, notes: &Notes, nth: usize) {
    let name = fault.name.as_str();
    records.push(Record::Phase(Phase {
        phase: name.to_owned(),
        goal: String::new(),
        outcome: "done".to_owned(),
        started_at_s: struck.at.as_secs_f64(),
        took_s: struck.until.saturating_sub(struck.at).as_secs_f64(),
    }));
    add_count(records, name, "victims_count", struck.victims.len() as u64);
    if struck.detections_due == 0 {
        return;
    }
    let none = Histogram::default();
    let times = notes.detections.get(&nth).unwrap_or(&none);
    add_reached(
        records,
        name,
        ["reached_p50_s", "reached_p90_s", "reached_p99_s", "reached_p100_s"],
        times,
        struck.detections_due,
    );
    let seconds = |at: Instant| (at - Instant::ZERO).saturating_sub(struck.at).as_secs_f64();
    add(records, name, "first_s", times.reached(1).map(|first| first.as_secs_f64()));
    add_curve(
        records,
        name,
        i64::try_from(struck.detections_due).unwrap_or(i64::MAX),
        &curve(times, struck.detections_due),
    );
    // A cut has as many subjects as there are nodes.
    for node in struck.victims.iter().filter(|_| fault.is_crash()) {
        let detected = notes.detected.get(node).filter(|detected| detected.fault == nth);
        records.push(Record::Subject(Subject {
            phase: name.to_owned(),
            node: name_of(*node),
            first_observer: detected.map(|detected| name_of(detected.first.1)),
            first_s: detected.map(|detected| seconds(detected.first.0)),
            last_s: detected.map(|detected| seconds(detected.last)),
            observers_count: detected.map_or(0, |detected| detected.observers),
        }));
    }
}

/// Adds the detection of all crashes together.
fn add_detections(records: &mut Vec<Record>, timeline: &Timeline, measured: &Measured, notes: &Notes) {
    let crashes = || (0..).zip(&timeline.faults).zip(&measured.struck).filter(|((_, fault), _)| fault.is_crash());
    let due: u64 = crashes().map(|(_, struck)| struck.detections_due).sum();
    if due == 0 {
        return;
    }
    let mut times = Histogram::default();
    crashes().filter_map(|((nth, _), _)| notes.detections.get(&nth)).for_each(|fault| times.merge(fault));
    let mut firsts: Vec<f64> = Vec::new();
    let mut crashed = 0;
    for (_, struck) in crashes() {
        crashed += struck.victims.len();
        let detected = struck.victims.iter().filter_map(|node| notes.detected.get(node));
        firsts.extend(
            detected.map(|detected| (detected.first.0 - Instant::ZERO).saturating_sub(struck.at).as_secs_f64()),
        );
    }
    firsts.sort_unstable_by(f64::total_cmp);
    let first_of = |count: usize| count.checked_sub(1).and_then(|nth| firsts.get(nth)).copied();
    add(records, "", "detect_first_p50_s", first_of(crashed.div_ceil(2)));
    add(records, "", "detect_first_max_s", first_of(crashed));
    add_reached(records, "", ["detect_p50_s", "detect_p90_s", "detect_p99_s", "detect_max_s"], &times, due);
    add(records, "", "detect_share", Some(share(times.sum(), due)));
    add_distribution(records, "detect_s", &times, due);
}

/// Adds the dissemination of all timed events together.
fn add_events(records: &mut Vec<Record>, measured: &Measured, notes: &Notes) {
    if measured.events == 0 {
        return;
    }
    let due = measured.deliveries_due;
    add_count(records, "", "events_count", measured.events);
    add_reached(records, "", ["event_p50_s", "event_p90_s", "event_p99_s", "event_max_s"], &notes.deliveries, due);
    add(records, "", "event_share", Some(share(i64::try_from(notes.delivered).unwrap_or(i64::MAX), due)));
    add_distribution(records, "event_s", &notes.deliveries, due);
}

/// Adds when 50, 90, 99 and 100 % of what is due was done.
fn add_reached(records: &mut Vec<Record>, phase: &str, names: [&str; 4], times: &Histogram, due: u64) {
    for (name, percent) in names.into_iter().zip([50, 90, 99, 100]) {
        let count = i64::try_from((due * percent).div_ceil(100)).unwrap_or(i64::MAX);
        add(records, phase, name, times.reached(count).map(|time| time.as_secs_f64()));
    }
}

fn add_distribution(records: &mut Vec<Record>, name: &str, times: &Histogram, due: u64) {
    let points = curve(times, due);
    if !points.is_empty() {
        let (phase, name, labels) = (String::new(), name.to_owned(), BTreeMap::new());
        let points = points.into_iter().map(|(at, share)| (at, (share * 1e7).round() / 1e7)).collect();
        records.push(Record::Distribution(Distribution { phase, name, labels, total_count: due, points }));
    }
}

fn curve(times: &Histogram, due: u64) -> Vec<(f64, f64)> {
    times.curve(i64::try_from(due).unwrap_or(i64::MAX))
}

/// Adds false alarms by whether the faults had made the observer and the member slow or stalled.
fn add_blame(records: &mut Vec<Record>, tally: &crate::tally::Tally) {
    let kinds = [("false_suspicions_count", tally.suspicion_blame), ("false_failures_count", tally.failure_blame)];
    for (name, blame) in kinds {
        let counts = [
            ("slow", "any", blame.of_subjects),
            ("healthy", "slow", blame.by_subjects),
            ("healthy", "healthy", blame.among_others),
        ];
        for (of, by, count) in counts.into_iter().filter(|_| blame.of_subjects + blame.by_subjects > 0) {
            let labels = [("of", of), ("by", by)].map(|(label, value)| (label.to_owned(), value.to_owned()));
            add_labelled(records, "", name, labels.into(), count);
        }
    }
}

/// Adds verdicts about the nodes of each group.
fn add_groups(records: &mut Vec<Record>, plan: &Plan, notes: &Notes) {
    if plan.groups.len() < 2 {
        return;
    }
    for (group, name) in (0_u16..).zip(&plan.groups) {
        let counts = notes.by_group.get(&group).copied().unwrap_or_default();
        let labels = BTreeMap::from([("group".to_owned(), name.clone())]);
        for (metric, alarm) in [
            ("false_suspicions_count", Alarm::FalseSuspicion),
            ("false_failures_count", Alarm::FalseFailure),
            ("true_failures_count", Alarm::TrueFailure),
        ] {
            add_labelled(records, "", metric, labels.clone(), counts[alarm as usize]);
        }
    }
}

/// Adds the partition signals, if any node gives them.
fn add_signals(records: &mut Vec<Record>, plan: &Plan, notes: &Notes) {
    let gives = |config: &Config| !config.serf().partition_stable_after.is_zero();
    if !gives(&plan.world.config) && !plan.layout.configs.iter().any(gives) {
        return;
    }
    let signals = notes.signals;
    add_count(records, "", "split_signals_count", signals.splits);
    add_count(records, "", "majority_signals_count", signals.majorities);
    add_count(records, "", "zone_signals_count", signals.zones_lost);
    add_count(records, "", "split_ends_count", signals.ends);
    add(records, "", "split_signal_last_s", signals.last_split_at.map(Instant::as_secs_f64));
}

/// Adds the traffic between nodes of different groups.
fn add_crossed(records: &mut Vec<Record>, plan: &Plan, world: &World) {
    if plan.groups.len() > 1 {
        let crossed = world.notes().crossed;
        add_count(records, "", "between_groups_datagrams_count", crossed.datagrams);
        add_count(records, "", "between_groups_bytes", crossed.bytes);
    }
}

/// End of the last thing that a fault did.
fn last_act(measured: &Measured) -> Duration {
    measured.struck.iter().map(|struck| struck.until).max().unwrap_or(Duration::ZERO)
}

/// Returns the end of the first second after `from` at which at least this share of the views is right.
fn converged_after(converged: &[f64], from: Duration, share: f64) -> Option<Duration> {
    let ends = (1_u64..).map(Duration::from_secs).zip(converged);
    ends.filter(|(end, _)| *end > from).find(|(_, now)| **now >= share).map(|(end, _)| end)
}

#[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
fn share(done: i64, due: u64) -> f64 {
    if due == 0 { 1.0 } else { ((done as f64 / due as f64).min(1.0) * 1e7).round() / 1e7 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convergence_is_looked_for_after_the_fault_has_ended() {
        let converged = [1.0, 0.5, 0.9, 1.0, 0.8, 1.0];
        let after = |s| converged_after(&converged, Duration::from_secs(s), 1.0);
        assert_eq!(after(0), Some(Duration::from_secs(1)));
        assert_eq!(after(1), Some(Duration::from_secs(4)));
        assert_eq!(after(4), Some(Duration::from_secs(6)));
        assert_eq!(after(6), None);
    }
}
