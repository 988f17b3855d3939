//! Durations in Go's syntax.

use thiserror::Error;

use crate::quote::quote;

/// Why a text is not a duration. Displayed with the messages of Go's `time.ParseDuration`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Not of the form sign, number, unit, number, unit.
    #[error("time: invalid duration {}", quoted(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", quoted(.0))]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {} in duration {}", quoted(unit), quoted(text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Parses a duration such as `1h2m3.5s`, `-10ms` or `0`, to nanoseconds.
///
/// The units are `ns`, `us` (also with a micro sign), `ms`, `s`, `m` and `h` (`ParseDuration` in Go's `time`).
///
/// # Errors
///
/// The text is not a duration, or is beyond 292 years.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.into());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.into()));
        }
        let scale = scale(unit).ok_or_else(|| DurationError::UnknownUnit { unit: unit.into(), text: text.into() })?;
        nanos += amount(whole, fraction, scale).ok_or_else(invalid)?;
        if nanos > i128::from(i64::MAX) + i128::from(negative) {
            return Err(invalid());
        }
        rest = after;
    }
    i64::try_from(if negative { -nanos } else { nanos }).map_err(|_| invalid())
}

/// Writes a duration in its largest whole unit: `24h`, `30s`, `500ms`.
pub(crate) fn shown(nanos: i64) -> String {
    let units =
        [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)];
    match units.iter().find(|(_, unit)| nanos != 0 && nanos % unit == 0) {
        Some((unit, length)) => format!("{}{unit}", nanos / length),
        None if nanos == 0 => "0s".into(),
        None => format!("{nanos}ns"),
    }
}

fn quoted(text: &str) -> String {
    quote(text.as_bytes())
}

/// The digits at the start of `text`, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn scale(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `whole.fraction` units in nanoseconds, `None` when far too large. Digits below a nanosecond are cut off.
fn amount(whole: &str, fraction: &str, scale: i128) -> Option<i128> {
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // The first 18 digits suffice; further ones are below the resolution of every unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let parts = 10i128.pow(u32::try_from(fraction.len()).expect("at most 18"));
    whole.checked_mul(scale)?.checked_add(part * scale / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_parses_to_the_same_duration() {
        for (nanos, text) in [(0, "0s"), (86_400_000_000_000, "24h"), (90_000_000_000, "90s"), (-500_000_000, "-500ms")]
        {
            assert_eq!((shown(nanos).as_str(), parse(text)), (text, Ok(nanos)));
        }
        assert_eq!((shown(7001), parse("7001ns")), ("7001ns".into(), Ok(7001)));
    }

    #[test]
    fn durations_read_as_in_go() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("1ns", 1),
            ("1us", 1_000),
            ("1\u{b5}s", 1_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("-1.5ms", -1_500_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+5m", 300_000_000_000),
            ("1h1ms1us1ns", 3_600_001_001_001),
            ("2540400h10m10.000000000s", 9_145_440_610_000_000_000),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_in_gos_words() {
        for (text, message) in [
            ("abc", "time: invalid duration \"abc\""),
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            (".s", "time: invalid duration \".s\""),
            ("10", "time: missing unit in duration \"10\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            (
                "99999999999999999999999999999999999999999h",
                "time: invalid duration \"99999999999999999999999999999999999999999h\"",
            ),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), message);
        }
    }
}
