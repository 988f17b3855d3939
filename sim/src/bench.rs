//! `sim bench`: measures the cost of the simulator at several sizes and prints one table.

use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

use serf_proto::{Config, ConfigError, Options};

use crate::allocations;
use crate::net::LinkModel;
use crate::phase::{Phase, PhaseSettings};
use crate::report::PhaseReport;
use crate::scenario::{Scenario, Unwatched};
use crate::usage;
use crate::world::{World, WorldOptions};

/// Runs all measurements and prints the table.
pub(crate) fn run() -> ExitCode {
    println!("One thread, lan profile, 10 % loss, latency 1 to 20 ms, checks off. Idle and crash start converged.\n");
    println!(
        "  {:6} {:>6} {:>10} {:>9} {:>14} {:>12} {:>12} {:>16} {:>11}",
        "what",
        "nodes",
        "virtual s",
        "wall s",
        "wall/virtual s",
        "datagrams",
        "ns/datagram",
        "allocs/datagram",
        "bytes/pair"
    );
    for (phase, nodes) in CASES {
        match measure(phase, nodes) {
            Ok(row) => println!("{row}"),
            Err(error) => {
                eprintln!("sim: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("\n  bytes/pair: memory that the world added, per node and member it knows, at the end of the phase");
    if allocations::count().is_none() {
        println!("  allocs/datagram: counted by `cargo run -p sim --features count-allocations -- bench`");
    }
    ExitCode::SUCCESS
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn measure(phase: Phase, nodes: u32) -> Result<String, ConfigError> {
    let config = Config::new(Options::lan().hashicorp_pace())?;
    let latencies = (Duration::from_millis(1), Duration::from_millis(20));
    let model = LinkModel::new(latencies.0, latencies.1).expect("1 ms is above zero and below 20 ms");
    let memory_before = usage::memory_bytes();
    let mut world = World::new(WorldOptions {
        nodes,
        seed: 1,
        threads: 1,
        config: config.clone(),
        mixed_codecs: false,
        model: model.with_loss_ppm(100_000),
        has_checks: false,
        has_hostile: false,
    });
    let scenario = Scenario {
        phases: vec![phase],
        settings: PhaseSettings { idle: IDLE, ..PhaseSettings::default() },
        is_converged: phase != Phase::Join,
        virtual_max: Some(VIRTUAL_MAX),
    };
    let allocations_before = allocations::count();
    let began = Instant::now();
    let reports: Vec<PhaseReport> = scenario.run(&mut world, &config, &mut Unwatched);
    let wall = began.elapsed().as_secs_f64();
    let allocated = allocations::count().zip(allocations_before).map(|(after, before)| after - before);
    let virtual_s = world.now().as_secs_f64();
    let delivered: u64 = reports.iter().map(|report| report.datagrams_delivered).sum();
    let added = usage::memory_bytes().zip(memory_before).map(|(after, before)| after.saturating_sub(before));
    let pair = added.map_or_else(|| "-".to_owned(), |added| format!("{:.1}", added as f64 / f64::from(nodes).powi(2)));
    let per_datagram =
        allocated.map_or_else(|| "-".to_owned(), |count| format!("{:.3}", count as f64 / delivered.max(1) as f64));
    Ok(format!(
        "  {:6} {nodes:>6} {virtual_s:>10.2} {wall:>9.3} {:>14.5} {delivered:>12} {:>12.0} {per_datagram:>16} {pair:>11}",
        phase.name(),
        wall / virtual_s,
        wall * 1e9 / delivered.max(1) as f64,
    ))
}

/// Cases in order of measurement. The largest last, because freed memory is not returned to the system.
const CASES: [(Phase, u32); 8] = [
    (Phase::Join, 100),
    (Phase::Idle, 100),
    (Phase::Crash, 100),
    (Phase::Join, 1_000),
    (Phase::Idle, 1_000),
    (Phase::Crash, 1_000),
    (Phase::Idle, 5_000),
    (Phase::Crash, 5_000),
];

const IDLE: Duration = Duration::from_secs(60);

const VIRTUAL_MAX: Duration = Duration::from_secs(300);
