//! Runs thousands of virtual Serf nodes in one process, reproducibly.
//!
//! Every node is the real protocol of [`serf_proto`], with real packets; virtual are only time and the network. A
//! [`World`] holds the nodes and lets time pass; a [`Scenario`] does things to them in phases and measures how long the
//! cluster takes to notice; checkers watch every node for broken rules all the while.
//!
//! Equal seeds give equal runs, whatever the number of threads: [`World::trace_hash`] tells.
//!
//! # The parts
//!
//! `queue` holds what is pending; `engine` runs it window by window; a `shard` is one thread's part of the nodes; `net`
//! decides what becomes of packets; `phase` and `scenario` are what is done; `check` is what must hold; `hostile` is a member gone mad; `report` is what
//! is told.

#![forbid(unsafe_code)]

mod addressing;
mod allocations;
mod barrier;
mod bench;
mod bounds;
mod chaos;
mod check;
mod cli;
mod command;
mod content;
mod digest;
mod disk;
mod engine;
mod estimate;
mod histogram;
mod host;
mod hostile;
mod net;
mod observe;
mod phase;
mod phase_bar;
mod queue;
mod recorder;
mod report;
mod route;
mod scenario;
mod scheduled;
mod shard;
mod shard_queues;
mod shared;
mod tally;
mod truth;
mod usage;
mod world;

pub use chaos::{ChaosOptions, ChaosReport, HostileReport, chaos};
pub use check::{Finding, Violation};
pub use cli::main;
pub use command::{KeyChange, QueryParams};
pub use engine::Progress;
pub use hostile::{Attack, Hostility};
pub use net::{Effect, LinkModel, LinkModelError, NodeSet, Rule};
pub use phase::{Figures, Phase, PhaseSettings};
pub use recorder::Recording;
pub use report::{Cost, Outcome, PhaseReport, Reached, Report, Setup, Spread, StepReport};
pub use scenario::{Monitor, Scenario, Unwatched};
pub use world::{Fault, World, WorldOptions};
