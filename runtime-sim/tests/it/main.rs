//! Tests of the simulation itself.

mod faults;
mod hosts;
mod reports;

use core::time::Duration;

use serf_sim::{Apps, Network};
use serf_tokio::Serf;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Hosts with a node and nothing else.
async fn nodes(net: &Network, count: usize) -> Apps<Serf> {
    net.hosts(count, async |host| Serf::start(host.options()).expect("the host is free")).await
}
