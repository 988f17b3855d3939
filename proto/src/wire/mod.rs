//! Bytes to messages and back. Knows no state, no time and no keys.
//!
//! A *frame* is one message: a type byte and a body. The [`Codec`] decides what the body looks like; the types and what
//! they mean are the same in every codec.

pub mod hashicorp;
mod kind;
mod list;
mod name;
pub mod native;
mod push_pull;
pub mod serf;
pub mod swim;
#[cfg(test)]
mod tests;
mod versions;

use serde::{Deserialize, Serialize};

pub use self::kind::MessageKind;
pub use self::push_pull::{Announced, MemberState, PushPull};
pub use self::versions::{Common, Incompatible, Versions};
pub use crate::sink::{Full, Sink, Writer};

/// How message bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Codec {
    /// Our own: compact, on postcard.
    Native,
    /// That of HashiCorp's programs: msgpack, byte for byte.
    HashiCorp,
}

impl Codec {
    /// The codec of a frame or a stream message of this type, in either layer: one bit of the type byte tells.
    pub const fn of(kind: u8) -> Self {
        if kind & native::NATIVE == 0 { Self::HashiCorp } else { Self::Native }
    }

    /// Writes one frame.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn encode(self, message: &swim::Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Native => native::encode(message, w),
            Self::HashiCorp => hashicorp::encode(message, w),
        }
    }

    /// Writes one frame of the Serf layer.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn encode_serf(self, message: &serf::Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Native => native::encode_serf(message, w),
            Self::HashiCorp => hashicorp::encode_serf(message, w),
        }
    }

    /// Writes a frame of the Serf layer that is in either codec: as it is if it is in this one.
    ///
    /// # Errors
    ///
    /// When it does not fit, or cannot be read.
    pub fn translate_serf(self, frame: &[u8], w: &mut Writer<'_>) -> Result<(), Full> {
        match frame.first() {
            Some(&kind) if Self::of(kind) == self => w.put(frame),
            _ => self.encode_serf(&Self::decode_serf(frame).map_err(|_| Full)?, w),
        }
    }

    /// Starts a user message in a packet, whose body the layer above writes.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn begin_user(self, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Native => native::begin_user(w),
            Self::HashiCorp => hashicorp::begin_user(w),
        }
    }

    /// Writes a network coordinate, the payload of an ack.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn encode_coordinate(self, coordinate: &serf::Coordinate<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Native => native::encode_coordinate(coordinate, w),
            Self::HashiCorp => hashicorp::encode_coordinate(coordinate, w),
        }
    }

    /// Reads one frame of either codec.
    ///
    /// # Errors
    ///
    /// When it is empty, of a type that we do not know, or not to be read.
    pub fn decode(frame: &[u8]) -> Result<swim::Message<'_>, DecodeError> {
        let (&kind, body) = frame.split_first().ok_or(DecodeError::Empty)?;
        Self::decode_body(kind, body)
    }

    /// Reads the body of a frame of type `kind`, whose codec the type tells.
    ///
    /// # Errors
    ///
    /// When it is of a type that we do not know, or not to be read.
    pub fn decode_body(kind: u8, body: &[u8]) -> Result<swim::Message<'_>, DecodeError> {
        match Self::of(kind) {
            Self::Native => native::decode_body(kind, body),
            Self::HashiCorp => hashicorp::decode_body(kind, body),
        }
    }

    /// Reads one frame of the Serf layer of either codec.
    ///
    /// # Errors
    ///
    /// When it is empty, of a type that we do not know, or not to be read.
    pub fn decode_serf(frame: &[u8]) -> Result<serf::Message<'_>, DecodeError> {
        match Self::of(*frame.first().ok_or(DecodeError::Empty)?) {
            Self::Native => native::decode_serf(frame),
            Self::HashiCorp => hashicorp::decode_serf(frame),
        }
    }

    /// Reads the payload of an ack as a network coordinate of either codec.
    ///
    /// # Errors
    ///
    /// When it is empty, of another version, or not to be read.
    pub fn decode_coordinate(payload: &[u8]) -> Result<serf::Coordinate<'_>, DecodeError> {
        match Self::of(*payload.first().ok_or(DecodeError::Empty)?) {
            Self::Native => native::decode_coordinate(payload),
            Self::HashiCorp => hashicorp::decode_coordinate(payload),
        }
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
