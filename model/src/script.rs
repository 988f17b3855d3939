//! Paths of a world as scripts, in the form of those in `tests/scripts`: steps, `----`, and what the nodes report.
//!
//! ```text
//! world two-leave 0            the plan, the phases of the timers, and bounds that differ: losses=2
//! fire a                       the next timer; `choose 1` selects the seed of its random choices, 0 if it is left out
//! deliver a>b ping+digest      a message arrives; `/2` selects the second of several that read the same
//! lose, delay, repeat a>b ping
//! late a>b ping                a message that was held back arrives
//! hurry b                      the clock of b runs ahead to its next timer
//! crash, start, leave, event, tags b
//! peace                        the faults are over
//! members a b
//! ```

use std::fmt::Write as _;
use std::sync::Arc;

use serf_tests::{Script, ScriptError, handle_of};
use stateright::Model as _;

use crate::explore::Explorer;
use crate::mail::{Mail, letter};
use crate::peace::Settled;
use crate::plan::Plan;
use crate::step::{Action, Command};
use crate::world::World;

/// A path as a script, with a comment that says what is wrong at its end. The second half is what the nodes report.
pub fn script_of(explorer: &Explorer, start: u8, actions: &[Action]) -> String {
    let plan = explorer.plan();
    let mut world = World::new(plan, start);
    let mut story = format!("world {} {start} {}", plan.name, plan.changes.join(" ")).trim_end().to_owned() + "\n";
    let mut last = None;
    for &action in actions {
        _ = writeln!(story, "{}", line_of(&world, action));
        let Some(next) = explorer.next_state(&world, action) else { break };
        last = next.finding().map(|finding| format!("# {}: {}\n", finding.rule, finding.what));
        world = next;
    }
    _ = writeln!(story, "peace");
    story.insert_str(0, &last.unwrap_or_default());
    let script = Script::parse(&story);
    play(&story).map_or_else(|error| format!("{story}# {error}\n"), |reports| script.with_expected(&reports))
}

/// Plays a script, and returns what the nodes report, node by node.
///
/// # Errors
///
/// The first line that cannot be carried out.
pub fn play(text: &str) -> Result<String, ScriptError> {
    let script = Script::parse(text);
    let mut stage = None;
    for (line, words) in script.commands() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        command(&mut stage, &words).map_err(|what| ScriptError { line, what })?;
    }
    let Some((plan, world)) = stage else {
        return Err(ScriptError { line: 1, what: "no world".into() });
    };
    let mut reports = String::new();
    for node in 0..plan.nodes() {
        let blank = if node == 0 { "" } else { "\n" };
        _ = writeln!(reports, "{blank}{}", letter(node));
        let lines = world.log.iter().flat_map(|log| log.iter()).filter(|(of, _)| *of == node);
        lines.for_each(|(_, line)| _ = writeln!(reports, "{line}"));
    }
    if let Some(finding) = world.finding() {
        _ = writeln!(reports, "\nviolated: {}\n{}", finding.rule, finding.what);
    }
    Ok(reports)
}

fn command(stage: &mut Option<(Plan, World)>, words: &[&str]) -> Result<(), String> {
    if let ["world", name, start, ref changes @ ..] = *words {
        let mut plan = Plan::find(name).ok_or_else(|| format!("no world is called {name}"))?;
        changes.iter().try_for_each(|change| plan.set(change))?;
        let start = start.parse().map_err(|_| format!("{start} is not a number"))?;
        let mut world = World::new(&plan, start);
        world.log = Some(Arc::default());
        *stage = Some((plan, world));
        return Ok(());
    }
    let (plan, world) = stage.as_mut().ok_or("the first line names a world")?;
    match *words {
        ["peace"] => {
            if let Some(finding) = world.make_peace(plan, &Settled::default()) {
                world.note(finding);
            }
            Ok(())
        }
        ["members", ref nodes @ ..] => nodes.iter().try_for_each(|node| {
            world.report_members(node_of(node)?);
            Ok(())
        }),
        _ => {
            let action = action_of(world, words)?;
            let mut possible = Vec::new();
            world.actions(plan, &mut possible);
            if !possible.contains(&action) {
                return Err(format!("{} cannot happen here, or is not in the budget", words.join(" ")));
            }
            let next = world.after(plan, action).ok_or("this choice makes no difference")?;
            *world = next;
            Ok(())
        }
    }
}

