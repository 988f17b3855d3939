//! `sim chaos`: randomly drawn worlds, in parallel, one per processor.

use core::time::Duration;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serf_proto::{Config, Options};

use crate::addressing::name_of;
use crate::chaos::{ChaosOptions, ChaosReport, chaos};
use crate::hostile::{Attack, Hostility};
use crate::parse::{NodesRange, duration, nodes_range};
use crate::{allocations, usage};

#[derive(Args, Clone, Debug)]
pub(super) struct ChaosCli {
    /// Number of worlds.
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    seeds: u64,

    /// Seed of the first world; the others have the following seeds.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first_seed: u64,

    /// Number of nodes per world, drawn from this range.
    #[arg(long, value_name = "MIN..MAX", default_value = "4..40", value_parser = nodes_range)]
    nodes: NodesRange,

    /// Virtual time during which faults are injected.
    #[arg(long = "for", value_name = "DURATION", default_value = "2m", value_parser = duration)]
    faults_time: Duration,

    /// Which worlds also have a hostile member: drawn, every second one at random; always; never; or always with
    /// attacks of one kind only: accuse, exalt, clocks, bombs, crowds, ghosts, denial, replays, pings, relays, leaves,
    /// thefts, conflicts, filters, askers, nested, silence, or hordes, which is never drawn.
    #[arg(long, value_name = "WHICH", default_value = "drawn", value_parser = hostility)]
    hostile: Hostility,

    /// Prints all inputs and outputs of this node (from 0) of every world to stderr. For --seeds 1.
    #[arg(long, value_name = "NODE")]
    trace: Option<u32>,

    /// Prints the report as one JSON object.
    #[arg(long)]
    json: bool,

    /// Suppresses the progress.
    #[arg(long)]
    quiet: bool,
}

/// Results of all worlds. The keys of its JSON form are stable: they may be added to, not changed.
#[derive(Debug, Serialize)]
struct Summary {
    seeds: u64,
    /// Worlds that were completed: fewer than `seeds` after Ctrl-C.
    worlds: usize,
    first_seed: u64,
    nodes: u64,
    node_seconds: f64,
    virtual_s: f64,
    faults: BTreeMap<&'static str, u64>,
    suspicions: u64,
    hostile: Hostile,
    failed: Vec<Failed>,
    wall_s: f64,
    cpu_s: Option<f64>,
}

impl Summary {
    /// Whether worlds are missing because the run was stopped.
    fn is_interrupted(&self) -> bool {
        (self.worlds as u64) < self.seeds
    }
}

/// Hostile members and their effects.
#[derive(Debug, Default, Serialize)]
struct Hostile {
    worlds: u64,
    attacks: BTreeMap<&'static str, u64>,
    datagrams: u64,
    bytes_in: u64,
    bytes_out: u64,
    worst_answer: (u64, u64),
    content_bytes_max: usize,
    heap_bytes_a_node_max: Option<i64>,
}

/// A failed world.
#[derive(Debug, Serialize)]
struct Failed {
    seed: u64,
    nodes: u32,
    violations: Vec<String>,
    deaf: Vec<u32>,
    hostile: Option<Culprit>,
}

/// The hostile member of a failed world.
#[derive(Debug, Serialize)]
struct Culprit {
    node: String,
    joined: bool,
    /// Its attacks up to the first violation, the latest first.
    attacks: Vec<&'static str>,
}

/// Runs all worlds and prints the results.
pub(super) fn run(cli: &ChaosCli) -> Result<ExitCode, String> {
    let config = Config::new(Options::lan()).map_err(|error| error.to_string())?;
    let NodesRange { min, max } = cli.nodes;
    let options = ChaosOptions {
        nodes_min: min,
        nodes_max: max,
        threads: 1,
        faults_time: cli.faults_time,
        config,
        hostility: cli.hostile,
        trace: cli.trace,
    };
    let began = Instant::now();
    let halt = super::halt_on_interrupt();
    let mut reports = run_all(cli, &options, &halt);
    reports.sort_by_key(|report| report.seed);
    let summary = summarize(cli, &reports, began.elapsed().as_secs_f64());
    if cli.json {
        let json = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
        println!("{json}");
    } else {
        print(&summary);
    }
    Ok(match (summary.failed.is_empty(), summary.is_interrupted()) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(super::EXIT_INTERRUPTED),
        (true, false) => ExitCode::SUCCESS,
    })
}

/// One world per thread: unlike the windows of one large world, worlds never wait for each other.
/// Stops starting worlds when `halt` is raised; those that run are completed.
fn run_all(cli: &ChaosCli, options: &ChaosOptions, halt: &AtomicBool) -> Vec<ChaosReport> {
    let bar = progress_bar(cli);
    let failed = AtomicU64::new(0);
    let (next, reports) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let processors = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    // All threads share one heap: the growth by one world is measurable only if it runs alone.
    let threads = if allocations::live_bytes().is_some() { 1 } else { processors };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= cli.seeds || halt.load(Ordering::Relaxed) {
                        return;
                    }
                    let report = chaos(cli.first_seed.wrapping_add(nth), options);
                    failed.fetch_add(u64::from(!report.is_fine()), Ordering::Relaxed);
                    bar.set_message(format!("{} failed", failed.load(Ordering::Relaxed)));
                    bar.inc(1);
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                }
            });
        }
    });
    bar.finish_and_clear();
    reports.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the progress bar over all worlds, which hides itself if stderr is not a terminal.
