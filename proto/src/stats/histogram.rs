use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Durations, counted in classes with fixed upper bounds. Its size is fixed, whatever is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Per bound, durations up to it and above the bound before; then those above all.
    classes: [u64; BOUNDS_MICROS.len() + 1],
    sum_nanos: u64,
}

impl Histogram {
    /// Nothing recorded.
    pub(crate) const NONE: Self = Self { classes: [0; BOUNDS_MICROS.len() + 1], sum_nanos: 0 };

    /// Adds a duration.
    pub(crate) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let class = BOUNDS_MICROS.partition_point(|bound| bound * 1000 < nanos);
        self.classes[class] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// Each upper bound, with the number of durations up to it: the buckets of Prometheus, but for that of infinity, which
    /// is [`count`](Self::count).
    ///
    /// The bounds in seconds: 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
    /// 10, 30.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut sum = 0;
        BOUNDS_MICROS.iter().zip(&self.classes).map(move |(&bound, class)| {
            sum += class;
            (Duration::from_micros(bound), sum)
        })
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Their sum.
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }
}

/// Upper bounds of the classes, in microseconds: from a round trip within a data center to a cluster that is overloaded.
const BOUNDS_MICROS: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_duration_counts_at_its_bound_and_all_above_and_beyond_the_last_only_in_the_count() {
        let mut histogram = Histogram::default();
        for nanos in [0, 100_000, 100_001, 30_000_000_000, 30_000_000_001] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets[0], (Duration::from_micros(100), 2));
        assert!(buckets[1..16].iter().all(|(_, count)| *count == 3));
        assert_eq!(buckets[16], (Duration::from_secs(30), 4));
        assert_eq!((histogram.count(), histogram.sum()), (5, Duration::from_nanos(60_000_200_002)));
    }

    #[test]
    fn the_sum_stays_at_its_limit() {
        let mut histogram = Histogram::default();
        (0..2).for_each(|_| histogram.record(Duration::MAX));
        assert_eq!((histogram.count(), histogram.sum()), (2, Duration::from_nanos(u64::MAX)));
    }
}
