//! A host's clock, which a fault may stop or set ahead.

use core::time::Duration;

use serf_proto::Instant;

/// The monotonic clock of a host: what its node takes for the time.
///
/// It shows the virtual time unless a fault stops it or sets it ahead. It never goes back, as no monotonic clock does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostClock {
    /// Virtual time of the last change.
    changed_at: Instant,
    /// What the clock showed then.
    shown: Instant,
    is_running: bool,
}

impl HostClock {
    /// A clock that shows the virtual time.
    pub(crate) const EXACT: Self = Self { changed_at: Instant::ZERO, shown: Instant::ZERO, is_running: true };

    /// Returns what the clock shows at the virtual time `at`, which is not before the last change.
    pub(crate) fn read(self, at: Instant) -> Instant {
        if self.is_running { self.shown + (at - self.changed_at) } else { self.shown }
    }

    /// Returns the virtual time at which the clock will show `time`: never while it stands still, and the time of the
    /// last change if it showed `time` before.
    pub(crate) fn when(self, time: Instant) -> Instant {
        if time == Instant::MAX || !self.is_running && time > self.shown {
            return Instant::MAX;
        }
        self.changed_at + (time - self.shown)
    }

    /// Stops the clock.
    pub(crate) fn stop(&mut self, at: Instant) {
        *self = Self { changed_at: at, shown: self.read(at), is_running: false };
    }

    /// Sets the clock ahead by `jump`, and lets it run.
    pub(crate) fn start(&mut self, at: Instant, jump: Duration) {
        *self = Self { changed_at: at, shown: self.read(at) + jump, is_running: true };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_clock_without_faults_shows_the_virtual_time() {
        assert_eq!(HostClock::EXACT.read(at(7)), at(7));
        assert_eq!(HostClock::EXACT.when(at(7)), at(7));
        assert_eq!(HostClock::EXACT.when(Instant::MAX), Instant::MAX);
    }

    #[test]
    fn a_stopped_clock_goes_on_from_where_it_stood_and_stays_behind() {
        let mut clock = HostClock::EXACT;
        clock.stop(at(10));
        assert_eq!((clock.read(at(10)), clock.read(at(25))), (at(10), at(10)));
        assert_eq!((clock.when(at(10)), clock.when(at(11))), (at(10), Instant::MAX));
        clock.start(at(30), Duration::ZERO);
        assert_eq!((clock.read(at(30)), clock.read(at(35))), (at(10), at(15)));
        assert_eq!(clock.when(at(15)), at(35));
    }

    #[test]
    fn a_jump_sets_the_clock_ahead_and_what_it_skipped_is_due_at_once() {
        let mut clock = HostClock::EXACT;
        clock.start(at(10), Duration::from_secs(5));
        assert_eq!(clock.read(at(12)), at(17));
        assert_eq!((clock.when(at(12)), clock.when(at(20))), (at(10), at(15)));
        clock.stop(at(20));
        clock.start(at(40), Duration::from_secs(15));
        assert_eq!(clock.read(at(40)), at(40));
    }
}
