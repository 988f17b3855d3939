//! Scanner for messages on streams. They have no length field, so their msgpack must be scanned to the end.

use super::message::Body;
use super::push_pull::Header;
use super::stream::UserHeader;
use super::{ACK, COMPRESSED, ERROR, PING, PUSH_PULL, USER};
use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::msgpack::{Reader, Walk};
use crate::wire::DecodeError;

/// Incremental scanner for the end of a message. Examines each byte once, whatever the chunk size. Nested values are
/// counted, not recursed into.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    walk: Walk,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Expects the type byte.
    #[default]
    Kind,
    /// Expects the header of a message of this type.
    Header(u8),
    /// Expects the states, then `user_bytes` bytes.
    States { user_bytes: usize },
    /// Expects the remaining bytes.
    Tail,
}

impl Scanner {
    /// Scans the message so far; `bytes` starts at its type byte. Returns the length of the message once it is
    /// complete.
    ///
    /// # Errors
    ///
    /// As soon as no valid message can start with `bytes`: [`DecodeError::Unknown`] for a type that is not valid on a
    /// stream, [`DecodeError::Malformed`] otherwise, also if the message would exceed [`STREAM_MESSAGE_BYTES_MAX`].
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        loop {
            let end = self.walk.end(bytes, STREAM_MESSAGE_BYTES_MAX).map_err(|_| DecodeError::Malformed)?;
            // Checked before more bytes arrive: a count in a header must not make us buffer beyond the limit.
            self.within(0)?;
            let Some(end) = end else { return Ok(None) };
            self.stage = match self.stage {
                Stage::Kind => {
                    let Some(&kind) = bytes.first() else { return Ok(None) };
                    if !matches!(kind, PING | ACK | PUSH_PULL | USER | COMPRESSED | ERROR) {
                        return Err(DecodeError::Unknown);
                    }
                    self.expect(1, 1)?;
                    Stage::Header(kind)
                }
                Stage::Header(kind) => self.after_header(kind, &bytes[1..end])?,
                Stage::States { user_bytes } => {
                    self.expect(user_bytes, 0)?;
                    Stage::Tail
                }
                Stage::Tail => return Ok(Some(end)),
            };
        }
    }

    fn after_header(&mut self, kind: u8, header: &[u8]) -> Result<Stage, DecodeError> {
        let mut r = Reader::new(header);
        let (nodes, user_bytes) = match kind {
            PUSH_PULL => Header::take(&mut r).and_then(|header| header.counts()).ok_or(DecodeError::Malformed)?,
            USER => (0, UserHeader::take(&mut r).and_then(|header| header.bytes()).ok_or(DecodeError::Malformed)?),
            _ => (0, 0),
        };
        self.expect(0, nodes as u64)?;
        // The layer above's part must fit too. Checked as soon as its length is known, before the states arrive.
        self.within(user_bytes)?;
        Ok(Stage::States { user_bytes })
    }

    /// Expects `bytes` raw bytes, then `values` values.
    fn expect(&mut self, bytes: usize, values: u64) -> Result<(), DecodeError> {
        self.walk.expect(bytes, values);
        self.within(0)
    }

    /// Whether `bytes` more, plus one byte per pending value, stay within the limit.
    const fn within(&self, bytes: usize) -> Result<(), DecodeError> {
        let most = self.walk.reach().saturating_add(bytes as u64);
        if most > STREAM_MESSAGE_BYTES_MAX as u64 { Err(DecodeError::Malformed) } else { Ok(()) }
    }
}
