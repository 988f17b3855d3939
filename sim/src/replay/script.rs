//! Writes the story of a capture as a script for `tests/scripts`: the nodes have letters instead of names, and what happened
//! becomes commands.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serf_proto::Instant;

use super::{Command, Fact, What};

/// Writes the script. `initial` are the members that `node` knew alive at the beginning.
///
/// A member that failed and came back by a refutation was cut off; one that failed for good crashed. What the others did to
/// each other is not in one node's capture.
///
/// # Errors
///
/// If there are more nodes than letters.
pub(crate) fn script(node: &str, initial: &[String], facts: &[Fact]) -> Result<String, String> {
    let mut letters = Letters::default();
    letters.of(node)?;
    for name in initial {
        letters.of(name)?;
    }
    let others: Vec<String> = letters.all().skip(1).collect();
    let mut lines = vec![
        "# What one node saw, from its capture. The names are replaced, and so are those of events.".to_owned(),
        format!("start {}", letters.all().collect::<Vec<_>>().join(" ")),
    ];
    if !others.is_empty() {
        lines.push(format!("join {} via a", others.join(" ")));
    }
    lines.push("after 10s".to_owned());
    let mut now = facts.first().map_or(Instant::ZERO, |fact| fact.at);
    let mut writer = Writer { letters, cut: BTreeSet::new(), events: BTreeMap::new() };
    for (at, fact) in facts.iter().enumerate() {
        let commands = writer.commands(fact, &facts[at + 1..])?;
        let pause = fact.at - now;
        if !commands.is_empty() && pause >= PAUSE_MIN {
            lines.push(format!("after {}ms", pause.as_millis()));
            now = fact.at;
        }
        lines.extend(commands);
    }
    // Until all have heard of all.
    lines.push("after 1m".to_owned());
    lines.push("members a".to_owned());
    Ok(lines.join("\n") + "\n----\n")
}

struct Writer {
    letters: Letters,
    /// Members that are cut off.
    cut: BTreeSet<String>,
    events: BTreeMap<String, usize>,
}

impl Writer {
    /// The commands for a fact; `later` follow it.
    fn commands(&mut self, fact: &Fact, later: &[Fact]) -> Result<Vec<String>, String> {
        let Some(name) = &fact.member else { return Ok(self.own(fact)) };
        let is_new = !self.letters.has(name);
        let letter = self.letters.of(name)?;
        Ok(match fact.what {
            What::Join if is_new => vec![format!("start {letter}"), format!("join {letter} via a")],
            What::Suspect if !self.cut.contains(name) && comes_back(name, later) => {
                self.cut.insert(name.clone());
                let others: Vec<String> = self.letters.all().filter(|other| *other != letter).collect();
                vec![format!("cut {letter} | {}", others.join(" "))]
            }
            What::Suspect if !self.cut.contains(name) && next(name, later) == Some(What::Failed) => {
                vec![format!("crash {letter}")]
            }
            What::Alive if self.cut.remove(name) => {
                // A script heals all cuts at once.
                self.cut.clear();
                vec!["heal".to_owned()]
            }
            What::Leaving => vec![format!("leave {letter}")],
            _ => Vec::new(),
        })
    }

    /// The commands of the node itself.
    fn own(&mut self, fact: &Fact) -> Vec<String> {
        match &fact.command {
            Some(Command::UserEvent(name)) => {
                let count = self.events.len() + 1;
                vec![format!("event a event-{}", self.events.entry(name.clone()).or_insert(count))]
            }
            Some(Command::Leave) => vec!["leave a".to_owned()],
            None => Vec::new(),
        }
    }
}

/// What happens to a member after a suspicion: it fails, or it is alive.
fn next(name: &str, later: &[Fact]) -> Option<What> {
    let of_it = later.iter().filter(|fact| fact.member.as_deref() == Some(name));
    of_it.map(|fact| fact.what).find(|what| matches!(what, What::Alive | What::Failed | What::Left | What::Leaving))
}

/// Whether it is seen alive again.
fn comes_back(name: &str, later: &[Fact]) -> bool {
    later.iter().any(|fact| fact.member.as_deref() == Some(name) && fact.what == What::Alive)
}

/// The letters of the nodes, in the order of their appearance.
#[derive(Default)]
struct Letters(Vec<String>);

impl Letters {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    fn of(&mut self, name: &str) -> Result<String, String> {
        let at = match self.0.iter().position(|known| known == name) {
            Some(at) => at,
            None if self.0.len() < LETTERS.len() => {
                self.0.push(name.to_owned());
                self.0.len() - 1
            }
            None => return Err(format!("a script has letters for {} nodes, and there are more", LETTERS.len())),
        };
        Ok(LETTERS[at..=at].to_owned())
    }

    fn all(&self) -> impl Iterator<Item = String> + use<> {
        LETTERS.chars().take(self.0.len()).map(String::from)
    }
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";

/// Facts closer together have one time in the script.
const PAUSE_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(ms: u64, member: Option<&str>, what: What) -> Fact {
        let (at, node) = (Instant::ZERO + Duration::from_millis(ms), "web".to_owned());
        Fact { unix_ns: 0, at, node, member: member.map(Into::into), what, text: String::new(), command: None }
    }

    fn commanded(ms: u64, command: Command) -> Fact {
        Fact { command: Some(command), ..fact(ms, None, What::Command) }
    }

    #[test]
    fn a_member_that_refutes_was_cut_off_and_one_that_fails_crashed() {
        let facts = [
            fact(0, None, What::Capture),
            commanded(1000, Command::UserEvent("deploy (2)".into())),
            fact(3000, Some("db"), What::Suspect),
            fact(5000, Some("db"), What::Alive),
            fact(6000, Some("cache"), What::Suspect),
            fact(9000, Some("cache"), What::Failed),
            fact(9500, Some("new"), What::Join),
            commanded(9600, Command::Leave),
        ];
        let story = script("web", &["db".into(), "cache".into()], &facts).unwrap();
        let commands: Vec<&str> = story.lines().skip(1).collect();
        assert_eq!(
            commands,
            [
                "start a b c",
                "join b c via a",
                "after 10s",
                "after 1000ms",
                "event a event-1",
                "after 2000ms",
                "cut b | a c",
                "after 2000ms",
                "heal",
                "after 1000ms",
                "crash c",
                "after 3500ms",
                "start d",
                "join d via a",
                "after 100ms",
                "leave a",
                "after 1m",
                "members a",
                "----",
            ]
        );
        assert!(!story.contains("web") && !story.contains("deploy"));
    }

    #[test]
    fn more_nodes_than_letters_are_refused() {
        let names: Vec<String> = (0..26).map(|n| format!("n{n}")).collect();
        assert!(script("web", &names, &[]).is_err());
        assert!(script("web", &names[..25], &[]).is_ok());
    }
}
