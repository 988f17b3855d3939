//! Event counts over time, in buckets of ten milliseconds.

use core::time::Duration;

/// Counts over time since the start of a phase. Counts may decrease, as when a learnt member is lost again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    buckets: Vec<i64>,
    last: Duration,
}

impl Histogram {
    /// Adds `delta` at `after`.
    pub(crate) fn add(&mut self, after: Duration, delta: i64) {
        let bucket = usize::try_from(after.as_nanos() / BUCKET.as_nanos()).unwrap_or(usize::MAX).min(BUCKETS_MAX - 1);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += delta;
        if delta > 0 {
            self.last = self.last.max(after);
        }
    }

    /// Adds the counts of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.last = self.last.max(other.last);
    }

    /// Returns when the count first reached `count`, rounded up to the end of its bucket; exact for the final count.
    pub(crate) fn reached(&self, count: i64) -> Option<Duration> {
        let mut sum = 0;
        let end = (1_u32..).zip(&self.buckets).find_map(|(n, delta)| {
            sum += delta;
            (sum >= count).then(|| BUCKET * n)
        })?;
        Some(end.min(self.last))
    }
}

const BUCKET: Duration = Duration::from_millis(10);

/// Six days; later counts share the last bucket.
const BUCKETS_MAX: usize = 50_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn shares_are_reached_in_order_and_the_last_is_exact() {
        let mut histogram = Histogram::default();
        for n in 1..=100 {
            histogram.add(n * 7 * MS, 1);
        }
        assert_eq!(histogram.reached(50), Some(360 * MS), "350 ms, to the end of its bucket");
        assert_eq!(histogram.reached(100), Some(700 * MS));
        assert_eq!(histogram.reached(101), None);
    }

    #[test]
    fn a_goal_that_is_undone_must_be_reached_again() {
        let mut histogram = Histogram::default();
        histogram.add(5 * MS, 1);
        histogram.add(15 * MS, -1);
        histogram.add(15 * MS, 1);
        histogram.add(95 * MS, 1);
        let mut sum = Histogram::default();
        sum.merge(&histogram);
        assert_eq!(sum.reached(2), Some(95 * MS));
    }
}
