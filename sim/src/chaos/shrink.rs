//! Shrinking: makes a world that fails smaller as long as it fails in the same way (delta debugging, Zeller and Hildebrandt
//! 2002). Every candidate is a whole run, so a step is kept or discarded by what it does, not by what it should do.

use core::time::Duration;
use std::collections::BTreeSet;

use serf_proto::{CodecChoice, Instant, Options};

use super::world::ChaosWorld;
use super::{ChaosReport, FAULTS_FROM};
use crate::net::{LinkModel, NodeSet, Rule};
use crate::world::Fault;

/// The smallest world found that fails in the same way.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shrunk {
    /// The world.
    pub world: ChaosWorld,
    /// The rule that it violates; see [`Finding::rule`](crate::Finding::rule).
    pub rule: String,
    /// Number of worlds that ran.
    pub runs: u32,
}

/// Makes a failing world smaller, with at most `runs_max` runs and until `is_halted`; `None` if it does not fail.
pub fn shrink(world: &ChaosWorld, runs_max: u32, is_halted: &dyn Fn() -> bool) -> Option<Shrunk> {
    let rule = broken_rule(&world.run(1, None))?;
    let fails = |candidate: &ChaosWorld| rules(&candidate.run(1, None)).contains(&rule);
    let mut shrinker = Shrinker { best: world.clone(), runs: 1, runs_max, is_halted, fails: &fails };
    shrinker.run();
    let Shrinker { best, runs, .. } = shrinker;
    Some(Shrunk { world: best, rule, runs })
}

/// Returns the first rule that a world violated.
fn broken_rule(report: &ChaosReport) -> Option<String> {
    let first = report.violations.iter().min_by_key(|violation| violation.at);
    first.map(|violation| violation.finding.rule()).or_else(|| rules(report).into_iter().next())
}

fn rules(report: &ChaosReport) -> BTreeSet<String> {
    let mut rules: BTreeSet<String> = report.violations.iter().map(|violation| violation.finding.rule()).collect();
    if !report.deaf.is_empty() {
        rules.insert("Deaf".to_owned());
    }
    rules
}

struct Shrinker<'a> {
    /// The smallest world that fails.
    best: ChaosWorld,
    runs: u32,
    runs_max: u32,
    is_halted: &'a dyn Fn() -> bool,
    fails: &'a dyn Fn(&ChaosWorld) -> bool,
}

