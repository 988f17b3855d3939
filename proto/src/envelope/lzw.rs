//! LZW codec, compatible with Go's compress/lzw: least significant bit first, 8-bit literals, codes of 9 to 12 bits.
//!
//! Both sides count codes in `next`: 257 after a clear, plus one per code. The decoder stores no strings. Code `k`
//! stands for the string of an earlier code plus the byte after it, and these are adjacent in the output, so it stores
//! only where each string begins.

use alloc::vec::Vec;

/// The data is not LZW, is truncated, or exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Inflates `data` and appends the result to `out`. Ends at the end code, which must be present; bytes after it are
/// ignored.
///
/// Fails before `out` grows by more than `limit`. `begins` is scratch space.
pub(super) fn decode(data: &[u8], limit: usize, begins: &mut Vec<u32>, out: &mut Vec<u8>) -> Result<(), Damaged> {
    begins.resize(TABLE_SLOTS, 0);
    // A fixed-size array: every 12-bit code is a valid index.
    let begins = begins.first_chunk_mut::<CODES>().ok_or(Damaged)?;
    let base = out.len();
    let mut bits = BitReader::new(data);
    let mut width = WIDTH_MIN;
    let mut next = END;
    let mut is_full = false;
    loop {
        // Data that ends without an end code is truncated.
        let code = bits.take(width).ok_or(Damaged)?;
        match code {
            CLEAR => {
                (width, next, is_full) = (WIDTH_MIN, END, false);
                continue;
            }
            END => return Ok(()),
            _ => {}
        }
        let at = out.len();
        // Before the string is written: it begins at the current end of the output. A full table keeps its entries
        // until a clear.
        if !is_full {
            begins[next] = u32::try_from(at).map_err(|_| Damaged)?;
        }
        if code < CLEAR {
            // A literal.
            if at - base == limit {
                return Err(Damaged);
            }
            out.push(u8::try_from(code).map_err(|_| Damaged)?);
        } else if code <= next {
            // A string: the bytes from `begins[code - 1]` up to and including `begins[code]`, the first byte of the
            // next string. `code == next` is the string that is being defined.
            let (from, last) = (begins[code - 1] as usize, begins[code] as usize);
            if at + last + 1 - from > base + limit {
                return Err(Damaged);
            }
            out.extend_from_within(from..last);
            // The last byte may be the first one of this very copy (`code == next`).
            out.push(out[last]);
        } else {
            return Err(Damaged);
        }
        // The code width grows when the next code needs another bit. At 12 bits the table is full, and codes stay at
        // that width.
        if !is_full {
            next += 1;
            if next == 1 << width {
                // From now on every code is known: it has no more bits than `next` had.
                is_full = width == WIDTH_MAX;
                width = (width + 1).min(WIDTH_MAX);
            }
        }
    }
}

/// Compresses the concatenation of `parts` and appends the result to `out`, byte for byte as Go's encoder. False if it
/// would exceed `limit`; `out` is then unusable. `table` is scratch space.
pub(super) fn encode(parts: [&[u8]; 2], limit: usize, table: &mut Vec<u32>, out: &mut Vec<u8>) -> bool {
    let mut strings = Strings::new(parts[0].len() + parts[1].len(), table);
    let mut bits = BitWriter { out, word: 0, have: 0 };
    let mut width = WIDTH_MIN;
    let mut next = END;
    // `limit` is relative to what `out` holds already.
    let limit = bits.out.len() + limit;
    // Go's encoder starts with a clear code too.
    bits.put(CLEAR, width);
    let mut bytes = parts[0].iter().chain(parts[1]).map(|byte| usize::from(*byte));
    let mut code = bytes.next();
    while let Some(prefix) = code {
        let Some(byte) = bytes.next() else { break };
        match strings.find_or_insert(prefix, byte, next + 1) {
            // The longest known string: extend it while the table has it, emit its code otherwise.
            Some(longer) => code = Some(longer),
            None => {
                bits.put(prefix, width);
                // Stop early: incompressible data costs no more than `limit` bytes of work.
                if bits.out.len() > limit {
                    return false;
                }
                if count(&mut next, &mut width, &mut bits) {
                    strings.clear();
                }
                code = Some(byte);
            }
        }
    }
    if let Some(pending) = code {
        bits.put(pending, width);
        // The decoder counts this code too, so the end code may need one more bit.
        count(&mut next, &mut width, &mut bits);
    }
    bits.put(END, width);
    bits.finish();
    bits.out.len() <= limit
}

