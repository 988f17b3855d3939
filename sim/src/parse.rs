//! Parsers of option values: durations, ranges, shares. Error messages are one line and name the expected form.

use core::time::Duration;

use crate::chaos::CHAOS_NODES_MAX;

/// Minimum and maximum one-way latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LatencyRange {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// Minimum and maximum number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodesRange {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// Parses a range of node counts such as `4..40`, or one number; all at least 2.
pub(crate) fn nodes_range(text: &str) -> Result<NodesRange, String> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| "expected MIN..MAX, such as 4..40".to_owned());
    let range = NodesRange { min: number(min)?, max: number(max)? };
    if !(2..=range.max).contains(&range.min) || range.max > CHAOS_NODES_MAX {
        return Err(format!("expected numbers from 2 to {CHAOS_NODES_MAX}, the smaller first"));
    }
    Ok(range)
}

/// Parses a duration such as `20us`, `1.5ms`, `2s`, `3m` or `1h`. Only zero may omit the unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 20us, 1.5ms, 2s, 3m or 1h");
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" if number == 0.0 => 1.0,
        _ => return Err(wrong()),
    };
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
    if duration > DURATION_MAX {
        return Err(format!("{text:?} is more than a year"));
    }
    Ok(duration)
}

/// Parses a latency range such as `1ms..20ms`, or one latency such as `150ms`.
pub(crate) fn latency_range(text: &str) -> Result<LatencyRange, String> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    if min.is_empty() || max.is_empty() {
        return Err("expected MIN..MAX, such as 1ms..20ms, or one latency, such as 150ms".to_owned());
    }
    let (min, max) = (duration(min)?, duration(max)?);
    if min.is_zero() {
        return Err("the minimum latency must be above zero".to_owned());
    }
    if min > max {
        return Err("the minimum latency is above the maximum".to_owned());
    }
    Ok(LatencyRange { min, max })
}

/// Parses a share from 0 to 1, or in percent, into parts per million.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million after the check")]
pub(crate) fn share(text: &str) -> Result<u32, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent.trim_end(), 100.0));
    let share: f64 = number.parse().map_err(|_| "expected a share from 0 to 1, or in percent such as 5%".to_owned())?;
    let share = share / unit;
    if !(0.0..=1.0).contains(&share) {
        return Err("expected a share from 0 to 1; 0.1 is 10 %".to_owned());
    }
    Ok((share * 1e6).round() as u32)
}

/// Parses a share above 0 into parts per million.
pub(crate) fn share_of_some(text: &str) -> Result<u32, String> {
    match share(text)? {
        0 => Err("expected a share above 0 and up to 1; 0.1 is 10 %".to_owned()),
        ppm => Ok(ppm),
    }
}

/// Parses a whole number above zero.
pub(crate) fn positive(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number above 0".to_owned())
}

const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1.5ms"), Ok(Duration::from_micros(1500)));
        assert_eq!(duration("20us"), Ok(Duration::from_micros(20)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for text in ["", "5", "ms", "-1s", "1 week", "nan", "1e300h", "10000h"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn latencies_are_ranges_above_zero() {
        let range = LatencyRange { min: Duration::from_millis(1), max: Duration::from_millis(20) };
        assert_eq!(latency_range("1ms..20ms"), Ok(range));
        let one = Duration::from_millis(150);
        assert_eq!(latency_range("150ms"), Ok(LatencyRange { min: one, max: one }));
        for text in ["5ms..1ms", "0..5ms", "0..", "..5ms", "5", "0", ""] {
            assert!(latency_range(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_of_nodes_are_ranges_from_two_on() {
        assert_eq!(nodes_range("4..40"), Ok(NodesRange { min: 4, max: 40 }));
        assert_eq!(nodes_range("7"), Ok(NodesRange { min: 7, max: 7 }));
        for text in ["1..4", "9..4", "4..", "..4", "some", "4..5001"] {
            assert!(nodes_range(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn shares_are_from_zero_to_one() {
        assert_eq!(share("0.1"), Ok(100_000));
        assert_eq!(share("1"), Ok(1_000_000));
        assert_eq!(share("5%"), Ok(50_000));
        assert_eq!(share("0.5 %"), Ok(5_000));
        for text in ["1.5", "-0.1", "nan", "ten", "101%", "-1%", "%", "5%%"] {
            assert!(share(text).is_err(), "{text:?}");
        }
        assert!(share_of_some("0").is_err());
    }
}
