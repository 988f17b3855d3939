//! Measures many nodes in one process: `cargo run --release -p serf-tokio --example many_tokio`.

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    serf_tests::many::measure::<serf_tokio::Tokio>().await
}
