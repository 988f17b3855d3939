//! A token bucket: limits a rate and the burst above it. Used by the Lamport clocks, for query expressions, and for reconciliations.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::time::Instant;

/// A bucket of `BURST` tokens, refilled at `PER_SEC` tokens per second.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TokenBucket<const BURST: u64, const PER_SEC: u64> {
    /// When the bucket will be full again; in the past if it is full.
    full_at: Instant,
}

impl<const BURST: u64, const PER_SEC: u64> TokenBucket<BURST, PER_SEC> {
    /// The available tokens. A partially refilled token counts as one.
    pub(crate) fn left(self, now: Instant) -> u64 {
        let missing = (self.full_at - now).as_nanos() * u128::from(PER_SEC) / NANOS_PER_SEC;
        BURST.saturating_sub(u64::try_from(missing).unwrap_or(u64::MAX))
    }

    /// Takes tokens. The caller has checked that they are [left](Self::left).
    pub(crate) fn take(&mut self, now: Instant, tokens: u64) {
        if tokens > 0 {
            // Rounded up: otherwise many small amounts would cost nothing.
            let nanos = (u128::from(tokens) * NANOS_PER_SEC).div_ceil(u128::from(PER_SEC));
            self.full_at = self.full_at.max(now) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }

    /// Feeds the time until the bucket is full.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        to.deadline(self.full_at);
    }
}

const NANOS_PER_SEC: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_more_is_taken_than_the_burst_the_rate_and_one_token(steps in prop::collection::vec((1_u64..20, 0_u64..1 << 28), 1..200)) {
            let (mut bucket, mut now, mut taken) = (TokenBucket::<64, 256>::default(), Instant::ZERO, 0);
            for (tokens, nanos) in steps {
                now = now + Duration::from_nanos(nanos);
                if tokens <= bucket.left(now) {
                    bucket.take(now, tokens);
                    taken += tokens;
                }
                let refilled = now.as_nanos() * 256 / 1_000_000_000;
                prop_assert!(taken <= 64 + refilled + 1);
            }
        }
    }
}
