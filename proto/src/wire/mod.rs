//! Bytes to messages and back. Knows no state, no time and no keys.
//!
//! A *frame* is one message: a type byte and a body. The [`Codec`] decides what the body looks like; the types and what
//! they mean are the same in every codec.

mod list;
pub mod native;
pub mod serf;
pub mod swim;
#[cfg(test)]
mod tests;
mod versions;

use serde::{Deserialize, Serialize};

pub use self::versions::{Common, Versions};

/// How message bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Codec {
    /// Our own: compact, on postcard.
    Native,
}

/// A frame that does not fit where it should be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A cursor over a slice of fixed room. Running out is an `Err`, so that "does this still fit?" is "try it".
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// A cursor at the start of `buf`.
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Whether nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes have been written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Writes `bytes`, all or none.
    ///
    /// # Errors
    ///
    /// When they do not fit.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = self.buf.get_mut(self.len..self.len + bytes.len()).ok_or(Full)?;
        room.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Writes one byte.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn put_u8(&mut self, byte: u8) -> Result<(), Full> {
        *self.buf.get_mut(self.len).ok_or(Full)? = byte;
        self.len += 1;
        Ok(())
    }

    /// The room that is left, and then how much of it was used.
    pub fn fill(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), Full> {
        self.len += write(&mut self.buf[self.len..]).ok_or(Full)?;
        Ok(())
    }
}

/// Why a frame could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame is empty.
    Empty,
    /// A type or schema number that we do not know.
    Unknown,
    /// The body ends early or says something that cannot be.
    Malformed,
}
