//! The phases of a run: each does something to the cluster and waits until all have noticed.

mod crash;
mod event;
mod flap;
mod idle;
mod join;
mod leave;
mod partition;
mod query;
mod rejoin;
mod restart;
mod rotate;
mod rtt;
mod slow;
mod steps;

use core::fmt;
use core::time::Duration;

use clap::ValueEnum;

pub use self::steps::Figures;
pub(crate) use self::steps::{PhaseSteps, Step};
use crate::bounds::Bounds;
use crate::truth::HostState;
use crate::world::World;

/// One phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Phase {
    /// Nodes start one after another and join, until every node sees every node alive.
    Join,
    /// One node sends a user event, until every node has delivered it.
    Event,
    /// One node asks all, until every node's answer has come. Not among the phases of a run that does not say which.
    Query,
    /// Some nodes crash at once, until every survivor has marked each of them failed.
    Crash,
    /// Some nodes leave gracefully, until every other node has marked each of them left.
    Leave,
    /// The crashed nodes return under their old names, until they and all others see each other alive.
    Rejoin,
    /// A part of the nodes is cut off until both sides have given each other up, then the network heals, until every node
    /// sees every node alive.
    Partition,
    /// All nodes stop at once and start again with nothing but their snapshots, until every node sees every node alive.
    Restart,
    /// Some nodes stall again and again, for the time that `--slow-for` says; then they recover.
    Slow,
    /// Some nodes crash and return again and again, until every node sees every node alive.
    Flap,
    /// The key of the whole cluster is exchanged while events are sent, until everybody has the new one only.
    Rotate,
    /// Nodes find their coordinates, and the round trips that these stand for are compared with the true ones.
    Rtt,
    /// Nothing is done, for the time that `--idle` says.
    Idle,
}

impl Phase {
    /// The phases of a run that does not say which, in their order.
    pub const DEFAULT: [Self; 5] = [Self::Join, Self::Event, Self::Crash, Self::Leave, Self::Rejoin];

