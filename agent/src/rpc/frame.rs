//! Finds the ends of msgpack objects in a byte stream.

use serf_tokio::serf_proto::internals::msgpack::{Walk, WalkError};
use thiserror::Error;

/// Finds the end of the next object in a growing buffer.
///
/// The stream has no length prefixes, so the end is found by walking the headers. Every byte is examined once however
/// small the reads are, nothing is allocated, and an announced length costs nothing until its bytes are there.
#[derive(Clone, Debug)]
pub struct Framer {
    bytes_max: usize,
    walk: Walk,
}

impl Framer {
    /// A framer for objects of at most `bytes_max` bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, walk: Walk::new(0) }
    }

    /// The length of the object at the start of `buffer`, `None` when it is incomplete.
    ///
    /// Until it is complete, each call must pass the same bytes again and more. After that the framer looks for the
    /// next object, whose first byte must be at the start.
    ///
    /// # Errors
    ///
    /// The object is too long, or is not msgpack. The stream cannot be read any further then.
    pub fn next(&mut self, buffer: &[u8]) -> Result<Option<usize>, FrameError> {
        let too_long = FrameError::TooLong { limit: self.bytes_max };
        let end = self.walk.end(buffer, self.bytes_max).map_err(|error| match error {
            WalkError::TooLong => too_long,
            WalkError::Byte(byte) => FrameError::Tag(byte),
        })?;
        match end {
            None if buffer.len() > self.bytes_max => Err(too_long),
            None => Ok(None),
            Some(end) => {
                self.walk = Walk::new(0);
                Ok(Some(end))
            }
        }
    }
}

/// Why a stream cannot be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// An object is longer than allowed.
    #[error("object exceeds {limit} bytes")]
    TooLong {
        /// The allowed number of bytes.
        limit: usize,
    },
    /// This byte starts no object.
    #[error("no msgpack object starts with byte {0:#04x}")]
    Tag(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_whatever_the_pieces() {
        // {"a": [1, nil, "bc", 2.5]}
        let object = b"\x81\xa1a\x94\x01\xc0\xa2bc\xcb\x40\x04\0\0\0\0\0\0";
        let mut framer = Framer::new(100);
        for end in 0..object.len() {
            assert_eq!(framer.next(&object[..end]), Ok(None));
        }
        assert_eq!(framer.next(object), Ok(Some(object.len())));
        assert_eq!(framer.next(b"\x05\x06"), Ok(Some(1)), "the framer starts anew");
    }

    #[test]
    fn a_huge_announced_length_waits_or_is_refused_but_never_overflows() {
        let mut framer = Framer::new(usize::MAX);
        assert_eq!(framer.next(b"\xdf\xff\xff\xff\xff"), Ok(None));
        let mut framer = Framer::new(1000);
        assert_eq!(framer.next(b"\xc6\x7f\xff\xff\xff"), Err(FrameError::TooLong { limit: 1000 }));
        assert_eq!(Framer::new(10).next(b"\xc1"), Err(FrameError::Tag(0xc1)));
    }
}