fn action_of(world: &World, words: &[&str]) -> Result<Action, String> {
    let (words, choice) = match *words {
        [ref rest @ .., "choose", choice] => (rest, choice.parse().map_err(|_| format!("{choice} is not a number"))?),
        ref all => (all, 0),
    };
    Ok(match *words {
        ["deliver", ref mail @ ..] => Action::Deliver { nth: find(&world.prompt, mail)?, choice },
        ["late", ref mail @ ..] => Action::DeliverLate { nth: find(&world.late, mail)?, choice },
        ["lose", ref mail @ ..] => Action::Lose(find(&world.prompt, mail)?),
        ["delay", ref mail @ ..] => Action::Delay(find(&world.prompt, mail)?),
        ["repeat", ref mail @ ..] => Action::Repeat(find(&world.prompt, mail)?),
        ["fire", node] => Action::Fire { node: node_of(node)?, choice },
        ["hurry", node] => Action::Hurry { node: node_of(node)?, choice },
        [verb, node] => {
            let commands = [Command::Crash, Command::Start, Command::Leave, Command::Event, Command::Tags];
            let command = commands.into_iter().find(|command| command.to_string() == verb);
            let command = command.ok_or_else(|| format!("no such step: {verb}"))?;
            Action::Command { node: node_of(node)?, command }
        }
        _ => return Err(format!("no such step: {}", words.join(" "))),
    })
}

/// Finds a message by its description: `a>b ping`, with `/2` for the second that reads the same.
fn find(mails: &[Arc<Mail>], words: &[&str]) -> Result<usize, String> {
    let (words, nth) = match *words {
        [ref rest @ .., nth] if nth.starts_with('/') => {
            (rest, nth[1..].parse().map_err(|_| format!("{nth} is not a number"))?)
        }
        ref all => (all, 1_usize),
    };
    let wanted = words.join(" ");
    let mut found = mails.iter().enumerate().filter(|(_, mail)| mail.to_string() == wanted).map(|(at, _)| at);
    found.nth(nth.saturating_sub(1)).ok_or_else(|| {
        let there: Vec<String> = mails.iter().map(|mail| mail.to_string()).collect();
        format!("no message {wanted} is there, but: {}", there.join(", "))
    })
}

fn node_of(word: &str) -> Result<usize, String> {
    handle_of(word).map(|letter| letter as usize - 'a' as usize)
}

fn line_of(world: &World, action: Action) -> String {
    let mail = |mails: &[Arc<Mail>], nth: usize| {
        let text = mails[nth].to_string();
        match mails[..nth].iter().filter(|mail| mail.to_string() == text).count() {
            0 => text,
            before => format!("{text} /{}", before + 1),
        }
    };
    let with = |line: String, choice: u8| if choice == 0 { line } else { format!("{line} choose {choice}") };
    match action {
        Action::Deliver { nth, choice } => with(format!("deliver {}", mail(&world.prompt, nth)), choice),
        Action::DeliverLate { nth, choice } => with(format!("late {}", mail(&world.late, nth)), choice),
        Action::Lose(nth) => format!("lose {}", mail(&world.prompt, nth)),
        Action::Delay(nth) => format!("delay {}", mail(&world.prompt, nth)),
        Action::Repeat(nth) => format!("repeat {}", mail(&world.prompt, nth)),
        Action::Fire { node, choice } => with(format!("fire {}", letter(node)), choice),
        Action::Hurry { node, choice } => with(format!("hurry {}", letter(node)), choice),
        Action::Command { node, command } => format!("{command} {}", letter(node)),
    }
}
