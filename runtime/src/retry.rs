//! Retry policy of joins.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use serde::{Deserialize, Serialize};
use serf_proto::{Rng, Seed};

/// Retry policy for [`Serf::join_until`](crate::Serf::join_until).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The pause after the first attempt; it doubles with each. Each pause is shortened by a random part of up to one
    /// half, so that nodes that start together do not retry together. At least 100 ms.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// Time limit from the first attempt; `None`: no limit.
    pub give_up_after: Option<Duration>,
}

impl Default for Retry {
    /// One second, then two, up to 30 s, without a time limit. Serf's agent retries every 30 s (`-retry-join`).
    fn default() -> Self {
        Self { pause: Duration::from_secs(1), pause_max: Duration::from_secs(30), give_up_after: None }
    }
}

/// Source of the randomness of a node's retries: each has an RNG stream of its own.
#[derive(Debug)]
pub(crate) struct Retries {
    seed: Seed,
    begun: AtomicU64,
}

impl Retries {
    /// Derives the retries' seed from that of the node.
    pub(crate) fn new(node: &Seed) -> Self {
        Self { seed: node.child(CHILD_RETRIES), begun: AtomicU64::new(0) }
    }

    pub(crate) fn rng(&self) -> Rng {
        Rng::stream(&self.seed, self.begun.fetch_add(1, Ordering::Relaxed))
    }
}

/// Child seed of the retries. The node derives none.
const CHILD_RETRIES: u64 = 1;

/// Iterator of the pauses: each doubles and is shortened by a random part of up to one half.
pub(crate) struct Pauses {
    pause: Duration,
    pause_max: Duration,
    rng: Rng,
}

impl Pauses {
    pub(crate) fn new(retry: &Retry, rng: Rng) -> Self {
        let pause_max = retry.pause_max.max(PAUSE_LEAST);
        Self { pause: retry.pause.clamp(PAUSE_LEAST, pause_max), pause_max, rng }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.pause - self.rng.duration_below(self.pause / 2);
        self.pause = self.pause.saturating_mul(2).min(self.pause_max);
        pause
    }
}

/// Lower bound of the pause, whatever [`Retry::pause`] is.
const PAUSE_LEAST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> Rng {
        Retries::new(&Seed::from_u64(1)).rng()
    }

    #[test]
    fn retries_of_one_node_draw_different_pauses_and_equal_seeds_equal_ones() {
        let draws = |retries: &Retries| [retries.rng().next_u64(), retries.rng().next_u64()];
        let [first, second] = draws(&Retries::new(&Seed::from_u64(1)));
        assert_ne!(first, second);
        assert_eq!(draws(&Retries::new(&Seed::from_u64(1))), [first, second]);
        assert_ne!(draws(&Retries::new(&Seed::from_u64(2))), [first, second]);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_half_of_each_may_be_left_out() {
        let [pause, pause_max] = [1, 10].map(Duration::from_secs);
        let mut pauses = Pauses::new(&Retry { pause, pause_max, give_up_after: None }, rng());
        for whole in [1, 2, 4, 8, 10, 10].map(Duration::from_secs) {
            let pause = pauses.next();
            assert!((whole / 2..=whole).contains(&pause), "{pause:?} of {whole:?}");
        }
    }

    #[test]
    fn no_pause_is_so_short_that_it_would_be_a_flood() {
        let retry = Retry { pause: Duration::ZERO, pause_max: Duration::ZERO, give_up_after: None };
        let mut pauses = Pauses::new(&retry, rng());
        assert!(pauses.next() >= PAUSE_LEAST / 2 && pauses.next() <= PAUSE_LEAST);
    }
}
