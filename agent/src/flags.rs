//! Parses flags as Go's `flag` package does: `-name=value`, `-name value`, with one dash or two.

use core::cell::RefCell;
use std::ffi::OsString;

use thiserror::Error;

use crate::duration;
use crate::quote::quote;

/// The destination of a flag's value.
pub(crate) enum Slot<'v> {
    /// True without a value.
    Bool(&'v mut bool),
    /// `Some(false)` without a value, `None` when given as false.
    Off(&'v mut Option<bool>),
    /// The last value wins.
    Text(&'v mut String),
    /// Each value is appended.
    Texts(&'v mut Vec<String>),
    /// Each value is appended to a list that several flags share.
    Shared(&'v RefCell<Vec<String>>),
    /// Decimal, or another base with a prefix.
    Int(&'v mut i64),
    /// A duration, in nanoseconds.
    Nanos(&'v mut i64),
}

/// A flag's name without dashes and its slot.
pub(crate) type Flag<'v> = (&'static str, Slot<'v>);

/// Why flags cannot be parsed, with the messages of Go's `flag`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum FlagError {
    /// A request for help: `-h` or `-help`, which every command has, with a value or after other arguments. It has no
    /// message.
    #[error("")]
    Help,
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NeedsValue(&'static str),
    #[error("invalid boolean value {value} for -{0}: parse error", value = quote(.1.as_bytes()))]
    Bool(&'static str, String),
    #[error("invalid value {value} for flag -{0}: {2}", value = quote(.1.as_bytes()))]
    Value(&'static str, String, &'static str),
}

/// Parses flags up to the first positional argument, and returns that and the rest. `--` ends the flags, too.
pub(crate) fn parse<'a>(flags: &mut [Flag<'_>], args: &'a [OsString]) -> Result<&'a [OsString], FlagError> {
    parse_noting(flags, args, |_| {})
}

/// The same; `note` is called with the name of each flag that is given.
pub(crate) fn parse_noting<'a>(
    flags: &mut [Flag<'_>],
    args: &'a [OsString],
    mut note: impl FnMut(&'static str),
) -> Result<&'a [OsString], FlagError> {
    #[cfg(test)]
    tests::NAMES.with_borrow_mut(|names| names.extend(flags.iter().map(|flag| flag.0)));
    let mut rest = args;
    while let Some((arg, after)) = rest.split_first() {
        let text = arg.to_string_lossy();
        let Some(name) = text.strip_prefix('-').filter(|name| !name.is_empty()) else { return Ok(rest) };
        rest = after;
        let name = name.strip_prefix('-').unwrap_or(name);
        if name.is_empty() {
            return Ok(rest);
        }
        if name.starts_with(['-', '=']) {
            return Err(FlagError::Syntax(text.into_owned()));
        }
        let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
        let unknown = || if matches!(name, "h" | "help") { FlagError::Help } else { FlagError::Unknown(name.into()) };
        let (name, slot) = flags.iter_mut().find(|flag| flag.0 == name).ok_or_else(unknown)?;
        note(name);
        let value = match (value, rest.split_first()) {
            (Some(value), _) => value,
            (None, _) if matches!(slot, Slot::Bool(_) | Slot::Off(_)) => "true".into(),
            (None, Some((value, after))) => {
                rest = after;
                value.to_string_lossy().into_owned()
            }
            (None, None) => return Err(FlagError::NeedsValue(name)),
        };
        set(name, slot, value)?;
    }
    Ok(rest)
}

fn set(name: &'static str, slot: &mut Slot<'_>, value: String) -> Result<(), FlagError> {
    match slot {
        Slot::Bool(target) => **target = parse_bool(&value).ok_or(FlagError::Bool(name, value))?,
        Slot::Off(target) => {
            let is_off = parse_bool(&value).ok_or(FlagError::Bool(name, value))?;
            **target = is_off.then_some(false);
        }
        Slot::Text(target) => **target = value,
        Slot::Texts(target) => target.push(value),
        Slot::Shared(target) => target.borrow_mut().push(value),
        Slot::Int(target) => **target = parse_int(&value).map_err(|why| FlagError::Value(name, value, why))?,
        Slot::Nanos(target) => {
            **target = duration::parse(&value).map_err(|_| FlagError::Value(name, value, PARSE_ERROR))?;
        }
    }
    Ok(())
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Parses an integer with Go's prefixes for its base (`ParseInt` with base 0).
fn parse_int(text: &str) -> Result<i64, &'static str> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..], true),
        [b'0', b'o', ..] => (8, &lower[2..], true),
        [b'0', b'b', ..] => (2, &lower[2..], true),
        [b'0', _, ..] => (8, &lower[1..], true),
        _ => (10, lower.as_str(), false),
    };
    if !underscores_are_between_digits(digits, prefixed) {
        return Err(PARSE_ERROR);
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return Err(PARSE_ERROR);
    }
    let value = i128::from_str_radix(&digits, base).map_err(|_| RANGE_ERROR)?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| RANGE_ERROR)
}

/// An underscore may separate digits, and the base's prefix from the digits.
fn underscores_are_between_digits(digits: &str, prefixed: bool) -> bool {
    let outer = if prefixed { digits.strip_prefix('_').unwrap_or(digits) } else { digits };
    !(outer.starts_with('_') || outer.ends_with('_') || outer.contains("__"))
}

const PARSE_ERROR: &str = "parse error";
const RANGE_ERROR: &str = "value out of range";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    thread_local! {
        /// The names of all flags that were looked up.
        pub(crate) static NAMES: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    fn args(texts: &[&str]) -> Vec<OsString> {
        texts.iter().map(OsString::from).collect()
    }

    #[derive(Default, Debug, PartialEq)]
    struct Parsed {
        on: bool,
        shrink: Option<bool>,
        name: String,
        tags: Vec<String>,
        count: i64,
        wait: i64,
        rest: Vec<OsString>,
    }

    fn parsed(texts: &[&str]) -> Result<Parsed, FlagError> {
        let mut p = Parsed::default();
        let args = args(texts);
        let rest = parse(
            &mut [
                ("on", Slot::Bool(&mut p.on)),
                ("no-shrink", Slot::Off(&mut p.shrink)),
                ("name", Slot::Text(&mut p.name)),
                ("tag", Slot::Texts(&mut p.tags)),
                ("count", Slot::Int(&mut p.count)),
                ("wait", Slot::Nanos(&mut p.wait)),
            ],
            &args,
        )?;
        p.rest = rest.to_vec();
        Ok(p)
    }

    #[test]
    fn one_dash_or_two_and_both_ways_to_give_a_value() {
        let expected = Parsed { on: true, name: "n".into(), count: 2, wait: 3_000_000_000, ..Parsed::default() };
        assert_eq!(parsed(&["-on", "-name=n", "--count", "0x2", "--wait=3s"]), Ok(expected));
        assert_eq!(parsed(&["-tag", "a=b", "--tag=c=d"]).expect("parses").tags, ["a=b", "c=d"]);
        assert_eq!(parsed(&["-name=a", "-name="]).expect("parses").name, "");
    }

    #[test]
    fn a_flag_that_turns_something_off_says_nothing_when_it_is_false() {
        let shrink = |texts: &[&str]| parsed(texts).map(|parsed| parsed.shrink);
        assert_eq!(shrink(&["-no-shrink", "-on"]), Ok(Some(false)));
        assert_eq!(shrink(&["-no-shrink=false"]), Ok(None));
        assert_eq!(shrink(&["-no-shrink", "-no-shrink=0"]), Ok(None), "the last one counts");
        assert!(matches!(shrink(&["-no-shrink=no"]), Err(FlagError::Bool("no-shrink", _))));
    }

    #[test]
    fn flags_end_at_the_first_other_argument_and_at_two_dashes() {
        assert_eq!(parsed(&["-on", "x", "-name=n"]).expect("parses").rest, args(&["x", "-name=n"]));
        assert_eq!(parsed(&["-on", "--", "-name=n"]).expect("parses").rest, args(&["-name=n"]));
        assert_eq!(parsed(&["-", "-on"]).expect("parses").rest, args(&["-", "-on"]));
        let separate = parsed(&["-on", "false"]).expect("parses");
        assert!(separate.on, "a boolean takes no separate value");
        assert_eq!(separate.rest, args(&["false"]));
    }

    #[test]
    fn mistakes_are_reported_in_gos_words() {
        for (arg, message) in [
            ("-bogus", "flag provided but not defined: -bogus"),
            ("--bogus", "flag provided but not defined: -bogus"),
            ("-name", "flag needs an argument: -name"),
            ("-on=maybe", "invalid boolean value \"maybe\" for -on: parse error"),
            ("-wait=1", "invalid value \"1\" for flag -wait: parse error"),
            ("-count=x", "invalid value \"x\" for flag -count: parse error"),
            (
                "-count=99999999999999999999",
                "invalid value \"99999999999999999999\" for flag -count: value out of range",
            ),
            ("-h=false", ""),
            ("--help=1", ""),
            ("---x", "bad flag syntax: ---x"),
            ("-=", "bad flag syntax: -="),
        ] {
            assert_eq!(parsed(&[arg]).expect_err(arg).to_string(), message);
        }
    }

    #[test]
    fn integers_have_gos_prefixes_and_underscores() {
        for (text, value) in [("-1", -1), ("017", 15), ("0b11", 3), ("0o7", 7), ("0x_f", 15), ("1_000", 1000), ("0", 0)]
        {
            assert_eq!(parse_int(text), Ok(value), "{text}");
        }
        for text in ["1__0", "_1", "1_", "08", "0x", "", "+-1"] {
            assert_eq!(parse_int(text), Err(PARSE_ERROR), "{text}");
        }
    }
}
