//! Finds the end of a message on a stream, where nothing says how long it is: its msgpack must be followed.

use super::message::Body;
use super::push_pull::Header;
use super::stream::UserHeader;
use super::{ACK, COMPRESSED, ERROR, PING, PUSH_PULL, USER};
use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::msgpack::{Reader, Walk};
use crate::wire::DecodeError;

/// Finds the end of a message of which ever more comes. Each byte is looked at once, however small the pieces; nested values
/// are counted and not entered.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    walk: Walk,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The type byte is next.
    #[default]
    Kind,
    /// The header of a message of this type is next.
    Header(u8),
    /// The states are next, and then so many bytes.
    States { user_bytes: usize },
    /// Bytes to the end.
    Tail,
}

impl Scanner {
    /// Looks at the message so far: `bytes` is all of it from its type byte on. Says how long the message is once all of it
    /// has come.
    ///
    /// # Errors
    ///
    /// As soon as what has come cannot begin a message: [`DecodeError::Unknown`] for a type that does not belong on a
    /// stream, [`DecodeError::Malformed`] for anything else, also when it would be longer than
    /// [`STREAM_MESSAGE_BYTES_MAX`].
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        loop {
            let end = self.walk.end(bytes, STREAM_MESSAGE_BYTES_MAX).map_err(|_| DecodeError::Malformed)?;
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
        // What comes after the states must fit too; this is known now and not only when they have come.
        self.within(user_bytes)?;
        Ok(Stage::States { user_bytes })
    }

    /// Steps over `bytes`, and over `values` after them.
    fn expect(&mut self, bytes: usize, values: u64) -> Result<(), DecodeError> {
        self.walk.expect(bytes, values);
        self.within(0)
    }

    /// Whether so many bytes more, and a byte for each value to come, are within the limit.
    const fn within(&self, bytes: usize) -> Result<(), DecodeError> {
        let most = self.walk.reach().saturating_add(bytes as u64);
        if most > STREAM_MESSAGE_BYTES_MAX as u64 { Err(DecodeError::Malformed) } else { Ok(()) }
    }
}
