//! The claims of the examples, over many seeds.

mod config;
mod deploy;
mod leader;
mod ring;

use core::time::Duration;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
