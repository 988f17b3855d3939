//! `sim run` and the other commands about scenarios and results files.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serf_proto::Instant;

use super::files::{check_file, command_line, write_file};
use crate::engine::Progress;
use crate::experiment::campaign::{Campaign, Cell, Jobs, Outcome, Watcher};
use crate::experiment::shard::Shard;
use crate::experiment::{schema, shipped, table};
use crate::results::{self, Record, Results};
use crate::{estimate, page, parse, stats, usage};

#[derive(Args, Clone, Debug)]
pub(super) struct RunCli {
    /// Scenario: a file, or the name of one that ships with the program (sim list).
    scenario: String,

    /// Sets a value of the scenario, or an axis of a sweep: --set network.loss=0,5%,10%.
    #[arg(long = "set", value_name = "KEY=VALUE[,VALUE]")]
    sets: Vec<String>,

    /// Seeds of each combination: how many from 1 on, or a range such as 5..=8. [default: those of the scenario]
    #[arg(long, value_name = "COUNT|RANGE")]
    seeds: Option<String>,

    /// Adds seeds until the 95 % interval of each metric's median is within this share of it, for every combination.
    #[arg(long, value_name = "SHARE", value_parser = parse::share_of_some, conflicts_with_all = ["seeds", "shard"])]
    until_ci: Option<u32>,

    /// Metric for --until-ci, such as crash.reached_p99. [default: the 99th percentiles of what is measured]
    #[arg(long, value_name = "NAME", requires = "until_ci")]
    metric: Vec<String>,

    /// Most seeds that --until-ci takes.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(6..))]
    seeds_max: u16,

    /// Writes the results with charts to this file: one HTML page that needs no network and no script.
    #[arg(long, value_name = "FILE", conflicts_with = "shard")]
    report: Option<PathBuf>,

    /// Directory of the results files. Cells that are complete there are not run again. [default: results/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Cells that run at the same time. [default: one per processor, as far as memory allows]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Threads of each cell. The results do not depend on it. [default: what the cells leave idle]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Runs this share of the cells only. [default: that of the scheduler's environment, or all]
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,

    /// Lists the cells and what they need; runs nothing.
    #[arg(long)]
    plan: bool,

    /// Suppresses progress and remarks; prints only the summary.
    #[arg(long)]
    quiet: bool,