impl Shrinker<'_> {
    /// Repeats all steps until none of them makes the world smaller.
    fn run(&mut self) {
        loop {
            let before = self.best.clone();
            self.drop_faults();
            self.shorten();
            self.simplify();
            self.drop_nodes();
            // Terminates: each round makes the world smaller, and every run counts.
            if self.best == before || self.is_over() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.runs >= self.runs_max || (self.is_halted)()
    }

    /// Takes a candidate if it fails, too.
    fn offer(&mut self, candidate: ChaosWorld) -> bool {
        if candidate == self.best || self.is_over() {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&candidate);
        if fails {
            self.best = candidate;
        }
        fails
    }

    /// Removes faults: half of them, then ever smaller parts, then one by one.
    fn drop_faults(&mut self) {
        let mut size = self.best.faults.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.faults.len() {
                let mut candidate = self.best.clone();
                candidate.faults.drain(from..(from + size).min(candidate.faults.len()));
                if !self.offer(candidate) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Ends the time of the faults after the last one, and moves all of them to its beginning.
    fn shorten(&mut self) {
        let last = self.best.faults.last().map_or(FAULTS_FROM, |(at, _)| *at);
        let mut candidate = self.best.clone();
        candidate.faults_time = (last - FAULTS_FROM + AFTER_LAST).min(self.best.faults_time);
        self.offer(candidate);
        let first = self.best.faults.first().map_or(FAULTS_FROM, |(at, _)| *at);
        let early = first - FAULTS_FROM;
        let mut candidate = self.best.clone();
        candidate.faults.iter_mut().for_each(|(at, fault)| *at = earlier(*at, early, fault));
        candidate.faults_time = candidate.faults_time.saturating_sub(early);
        self.offer(candidate);
    }

    /// Replaces settings by the usual ones, all at once or one by one.
    fn simplify(&mut self) {
        let mut all = self.best.clone();
        SIMPLIFICATIONS.iter().for_each(|simplify| simplify(&mut all));
        if self.offer(all) {
            return;
        }
        for simplify in SIMPLIFICATIONS {
            let mut candidate = self.best.clone();
            simplify(&mut candidate);
            self.offer(candidate);
        }
    }

    /// Removes nodes that no fault concerns, then others with their faults.
    fn drop_nodes(&mut self) {
        let candidate = renumbered(&self.best);
        self.offer(candidate);
        loop {
            let nodes = self.best.nodes;
            let sizes: BTreeSet<u32> = [2, 3, 4, nodes / 2, nodes * 3 / 4, nodes - 1].into();
            let sizes = sizes.into_iter().filter(|size| (2..nodes).contains(size));
            if !sizes.into_iter().any(|size| self.offer(with_nodes(&self.best, size))) {
                return;
            }
        }
    }
}

/// Moves a fault to an earlier time.
fn earlier(at: Instant, by: Duration, fault: &mut Fault) -> Instant {
    let moved = |at: Instant| Instant::ZERO + (at - Instant::ZERO).saturating_sub(by);
    if let Fault::Rule(Rule { during: Some((from, until)), .. }) = fault {
        (*from, *until) = (moved(*from), moved(*until));
    }
    moved(at)
}

/// Gives the nodes that faults concern the first numbers. Node 0 keeps its own: it never fails.
fn renumbered(world: &ChaosWorld) -> ChaosWorld {
    let used: BTreeSet<u32> = world.faults.iter().filter_map(|(_, fault)| fault.node()).collect();
    let others = (0..world.nodes).filter(|node| *node != 0 && !used.contains(node));
    let order: Vec<u32> = [0].into_iter().chain(used.iter().copied().filter(|node| *node != 0)).chain(others).collect();
    let new_number = |node: u32| {
        let at = order.iter().position(|old| *old == node);
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(node)
    };
    let mut world = world.clone();
    for (_, fault) in &mut world.faults {
        if let Some(node) = fault.node_mut() {
            *node = new_number(*node);
        }
    }
    change_sets(&mut world, |set| {
        *set = match &*set {
            NodeSet::One(node) => NodeSet::One(new_number(*node)),
            NodeSet::Listed(nodes) => NodeSet::of(nodes.iter().map(|node| new_number(*node))),
            other => other.clone(),
        };
    });
    world
}

/// Returns the world with its first `nodes` nodes, and the faults that concern them.
fn with_nodes(world: &ChaosWorld, nodes: u32) -> ChaosWorld {
    let mut world = world.clone();
    world.nodes = nodes;
    world.faults.retain(|(_, fault)| fault.node() < Some(nodes));
    change_sets(&mut world, |set| {
        if let NodeSet::Listed(listed) = set {
            *set = NodeSet::of(listed.iter().copied().filter(|node| *node < nodes));
        }
    });
    world
}

/// Changes the sets of nodes of all network rules.
fn change_sets(world: &mut ChaosWorld, change: impl Fn(&mut NodeSet)) {
    for (_, fault) in &mut world.faults {
        if let Fault::Rule(rule) = fault {
            change(&mut rule.from);
            change(&mut rule.to);
        }
    }
}

const SIMPLIFICATIONS: &[fn(&mut ChaosWorld)] = &[
    |world| {
        if world.attacks().is_empty() {
            (world.hostile, world.late_nodes, world.is_calm) = (None, 0, false);
        }
    },
    |world| world.late_nodes = 0,
    |world| world.model = world.model.with_loss_ppm(0),
    |world| world.model = world.model.with_duplicate_ppm(0),
    |world| world.model = world.model.with_reorder_ppm(0),
    |world| world.model = world.model.with_stream_reset_ppm(0),
    |world| {
        // Links of 1 ms. Only loss and resets are kept, each of which has its own step.
        let (loss_ppm, reset_ppm) = (world.model.loss_ppm(), world.model.stream_reset_ppm());
        if let Ok(model) = LinkModel::new(LATENCY, LATENCY) {
            world.model = model.with_loss_ppm(loss_ppm).with_stream_reset_ppm(reset_ppm);
        }
    },
    |world| world.key = None,
    |world| world.has_policy = false,
    |world| world.awaits_reaping = false,
    |world| world.options.transport.compression = false,
    |world| world.options.transport.label.clear(),
    |world| (world.mixed_codecs, world.options.transport.codec) = (false, CodecChoice::Auto),
    |world| world.options.transport.digests = true,
    |world| world.options.serf.snapshot = false,
    |world| {
        let (transport, snapshot) = (world.options.transport.clone(), world.options.serf.snapshot);
        world.options = Options::lan();
        (world.options.transport, world.options.serf.snapshot) = (transport, snapshot);
    },
];

/// Time between the last fault and the end of all faults.
const AFTER_LAST: Duration = Duration::from_secs(5);

const LATENCY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use serf_proto::Config;

    use super::*;
    use crate::chaos::ChaosOptions;
    use crate::hostile::Hostility;

    /// The first world of a swarm that shows `sight`, which then counts as a violation.
    fn failing(sight: &str) -> ChaosWorld {
        let options = ChaosOptions {
            nodes_min: 6,
            nodes_max: 12,
            threads: 1,
            faults_time: Duration::from_secs(60),
            config: Config::new(Options::lan()).unwrap(),
            hostility: Hostility::Never,
            is_swarm: true,
            trace: None,
        };
        let worlds = (1..).map(|seed| ChaosWorld::draw(seed, &options).rejecting(sight));
        worlds.filter(|world| world.faults.len() > 10).find(|world| !world.run(1, None).is_fine()).unwrap()
    }

    #[test]
    fn a_world_that_fails_for_two_of_its_faults_is_shrunk_to_these() {
        let world = failing("a leave while partitioned");
        let shrunk = shrink(&world, 400, &|| false).expect("it fails");
        assert_eq!(shrunk.rule, "Rejected");
        let faults: Vec<&str> = shrunk.world.faults.iter().map(|(_, fault)| fault.kind()).collect();
        assert_eq!(faults, ["cuts", "leaves"], "{:#?}", shrunk.world);
        assert_eq!((shrunk.world.nodes, shrunk.world.key, shrunk.world.model.loss_ppm()), (2, None, 0));
    }

    #[test]
    fn a_shrunk_world_is_repeated_from_its_file() {
        let world = failing("a datagram was cut off by a partition");
        let shrunk = shrink(&world, 100, &|| false).expect("it fails").world;
        let read = ChaosWorld::from_json(&shrunk.to_json().unwrap()).unwrap();
        assert_eq!(read, shrunk);
        let (first, again) = (shrunk.run(1, None), read.run(1, None));
        assert!(!again.is_fine());
        assert_eq!((first.trace_hash, first.violations), (again.trace_hash, again.violations));
    }

    #[test]
    fn a_world_without_a_violation_is_not_shrunk_and_a_halt_ends_it() {
        let world = failing("an event while partitioned");
        assert!(shrink(&world.clone().rejecting("no such sight"), 10, &|| false).is_none());
        let halted = shrink(&world, 100, &|| true).expect("it fails");
        assert_eq!((halted.runs, halted.world), (1, world));
    }
}
