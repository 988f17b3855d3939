//! Variable-length integers in postcard's format: seven bits per byte, lowest first.

use alloc::vec::Vec;

use crate::wire::DecodeError;

pub(super) fn varint(mut value: u64, out: &mut [u8]) -> usize {
    let mut used = 0;
    while value >= 0x80 {
        out[used] = value.to_le_bytes()[0] | 0x80;
        value >>= 7;
        used += 1;
    }
    out[used] = value.to_le_bytes()[0];
    used + 1
}

pub(super) fn push_varint(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; 10];
    let used = varint(value, &mut bytes);
    out.extend_from_slice(&bytes[..used]);
}

#[inline]
pub(super) fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    // Nearly all lengths and times are below 128.
    if let Some((&byte, tail)) = rest.split_first()
        && byte < 0x80
    {
        *rest = tail;
        return Some(u64::from(byte));
    }
    take_long_varint(rest)
}

#[cold]
fn take_long_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (at, &byte) in rest.iter().take(10).enumerate() {
        // The tenth byte holds bit 63 only.
        if at == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *rest = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}

#[inline]
pub(super) fn take_incarnation(rest: &mut &[u8]) -> Result<u32, DecodeError> {
    let value = take_varint(rest).ok_or(DecodeError::Malformed)?;
    u32::try_from(value).map_err(|_| DecodeError::Malformed)
}

#[inline]
pub(super) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_varint(rest)?).ok()?;
    let (bytes, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(bytes)
}
