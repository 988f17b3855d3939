//! Finds the end of a message in a stream of bytes that comes in arbitrary pieces.
//!
//! A native message is a type byte, the length of its body in four bytes, big-endian, and the body.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::mem;

use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::wire::native::NATIVE;

/// One whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit<'a> {
    pub(crate) kind: u8,
    /// Borrowed when the message came in one piece.
    body: Cow<'a, [u8]>,
}

impl Unit<'_> {
    pub(crate) fn body(&self) -> &[u8] {
        match &self.body {
            Cow::Borrowed(body) => body,
            Cow::Owned(message) => &message[HEADER_BYTES..],
        }
    }
}

/// The bytes cannot be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What has come so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    buf: Vec<u8>,
}

impl Reader {
    /// Takes the next piece. Everything after the first whole message is ignored: there is one a direction.
    pub(crate) fn push<'a>(&mut self, data: &'a [u8]) -> Result<Option<Unit<'a>>, Malformed> {
        if self.buf.is_empty()
            && let Some(len) = message_len(data)?
            && let Some(message) = data.get(..len)
        {
            return Ok(Some(Unit { kind: message[0], body: Cow::Borrowed(&message[HEADER_BYTES..]) }));
        }
        self.buf.extend_from_slice(data);
        match message_len(&self.buf)? {
            Some(len) if self.buf.len() >= len => {
                self.buf.truncate(len);
                let message = mem::take(&mut self.buf);
                Ok(Some(Unit { kind: message[0], body: Cow::Owned(message) }))
            }
            _ => Ok(None),
        }
    }
}

/// How long the message at the start of `bytes` is; `None` when too few have come to tell.
fn message_len(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if bytes.first().is_some_and(|kind| kind & NATIVE == 0) {
        return Err(Malformed);
    }
    let Some([_, len @ ..]) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len) as usize;
    if len > STREAM_MESSAGE_BYTES_MAX { Err(Malformed) } else { Ok(Some(HEADER_BYTES + len)) }
}

/// A whole message of type `kind`, whose body `write` appends. `None` when it would be too long for a peer to accept.
pub(crate) fn frame(kind: u8, room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER_BYTES + room);
    message.extend_from_slice(&[kind, 0, 0, 0, 0]);
    write(&mut message);
    let len = message.len() - HEADER_BYTES;
    if len > STREAM_MESSAGE_BYTES_MAX {
        return None;
    }
    let len = u32::try_from(len).ok()?;
    message[1..HEADER_BYTES].copy_from_slice(&len.to_be_bytes());
    Some(message)
}

const HEADER_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_kept() {
        let mut reader = Reader::default();
        assert_eq!(reader.push(&[0x46, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
    }

    #[test]
    fn a_first_byte_that_is_not_native_is_refused_at_once() {
        assert_eq!(Reader::default().push(&[6]), Err(Malformed));
        assert_eq!(Reader::default().push(b"\x16\x03\x01"), Err(Malformed), "TLS");
    }

    proptest! {
        #[test]
        fn a_message_is_found_however_it_is_cut(body in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(1_usize..40, 1..50)) {
            let message = frame(0x46, 0, |out| out.extend_from_slice(&body)).unwrap();
            let mut reader = Reader::default();
            let mut rest = &message[..];
            let mut found = vec![];
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                if let Some(unit) = reader.push(piece).unwrap() {
                    found.push((unit.kind, unit.body().to_vec()));
                }
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, vec![(0x46, body)]);
        }
    }
}
