//! Lenient msgpack reader, as tolerant as HashiCorp's decoders: keys in any order, unknown keys skipped, missing values
//! zero, integers of any width, strings of any kind, structs also as arrays.
//!
//! `None` means malformed input. A count larger than the input costs nothing: reading fails where the bytes end.

use super::head::{self, Head, Kind};
use super::walk::Walk;

/// A cursor over msgpack.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// The fields of a struct: a map, or an array in the order of Go's declaration.
#[derive(Debug)]
pub struct Fields {
    left: usize,
    /// The keys of the remaining fields, if the struct is an array.
    declared: Option<&'static [&'static [u8]]>,
}

impl Fields {
    /// Whether the next field of a map has the key that `head` begins, a short string with its length. If so, the key is
    /// read, and the value must be read next.
    #[inline]
    pub fn next_is(&mut self, r: &mut Reader<'_>, head: &[u8]) -> bool {
        if self.left == 0 || self.declared.is_some() {
            return false;
        }
        let Some(rest) = r.rest.strip_prefix(head) else { return false };
        (self.left, r.rest) = (self.left - 1, rest);
        true
    }

    /// The key of the next field, whose value must be read next; `Some(None)` at the end.
    #[inline]
    pub fn next<'a>(&mut self, r: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
        let Some(left) = self.left.checked_sub(1) else { return Some(None) };
        self.left = left;
        match &mut self.declared {
            None => r.bytes().map(Some),
            Some(declared) => {
                // Surplus values get an empty key, which no struct has, so they are skipped.
                let (first, rest): (&'static [u8], _) = declared.split_first().map_or((b"", &[][..]), |(f, r)| (*f, r));
                *declared = rest;
                Some(Some(first))
            }
        }
    }
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The unread bytes.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Begins a struct whose fields are declared in this order.
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

    /// Reads `len` raw bytes.
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

    /// Reads a head and its body.
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

    /// Reads a string or bytes of any kind; nil is empty. Go's decoder also accepts an array of small integers. That
    /// cannot be borrowed, so only [`short`](Self::short) accepts it; no program writes it.
    ///
    /// Like [`uint`](Self::uint) and [`map`](Self::map), matches the first byte directly instead of calling
    /// [`Head::read`]: most of an alive message is decoded by these three.
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

    /// Reads a UTF-8 string.
    #[inline]
    pub fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    /// Reads at most 16 bytes, also from an array of integers, and passes them to `read`.
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

    /// Reads a non-negative integer.
    #[inline]
    pub fn uint(&mut self) -> Option<u64> {
        match *self.rest.first()? {
            // The two common forms first, without the general parser: most numbers on the wire are small or unsigned.
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

    /// Reads an integer of a field that is signed in Go. Larger values wrap, as in Go.
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

    /// Reads a boolean, also as 0 or 1.
    #[inline]
    pub fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0xc0 | 0xc2 | 0x00 => Some(false),
            0xc3 | 0x01 => Some(true),
            _ => None,
        }
    }

    /// Reads a float of either width, or an integer.
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

    /// Reads the head of an array; returns the number of elements.
    pub fn array(&mut self) -> Option<usize> {
        match self.value()?.0 {
            Head { kind: Kind::Array, count, .. } => usize::try_from(count).ok(),
            Head { kind: Kind::Nil, .. } => Some(0),
            _ => None,
        }
    }

    /// Reads the head of a map; returns the number of pairs.
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

    /// Skips one value, including nested ones.
    pub fn skip(&mut self) -> Option<()> {
        let end = Walk::new(0).end(self.rest, usize::MAX).ok()??;
        self.take(end).map(drop)
    }
}
