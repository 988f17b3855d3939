//! The agent as a daemon, as seen by its operator, its supervisor and its network.

mod clients;
mod discovery;
mod environment;
mod force_leave;
mod go_runtime;
mod handlers;
mod joins;
mod log;
mod metrics;
mod names;
mod partition;
mod seeds;
mod stalls;
mod supervisor;
