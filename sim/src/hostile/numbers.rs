//! Draws of numbers at and next to every bound.

use serf_proto::Rng;
use serf_proto::limits::{LAMPORT_TIME_MAX, USER_EVENT_BYTES_MAX};

/// Draws an extreme incarnation for a member whose own is `own`.
pub(super) fn incarnation(rng: &mut Rng, own: u32) -> u32 {
    let bound = match rng.below(10) {
        0 | 1 => 1 << 31,
        2 => u32::MAX,
        3 => u32::MAX - 1,
        4 => own,
        5 => own.saturating_add(1 << 10),
        6 => (1 << 31) + (1 << 10),
        7 => 0,
        8 => 1 << rng.below(32),
        _ => own.saturating_add(1 << rng.below(32)),
    };
    match rng.below(3) {
        0 => bound.saturating_sub(1),
        1 => bound,
        _ => bound.saturating_add(1),
    }
}

/// Draws the step between consecutive accusations.
pub(super) fn stride(rng: &mut Rng) -> u32 {
    let bound = [1, 1 << 10, 1 << 16, 1 << 20, 1 << 24][rng.below(5) as usize];
    (bound + rng.below(3)).saturating_sub(1).max(1)
}

/// Draws an extreme Lamport time for clocks at `now`.
pub(super) fn ltime(rng: &mut Rng, now: u64) -> u64 {
    let bound = match rng.below(12) {
        0..=2 => now.saturating_add(1 << 32),
        3 => now.saturating_add(1 << 33),
        4 => now.saturating_add(1 << 34),
        5 => 1 << 51,
        6 => LAMPORT_TIME_MAX,
        7 => 1 << 63,
        8 => u64::MAX,
        9 => 1 << rng.below(64),
        10 => now.saturating_add(1 << rng.below(53)),
        _ => 1,
    };
    match rng.below(3) {
        0 => bound.saturating_sub(1),
        1 => bound,
        _ => bound.saturating_add(1),
    }
}

/// Draws a length up to `most`; ordinary values have at most `usual` bytes.
pub(super) fn length(rng: &mut Rng, most: usize) -> usize {
    let bound = match rng.below(6) {
        0 => USER_EVENT_BYTES_MAX,
        1 => 1 << 16,
        2 => 1 << 20,
        3 => most,
        4 => 1 << (8 + rng.below(14)),
        _ => 512,
    };
    (bound + rng.below(3) as usize).saturating_sub(1).min(most)
}

/// Draws a timeout: zero, a short one, or the longest.
pub(super) fn timeout(rng: &mut Rng) -> core::time::Duration {
    match rng.below(4) {
        0 => core::time::Duration::ZERO,
        1 => core::time::Duration::from_nanos(u64::MAX >> 1),
        2 => core::time::Duration::from_secs(365 * 24 * 3600),
        _ => rng.duration_below(core::time::Duration::from_secs(10)),
    }
}

#[cfg(test)]
mod tests {
    use serf_proto::Seed;

    use super::*;

    #[test]
    fn every_bound_of_an_incarnation_and_both_its_neighbours_are_drawn() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let drawn: Vec<u32> = (0..20_000).map(|_| incarnation(&mut rng, 7)).collect();
        for wanted in [(1 << 31) - 1, 1 << 31, (1 << 31) + 1, u32::MAX, u32::MAX - 1, 7 + 1023, 7 + 1024, 7 + 1025] {
            assert!(drawn.contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn every_bound_of_a_time_and_both_its_neighbours_are_drawn() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let drawn: Vec<u64> = (0..20_000).map(|_| ltime(&mut rng, 9)).collect();
        let step = 1 << 32;
        for wanted in
            [9 + step - 1, 9 + step, 9 + step + 1, 9 + 2 * step, (1 << 52) - 2, (1 << 52) - 1, 1 << 52, u64::MAX]
        {
            assert!(drawn.contains(&wanted), "{wanted}");
        }
        assert!(drawn.contains(&(1 << 63)));
    }
}
