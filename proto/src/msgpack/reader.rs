//! Reads msgpack of every dialect, as forgivingly as HashiCorp's programs: keys in any order, unknown ones skipped,
//! missing ones zero, integers of any width, strings of any kind, structs also as arrays.
//!
//! `None` stands for bytes that cannot be. A count that promises more than there are bytes costs nothing: it is refused
//! where the bytes end.

use super::head::{self, Head, Kind};
use super::walk::Walk;

/// A cursor over msgpack.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// The fields of a struct: a map, or an array in the order of their declaration in Go.
#[derive(Debug)]
pub struct Fields {
    left: usize,
    /// The keys of the fields that come when it is an array.
    declared: Option<&'static [&'static [u8]]>,
}

impl Fields {
    /// The key of the next field, whose value must then be taken; `Some(None)` at the end.
    #[inline]
    pub fn next<'a>(&mut self, r: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
        let Some(left) = self.left.checked_sub(1) else { return Some(None) };
        self.left = left;
        match &mut self.declared {
            None => r.bytes().map(Some),
            Some(declared) => {
                // Values beyond the known fields get a key that no struct has.
                let (first, rest): (&'static [u8], _) = declared.split_first().map_or((b"", &[][..]), |(f, r)| (*f, r));
                *declared = rest;
                Some(Some(first))
            }
        }
    }
}

impl<'a> Reader<'a> {
    /// At the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Begins a struct, whose fields are declared in this order.
    #[inline]
    pub fn fields(&mut self, declared: &'static [&'static [u8]]) -> Option<Fields> {
        if self.is_at_array()? {
            return Some(Fields { left: self.array()?, declared: Some(declared) });
        }
        Some(Fields { left: self.map()?, declared: None })
    }

    fn is_at_array(&self) -> Option<bool> {
        Some(matches!(self.rest.first()?, 0x90..=0x9f | 0xdc | 0xdd))
    }

    /// Takes `len` bytes as they are.
    #[inline]
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
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

    /// Takes a head and the body that belongs to it.
    fn value(&mut self) -> Option<(Head, &'a [u8])> {
        let head = Head::read(self.rest).ok()??;
        self.take(head.len)?;
        Some((head, self.take(head.body)?))
    }

    #[inline]
    fn number(&mut self, width: usize) -> Option<u64> {
        self.take(width).map(head::unsigned)
    }

    #[inline]
    fn length(&mut self, width: usize) -> Option<usize> {
        self.number(width).and_then(|len| usize::try_from(len).ok())
    }

    /// A string or bytes of any kind, empty when nil. Go takes an array of small numbers too; that cannot be borrowed, so
    /// only [`short`](Self::short) does. No program writes it.
    ///
    /// Here and in [`uint`](Self::uint) and [`map`](Self::map) the first bytes are matched in place instead of in
    /// [`Head::read`]: most of an alive message goes through these three.
    #[inline]
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = match self.byte()? {
            first @ 0xa0..=0xbf => usize::from(first & 0x1f),
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
    pub fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    /// What `read` makes of at most 16 bytes, also from an array of numbers.
    #[inline]
    pub fn short<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if !self.is_at_array()? {
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

    /// An integer that is not negative.
    #[inline]
    pub fn uint(&mut self) -> Option<u64> {
        match *self.rest.first()? {
            first @ 0x00..=0x7f => {
                self.byte()?;
                Some(u64::from(first))
            }
            first @ 0xcc..=0xcf => {
                self.byte()?;
                self.number(1 << (first - 0xcc))
            }
            _ => {
                let value = match self.value()? {
                    (Head { kind: Kind::Nil, .. }, _) => 0,
                    (Head { kind: Kind::Int, .. }, body) => head::signed(body),
                    _ => return None,
                };
                u64::try_from(value).ok()
            }
        }
    }

    /// An integer of a field that is signed in Go. One beyond its range wraps, as it does there.
    pub fn int(&mut self) -> Option<i64> {
        let (head, body) = self.value()?;
        match head.kind {
            Kind::Nil => Some(0),
            Kind::Fixed(value) => Some(value.into()),
            Kind::Uint => Some(head::unsigned(body).cast_signed()),
            Kind::Int => Some(head::signed(body)),
            _ => None,
        }
    }

    /// A boolean, also as 0 or 1.
    #[inline]
    pub fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0xc0 | 0xc2 | 0x00 => Some(false),
            0xc3 | 0x01 => Some(true),
            _ => None,
        }
    }

    /// A float of either width, or an integer.
    #[expect(clippy::cast_precision_loss, reason = "so does Go")]
    pub fn float(&mut self) -> Option<f64> {
        let (head, body) = self.value()?;
        match head.kind {
            Kind::Nil => Some(0.0),
            Kind::Float => Some(head::float(body)),
            Kind::Fixed(value) => Some(value.into()),
            Kind::Uint => Some(head::unsigned(body) as f64),
            Kind::Int => Some(head::signed(body) as f64),
            _ => None,
        }
    }

    /// How many values the array has that begins here.
    pub fn array(&mut self) -> Option<usize> {
        match self.value()?.0 {
            Head { kind: Kind::Array, count, .. } => usize::try_from(count).ok(),
            Head { kind: Kind::Nil, .. } => Some(0),
            _ => None,
        }
    }

    /// How many pairs the map has that begins here.
    #[inline]
    pub fn map(&mut self) -> Option<usize> {
        match self.byte()? {
            first @ 0x80..=0x8f => Some(usize::from(first & 0x0f)),
            0xc0 => Some(0),
            0xde => self.length(2),
            0xdf => self.length(4),
            _ => None,
        }
    }

    /// Skips one value, whatever is in it.
    pub fn skip(&mut self) -> Option<()> {
        let end = Walk::new(0).end(self.rest, usize::MAX).ok()??;
        self.take(end).map(drop)
    }
}
