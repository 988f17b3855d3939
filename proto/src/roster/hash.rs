//! Hashes that nodes compare with each other. Part of the native protocol, so they must never change: SipHash-1-3 with
//! a key of zero for bytes, and the finaliser of SplitMix64 to combine numbers.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// Hashes of a member's record, and of its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHashes {
    /// Hash of the native record.
    pub(crate) record: u64,
    /// Hash of the name.
    pub(crate) name: u64,
}

impl RecordHashes {
    pub(super) fn new(name: &str, record: &[u8]) -> Self {
        Self { record: hash(&[record]), name: hash(&[name.as_bytes()]) }
    }
}

/// Hash of a user event.
pub(crate) fn event_hash(ltime: u64, name: &[u8], payload: &[u8]) -> u64 {
    // The length separates name and payload.
    hash(&[&ltime.to_le_bytes(), &(name.len() as u64).to_le_bytes(), name, payload])
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher13::new();
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// A bijection of 64 bits that spreads every bit over all (SplitMix64; Steele, Lea and Flood, 2014).
pub(crate) const fn mix(mut word: u64) -> u64 {
    word ^= word >> 30;
    word = word.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word ^= word >> 27;
    word = word.wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The low half of a hash: the form in which single rows and events are compared.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
pub(crate) const fn short(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_those_of_the_protocol() {
        // From CPython, whose `hash(b"abc")` is SipHash-1-3 with a key of zero if PYTHONHASHSEED is 0.
        assert_eq!(hash(&[b"abc"]), 0xc03b_c3a0_0426_30f2);
        assert_eq!(hash(&[b"ab", b"c"]), hash(&[b"abc"]), "parts do not matter");
        assert_eq!([mix(0), mix(1), mix(1 << 63)], [0, 0x5692_161d_100b_05e5, 0x25c2_6ea5_79ce_a98a]);
    }
}
