//! The command line: parses options, prints the report, and returns an exit code for scripts.

mod chaos;
mod list;
mod options;
mod parse;

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
        Some(Order::Chaos(options)) => chaos::run(options).unwrap_or_else(|reason| refuse(&reason)),
        None if cli.run.list => {
            let _closed = write!(std::io::stdout(), "{}", list::list());
            ExitCode::SUCCESS
        }
        None => match run(&cli.run) {
            Ok(code) => code,
            Err(reason) => refuse(&reason),
        },
    }
}

fn run(options: &RunOptions) -> Result<ExitCode, String> {
    let plan = options.plan()?;
    check_memory(options)?;
    let halt = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&halt);
    // Without a handler Ctrl-C still ends the run, but without a report.
    let _no_handler = ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
    });
    let began = Instant::now();
    let mut world = World::new(plan.world.clone());
    if let Some(node) = options.trace {
        world.print_trace(node);
    }
    let is_shown = !options.quiet && !options.json && std::io::stderr().is_terminal();
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
    };
    print(&report, options)?;
    // The system reclaims the memory faster than millions of small frees.
    core::mem::forget(world);
    Ok(match (report.is_halted(), report.is_fine()) {
        (true, _) => ExitCode::from(EXIT_INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
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

/// Returns the first paragraph of a message as one line.
fn one_line(message: &str) -> String {
    let paragraph: Vec<&str> = message.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    paragraph.join(" ").trim_start_matches("error: ").to_owned()
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
        assert_eq!(one_line("error: bad\n  tip: worse\n\nFor more information"), "bad tip: worse");
    }
}
