//! A deterministic simulator that runs thousands of virtual Serf nodes in one process.
//!
//! Every node is the real protocol of [`serf_proto`] with real packets; only time and the network are virtual. A
//! [`World`] holds the hosts and advances the virtual time; a [`Scenario`] runs phases, such as a join or a crash, and
//! measures how long the cluster takes to notice; checkers test every node against the protocol's invariants. Equal
//! seeds give equal runs for any number of threads, which [`World::trace_hash`] proves.
//!
//! `docs/simulator.md` describes windows, shards, the event queue, the checks, and what is not modelled.
//!
//! # The modules
//!
//! | module | content |
//! |---|---|
//! | `queue`, `scheduled` | pending payloads and their total order |
//! | `engine`, `barrier` | runs the shards window by window |
//! | `shard`, `host`, `route` | the nodes of one thread, one host, the routing of its outputs |
//! | `net` | the network model and its rules |
//! | `world` | commands, faults, goals |
//! | `phase`, `scenario`, `bounds` | the phases of a run, and their deadlines |
//! | `check`, `truth` | invariants, and the true state that views are checked against |
//! | `chaos`, `hostile` | randomly drawn worlds, and a hostile member |
//! | `report`, `tally`, `histogram` | counters and their output |
//! | `results` | results files, for sweeps, comparisons and reports |
//! | `experiment` | scenario files, sweeps, shards |
//! | `series`, `notes`, `explain` | time series of a run, and the timeline of one member |
//! | `witness` | what happened in a world since its start |
//! | `stats`, `compare` | intervals over seeds, comparison of two settings |
//! | `chart`, `page`, `vega` | charts, HTML pages |
//! | `cli` | the command line |

#![forbid(unsafe_code)]

mod addressing;
mod allocations;
mod barrier;
mod bench;
mod bounds;
mod chaos;
mod chart;
mod check;
mod cli;
mod command;
mod compare;
mod content;
mod digest;
mod disk;
mod engine;
mod estimate;
mod experiment;
mod explain;
mod histogram;
mod host;
mod hostile;
mod layout;
mod net;
mod notes;
mod observe;
mod page;
mod parse;
mod phase;
mod phase_bar;
mod profile;
mod queue;
mod recorder;
mod report;
pub mod results;
mod route;
mod scenario;
mod scheduled;
mod series;
mod shard;
mod shard_queues;
mod shared;
mod stats;
mod tally;
mod truth;
mod usage;
mod vega;
mod witness;
mod world;

pub use chaos::{ChaosOptions, ChaosReport, ChaosWorld, HostileReport, Shrunk, Sight, Unseen, chaos, shrink};
pub use check::{Finding, Violation};
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
