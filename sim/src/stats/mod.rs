//! Statistics over seeds: quantiles, bootstrap intervals, paired comparisons.
//!
//! All random numbers come from a fixed seed, so that equal results give equal intervals, on any machine and in any order of files.

mod paired;

use serf_proto::{Rng, Seed};

pub(crate) use self::paired::{Difference, Direction, Verdict, judge};

/// A median over seeds and its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    /// 95 % interval of the median; equal to the range of the values if they are few.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Number of seeds.
    pub(crate) count: usize,
}

impl Estimate {
    /// Estimates the median of values, one per seed; `None` without values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let sorted = sorted(values);
        let median = quantile(&sorted, 0.5)?;
        let (low, high) = interval(&sorted, |values| quantile(values, 0.5).unwrap_or(median));
        Some(Self { median, low, high, count: sorted.len() })
    }

    /// Whether the interval is within `share` of the median on both sides, and there are enough seeds to say so.
    pub(crate) fn is_within(&self, share: f64) -> bool {
        let reach = (self.high - self.median).max(self.median - self.low);
        self.count >= SEEDS_MIN && reach <= share * self.median.abs()
    }
}

/// Returns the values in ascending order, without those that are no numbers.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Returns a quantile of sorted values, interpolated linearly between the two nearest (Hyndman and Fan's type 7).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a list"
)]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = sorted[(below + 1).min(last)];
    Some(sorted[below] + (above - sorted[below]) * part)
}

/// Returns the mean; 0 without values.
#[expect(clippy::cast_precision_loss, reason = "a number of seeds")]
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Returns the 95 % percentile bootstrap interval of a statistic (Efron 1979). `statistic` gets sorted values.
fn interval(values: &[f64], statistic: impl Fn(&[f64]) -> f64) -> (f64, f64) {
    let mut rng = Rng::stream(&Seed::from_u64(BOOTSTRAP_SEED), 0);
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let mut sample = vec![0.0; values.len()];
    let mut statistics: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            sample.iter_mut().for_each(|value| *value = values[rng.below(count) as usize]);
            sample.sort_unstable_by(f64::total_cmp);
            statistic(&sample)
        })
        .collect();
    statistics.sort_unstable_by(f64::total_cmp);
    let at = |share| quantile(&statistics, share).unwrap_or_default();
    (at((1.0 - CONFIDENCE) / 2.0), at(f64::midpoint(1.0, CONFIDENCE)))
}

/// Number of resamples. More change the ends of an interval by less than the seeds do.
const RESAMPLES: u32 = 2_000;

const CONFIDENCE: f64 = 0.95;

/// The fewest seeds of which an interval or a verdict means anything: with five, the range of all values contains the median
/// with 94 %.
pub(crate) const SEEDS_MIN: usize = 6;

const BOOTSTRAP_SEED: u64 = 0x0073_7461_7473;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_two_nearest_values() {
        let sorted = [1.0, 2.0, 3.0, 10.0];
        let at = |share| quantile(&sorted, share);
        assert_eq!((at(0.0), at(0.5), at(1.0)), (Some(1.0), Some(2.5), Some(10.0)));
        assert!(at(0.9).is_some_and(|value| (value - 7.9).abs() < 1e-9), "{:?}", at(0.9));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    }

    #[test]
    fn an_interval_contains_the_true_median_in_about_95_of_100_samples() {
        let mut rng = Rng::stream(&Seed::from_u64(5), 0);
        let trials = 300;
        let hits = (0..trials).filter(|_| {
            let sample: Vec<f64> = (0..25).map(|_| f64::from(rng.below(1_000_001)) / 1e6).collect();
            Estimate::of(&sample).is_some_and(|estimate| (estimate.low..=estimate.high).contains(&0.5))
        });
        let hits = hits.count();
        assert!((273..=297).contains(&hits), "{hits} of {trials}");
    }

    #[test]
    fn an_interval_narrows_with_more_seeds_and_needs_six() {
        let mut rng = Rng::stream(&Seed::from_u64(6), 0);
        let values: Vec<f64> = (0..200).map(|_| 20.0 + f64::from(rng.below(1_000)) / 250.0).collect();
        let of = |count: usize| Estimate::of(&values[..count]).expect("there are values");
        assert!(of(200).high - of(200).low < (of(12).high - of(12).low) / 2.0);
        assert!(of(200).is_within(0.05));
        assert!(!of(12).is_within(0.001));
        let same = Estimate::of(&[5.0; 5]).expect("there are values");
        assert_eq!((same.low, same.high, same.is_within(0.01)), (5.0, 5.0, false), "five seeds say nothing");
    }

    #[test]
    fn the_order_of_values_changes_nothing() {
        let values = [3.0, 1.0, f64::NAN, 2.0, 9.0, 4.0];
        let mut other = values;
        other.reverse();
        assert_eq!(Estimate::of(&values), Estimate::of(&other));
        assert_eq!(Estimate::of(&values).map(|estimate| estimate.count), Some(5));
    }
}
