//! Bytes to messages and back. Knows no state, no time and no keys.
//!
//! A *frame* is one message: a type byte and a body. The [`Codec`] decides what the body looks like; the types and what
//! they mean are the same in every codec.

pub mod native;
pub mod serf;
pub mod swim;
#[cfg(test)]
mod tests;

use core::fmt;

use serde::{Deserialize, Serialize};

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

/// The versions that a node understands and speaks: least, greatest and current, of memberlist's protocol and then of
/// the delegate's, that is Serf's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Versions(pub [u8; 6]);

impl Versions {
    /// What we announce. The greatest delegate version, 6, says that we read native frames; HashiCorp's nodes compare
    /// ranges and accept it.
    pub const OURS: Self = Self([1, 5, 2, 2, 6, 5]);

    /// From the six bytes of an alive message.
    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The six bytes of an alive message.
    pub const fn to_bytes(self) -> [u8; 6] {
        self.0
    }

    /// The least memberlist protocol version understood.
    pub const fn protocol_min(self) -> u8 {
        self.0[0]
    }

    /// The greatest memberlist protocol version understood. From 3 on a node answers stream pings, from 4 on it sends
    /// nacks, from 5 on it checks checksums.
    pub const fn protocol_max(self) -> u8 {
        self.0[1]
    }

    /// The memberlist protocol version spoken.
    pub const fn protocol_current(self) -> u8 {
        self.0[2]
    }

    /// The least Serf protocol version understood.
    pub const fn delegate_min(self) -> u8 {
        self.0[3]
    }

    /// The greatest Serf protocol version understood.
    pub const fn delegate_max(self) -> u8 {
        self.0[4]
    }

    /// The Serf protocol version spoken.
    pub const fn delegate_current(self) -> u8 {
        self.0[5]
    }

    /// Whether these can be the versions of a node at all (`aliveNode` in memberlist's state.go).
    pub const fn are_valid(self) -> bool {
        self.0[0] != 0 && self.0[1] != 0 && self.0[0] <= self.0[1]
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "protocol {a}..{b} now {c}, delegate {d}..{e} now {g}")
    }
}
