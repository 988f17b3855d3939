//! `sim chaos`: many worlds drawn by luck, as many at a time as there are processors.

use core::time::Duration;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use serf_proto::{Config, Options};

use super::parse::{NodesRange, duration, nodes_range};
use crate::chaos::{ChaosOptions, ChaosReport, chaos};
use crate::usage;

#[derive(Args, Clone, Debug)]
pub(super) struct ChaosCli {
    /// How many worlds.
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    seeds: u64,

    /// The seed of the first; the others follow it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first_seed: u64,

    /// How many nodes each has, drawn from this range.
    #[arg(long, value_name = "MIN..MAX", default_value = "4..40", value_parser = nodes_range)]
    nodes: NodesRange,

    /// For how much virtual time faults strike.
    #[arg(long = "for", value_name = "DURATION", default_value = "2m", value_parser = duration)]
    faults_time: Duration,

    /// Prints everything that goes in and comes out of this node (from 0) of every world to the standard error stream. For --seeds 1.
    #[arg(long, value_name = "NODE")]
    trace: Option<u32>,

    /// Prints the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What came of all worlds. The keys of its JSON form are stable: they may be added to, not changed.
#[derive(Debug, Serialize)]
struct Summary {
    seeds: u64,
    first_seed: u64,
    nodes: u64,
    node_seconds: f64,
    virtual_s: f64,
    faults: BTreeMap<&'static str, u64>,
    suspicions: u64,
    failed: Vec<Failed>,
    wall_s: f64,
    cpu_s: Option<f64>,
}

/// A world in which something was wrong.
#[derive(Debug, Serialize)]
struct Failed {
    seed: u64,
    nodes: u32,
    violations: Vec<String>,
    deaf: Vec<u32>,
}

/// Runs them all and prints what came of it.
pub(super) fn run(cli: &ChaosCli) -> Result<ExitCode, String> {
    let config = Config::new(Options::lan().hashicorp_pace()).map_err(|error| error.to_string())?;
    let NodesRange { min, max } = cli.nodes;
    let options =
        ChaosOptions { nodes_min: min, nodes_max: max, faults_time: cli.faults_time, config, trace: cli.trace };
    let began = Instant::now();
    let mut reports = run_all(cli, &options);
    reports.sort_by_key(|report| report.seed);
    let summary = summarize(cli, &reports, began.elapsed().as_secs_f64());
    if cli.json {
        let json = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
        println!("{json}");
    } else {
        print(&summary);
    }
    Ok(if summary.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One world a thread: unlike the windows of one large world, they never wait for each other.
fn run_all(cli: &ChaosCli, options: &ChaosOptions) -> Vec<ChaosReport> {
    let (next, reports) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= cli.seeds {
                        return;
                    }
                    let report = chaos(cli.first_seed.wrapping_add(nth), options);
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                }
            });
        }
    });
    reports.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn summarize(cli: &ChaosCli, reports: &[ChaosReport], wall_s: f64) -> Summary {
    let mut faults = BTreeMap::new();
    for (_, fault) in reports.iter().flat_map(|report| &report.faults) {
        *faults.entry(fault.kind()).or_insert(0) += 1;
    }
    let failed = reports.iter().filter(|report| !report.is_fine()).map(|report| Failed {
        seed: report.seed,
        nodes: report.nodes,
        violations: report.violations.iter().map(ToString::to_string).collect(),
        deaf: report.deaf.clone(),
    });
    let seconds = |report: &ChaosReport| report.virtual_time.as_secs_f64();
    Summary {
        seeds: cli.seeds,
        first_seed: cli.first_seed,
        nodes: reports.iter().map(|report| u64::from(report.nodes)).sum(),
        node_seconds: reports.iter().map(|report| f64::from(report.nodes) * seconds(report)).sum(),
        virtual_s: reports.iter().map(seconds).sum(),
        faults,
        suspicions: reports.iter().map(|report| report.suspicions).sum(),
        failed: failed.collect(),
        wall_s,
        cpu_s: usage::cpu_seconds(),
    }
}

fn print(summary: &Summary) {
    let Summary { seeds, nodes, virtual_s, suspicions, wall_s, .. } = summary;
    println!("{seeds} worlds, {nodes} nodes, {virtual_s:.0} virtual s, from seed {}", summary.first_seed);
    let faults: Vec<String> = summary.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("What befell them: {}", faults.join(", "));
    println!("Suspicions raised: {suspicions}");
    let cpu = summary.cpu_s.map(|cpu| format!(", {cpu:.1} s processor")).unwrap_or_default();
    println!("{wall_s:.1} s wall{cpu}");
    for Failed { seed, nodes, violations, deaf } in &summary.failed {
        println!("\nFAILED: seed {seed}, {nodes} nodes");
        violations.iter().for_each(|violation| println!("  {violation}"));
        deaf.iter().for_each(|node| println!("  node {node} did not hear the event that was sent at the end"));
    }
    let failed = summary.failed.len();
    println!(
        "{}",
        if failed == 0 {
            "All rules held, and all agreed in the end.".to_owned()
        } else {
            format!("\n{failed} failed.")
        }
    );
}
