//! Logical time (Lamport, 1978): a counter that never lags behind anything its node has seen.

use crate::limits::{LAMPORT_AHEAD_MAX, LAMPORT_TIME_MAX};

/// A Lamport clock. It starts at 1: time 0 stands for "nothing seen".
#[derive(Clone, Copy, Debug)]
pub(super) struct LamportClock(u64);

/// A time so far ahead that it cannot be honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooFarAhead;

impl LamportClock {
    pub(super) const fn time(self) -> u64 {
        self.0
    }

    /// Moves on by one and returns the time before.
    pub(super) fn tick(&mut self) -> u64 {
        let before = self.0;
        self.0 = (self.0 + 1).min(LAMPORT_TIME_MAX);
        before
    }

    /// Goes on after a time that an earlier life saw.
    pub(super) fn resume(&mut self, seen: u64) {
        self.0 = self.0.max(seen.saturating_add(1)).min(LAMPORT_TIME_MAX);
    }

    /// Takes note of a time from elsewhere, so that ours is after it.
    pub(super) fn witness(&mut self, time: u64) -> Result<(), TooFarAhead> {
        if time > self.0 + LAMPORT_AHEAD_MAX || time >= LAMPORT_TIME_MAX {
            return Err(TooFarAhead);
        }
        self.0 = self.0.max(time + 1);
        Ok(())
    }
}

impl Default for LamportClock {
    fn default() -> Self {
        Self(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_far_ahead_is_refused_and_changes_nothing() {
        let mut clock = LamportClock::default();
        assert_eq!(clock.witness(u64::MAX), Err(TooFarAhead));
        assert_eq!(clock.witness(LAMPORT_AHEAD_MAX + 2), Err(TooFarAhead));
        assert_eq!(clock.time(), 1);
    }

    proptest! {
        #[test]
        fn the_clock_never_goes_back_and_is_after_all_it_has_seen(times in prop::collection::vec(0_u64..1 << 33, 1..50)) {
            let mut clock = LamportClock::default();
            for time in times {
                let before = clock.time();
                if clock.witness(time).is_ok() {
                    prop_assert!(clock.time() > time);
                }
                prop_assert!(clock.time() >= before);
                prop_assert_eq!(clock.tick() + 1, clock.time());
            }
        }
    }
}
