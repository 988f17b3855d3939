//! Runs the phases in sequence and reports each.

use core::time::Duration;
use std::collections::BTreeMap;

use serf_proto::{Config, Instant, MessageKind, Sent};

use crate::addressing::name_of;
use crate::bounds::Bounds;
use crate::engine::{Progress, Stop};
use crate::phase::{Figures, Phase, PhaseSettings, PhaseStart, PhaseSteps, Step};
use crate::report::{Outcome, PhaseReport, Reached, Spread, StepReport, SubjectReport};
use crate::tally::{NetDrop, Noticed, Tally};
use crate::truth::{Aim, HostState};
use crate::world::World;

/// Phases of a run and their settings.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Phases, in order.
    pub phases: Vec<Phase>,
    /// Settings of the phases.
    pub settings: PhaseSettings,
    /// Whether nodes know each other from the start.
    pub is_converged: bool,
    /// Limit of the run's virtual time.
    pub virtual_max: Option<Duration>,
}

/// Observer of a run's progress, which may stop it.
pub trait Monitor {
    /// A phase, or its next step, has started; `total` is the size of its goal, 0 if it only waits.
    fn phase_begins(&mut self, phase: Phase, total: i64, until: Instant);

    /// Virtual time has advanced. Return true to stop the run.
    fn progress(&mut self, progress: Progress) -> bool;

    /// The current phase has ended.
    fn phase_ends(&mut self);
}

/// A monitor that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Monitor for Unwatched {
    fn phase_begins(&mut self, _: Phase, _: i64, _: Instant) {}

    fn progress(&mut self, _: Progress) -> bool {
        false
    }

    fn phase_ends(&mut self) {}
}

impl Scenario {
    /// Runs the phases until all have completed, one has failed, or the monitor stops the run.
    pub fn run(&self, world: &mut World, config: &Config, monitor: &mut dyn Monitor) -> Vec<PhaseReport> {
        let bounds = Bounds::new(world.nodes(), config);
        let end = self.virtual_max.map_or(Instant::MAX, |max| Instant::ZERO + max);
        if self.is_converged {
            world.start_converged();
            // Lets the nodes start before the first command.
            world.run_for(Duration::from_nanos(1));
        }
        let mut reports = Vec::new();
        for &phase in &self.phases {
            let report = self.run_phase(phase, world, &bounds, end, monitor);
            let goes_on = matches!(report.outcome, Outcome::Done | Outcome::Skipped { .. });
            reports.push(report);
            if !goes_on {
                break;
            }
        }
        reports
    }

    fn run_phase(
        &self,
        phase: Phase,
        world: &mut World,
        bounds: &Bounds,
        end: Instant,
        monitor: &mut dyn Monitor,
    ) -> PhaseReport {
        let started_at = world.now();
        world.begin_phase();
        let sent_before = world.sent();
        let mut steps: Box<dyn PhaseSteps> = match phase.begin(world, &self.settings, bounds) {
            PhaseStart::Until(within) => Box::new(Single { step: Some(Step { name: "", goal: phase.goal(), within }) }),
            PhaseStart::Steps(steps) => steps,
            PhaseStart::Skipped(why) => return PhaseReport::skipped(phase, started_at, why),
        };
        let mut ran = Ran { started_at, steps: Vec::new(), shown: None, subjects: Vec::new(), sum: Tally::default() };
        let mut outcome = Outcome::Done;
        while outcome == Outcome::Done
            && let Some(step) = steps.next(world)
        {
            let began_at = world.now();
            outcome = run_step(phase, &step, world, end, monitor);
            let counted = world.tally();
            let figures = steps.end(world, &counted);
            // Includes the violations that the step itself reported.
            let tally = world.tally();
            ran.sum.merge_counts(&tally);
            let report = report_step(&step, world, began_at, &tally, figures);
            // A phase that goes on after its goal, as restart does with events, is reported with the times of that goal.
            if outcome != Outcome::Done || step.goal == phase.goal() || ran.shown.is_none() {
                ran.shown = Some(ran.steps.len());
                ran.subjects = subjects(&tally, world.goal().since);
            }
            ran.steps.push(report);
        }
        let mut report = summarize(phase, world, ran, outcome);
        report.sent = sent_since(&sent_before, &world.sent());
        report
    }
}

/// A phase with a single step, already started.
struct Single {
    step: Option<Step>,
}

impl PhaseSteps for Single {
    fn next(&mut self, _: &mut World) -> Option<Step> {
        self.step.take()
    }
}

/// Result of the steps of a phase.
struct Ran {
    started_at: Instant,
    steps: Vec<StepReport>,
    /// Index of the step whose goal and times stand for the phase.
    shown: Option<usize>,
    /// Subjects of that step.
    subjects: Vec<SubjectReport>,
    /// Counters of all steps.
    sum: Tally,
}

fn run_step(phase: Phase, step: &Step, world: &mut World, end: Instant, monitor: &mut dyn Monitor) -> Outcome {
    let until = (world.now() + step.within).min(end);
    monitor.phase_begins(phase, world.goal().total, until);
    let stop = world.run(until, &mut |progress| monitor.progress(progress));
    monitor.phase_ends();
    world.settle_departures();
    match stop {
        Stop::Reached => Outcome::Done,
        Stop::Halted => Outcome::Halted,
        Stop::TimeOver if until == end => Outcome::CutShort,
        Stop::TimeOver if world.goal().aim == Aim::Nothing => Outcome::Done,
        Stop::TimeOver => missing(world, step.within),
    }
}

