//! Compression layer (`compressPayload` and `decompressPayload` in memberlist's util.go): type byte 9, then a msgpack
//! map with the algorithm, which is always LZW, and the data.

use alloc::vec::Vec;

#[cfg(feature = "compression")]
use super::lzw;
use crate::msgpack::write::{RAW_HEAD_BYTES_MAX, raw_bytes, raw_head};
use crate::msgpack::{Reader, Walk};
use crate::sink::Writer;

/// Without the feature `compression` no message becomes shorter, and none inflates.
#[cfg(not(feature = "compression"))]
mod lzw {
    use alloc::vec::Vec;

    use super::Damaged;

    pub(super) const fn encode(_: [&[u8]; 2], _room: usize, _table: &mut Vec<u32>, _out: &mut Vec<u8>) -> bool {
        false
    }

    pub(super) const fn decode(_: &[u8], _limit: usize, _table: &mut Vec<u32>, _: &mut Vec<u8>) -> Result<(), Damaged> {
        Err(Damaged)
    }
}

/// The type byte.
pub(super) const TYPE: u8 = 9;

/// The data does not inflate, or exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Compresses the concatenation of `parts` into `out`. Returns the start of the result; `None` if it is not shorter.
/// `table` is scratch space.
pub(super) fn pack(parts: [&[u8]; 2], table: &mut Vec<u32>, out: &mut Vec<u8>) -> Option<usize> {
    let room = (parts[0].len() + parts[1].len()).checked_sub(HEADER_BYTES_LEAST + 1)?;
    out.clear();
    // Leaves room for the longest header, because the size of the data is not known yet.
    out.resize(HEADER_BYTES_MAX, 0);
    if !lzw::encode(parts, room, table, out) {
        return None;
    }
    let data = out.len() - HEADER_BYTES_MAX;
    // The header is right-aligned to the data: its length depends on the size of the data.
    let start = RAW_HEAD_BYTES_MAX + data - raw_bytes(data);
    let mut header = Writer::new(&mut out[start..HEADER_BYTES_MAX]);
    header.put_u8(TYPE).and_then(|()| header.put(RECORD_HEAD)).and_then(|()| raw_head(&mut header, data)).ok()?;
    (out.len() - start < parts[0].len() + parts[1].len()).then_some(start)
}

/// Inflates `message` (including its type byte) and appends the result to `out`: at least one byte, at most `limit`.
pub(super) fn unpack(message: &[u8], limit: usize, table: &mut Vec<u32>, out: &mut Vec<u8>) -> Result<(), Damaged> {
    let record = message.get(1..).ok_or(Damaged)?;
    let (algo, data) = compressed(record).ok_or(Damaged)?;
    if algo != LZW {
        return Err(Damaged);
    }
    let before = out.len();
    lzw::decode(data, limit, table, out).map_err(|_| Damaged)?;
    // An empty message crashes HashiCorp's older nodes; no node sends one.
    if out.len() > before { Ok(()) } else { Err(Damaged) }
}

/// Parses `{Algo, Buf}`. Keys may come in any order, and unknown keys are skipped, as Go's decoder does. Missing values
/// are zero or empty.
fn compressed(record: &[u8]) -> Option<(u64, &[u8])> {
    // The common encoding, without a general parse.
    if let Some(buf) = record.strip_prefix(RECORD_HEAD) {
        return Some((LZW, Reader::new(buf).bytes()?));
    }
    let (mut algo, mut buf) = (LZW, &[][..]);
    let mut r = Reader::new(record);
    for _ in 0..r.map()? {
        match r.bytes()? {
            b"Algo" => algo = r.uint()?,
            b"Buf" => buf = r.bytes()?,
            _ => r.skip()?,
        }
    }
    Some((algo, buf))
}

/// The end of a compressed message that starts at `at`; `Ok(None)` if it is incomplete. `walk` keeps the position
/// between calls.
pub(super) fn end(walk: &mut Option<Walk>, bytes: &[u8], at: usize, limit: usize) -> Result<Option<usize>, Damaged> {
    let walk = walk.get_or_insert_with(|| Walk::new(at + 1));
    walk.end(bytes, at.saturating_add(limit)).map_err(|_| Damaged)
}

/// The only algorithm that memberlist defines.
const LZW: u64 = 0;

/// Type byte, map, and the longest length prefix.
const HEADER_BYTES_MAX: usize = 1 + RECORD_HEAD.len() + RAW_HEAD_BYTES_MAX;
const HEADER_BYTES_LEAST: usize = 1 + RECORD_HEAD.len() + 1;

