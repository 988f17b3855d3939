//! The clock of a host, which a fault may stop.

use core::time::Duration;

use serf_proto::Instant;

/// The monotonic clock of a host. It shows the virtual time, less the time for which it stood still.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HostClock {
    behind: Duration,
    /// Virtual time at which it was stopped.
    stopped_at: Option<Instant>,
}

impl HostClock {
    /// Returns what it shows at a virtual time.
    pub(crate) fn read(self, now: Instant) -> Instant {
        Instant::ZERO + (self.stopped_at.unwrap_or(now) - Instant::ZERO).saturating_sub(self.behind)
    }

    /// Returns the virtual time at which it shows `shown`. `None` while it stands still.
    pub(crate) fn when(self, shown: Instant) -> Option<Instant> {
        self.stopped_at.is_none().then(|| shown + self.behind)
    }

    /// Stops it, if it runs.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.stopped_at.get_or_insert(now);
    }

    /// Lets it go on from where it stood.
    pub(crate) fn go_on(&mut self, now: Instant) {
        if let Some(stopped_at) = self.stopped_at.take() {
            self.behind += now - stopped_at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_stopped_clock_goes_on_from_where_it_stood_and_stays_behind() {
        let mut clock = HostClock::default();
        assert_eq!((clock.read(at(7)), clock.when(at(7))), (at(7), Some(at(7))));
        clock.stop(at(10));
        // A second order changes nothing.
        clock.stop(at(20));
        assert_eq!((clock.read(at(30)), clock.when(at(12))), (at(10), None));
        clock.go_on(at(30));
        assert_eq!((clock.read(at(31)), clock.when(at(12))), (at(11), Some(at(32))));
        clock.stop(at(40));
        clock.go_on(at(45));
        assert_eq!(clock.read(at(50)), at(25));
    }
}