fn missing(world: &World, deadline: Duration) -> Outcome {
    let (count, examples) = world.missing(EXAMPLES);
    let examples = examples
        .into_iter()
        .map(|(observer, member)| match world.goal().aim {
            Aim::Views { .. } | Aim::Nothing => format!("{} about {}", name_of(observer), name_of(member)),
            Aim::Events { .. } | Aim::Answers { .. } | Aim::Keys { .. } => name_of(observer),
        })
        .collect();
    Outcome::Missing { count, examples, deadline_s: deadline.as_secs_f64() }
}

fn report_step(step: &Step, world: &World, began_at: Instant, tally: &Tally, figures: Figures) -> StepReport {
    let total = world.goal().total;
    StepReport {
        step: step.name,
        goal: step.goal,
        took_s: (world.now() - began_at).as_secs_f64(),
        deadline_s: step.within.as_secs_f64(),
        total,
        done: tally.done,
        reached_s: reached(tally, total),
        false_suspicions: tally.false_suspicions,
        false_failures: tally.false_failures,
        datagrams_delivered: tally.delivered,
        figures,
        curve: tally.times.curve(total),
    }
}

/// Summarises a phase: goal and times of the step that it is about, or that failed; counters of all steps.
fn summarize(phase: Phase, world: &World, ran: Ran, outcome: Outcome) -> PhaseReport {
    let Ran { started_at, steps, shown, subjects, sum } = ran;
    let took = world.now() - started_at;
    let shown = shown.and_then(|nth| steps.get(nth));
    let (mut datagrams, mut bytes): (Vec<u64>, Vec<u64>) = world.traffic().unzip();
    PhaseReport {
        phase,
        goal: shown.map_or_else(|| phase.goal(), |step| step.goal),
        started_at_s: started_at.as_secs_f64(),
        took_s: took.as_secs_f64(),
        deadline_s: steps.iter().map(|step| step.deadline_s).sum(),
        total: shown.map_or(0, |step| step.total),
        done: shown.map_or(0, |step| step.done),
        nodes_up: world.all(HostState::Up).len(),
        reached_s: shown.map(|step| step.reached_s).unwrap_or_default(),
        datagrams_per_node_second: Spread::of(&mut datagrams, took),
        bytes_per_node_second: Spread::of(&mut bytes, took),
        datagrams_sent: datagrams.iter().sum(),
        datagrams_delivered: sum.delivered,
        stream_bytes: sum.stream_bytes,
        queries: sum.queries,
        query_answers: sum.query_answers,
        false_suspicions: sum.false_suspicions,
        falsely_suspected_nodes: sum.falsely_suspected.len(),
        false_failures: sum.false_failures,
        falsely_failed_nodes: sum.falsely_failed.len(),
        network_dropped: NetDrop::ALL.iter().map(|reason| (reason.name(), sum.drops[*reason as usize])).collect(),
        violation_count: sum.violation_count,
        violations: sum.violations.iter().map(ToString::to_string).collect(),
        curve: shown.map(|step| step.curve.clone()).unwrap_or_default(),
        steps: steps.into_iter().filter(|step| !step.step.is_empty()).collect(),
        outcome,
        sent: BTreeMap::new(),
        subjects,
    }
}

fn reached(tally: &Tally, total: i64) -> Reached {
    let at = |per_mille: i64| {
        let count = (total * per_mille + 999) / 1_000;
        if total == 0 { None } else { tally.times.reached(count).map(|time| time.as_secs_f64()) }
    };
    Reached { p50: at(500), p90: at(900), p99: at(990), p99_9: at(999), p100: at(1_000) }
}

/// Returns when others noticed what happened to each subject.
fn subjects(tally: &Tally, since: Instant) -> Vec<SubjectReport> {
    let seconds = |at: Instant| (at - since).as_secs_f64();
    let report = |(node, noticed): (&u32, &Noticed)| SubjectReport {
        node: name_of(*node),
        suspected_s: noticed.suspected_at.map(seconds),
        first_observer: noticed.first.map(|(_, observer)| name_of(observer)),
        first_s: noticed.first.map(|(at, _)| seconds(at)),
        last_s: noticed.last_at.map(seconds),
        observers: noticed.observers,
    };
    tally.noticed.iter().map(report).collect()
}

/// Returns the messages of each kind that were sent between two counts.
fn sent_since(before: &[Sent], after: &[Sent]) -> BTreeMap<&'static str, Sent> {
    let since = |(kind, (before, after)): (&MessageKind, (&Sent, &Sent))| {
        let (mut sent, before) = (*after, *before);
        sent.messages -= before.messages;
        sent.bytes -= before.bytes;
        (kind.name(), sent)
    };
    MessageKind::ALL.iter().zip(before.iter().zip(after)).map(since).filter(|(_, sent)| sent.messages > 0).collect()
}

/// Number of missing pairs listed as examples.
const EXAMPLES: usize = 5;
