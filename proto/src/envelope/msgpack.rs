//! As much msgpack as the layers need: where a value ends, however it comes, and what a compressed record says.
//!
//! The only message that a layer knows is the one in which memberlist wraps what it has compressed: `{Algo, Buf}`.

/// The bytes are not msgpack, or say something else than they must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Finds the end of one value whose bytes come in pieces. It looks at each byte once, nests nothing and stores nothing.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    at: usize,
    /// Values that must still come.
    pending: u64,
}

impl Scan {
    /// For the value that begins at `at`.
    pub(super) const fn new(at: usize) -> Self {
        Self { at, pending: 1 }
    }

    /// Where the value ends; `Ok(None)` when more must come. `bytes` is what it was last time and more.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Damaged> {
        while self.pending > 0 {
            let Some(rest) = bytes.get(self.at..) else { return Ok(None) };
            let Some(head) = head(rest)? else { return Ok(None) };
            self.at = self.at.checked_add(head.bytes).ok_or(Damaged)?;
            self.pending = self.pending - 1 + head.values;
        }
        Ok((self.at <= bytes.len()).then_some(self.at))
    }

    /// How far the value reaches at the least.
    pub(super) const fn reach(&self) -> usize {
        self.at
    }
}

/// What the first bytes of a value say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// How long it is, without the values inside it.
    bytes: usize,
    /// How many values are inside it.
    values: u64,
}

/// `Ok(None)` when `bytes` is too short to tell.
fn head(bytes: &[u8]) -> Result<Option<Head>, Damaged> {
    let Some(&kind) = bytes.first() else { return Ok(None) };
    let flat = |bytes: usize| Ok(Some(Head { bytes, values: 0 }));
    let nested = |bytes: usize, values: u64| Ok(Some(Head { bytes, values }));
    // A length in so many bytes after the first, and what follows it besides.
    let sized = |width: usize, more: usize| {
        let Some(len) = number(bytes, width) else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| Damaged)?;
        flat((1 + width + more).checked_add(len).ok_or(Damaged)?)
    };
    let counted = |width: usize, each: u64| match number(bytes, width) {
        Some(count) => nested(1 + width, count * each),
        None => Ok(None),
    };
    match kind {
        0x80..=0x8f => nested(1, 2 * u64::from(kind & 15)),
        0x90..=0x9f => nested(1, u64::from(kind & 15)),
        0xa0..=0xbf => flat(1 + usize::from(kind & 31)),
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => flat(1),
        0xc1 => Err(Damaged),
        0xc4 | 0xd9 => sized(1, 0),
        0xc5 | 0xda => sized(2, 0),
        0xc6 | 0xdb => sized(4, 0),
        0xc7 => sized(1, 1),
        0xc8 => sized(2, 1),
        0xc9 => sized(4, 1),
        0xcc | 0xd0 => flat(2),
        0xcd | 0xd1 => flat(3),
        0xca | 0xce | 0xd2 => flat(5),
        0xcb | 0xcf | 0xd3 => flat(9),
        0xd4..=0xd8 => flat(2 + (1 << (kind - 0xd4))),
        0xdc => counted(2, 1),
        0xdd => counted(4, 1),
        0xde => counted(2, 2),
        0xdf => counted(4, 2),
    }
}

