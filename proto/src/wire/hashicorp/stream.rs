//! User messages and errors on streams.

use alloc::vec::Vec;

use super::form::{Bytes, Length};
use super::message::{Body, message};
use super::{ERROR, USER, put};
use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::msgpack::{Reader, Sink};
use crate::wire::{DecodeError, Full, Writer};

message! {
    /// Header of a user message on a stream.
    pub(super) struct UserHeader {
        bytes: i64 = b"UserMsgLen" as Length,
    }
}

impl UserHeader {
    /// Number of bytes that follow; `None` if it exceeds the limit.
    pub(super) fn bytes(&self) -> Option<usize> {
        usize::try_from(self.bytes).ok().filter(|&bytes| bytes <= STREAM_MESSAGE_BYTES_MAX)
    }
}

message! {
    struct Error<'a> {
        text: &'a [u8] = b"Error" as Bytes,
    }
}

/// Encodes a user message for a stream, with its type byte.
///
/// # Errors
///
/// If `payload` exceeds [`STREAM_MESSAGE_BYTES_MAX`], which no peer accepts.
pub fn encode_user(payload: &[u8], out: &mut Vec<u8>) -> Result<(), Full> {
    if payload.len() > STREAM_MESSAGE_BYTES_MAX {
        return Err(Full);
    }
    let bytes = i64::try_from(payload.len()).map_err(|_| Full)?;
    put(out, USER, &UserHeader { bytes })?;
    out.put(payload)
}

/// Decodes a user message on a stream, without its type byte. An empty one is ignored.
///
/// # Errors
///
/// If it is incomplete.
pub fn decode_user(body: &[u8]) -> Result<&[u8], DecodeError> {
    let mut r = Reader::new(body);
    let payload = UserHeader::take(&mut r).and_then(|header| r.take(header.bytes()?));
    payload.ok_or(DecodeError::Malformed)
}

/// Encodes an error with its type byte: the reply to a request that does not decode.
///
/// # Errors
///
/// If it does not fit.
pub fn encode_error(text: &str, w: &mut Writer<'_>) -> Result<(), Full> {
    put(w, ERROR, &Error { text: text.as_bytes() })
}

/// Decodes an error without its type byte. Its text is not validated as UTF-8.
///
/// # Errors
///
/// If it is malformed.
pub fn decode_error(body: &[u8]) -> Result<&[u8], DecodeError> {
    let error = Error::take(&mut Reader::new(body)).ok_or(DecodeError::Malformed)?;
    Ok(error.text)
}
