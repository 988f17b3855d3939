//! Framing of messages on streams, by codec. The type byte determines the codec.
//!
//! A native message is a type byte, the length of its body (four bytes, big-endian) and the body. A message of
//! HashiCorp's is a type byte and msgpack without a length; its end is found by scanning.

use alloc::borrow::Cow;

use super::reader::Unit;
use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::stats::DropReason;
use crate::wire::Codec;
use crate::wire::hashicorp::Scanner;
use crate::wire::native::STREAM_HEADER_BYTES;

/// Framing state. Keeps its position between calls, so that each byte is examined once.
#[derive(Clone, Debug, Default)]
pub(super) enum Framing {
    /// No byte was received.
    #[default]
    Unknown,
    /// By the length field.
    Native,
    /// By scanning msgpack.
    HashiCorp(Scanner),
}

impl Framing {
    /// The length of `message`, whose bytes may be incomplete; `Ok(None)` if it is not known yet. May exceed the bytes
    /// received so far.
    pub(super) fn end(&mut self, message: &[u8]) -> Result<Option<usize>, DropReason> {
        if let (Self::Unknown, Some(kind)) = (&self, message.first()) {
            *self = Self::of(*kind);
        }
        match self {
            Self::Unknown => Ok(None),
            Self::Native => native_end(message),
            Self::HashiCorp(scanner) => scanner.scan(message).map_err(|_| DropReason::Malformed),
        }
    }

    /// The message in `bytes[start..end]`.
    pub(super) fn unit<'a>(&self, bytes: Cow<'a, [u8]>, start: usize, end: usize) -> Unit<'a> {
        let header = match self {
            Self::Unknown => 0,
            Self::Native => STREAM_HEADER_BYTES,
            Self::HashiCorp(_) => 1,
        };
        Unit::new(bytes, start, header, end)
    }

    fn of(kind: u8) -> Self {
        match Codec::of(kind) {
            Codec::Native => Self::Native,
            Codec::HashiCorp => Self::HashiCorp(Scanner::default()),
        }
    }
}

fn native_end(message: &[u8]) -> Result<Option<usize>, DropReason> {
    let Some([_, len @ ..]) = message.first_chunk::<STREAM_HEADER_BYTES>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len) as usize;
    if len > STREAM_MESSAGE_BYTES_MAX { Err(DropReason::Malformed) } else { Ok(Some(STREAM_HEADER_BYTES + len)) }
}
