//! Destinations for encoded bytes: a fixed buffer, a growing one, or a counter.

use alloc::vec::Vec;

/// The sink has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A destination for encoded bytes.
///
/// Encoders are generic over it. The length of a message is computed by encoding into a counting sink, so that no
/// separate length function must be kept in sync.
pub trait Sink {
    /// Writes all of `bytes`, or nothing.
    ///
    /// # Errors
    ///
    /// If they do not fit.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

/// Cursor over a fixed buffer. Overflow is an `Err`, so that a caller tests whether a message fits by encoding it.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// A cursor at the start of `buf`.
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of bytes written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Number of bytes that still fit.
    pub const fn room(&self) -> usize {
        self.buf.len() - self.len
    }

    /// Writes all of `bytes`, or nothing.
    ///
    /// # Errors
    ///
    /// If they do not fit.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = self.buf.get_mut(self.len..self.len + bytes.len()).ok_or(Full)?;
        room.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Writes one byte.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn put_u8(&mut self, byte: u8) -> Result<(), Full> {
        *self.buf.get_mut(self.len).ok_or(Full)? = byte;
        self.len += 1;
        Ok(())
    }

    /// Passes the remaining buffer to `write`, which returns the number of bytes used, or `None` if it was too small.
    pub fn fill(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), Full> {
        self.len += write(&mut self.buf[self.len..]).ok_or(Full)?;
        Ok(())
    }
}

impl Sink for Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        Writer::put(self, bytes)
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Counts bytes and discards them.
#[derive(Debug, Default)]
pub(crate) struct Count(usize);

impl Count {
    /// The number of bytes that `write` writes.
    pub(crate) fn of(write: impl FnOnce(&mut Self) -> Result<(), Full>) -> usize {
        let mut count = Self::default();
        let counted = write(&mut count);
        debug_assert_eq!(counted, Ok(()), "a counter is never full");
        count.0
    }
}

impl Sink for Count {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0 += bytes.len();
        Ok(())
    }
}
