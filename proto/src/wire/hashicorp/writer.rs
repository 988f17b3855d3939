//! Writes msgpack as HashiCorp's programs do: the dialect from before there were binary strings, integers in their
//! shortest form.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::wire::{Full, Writer};

/// Where bytes go: a buffer of fixed room, or one that grows.
pub trait Out {
    /// Writes `bytes`, all or none.
    ///
    /// # Errors
    ///
    /// When they do not fit.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

impl Out for Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        Writer::put(self, bytes)
    }
}

impl Out for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// A string or bytes: both are the same.
#[inline]
pub(super) fn raw(out: &mut impl Out, bytes: &[u8]) -> Result<(), Full> {
    raw_head(out, bytes.len())?;
    out.put(bytes)
}

/// Bytes that are nil when there are none.
#[inline]
pub(super) fn raw_or_nil(out: &mut impl Out, bytes: &[u8]) -> Result<(), Full> {
    if bytes.is_empty() { nil(out) } else { raw(out, bytes) }
}

/// What goes before a string.
#[inline]
pub(super) fn raw_head(out: &mut impl Out, len: usize) -> Result<(), Full> {
    container(out, len, Kind { short: 0xa0, short_max: 31, long: 0xda })
}

/// How long a string of `len` bytes is with its head.
pub(super) const fn raw_len(len: usize) -> usize {
    match len {
        0..32 => 1 + len,
        32..0x1_0000 => 3 + len,
        _ => 5 + len,
    }
}

/// What goes before the values of an array.
#[inline]
pub(super) fn array(out: &mut impl Out, len: usize) -> Result<(), Full> {
    container(out, len, Kind { short: 0x90, short_max: 15, long: 0xdc })
}

/// How long the head of an array is.
pub(super) const fn array_head_len(len: usize) -> usize {
    match len {
        0..16 => 1,
        16..0x1_0000 => 3,
        _ => 5,
    }
}

/// What goes before the pairs of a map.
#[inline]
pub(super) fn map(out: &mut impl Out, len: usize) -> Result<(), Full> {
    container(out, len, Kind { short: 0x80, short_max: 15, long: 0xde })
}

struct Kind {
    short: u8,
    short_max: u8,
    long: u8,
}

#[inline]
fn container(out: &mut impl Out, len: usize, kind: Kind) -> Result<(), Full> {
    if let Ok(len) = u8::try_from(len)
        && len <= kind.short_max
    {
        return out.put(&[kind.short | len]);
    }
    if let Ok(len) = u16::try_from(len) {
        let [a, b] = len.to_be_bytes();
        return out.put(&[kind.long, a, b]);
    }
    let [a, b, c, d] = u32::try_from(len).map_err(|_| Full)?.to_be_bytes();
    out.put(&[kind.long + 1, a, b, c, d])
}

/// Nothing.
#[inline]
pub(super) fn nil(out: &mut impl Out) -> Result<(), Full> {
    out.put(&[0xc0])
}

/// A number in its shortest form.
#[inline]
pub(super) fn uint(out: &mut impl Out, value: u64) -> Result<(), Full> {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    match value {
        0..0x80 => out.put(&[h]),
        0x80..0x100 => out.put(&[0xcc, h]),
        0x100..0x1_0000 => out.put(&[0xcd, g, h]),
        0x1_0000..0x1_0000_0000 => out.put(&[0xce, e, f, g, h]),
        _ => out.put(&[0xcf, a, b, c, d, e, f, g, h]),
    }
}

/// A number of a field that is signed in Go, as go-msgpack writes it since its version 2. Older ones read it too.
pub(super) fn int(out: &mut impl Out, value: u64) -> Result<(), Full> {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    match value {
        0..0x80 => out.put(&[h]),
        0x80..0x8000 => out.put(&[0xd1, g, h]),
        0x8000..0x8000_0000 => out.put(&[0xd2, e, f, g, h]),
        _ => out.put(&[0xd3, a, b, c, d, e, f, g, h]),
    }
}

#[inline]
pub(super) fn boolean(out: &mut impl Out, value: bool) -> Result<(), Full> {
    out.put(&[0xc2 | u8::from(value)])
}

pub(super) fn float(out: &mut impl Out, value: f64) -> Result<(), Full> {
    out.put(&[0xcb])?;
    out.put(&value.to_be_bytes())
}

/// An address: 4 or 16 bytes, as it was announced.
#[inline]
pub(super) fn ip(out: &mut impl Out, ip: IpAddr) -> Result<(), Full> {
    match ip {
        IpAddr::V4(ip) => raw(out, &ip.octets()),
        IpAddr::V6(ip) => raw(out, &ip.octets()),
    }
}
