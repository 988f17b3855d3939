//! `sim explain`: the timeline of one member.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::options::RunOptions;
use super::{EXIT_INTERRUPTED, check_memory, files, halt_on_interrupt};
use crate::phase_bar::PhaseBar;
use crate::scenario::Monitor as _;
use crate::world::World;

#[derive(Args, Clone, Debug)]
pub(super) struct ExplainCli {
    /// The member (from 0). [default: the first node that crashes, leaves, stalls or is cut off]
    #[arg(long, value_name = "NODE")]
    member: Option<u32>,

    #[command(flatten)]
    run: RunOptions,
}

/// Runs the phases and prints the timeline of the member.
pub(super) fn run(cli: &ExplainCli) -> Result<ExitCode, String> {
    let options = &cli.run;
    if let Some(member) = cli.member.filter(|member| *member >= options.nodes) {
        return Err(format!("--member {member}: nodes are numbered from 0 to {}", options.nodes - 1));
    }
    let plan = options.plan()?;
    files::check(options)?;
    check_memory(options)?;
    let halt = halt_on_interrupt();
    let mut world = World::new(plan.world.clone());
    world.record_news(cli.member);
    let is_shown = !options.quiet && std::io::stderr().is_terminal();
    let mut progress = PhaseBar::new(is_shown, halt);
    let reports = plan.scenario.run(&mut world, &plan.world.config, &mut progress);
    progress.phase_ends();
    let is_halted = reports.iter().any(|report| report.outcome == crate::report::Outcome::Halted);
    let Some(story) = world.story() else {
        return Err("no phase concerns a particular member; name one with --member".to_owned());
    };
    let text = story.text();
    let _closed =
        writeln!(std::io::stdout(), "{text}\nseed {}, trace hash {:016x}", plan.setup.seed, world.trace_hash());
    Ok(if is_halted { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::SUCCESS })
}
