//! Reads msgpack of every dialect, as forgivingly as HashiCorp's programs: keys in any order, unknown ones stepped over,
//! missing ones zero, numbers of any width, strings of any kind, structs also as arrays.
//!
//! It never recurses and never allocates: nested values are counted, not entered, and a count that promises more than
//! there are bytes is refused when it is read. `None` stands for bytes that cannot be.

use core::net::IpAddr;

use crate::wire::Codec;
use crate::wire::serf::{Item, List};

/// A value at the start of some bytes, without what is inside it.
pub(super) enum Head {
    /// Too few bytes to tell.
    Short,
    /// No value begins like this.
    Bad,
    /// The head and the body of a string or number, and how many values follow that belong to it.
    Value { bytes: usize, children: u64 },
}

/// Looks at the head of the value at the start of `bytes`.
#[inline]
pub(super) fn head(bytes: &[u8]) -> Head {
    let Some(&first) = bytes.first() else { return Head::Short };
    let fixed = |bytes: usize| Head::Value { bytes, children: 0 };
    match first {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => fixed(1),
        0x80..=0x8f => Head::Value { bytes: 1, children: 2 * u64::from(first & 0x0f) },
        0x90..=0x9f => Head::Value { bytes: 1, children: u64::from(first & 0x0f) },
        0xa0..=0xbf => fixed(1 + usize::from(first & 0x1f)),
        0xc1 => Head::Bad,
        0xcc | 0xd0 => fixed(2),
        0xcd | 0xd1 | 0xd4 => fixed(3),
        0xd5 => fixed(4),
        0xca | 0xce | 0xd2 => fixed(5),
        0xd6 => fixed(6),
        0xcb | 0xcf | 0xd3 => fixed(9),
        0xd7 => fixed(10),
        0xd8 => fixed(18),
        0xc4 | 0xd9 => counted(bytes, 1, |len| (len, 0)),
        0xc5 | 0xda => counted(bytes, 2, |len| (len, 0)),
        0xc6 | 0xdb => counted(bytes, 4, |len| (len, 0)),
        0xc7 => counted(bytes, 1, |len| (len + 1, 0)),
        0xc8 => counted(bytes, 2, |len| (len + 1, 0)),
        0xc9 => counted(bytes, 4, |len| (len + 1, 0)),
        0xdc => counted(bytes, 2, |len| (0, len)),
        0xdd => counted(bytes, 4, |len| (0, len)),
        0xde => counted(bytes, 2, |len| (0, 2 * len)),
        0xdf => counted(bytes, 4, |len| (0, 2 * len)),
    }
}

/// A head with a length of `width` bytes, which gives the body's length and the number of values in it.
fn counted(bytes: &[u8], width: usize, meaning: impl FnOnce(u64) -> (u64, u64)) -> Head {
    let Some(len) = bytes.get(1..=width) else { return Head::Short };
    let (body, children) = meaning(big_endian(len));
    let Ok(body) = usize::try_from(body) else { return Head::Bad };
    match body.checked_add(1 + width) {
        Some(bytes) => Head::Value { bytes, children },
        None => Head::Bad,
    }
}

#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

/// A cursor over msgpack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// The fields of a struct: a map, or an array in the order of their declaration in Go.
pub(super) struct Fields {
    left: usize,
    /// The fields that come when it is an array.
    declared: Option<&'static [&'static [u8]]>,
}

impl Fields {
    /// The key of the next field, whose value must then be taken; `Some(None)` at the end.
    #[inline]
    pub(super) fn next<'a>(&mut self, r: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
        let Some(left) = self.left.checked_sub(1) else { return Some(None) };
        self.left = left;
        match &mut self.declared {
            None => r.bytes().map(Some),
            Some(declared) => {
                // What an array has beyond the fields that we know has a key that nobody knows.
                let (first, rest): (&'static [u8], _) = declared.split_first().map_or((b"", &[][..]), |(f, r)| (*f, r));
                *declared = rest;
                Some(Some(first))
            }
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Begins a struct, whose fields are declared in this order.
    #[inline]
    pub(super) fn fields(&mut self, declared: &'static [&'static [u8]]) -> Option<Fields> {
        if matches!(self.rest.first()?, 0x90..=0x9f | 0xdc | 0xdd) {
            return Some(Fields { left: self.array()?, declared: Some(declared) });
        }
        Some(Fields { left: self.map()?, declared: None })
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    #[inline]
    fn number(&mut self, width: usize) -> Option<u64> {
        self.take(width).map(big_endian)
    }

    #[inline]
    fn length(&mut self, width: usize) -> Option<usize> {
        self.number(width).and_then(|len| usize::try_from(len).ok())
    }

    /// A string or bytes of any kind, empty when nil. Go takes an array of small numbers too; that cannot be borrowed, so
    /// only [`ip`](Self::ip) and [`six`](Self::six) do. No program writes it.
    #[inline]
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = match self.byte()? {
            head @ 0xa0..=0xbf => usize::from(head & 0x1f),
            0xc0 => 0,
            0xc4 | 0xd9 => self.length(1)?,
            0xc5 | 0xda => self.length(2)?,
            0xc6 | 0xdb => self.length(4)?,
            _ => return None,
        };
        self.take(len)
    }

    /// A string that is text.
    #[inline]
    pub(super) fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    /// The bytes of a short field, also from an array of numbers.
    #[inline]
    fn short<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if !matches!(self.rest.first()?, 0x90..=0x9f | 0xdc | 0xdd) {
            return self.bytes().map(read);
        }
        let len = self.array()?;
        let mut room = [0; 16];
        let bytes = room.get_mut(..len)?;
        for byte in &mut *bytes {
            *byte = u8::try_from(self.uint()?).ok()?;
        }
        Some(read(bytes))
    }

