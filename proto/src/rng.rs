//! Randomness: a seed, and independent ChaCha streams derived from it. Reads no entropy from the operating system.

use core::fmt;
use core::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The seed of all randomness of a node.
///
/// In production it must come from the operating system, fresh at every start. Fixed seeds are for simulations and
/// tests, where equal seeds give equal runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed from 32 bytes of entropy.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A seed from an integer. For simulations and tests only: 64 bits can be guessed.
    pub fn from_u64(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(bytes)
    }

    /// Derives an independent seed, for example one per node of a simulation.
    pub fn child(&self, index: u64) -> Self {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(index.wrapping_add(CHILD_STREAMS));
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    /// Hides the bytes: nonces are drawn from the seed, so it must not be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A ChaCha stream. Deterministic on every platform for equal seed and stream number.
///
/// Each concern draws from its own stream, so that more draws in one (such as nonces, once encryption is on) do not
/// shift another (such as the probe order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(ChaCha8Rng);

/// Seed, stream, and position in it. By hand, because the feature of `rand_chacha` needs the standard library.
type Place = ([u8; 32], u64, u128);

impl Serialize for Rng {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place: Place = (self.0.get_seed(), self.0.get_stream(), self.0.get_word_pos());
        place.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rng {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (seed, stream, position) = Place::deserialize(deserializer)?;
        let mut rng = ChaCha8Rng::from_seed(seed);
        rng.set_stream(stream);
        rng.set_word_pos(position);
        Ok(Self(rng))
    }
}

impl Rng {
    /// Stream number `stream` of `seed`.
    pub fn stream(seed: &Seed, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed.0);
        rng.set_stream(stream);
        Self(rng)
    }

    /// 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// `N` uniform bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A uniform number in `0..bound`, without bias (Lemire's method); 0 if `bound` is 0.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit product are meant")]
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            let low = product as u32;
            // Rejects the few values that would bias the result. The first comparison avoids the division nearly
            // always.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 32) as u32;
            }
        }
    }

    /// A uniform number in `0..bound`; 0 if `bound` is 0. Its bias is below 2⁻⁶⁴·bound, which is negligible for
    /// durations.
    pub fn below_u64(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A uniform duration in `0..bound`; zero if `bound` is zero.
    pub fn duration_below(&mut self, bound: Duration) -> Duration {
        Duration::from_nanos(self.below_u64(u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// True with a probability of `ppm` parts per million; always true from 1 000 000 on.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < ppm
    }

    /// Shuffles `items` uniformly (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
            items.swap(last, self.below(bound) as usize);
        }
    }
}

/// First stream number of child seeds, far from the numbers that [`Rng::stream`] is called with.
const CHILD_STREAMS: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_streams_and_other_streams_differ() {
        let seed = Seed::from_u64(7);
        let draw = |stream| Rng::stream(&seed, stream).next_u64();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(seed.child(0), seed.child(1));
    }

    #[test]
    fn the_numbers_of_a_seed_are_the_same_in_every_version() {
        let mut rng = Rng::stream(&Seed::from_u64(7), 1 << 40);
        assert_eq!(
            [rng.next_u64(), u64::from(rng.next_u32()), rng.next_u64()],
            [18_020_234_049_033_127_417, 2_659_223_754, 9_023_670_878_724_176_283]
        );
    }

    #[test]
    fn a_clone_draws_what_the_original_draws() {
        for drawn in 0..300 {
            let mut original = Rng::stream(&Seed::from_u64(7), 3);
            for _ in 0..drawn {
                original.next_u32();
            }
            let mut clone = original.clone();
            for _ in 0..70 {
                assert_eq!(clone.next_u64(), original.next_u64(), "after {drawn} words");
            }
        }
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[rng.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below_u64(1), 0);
    }

    #[test]
    fn a_chance_in_parts_per_million_comes_as_often_as_it_says() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let hits = (0..100_000).filter(|_| rng.chance(100_000)).count();
        assert!((9_500..10_500).contains(&hits), "{hits}");
        assert!(!rng.chance(0));
        assert!(rng.chance(1_000_000));
    }
}
