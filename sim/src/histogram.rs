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

    /// Returns the sum of all counts.
    pub(crate) fn sum(&self) -> i64 {
        self.buckets.iter().sum()
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

    /// Returns the share of `total` that was complete over time, in virtual seconds, as the corners of a step function: each point
    /// holds until the next. A point follows when the share has changed by [`CURVE_STEP`], or by a quarter of what is missing,
    /// so that the last per mille are visible, too. At most [`CURVE_POINTS_MAX`] points, the last one exact.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn curve(&self, total: i64) -> Vec<(f64, f64)> {
        let Some(last_change) = self.buckets.iter().rposition(|delta| *delta != 0).filter(|_| total > 0) else {
            return Vec::new();
        };
        let mut points: Vec<(f64, f64)> = Vec::new();
        let (mut sum, mut shown) = (0, 0.0_f64);
        for ((n, &delta), end) in self.buckets.iter().enumerate().zip(1_u32..) {
            sum += delta;
            let share = sum as f64 / total as f64;
            let step = CURVE_STEP.min((1.0 - shown).abs() / 4.0);
            if delta != 0 && ((share - shown).abs() >= step || n == last_change) {
                points.push(((BUCKET * end).min(self.last).as_secs_f64(), share));
                shown = share;
            }
        }
        // A share that goes up and down many times has more corners.
        while points.len() > CURVE_POINTS_MAX {
            let odd = points.len() % 2;
            points = points.into_iter().enumerate().filter(|(n, _)| n % 2 != odd).map(|(_, point)| point).collect();
        }
        points
    }
}

/// Less than a line's width in a plot.
const CURVE_STEP: f64 = 1.0 / 128.0;

/// Maximum number of points of a curve.
const CURVE_POINTS_MAX: usize = 200;

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
    fn a_curve_ends_exactly_and_shows_the_last_per_mille() {
        let mut histogram = Histogram::default();
        for n in 1..=99_990_u32 {
            histogram.add(n * MS / 10, 1);
        }
        (0..10).for_each(|n| histogram.add((20_000 + 5_000 * n) * MS, 1));
        let curve = histogram.curve(100_000);
        assert!((120..=CURVE_POINTS_MAX).contains(&curve.len()), "{}", curve.len());
        assert_eq!(curve.last(), Some(&(65.0, 1.0)));
        assert!(curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{curve:?}");
        assert!(curve.iter().filter(|(at, _)| *at >= 20.0).count() >= 5, "{curve:?}");
        for (at, share) in curve.iter().filter(|(at, _)| *at < 9.9) {
            assert!((at * 0.1 - share).abs() < 0.002, "{at} s: {share}");
        }
    }

    #[test]
    fn a_curve_that_goes_up_and_down_keeps_its_bound_and_its_end() {
        let mut histogram = Histogram::default();
        (0..999_u32).for_each(|n| histogram.add(n * 20 * MS, if n % 2 == 0 { 50 } else { -50 }));
        histogram.add(30_000 * MS, 50);
        let curve = histogram.curve(100);
        assert!(curve.len() <= CURVE_POINTS_MAX, "{}", curve.len());
        assert_eq!(curve.last(), Some(&(30.0, 1.0)));
    }

    #[test]
    fn a_curve_of_nothing_is_empty() {
        assert_eq!(Histogram::default().curve(0), []);
        assert_eq!(Histogram::default().curve(5), []);
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
