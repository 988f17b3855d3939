//! Finds where msgpack objects end in a stream of bytes.

use thiserror::Error;

/// Finds the end of the next object in a buffer that grows.
///
/// The stream has no lengths of its own, so the end is found by walking the headers. Every byte is looked at once however
/// small the pieces it comes in, nothing is allocated, and an announced length costs nothing until its bytes are there.
#[derive(Clone, Debug)]
pub struct Framer {
    bytes_max: usize,
    /// Bytes of the unfinished object that were walked, or are to be skipped.
    walked: usize,
    /// Objects that are still to come before this one ends.
    pending: u64,
}

impl Framer {
    /// Objects may have up to `bytes_max` bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, walked: 0, pending: 1 }
    }

    /// How long the object at the start of `buffer` is, `None` when its end has not come yet.
    ///
    /// Until an end was found, each call must bring the same bytes again and more. After that the next object is looked
    /// for, so its first byte must be at the start.
    ///
    /// # Errors
    ///
    /// The object is too long, or this is no msgpack. The stream cannot be read any further then.
    pub fn next(&mut self, buffer: &[u8]) -> Result<Option<usize>, FrameError> {
        while self.pending > 0 {
            let Some(rest) = buffer.get(self.walked..) else { break };
            let Some(header) = Header::read(rest)? else { break };
            self.walked = self.walked.saturating_add(header.bytes);
            self.pending = (self.pending - 1).saturating_add(header.children);
            if self.walked > self.bytes_max {
                return Err(FrameError::TooLong { limit: self.bytes_max });
            }
        }
        if self.pending > 0 || self.walked > buffer.len() {
            return if buffer.len() > self.bytes_max {
                Err(FrameError::TooLong { limit: self.bytes_max })
            } else {
                Ok(None)
            };
        }
        let length = self.walked;
        *self = Self::new(self.bytes_max);
        Ok(Some(length))
    }
}

/// Why a stream cannot be read.
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

/// What the first bytes of an object say about its size.
struct Header {
    /// The header and, of a string or the like, the contents.
    bytes: usize,
    /// Objects inside, which follow.
    children: u64,
}

impl Header {
    /// `None` when the header itself is not complete.
    fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(&tag) = bytes.first() else { return Ok(None) };
        let leaf = |length: usize| Ok(Some(Self { bytes: length, children: 0 }));
        let number = |width: usize| {
            let digits = bytes.get(1..=width)?;
            Some(digits.iter().fold(0u64, |n, digit| n << 8 | u64::from(*digit)))
        };
        let sized = |width: usize, extra: usize| {
            let Some(length) = number(width) else { return Ok(None) };
            // A length has 32 bits at most; where that does not fit, no buffer can ever hold it either.
            leaf(usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1 + width + extra))
        };
        let container =
            |width: usize, each: u64| Ok(number(width).map(|items| Self { bytes: 1 + width, children: items * each }));
        match tag {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => leaf(1),
            0x80..=0x8f => Ok(Some(Self { bytes: 1, children: u64::from(tag & 0x0f) * 2 })),
            0x90..=0x9f => Ok(Some(Self { bytes: 1, children: u64::from(tag & 0x0f) })),
            0xa0..=0xbf => leaf(1 + usize::from(tag & 0x1f)),
            0xc1 => Err(FrameError::Tag(tag)),
            0xc4 | 0xd9 => sized(1, 0),
            0xc5 | 0xda => sized(2, 0),
            0xc6 | 0xdb => sized(4, 0),
            0xc7 => sized(1, 1),
            0xc8 => sized(2, 1),
            0xc9 => sized(4, 1),
            0xcc | 0xd0 => leaf(2),
            0xcd | 0xd1 => leaf(3),
            0xca | 0xce | 0xd2 => leaf(5),
            0xcb | 0xcf | 0xd3 => leaf(9),
            0xd4 => leaf(3),
            0xd5 => leaf(4),
            0xd6 => leaf(6),
            0xd7 => leaf(10),
            0xd8 => leaf(18),
            0xdc => container(2, 1),
            0xdd => container(4, 1),
            0xde => container(2, 2),
            0xdf => container(4, 2),
        }
    }
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