/// Counts an emitted code, and widens or clears. True if the code space is exhausted: the caller must clear the table.
fn count(next: &mut usize, width: &mut u32, bits: &mut BitWriter<'_>) -> bool {
    // The decoder counts the codes that it reads, so both widen after the same code.
    *next += 1;
    if *next == 1 << *width {
        *width += 1;
    }
    // One code less than the table has, as Go's encoder does.
    if *next < CODES - 1 {
        return false;
    }
    bits.put(CLEAR, *width);
    (*next, *width) = (END, WIDTH_MIN);
    true
}

/// Hash table of the strings that have codes. Each is a shorter string's code plus one byte.
struct Strings<'a> {
    /// Code in the low 12 bits, key (shorter code and byte) above; 0 is a free slot.
    slots: &'a mut [u32],
    shift: u32,
}

impl<'a> Strings<'a> {
    /// A table for the strings of `len` bytes, at most half full.
    fn new(len: usize, table: &'a mut Vec<u32>) -> Self {
        table.resize(TABLE_SLOTS, 0);
        let slots = (2 * len.min(CODES)).next_power_of_two().clamp(16, TABLE_SLOTS);
        let mut strings = Self { slots: &mut table[..slots], shift: u32::BITS - slots.trailing_zeros() };
        strings.clear();
        strings
    }

    fn clear(&mut self) {
        self.slots.fill(0);
    }

    /// The code of `prefix` plus `byte`. `None` if it is new; it then has `code`.
    fn find_or_insert(&mut self, prefix: usize, byte: usize, code: usize) -> Option<usize> {
        // Layout of a slot: 12 bits of prefix, 8 of byte, 12 of code.
        let word = |value: usize| u32::try_from(value).unwrap_or_default();
        let key = word(prefix << 8 | byte);
        let mask = self.slots.len() - 1;
        let mut at = (key.wrapping_mul(0x9e37_79b1) >> self.shift) as usize;
        // Terminates: the table is at most half full.
        loop {
            let slot = &mut self.slots[at & mask];
            if *slot == 0 {
                *slot = key << 12 | word(code);
                return None;
            }
            if *slot >> 12 == key {
                return Some((*slot & 0xfff) as usize);
            }
            at += 1;
        }
    }
}

struct BitReader<'a> {
    rest: &'a [u8],
    word: u64,
    have: u32,
}

impl<'a> BitReader<'a> {
    const fn new(data: &'a [u8]) -> Self {
        Self { rest: data, word: 0, have: 0 }
    }

    fn take(&mut self, width: u32) -> Option<usize> {
        if self.have < width {
            self.refill();
            if self.have < width {
                return None;
            }
        }
        let code = self.word & ((1 << width) - 1);
        self.word >>= width;
        self.have -= width;
        usize::try_from(code).ok()
    }

    fn refill(&mut self) {
        // Four bytes at once where possible: `take` then refills once per three codes or so.
        if let Some((next, rest)) = self.rest.split_first_chunk::<4>() {
            self.word |= u64::from(u32::from_le_bytes(*next)) << self.have;
            self.have += 32;
            self.rest = rest;
            return;
        }
        while let Some((next, rest)) = self.rest.split_first() {
            self.word |= u64::from(*next) << self.have;
            self.have += 8;
            self.rest = rest;
        }
    }
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    have: u32,
}

impl BitWriter<'_> {
    fn put(&mut self, code: usize, width: u32) {
        self.word |= (code as u64) << self.have;
        self.have += width;
        // Flushes 32 bits at once, so that the word never holds more than 32 + 12 bits.
        if self.have >= 32 {
            let [a, b, c, d, ..] = self.word.to_le_bytes();
            self.out.extend_from_slice(&[a, b, c, d]);
            self.word >>= 32;
            self.have -= 32;
        }
    }

    fn finish(&mut self) {
        let bytes = self.have.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.word.to_le_bytes()[..bytes]);
    }
}