/// The number in the `width` bytes after the first.
fn number(bytes: &[u8], width: usize) -> Option<u64> {
    let bytes = bytes.get(1..=width)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// What `{Algo, Buf}` says: the keys in any order and others beside them, as Go takes it. What is missing is zero or empty.
pub(super) fn compressed(record: &[u8]) -> Result<(u64, &[u8]), Damaged> {
    // As everybody writes it.
    if let Some(buf) = record.strip_prefix(COMPRESSED_HEAD) {
        return Ok((0, string(take(buf)?.0)?));
    }
    let (head, rest) = (head(record)?.ok_or(Damaged)?, record);
    if !matches!(rest[0], 0x80..=0x8f | 0xde | 0xdf) {
        return Err(Damaged);
    }
    let mut rest = rest.get(head.bytes..).ok_or(Damaged)?;
    let (mut algo, mut buf) = (0, &[][..]);
    // Ends: each pair takes two bytes at least.
    for _ in 0..head.values / 2 {
        let (key, after) = take(rest)?;
        let (value, after) = take(after)?;
        match string(key)? {
            b"Algo" => algo = integer(value)?,
            b"Buf" => buf = string(value)?,
            _ => {}
        }
        rest = after;
    }
    Ok((algo, buf))
}

/// The first value, and what follows it.
fn take(bytes: &[u8]) -> Result<(&[u8], &[u8]), Damaged> {
    let end = Scan::new(0).end(bytes)?.ok_or(Damaged)?;
    Ok(bytes.split_at(end))
}

/// The bytes of a string or of binary data; none of nil.
fn string(value: &[u8]) -> Result<&[u8], Damaged> {
    let head = match value.first().ok_or(Damaged)? {
        0xa0..=0xbf => 1,
        0xc4 | 0xd9 => 2,
        0xc5 | 0xda => 3,
        0xc6 | 0xdb => 5,
        0xc0 => return Ok(&[]),
        _ => return Err(Damaged),
    };
    value.get(head..).ok_or(Damaged)
}

fn integer(value: &[u8]) -> Result<u64, Damaged> {
    match *value.first().ok_or(Damaged)? {
        small @ 0..=0x7f => Ok(u64::from(small)),
        0xcc..=0xd3 => number(value, value.len() - 1).ok_or(Damaged),
        0xc0 => Ok(0),
        _ => Err(Damaged),
    }
}

/// `{Algo: 0, Buf: ...` up to the data.
pub(super) const COMPRESSED_HEAD: &[u8] = b"\x82\xa4Algo\x00\xa3Buf";

/// The longest head of a string.
pub(super) const STRING_HEAD_BYTES_MAX: usize = 5;

/// The head of a string of `len` bytes in the dialect that HashiCorp's nodes write, at the end of the array, and how long it is.
pub(super) fn string_head(len: usize) -> Option<([u8; STRING_HEAD_BYTES_MAX], usize)> {
    let [a, b, c, d] = u32::try_from(len).ok()?.to_be_bytes();
    Some(match len {
        0..32 => ([0, 0, 0, 0, 0xa0 | d], 1),
        32..0x1_0000 => ([0, 0, 0xda, c, d], 3),
        _ => ([0xdb, a, b, c, d], 5),
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_in_another_order_unknown_keys_and_other_string_types_are_taken() {
        let record = b"\x84\xa3Buf\xc4\x02xy\xa4More\x92\x01\x81\xa1a\xc0\xd9\x04Algo\xcc\x00\xa1z\xd4\x01\x02";
        assert_eq!(compressed(record), Ok((0, &b"xy"[..])));
        assert_eq!(compressed(b"\xde\x00\x01\xa4Algo\x01"), Ok((1, &[][..])));
        assert_eq!(compressed(b"\x82\xa4Algo\x00\xa3Buf\xa2xyrest"), Ok((0, &b"xy"[..])));
    }

    #[test]
    fn what_is_no_map_or_cut_short_is_refused() {
        for record in
            [&b""[..], b"\x01", b"\xa4Algo", b"\x82\xa4Algo\x00", b"\x82\xa4Algo\x00\xa3Buf\xda\xff\xffxy", b"\xc1"]
        {
            assert_eq!(compressed(record), Err(Damaged), "{record:?}");
        }
        assert_eq!(compressed(b"\x81\xa4Algo\xa1x"), Err(Damaged), "a number that is none");
        assert_eq!(compressed(b"\x81\xa3Buf\x07"), Err(Damaged), "bytes that are none");
    }

    #[test]
    fn more_values_than_can_come_do_not_take_time() {
        let mut scan = Scan::new(0);
        let record = b"\xdf\xff\xff\xff\xff\xdf\xff\xff\xff\xff";
        assert_eq!(scan.end(record), Ok(None));
        assert_eq!(compressed(record), Err(Damaged));
    }

    proptest! {
        #[test]
        fn the_end_of_a_value_is_the_same_however_it_is_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            cuts in prop::collection::vec(0_usize..60, 0..10),
        ) {
            let whole = Scan::new(0).end(&bytes);
            let mut scan = Scan::new(0);
            let mut last = Ok(None);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            for cut in cuts.into_iter().chain([bytes.len()]) {
                last = scan.end(&bytes[..cut]);
                if last != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(last, whole);
        }
    }
}