    /// An address; `Some(None)` when it has neither 4 nor 16 bytes.
    #[inline]
    pub(super) fn ip(&mut self) -> Option<Option<IpAddr>> {
        self.short(|bytes| match bytes.len() {
            4 => bytes.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
            _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        })
    }

    /// Six bytes; `Some(None)` when they are not six.
    #[inline]
    pub(super) fn six(&mut self) -> Option<Option<[u8; 6]>> {
        self.short(|bytes| bytes.try_into().ok())
    }

    /// A number that is not negative.
    #[inline]
    pub(super) fn uint(&mut self) -> Option<u64> {
        let signed = |value: i64| u64::try_from(value).ok();
        match self.byte()? {
            byte @ 0x00..=0x7f => Some(u64::from(byte)),
            0xc0 => Some(0),
            0xcc => self.number(1),
            0xcd => self.number(2),
            0xce => self.number(4),
            0xcf => self.number(8),
            head @ 0xd0..=0xd3 => signed(self.signed(head)?),
            _ => None,
        }
    }

    /// A number of 32 bits that is not negative.
    #[inline]
    pub(super) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.uint()?).ok()
    }

    /// A port.
    #[inline]
    pub(super) fn u16(&mut self) -> Option<u16> {
        u16::try_from(self.uint()?).ok()
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Option<u8> {
        u8::try_from(self.uint()?).ok()
    }

    /// A number of a field that is signed in Go. One beyond its range wraps, as it does there.
    #[inline]
    pub(super) fn int(&mut self) -> Option<i64> {
        match *self.rest.first()? {
            head @ 0xe0..=0xff => {
                self.byte()?;
                Some(i64::from(head.cast_signed()))
            }
            head @ 0xd0..=0xd3 => {
                self.byte()?;
                self.signed(head)
            }
            _ => self.uint().map(u64::cast_signed),
        }
    }

    /// The body of a signed number.
    fn signed(&mut self, head: u8) -> Option<i64> {
        let mut from_end = |width: usize| {
            let value = self.number(width)?;
            let shift = 64 - 8 * width;
            Some((value << shift).cast_signed() >> shift)
        };
        match head {
            0xd0 => from_end(1),
            0xd1 => from_end(2),
            0xd2 => from_end(4),
            _ => from_end(8),
        }
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0xc0 | 0xc2 | 0x00 => Some(false),
            0xc3 | 0x01 => Some(true),
            _ => None,
        }
    }

    pub(super) fn float(&mut self) -> Option<f64> {
        match *self.rest.first()? {
            0xca => {
                let bytes = self.take(5)?.last_chunk()?;
                Some(f64::from(f32::from_be_bytes(*bytes)))
            }
            0xcb => {
                let bytes = self.take(9)?.last_chunk()?;
                Some(f64::from_be_bytes(*bytes))
            }
            #[expect(clippy::cast_precision_loss, reason = "so does Go")]
            0xcf => self.uint().map(|value| value as f64),
            #[expect(clippy::cast_precision_loss, reason = "so does Go")]
            _ => self.int().map(|value| value as f64),
        }
    }

    /// How many values the array has that begins here.
    pub(super) fn array(&mut self) -> Option<usize> {
        match self.byte()? {
            head @ 0x90..=0x9f => Some(usize::from(head & 0x0f)),
            0xc0 => Some(0),
            0xdc => self.length(2),
            0xdd => self.length(4),
            _ => None,
        }
    }

    /// How many pairs the map has that begins here.
    #[inline]
    pub(super) fn map(&mut self) -> Option<usize> {
        match self.byte()? {
            head @ 0x80..=0x8f => Some(usize::from(head & 0x0f)),
            0xc0 => Some(0),
            0xde => self.length(2),
            0xdf => self.length(4),
            _ => None,
        }
    }

    /// An array of values that have been checked.
    pub(super) fn list<T: Item<'a>>(&mut self) -> Option<List<'a, T>> {
        let count = self.array()?;
        List::take(Codec::HashiCorp, count, &mut self.rest)
    }

    /// A map of strings that have been checked, as pairs.
    pub(super) fn pairs(&mut self) -> Option<List<'a, (&'a str, &'a str)>> {
        let count = self.map()?;
        List::take(Codec::HashiCorp, count, &mut self.rest)
    }

    /// Steps over one value, whatever is in it.
    pub(super) fn skip(&mut self) -> Option<()> {
        let mut pending = 1_u64;
        while pending > 0 {
            let Head::Value { bytes, children } = head(self.rest) else { return None };
            self.take(bytes)?;
            pending = pending - 1 + children;
            // Each of them has a byte at least.
            if pending > self.rest.len() as u64 {
                return None;
            }
        }
        Some(())
    }
}

/// Takes a text off `rest`.
pub(in crate::wire) fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    take_one(rest, Reader::text)
}

/// Takes a number off `rest`.
pub(in crate::wire) fn take_float(rest: &mut &[u8]) -> Option<f64> {
    take_one(rest, Reader::float)
}

/// Takes what `read` reads off `rest`.
pub(super) fn take_one<'a, T>(rest: &mut &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = Reader::new(rest);
    let value = read(&mut reader)?;
    *rest = reader.rest;
    Some(value)
}
