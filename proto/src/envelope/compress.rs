//! Compression (`compressPayload` and `decompressPayload` in memberlist's util.go): type byte 9 and a msgpack map of the algorithm,
//! which is always LZW, and the data.

use alloc::vec::Vec;

use super::lzw;
pub(crate) use super::msgpack::Scan;
use super::msgpack::{self, COMPRESSED_HEAD, STRING_HEAD_BYTES_MAX};

/// The type byte.
pub(super) const TYPE: u8 = 9;

/// Cannot be inflated, or would be longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Puts the compressed form of `parts`, one after the other, into `out` and returns where it begins; `None` if it is not
/// shorter. `table` is scratch.
pub(super) fn pack(parts: [&[u8]; 2], table: &mut Vec<u32>, out: &mut Vec<u8>) -> Option<usize> {
    let room = (parts[0].len() + parts[1].len()).checked_sub(HEADER_BYTES_LEAST + 1)?;
    out.clear();
    out.resize(HEADER_BYTES_MAX, 0);
    if !lzw::encode(parts, room, table, out) {
        return None;
    }
    let data = out.len() - HEADER_BYTES_MAX;
    let (head, head_len) = msgpack::string_head(data)?;
    let start = STRING_HEAD_BYTES_MAX - head_len;
    let header = &mut out[start..HEADER_BYTES_MAX];
    header[0] = TYPE;
    header[1..=COMPRESSED_HEAD.len()].copy_from_slice(COMPRESSED_HEAD);
    header[1 + COMPRESSED_HEAD.len()..].copy_from_slice(&head[STRING_HEAD_BYTES_MAX - head_len..]);
    (out.len() - start < parts[0].len() + parts[1].len()).then_some(start)
}

/// Appends to `out` what `message`, with its type byte, was before it was compressed: at least one byte and at most `limit`.
pub(super) fn unpack(message: &[u8], limit: usize, table: &mut Vec<u32>, out: &mut Vec<u8>) -> Result<(), Damaged> {
    let record = message.get(1..).ok_or(Damaged)?;
    let (algo, data) = msgpack::compressed(record).map_err(|_| Damaged)?;
    if algo != LZW {
        return Err(Damaged);
    }
    let before = out.len();
    lzw::decode(data, limit, table, out).map_err(|_| Damaged)?;
    // HashiCorp's older nodes crash on an empty message; nobody sends one.
    if out.len() > before { Ok(()) } else { Err(Damaged) }
}

/// Where a compressed message that begins at `at` ends; `Ok(None)` while it is not whole. `scan` remembers the place.
pub(super) fn end(scan: &mut Option<Scan>, bytes: &[u8], at: usize, limit: usize) -> Result<Option<usize>, Damaged> {
    let scan = scan.get_or_insert_with(|| Scan::new(at + 1));
    let end = scan.end(bytes).map_err(|_| Damaged)?;
    if scan.reach() - at > limit { Err(Damaged) } else { Ok(end) }
}

/// The only algorithm.
const LZW: u64 = 0;

/// Type byte, map, and the longest head of a string.
const HEADER_BYTES_MAX: usize = 1 + COMPRESSED_HEAD.len() + STRING_HEAD_BYTES_MAX;
const HEADER_BYTES_LEAST: usize = 1 + COMPRESSED_HEAD.len() + 1;

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
    fn the_end_of_a_message_that_reaches_beyond_the_limit_is_refused_at_its_head() {
        let mut scan = None;
        assert_eq!(end(&mut scan, b"\x09\x82\xa4Algo\x00\xa3Buf\xdb\x7f\xff\xff\xff", 0, 1_000), Err(Damaged));
    }
}
