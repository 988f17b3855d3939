//! The simulated world, as its owner sees it: a number of hosts, and time that passes.

mod attacker;
mod command;
mod counters;
mod fault;
mod goal;
mod judge;
mod replay;

use core::time::Duration;

use serf_proto::{Config, Instant, Node, Rng};

pub use self::fault::Fault;
use crate::engine::{self, Progress, Stop};
use crate::host::Host;
use crate::net::LinkModel;
use crate::shard::Shard;
use crate::shared::{Settings, Shared};
use crate::truth::Aim;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// How many nodes there are. At least 1.
    pub nodes: u32,
    /// The seed of all randomness: equal seeds give equal runs.
    pub seed: u64,
    /// How many threads run it. The result does not depend on it.
    pub threads: u32,
    /// The nodes' settings.
    pub config: Config,
    /// Whether every second node speaks HashiCorp's codec only, whatever the settings say.
    pub mixed_codecs: bool,
    /// How links behave.
    pub model: LinkModel,
    /// Whether the checkers watch.
    pub has_checks: bool,
    /// Whether there is one more host behind the last node, from which [`Fault::Assault`] comes.
    pub has_hostile: bool,
}

/// A number of hosts with a node each, and the network between them.
#[derive(Debug)]
pub struct World {
    shared: Shared,
    shards: Vec<Shard>,
    now: Instant,
    rng: Rng,
    /// Faults and changes planned for later, in the order of their times.
    planned: Vec<(Instant, Fault)>,
    /// Tells events and roles apart.
    commands_given: u32,
}

impl World {
    /// A world in which no node has started yet.
    pub fn new(options: WorldOptions) -> Self {
        let WorldOptions { nodes, seed, threads, config, mixed_codecs, model, has_checks, has_hostile } = options;
        let shards = threads.clamp(1, nodes.max(1));
        let settings = Settings::new(config, mixed_codecs);
        let shared = Shared::new(nodes.max(1), shards, seed, settings, model, has_checks, has_hostile);
        Self {
            shards: (0..shards).map(|index| Shard::new(index, &shared)).collect(),
            rng: shared.plan_rng(),
            shared,
            now: Instant::ZERO,
            planned: Vec::new(),
            commands_given: 0,
        }
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.run(until, &mut |_| false) != Stop::TimeOver {}
    }

    /// The virtual time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How many hosts there are.
    pub const fn nodes(&self) -> u32 {
        self.shared.nodes
    }

    /// The node of a host, if its process runs.
    pub fn node(&self, node: u32) -> Option<&Node> {
        self.host(node).process.node.as_ref()
    }

    /// The node of a host, to give it inputs without the network. What it wants done must be done by the caller.
    pub(crate) fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.shards[self.shared.shard(node)].hosts[self.shared.local(node)].process.node.as_mut()
    }

    /// Runs until `until`, or until the goal is reached. Stops at what is planned and goes on.
    pub(crate) fn run(&mut self, until: Instant, on_progress: &mut dyn FnMut(Progress) -> bool) -> Stop {
        let goal = (self.shared.goal.aim != Aim::Nothing).then_some(self.shared.goal.total);
        loop {
            while let Some((at, _)) = self.planned.first()
                && *at <= self.now
            {
                let (_, fault) = self.planned.remove(0);
                self.inject(fault);
            }
            let cut = self.planned.first().map_or(until, |(at, _)| until.min(*at));
            let (now, stop) = engine::run(&mut self.shards, &self.shared, self.now, cut, goal, on_progress);
            self.now = now;
            if stop != Stop::TimeOver || now >= until {
                return stop;
            }
        }
    }

    /// The RNG of what is done to the world.
    pub(crate) const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn host(&self, node: u32) -> &Host {
        &self.shards[self.shared.shard(node)].hosts[self.shared.local(node)]
    }
}
