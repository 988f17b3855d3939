//! The queries of recent times, to know one that comes again.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::types::QueryId;

/// A ring by time, as serf's, but only the slots in use take memory.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    slots: BTreeMap<u32, Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    ltime: u64,
    ids: Vec<u32>,
}

/// What the ring says of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    Repeat,
    /// Too many queries share its time.
    Crowded,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self { slots: BTreeMap::new() }
    }

    /// Takes note of a query, in a ring of `size` times.
    pub(super) fn note(&mut self, size: u32, query: QueryId) -> Novelty {
        let fresh = || Slot { ltime: query.ltime, ids: Vec::new() };
        let slot = self.slots.entry(place(size, query)).or_insert_with(fresh);
        if slot.ltime != query.ltime {
            *slot = fresh();
        }
        if slot.ids.contains(&query.id) {
            return Novelty::Repeat;
        }
        if slot.ids.len() >= QUERIES_PER_TIME_MAX {
            return Novelty::Crowded;
        }
        slot.ids.push(query.id);
        Novelty::New
    }

    /// Whether a query has been noted and not been forgotten yet.
    pub(super) fn knows(&self, size: u32, query: QueryId) -> bool {
        let slot = self.slots.get(&place(size, query));
        slot.is_some_and(|slot| slot.ltime == query.ltime && slot.ids.contains(&query.id))
    }
}

fn place(size: u32, query: QueryId) -> u32 {
    u32::try_from(query.ltime % u64::from(size)).unwrap_or_default()
}

/// How many queries may share one time. Ours: serf has no bound, so that a peer can grow one slot without end.
const QUERIES_PER_TIME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_known_by_its_time_and_number_until_another_time_takes_its_slot() {
        let mut ring = Ring::new();
        let query = |ltime, id| QueryId { ltime, id };
        assert_eq!(ring.note(4, query(5, 1)), Novelty::New);
        assert_eq!(ring.note(4, query(5, 1)), Novelty::Repeat);
        assert_eq!(ring.note(4, query(5, 2)), Novelty::New);
        assert!(ring.knows(4, query(5, 2)) && !ring.knows(4, query(5, 3)) && !ring.knows(4, query(1, 1)));
        assert_eq!(ring.note(4, query(9, 1)), Novelty::New);
        assert!(!ring.knows(4, query(5, 1)));
    }

    #[test]
    fn one_time_holds_a_bounded_number_of_queries() {
        let mut ring = Ring::new();
        for id in 0..64 {
            assert_eq!(ring.note(4, QueryId { ltime: 5, id }), Novelty::New);
        }
        assert_eq!(ring.note(4, QueryId { ltime: 5, id: 64 }), Novelty::Crowded);
    }
}
