//! What a node wants to be woken for.
//!
//! Things there is one of (the next probe, the next gossip tick) have a slot each, which is set and cleared exactly.
//! Things there are many of (suspicions, streams) go on a heap and are cancelled lazily: whoever set the timer checks,
//! when it fires, that it still means something.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::types::{JoinId, StreamId};

/// A timer there is one of. The order is the order in which timers of one instant fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Slot {
    /// The running probe has waited long enough for a direct ack.
    AckDue,
    /// The running probe is over.
    ProbeEnd,
    /// Start the next probe.
    Probe,
    /// Send broadcasts.
    Gossip,
    /// Exchange states with a random member.
    PushPull,
    /// Look for members to forget.
    Reap,
    /// Try to reach a failed member.
    Reconnect,
    /// A step of our own leave has taken long enough.
    Leave,
    /// Something is held back for the application or the snapshot.
    Deliver,
    /// A query of ours is over.
    Query,
    /// We are the only member that is alive: look for the others.
    Alone,
}

const SLOTS: [Slot; 11] = [
    Slot::AckDue,
    Slot::ProbeEnd,
    Slot::Probe,
    Slot::Gossip,
    Slot::PushPull,
    Slot::Reap,
    Slot::Reconnect,
    Slot::Leave,
    Slot::Deliver,
    Slot::Query,
    Slot::Alone,
];

/// A timer there may be many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Many {
    /// A suspicion may have run out.
    Suspicion(MemberIdx),
    /// A probe that we relay has waited long enough.
    Relay(u32),
    /// The last holder of a name that another claims has not answered.
    Takeover(MemberIdx),
    /// An exchange has taken too long.
    Stream(StreamId),
    /// A member may have waited long enough to be erased.
    Prune(MemberIdx),
    /// A join that reached nobody is to be tried again.
    Join(JoinId),
}

/// A timer that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    Slot(Slot),
    Many(Many),
}

/// All timers of one node.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    slots: [Instant; SLOTS.len()],
    heap: BinaryHeap<Reverse<(Instant, u32, Many)>>,
    /// When the first on the heap is due, so that asking does not touch the heap.
    heap_next: Instant,
    /// Timers of one instant fire in the order in which they were set.
    order: u32,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { slots: [Instant::MAX; SLOTS.len()], heap: BinaryHeap::new(), heap_next: Instant::MAX, order: 0 }
    }

    pub(crate) fn set(&mut self, slot: Slot, at: Instant) {
        self.slots[slot as usize] = at;
    }

    pub(crate) fn clear(&mut self, slot: Slot) {
        self.slots[slot as usize] = Instant::MAX;
    }

    pub(crate) fn is_set(&self, slot: Slot) -> bool {
        self.slots[slot as usize] != Instant::MAX
    }

    pub(crate) fn push(&mut self, at: Instant, timer: Many) {
        self.order = self.order.wrapping_add(1);
        self.heap.push(Reverse((at, self.order, timer)));
        self.heap_next = self.heap_next.min(at);
    }

    /// When the next timer fires.
    pub(crate) fn next(&self) -> Option<Instant> {
        let slot = self.slots.iter().copied().min().unwrap_or(Instant::MAX);
        let at = slot.min(self.heap_next);
        (at != Instant::MAX).then_some(at)
    }

    /// Takes the earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Fired> {
        let mut slot = SLOTS[0];
        for candidate in SLOTS {
            if self.slots[candidate as usize] < self.slots[slot as usize] {
                slot = candidate;
            }
        }
        let slot_at = self.slots[slot as usize];
        let heap_at = self.heap_next;
        if slot_at.min(heap_at) > now || slot_at.min(heap_at) == Instant::MAX {
            return None;
        }
        if slot_at <= heap_at {
            self.clear(slot);
            return Some(Fired::Slot(slot));
        }
        let fired = self.heap.pop().map(|Reverse((.., timer))| Fired::Many(timer));
        self.heap_next = self.heap.peek().map_or(Instant::MAX, |Reverse((at, ..))| *at);
        fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_of_time_then_slots_first_then_as_they_were_set() {
        let at = Instant::from_nanos;
        let mut timers = Timers::new();
        timers.push(at(5), Many::Relay(2));
        timers.push(at(5), Many::Relay(1));
        timers.set(Slot::Gossip, at(5));
        timers.set(Slot::Probe, at(5));
        timers.push(at(4), Many::Relay(3));
        assert_eq!(timers.next(), Some(at(4)));
        assert_eq!(timers.pop_due(at(3)), None);
        let fired: alloc::vec::Vec<_> = core::iter::from_fn(|| timers.pop_due(at(9))).collect();
        assert_eq!(
            fired,
            [
                Fired::Many(Many::Relay(3)),
                Fired::Slot(Slot::Probe),
                Fired::Slot(Slot::Gossip),
                Fired::Many(Many::Relay(2)),
                Fired::Many(Many::Relay(1)),
            ]
        );
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_cleared_slot_does_not_fire() {
        let mut timers = Timers::new();
        timers.set(Slot::AckDue, Instant::from_nanos(1));
        timers.clear(Slot::AckDue);
        assert!(!timers.is_set(Slot::AckDue));
        assert_eq!(timers.pop_due(Instant::from_nanos(2)), None);
    }
}
