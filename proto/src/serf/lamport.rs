//! Lamport clocks (Lamport, 1978): counters that are ahead of every time their node has seen.
//!
//! Every member follows the greatest time of any member, so a single hostile or faulty member could exhaust the clocks
//! of the cluster. Limiting a single step does not help: a node that starts later could not follow the cluster, and a
//! million small steps are made quickly. Ours limits the rate: each clock has a budget, which times ahead of it consume
//! and real time refills. All nodes have the same budget, so that a time that one node accepted is accepted by the
//! others.

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::limits::{LAMPORT_BURST_MAX, LAMPORT_JOIN_MAX, LAMPORT_RATE_PER_SEC, LAMPORT_TIME_MAX};
use crate::time::Instant;
use crate::token_bucket::TokenBucket;

/// A Lamport clock. Starts at 1; time 0 means that no time was seen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct LamportClock {
    time: u64,
    /// How far ahead of this clock an accepted time may be.
    budget: TokenBucket<LAMPORT_BURST_MAX, LAMPORT_RATE_PER_SEC>,
}

/// The time is ahead by more than the budget, or beyond [`LAMPORT_TIME_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFarAhead;

/// The clock has reached [`LAMPORT_TIME_MAX`]: every node would refuse further messages of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl LamportClock {
    pub(super) const fn time(self) -> u64 {
        self.time
    }

    /// Advances by one. Returns the time before, which is the time of a new message of ours.
    ///
    /// # Errors
    ///
    /// If the clock is exhausted.
    pub(super) fn tick(&mut self) -> Result<u64, Exhausted> {
        let before = self.check()?;
        self.time += 1;
        Ok(before)
    }

    /// The time of our next message.
    ///
    /// # Errors
    ///
    /// If the clock is exhausted.
    pub(super) const fn check(self) -> Result<u64, Exhausted> {
        if self.time < LAMPORT_TIME_MAX { Ok(self.time) } else { Err(Exhausted) }
    }

    /// Resumes after a time that a previous run saw.
    pub(super) fn resume(&mut self, seen: u64) {
        self.time = self.time.max(seen.saturating_add(1)).min(LAMPORT_TIME_MAX);
    }

    /// Moves ahead of a received time.
    pub(super) fn witness(&mut self, now: Instant, time: u64) -> Result<(), TooFarAhead> {
        // A time that is not ahead costs nothing; so the next message of each member is accepted with an empty budget.
        let ahead = time.saturating_sub(self.time);
        if time >= LAMPORT_TIME_MAX || ahead > self.budget.left(now) {
            return Err(TooFarAhead);
        }
        self.budget.take(now, ahead);
        self.time = self.time.max(time + 1);
        Ok(())
    }

    /// Follows a time from a push/pull as far as the budget allows, and returns how far. Clocks that differ by more
    /// than the budget converge over several push/pulls.
    pub(super) fn follow(&mut self, now: Instant, time: u64) -> Result<u64, u64> {
        if self.witness(now, time).is_ok() {
            return Ok(time);
        }
        // A time that no clock may reach consumes nothing.
        if time < LAMPORT_TIME_MAX {
            let step = self.budget.left(now);
            self.budget.take(now, step);
            self.time += step;
        }
        Err(self.time - 1)
    }

    /// Adopts the time of the cluster that this node joins, however far ahead it is.
    pub(super) fn adopt(&mut self, time: u64) -> Result<(), TooFarAhead> {
        // Below `LAMPORT_TIME_MAX`: after the worst join, the clock still lasts for a year at the highest rate.
        if time >= LAMPORT_JOIN_MAX {
            return Err(TooFarAhead);
        }
        self.time = self.time.max(time + 1);
        Ok(())
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        to.put(self.time);
        self.budget.fingerprint(to);
    }
}

