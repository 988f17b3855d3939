//! Local health multiplier (Lifeguard §IV-A, LHA-Probe).

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Health score of this node: from 0 (healthy) to the maximum multiplier minus one.
///
/// A node that misses acks may itself be slow or cut off. It then waits longer before it declares a probe failed. Only
/// the probe interval is scaled (`awareness.go` in memberlist).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Awareness {
    score: u32,
    max: u32,
}

impl Awareness {
    pub(super) const fn new(max_multiplier: u32) -> Self {
        Self { score: 0, max: max_multiplier.saturating_sub(1) }
    }

    pub(super) const fn score(&self) -> u32 {
        self.score
    }

    /// Adds `delta` to the score, clamped to its range. Positive: less healthy.
    pub(super) fn apply(&mut self, delta: i32) {
        self.score = self.score.saturating_add_signed(delta).min(self.max);
    }

    /// Scales an interval by the score plus one.
    pub(super) fn scale(&self, interval: Duration) -> Duration {
        interval.saturating_mul(self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_between_zero_and_one_below_the_maximum() {
        let mut awareness = Awareness::new(8);
        awareness.apply(-1);
        assert_eq!(awareness.score(), 0);
        awareness.apply(100);
        assert_eq!(awareness.score(), 7);
        assert_eq!(awareness.scale(Duration::from_secs(1)), Duration::from_secs(8));
    }
}