    /// The phase's name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Event => "event",
            Self::Query => "query",
            Self::Crash => "crash",
            Self::Leave => "leave",
            Self::Rejoin => "rejoin",
            Self::Partition => "partition",
            Self::Restart => "restart",
            Self::Slow => "slow",
            Self::Flap => "flap",
            Self::Rotate => "rotate",
            Self::Rtt => "rtt",
            Self::Idle => "idle",
        }
    }

    /// Every phase, in the order in which they are run.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// What happens, in a line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Join => "nodes arrive one after another and join, until every node sees every node",
            Self::Event => "one node sends a user event, until every node has delivered it",
            Self::Query => "one node asks all, until every answer has come; the silent are asked again",
            Self::Crash => "some nodes stop at once, until every survivor has marked them failed",
            Self::Leave => "some nodes leave gracefully, until all others have marked them left",
            Self::Rejoin => "the crashed return under their old names, until all see each other",
            Self::Partition => "the network is cut in two until both sides have given each other up, then it heals",
            Self::Restart => "all nodes stop at once and find each other again by their snapshots alone",
            Self::Slow => "some nodes stall again and again; who is taken for failed, with and without Lifeguard?",
            Self::Flap => "some nodes crash and return again and again",
            Self::Rotate => "the cluster's key is exchanged while events are sent",
            Self::Rtt => "how well the nodes' coordinates estimate round-trip times",
            Self::Idle => "nothing is done for a time",
        }
    }

    /// The options that are for it alone.
    pub const fn options(self) -> &'static str {
        match self {
            Self::Join => "--join-spread",
            Self::Event => "--event-bytes",
            Self::Query => "--query-relays --query-answer-bytes",
            Self::Crash => "--crash-fraction",
            Self::Leave => "--leave-fraction",
            Self::Rejoin => "",
            Self::Partition => "--partition-fraction --partition-for",
            Self::Restart => "--restart-fraction --restart-down --restart-spread",
            Self::Slow => "--slow-fraction --slow-by --slow-gap --slow-for --no-lifeguard",
            Self::Flap => "--flap-fraction --flap-count --flap-every",
            Self::Rotate => "--query-relays",
            Self::Rtt => "--geometry --rtt-error",
            Self::Idle => "--idle",
        }
    }

    /// What is waited for in the end, in a few words.
    pub const fn goal(self) -> &'static str {
        match self {
            Self::Join => "every node sees every node alive",
            Self::Event => "every node has delivered one user event",
            Self::Query => "every node's answer has come to the asker",
            Self::Crash => "every survivor sees the crashed as failed",
            Self::Leave => "all others see the leavers as left",
            Self::Rejoin => "returned and others see each other alive",
            Self::Partition | Self::Restart | Self::Slow | Self::Flap => "every node sees every node alive",
            Self::Rotate => "every node has delivered every event",
            Self::Rtt => "nothing, nodes probe each other",
            Self::Idle => "nothing, time just passes",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What phases need to know.
#[derive(Clone, Debug)]
pub struct PhaseSettings {
    /// Over how much virtual time the nodes of a cold start arrive.
    pub join_spread: Duration,
    /// How many nodes of a million crash; at least one does.
    pub crash_ppm: u32,
    /// How many nodes of a million leave; at least one does.
    pub leave_ppm: u32,
    /// How many bytes the user event carries.
    pub event_bytes: u32,
    /// Over how many other nodes each answer to the query goes.
    pub query_relays: u8,
    /// How many bytes each answer to the query carries.
    pub query_answer_bytes: u32,
    /// How many nodes of a million a partition cuts off; at least one, and never all.
    pub partition_ppm: u32,
    /// How long the partition lasts; zero: until both sides have given each other up.
    pub partition_for: Duration,
    /// How many nodes of a million stop and start again; at least one does.
    pub restart_ppm: u32,
    /// How long they stay down.
    pub restart_down: Duration,
    /// Over how much time they start again.
    pub restart_spread: Duration,
    /// How many nodes of a million are slow; at least one is, and never all.
    pub slow_ppm: u32,
    /// How long a slow node stalls each time.
    pub slow_by: Duration,
    /// How long it runs between two stalls.
    pub slow_gap: Duration,
    /// How long nodes are slow.
    pub slow_for: Duration,
    /// How many nodes of a million crash and return again and again; at least one does, and never all.
    pub flap_ppm: u32,
    /// How often each of them crashes.
    pub flap_count: u32,
    /// How long it is from crash to crash, about; a node is down for half of it.
    pub flap_every: Duration,
    /// What the median relative error of estimated round trips may be in the end, in parts per million.
    pub rtt_error_ppm: u32,
    /// How long the idle phase lasts.
    pub idle: Duration,
}

impl Default for PhaseSettings {
    fn default() -> Self {
        Self {
            join_spread: Duration::from_secs(10),
            crash_ppm: 10_000,
            leave_ppm: 10_000,
            event_bytes: 32,
            query_relays: 0,
            query_answer_bytes: 32,
            partition_ppm: 500_000,
            partition_for: Duration::ZERO,
            restart_ppm: 1_000_000,
            restart_down: Duration::from_secs(1),
            restart_spread: Duration::from_secs(2),
            slow_ppm: 100_000,
            slow_by: Duration::from_secs(16),
            slow_gap: Duration::from_millis(64),
            slow_for: Duration::from_secs(120),
            flap_ppm: 10_000,
            flap_count: 4,
            flap_every: Duration::from_secs(40),
            rtt_error_ppm: 200_000,
            idle: Duration::ZERO,
        }
    }
}

/// How a phase began.
pub(crate) enum PhaseStart {
    /// It runs until its goal is reached, at the latest for this long.
    Until(Duration),
    /// It goes step by step.
    Steps(Box<dyn PhaseSteps>),
    /// It makes no sense here, and why.
    Skipped(&'static str),
}

impl Phase {
    pub(crate) fn begin(self, world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
        match self {
            Self::Join => join::begin(world, settings, bounds),
            Self::Event => event::begin(world, settings, bounds),
            Self::Query => query::begin(world, settings, bounds),
            Self::Crash => crash::begin(world, settings, bounds),
            Self::Leave => leave::begin(world, settings, bounds),
            Self::Rejoin => rejoin::begin(world, bounds),
            Self::Partition => partition::begin(world, settings, bounds),
            Self::Restart => restart::begin(world, settings, bounds),
            Self::Slow => slow::begin(world, settings, bounds),
            Self::Flap => flap::begin(world, settings, bounds),
            Self::Rotate => rotate::begin(world, settings, bounds),
            Self::Rtt => rtt::begin(world, settings, bounds),
            Self::Idle => idle::begin(world, settings),
        }
    }
}

/// Some of those that are up: `ppm` of a million of all nodes, at least one, and never the last one.
fn draw_victims(world: &mut World, ppm: u32) -> Vec<u32> {
    let up = u32::try_from(world.all(HostState::Up).len()).unwrap_or(u32::MAX);
    let share = u64::from(world.nodes()) * u64::from(ppm) / 1_000_000;
    let wanted = u32::try_from(share).unwrap_or(u32::MAX).max(1);
    world.draw_up(wanted.min(up.saturating_sub(1)))
}

/// How many nodes `ppm` of a million of those that are up come to, at least one if there is any.
fn share_of_up(world: &World, ppm: u32) -> usize {
    let up = world.all(HostState::Up).len();
    (up * ppm as usize / 1_000_000).max(1).min(up)
}
