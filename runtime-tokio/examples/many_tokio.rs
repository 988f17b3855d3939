//! Benchmark of many nodes in one process: `cargo run --release -p serf-tokio --example many_tokio`.
//!
//! `ONE_THREAD` selects tokio's current-thread scheduler.

use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let one_thread = std::env::var_os("ONE_THREAD").is_some();
    let mut builder = if one_thread { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build()?.block_on(serf_tests::many::measure::<serf_tokio::Tokio>())
}
