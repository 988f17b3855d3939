//! Reads msgpack as tolerantly as HashiCorp's agents do, 0.9 and 0.10 taken together.

use std::collections::BTreeMap;

use serf_tokio::serf_proto::internals::msgpack::{self, BadByte, Kind, Walk, WalkError};
use thiserror::Error;

use super::frame::FrameError;

/// A cursor over one or more complete msgpack objects.
///
/// Each method accepts what a Go decoder accepts for that type: nil is the zero value, a number may have any width and
/// signedness, and text and bytes are interchangeable, because clients differ in what they write.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    depth: u32,
}

/// The header of any object, with the value of a scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head<'a> {
    /// Nil.
    Nil,
    /// A boolean.
    Bool(bool),
    /// An unsigned number of the formats `uint8` to `uint64`.
    Uint(u64),
    /// A signed number, or a small one encoded in its tag.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string, which need not be valid UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list, with the number of objects that follow.
    List(u32),
    /// A map, with the number of pairs that follow.
    Map(u32),
    /// An extension. The protocol uses none.
    Extension,
}

impl<'a> Decoder<'a> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, depth: 0 }
    }

    /// Reads the next header, and the contents of all types but lists and maps.
    ///
    /// # Errors
    ///
    /// The bytes end too early or are not msgpack.
    pub fn head(&mut self) -> Result<Head<'a>, DecodeError> {
        let head = msgpack::Head::read(self.bytes)?.ok_or(DecodeError::Short)?;
        self.take(head.len)?;
        let body = self.take(head.body)?;
        Ok(match head.kind {
            Kind::Nil => Head::Nil,
            Kind::Bool(value) => Head::Bool(value),
            Kind::Fixed(value) => Head::Int(value.into()),
            Kind::Uint => Head::Uint(msgpack::unsigned(body)),
            Kind::Int => Head::Int(msgpack::signed(body)),
            Kind::Float => Head::Float(msgpack::float(body)),
            Kind::Str => Head::Text(body),
            Kind::Bin => Head::Bytes(body),
            Kind::Ext => Head::Extension,
            Kind::Array => Head::List(head.count),
            Kind::Map => Head::Map(head.count),
        })
    }

    /// Reads a map with text keys. `field` reads the value of a key that it knows and returns false for others, which
    /// are skipped. Nil is an empty map.
    ///
    /// # Errors
    ///
    /// This is not a map, or a field could not be read.
    pub fn fields(
        &mut self,
        mut field: impl FnMut(&'a [u8], &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let pairs = match self.head()? {
            Head::Nil => return Ok(()),
            Head::Map(pairs) => pairs,
            _ => return Err(DecodeError::Expected("a map")),
        };
        for _ in 0..pairs {
            let key = self.raw("a key")?;
            if !field(key, self)? {
                self.skip()?;
            }
        }
        Ok(())
    }

    /// Reads a map as [`fields`](Self::fields) does, or a list of the values of `names`, in this order: Go's decoder
    /// accepts a struct as either. A shorter list lacks the last ones; surplus items of a longer one are skipped.
    ///
    /// # Errors
    ///
    /// This is neither, or a field could not be read.
    pub fn record(
        &mut self,
        names: &[&'static [u8]],
        mut field: impl FnMut(&[u8], &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut listed = self.clone();
        let Ok(Head::List(items)) = listed.head() else { return self.fields(|key, from| field(key, from)) };
        *self = listed;
        let mut names = names.iter();
        for _ in 0..items {
            match names.next() {
                Some(name) if field(name, self)? => {}
                _ => self.skip()?,
            }
        }
        Ok(())
    }

    /// Skips the next object.
    ///
    /// # Errors
    ///
    /// The bytes end too early or are not msgpack.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        let end = Walk::new(0).end(self.bytes, usize::MAX)?.ok_or(DecodeError::Short)?;
        self.take(end).map(drop)
    }

    /// Reads a list, each item by `item`. Nil is an empty list.
    ///
    /// # Errors
    ///
    /// This is not a list, or an item could not be read.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        match self.head()? {
            Head::Nil => Ok(Vec::new()),
            // Reserves nothing: the count is unverified until the items are read.
            Head::List(items) => (0..items).map(|_| item(self)).collect(),
            _ => Err(DecodeError::Expected("a list")),
        }
    }

    /// The same for a list of at most `items_max` items, called `what` in the error; a longer one is not read.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list), and [`DecodeError::TooMany`].
    pub fn list_up_to<T>(
        &mut self,
        items_max: u32,
        what: &'static str,
        item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        match self.clone().head()? {
            Head::List(items) if items > items_max => Err(DecodeError::TooMany { what, limit: items_max }),
            _ => self.list(item),
        }
    }

    /// Reads a map from text to text with at most `pairs_max` pairs, called `what` in the error; `None` for nil. A
    /// longer one is not read.
    ///
    /// # Errors
    ///
    /// As [`table`](Self::table), and [`DecodeError::TooMany`].
    pub fn texts_up_to(
        &mut self,
        pairs_max: u32,
        what: &'static str,
    ) -> Result<Option<BTreeMap<String, String>>, DecodeError> {
        match self.clone().head()? {
            Head::Map(pairs) if pairs > pairs_max => Err(DecodeError::TooMany { what, limit: pairs_max }),
            _ => self.table(Self::text),
        }
    }

    /// Reads a map from text to values, each by `value`; `None` for nil. Of equal keys the last wins.
    ///
    /// # Errors
    ///
    /// This is not a map, or a value could not be read.
    pub fn table<T>(
        &mut self,
        mut value: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<BTreeMap<String, T>>, DecodeError> {
        match self.head()? {
            Head::Nil => Ok(None),
            Head::Map(pairs) => {
                (0..pairs).map(|_| Ok((self.text()?, value(self)?))).collect::<Result<_, _>>().map(Some)
            }
            _ => Err(DecodeError::Expected("a map")),
        }
    }

    /// Reads a map from text to text; nil is an empty one.
    ///
    /// # Errors
    ///
    /// This is not such a map.
    pub fn texts(&mut self) -> Result<BTreeMap<String, String>, DecodeError> {
        Ok(self.table(Self::text)?.unwrap_or_default())
    }

    /// Reads text. Nil is empty; invalid UTF-8 is replaced.
    ///
    /// # Errors
    ///
    /// This is neither text nor bytes.
    pub fn text(&mut self) -> Result<String, DecodeError> {
        Ok(String::from_utf8_lossy(self.raw("text")?).into_owned())
    }

    /// Reads bytes, text, or a list of numbers below 256. Nil is `None`.
    ///
    /// # Errors
    ///
    /// This is none of these types.
    pub fn bytes(&mut self) -> Result<Option<Vec<u8>>, DecodeError> {
        match self.head()? {
            Head::Nil => Ok(None),
            Head::Text(bytes) | Head::Bytes(bytes) => Ok(Some(bytes.to_vec())),
            Head::List(items) => (0..items).map(|_| self.uint_below("a byte")).collect::<Result<_, _>>().map(Some),
            _ => Err(DecodeError::Expected("bytes")),
        }
    }

    /// Reads a boolean; a number is true unless 0, nil is false.
    ///
    /// # Errors
    ///
    /// This is neither.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.head()? {
            Head::Nil => Ok(false),
            Head::Bool(value) => Ok(value),
            Head::Uint(value) => Ok(value != 0),
            Head::Int(value) => Ok(value != 0),
            _ => Err(DecodeError::Expected("a truth value")),
        }
    }

    /// Reads a non-negative number; nil is 0.
    ///
    /// # Errors
    ///
    /// This is not such a number.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        self.uint_below("a number from 0 on")
    }

    /// Reads a non-negative number that fits into a narrower type, called `what` in the error.
    ///
    /// # Errors
    ///
    /// This is not such a number.
    pub fn uint_below<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let value = match self.head()? {
            Head::Nil => Some(0),
            Head::Uint(value) => Some(value),
            Head::Int(value) => u64::try_from(value).ok(),
            _ => None,
        };
        value.and_then(|value| T::try_from(value).ok()).ok_or(DecodeError::Expected(what))
    }

    /// Reads any integer; nil is 0.
    ///
    /// # Errors
    ///
    /// This is not an integer, or is out of range.
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        let value = match self.head()? {
            Head::Nil => Some(0),
            Head::Uint(value) => i64::try_from(value).ok(),
            Head::Int(value) => Some(value),
            _ => None,
        };
        value.ok_or(DecodeError::Expected("an integer"))
    }

    /// Reads a float of any width, or a number; nil is 0.
    ///
    /// # Errors
    ///
    /// This is not a number.
    pub fn float(&mut self) -> Result<f64, DecodeError> {
        match self.head()? {
            Head::Nil => Ok(0.0),
            Head::Float(value) => Ok(value),
            Head::Uint(value) => Ok(value as f64),
            Head::Int(value) => Ok(value as f64),
            _ => Err(DecodeError::Expected("a float")),
        }
    }

    /// Increments the nesting depth, for callers that walk objects of any shape by recursion.
    ///
    /// # Errors
    ///
    /// Objects are nested too deeply.
    pub fn enter(&mut self) -> Result<(), DecodeError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(DecodeError::Deep) } else { Ok(()) }
    }

    /// Decrements the nesting depth, after [`enter`](Self::enter).
    pub const fn leave(&mut self) {
        self.depth -= 1;
    }

    fn raw(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.head()? {
            Head::Nil => Ok(&[]),
            Head::Text(bytes) | Head::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Expected(what)),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.bytes = rest;
        Ok(head)
    }
}

/// Why an object cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside an object.
    #[error("object is cut short")]
    Short,
    /// This byte starts no object.
    #[error("no msgpack object starts with byte {0:#04x}")]
    Tag(u8),
    /// An object of another type was expected.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Objects are nested more than 64 times.
    #[error("objects are nested more than {DEPTH_MAX} times")]
    Deep,
    /// The command is unknown.
    #[error("unknown command")]
    Command,
    /// A list or a map is too long.
    #[error("too many {what}, at most {limit} a request")]
    TooMany {
        /// The kind of items.
        what: &'static str,
        /// The limit.
        limit: u32,
    },
}

impl From<BadByte> for DecodeError {
    fn from(BadByte(byte): BadByte) -> Self {
        Self::Tag(byte)
    }
}

impl From<WalkError> for DecodeError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::TooLong => Self::Short,
            WalkError::Byte(byte) => Self::Tag(byte),
        }
    }
}

impl From<FrameError> for DecodeError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong { .. } => Self::Short,
            FrameError::Tag(tag) => Self::Tag(tag),
        }
    }
}

/// Limit on the nesting depth, so that recursion ends. No record of the protocol nests more than 4 times.
const DEPTH_MAX: u32 = 64;
