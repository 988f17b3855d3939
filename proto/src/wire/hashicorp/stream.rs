//! The small messages of streams: user messages, errors, and the wrapping of what is compressed.

use alloc::vec::Vec;

use super::reader::Reader;
use super::writer::{Out, raw, raw_head, uint};
use super::{COMPRESSED, ERROR, USER};
use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::wire::{DecodeError, Full, Writer};

/// The only algorithm of compressed messages that there is.
pub const ALGORITHM_LZW: u8 = 0;

/// Appends a user message for a stream, type byte and all.
///
/// # Errors
///
/// When `payload` is longer than [`STREAM_MESSAGE_BYTES_MAX`]: no peer would take it.
pub fn encode_user(payload: &[u8], out: &mut Vec<u8>) -> Result<(), Full> {
    if payload.len() > STREAM_MESSAGE_BYTES_MAX {
        return Err(Full);
    }
    out.put(&[USER])?;
    out.put(b"\x81\xaaUserMsgLen")?;
    uint(out, payload.len() as u64)?;
    out.put(payload)
}

/// Reads the header of a user message on a stream: how many bytes follow it.
pub(super) fn user_bytes(r: &mut Reader<'_>) -> Option<usize> {
    let mut bytes = 0;
    let mut fields = r.fields(&[b"UserMsgLen"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"UserMsgLen" => bytes = r.int()?,
            _ => r.skip()?,
        }
    }
    usize::try_from(bytes).ok().filter(|&bytes| bytes <= STREAM_MESSAGE_BYTES_MAX)
}

/// Reads a user message on a stream, without its type byte. An empty one is for nobody.
///
/// # Errors
///
/// When it is not all there.
pub fn decode_user(body: &[u8]) -> Result<&[u8], DecodeError> {
    let mut r = Reader::new(body);
    let payload = user_bytes(&mut r).and_then(|bytes| r.take(bytes));
    payload.ok_or(DecodeError::Malformed)
}

/// Writes an error, the reply to a request that cannot be read, type byte and all.
///
/// # Errors
///
/// When it does not fit.
pub fn encode_error(text: &str, w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(&[ERROR])?;
    w.put(b"\x81\xa5Error")?;
    raw(w, text.as_bytes())
}

/// Reads an error without its type byte: its words, which need not be text.
///
/// # Errors
///
/// When it cannot be read.
pub fn decode_error(body: &[u8]) -> Result<&[u8], DecodeError> {
    error(body).ok_or(DecodeError::Malformed)
}

fn error(body: &[u8]) -> Option<&[u8]> {
    let mut text = &[][..];
    let mut r = Reader::new(body);
    let mut fields = r.fields(&[b"Error"])?;
    while let Some(key) = fields.next(&mut r)? {
        match key {
            b"Error" => text = r.bytes()?,
            _ => r.skip()?,
        }
    }
    Some(text)
}

/// Writes a message that was compressed to `bytes`, type byte and all.
///
/// # Errors
///
/// When it does not fit.
pub fn encode_compressed(bytes: &[u8], out: &mut impl Out) -> Result<(), Full> {
    out.put(&[COMPRESSED])?;
    out.put(b"\x82\xa4Algo")?;
    out.put(&[ALGORITHM_LZW])?;
    out.put(b"\xa3Buf")?;
    raw_head(out, bytes.len())?;
    out.put(bytes)
}

/// Reads a compressed message without its type byte: the algorithm, and what it made.
///
/// # Errors
///
/// When it cannot be read.
pub fn decode_compressed(body: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    compressed(body).ok_or(DecodeError::Malformed)
}

fn compressed(body: &[u8]) -> Option<(u8, &[u8])> {
    let (mut algorithm, mut bytes) = (ALGORITHM_LZW, &[][..]);
    let mut r = Reader::new(body);
    let mut fields = r.fields(&[b"Algo", b"Buf"])?;
    while let Some(key) = fields.next(&mut r)? {
        match key {
            b"Algo" => algorithm = r.u8()?,
            b"Buf" => bytes = r.bytes()?,
            _ => r.skip()?,
        }
    }
    Some((algorithm, bytes))
}
