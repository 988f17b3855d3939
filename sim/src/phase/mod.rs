//! The phases of a run: each causes something in the cluster and waits until all nodes have noticed.

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

use serde::{Serialize, Serializer};

pub use self::steps::Figures;
pub(crate) use self::steps::{PhaseSteps, Step};
use crate::bounds::Bounds;
use crate::truth::HostState;
use crate::world::World;

/// One phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Phase {
    /// Nodes start one after another and join, until every node sees every node alive.
    Join,
    /// One node sends a user event, until every node has delivered it.
    Event,
    /// One node queries all, until every node's answer has arrived. Not part of the default run.
    Query,
    /// Some nodes crash at once, until every survivor has marked each of them failed.
    Crash,
    /// Some nodes leave gracefully, until every other node has marked each of them left.
    Leave,
    /// The crashed nodes return under their old names, until they and all others see each other alive.
    Rejoin,
    /// A part of the nodes is isolated until both sides have declared each other failed, then the network heals, until
    /// every node sees every node alive.
    Partition,
    /// All nodes stop at once and restart with nothing but their snapshots, until every node sees every node alive.
    Restart,
    /// Some nodes stall repeatedly, for the duration of `--slow-for`; then they recover.
    Slow,
    /// Some nodes crash and return repeatedly, until every node sees every node alive.
    Flap,
    /// The cluster's key is rotated while events are sent, until all nodes have the new key only.
    Rotate,
    /// Nodes compute their coordinates; the estimated round trips are compared with the true ones.
    Rtt,
    /// Nothing happens, for the duration of `--idle`.
    Idle,
}

impl Phase {
    /// The phases of the default run, in order.
    pub const DEFAULT: [Self; 5] = [Self::Join, Self::Event, Self::Crash, Self::Leave, Self::Rejoin];

    /// Returns the phase's name in options and reports.
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

    /// Returns all phases in the order of execution.
    pub const fn all() -> &'static [Self] {
        use Phase::{Crash, Event, Flap, Idle, Join, Leave, Partition, Query, Rejoin, Restart, Rotate, Rtt, Slow};
        &[Join, Event, Query, Crash, Leave, Rejoin, Partition, Restart, Slow, Flap, Rotate, Rtt, Idle]
    }

    /// Returns a one-line summary.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Join => "nodes arrive one after another and join, until every node sees every node",
            Self::Event => "one node sends a user event, until every node has delivered it",
            Self::Query => "one node queries all, until every answer has arrived; repeated for silent nodes",
            Self::Crash => "some nodes stop at once, until every survivor has marked them failed",
            Self::Leave => "some nodes leave gracefully, until all others have marked them left",
            Self::Rejoin => "the crashed nodes return under their old names, until all see each other",
            Self::Partition => "the network is split until both sides have declared each other failed, then it heals",
            Self::Restart => "all nodes stop at once and rejoin from their snapshots alone",
            Self::Slow => "some nodes stall repeatedly; counts false failures, with and without Lifeguard",
            Self::Flap => "some nodes crash and return repeatedly",
            Self::Rotate => "the cluster's key is rotated while events are sent",
            Self::Rtt => "measures how well coordinates estimate round-trip times",
            Self::Idle => "nothing happens for a time",
        }
    }

    /// Returns the options that apply to this phase only.
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

    /// Returns the goal of the last step, in a few words.
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

/// Settings of the phases. In their JSON form durations are seconds, shares numbers from 0 to 1, and the names say so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseSettings {
    /// Virtual time over which the nodes of a cold start arrive.
    #[serde(rename = "join_spread_s", serialize_with = "seconds")]
    pub join_spread: Duration,
    /// Share of the nodes that crash, in parts per million; at least one does.
    #[serde(rename = "crash_share", serialize_with = "share")]
    pub crash_ppm: u32,
    /// Share of the nodes that leave, in parts per million; at least one does.
    #[serde(rename = "leave_share", serialize_with = "share")]
    pub leave_ppm: u32,
    /// Payload of the user event, in bytes.
    pub event_bytes: u32,
    /// Number of relays for each answer to the query.
    pub query_relays: u8,
    /// Bytes per answer to the query.
    pub query_answer_bytes: u32,
    /// Share of the nodes that a partition isolates, in parts per million; at least one, never all.
    #[serde(rename = "partition_share", serialize_with = "share")]
    pub partition_ppm: u32,
    /// Duration of the partition; zero: until both sides have declared each other failed.
    #[serde(rename = "partition_for_s", serialize_with = "seconds")]
    pub partition_for: Duration,
    /// Share of the nodes that restart, in parts per million; at least one does.
    #[serde(rename = "restart_share", serialize_with = "share")]
    pub restart_ppm: u32,
    /// Downtime of the restarted nodes.
    #[serde(rename = "restart_down_s", serialize_with = "seconds")]
    pub restart_down: Duration,
    /// Time over which they start again.
    #[serde(rename = "restart_spread_s", serialize_with = "seconds")]
    pub restart_spread: Duration,
    /// Share of the nodes that are slow, in parts per million; at least one, never all.
    #[serde(rename = "slow_share", serialize_with = "share")]
    pub slow_ppm: u32,
    /// Duration of each stall of a slow node.
    #[serde(rename = "slow_by_s", serialize_with = "seconds")]
    pub slow_by: Duration,
    /// Time that a slow node runs between two stalls.
    #[serde(rename = "slow_gap_s", serialize_with = "seconds")]
    pub slow_gap: Duration,
    /// Duration of the stalls in total.
    #[serde(rename = "slow_for_s", serialize_with = "seconds")]
    pub slow_for: Duration,
    /// Share of the nodes that flap, in parts per million; at least one, never all.
    #[serde(rename = "flap_share", serialize_with = "share")]
    pub flap_ppm: u32,
    /// Crashes per flapping node.
    pub flap_count: u32,
    /// Average time between crashes; a node is down for half of it.
    #[serde(rename = "flap_every_s", serialize_with = "seconds")]
    pub flap_every: Duration,
    /// Bound of the median relative error of estimated round trips, in parts per million.
    #[serde(rename = "rtt_error_share", serialize_with = "share")]
    pub rtt_error_ppm: u32,
    /// Duration of the idle phase.
    #[serde(rename = "idle_s", serialize_with = "seconds")]
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

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn share<S: Serializer>(ppm: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(f64::from(*ppm) / 1e6)
}

/// Result of starting a phase.
pub(crate) enum PhaseStart {
    /// Runs until its goal is reached, at most for this time.
    Until(Duration),
    /// Runs in steps.
    Steps(Box<dyn PhaseSteps>),
    /// Not applicable, with the reason.
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

/// Draws nodes that are up: `ppm` parts per million of all nodes, at least one, never the last one.
fn draw_victims(world: &mut World, ppm: u32) -> Vec<u32> {
    let up = u32::try_from(world.all(HostState::Up).len()).unwrap_or(u32::MAX);
    let share = u64::from(world.nodes()) * u64::from(ppm) / 1_000_000;
    let wanted = u32::try_from(share).unwrap_or(u32::MAX).max(1);
    world.draw_up(wanted.min(up.saturating_sub(1)))
}

/// Returns `ppm` parts per million of the nodes that are up, at least one if any is up.
fn share_of_up(world: &World, ppm: u32) -> usize {
    let up = world.all(HostState::Up).len();
    (up * ppm as usize / 1_000_000).max(1).min(up)
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use clap::ValueEnum as _;

    use super::Phase;

    #[test]
    fn all_phases_are_listed_in_their_order() {
        assert_eq!(Phase::all(), Phase::value_variants());
    }
}
