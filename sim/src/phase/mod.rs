//! The phases of a run: each does something to the cluster and waits until all have noticed.

mod crash;
mod event;
mod idle;
mod join;
mod leave;
mod query;
mod rejoin;

use core::fmt;
use core::time::Duration;

use clap::ValueEnum;

use crate::bounds::Bounds;
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
            Self::Idle => "idle",
        }
    }

    /// What is waited for, in a few words.
    pub const fn goal(self) -> &'static str {
        match self {
            Self::Join => "every node sees every node alive",
            Self::Event => "every node has delivered one user event",
            Self::Query => "every node's answer has come to the asker",
            Self::Crash => "every survivor sees the crashed as failed",
            Self::Leave => "all others see the leavers as left",
            Self::Rejoin => "returned and others see each other alive",
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
            idle: Duration::ZERO,
        }
    }
}

/// How a phase began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It runs until its goal is reached, at the latest for this long.
    Until(Duration),
    /// It makes no sense here, and why.
    Skipped(&'static str),
}

impl Phase {
    pub(crate) fn begin(self, world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> Begun {
        match self {
            Self::Join => join::begin(world, settings, bounds),
            Self::Event => event::begin(world, settings, bounds),
            Self::Query => query::begin(world, settings, bounds),
            Self::Crash => crash::begin(world, settings, bounds),
            Self::Leave => leave::begin(world, settings, bounds),
            Self::Rejoin => rejoin::begin(world, bounds),
            Self::Idle => idle::begin(world, settings),
        }
    }
}

/// Some of those that are up: `ppm` of a million of all nodes, at least one, and never the last one.
fn draw_victims(world: &mut World, ppm: u32) -> Vec<u32> {
    let up = u32::try_from(world.all(crate::truth::Standing::Up).len()).unwrap_or(u32::MAX);
    let share = u64::from(world.nodes()) * u64::from(ppm) / 1_000_000;
    let wanted = u32::try_from(share).unwrap_or(u32::MAX).max(1);
    world.draw_up(wanted.min(up.saturating_sub(1)))
}
