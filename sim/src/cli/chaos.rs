//! `sim chaos`: randomly drawn worlds, in parallel, one per processor.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serf_proto::{Config, Options};

use super::chaos_summary::{Header, Summary, Sums};
use super::experiment::halt_on_signal;
use super::files::{check_file, write_file};
use crate::allocations;
use crate::chaos::{ChaosOptions, ChaosReport, ChaosWorld, shrink};
use crate::experiment::shard::Shard;
use crate::hostile::{Attack, Hostility};
use crate::parse::{NodesRange, duration, nodes_range};

#[derive(Args, Clone, Debug)]
pub(super) struct ChaosCli {
    /// Number of worlds. [default: 200; without limit with --for]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    seeds: Option<u64>,

    /// Seed of the first world; the others have the following seeds.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first_seed: u64,

    /// Starts worlds for this time. Those that run at its end are completed.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    budget: Option<Duration>,

    /// Each world draws which kinds of faults, settings and sizes it knows. What so many worlds should have shown and have
    /// not is printed, and fails the campaign, also what --nodes, --hostile or --faults-for exclude.
    #[arg(long)]
    swarm: bool,

    /// Number of nodes per world, drawn from this range. [default: 4..40, with --swarm 3..1000, the large ones rarely]
    #[arg(long, value_name = "MIN..MAX", value_parser = nodes_range)]
    nodes: Option<NodesRange>,

    /// Virtual time during which faults are injected; with --swarm the longest, and at least 30s.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    faults_for: Duration,

    /// Which worlds also have a hostile member: drawn, every second one at random; always; never; or always with
    /// attacks of one kind only: accuse, exalt, clocks, bombs, crowds, ghosts, denial, replays, pings, relays, leaves,
    /// thefts, conflicts, filters, askers, nested, silence, digests, or hordes, which is never drawn. With --swarm only
    /// worlds of up to 64 nodes have one.
    #[arg(long, value_name = "WHICH", default_value = "drawn", value_parser = hostility)]
    hostile: Hostility,

    /// Runs this share of the seeds only. [default: that of the scheduler's environment, or all]
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,

    /// Worlds that run at the same time. [default: one per processor]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Writes the result as JSON to this file, every minute and at the end.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Shrinks up to eight worlds that failed, and writes each to a file in this directory. For --repeat.
    #[arg(long, value_name = "DIR")]
    shrink: Option<PathBuf>,

    /// Runs the world of this file, which --shrink wrote.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "seeds", "budget", "swarm", "nodes", "shard", "shrink", "out", "jobs", "first_seed", "faults_for", "hostile", "reject",
    ])]
    repeat: Option<PathBuf>,

    /// A sight that counts as a violation: tries the shrinking.
    #[arg(long, value_name = "SIGHT", hide = true)]
    reject: Option<String>,

    /// Prints all inputs and outputs of this node (from 0) of every world to stderr. For --seeds 1 and --repeat.
    #[arg(long, value_name = "NODE")]
    trace: Option<u32>,

    /// Prints the report as one JSON object.
    #[arg(long)]
    json: bool,

    /// Suppresses the progress.
    #[arg(long)]
    quiet: bool,
}

/// Runs all worlds and prints the results. Exit codes: 0 done, 1 a world failed or a sight is missing, 2 usage, 130 stopped
/// by a signal.
pub(super) fn run(cli: &ChaosCli) -> Result<ExitCode, String> {
    if let Some(path) = &cli.repeat {
        return repeat(cli, path);
    }
    let shard = match cli.shard {
        Some(shard) => shard,
        None => Shard::of_environment(|name| std::env::var(name).ok())?,
    };
    cli.out.as_deref().map_or(Ok(()), check_file)?;
    let campaign = Campaign::new(cli, shard)?;
    let halt = halt_on_signal(super::EXIT_INTERRUPTED)?;
    campaign.run(&halt);
    let is_interrupted = halt.load(Ordering::Relaxed);
    if let Some(directory) = &cli.shrink {
        campaign.shrink_failed(directory, &halt)?;
    }
    let summary = campaign.summary(is_interrupted);
    campaign.write(&summary)?;
    show(&summary, cli.json)?;
    Ok(match (summary.is_fine(), is_interrupted) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(super::EXIT_INTERRUPTED),
        (true, false) => ExitCode::SUCCESS,
    })
}

fn show(summary: &Summary, as_json: bool) -> Result<(), String> {
    if as_json {
        println!("{}", json(summary)?);
    } else {
        summary.print();
    }
    Ok(())
}

/// Runs the world of a file.
fn repeat(cli: &ChaosCli, path: &Path) -> Result<ExitCode, String> {
    let wrong = |error: String| format!("{}: {error}", path.display());
    let content = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let world = ChaosWorld::from_json(&content).map_err(wrong)?;
    let began = Instant::now();
    let report = world.run(1, cli.trace);
    let mut sums = Sums::default();
    sums.add(&report);
    let header = Header { seeds: 1, first_seed: report.seed, is_swarm: false, shard: Shard::ALL.to_string() };
    show(&sums.summary(&header, false, began.elapsed().as_secs_f64()), cli.json)?;
    Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Worlds of consecutive seeds.
struct Campaign<'a> {
    cli: &'a ChaosCli,
    options: ChaosOptions,
    shard: Shard,
    /// Number of seeds, of all shards.
    seeds: u64,
    began: Instant,
    progress: Mutex<Progress>,
}

struct Progress {
    sums: Sums,
    written_at: Instant,
}