impl Default for LamportClock {
    fn default() -> Self {
        Self { time: 1, budget: TokenBucket::default() }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Instant = Instant::from_nanos(5_000_000_000);

    fn clock_at(time: u64) -> LamportClock {
        LamportClock { time, ..LamportClock::default() }
    }

    #[test]
    fn a_time_beyond_the_budget_is_refused_and_changes_nothing() {
        let mut clock = LamportClock::default();
        for time in [u64::MAX, LAMPORT_TIME_MAX, LAMPORT_BURST_MAX + 2] {
            assert_eq!(clock.witness(NOW, time), Err(TooFarAhead));
        }
        assert_eq!((clock.time(), clock.budget.left(NOW)), (1, LAMPORT_BURST_MAX));
        assert_eq!(clock.witness(NOW, LAMPORT_BURST_MAX + 1), Ok(()));
        assert_eq!((clock.time(), clock.budget.left(NOW)), (LAMPORT_BURST_MAX + 2, 0));
    }

    #[test]
    fn the_budget_grows_with_our_own_time_up_to_the_burst() {
        let mut clock = LamportClock::default();
        clock.witness(NOW, LAMPORT_BURST_MAX + 1).unwrap();
        let later = NOW + Duration::from_secs(1);
        assert_eq!(clock.witness(later, clock.time() + LAMPORT_RATE_PER_SEC + 1), Err(TooFarAhead));
        assert_eq!(clock.witness(later, clock.time() + LAMPORT_RATE_PER_SEC), Ok(()));
        let much_later = later + Duration::from_secs(1_000_000);
        assert_eq!(clock.witness(much_later, clock.time() + LAMPORT_BURST_MAX + 1), Err(TooFarAhead));
        assert_eq!(clock.witness(much_later, clock.time() + LAMPORT_BURST_MAX), Ok(()));
    }

    #[test]
    fn the_next_time_is_accepted_though_the_budget_is_used_up() {
        let mut clock = LamportClock::default();
        clock.witness(NOW, LAMPORT_BURST_MAX + 1).unwrap();
        for _ in 0..1000 {
            assert_eq!(clock.witness(NOW, clock.time()), Ok(()));
            assert_eq!(clock.witness(NOW, clock.time() + 1), Err(TooFarAhead));
        }
    }

    #[test]
    fn two_clocks_further_apart_than_the_budget_come_together_over_several_push_pulls() {
        let (mut clock, far) = (LamportClock::default(), 10 * LAMPORT_BURST_MAX);
        let mut now = NOW;
        assert_eq!(clock.follow(now, far), Err(LAMPORT_BURST_MAX));
        let mut rounds = 0;
        while clock.follow(now, far).is_err() {
            (now, rounds) = (now + Duration::from_secs(30), rounds + 1);
        }
        assert_eq!((clock.time(), rounds), (far + 1, (9 * 256_u32).div_ceil(30)));
    }

    #[test]
    fn a_time_at_the_end_of_time_is_not_followed_at_all() {
        let mut clock = clock_at(9);
        assert_eq!(clock.follow(NOW, LAMPORT_TIME_MAX), Err(8));
        assert_eq!(clock.time(), 9);
        assert_eq!(clock.follow(NOW, LAMPORT_TIME_MAX - 1), Err(8 + LAMPORT_BURST_MAX));
    }

    #[test]
    fn the_cluster_that_we_join_is_believed_up_to_a_bound() {
        let mut clock = LamportClock::default();
        assert_eq!(clock.adopt(LAMPORT_JOIN_MAX), Err(TooFarAhead));
        assert_eq!(clock.time(), 1);
        assert_eq!(clock.adopt(LAMPORT_JOIN_MAX - 1), Ok(()));
        assert_eq!((clock.time(), clock.budget.left(NOW)), (LAMPORT_JOIN_MAX, LAMPORT_BURST_MAX), "for nothing");
        assert_eq!(clock.adopt(5), Ok(()));
        assert_eq!(clock.time(), LAMPORT_JOIN_MAX);
    }

    #[test]
    fn at_the_greatest_time_a_tick_fails() {
        let mut clock = clock_at(LAMPORT_TIME_MAX - 1);
        assert_eq!(clock.tick(), Ok(LAMPORT_TIME_MAX - 1));
        assert_eq!((clock.tick(), clock.check(), clock.time()), (Err(Exhausted), Err(Exhausted), LAMPORT_TIME_MAX));
    }

    /// The reason for the limits: whatever arrives, in however many steps, the clock lasts for about two years, and for
    /// one year after the worst join.
    #[test]
    fn the_time_cannot_be_run_out_in_less_than_two_years() {
        const YEAR: u64 = 365 * 24 * 3600;
        let lasts = |from| (LAMPORT_TIME_MAX - from - LAMPORT_BURST_MAX) / LAMPORT_RATE_PER_SEC;
        assert!(lasts(0) > 2 * YEAR);
        assert!(lasts(LAMPORT_JOIN_MAX) > YEAR);
    }

    proptest! {
        #[test]
        fn the_clock_never_goes_back_and_is_after_all_it_has_seen(times in prop::collection::vec((0_u64..1 << 36, 0_u64..1 << 36), 1..50)) {
            let (mut clock, mut now) = (LamportClock::default(), Instant::ZERO);
            for (time, nanos) in times {
                now = now + Duration::from_nanos(nanos);
                let before = clock.time();
                if clock.witness(now, time).is_ok() {
                    prop_assert!(clock.time() > time);
                }
                prop_assert!(clock.time() >= before);
                prop_assert_eq!(clock.tick().unwrap() + 1, clock.time());
            }
        }

        #[test]
        fn no_division_into_steps_is_faster_than_the_rate(steps in prop::collection::vec((0_u64..1 << 35, 0_u64..1 << 34, any::<bool>()), 1..100)) {
            let (mut clock, mut now, mut free) = (LamportClock::default(), Instant::ZERO, 0);
            for (ahead, nanos, push_pull) in steps {
                now = now + Duration::from_nanos(nanos);
                let time = clock.time() + ahead;
                free += 1;
                if push_pull { _ = clock.follow(now, time) } else { _ = clock.witness(now, time) }
                let grown = u128::from(now.as_nanos()) * u128::from(LAMPORT_RATE_PER_SEC) / 1_000_000_000;
                prop_assert!(u128::from(clock.time()) <= 1 + free + u128::from(LAMPORT_BURST_MAX) + grown);
            }
        }
    }
}