fn progress_bar(cli: &ChaosCli) -> ProgressBar {
    if cli.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(cli.seeds).with_message("0 failed");
    if let Ok(style) = ProgressStyle::with_template(PROGRESS) {
        bar.set_style(style);
    }
    bar
}

const PROGRESS: &str = "chaos [{wide_bar}] {pos} of {len} worlds, {msg}, {elapsed}, {eta} left";

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
        hostile: culprit(report),
    });
    let seconds = |report: &ChaosReport| report.virtual_time.as_secs_f64();
    Summary {
        seeds: cli.seeds,
        worlds: reports.len(),
        first_seed: cli.first_seed,
        nodes: reports.iter().map(|report| u64::from(report.nodes)).sum(),
        node_seconds: reports.iter().map(|report| f64::from(report.nodes) * seconds(report)).sum(),
        virtual_s: reports.iter().map(seconds).sum(),
        faults,
        suspicions: reports.iter().map(|report| report.suspicions).sum(),
        hostile: hostile(reports),
        failed: failed.collect(),
        wall_s,
        cpu_s: usage::cpu_seconds(),
    }
}

fn culprit(report: &ChaosReport) -> Option<Culprit> {
    let hostile = report.hostile.as_ref()?;
    let first = report.violations.iter().map(|violation| violation.at).min().unwrap_or(serf_proto::Instant::MAX);
    let attacks = report.attacks_before(first).into_iter().map(Attack::name).collect();
    Some(Culprit { node: name_of(hostile.host), joined: hostile.joined, attacks })
}

fn hostile(reports: &[ChaosReport]) -> Hostile {
    let mut sum = Hostile::default();
    for report in reports {
        sum.content_bytes_max = sum.content_bytes_max.max(report.content_bytes_max);
        let Some(hostile) = &report.hostile else { continue };
        sum.worlds += 1;
        for attack in &hostile.attacks {
            *sum.attacks.entry(attack.name()).or_insert(0) += 1;
        }
        sum.datagrams += hostile.datagrams;
        sum.bytes_in += hostile.bytes_in;
        sum.bytes_out += hostile.bytes_out;
        let (bytes_in, bytes_out) = hostile.worst_answer;
        if bytes_out * sum.worst_answer.0.max(1) > sum.worst_answer.1 * bytes_in.max(1) {
            sum.worst_answer = hostile.worst_answer;
        }
        sum.heap_bytes_a_node_max = sum.heap_bytes_a_node_max.max(hostile.heap_bytes_a_node);
    }
    sum
}

/// Parses the value of `--hostile`.
fn hostility(text: &str) -> Result<Hostility, String> {
    match text {
        "drawn" => Ok(Hostility::Drawn),
        "always" => Ok(Hostility::Always),
        "never" => Ok(Hostility::Never),
        _ => Attack::named(text).map(Hostility::Only).ok_or_else(|| {
            let names: Vec<&str> = Attack::all().map(Attack::name).collect();
            format!("expected drawn, always, never or one of {}", names.join(", "))
        }),
    }
}

fn print_hostile(hostile: &Hostile) {
    let Hostile { worlds, datagrams, bytes_in, bytes_out, worst_answer: (worst_in, worst_out), .. } = hostile;
    println!("Largest state of a node: {} bytes", hostile.content_bytes_max);
    if *worlds == 0 {
        return;
    }
    let attacks: Vec<String> = hostile.attacks.iter().map(|(name, count)| format!("{count} {name}")).collect();
    println!("Hostile members: {worlds}. Their attacks: {}", attacks.join(", "));
    println!(
        "Their {datagrams} datagrams of {bytes_in} bytes were answered at once with {bytes_out} bytes; at worst {worst_in} with \
         {worst_out} to strangers"
    );
    if let Some(bytes) = hostile.heap_bytes_a_node_max {
        println!("Largest heap growth of a world during an attack: {bytes} bytes per node");
    }
}

fn print(summary: &Summary) {
    let Summary { worlds, nodes, virtual_s, suspicions, wall_s, .. } = summary;
    println!("{worlds} worlds, {nodes} nodes, {virtual_s:.0} virtual s, from seed {}", summary.first_seed);
    let faults: Vec<String> = summary.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("Faults: {}", faults.join(", "));
    println!("Suspicions raised: {suspicions}");
    print_hostile(&summary.hostile);
    let cpu = summary.cpu_s.map(|cpu| format!(", {cpu:.1} s processor")).unwrap_or_default();
    println!("{wall_s:.1} s wall{cpu}");
    for Failed { seed, nodes, violations, deaf, hostile } in &summary.failed {
        println!("\nFAILED: seed {seed}, {nodes} nodes");
        if let Some(Culprit { node, joined, attacks }) = hostile {
            let how = if *joined { "a member" } else { "no member" };
            println!("  {node} was hostile, {how}; its attacks, latest first: {}", attacks.join(", "));
        }
        violations.iter().for_each(|violation| println!("  {violation}"));
        deaf.iter().for_each(|node| println!("  node {node} missed events sent at the end"));
    }
    let failed = summary.failed.len();
    if summary.is_interrupted() {
        println!("Stopped after {worlds} of {} worlds.", summary.seeds);
    }
    println!(
        "{}",
        if failed == 0 {
            "All rules held, and all nodes agreed at the end.".to_owned()
        } else {
            format!("\n{failed} failed.")
        }
    );
}
