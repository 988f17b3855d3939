//! A deterministic simulator that runs thousands of virtual Serf nodes in one process.
//!
//! Every node is the real protocol of [`serf_proto`] with real packets; only time and the network are virtual. A
//! [`World`] holds the hosts and advances the virtual time; a [`Scenario`] runs phases, such as a join or a crash, and
//! measures how long the cluster takes to notice; checkers test every node against the protocol's invariants. Equal
//! seeds give equal runs for any number of threads, which [`World::trace_hash`] proves.
//!
//! `docs/simulator.md` describes windows, shards, the event queue, the checks, and what is not modelled.
//!
//! Thousands of nodes with the logic of a service: [`World::with_apps`].
//!
//! # Features
//!
//! | feature | content |
//! |---|---|
//! | `cli` (default) | the program `sim`: command line, scenario files, reports |
//! | `agent-config` (default, with `cli`) | `agent_config` in scenario files, read as an agent does |
//! | `replay` (default, with `cli`) | `sim replay`: captures of real nodes |
//! | `count-allocations` | `sim bench` also counts allocations |
//!
//! A test that needs worlds only depends on this crate with `default-features = false`.
//!
//! # The modules
//!
//! | module | content |
//! |---|---|
//! | `queue`, `scheduled` | pending payloads and their total order |
//! | `engine`, `barrier` | runs the shards window by window |
//! | `shard`, `host`, `clock`, `route` | the nodes of one thread, one host and its clock, the routing of its outputs |
//! | `net` | the network model and its rules |
//! | `world` | commands, faults, goals |
//! | `app` | applications on the nodes |
//! | `phase`, `scenario`, `bounds` | the phases of a run, and their deadlines |
//! | `check`, `truth` | invariants, and the true state that views are checked against |
//! | `chaos`, `hostile` | randomly drawn worlds, and a hostile member |
//! | `report`, `tally`, `histogram` | counters and their output |
//! | `results` | results files, for sweeps, comparisons and reports |
//! | `experiment` | scenario files, sweeps, shards |
//! | `series`, `notes`, `explain` | time series of a run, and the timeline of one member |
//! | `witness` | what happened in a world since its start |
//! | `stats`, `compare` | intervals over seeds, comparison of two settings |
//! | `replay` | captures of real nodes: replay and timeline |
//! | `chart`, `page`, `vega` | charts, HTML pages |
//! | `cli` | the command line |

#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        reason = "only scenario files and the command line use some of the world's commands and measurements"
    )
)]

mod addressing;
mod allocations;
mod app;
mod barrier;
#[cfg(feature = "cli")]
mod bench;
mod bounds;
mod chaos;
#[cfg(feature = "cli")]
mod chart;
mod check;
#[cfg(feature = "cli")]
mod cli;
mod clock;
mod command;
#[cfg(feature = "cli")]
mod compare;
mod content;
mod digest;
mod disk;
mod engine;
#[cfg(feature = "cli")]
mod estimate;
#[cfg(feature = "cli")]
mod experiment;
mod explain;
mod histogram;
mod host;
mod hostile;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod internals;
mod layout;
mod net;
mod notes;
mod observe;
#[cfg(feature = "cli")]
mod page;
#[cfg(feature = "cli")]
mod parse;
mod phase;
#[cfg(feature = "cli")]
mod phase_bar;
#[cfg(feature = "cli")]
mod profile;
mod queue;
mod recorder;
#[cfg(feature = "replay")]
mod replay;
mod report;
pub mod results;
mod route;
mod scenario;
mod scheduled;
mod series;
mod shard;
mod shard_queues;
mod shared;
#[cfg(feature = "cli")]
mod stats;
mod tally;
mod truth;
mod usage;
#[cfg(feature = "cli")]
mod vega;
mod witness;
mod world;

pub use app::{App, AppHandle};
pub use chaos::{ChaosOptions, ChaosReport, ChaosWorld, HostileReport, Shrunk, Sight, Unseen, chaos, shrink};
pub use check::{Finding, Violation};
#[cfg(feature = "cli")]
pub use cli::main;
pub use command::{KeyChange, QueryParams};
pub use engine::Progress;
pub use hostile::{Attack, Hostility};
pub use layout::Layout;
pub use net::{Bursts, Effect, Latency, Link, LinkModel, LinkModelError, NodeSet, Rule, Topology};
pub use phase::{Figures, Phase, PhaseSettings};
pub use recorder::Recording;
pub use report::{AntiEntropy, Cost, Outcome, PhaseReport, Reached, Report, Setup, Spread, StepReport, SubjectReport};
pub use scenario::{Monitor, Scenario, Unwatched};
pub use series::{Flow, Series};
pub use world::{Fault, World, WorldOptions};
