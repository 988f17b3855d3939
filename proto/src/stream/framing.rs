//! Where a message ends, by the codec that its type byte tells.
//!
//! A native message is a type byte, the length of its body in four bytes, big-endian, and the body. A message of HashiCorp's is a
//! type byte and msgpack that nothing tells the length of: it must be followed to its end.

use alloc::borrow::Cow;

use super::reader::Unit;
use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::stats::DropReason;
use crate::wire::Codec;
use crate::wire::hashicorp::Scanner;

/// How the end of a message is found. It keeps its place between pieces, so that every byte is looked at once.
#[derive(Clone, Debug, Default)]
pub(super) enum Framing {
    /// No byte has come.
    #[default]
    Unknown,
    /// By its length.
    Native,
    /// By following it.
    HashiCorp(Scanner),
}

impl Framing {
    /// How long `message` is, of which there is what has come so far; `Ok(None)` while too little has come to tell. The end may
    /// lie beyond what has come.
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

    /// The message that lies from `start` to `end`.
    pub(super) fn unit<'a>(&self, bytes: Cow<'a, [u8]>, start: usize, end: usize) -> Unit<'a> {
        let header = match self {
            Self::Unknown => 0,
            Self::Native => HEADER_BYTES,
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
    let Some([_, len @ ..]) = message.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len) as usize;
    if len > STREAM_MESSAGE_BYTES_MAX { Err(DropReason::Malformed) } else { Ok(Some(HEADER_BYTES + len)) }
}

/// What precedes the body of a native message.
pub(super) const HEADER_BYTES: usize = 5;
