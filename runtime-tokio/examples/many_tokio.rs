//! Measures many nodes in one process: `cargo run --release -p serf-tokio --example many_tokio`.
use tokio::runtime::Builder;
fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut b = if std::env::var("ONE").is_ok() { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    b.enable_all().build()?.block_on(serf_tests::many::measure::<serf_tokio::Tokio>())
}
