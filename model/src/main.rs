//! `serf-model`: explores small worlds, and prints what was found.

#![expect(clippy::print_stdout, reason = "a command prints its results")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use serf_model::{Explorer, Plan, Rule, play, script_of};
use stateright::{Checker as _, HasDiscoveries, Model as _};

/// Explores all interleavings of small worlds of Serf nodes.
#[derive(Debug, Parser)]
#[command(name = "serf-model")]
struct Args {
    /// Worlds to explore; without one, the large ones
    worlds: Vec<String>,
    /// Change a bound of the worlds: losses=2, horizon=5000 (milliseconds), members=3
    #[arg(long, value_name = "BOUND=NUMBER")]
    set: Vec<String>,
    /// List the worlds
    #[arg(long)]
    list: bool,
    /// Explore the small worlds
    #[arg(long)]
    small: bool,
    /// Threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Give up a world after about so many steps
    #[arg(long, default_value_t = usize::MAX)]
    steps_max: usize,
    /// Breadth first: shorter counterexamples, more memory
    #[arg(long)]
    breadth_first: bool,
    /// Play a script, and print what the nodes report
    #[arg(long, value_name = "FILE")]
    play: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(path) = &args.play {
        let played = std::fs::read_to_string(path).map_err(|error| error.to_string());
        return report(played.and_then(|text| play(&text).map_err(|error| error.to_string())));
    }
    if args.list {
        for plan in Plan::small().into_iter().chain(Plan::large()) {
            println!("{:<18} {:?} {:?}", plan.name, plan.horizon, plan.budget);
        }
        return ExitCode::SUCCESS;
    }
    match plans(&args) {
        Err(error) => report(Err(error)),
        Ok(plans) => {
            let broken = plans.into_iter().map(|plan| explore(&args, plan)).filter(|held| !held).count();
            if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

/// The plans that were asked for.
fn plans(args: &Args) -> Result<Vec<Plan>, String> {
    let mut plans = if args.worlds.is_empty() {
        if args.small { Plan::small() } else { Plan::large() }
    } else {
        let found = args.worlds.iter().map(|name| Plan::find(name).ok_or_else(|| format!("no world is called {name}")));
        found.collect::<Result<_, _>>()?
    };
    for plan in &mut plans {
        args.set.iter().try_for_each(|assignment| plan.set(assignment))?;
    }
    Ok(plans)
}

fn report(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Explores one world; true if all rules held in all states.
fn explore(args: &Args, plan: Plan) -> bool {
    let since = Instant::now();
    let explorer = Explorer::new(plan);
    let builder = explorer
        .clone()
        .checker()
        .threads(args.threads)
        .target_state_count(args.steps_max)
        .finish_when(HasDiscoveries::AnyFailures);
    // Both are joined by the same code, but have different types.
    if args.breadth_first {
        conclude(&explorer, builder.spawn_bfs().join(), since, args)
    } else {
        conclude(&explorer, builder.spawn_dfs().join(), since, args)
    }
}

fn conclude(explorer: &Explorer, checker: impl stateright::Checker<Explorer>, since: Instant, args: &Args) -> bool {
    let seen = explorer.seen();
    let is_cut = checker.state_count() >= args.steps_max;
    println!(
        "{:<18} {:>9} states, {:>10} steps, {:>3} deep, {:.1} s{}; accused in {}, {} ends, {} runs in peace over {} states",
        explorer.plan().name,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        since.elapsed().as_secs_f64(),
        if is_cut { " (cut short)" } else { "" },
        seen.accused,
        seen.ends,
        seen.peaces,
        seen.settled,
    );
    let discoveries = checker.discoveries();
    for rule in Rule::ALL {
        if let Some(path) = discoveries.get(rule.name()) {
            println!("violated: {rule}");
            let starts = explorer.init_states();
            let path = path.clone().into_vec();
            let start = starts.iter().position(|start| path.first().is_some_and(|(first, _)| first == start));
            let actions: Vec<_> = path.iter().filter_map(|(_, action)| *action).collect();
            println!("{}", script_of(explorer, start.and_then(|at| u8::try_from(at).ok()).unwrap_or(0), &actions));
        }
    }
    discoveries.is_empty()
}
