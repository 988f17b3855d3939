//! The command line: parses options, prints the report, and returns an exit code for scripts.

mod chaos;
mod chaos_summary;
mod compare;
mod experiment;
mod explain;
mod files;
mod list;
mod options;
#[cfg(feature = "replay")]
mod replay;
mod report;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Parser as _;
use clap::error::ErrorKind;
use serf_proto::{DropReason, MessageKind};

use self::options::{Cli, Order, RunOptions};
use crate::hostile::cost;
use crate::phase_bar::PhaseBar;
use crate::report::{Cost, Report};
use crate::scenario::{Monitor as _, Scenario};
use crate::world::World;
use crate::{bench, estimate, usage};

/// Runs the command line. Exit codes: 0 success, 1 a phase or a check failed, 2 invalid options or insufficient memory,
/// 130 stopped by Ctrl-C.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => error.exit(),
        Err(error) => return refuse(&one_line(&error.to_string())),
    };
    match &cli.order {
        Some(Order::Bench) => bench::run(),
        Some(Order::Strikes { rounds }) => cost::run(*rounds),
        Some(Order::Explain(options)) => explain::run(options).unwrap_or_else(|reason| refuse(&reason)),
        #[cfg(feature = "replay")]
        Some(Order::Replay(options)) => replay::run(options).unwrap_or_else(|reason| refuse(&reason)),
        Some(Order::Compare(options)) => compare::run(options).unwrap_or_else(|reason| refuse(&reason)),
        Some(Order::Report(options)) => report::run(options).unwrap_or_else(|reason| refuse(&reason)),
        Some(Order::Run(options)) => experiment::run(options).unwrap_or_else(|reason| refuse(&reason)),
        Some(Order::List) => print_text(&experiment::list()),
        Some(Order::Show { name }) => experiment::show(name).map_or_else(|reason| refuse(&reason), print_text),
        Some(Order::Init { path }) => {
            experiment::init(path).map_or_else(|reason| refuse(&reason), |()| ExitCode::SUCCESS)
        }
        Some(Order::Schema) => print_text(&experiment::schema()),
        Some(Order::Merge(options)) => experiment::merge(options).unwrap_or_else(|reason| refuse(&reason)),
        Some(Order::Chaos(options)) => chaos::run(options).unwrap_or_else(|reason| refuse(&reason)),
        None if cli.run.list => print_text(&list::list()),
        None => match run(&cli.run) {
            Ok(code) => code,
            Err(reason) => refuse(&reason),
        },
    }
}

fn run(options: &RunOptions) -> Result<ExitCode, String> {
    let plan = options.plan()?;
    files::check(options)?;
    check_memory(options)?;
    let halt = halt_on_interrupt();
    let began = Instant::now();
    let mut world = World::new(plan.world.clone());
    if let Some(node) = options.trace {
        world.print_trace(node);
    }
    if options.report.is_some() {
        world.record_news(None);
    }
    let is_shown = !options.quiet && std::io::stderr().is_terminal();
    let mut progress = PhaseBar::new(is_shown, halt);
    let scenario: &Scenario = &plan.scenario;
    let phases = scenario.run(&mut world, &plan.world.config, &mut progress);
    progress.phase_ends();
    let cost = Cost::new(&phases, options.nodes, began.elapsed().as_secs_f64());
    let report = Report {
        setup: plan.setup,
        phases,
        sent: MessageKind::ALL.iter().map(|kind| kind.name()).zip(world.sent()).collect(),
        anti_entropy: world.anti_entropy(),
        node_dropped: DropReason::ALL.iter().map(|reason| reason.name()).zip(world.node_drops()).collect(),
        virtual_s: world.now().as_secs_f64(),
        cost,
        trace_hash: format!("{:016x}", world.trace_hash()),
        series: world.series(),
    };
    print(&report, options)?;
    let story = world.story().map(|story| story.html());
    files::write(&report, options, story.as_deref())?;
    // The system reclaims the memory faster than millions of small frees.
    core::mem::forget(world);
    Ok(match (report.is_halted(), report.is_fine()) {
        (true, _) => ExitCode::from(EXIT_INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

fn print_text(text: &str) -> ExitCode {
    // A closed pipe, as by `head`, is not an error.
    let _closed = write!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn print(report: &Report, options: &RunOptions) -> Result<(), String> {
    let text = if options.json {
        let json = serde_json::to_string_pretty(report);
        json.map_err(|error| format!("cannot write the report as JSON: {error}"))?
    } else {
        report.to_string()
    };
    // A closed pipe, as by `head`, is not an error.
    let _closed = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(())
}

/// Returns a flag that the first Ctrl-C raises; the second one ends the process.
fn halt_on_interrupt() -> Arc<AtomicBool> {
    let halt = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&halt);
    // Without a handler Ctrl-C still ends the run, but without a report.
    let _no_handler = ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
    });
    halt
}

/// Checks the memory estimate; refuses a run that would not fit.
fn check_memory(options: &RunOptions) -> Result<(), String> {
    let needed = estimate::memory_bytes(options.nodes, options.is_converged(), options.keeps_snapshots());
    let Some(available) = usage::available_memory_bytes() else { return Ok(()) };
    let (needed_text, available_text) = (estimate::readable(needed), estimate::readable(available));
    if needed > available && !options.force {
        return Err(format!(
            "{} nodes need about {needed_text} of memory and {available_text} are available; fewer --nodes, or --force",
            options.nodes
        ));
    }
    if !options.quiet && !options.json {
        eprintln!("{} nodes need about {needed_text} of memory; {available_text} are available", options.nodes);
    }
    Ok(())
}

/// Returns the first paragraph of a message, and the tip after it if there is one, as one line.
fn one_line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim);
    let paragraph: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let mut line = paragraph.join(" ").trim_start_matches("error: ").to_owned();
    if let Some(tip) = lines.find_map(|line| line.strip_prefix("tip: ")) {
        line = format!("{line}; {tip}");
    }
    line
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("sim: {reason}");
    ExitCode::from(EXIT_REFUSED)
}

const EXIT_REFUSED: u8 = 2;
const EXIT_INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_one_line() {
        assert_eq!(one_line("error: bad\n  and worse\n\nFor more information"), "bad and worse");
        assert_eq!(one_line("error: bad\n\n  tip: try good\n\nUsage: sim"), "bad; try good");
    }
}
