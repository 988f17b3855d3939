//! Integration tests of the agent, its command line and its RPC, as one program: each further program would be linked
//! separately.

mod cli_vectors;
mod gossip_thread;
mod live;
mod ports;
mod rpc_vectors;
mod support;

#[cfg(unix)]
mod agent;
#[cfg(unix)]
mod beyond;
#[cfg(unix)]
mod clients;
#[cfg(unix)]
mod daemon;
#[cfg(unix)]
mod operator;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod rpc;