impl<'a> Campaign<'a> {
    fn new(cli: &'a ChaosCli, shard: Shard) -> Result<Self, String> {
        let usual = if cli.swarm { SWARM_NODES } else { USUAL_NODES };
        let NodesRange { min, max } = cli.nodes.unwrap_or(usual);
        let options = ChaosOptions {
            nodes_min: min,
            nodes_max: max,
            threads: 1,
            faults_time: cli.faults_for,
            config: Config::new(Options::lan()).map_err(|error| error.to_string())?,
            hostility: cli.hostile,
            is_swarm: cli.swarm,
            trace: cli.trace,
        };
        let seeds = cli.seeds.unwrap_or_else(|| if cli.budget.is_some() { u64::MAX } else { SEEDS });
        let began = Instant::now();
        let progress = Mutex::new(Progress { sums: Sums::default(), written_at: began });
        Ok(Self { cli, options, shard, seeds, began, progress })
    }

    /// Draws the world of a seed.
    fn world(&self, seed: u64) -> ChaosWorld {
        let world = ChaosWorld::draw(seed, &self.options);
        match &self.cli.reject {
            Some(sight) => world.rejecting(sight),
            None => world,
        }
    }

    /// Runs the worlds, one per thread: unlike the windows of one large world, worlds never wait for each other. Stops
    /// starting worlds when `halt` is raised or the time is over; those that run are completed.
    fn run(&self, halt: &AtomicBool) {
        let bar = self.progress_bar();
        let next = AtomicU64::new(0);
        let processors = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
        let jobs = self.cli.jobs.map_or(processors, usize::from);
        // All threads share one heap: the growth by one world is measurable only if it runs alone.
        let threads = if allocations::live_bytes().is_some() { 1 } else { jobs };
        let is_over = || self.cli.budget.is_some_and(|budget| self.began.elapsed() >= budget);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        if nth >= self.seeds || halt.load(Ordering::Relaxed) || is_over() {
                            return;
                        }
                        let seed = self.cli.first_seed.wrapping_add(nth);
                        if self.shard.has_number(seed) {
                            self.add(&self.world(seed).run(1, self.cli.trace), &bar);
                        }
                    }
                });
            }
        });
        bar.finish_and_clear();
    }

    fn add(&self, report: &ChaosReport, bar: &ProgressBar) {
        let mut progress = self.locked();
        progress.sums.add(report);
        bar.set_message(format!("{} failed", progress.sums.failed().len()));
        bar.inc(1);
        if self.cli.out.is_some() && progress.written_at.elapsed() >= WRITTEN_EVERY {
            progress.written_at = Instant::now();
            let summary = progress.sums.summary(&self.header(&progress.sums), true, self.began.elapsed().as_secs_f64());
            // What cannot be written now is reported at the end.
            _ = self.write(&summary);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn header(&self, sums: &Sums) -> Header {
        // A run that ends by time has as many seeds as it reached.
        let seeds = if self.seeds == u64::MAX { sums.worlds() } else { self.seeds };
        let Self { cli, shard, .. } = self;
        Header { seeds, first_seed: cli.first_seed, is_swarm: cli.swarm, shard: shard.to_string() }
    }

    fn summary(&self, is_interrupted: bool) -> Summary {
        let sums = &self.locked().sums;
        sums.summary(&self.header(sums), is_interrupted, self.began.elapsed().as_secs_f64())
    }

    fn write(&self, summary: &Summary) -> Result<(), String> {
        let Some(path) = &self.cli.out else { return Ok(()) };
        write_file(path, &json(summary)?)
    }

    /// Shrinks the first worlds that failed, and writes them to files.
    fn shrink_failed(&self, directory: &Path, halt: &AtomicBool) -> Result<(), String> {
        let failed: Vec<u64> = self.locked().sums.failed().take(SHRUNK_MAX).collect();
        if !failed.is_empty() {
            std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        for seed in failed {
            let Some(shrunk) = shrink(&self.world(seed), SHRINK_RUNS_MAX, &|| halt.load(Ordering::Relaxed)) else {
                continue;
            };
            let path = directory.join(format!("chaos-{seed}.json"));
            write_file(&path, &shrunk.world.to_json()?)?;
            eprintln!(
                "Seed {seed} violates {} with {} nodes and {} faults after {} runs: {}",
                shrunk.rule,
                shrunk.world.nodes(),
                shrunk.world.faults().len(),
                shrunk.runs,
                path.display()
            );
        }
        Ok(())
    }

    /// Returns the progress bar over all worlds, which hides itself if stderr is not a terminal.
    fn progress_bar(&self) -> ProgressBar {
        if self.cli.quiet {
            return ProgressBar::hidden();
        }
        let (bar, template) = if self.seeds == u64::MAX {
            (ProgressBar::new_spinner(), PROGRESS_BY_TIME)
        } else {
            (ProgressBar::new(self.shard.share_of(self.seeds)), PROGRESS)
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.with_message("0 failed")
    }
}

fn json(summary: &Summary) -> Result<String, String> {
    serde_json::to_string_pretty(summary).map_err(|error| error.to_string())
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

const PROGRESS: &str = "chaos [{wide_bar}] {pos} of {len} worlds, {msg}, {elapsed}, {eta} left";
const PROGRESS_BY_TIME: &str = "chaos {spinner} {pos} worlds, {msg}, {elapsed}";

const SEEDS: u64 = 200;
const USUAL_NODES: NodesRange = NodesRange { min: 4, max: 40 };
const SWARM_NODES: NodesRange = NodesRange { min: 3, max: 1000 };

/// Pause between two writes of the result.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

/// Worlds that are shrunk. A fault of the nodes tends to make many worlds fail.
const SHRUNK_MAX: usize = 8;

/// Runs per world that is shrunk.
const SHRINK_RUNS_MAX: u32 = 500;
