//! The `serf` binary as a library: the RPC protocol and its client, the configuration, event handlers and the log of an
//! agent, the command line, and the agent itself.

mod agent;
pub mod cli;
pub mod config;
pub mod duration;
pub mod endpoint;
pub mod handler;
#[doc(hidden)]
pub mod internals;
pub mod log;
pub mod rpc;
pub mod tags;

mod budget;
mod dns;
mod doctor;
mod flags;
mod json;
mod mdns;
mod places;
mod platform;
mod quote;
mod tally;
