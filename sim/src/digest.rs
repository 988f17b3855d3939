//! A fast, stable hash for traces: equal runs give equal digests on every platform. Not cryptographic.

/// A 64-bit digest of a sequence of words and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    /// Adds one number.
    pub(crate) fn fold(&mut self, word: u64) {
        self.0 = mix(self.0.rotate_left(17) ^ word, KEYS[0]);
    }

    /// Adds bytes and their length. Four lanes of 16 bytes fill the multiplier pipeline: a full packet takes about 30
    /// ns.
    pub(crate) fn fold_bytes(&mut self, bytes: &[u8]) {
        let mut lanes = KEYS;
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            absorb(&mut lanes, block);
        }
        if !rest.is_empty() {
            let mut block = [0; BLOCK_BYTES];
            block[..rest.len()].copy_from_slice(rest);
            absorb(&mut lanes, &block);
        }
        self.fold(bytes.len() as u64);
        for lane in lanes {
            self.fold(lane);
        }
    }

    /// Returns the digest.
    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

fn absorb(lanes: &mut [u64; LANES], block: &[u8; BLOCK_BYTES]) {
    let (words, _) = block.as_chunks::<8>();
    for (i, lane) in lanes.iter_mut().enumerate() {
        let [x, y] = [u64::from_le_bytes(words[2 * i]), u64::from_le_bytes(words[2 * i + 1])];
        *lane = mix(*lane ^ x, KEYS[i] ^ y);
    }
}

/// Folds the two halves of the 128-bit product.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a 128-bit product are meant")]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

const LANES: usize = 4;
const BLOCK_BYTES: usize = 16 * LANES;

/// Digits of pi.
const KEYS: [u64; LANES] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut digest = Digest::default();
        digest.fold_bytes(bytes);
        digest.value()
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let packet: Vec<u8> = (0..=255).cycle().take(1400).collect();
        let whole = of(&packet);
        for i in 0..packet.len() {
            let mut other = packet.clone();
            other[i] ^= 1;
            assert_ne!(of(&other), whole, "byte {i}");
        }
        assert_ne!(of(&[]), of(&[0]));
        assert_ne!(of(&[0; 63]), of(&[0; 64]));
    }

    #[test]
    fn order_counts() {
        let (mut ab, mut ba) = (Digest::default(), Digest::default());
        ab.fold(1);
        ab.fold(2);
        ba.fold(2);
        ba.fold(1);
        assert_ne!(ab, ba);
    }
}
