//! Probe order: a random permutation of the members, a new one each round.
//!
//! SWIM §4.3 bounds the detection time by probing every member once per round, in random order. memberlist shuffles a
//! list, and inserts newcomers at random positions. Ours: a Feistel network over the row numbers computes the
//! permutation. It needs no memory per member and no shuffle, and a newcomer's row has a random position in it.

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::rng::Rng;
use crate::roster::MemberIdx;

/// Iterator over all row numbers in permuted order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct ProbeOrder {
    keys: [u32; ROUNDS],
    /// Half of the domain's bits. The domain is at least as large as the number of rows.
    half_bits: u32,
    position: u64,
}

impl ProbeOrder {
    /// Starts at the end of an empty round; `restart` begins the first one.
    pub(super) const fn new() -> Self {
        Self { keys: [0; ROUNDS], half_bits: 0, position: u64::MAX }
    }

    /// The next row below `rows` in this round; `None` at the end of the round.
    pub(super) fn next(&mut self, rows: usize) -> Option<MemberIdx> {
        let size = 1_u64 << (2 * self.half_bits);
        while self.position < size {
            let image = self.permute(self.position);
            self.position += 1;
            // Cycle walking: images outside the table do not count. The domain is a power of four, so at most
            // three of four images are skipped.
            if image < rows as u64 {
                return u32::try_from(image).ok().map(MemberIdx);
            }
        }
        None
    }

    /// Starts a round over at least `rows` rows. Rows added later take part if they are within the domain, otherwise
    /// from the next round on.
    pub(super) fn restart(&mut self, rows: usize, rng: &mut Rng) {
        // Both halves have the same width, so the domain is a power of four.
        let bits = usize::BITS - rows.next_power_of_two().leading_zeros() - 1;
        self.half_bits = bits.div_ceil(2).max(1);
        self.keys = core::array::from_fn(|_| rng.next_u32());
        self.position = 0;
    }

    /// A bijection of `0..4^half_bits`.
    #[expect(clippy::cast_possible_truncation, reason = "both halves are below 2^32")]
    fn permute(&self, position: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = ((position >> self.half_bits) as u32, (position & mask) as u32);
        // Each round replaces one half by a function of the other, which the next round could undo: a bijection for any
        // mixing function. The multiplications spread every bit of `right` over the word, and the fold brings the high
        // bits, which are mixed best, into the mask.
        for key in self.keys {
            let mixed = (right ^ key).wrapping_mul(0x9e37_79b1);
            let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca77);
            (left, right) = (right, left ^ ((mixed >> 16 ^ mixed) & mask as u32));
        }
        (u64::from(left) << self.half_bits) | u64::from(right)
    }

    /// Feeds the rows that are still to come in this round: different keys may permute a small table alike.
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let size = 1_u64 << (2 * self.half_bits);
        if size <= DOMAIN_LISTED_MAX {
            (self.position..size).for_each(|position| to.put(self.permute(position)));
        } else {
            to.put((self.keys, self.position));
        }
        to.put(self.half_bits);
    }
}

/// Four rounds make a Feistel network a pseudo-random permutation.
const ROUNDS: usize = 4;

/// The largest domain whose images a fingerprint lists.
const DOMAIN_LISTED_MAX: u64 = 64;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::Seed;

    fn round(order: &mut ProbeOrder, rows: usize) -> Vec<u32> {
        core::iter::from_fn(|| order.next(rows)).map(|idx| idx.0).collect()
    }

    #[test]
    fn a_round_visits_every_row_once_and_rounds_differ() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let mut order = ProbeOrder::new();
        assert_eq!(order.next(1000), None, "the first round has not begun");
        for rows in [1, 2, 3, 5, 16, 100, 1000] {
            order.restart(rows, &mut rng);
            let first = round(&mut order, rows);
            let mut sorted = first.clone();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..u32::try_from(rows).unwrap()));
            assert_eq!(order.next(rows), None);
            order.restart(rows, &mut rng);
            assert!(rows < 16 || round(&mut order, rows) != first);
        }
    }

    #[test]
    fn a_newcomer_may_be_visited_in_the_round_in_which_it_came() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let visited = (0..200).filter(|_| {
            let mut order = ProbeOrder::new();
            order.restart(12, &mut rng);
            for _ in 0..6 {
                order.next(12);
            }
            round(&mut order, 13).contains(&12)
        });
        assert!((60..140).contains(&visited.count()), "its place is random, so about half the time");
    }
}
