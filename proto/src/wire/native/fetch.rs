//! Messages on a stream that fetches a large answer to a query. See `docs/protocol.md`.

use alloc::vec::Vec;

use super::varint::{push_varint, take_varint};
use super::{NATIVE, SCHEMA, schema};
use crate::wire::DecodeError;

/// Type byte of a fetch, the request.
pub const STREAM_FETCH: u8 = NATIVE | 23;

/// Type byte of a large answer, the reply.
pub const STREAM_ANSWER: u8 = NATIVE | 24;

/// Asks a member for its answer to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Lamport time of the query.
    pub ltime: u64,
    /// Id of the query.
    pub id: u32,
}

impl Fetch {
    /// Appends the body of the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.push(SCHEMA);
        push_varint(out, self.ltime);
        push_varint(out, u64::from(self.id));
    }

    /// Decodes the body of the message.
    ///
    /// # Errors
    ///
    /// If it is malformed or of another schema.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = schema(body)?;
        let ltime = take_varint(&mut rest).ok_or(DecodeError::Malformed)?;
        let id = take_varint(&mut rest).and_then(|id| u32::try_from(id).ok()).ok_or(DecodeError::Malformed)?;
        if rest.is_empty() { Ok(Self { ltime, id }) } else { Err(DecodeError::Malformed) }
    }
}

/// Appends the body of a large answer.
pub fn push_answer(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(SCHEMA);
    out.extend_from_slice(payload);
}

/// The payload in the body of a large answer.
///
/// # Errors
///
/// If the body is of another schema.
pub fn decode_answer(body: &[u8]) -> Result<&[u8], DecodeError> {
    schema(body)
}
