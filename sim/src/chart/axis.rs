//! Scales and their ticks.

use super::unit::Unit;

/// One axis of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What it shows, with the unit.
    pub(crate) label: String,
    pub(crate) unit: Unit,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) is_log: bool,
}

impl Axis {
    /// Returns a linear axis from zero to a round number at or above `max`.
    pub(crate) fn linear(label: impl Into<String>, unit: Unit, max: f64) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let step = step(max);
        Self { label: label.into(), unit, min: 0.0, max: (max / step - 1e-9).ceil() * step, is_log: false }
    }

    /// Returns an axis of shares from 0 to 100 %.
    pub(crate) fn shares(label: impl Into<String>) -> Self {
        Self { label: label.into(), unit: Unit::Share, min: 0.0, max: 1.0, is_log: false }
    }

    /// Returns a logarithmic axis that includes `min` and `max`, which must be above zero.
    pub(crate) fn log(label: impl Into<String>, unit: Unit, min: f64, max: f64) -> Self {
        let min = if min.is_finite() && min > 0.0 { min } else { 1.0 };
        let max = max.max(min * 2.0);
        let (least, most) = (below(min), above(max));
        Self { label: label.into(), unit, min: least, max: most, is_log: true }
    }

    /// Returns the place of a value, from 0 to 1. Values outside are at the ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(self.min) / self.min).log10() / (self.max / self.min).log10()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        place.clamp(0.0, 1.0)
    }

    /// Returns the values with a grid line and their texts; some of a logarithmic axis have none.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        if self.is_log { self.log_ticks() } else { self.linear_ticks() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "about five ticks")]
    fn linear_ticks(&self) -> Vec<(f64, String)> {
        let step = step(self.max - self.min);
        let count = ((self.max - self.min) / step).round() as i32;
        (0..=count).map(|n| self.min + f64::from(n) * step).map(|value| (value, self.unit.tick(value))).collect()
    }

    #[expect(clippy::cast_possible_truncation, reason = "exponents of a few digits")]
    fn log_ticks(&self) -> Vec<(f64, String)> {
        let (first, last) = (self.min.log10().floor() as i32, self.max.log10().ceil() as i32);
        let has_room = last - first <= 4;
        let ticks = (first..=last).flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| (digit, exponent)));
        let ticks = ticks.map(|(digit, exponent)| (digit, digit * 10_f64.powi(exponent)));
        let inside = ticks.filter(|(_, value)| (self.min * 0.999..=self.max * 1.001).contains(value));
        inside
            .map(|(digit, value)| (value, if digit == 1.0 || has_room { self.unit.tick(value) } else { String::new() }))
            .collect()
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides `span` into four to eight parts.
fn step(span: f64) -> f64 {
    let rough = span / 8.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// The next of 1, 2, 5 times a power of ten at or below `value`.
fn below(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let digit = [5.0, 2.0, 1.0].into_iter().find(|digit| digit * power <= value * 1.000_001);
    digit.unwrap_or(1.0) * power
}

/// The next of 1, 2, 5 times a power of ten at or above `value`.
fn above(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= value * 0.999_999);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_cover_the_values() {
        for max in [0.013, 0.9, 1.0, 7.3, 99.0, 288.4, 1_000.0, 123_456.0, 9.9e9] {
            let axis = Axis::linear("x", Unit::Plain, max);
            assert!(axis.max >= max && axis.max <= max * 1.5, "{max}: {}", axis.max);
            assert!((4..=10).contains(&axis.ticks().len()), "{max}: {:?}", texts(&axis));
        }
        assert_eq!(texts(&Axis::linear("x", Unit::Seconds, 288.4)), ["0", "50", "100", "150", "200", "250", "300"]);
        assert_eq!(texts(&Axis::linear("x", Unit::BytesPerSecond, 4_100.0)).last().map(String::as_str), Some("5 k"));
        assert_eq!(Axis::linear("x", Unit::Plain, f64::NAN).max, 1.0, "nothing to show");
    }

    #[test]
    fn a_logarithmic_axis_ends_at_round_numbers() {
        let axis = Axis::log("x", Unit::Seconds, 0.3, 288.0);
        assert_eq!((axis.min, axis.max), (0.2, 500.0));
        assert_eq!(texts(&axis), ["0.2", "0.5", "1", "2", "5", "10", "20", "50", "100", "200", "500"]);
        assert!(axis.place(0.2) == 0.0 && axis.place(500.0) == 1.0 && axis.place(0.0) == 0.0);
        assert!((axis.place(10.0) - 0.5).abs() < 1e-9, "the middle of 0.2 and 500");
    }
}
