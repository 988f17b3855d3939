//! The agent's own counters, for monitoring over HTTP. The node counts its own.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// Counters of clients and handlers, since the start of the agent.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) clients_accepted: Count,
    pub(crate) clients_refused: Count,
    /// Clients that are connected.
    pub(crate) clients_open: Count,
    pub(crate) requests: Count,
    pub(crate) wrong_tokens: Count,
    /// Events dropped because a client did not read in time.
    pub(crate) stream_records_dropped: Count,
    /// Log records dropped because a client did not read in time.
    pub(crate) monitor_records_dropped: Count,
    pub(crate) handler_runs: Durations,
    pub(crate) handler_failures: Count,
    pub(crate) handler_timeouts: Count,
    /// Events dropped because a handler was too slow.
    pub(crate) handler_events_dropped: Count,
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn bump(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds one until the result is dropped.
    pub(crate) fn during(&self) -> impl Drop + '_ {
        struct Lower<'c>(&'c Count);
        impl Drop for Lower<'_> {
            fn drop(&mut self) {
                self.0.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.bump();
        Lower(self)
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    classes: [Count; BOUNDS_MILLIS.len() + 1],
    micros: Count,
}

impl Durations {
    pub(crate) fn add(&self, took: Duration) {
        let millis = took.as_millis();
        let class = BOUNDS_MILLIS.iter().position(|bound| millis <= u128::from(*bound));
        self.classes[class.unwrap_or(BOUNDS_MILLIS.len())].bump();
        self.micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The cumulative count for each upper bound, in seconds.
    pub(crate) fn cumulated(&self) -> Vec<(f64, u64)> {
        let mut sum = 0;
        let bounds = BOUNDS_MILLIS.iter().zip(&self.classes);
        bounds
            .map(|(bound, class)| {
                sum += class.get();
                (f64::from(*bound) / 1000.0, sum)
            })
            .collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.classes.iter().map(Count::get).sum()
    }

    /// The sum of all durations.
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_micros(self.micros.get())
    }
}

const BOUNDS_MILLIS: [u32; 8] = [10, 50, 100, 500, 1_000, 5_000, 30_000, 300_000];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_each_bound() {
        let durations = Durations::default();
        for millis in [10, 11, 400, 600_000] {
            durations.add(Duration::from_millis(millis));
        }
        let cumulated = durations.cumulated();
        assert_eq!(cumulated[..4], [(0.01, 1), (0.05, 2), (0.1, 2), (0.5, 3)]);
        assert_eq!((cumulated[7], durations.count()), ((300.0, 3), 4), "one took longer than the last bound");
        assert_eq!(durations.sum(), Duration::from_millis(600_421));
    }

    #[test]
    fn a_temporary_count_ends_with_its_guard() {
        let count = Count::default();
        let (one, two) = (count.during(), count.during());
        drop(one);
        assert_eq!(count.get(), 1);
        drop(two);
        assert_eq!(count.get(), 0);
    }
}