/// `{Algo: 0, Buf: ...`, up to the length prefix of the data.
const RECORD_HEAD: &[u8] = b"\x82\xa4Algo\x00\xa3Buf";

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![];
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let start = pack([first, second], &mut vec![], &mut out)?;
        Some(out.split_off(start))
    }

    fn unpacked(message: &[u8], limit: usize) -> Result<Vec<u8>, Damaged> {
        let mut out = vec![];
        unpack(message, limit, &mut vec![], &mut out).map(|()| out)
    }

    #[test]
    fn what_would_not_become_shorter_is_not_compressed() {
        assert_eq!(packed(b""), None);
        assert_eq!(packed(b"abc"), None);
        let noise: [u8; 200] = crate::rng::Rng::stream(&crate::rng::Seed::from_u64(1), 0).bytes();
        assert_eq!(packed(&noise), None);
    }

    #[test]
    fn a_message_is_compressed_exactly_if_that_makes_it_shorter() {
        let mut gains = alloc::collections::BTreeSet::new();
        for len in 1..200 {
            let bytes = vec![7; len];
            let mut data = vec![];
            assert!(lzw::encode([&bytes, &[]], 10_000, &mut vec![], &mut data));
            let length = 1 + RECORD_HEAD.len() + if data.len() < 32 { 1 } else { 3 } + data.len();
            let message = packed(&bytes);
            assert_eq!(message.as_ref().map(Vec::len), (length < len).then_some(length), "{len} bytes");
            gains.extend(message.map(|message| len - message.len()));
        }
        assert_eq!(gains.first(), Some(&1), "the bound is among them");
    }

    #[test]
    fn a_message_with_a_long_head_is_not_compressed_to_its_own_length() {
        let noise: [u8; 200] = crate::rng::Rng::stream(&crate::rng::Seed::from_u64(1), 0).bytes();
        for noise in (0..noise.len()).map(|len| &noise[..len]) {
            for zeros in 0..100 {
                let bytes = [noise, &vec![0; zeros]].concat();
                assert!(
                    packed(&bytes).is_none_or(|message| message.len() < bytes.len()),
                    "{} and {zeros}",
                    noise.len()
                );
            }
        }
    }

    #[test]
    fn every_form_of_the_length_is_written_and_read() {
        for len in [60, 1_000, 600_000] {
            let bytes: Vec<u8> = (0..len).map(|at: u32| at.wrapping_mul(at / 7).to_be_bytes()[2] & 3).collect();
            let message = packed(&bytes).unwrap();
            assert!(message.len() < bytes.len());
            assert_eq!(unpacked(&message, bytes.len()), Ok(bytes));
        }
    }

    #[test]
    fn an_empty_message_and_an_unknown_algorithm_are_refused() {
        assert_eq!(unpacked(b"\x09\x82\xa4Algo\x00\xa3Buf\xa3\x00\x03\x02", 100), Err(Damaged));
        assert_eq!(unpacked(b"\x09\x82\xa4Algo\x01\xa3Buf\xa4\x00\xc3\x04\x04", 100), Err(Damaged));
        assert_eq!(unpacked(b"\x09", 100), Err(Damaged));
    }

    #[test]
    fn keys_in_another_order_unknown_keys_and_other_string_types_are_taken() {
        let record = b"\x84\xa3Buf\xc4\x02xy\xa4More\x92\x01\x81\xa1a\xc0\xd9\x04Algo\xcc\x00\xa1z\xd4\x01\x02";
        assert_eq!(compressed(record), Some((0, &b"xy"[..])));
        assert_eq!(compressed(b"\xde\x00\x01\xa4Algo\x01"), Some((1, &[][..])));
        assert_eq!(compressed(b"\x82\xa4Algo\x00\xa3Buf\xa2xyrest"), Some((0, &b"xy"[..])));
    }

    #[test]
    fn what_is_no_map_or_cut_short_is_refused() {
        for record in
            [&b""[..], b"\x01", b"\xa4Algo", b"\x82\xa4Algo\x00", b"\x82\xa4Algo\x00\xa3Buf\xda\xff\xffxy", b"\xc1"]
        {
            assert_eq!(compressed(record), None, "{record:?}");
        }
        assert_eq!(compressed(b"\x81\xa4Algo\xa1x"), None, "a number that is none");
        assert_eq!(compressed(b"\x81\xa3Buf\x07"), None, "bytes that are none");
        assert_eq!(compressed(b"\xdf\xff\xff\xff\xff\xdf\xff\xff\xff\xff"), None, "more values than can come");
        assert_eq!(unpacked(b"\x09\xc0", 100), Err(Damaged), "nil: no data");
    }

    #[test]
    fn the_end_of_a_message_that_reaches_beyond_the_limit_is_refused_at_its_head() {
        let mut walk = None;
        assert_eq!(end(&mut walk, b"\x09\x82\xa4Algo\x00\xa3Buf\xdb\x7f\xff\xff\xff", 0, 1_000), Err(Damaged));
    }
}