    /// Starts even if the memory estimate exceeds the available memory.
    #[arg(long)]
    force: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct MergeCli {
    /// Results files, and directories of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The merged results file; data.csv is written beside it.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

/// Runs a scenario. Exit codes: 0 done, 1 a finding, 2 usage, 3 interrupted, try again.
pub(super) fn run(cli: &RunCli) -> Result<ExitCode, String> {
    cli.report.as_deref().map_or(Ok(()), check_file)?;
    let mut campaign = Campaign::load(&cli.scenario, &cli.sets, cli.seeds.as_deref())?;
    let metrics = campaign.metrics(&cli.metric).map_err(|why| format!("--metric: {why}"))?;
    if cli.until_ci.is_some() {
        campaign.set_seeds(stats::SEEDS_MIN);
    }
    let shard = match cli.shard {
        Some(shard) => shard,
        None => Shard::of_environment(|name| std::env::var(name).ok())?,
    };
    let directory = cli.out.clone().unwrap_or_else(|| Path::new("results").join(&campaign.name));
    let (nodes, bytes) = campaign.largest();
    let available = usage::available_memory_bytes();
    if let Some(available) = available.filter(|available| bytes > *available && !cli.force) {
        return Err(format!(
            "{nodes} nodes need about {} of memory and {} are available; set fewer cluster.nodes, or --force",
            estimate::readable(bytes),
            estimate::readable(available)
        ));
    }
    let cells: Vec<Cell<'_>> = campaign.cells().into_iter().filter(|cell| shard.has(&cell.hash())).collect();
    let mut jobs = Jobs::new(directory, cli.jobs.map(usize::from), cells.len(), (nodes, bytes), available);
    jobs.threads = cli.threads.map_or(jobs.threads, u32::from);
    if !cli.quiet || cli.plan {
        eprintln!("{}", headline(&campaign, &cells, shard, &jobs, bytes));
    }
    if cli.plan {
        let lines: String = cells.iter().map(|cell| format!("{}  {}\n", cell.hash(), cell.describe())).collect();
        let _closed = write!(std::io::stdout(), "{lines}");
        return Ok(ExitCode::SUCCESS);
    }
    let halt = halt_on_signal(EXIT_AGAIN)?;
    let (mut outcome, mut runs) = run_cells(&campaign, shard, &jobs, cli.quiet, &halt)?;
    if let Some(ppm) = cli.until_ci {
        let share = f64::from(ppm) / 1e6;
        let mut seeds = stats::SEEDS_MIN;
        let most = usize::from(cli.seeds_max);
        while outcome.left == 0 && seeds < most && !is_certain(&runs, &metrics, share) {
            // By half, so that the number of rounds stays small and few seeds are more than needed.
            seeds = (seeds + seeds.div_ceil(2)).min(most);
            campaign.set_seeds(seeds);
            let ran_before = outcome.ran;
            (outcome, runs) = run_cells(&campaign, shard, &jobs, cli.quiet, &halt)?;
            outcome.kept -= ran_before.min(outcome.kept);
            outcome.ran += ran_before;
        }
        if outcome.left == 0 && !is_certain(&runs, &metrics, share) {
            eprintln!("sim: {seeds} seeds do not reach an interval of {} %; see --seeds-max", share * 100.0);
        }
    }
    if !shard.is_part() {
        write_csv(&runs, &jobs.directory.join(DATA))?;
    }
    if let Some(path) = cli.report.as_deref().filter(|_| !runs.is_empty()) {
        write_file(path, &page::render(&runs, &command_line(), None))?;
    }
    let _closed = write!(std::io::stdout(), "{}", summary(&runs, outcome, &jobs.directory));
    Ok(ExitCode::from(match outcome {
        Outcome { findings: 1.., .. } => EXIT_FINDING,
        Outcome { left: 1.., .. } => EXIT_AGAIN,
        _ => 0,
    }))
}

/// Runs the cells of a shard that are not complete, and reads the results of all.
fn run_cells(
    campaign: &Campaign,
    shard: Shard,
    jobs: &Jobs,
    is_quiet: bool,
    halt: &AtomicBool,
) -> Result<(Outcome, Vec<Results>), String> {
    let cells: Vec<Cell<'_>> = campaign.cells().into_iter().filter(|cell| shard.has(&cell.hash())).collect();
    let watch = Watch::new(cells.len() as u64, !is_quiet);
    let outcome = jobs.run(campaign, shard, &watch, halt)?;
    watch.bar.finish_and_clear();
    Ok((outcome, read_cells(&jobs.directory, &cells)?))
}

/// Whether the interval of each metric is narrow enough for every configuration. A value that was never reached counts
/// as infinite, so that a metric that is often not reached is never certain.
fn is_certain(runs: &[Results], metrics: &[(String, String)], share: f64) -> bool {
    let mut configurations: BTreeMap<&str, Vec<&Results>> = BTreeMap::new();
    for run in runs {
        configurations.entry(&run.header.configuration).or_default().push(run);
    }
    configurations.values().all(|runs| {
        metrics.iter().all(|(phase, name)| {
            let values: Option<Vec<f64>> = runs.iter().map(|run| run.metric(phase, name)).collect();
            let estimate = values.and_then(|values| stats::Estimate::of(&values));
            estimate.is_some_and(|estimate| estimate.is_within(share))
        })
    })
}

/// Merges results files. Refuses results of different versions of the simulator.
pub(super) fn merge(cli: &MergeCli) -> Result<ExitCode, String> {
    let runs = results::read_all(&cli.paths).map_err(|error| error.to_string())?;
    let Some(first) = runs.first() else { return Err("there are no results to merge".to_owned()) };
    if let Some(other) = runs.iter().find(|run| run.header.simulator != first.header.simulator) {
        return Err(format!(
            "cell {} is of version {}, cell {} of version {}: results of different versions are not merged",
            first.header.cell, first.header.simulator, other.header.cell, other.header.simulator
        ));
    }
    let lines: String = runs.iter().map(Results::to_lines).collect();
    results::write_aside(&cli.out, lines.as_bytes()).map_err(|error| format!("{}: {error}", cli.out.display()))?;
    write_csv(&runs, &cli.out.with_file_name(DATA))?;
    eprintln!("{} runs in {}", runs.len(), cli.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Lists the scenarios that ship with the program.
pub(super) fn list() -> String {
    shipped::ALL.iter().map(|shipped| format!("{:16} {}\n", shipped.name, shipped.about())).collect()
}

/// Returns the text of a scenario that ships with the program.
pub(super) fn show(name: &str) -> Result<&'static str, String> {
    let unknown = || {
        let known = shipped::ALL.iter().map(|shipped| shipped.name);
        format!("there is no scenario {name:?}; {}", crate::experiment::document::suggestion(name, known))
    };
    shipped::find(name).map(|shipped| shipped.text).ok_or_else(unknown)
}

/// Writes the commented example. Does not overwrite a file.
pub(super) fn init(path: &Path) -> Result<(), String> {
    let mut file = std::fs::File::create_new(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.write_all(shipped::EXAMPLE.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the JSON schema of scenario files.
pub(super) fn schema() -> String {
    format!("{:#}\n", schema::schema())
}

fn headline(campaign: &Campaign, cells: &[Cell<'_>], shard: Shard, jobs: &Jobs, bytes: u64) -> String {
    let (configurations, seeds) = campaign.size();
    let part = if shard.is_part() { format!("; shard {shard} has {}", cells.len()) } else { String::new() };
    let Jobs { jobs, threads, .. } = jobs;
    let seconds: f64 = cells.iter().map(|cell| cell.cpu_seconds()).sum::<f64>()
        / f64::from(u32::try_from(*jobs).unwrap_or(1) * threads);
    format!(
        "{}: {} cells: {configurations} combinations with {seeds} seeds{part}; {jobs} at a time, up to {} of memory each; \
         about {} in a release build",
        campaign.name,
        configurations * seeds,
        estimate::readable(bytes),
        readable_time(seconds),
    )
}

fn readable_time(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{} s", seconds.ceil()),
        ..5400.0 => format!("{} min", (seconds / 60.0).ceil()),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// Reads the complete ones of these cells, in their order: that of the axes.
fn read_cells(directory: &Path, cells: &[Cell<'_>]) -> Result<Vec<Results>, String> {
    let mut runs = Vec::new();
    for path in cells.iter().map(|cell| directory.join(results::file_name(&cell.hash()))) {
        if path.exists() {
            runs.extend(results::read(&path).map_err(|error| error.to_string())?);
        }
    }
    Ok(runs)
}

fn write_csv(runs: &[Results], path: &Path) -> Result<(), String> {
    results::write_aside(path, &table::csv(runs)?).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the main metrics of each configuration over its seeds, and what did not hold.
fn summary(runs: &[Results], outcome: Outcome, directory: &Path) -> String {
    let mut text = String::new();
    let mut configurations: BTreeMap<&str, Vec<&Results>> = BTreeMap::new();
    let mut order = Vec::new();
    for run in runs {
        let known = configurations.entry(&run.header.configuration).or_default();
        if known.is_empty() {
            order.push(&*run.header.configuration);
        }
        known.push(run);
    }
    for configuration in order {
        let runs = &configurations[configuration];
        let header = &runs[0].header;
        let value = |key: &String| header.parameters.get(key).map(ToString::to_string).unwrap_or_default();
        let varied: Vec<String> = header.varied.iter().map(|key| format!("{key} = {}", value(key))).collect();
        let title = if varied.is_empty() { header.scenario.clone() } else { varied.join(", ") };
        text += &format!("{title} ({} runs)\n", runs.len());
        for (name, values) in main_metrics(runs) {
            text += &format!("  {name:44} {}\n", spread(&values));
        }
    }
    for run in runs.iter().filter(|run| !run.is_fine()) {
        let shown = |record: &Record| match record {
            Record::Assertion(assertion) if !assertion.holds => {
                Some(format!("{}, found {}", assertion.assertion, assertion.found))
            }
            Record::Phase(phase) if phase.outcome == "missing" => Some(format!("{} missed its goal", phase.phase)),
            Record::Finding(finding) => Some(finding.finding.clone()),
            _ => None,
        };
        for reason in run.records.iter().filter_map(shown).take(REASONS_MAX) {
            text += &format!("FAILED: cell {}, seed {}: {reason}\n", run.header.cell, run.header.seed);
        }
    }
    let Outcome { ran, kept, left, findings } = outcome;
    text +=
        &format!("{ran} cells run, {kept} were there, {findings} with findings; results in {}\n", directory.display());
    if left > 0 {
        text += &format!("Stopped: {left} cells are left; the same command goes on.\n");
    }
    text
}

/// Returns the metrics that a summary shows, with their values over all seeds; `None` where one was never reached.
fn main_metrics(runs: &[&Results]) -> Vec<(String, Vec<Option<f64>>)> {
    let mut metrics: Vec<(String, Vec<Option<f64>>)> = Vec::new();
    for metric in runs[0].metrics().filter(|metric| metric.labels.is_empty()) {
        let is_shown = match metric.phase.is_empty() {
            true => SHOWN_OF_RUN.contains(&metric.name.as_str()),
            false => !metric.phase.contains('/') && SHOWN_OF_PHASE.contains(&metric.name.as_str()),
        };
        if is_shown {
            let name =
                if metric.phase.is_empty() { metric.name.clone() } else { format!("{}.{}", metric.phase, metric.name) };
            let values = runs.iter().map(|run| run.metric(&metric.phase, &metric.name)).collect();
            metrics.push((name, values));
        }
    }
    metrics
}

/// Formats the median, and the least and the greatest value. A value that was never reached is the greatest.
fn spread(values: &[Option<f64>]) -> String {
    let mut sorted: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::INFINITY)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let shown =
        |value: f64| if value.is_finite() { format!("{}", (value * 1e3).round() / 1e3) } else { "never".to_owned() };
    let (Some(first), Some(last), Some(median)) = (sorted.first(), sorted.last(), stats::quantile(&sorted, 0.5)) else {
        return String::new();
    };
    let median = if median.is_nan() { f64::INFINITY } else { median };
    let [first, median, last] = [*first, median, *last].map(shown);
    if first == last { first } else { format!("{median} [{first}, {last}]") }
}

/// Progress of all cells on stderr.
struct Watch {
    bar: ProgressBar,
}

impl Watch {
    fn new(cells: u64, is_shown: bool) -> Self {
        if !is_shown || !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new(cells);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar }
    }
}

impl Watcher for Watch {
    fn progress(&self, progress: Progress) {
        self.bar.set_message(format!("{:.0} virtual s", (progress.now - Instant::ZERO).as_secs_f64()));
        self.bar.tick();
    }

    fn ended(&self, cell: Cell<'_>, is_fine: bool) {
        self.bar.inc(1);
        if !is_fine {
            self.note(&format!("finding: {}", cell.describe()));
        }
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("sim: {text}"));
    }
}

/// Returns a flag that the first Ctrl-C or SIGTERM raises; a second one ends the process with
/// `code`. Results are written whole or not at
/// all, so that both are safe.
pub(super) fn halt_on_signal(code: u8) -> Result<Arc<AtomicBool>, String> {
    let halt = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let register = || {
            signal_hook::flag::register_conditional_shutdown(signal, code.into(), Arc::clone(&halt))?;
            signal_hook::flag::register(signal, Arc::clone(&halt))
        };
        register().map_err(|error| format!("cannot handle signals: {error}"))?;
    }
    #[cfg(not(unix))]
    {
        let raised = Arc::clone(&halt);
        let handler = move || {
            if raised.swap(true, std::sync::atomic::Ordering::Relaxed) {
                std::process::exit(code.into());
            }
        };
        ctrlc::set_handler(handler).map_err(|error| format!("cannot handle signals: {error}"))?;
    }
    Ok(halt)
}

const TEMPLATE: &str = "[{wide_bar}] {pos} of {len} cells, {msg}, {elapsed}, {eta} left";

/// Name of the table of all metrics.
const DATA: &str = "data.csv";

/// Metrics of a run that the summary shows.
const SHOWN_OF_RUN: [&str; 10] = [
    "detect_p50_s",
    "detect_p99_s",
    "detect_max_s",
    "event_p50_s",
    "event_p99_s",
    "event_share",
    "false_failures_count",
    "wrong_views_count",
    "converged_s",
    "wire_bytes_per_node_max_per_s",
];

/// Metrics of a phase that the summary shows.
const SHOWN_OF_PHASE: [&str; 4] = ["reached_p50_s", "reached_p99_s", "reached_p100_s", "converged_s"];

/// Reasons shown of a failed run.
const REASONS_MAX: usize = 5;

const EXIT_FINDING: u8 = 1;
const EXIT_AGAIN: u8 = 3;
