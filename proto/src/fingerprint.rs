//! Fingerprints: what decides the behaviour of a node from now on, fed into a hasher.
//!
//! A program that explores the states of a small cluster must recognise a state that it has seen before, although it
//! reached it by another way and at another time. Each owner of state feeds what its decisions depend on. It leaves out
//! statistics, logs, caches and what follows from the rest. Instants are relative to the node's clock.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use crate::time::Instant;

/// A fingerprint in the making.
pub(crate) struct Fingerprint<'a> {
    hasher: &'a mut dyn Hasher,
    now: Instant,
}

impl<'a> Fingerprint<'a> {
    /// Feeds `hasher`. `now` is the node's clock.
    pub(crate) fn new(hasher: &'a mut dyn Hasher, now: Instant) -> Self {
        Self { hasher, now }
    }

    /// Feeds a value that holds no instant.
    pub(crate) fn put(&mut self, value: impl Hash) {
        value.hash(&mut self.hasher);
    }

    /// Feeds the debug text of a value that holds no instant: for state that is nearly always empty.
    pub(crate) fn text(&mut self, value: &impl fmt::Debug) {
        let written = fmt::Write::write_fmt(self, format_args!("{value:?}"));
        debug_assert!(written.is_ok(), "a hasher takes any text");
        self.hasher.write_u8(END);
    }

    /// Feeds a time at which something happens, or from which on something may happen. All that have passed are equal.
    pub(crate) fn deadline(&mut self, at: Instant) {
        let wait = (at != Instant::MAX).then(|| at - self.now);
        self.put(wait);
    }

    /// Feeds a time in the past.
    pub(crate) fn age(&mut self, since: Instant) {
        self.put(self.now - since);
    }

    /// Feeds a time in the past; all that are longer ago than `most` are equal.
    pub(crate) fn age_up_to(&mut self, since: Instant, most: Duration) {
        self.put((self.now - since).min(most.saturating_add(Duration::from_nanos(1))));
    }
}

impl fmt::Write for Fingerprint<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hasher.write(text.as_bytes());
        Ok(())
    }
}

/// Ends a text, as no UTF-8 contains it.
const END: u8 = 0xff;
