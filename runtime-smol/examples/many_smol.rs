//! Benchmark of many nodes in one process: `cargo run --release -p serf-smol --example many_smol`.

fn main() -> Result<(), Box<dyn core::error::Error>> {
    smol::block_on(serf_tests::many::measure::<serf_smol::Smol>())
}
