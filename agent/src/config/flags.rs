//! The flags of `serf agent`.

use core::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;

use thiserror::Error;

use super::row::{Value, flag_name};
use super::settings::{SETTINGS, Settings};
use crate::duration::{self, DurationError};
use crate::flags::{self, Flag, FlagError, Slot};
use crate::tags::{self, TagError};

/// The parsed flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Files and directories to read first, in the order of the flags.
    pub paths: Vec<String>,
    /// The settings.
    pub settings: Settings,
    /// Whether to check the settings only, without a start.
    pub check: bool,
    /// Positional arguments, which are ignored.
    pub ignored: Vec<OsString>,
    /// The settings that were given, by their keys in files; includes values that are false, zero or empty.
    pub given: BTreeSet<&'static str>,
}

/// Why the flags are invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlagsError {
    /// A syntax error: a line for standard error, followed by the usage.
    #[error("{0}")]
    Syntax(String),
    /// A tag is invalid.
    #[error("Error: {0}")]
    Tag(#[from] TagError),
    /// A duration is invalid.
    #[error("Error: {0}")]
    Duration(#[from] DurationError),
}

impl From<FlagError> for FlagsError {
    fn from(error: FlagError) -> Self {
        Self::Syntax(error.to_string())
    }
}

impl Flags {
    /// Parses the arguments of `serf agent`. Positional arguments are ignored.
    ///
    /// # Errors
    ///
    /// See [`FlagsError`].
    pub fn parse(args: &[OsString]) -> Result<Self, FlagsError> {
        Self::parse_with(Vec::new(), args)
    }

    /// The same with flags of another command.
    pub(crate) fn parse_with(more: Vec<Flag<'_>>, args: &[OsString]) -> Result<Self, FlagsError> {
        let (mut settings, mut check, paths) = (Settings::default(), false, RefCell::default());
        let [check_flag, directory, file] = OTHER_FLAGS.map(|(shown, _)| flag_name(shown));
        let mut slots: Vec<Flag<'_>> = more;
        slots.extend([
            (check_flag, Slot::Bool(&mut check)),
            (directory, Slot::Shared(&paths)),
            (file, Slot::Shared(&paths)),
        ]);
        // Parsed after all flags: errors in these are reported last, and with another message.
        let (mut texts, mut durations) = (Vec::new(), Vec::new());
        for (setting, value) in settings.values() {
            let Some(name) = setting.flag_name() else { continue };
            match value {
                Value::Text(text) => slots.push((name, Slot::Text(text))),
                Value::Bool(on) => slots.push((name, Slot::Bool(on))),
                Value::Switch(switch) => slots.push((name, Slot::Off(switch))),
                Value::Int(number) => slots.push((name, Slot::Int(number))),
                Value::List(list) => slots.push((name, Slot::Texts(list))),
                Value::Tags(tags) => texts.push((name, Vec::new(), tags)),
                Value::Nanos(nanos) => durations.push((name, String::new(), nanos)),
            }
        }
        slots.extend(texts.iter_mut().map(|(name, texts, _)| (*name, Slot::Texts(texts))));
        slots.extend(durations.iter_mut().map(|(name, text, _)| (*name, Slot::Text(text))));
        let mut given = BTreeSet::new();
        let ignored = flags::parse_noting(&mut slots, args, |name| given.extend(key(name)))?.to_vec();
        for (_, texts, target) in texts {
            *target = tags::parse(&texts)?;
        }
        for (_, text, target) in durations.into_iter().filter(|(_, text, _)| !text.is_empty()) {
            *target = duration::parse(&text)?;
        }
        Ok(Self { paths: paths.into_inner(), settings, check, ignored, given })
    }
}

/// The key in files of the setting that a flag sets.
fn key(flag: &str) -> Option<&'static str> {
    let setting = SETTINGS.iter().find(|setting| setting.flag_name() == Some(flag))?;
    // The role is a tag.
    Some(if setting.key == "role" { "tags" } else { setting.key })
}

/// The flags in the usage of `serf agent`, with their help.
pub(crate) fn usage() -> String {
    let settings = SETTINGS.iter().filter_map(|setting| Some((setting.flag?, setting.help)));
    let mut flags: Vec<(&str, &[&str])> = settings.chain(OTHER_FLAGS).collect();
    flags.sort_unstable_by_key(|(shown, _)| flag_name(shown));
    let mut text = String::new();
    for (shown, help) in flags {
        let mut left = format!("-{shown}");
        for line in help {
            text.push_str(&format!("  {left:<26}{}\n", line.trim()));
            left.clear();
        }
    }
    text
}

/// The flags that are no settings: `-check`, and where to read settings from.
pub(super) const OTHER_FLAGS: [(&str, &[&str]); 3] = [
    ("check", &["Only checks the settings, and says whether an agent", "can start with them."]),
    (
        "config-dir=path",
        &[
            "Reads all files of this directory whose names end",
            "in .json, in the order of their names. Can be given",
            "several times.",
        ],
    ),
    ("config-file=path", &["Reads this JSON file. Can be given several times."]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, FlagsError> {
        Flags::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn files_and_directories_are_one_list_in_order() {
        let flags = parse(&["-config-dir=b", "-config-file", "a", "-config-dir=c", "positional"]).expect("parses");
        assert_eq!(flags.paths, ["b", "a", "c"]);
    }

    #[test]
    fn every_flag_sets_a_field_of_its_own() {
        let mut seen = vec![Settings::default()];
        for (setting, value) in Settings::default().values() {
            let Some(name) = setting.flag_name() else { continue };
            let arg = match value {
                Value::Text(_) | Value::List(_) => format!("-{name}=v"),
                Value::Bool(_) | Value::Switch(_) => format!("-{name}"),
                Value::Int(_) => format!("-{name}=3"),
                Value::Nanos(_) => format!("-{name}=3s"),
                Value::Tags(_) => format!("-{name}=k=v"),
            };
            let flags = parse(&[&arg]).expect(&arg);
            let key = if setting.key == "role" { "tags" } else { setting.key };
            assert_eq!(flags.given, BTreeSet::from([key]));
            assert!(!seen.contains(&flags.settings), "{arg} sets nothing, or what another flag sets");
            seen.push(flags.settings);
        }
        assert_eq!(seen.len(), 1 + 43);
        assert!(parse(&["-check"]).expect("parses").check);
    }

    #[test]
    fn mistakes_are_reported_as_by_hashicorps_agent() {
        let error = |arg| parse(&[arg]).expect_err(arg).to_string();
        assert_eq!(error("-tag=novalue"), "Error: Invalid tag: 'novalue'");
        assert_eq!(error("-tag==x"), "Error: Invalid tag: '=x'");
        assert_eq!(error("-retry-interval=10"), "Error: time: missing unit in duration \"10\"");
        assert_eq!(error("-broadcast-timeout=zz"), "Error: time: invalid duration \"zz\"");
        assert_eq!(error("-protocol=x"), "invalid value \"x\" for flag -protocol: parse error");
    }
}
