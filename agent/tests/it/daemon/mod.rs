//! The agent as a daemon: what its operator, its supervisor and its network see of it.

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
mod stalls;
mod supervisor;
