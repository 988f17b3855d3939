//! The model that stateright's checkers explore.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stateright::{Model, Property};

use crate::peace::Settled;
use crate::plan::Plan;
use crate::rules::Rule;
use crate::step::Action;
use crate::world::World;

/// A plan with all interleavings of its worlds.
#[derive(Clone, Debug)]
pub struct Explorer {
    plan: Arc<Plan>,
    settled: Arc<Settled>,
    counts: Arc<Counts>,
}

/// Counts of what was seen, so that a rule that holds because nothing happens does not go unnoticed.
#[derive(Debug, Default)]
struct Counts {
    accused: AtomicU64,
    ends: AtomicU64,
    peaces: AtomicU64,
}

/// What was seen in an exploration. States that were reached several times count several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// States in which a live member was accused.
    pub accused: u64,
    /// States at the horizon.
    pub ends: u64,
    /// Runs without faults.
    pub peaces: u64,
    /// Different states on these runs.
    pub settled: u64,
}

impl Explorer {
    /// The model of a plan.
    pub fn new(plan: Plan) -> Self {
        Self { plan: Arc::new(plan), settled: Arc::default(), counts: Arc::default() }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Seen {
            accused: count(&self.counts.accused),
            ends: count(&self.counts.ends),
            peaces: count(&self.counts.peaces),
            settled: self.settled.len() as u64,
        }
    }

    /// Follows a state by a run without faults, if it is at the horizon, or a live member is accused in it.
    fn look_ahead(&self, world: &mut World) {
        let is_end = world.elapsed() >= self.plan.horizon;
        let is_accused = world.has_false_accusation(&self.plan);
        let add = |count: &AtomicU64, is: bool| count.fetch_add(u64::from(is), Ordering::Relaxed);
        add(&self.counts.ends, is_end);
        add(&self.counts.accused, is_accused);
        if world.finding().is_some() || !(is_end || (is_accused && is_sampled(world, self.plan.sample))) {
            return;
        }
        add(&self.counts.peaces, true);
        if let Some(finding) = world.clone().make_peace(&self.plan, &self.settled) {
            world.note(finding);
        }
    }
}

fn is_sampled(world: &World, every: u64) -> bool {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish().is_multiple_of(every)
}

impl Model for Explorer {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        (0..self.plan.starts).map(|start| World::new(&self.plan, start)).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(&self.plan, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.after(&self.plan, action)?;
        self.look_ahead(&mut world);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Rule::conditions().into_iter().map(|(rule, holds)| Property::always(rule.name(), holds)).collect()
    }
}