/// Clears the string table.
const CLEAR: usize = 256;
/// Ends the data.
const END: usize = 257;
const WIDTH_MIN: u32 = 9;
const WIDTH_MAX: u32 = 12;
/// Size of the code space.
const CODES: usize = 1 << WIDTH_MAX;
/// Size of the hash table: twice the code space.
const TABLE_SLOTS: usize = 2 * CODES;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        let (first, second) = bytes.split_at(bytes.len() / 3);
        assert!(encode([first, second], usize::MAX / 2, &mut vec![], &mut out));
        out
    }

    fn decoded(data: &[u8], limit: usize) -> Result<Vec<u8>, Damaged> {
        let mut out = vec![];
        decode(data, limit, &mut vec![], &mut out).map(|()| out)
    }

    #[test]
    fn nothing_is_a_clear_and_an_end() {
        assert_eq!(encoded(&[]), [0x00, 0x03, 0x02]);
        assert_eq!(decoded(&[0x00, 0x03, 0x02], 0), Ok(vec![]));
    }

    #[test]
    fn what_ends_without_the_end_code_is_refused() {
        let data = encoded(b"abcabcabcabc");
        for len in 0..data.len() {
            assert_eq!(decoded(&data[..len], 100), Err(Damaged), "{len}");
        }
    }

    #[test]
    fn a_code_that_has_no_meaning_yet_is_refused() {
        let mut out = vec![];
        let mut bits = BitWriter { out: &mut out, word: 0, have: 0 };
        for code in [CLEAR, 65, 259, END] {
            bits.put(code, 9);
        }
        bits.finish();
        assert_eq!(decoded(&out, 100), Err(Damaged));
    }

    #[test]
    fn a_bomb_is_refused_when_the_limit_is_reached() {
        let data = encoded(&vec![0; 1 << 20]);
        assert!(data.len() < 2_000, "{}", data.len());
        let mut out = vec![];
        assert_eq!(decode(&data, 5_000, &mut vec![], &mut out), Err(Damaged));
        assert!(out.len() <= 5_000, "{}", out.len());
        assert_eq!(decoded(&data, 1 << 20).map(|out| out.len()), Ok(1 << 20));
    }

    #[test]
    fn a_stream_that_never_clears_is_read_on_with_a_full_table() {
        // All 256 literals repeatedly, as one-byte codes: the table fills and stays full.
        let mut out = vec![];
        let mut bits = BitWriter { out: &mut out, word: 0, have: 0 };
        let (mut next, mut width) = (END, WIDTH_MIN);
        bits.put(CLEAR, width);
        let mut expected = vec![];
        for at in 0..10_000_usize {
            bits.put(at % 251, width);
            expected.push(u8::try_from(at % 251).unwrap());
            next = (next + 1).min(CODES);
            if next == 1 << width && width < WIDTH_MAX {
                width += 1;
            }
        }
        // The greatest code: the pair defined last.
        bits.put(CODES - 1, width);
        let last = CODES - 1 - (END + 1);
        expected.extend_from_slice(&[u8::try_from(last % 251).unwrap(), u8::try_from((last + 1) % 251).unwrap()]);
        bits.put(END, width);
        bits.finish();
        assert_eq!(decoded(&out, 20_000), Ok(expected));
    }

    #[test]
    fn a_table_that_fills_is_cleared_where_go_clears_it() {
        // The vector `compress_stress` of HashiCorp's nodes: generated data, long enough for several tables.
        let mut x = 1_u32;
        let mut next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            x.to_be_bytes()[0] & 0x3f
        };
        let bytes: Vec<u8> = (0..20_000).map(|_| next()).collect();
        let out = encoded(&bytes);
        assert_eq!(out.len(), 20_957 - 15, "without the header of the message");
        assert_eq!(crc32fast::hash(&out), 0xdd0a_4295, "of the bytes whose SHA-256 the vector has");
        assert_eq!(decoded(&out, bytes.len()), Ok(bytes));
    }

    #[test]
    fn an_encoder_gives_up_at_its_limit() {
        let mut rng = crate::rng::Rng::stream(&crate::rng::Seed::from_u64(1), 0);
        let noise: [u8; 4_000] = rng.bytes();
        for limit in [1, 101, 1_002, 3_003] {
            let mut out = vec![9; 50];
            assert!(!encode([&noise, &[]], limit, &mut vec![], &mut out));
            assert!(out.len() <= 50 + limit + 4, "{} of {limit} bytes", out.len());
        }
    }

    #[test]
    fn the_limit_of_the_decoder_does_not_count_what_the_output_had_before() {
        for bytes in [&b"abcdefgh"[..], b"aaaaaaaaaaaaaaa"] {
            let data = encoded(bytes);
            let mut out = vec![1, 2, 3];
            assert_eq!(decode(&data, bytes.len(), &mut vec![], &mut out), Ok(()));
            assert_eq!(out, [&[1, 2, 3], bytes].concat());
            assert_eq!(decode(&data, bytes.len() - 1, &mut vec![], &mut vec![1, 2, 3]), Err(Damaged));
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_the_same(
            bytes in prop::collection::vec(prop_oneof![Just(7_u8), 0_u8..4, any::<u8>()], 0..20_000),
        ) {
            prop_assert_eq!(decoded(&encoded(&bytes), bytes.len()), Ok(bytes.clone()));
            prop_assert!(bytes.is_empty() || decoded(&encoded(&bytes), bytes.len() - 1).is_err());
        }

        #[test]
        fn any_bytes_are_decoded_or_refused_within_the_limit(data in prop::collection::vec(any::<u8>(), 0..3_000)) {
            if let Ok(out) = decoded(&data, 10_000) {
                prop_assert!(out.len() <= 10_000);
            }
        }
    }
}
