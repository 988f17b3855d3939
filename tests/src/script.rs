//! Parser and interpreter of scripts.

use std::fmt;
use std::time::Duration;

use serf_proto::{Key, KeyOperation, OldEvents, Tombstone};

use crate::network::{Network, address};

/// A script: commands and the expected reports.
#[derive(Clone, Debug)]
pub struct Script {
    commands: Vec<(usize, Vec<String>)>,
    /// The text before the separator, verbatim.
    story: String,
    expected: String,
}

/// An invalid line, or one that cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Line number, from 1.
    pub line: usize,
    /// The error.
    pub what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// Splits a script into commands and expectation. Commands are validated when it is played.
    pub fn parse(text: &str) -> Self {
        let (story, expected) = text.split_once(DASHES).unwrap_or((text, ""));
        let commands = story.lines().enumerate().filter_map(|(at, line)| {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            (!words.is_empty()).then_some((at + 1, words))
        });
        Self { commands: commands.collect(), story: story.to_owned(), expected: expected.to_owned() }
    }

    /// Returns the commands, each with its line number and its words.
    pub fn commands(&self) -> impl Iterator<Item = (usize, &[String])> {
        self.commands.iter().map(|(line, words)| (*line, words.as_slice()))
    }

    /// Returns the expected reports.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Returns the script with another expectation.
    pub fn with_expected(&self, reports: &str) -> String {
        format!("{}{DASHES}{reports}", self.story)
    }

    /// Runs the commands and returns the reports: the events of each node, with the time to a tenth of a second.
    ///
    /// # Errors
    ///
    /// Returns the first line that cannot be executed.
    pub fn play(&self) -> Result<String, ScriptError> {
        let mut network = Network::new();
        for (line, words) in &self.commands {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            command(&mut network, &words).map_err(|what| ScriptError { line: *line, what })?;
        }
        Ok(network.reports())
    }
}

fn command(network: &mut Network, words: &[&str]) -> Result<(), String> {
    match *words {
        ["start", handle, "as", name] => network.start(handle_of(handle)?, name, None),
        ["start", ref handles @ .., "with", "key", number] => {
            let key = key(number)?;
            each(handles, |handle| network.start(handle, &handle.to_string(), Some(key.clone())))
        }
        ["start", ref handles @ ..] => each(handles, |handle| network.start(handle, &handle.to_string(), None)),
        ["key", handle, operation, number] => {
            network.change_keys(handle_of(handle)?, operation_of(operation)?, &key(number)?)
        }
        ["keys", ref handles @ ..] => each(handles, |handle| network.report_keys(handle)),
        ["join", ref rest @ ..] => join(network, rest, OldEvents::Deliver),
        ["join-anew", ref rest @ ..] => join(network, rest, OldEvents::Ignore),
        ["after", span] => {
            network.pass(duration(span)?);
            Ok(())
        }
        ["crash", ref handles @ ..] => each(handles, |handle| network.crash(handle)),
        ["leave", ref handles @ ..] => each(handles, |handle| network.leave(handle)),
        ["event", handle, name] => network.user_event(handle_of(handle)?, name, ""),
        ["event", handle, name, payload] => network.user_event(handle_of(handle)?, name, payload),
        ["query", handle, name, ref filters @ ..] => network.query(handle_of(handle)?, name, filters),
        ["tags", handle, ref tags @ ..] => {
            let tags = tags.iter().map(|tag| tag.split_once('=').ok_or_else(|| format!("{tag} is not key=value")));
            network.set_tags(handle_of(handle)?, tags.collect::<Result<_, _>>()?)
        }
        ["force-leave", handle, name] => network.force_leave(handle_of(handle)?, name, Tombstone::Keep),
        ["force-leave", handle, name, "prune"] => network.force_leave(handle_of(handle)?, name, Tombstone::Erase),
        ["deafen", ref handles @ ..] => each(handles, |handle| network.deafen(handle)),
        ["cut", ref sides @ ..] => cut(network, sides),
        ["heal"] => {
            network.heal();
            Ok(())
        }
        ["members", ref handles @ ..] => each(handles, |handle| network.report_members(handle)),
        _ => Err(format!("no such command: {}", words.join(" "))),
    }
}

