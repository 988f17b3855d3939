//! Where encoded bytes go: a buffer of fixed room, one that grows, or a counter.

use alloc::vec::Vec;

/// The room of a sink is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Takes encoded bytes.
///
/// An encoder writes to any sink, so the length of a message is what the encoder gives a counting one, and no second function
/// has to be kept in step.
pub trait Sink {
    /// Writes `bytes`, all or none.
    ///
    /// # Errors
    ///
    /// When they do not fit.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

/// A cursor over a slice of fixed room. Running out is an `Err`, so that "does this still fit?" is "try it".
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

    /// Whether nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes have been written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Writes `bytes`, all or none.
    ///
    /// # Errors
    ///
    /// When they do not fit.
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
    /// When it does not fit.
    pub fn put_u8(&mut self, byte: u8) -> Result<(), Full> {
        *self.buf.get_mut(self.len).ok_or(Full)? = byte;
        self.len += 1;
        Ok(())
    }

    /// Lets `write` fill the room that is left; it returns how much of it was used, `None` when it was too little.
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

/// Counts the bytes and drops them.
#[derive(Debug, Default)]
pub(crate) struct Count(usize);

impl Count {
    /// How many bytes `write` writes.
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
