//! Wire format: encodes and decodes messages. Stateless.
//!
//! A *frame* is one message: a type byte and a body. The [`Codec`] determines the format of the body. Message types and
//! their meaning are the same in both codecs.

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
pub(crate) use self::push_pull::{Announced, MemberState, PushPull};
pub use self::versions::{Common, Incompatible, Versions};
pub use crate::sink::{Full, Writer};

/// Format of message bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Codec {
    /// The native codec: compact, based on postcard.
    Native,
    /// HashiCorp's codec: msgpack, byte-compatible.
    HashiCorp,
}

impl Codec {
    /// The codec of a frame or stream message, of either layer: one bit of its type byte.
    pub const fn of(kind: u8) -> Self {
        if kind & native::NATIVE == 0 { Self::HashiCorp } else { Self::Native }
    }

    /// Encodes a frame.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn encode(self, message: &swim::Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Native => native::encode(message, w),
            Self::HashiCorp => hashicorp::encode(message, w),
        }
    }

    /// Decodes a frame of either codec.
    ///
    /// # Errors
    ///
    /// If it is empty, malformed, or of an unknown type.
    pub fn decode(frame: &[u8]) -> Result<swim::Message<'_>, DecodeError> {
        let (&kind, body) = frame.split_first().ok_or(DecodeError::Empty)?;
        Self::decode_body(kind, body)
    }

    /// Decodes the body of a frame of type `kind`, which determines the codec.
    ///
    /// # Errors
    ///
    /// If it is malformed, or of an unknown type.
    pub(crate) fn decode_body(kind: u8, body: &[u8]) -> Result<swim::Message<'_>, DecodeError> {
        match Self::of(kind) {
            Self::Native => native::decode_body(kind, body),
            Self::HashiCorp => hashicorp::decode_body(kind, body),
        }
    }
}

/// The messages of the Serf layer, for this crate and for the users of [`internals`](crate::internals).
#[doc(hidden)]
impl Codec {
    /// Encodes a frame of the Serf layer.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn encode_serf(self, message: &serf::Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Native => native::encode_serf(message, w),
            Self::HashiCorp => hashicorp::encode_serf(message, w),
        }
    }

    /// Transcodes a frame of the Serf layer into this codec; copies it if it is in this codec already.
    ///
    /// # Errors
    ///
    /// If it does not fit, or does not decode.
    pub(crate) fn translate_serf(self, frame: &[u8], w: &mut Writer<'_>) -> Result<(), Full> {
        match frame.first() {
            Some(&kind) if Self::of(kind) == self => w.put(frame),
            _ => self.encode_serf(&Self::decode_serf(frame).map_err(|_| Full)?, w),
        }
    }

    /// Begins a user message in a packet; the layer above appends the body.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn begin_user(self, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Native => native::begin_user(w),
            Self::HashiCorp => hashicorp::begin_user(w),
        }
    }

    /// Encodes a network coordinate, the payload of an ack.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn encode_coordinate(self, coordinate: &serf::Coordinate<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Native => native::encode_coordinate(coordinate, w),
            Self::HashiCorp => hashicorp::encode_coordinate(coordinate, w),
        }
    }

    /// Decodes a frame of the Serf layer, of either codec.
    ///
    /// # Errors
    ///
    /// If it is empty, malformed, or of an unknown type.
    pub fn decode_serf(frame: &[u8]) -> Result<serf::Message<'_>, DecodeError> {
        match Self::of(*frame.first().ok_or(DecodeError::Empty)?) {
            Self::Native => native::decode_serf(frame),
            Self::HashiCorp => hashicorp::decode_serf(frame),
        }
    }

    /// Decodes the payload of an ack as a network coordinate, of either codec.
    ///
    /// # Errors
    ///
    /// If it is empty, malformed, or of another version.
    pub fn decode_coordinate(payload: &[u8]) -> Result<serf::Coordinate<'_>, DecodeError> {
        match Self::of(*payload.first().ok_or(DecodeError::Empty)?) {
            Self::Native => native::decode_coordinate(payload),
            Self::HashiCorp => hashicorp::decode_coordinate(payload),
        }
    }
}

/// Why a frame did not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame is empty.
    Empty,
    /// Unknown type or schema number.
    Unknown,
    /// The body is truncated or has an invalid value.
    Malformed,
}
