//! The protocol's clock: nanoseconds since an origin that the caller chooses.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since the caller's origin, never wall-clock time.
///
/// Eight bytes with a minimum and a maximum, so that it fits dense tables and can be serialised to traces. Arithmetic
/// saturates: [`Instant::MAX`] stands for "never" and stays so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(u64);

impl Instant {
    /// The caller's origin.
    pub const ZERO: Self = Self(0);
    /// The latest instant; stands for "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the origin, for display.
    #[expect(clippy::cast_precision_loss, reason = "for display; 52 bits of nanoseconds are 52 days")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The duration since `earlier`; zero if it is not earlier.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// The first point after `now` on the grid `phase`, `phase + interval`, ….
pub(crate) fn next_on_grid(now: Instant, phase: Duration, interval: Duration) -> Instant {
    let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let (phase, interval) = (nanos(phase), nanos(interval).max(1));
    let since = now.as_nanos().saturating_sub(phase);
    let steps = if now.as_nanos() < phase { 0 } else { since / interval + 1 };
    Instant::from_nanos(phase.saturating_add(steps.saturating_mul(interval)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_point_on_a_grid_is_on_it_after_now_and_within_one_interval(now in 0_u64..1 << 50, phase in 0_u64..1 << 40, interval in 1_u64..1 << 40) {
            let (at, now) = (next_on_grid(Instant(now), Duration::from_nanos(phase), Duration::from_nanos(interval)).0, now);
            prop_assert!(at > now || at == phase && now < phase);
            prop_assert_eq!((at - phase) % interval, 0);
            prop_assert!(at <= phase.max(now + interval));
        }
    }

    #[test]
    fn never_stays_never_however_much_is_added() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::MAX);
    }

    #[test]
    fn the_distance_to_a_later_instant_is_zero() {
        assert_eq!(Instant::ZERO - Instant::from_nanos(5), Duration::ZERO);
        assert_eq!(Instant::from_nanos(7) - Instant::from_nanos(5), Duration::from_nanos(2));
    }
}
