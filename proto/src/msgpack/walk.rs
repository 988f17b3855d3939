//! Incremental search for the end of a value.

use super::head::{BadByte, Head};

/// Walks over values that arrive in chunks. Examines each head once, and counts nested values instead of recursing.
/// Buffers nothing.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// Position up to which the values are known; may be beyond the received bytes.
    at: usize,
    /// Number of values that are still expected.
    pending: u64,
}

/// Why a walk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkError {
    /// The values exceed the limit.
    TooLong,
    /// No value starts with this byte.
    Byte(u8),
}

impl Walk {
    /// A walk over the value at `at`.
    pub const fn new(at: usize) -> Self {
        Self { at, pending: 1 }
    }

    /// The end of the values; `Ok(None)` if more bytes are needed. `bytes` must extend those of the previous call.
    ///
    /// # Errors
    ///
    /// If the bytes are not a value, or the values exceed `limit`.
    pub fn end(&mut self, bytes: &[u8], limit: usize) -> Result<Option<usize>, WalkError> {
        while self.pending > 0 {
            // A body may end beyond the received bytes; the next head is then not there yet.
            let Some(rest) = bytes.get(self.at..) else { return Ok(None) };
            let Some(head) = Head::read(rest).map_err(|BadByte(byte)| WalkError::Byte(byte))? else { return Ok(None) };
            self.pending -= 1;
            self.expect(head.bytes(), head.values());
            if self.at > limit {
                return Err(WalkError::TooLong);
            }
        }
        Ok((self.at <= bytes.len()).then_some(self.at))
    }

    /// Skips `bytes` raw bytes, then expects `values` more values.
    pub const fn expect(&mut self, bytes: usize, values: u64) {
        self.at = self.at.saturating_add(bytes);
        self.pending = self.pending.saturating_add(values);
    }

    /// Minimum end of the values: each expected value takes at least one byte.
    pub const fn reach(&self) -> u64 {
        (self.at as u64).saturating_add(self.pending)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_values_than_can_come_do_not_take_time() {
        let mut walk = Walk::new(0);
        assert_eq!(walk.end(b"\xdf\xff\xff\xff\xff\xdf\xff\xff\xff\xff", usize::MAX), Ok(None));
        assert_eq!(walk.reach(), 10 + 2 * (2 * 0xffff_ffff) - 1);
    }

    #[test]
    fn a_limit_is_checked_at_the_head_of_what_exceeds_it() {
        assert_eq!(Walk::new(0).end(b"\xc6\x7f\xff\xff\xff", 1000), Err(WalkError::TooLong));
        assert_eq!(Walk::new(0).end(b"\xa2ab", 3), Ok(Some(3)));
        assert_eq!(Walk::new(0).end(b"\xa2ab", 2), Err(WalkError::TooLong));
        assert_eq!(Walk::new(1).end(b"\x07\xc1", 100), Err(WalkError::Byte(0xc1)));
    }

    proptest! {
        #[test]
        fn the_end_of_a_value_is_the_same_however_it_is_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            cuts in prop::collection::vec(0_usize..60, 0..10),
            limit in 0_usize..80,
        ) {
            let whole = Walk::new(0).end(&bytes, limit);
            let mut walk = Walk::new(0);
            let mut last = Ok(None);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            for cut in cuts.into_iter().chain([bytes.len()]) {
                last = walk.end(&bytes[..cut], limit);
                if last != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(last, whole);
        }
    }
}
