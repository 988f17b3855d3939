//! Units of axes and tables, and how their values are written.

/// Unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds.
    Seconds,
    /// A share, from 0 to 1, written as a percentage.
    Share,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// A number of things.
    Count,
    /// A rate of things per second.
    PerSecond,
    /// Any other number.
    Plain,
}

impl Unit {
    /// Returns the unit that the end of a metric's name stands for, as in `reached_p99_s`.
    pub(crate) fn of_name(name: &str) -> Self {
        let ends = |suffix| name.ends_with(suffix);
        match () {
            () if ends("_bytes_per_s") || (name.contains("bytes") && ends("_per_s")) => Self::BytesPerSecond,
            () if ends("_per_s") => Self::PerSecond,
            () if ends("_s") => Self::Seconds,
            () if ends("_share") => Self::Share,
            () if ends("_bytes") => Self::Bytes,
            () if ends("_count") => Self::Count,
            () => Self::Plain,
        }
    }

    /// Writes a value with three significant digits and its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{} s", digits(value)),
            Self::Share => format!("{} %", percent(value)),
            Self::Bytes => format!("{}B", prefixed(value)),
            Self::BytesPerSecond => format!("{}B/s", prefixed(value)),
            Self::PerSecond => format!("{}/s", prefixed(value).trim_end()),
            Self::Count => prefixed(value).trim_end().to_owned(),
            Self::Plain => digits(value),
        }
    }

    /// Writes a value with an interval in the same unit, such as `1.23 kB/s [1.21, 1.24]`.
    pub(crate) fn show_interval(self, value: f64, low: f64, high: f64) -> String {
        let scale = match self {
            Self::Share => 0.01,
            Self::Bytes | Self::BytesPerSecond | Self::PerSecond | Self::Count => factor_of(value),
            Self::Seconds | Self::Plain => 1.0,
        };
        format!("{} [{}, {}]", self.show(value), digits(low / scale), digits(high / scale))
    }

    /// Returns a label of an axis.
    pub(crate) const fn axis_label(self) -> &'static str {
        match self {
            Self::Seconds => "virtual seconds",
            Self::Share => "share",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes per second",
            Self::Count => "count",
            Self::PerSecond => "per second",
            Self::Plain => "",
        }
    }

    /// Writes a tick of an axis whose label names the unit.
    pub(super) fn tick(self, value: f64) -> String {
        match self {
            Self::Share => format!("{} %", percent(value)),
            Self::Seconds | Self::Plain => trimmed(value, 6),
            Self::Bytes | Self::BytesPerSecond | Self::PerSecond | Self::Count => prefixed(value).trim_end().to_owned(),
        }
    }
}

/// Writes a percentage so that a share just below 1 does not read as 100.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let text = digits(percent);
    if share < 1.0 && text.starts_with("100") { trimmed((percent * 1e4).floor() / 1e4, 4) } else { text }
}

/// Writes three significant digits.
pub(crate) fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { "–".to_owned() };
    }
    // Rounded before the number of decimals is chosen: 9.999 has the digits of 10.
    let magnitude = format!("{:.2e}", value.abs()).rsplit('e').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let decimals: i32 = 2 - magnitude;
    trimmed(value, usize::try_from(decimals.clamp(0, 9)).unwrap_or(0))
}

/// Writes three significant digits and a decimal prefix with a space before it, such as `1.2 M`.
fn prefixed(value: f64) -> String {
    let factor = factor_of(value);
    let prefix = PREFIXES.iter().find(|(of, _)| *of == factor).map_or("", |(_, prefix)| prefix);
    format!("{} {prefix}", digits(value / factor))
}

/// Returns the largest prefix at or below a value. 999.6 counts as 1000, as which it would be written.
fn factor_of(value: f64) -> f64 {
    PREFIXES.iter().map(|(factor, _)| *factor).find(|factor| value.abs() >= factor * 0.9995).unwrap_or(1.0)
}

const PREFIXES: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_a_unit() {
        for (unit, value, text) in [
            (Unit::Seconds, 22.494, "22.5 s"),
            (Unit::Seconds, 0.012_34, "0.0123 s"),
            (Unit::Seconds, 9.999, "10 s"),
            (Unit::Seconds, 0.0, "0 s"),
            (Unit::Share, 0.5, "50 %"),
            (Unit::Share, 0.999_99, "99.999 %"),
            (Unit::Share, 1.0, "100 %"),
            (Unit::Bytes, 1_234_567.0, "1.23 MB"),
            (Unit::BytesPerSecond, 409.0, "409 B/s"),
            (Unit::BytesPerSecond, 999.7, "1 kB/s"),
            (Unit::Count, 604_696.0, "605 k"),
            (Unit::Count, 7.0, "7"),
            (Unit::PerSecond, 1.5, "1.5/s"),
            (Unit::Plain, -0.25, "-0.25"),
            (Unit::Plain, f64::NAN, "–"),
        ] {
            assert_eq!(unit.show(value), text, "{unit:?} {value}");
        }
    }

    #[test]
    fn an_interval_has_the_unit_and_the_prefix_of_its_value() {
        for (unit, [value, low, high], text) in [
            (Unit::BytesPerSecond, [1_234.0, 999.0, 12_000.0], "1.23 kB/s [0.999, 12]"),
            (Unit::Share, [0.5, 0.25, 1.0], "50 % [25, 100]"),
            (Unit::Seconds, [12.0, 9.5, 13.25], "12 s [9.5, 13.2]"),
            (Unit::Count, [0.0, 0.0, 5.0], "0 [0, 5]"),
        ] {
            assert_eq!(unit.show_interval(value, low, high), text);
        }
    }

    #[test]
    fn the_unit_follows_from_the_end_of_a_name() {
        for (name, unit) in [
            ("reached_p99_s", Unit::Seconds),
            ("bytes_per_node_p99_per_s", Unit::BytesPerSecond),
            ("datagrams_per_node_mean_per_s", Unit::PerSecond),
            ("detect_share", Unit::Share),
            ("stream_bytes", Unit::Bytes),
            ("false_failures_count", Unit::Count),
            ("figure_error", Unit::Plain),
        ] {
            assert_eq!(Unit::of_name(name), unit, "{name}");
        }
    }
}
