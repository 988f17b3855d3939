//! Duplicate detection by Lamport time: remembers recent user events and queries.
//!
//! HashiCorp's keeps an array with one slot per Lamport time, and appends to a slot without a limit. Ours: only times
//! in use take memory, and both the items per time and the total size are limited.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::fingerprint::Fingerprint;
use serde::{Deserialize, Serialize};

/// An item that can be remembered.
pub(super) trait Remembered {
    /// Memory limit, in bytes, of all remembered items of this type.
    const BYTES_MAX: usize;

    /// Memory used by the item, in bytes.
    fn bytes(&self) -> usize;
}

/// Recent items, by Lamport time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recent<T> {
    times: BTreeMap<u64, Vec<T>>,
    bytes: usize,
    /// Items before this time may have been evicted to make room.
    floor: u64,
}

/// The result of remembering an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    Repeat,
    /// Too many items share its Lamport time.
    Crowded,
    /// Older than every item that there is room for.
    Old,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { times: BTreeMap::new(), bytes: 0, floor: 0 }
    }
}

impl<T: Remembered> Recent<T> {
    /// Remembers the item from `make` at time `ltime`, unless `is` matches a remembered item of that time. Removes
    /// items before `oldest`.
    pub(super) fn note(
        &mut self,
        oldest: u64,
        ltime: u64,
        is: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Novelty {
        while self.oldest().is_some_and(|time| time < oldest) {
            self.forget_oldest();
        }
        let items = self.times.get(&ltime).map_or(&[][..], Vec::as_slice);
        if items.iter().any(is) {
            return Novelty::Repeat;
        }
        if items.len() >= ITEMS_PER_TIME_MAX {
            return Novelty::Crowded;
        }
        // Built last: a duplicate allocates nothing.
        let item = make();
        // Only older items are evicted. If the newest were, its next copy would be taken for a new item.
        while self.bytes + item.bytes() > T::BYTES_MAX {
            if self.oldest().is_none_or(|time| time >= ltime) {
                return Novelty::Old;
            }
            self.floor = self.floor.max(self.forget_oldest() + 1);
        }
        self.bytes += item.bytes();
        self.times.entry(ltime).or_default().push(item);
        Novelty::New
    }

    /// All items. A change must not change their size.
    pub(super) fn items_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.times.values_mut().flatten()
    }

    /// Whether `is` matches a remembered item of time `ltime`.
    pub(super) fn knows(&self, ltime: u64, is: impl Fn(&T) -> bool) -> bool {
        self.times.get(&ltime).is_some_and(|items| items.iter().any(is))
    }

    /// The items with their Lamport times, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (u64, &T)> {
        self.times.iter().rev().flat_map(|(&time, items)| items.iter().rev().map(move |item| (time, item)))
    }

    /// The items of a range of Lamport times, newest first. None if `first` is after `last`.
    pub(super) fn range_newest_first(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, &T)> {
        // The map panics for such a range.
        let range = (first <= last).then(|| self.times.range(first..=last));
        range.into_iter().flatten().rev().flat_map(|(&time, items)| items.iter().rev().map(move |item| (time, item)))
    }

    /// Times before this one are unknown: some of their items were evicted.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Memory used by the items, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn oldest(&self) -> Option<u64> {
        self.times.first_key_value().map(|(time, _)| *time)
    }

    /// Removes the items of the oldest time, and returns that time.
    fn forget_oldest(&mut self) -> u64 {
        let Some((time, items)) = self.times.pop_first() else { return 0 };
        self.bytes -= items.iter().map(T::bytes).sum::<usize>();
        time
    }

    /// Feeds the items; `feed` feeds one.
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>, feed: impl Fn(&T, &mut Fingerprint<'_>)) {
        let Self { times, bytes: _, floor } = self;
        to.put((times.len(), floor));
        for (time, items) in times {
            to.put((time, items.len()));
            items.iter().for_each(|item| feed(item, to));
        }
    }
}

/// The maximum number of items per Lamport time. Ours: serf has no limit, so that a peer can grow one slot without end.
pub(super) const ITEMS_PER_TIME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Item(u32);

    impl Remembered for Item {
        const BYTES_MAX: usize = 100;

        fn bytes(&self) -> usize {
            10
        }
    }

    fn note(recent: &mut Recent<Item>, oldest: u64, ltime: u64, item: u32) -> Novelty {
        recent.note(oldest, ltime, |known| *known == Item(item), || Item(item))
    }

    #[test]
    fn an_item_is_known_by_its_time_and_what_it_is_until_its_time_is_too_old() {
        let mut recent = Recent::default();
        assert_eq!(note(&mut recent, 4, 5, 1), Novelty::New);
        assert_eq!(note(&mut recent, 4, 5, 1), Novelty::Repeat);
        assert_eq!(note(&mut recent, 4, 5, 2), Novelty::New);
        assert_eq!(note(&mut recent, 4, 6, 1), Novelty::New);
        assert!(recent.knows(5, |item| *item == Item(2)));
        assert!(!recent.knows(5, |item| *item == Item(3)) && !recent.knows(7, |item| *item == Item(1)));
        assert_eq!(note(&mut recent, 6, 9, 1), Novelty::New, "time 5 is forgotten");
        assert!(!recent.knows(5, |item| *item == Item(2)));
        assert_eq!(recent.newest_first().map(|(time, _)| time).collect::<Vec<_>>(), [9, 6]);
        assert_eq!((recent.bytes(), recent.floor()), (20, 0));
    }

    #[test]
    fn one_time_holds_a_bounded_number_of_items() {
        #[derive(PartialEq, Eq)]
        struct Small(usize);
        impl Remembered for Small {
            const BYTES_MAX: usize = usize::MAX;

            fn bytes(&self) -> usize {
                1
            }
        }
        let mut recent = Recent::default();
        for n in 0..ITEMS_PER_TIME_MAX {
            assert_eq!(recent.note(4, 5, |known| *known == Small(n), || Small(n)), Novelty::New);
        }
        assert_eq!(recent.note(4, 5, |_| false, || Small(0)), Novelty::Crowded);
    }

    #[test]
    fn it_is_bounded_in_bytes_and_takes_nothing_forgotten_as_new() {
        let mut recent = Recent::default();
        for ltime in 1..=10 {
            assert_eq!(note(&mut recent, 0, ltime, 0), Novelty::New);
        }
        assert_eq!((recent.bytes(), recent.oldest(), recent.floor()), (100, Some(1), 0));
        assert_eq!(note(&mut recent, 0, 0, 0), Novelty::Old, "everything else is newer");
        assert_eq!(note(&mut recent, 0, 600, 0), Novelty::New);
        assert_eq!((recent.bytes(), recent.oldest(), recent.floor()), (100, Some(2), 2));
        assert_eq!(note(&mut recent, 700, 700, 0), Novelty::New);
        assert_eq!((recent.bytes(), recent.floor()), (10, 2), "the floor never sinks");
    }
}
