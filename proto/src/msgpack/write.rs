//! msgpack writer; always uses the shortest form. `text` and `bin` write today's dialect; `raw` writes HashiCorp's wire
//! dialect, without binary strings. Functions fail if the sink is full, or for lengths beyond 32 bits.

use crate::sink::{Count, Full, Sink};

/// Writes a string or bytes, which this dialect does not distinguish.
#[inline]
pub fn raw(out: &mut impl Sink, bytes: &[u8]) -> Result<(), Full> {
    raw_head(out, bytes.len())?;
    out.put(bytes)
}

/// Writes bytes; nil if empty.
#[inline]
pub fn raw_or_nil(out: &mut impl Sink, bytes: &[u8]) -> Result<(), Full> {
    if bytes.is_empty() { nil(out) } else { raw(out, bytes) }
}

/// Writes the head of a string.
#[inline]
pub fn raw_head(out: &mut impl Sink, len: usize) -> Result<(), Full> {
    head(out, len, Heads { short: Some((0xa0, 31)), byte: None, long: 0xda })
}

/// The longest string that fits into `room` bytes with its head; `None` if not even an empty one fits.
pub(crate) fn longest_raw(room: usize) -> Option<usize> {
    (room.saturating_sub(RAW_HEAD_BYTES_MAX)..room).rev().find(|&len| raw_bytes(len) <= room)
}

/// Size of a string of `len` bytes with its head.
pub(crate) fn raw_bytes(len: usize) -> usize {
    len + Count::of(|count| raw_head(count, len))
}

/// Size of the longest string head.
pub(crate) const RAW_HEAD_BYTES_MAX: usize = 5;

/// Writes a string in today's dialect.
pub fn text(out: &mut impl Sink, text: &str) -> Result<(), Full> {
    head(out, text.len(), Heads { short: Some((0xa0, 31)), byte: Some(0xd9), long: 0xda })?;
    out.put(text.as_bytes())
}

/// Writes bytes in today's dialect.
pub fn bin(out: &mut impl Sink, bytes: &[u8]) -> Result<(), Full> {
    head(out, bytes.len(), Heads { short: None, byte: Some(0xc4), long: 0xc5 })?;
    out.put(bytes)
}

/// Writes the head of an array.
#[inline]
pub fn array(out: &mut impl Sink, len: usize) -> Result<(), Full> {
    head(out, len, Heads { short: Some((0x90, 15)), byte: None, long: 0xdc })
}

/// Writes the head of a map.
#[inline]
pub fn map(out: &mut impl Sink, len: usize) -> Result<(), Full> {
    head(out, len, Heads { short: Some((0x80, 15)), byte: None, long: 0xde })
}

/// Writes a message's type byte and the head of the map that is its body, in one write if the map is short.
#[inline]
pub(crate) fn kind_and_map(out: &mut impl Sink, kind: u8, len: usize) -> Result<(), Full> {
    match u8::try_from(len) {
        Ok(len @ ..16) => out.put(&[kind, 0x80 | len]),
        _ => {
            out.put(&[kind])?;
            map(out, len)
        }
    }
}

/// First bytes of one kind of value with a length.
struct Heads {
    /// First byte with an embedded length, and the maximum of that length.
    short: Option<(u8, u8)>,
    /// First byte that a one-byte length follows.
    byte: Option<u8>,
    /// First byte that a two-byte length follows; the next number has four.
    long: u8,
}

#[inline]
fn head(out: &mut impl Sink, len: usize, heads: Heads) -> Result<(), Full> {
    let [a, b, c, d] = u32::try_from(len).map_err(|_| Full)?.to_be_bytes();
    match (heads.short, heads.byte) {
        (Some((first, max)), _) if len <= usize::from(max) => out.put(&[first | d]),
        (_, Some(first)) if len <= 0xff => out.put(&[first, d]),
        _ if len <= 0xffff => out.put(&[heads.long, c, d]),
        _ => out.put(&[heads.long + 1, a, b, c, d]),
    }
}

/// Writes nil.
#[inline]
pub fn nil(out: &mut impl Sink) -> Result<(), Full> {
    out.put(&[0xc0])
}

/// Writes an unsigned integer.
#[inline]
pub fn uint(out: &mut impl Sink, value: u64) -> Result<(), Full> {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    match value {
        0..0x80 => out.put(&[h]),
        0x80..0x100 => out.put(&[0xcc, h]),
        0x100..0x1_0000 => out.put(&[0xcd, g, h]),
        0x1_0000..0x1_0000_0000 => out.put(&[0xce, e, f, g, h]),
        _ => out.put(&[0xcf, a, b, c, d, e, f, g, h]),
    }
}

/// Writes a non-negative integer of a field that is signed in Go, as go-msgpack does since its version 2. Older
/// versions decode it too.
pub fn int(out: &mut impl Sink, value: u64) -> Result<(), Full> {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    match value {
        0..0x80 => out.put(&[h]),
        0x80..0x8000 => out.put(&[0xd1, g, h]),
        0x8000..0x8000_0000 => out.put(&[0xd2, e, f, g, h]),
        _ => out.put(&[0xd3, a, b, c, d, e, f, g, h]),
    }
}

/// Writes a negative integer.
pub fn negative(out: &mut impl Sink, value: i64) -> Result<(), Full> {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    match value {
        -0x20.. => out.put(&[h]),
        -0x80..-0x20 => out.put(&[0xd0, h]),
        -0x8000..-0x80 => out.put(&[0xd1, g, h]),
        -0x8000_0000..-0x8000 => out.put(&[0xd2, e, f, g, h]),
        _ => out.put(&[0xd3, a, b, c, d, e, f, g, h]),
    }
}

/// Writes a boolean.
#[inline]
pub fn boolean(out: &mut impl Sink, value: bool) -> Result<(), Full> {
    out.put(&[0xc2 | u8::from(value)])
}

/// Writes a 64-bit float.
pub fn float(out: &mut impl Sink, value: f64) -> Result<(), Full> {
    out.put(&[0xcb])?;
    out.put(&value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_string_takes_no_more_than_the_room_and_one_byte_more_does() {
        assert_eq!(longest_raw(0), None);
        for room in (1..100).chain(0xffff..0x1_0010) {
            let len = longest_raw(room).unwrap();
            assert!(raw_bytes(len) <= room && raw_bytes(len + 1) > room, "{room}");
        }
    }
}
