//! A byte limit shared by queues.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// A number of bytes that the items of one or more queues share.
///
/// A limit on the number of items alone does not bound memory, because names and payloads come from the network and set
/// the size of an item.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

/// The fill level of a queue or budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) bytes: usize,
    pub(crate) bytes_max: usize,
}

/// Bytes reserved from a [`Budget`] until this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), bytes_max })
    }

    /// The bytes in use, and the limit.
    pub(crate) fn level(&self) -> Level {
        Level { bytes: self.used.load(Ordering::Relaxed), bytes_max: self.bytes_max }
    }

    /// Reserves `bytes`, or returns `None` when fewer are free.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Room> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Room { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(10);
        let first = budget.take(9).expect("9 of 10");
        assert!(budget.take(2).is_none(), "one above the bound");
        let second = budget.take(1).expect("at the bound");
        assert_eq!(budget.level(), Level { bytes: 10, bytes_max: 10 });
        assert!(budget.take(1).is_none() && budget.take(usize::MAX).is_none());
        drop(first);
        assert!(budget.take(10).is_none());
        assert!(budget.take(9).is_some());
        drop(second);
        assert!(budget.take(10).is_some());
    }
}