fn each(handles: &[&str], mut act: impl FnMut(char) -> Result<(), String>) -> Result<(), String> {
    handles.iter().try_for_each(|handle| act(handle_of(handle)?))
}

fn join(network: &mut Network, words: &[&str], old: OldEvents) -> Result<(), String> {
    let Some(via) = words.iter().position(|&word| word == "via") else {
        return Err("expected `via` and handles".into());
    };
    let seeds = words[via + 1..].iter().map(|handle| handle_of(handle).map(address));
    let seeds = seeds.collect::<Result<Vec<_>, _>>()?;
    each(&words[..via], |handle| network.join(handle, &seeds, old))
}

fn cut(network: &mut Network, words: &[&str]) -> Result<(), String> {
    let sides: Vec<&[&str]> = words.split(|&word| word == "|").collect();
    let [here, there] = sides[..] else { return Err("a cut has two sides".into()) };
    each(here, |from| each(there, |to| network.cut(from, to)))
}

/// Parses the letter of a node.
///
/// # Errors
///
/// Returns a description if the word is not one letter from a to z.
pub fn handle_of(word: &str) -> Result<char, String> {
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (Some(handle @ 'a'..='z'), None) => Ok(handle),
        _ => Err(format!("{word} is not a letter")),
    }
}

/// Parses a key: the byte repeated sixteen times.
fn key(number: &str) -> Result<Key, String> {
    let byte: u8 = number.parse().map_err(|_| format!("{number} is not the number of a key"))?;
    Key::new(&[byte; 16]).map_err(|error| error.to_string())
}

fn operation_of(word: &str) -> Result<KeyOperation, String> {
    match word {
        "install" => Ok(KeyOperation::Install),
        "use" => Ok(KeyOperation::Use),
        "remove" => Ok(KeyOperation::Remove),
        _ => Err(format!("{word} is nothing that is done with keys")),
    }
}

fn duration(word: &str) -> Result<Duration, String> {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = word[..word.len() - unit.len()].parse().map_err(|_| format!("{word} is not a duration"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        "h" => Ok(Duration::from_secs(3600 * number)),
        _ => Err(format!("{word} is not a duration")),
    }
}

/// Separator between the commands and the expectation.
const DASHES: &str = "----\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_means_nothing_is_named() {
        let error = Script::parse("start a\n\nstrat b # typo\n").play().unwrap_err();
        assert_eq!(error.to_string(), "line 3: no such command: strat b");
        for (story, what) in [
            ("start ab", "ab is not a letter"),
            ("after 5x", "5x is not a duration"),
            ("crash a", "a does not run"),
            ("start a\nstart a", "a runs already"),
            ("start a with key x", "x is not the number of a key"),
            ("start a with key 1\nkey a lose 1", "lose is nothing that is done with keys"),
            ("start a\ncut a", "a cut has two sides"),
            ("start a\nforce-leave a a", "a node cannot force itself to leave; call leave instead"),
        ] {
            assert_eq!(Script::parse(story).play().unwrap_err().what, what, "{story}");
        }
    }

    #[test]
    fn a_story_is_kept_as_it_was_written_when_its_expectation_changes() {
        let script = Script::parse("# why\nstart a\n----\nold\n");
        assert_eq!(script.expected(), "old\n");
        assert_eq!(script.with_expected("new\n"), "# why\nstart a\n----\nnew\n");
    }

    #[test]
    fn the_same_story_ends_the_same() {
        let story = "start a b c\njoin b c via a\nafter 10s\ncrash c\nafter 1m\n";
        assert_eq!(Script::parse(story).play(), Script::parse(story).play());
    }
}
