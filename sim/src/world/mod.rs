//! The simulated world: hosts, the network, and virtual time.

mod app;
mod attacker;
mod command;
mod counters;
mod course;
mod fault;
mod goal;
mod inspect;
mod judge;
mod replay;

use core::time::Duration;

use serf_proto::{Config, Instant, Node, Rng};

pub use self::fault::Fault;
use crate::engine::{self, Progress, Stop};
use crate::host::Host;
use crate::layout::Layout;
use crate::net::LinkModel;
use crate::shard::Shard;
use crate::shared::Shared;
use crate::truth::Aim;

/// Options of a world.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Number of nodes. At least 1.
    pub nodes: u32,
    /// The seed of all randomness: equal seeds give equal runs.
    pub seed: u64,
    /// Number of threads. The result does not depend on it.
    pub threads: u32,
    /// The nodes' options.
    pub config: Config,
    /// Whether every second node uses HashiCorp's codec only, whatever `config` says.
    pub mixed_codecs: bool,
    /// Default behaviour of links.
    pub model: LinkModel,
    /// Whether the checkers run.
    pub has_checks: bool,
    /// Whether there is one more host after the last node, the source of [`Fault::Assault`].
    pub has_hostile: bool,
}

/// Hosts with one node each, and the network between them.
#[derive(Debug)]
pub struct World {
    shared: Shared,
    shards: Vec<Shard>,
    now: Instant,
    rng: Rng,
    /// Scheduled faults, sorted by time.
    planned: Vec<(Instant, Fault)>,
    /// Number of commands, which makes events and roles distinct.
    commands_given: u32,
}

impl World {
    /// Creates a world in which no node has started.
    pub fn new(options: WorldOptions) -> Self {
        Self::with_layout(options, Layout::default())
    }

    /// Creates a world whose nodes differ.
    pub fn with_layout(options: WorldOptions, layout: Layout) -> Self {
        let shared = Shared::new(options, layout);
        Self {
            shards: (0..shared.shards).map(|index| Shard::new(index, &shared)).collect(),
            rng: shared.plan_rng(),
            shared,
            now: Instant::ZERO,
            planned: Vec::new(),
            commands_given: 0,
        }
    }

    /// Advances the virtual time.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.run(until, &mut |_| false) != Stop::TimeOver {}
    }

    /// Returns the virtual time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Returns the number of nodes.
    pub const fn nodes(&self) -> u32 {
        self.shared.nodes
    }

    /// Returns the node of a host, if its process runs.
    pub fn node(&self, node: u32) -> Option<&Node> {
        self.host(node).process.node.as_ref()
    }

    /// Returns the node of a host, to pass inputs without the network. The caller must execute its outputs.
    pub(crate) fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.shards[self.shared.shard(node)].hosts[self.shared.local(node)].process.node.as_mut()
    }

    /// Runs until `until`, or until the goal is reached. Injects the scheduled faults on the way.
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

    /// Returns the RNG for injected faults and drawn nodes.
    pub(crate) const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn host(&self, node: u32) -> &Host {
        &self.shards[self.shared.shard(node)].hosts[self.shared.local(node)]
    }
}

/// The largest world: a node knows no more members (`MEMBERS_MAX` of `serf_proto::limits`).
pub(crate) const NODES_MAX: u32 = 1 << 20;
