//! Timers of a node.
//!
//! Singleton timers (the next probe, the next gossip tick) have one slot each; setting replaces, clearing is exact.
//! Timers with many instances (suspicions, streams) are in a heap and are cancelled lazily: their handler checks
//! whether they still apply.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::types::{JoinId, StreamId};

/// A timer, by the layer that handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
pub(crate) enum Timer {
    Swim(SwimTimer),
    Serf(SerfTimer),
    Node(NodeTimer),
}

/// Timers of membership and failure detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
pub(crate) enum SwimTimer {
    /// The direct ping of the running probe timed out.
    AckDue,
    /// The running probe ends.
    ProbeEnd,
    /// Start the next probe.
    Probe,
    /// Push/pull with a random member.
    PushPull,
    /// A suspicion may have expired.
    Suspicion(MemberIdx),
    /// A relayed ping timed out.
    Relay(u32),
    /// The ping to the last holder of a claimed name timed out.
    Takeover(MemberIdx),
}

/// Timers of the Serf layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
pub(crate) enum SerfTimer {
    /// Reap members.
    Reap,
    /// Reconnect to a failed member.
    Reconnect,
    /// Deliver events or records that are held back.
    Deliver,
    /// A query of this node expired.
    Query,
    /// A member may be due for removal.
    Prune(MemberIdx),
}

/// Timers of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
pub(crate) enum NodeTimer {
    /// Gossip tick.
    Gossip,
    /// The current step of our leave timed out.
    Leave,
    /// Search for other members.
    Isolation,
    /// Judge how many members are missing.
    Partition,
    /// A stream reached its deadline.
    Stream(StreamId),
    /// A join got no answer for a while.
    Join(JoinId),
}

impl From<SwimTimer> for Timer {
    fn from(timer: SwimTimer) -> Self {
        Self::Swim(timer)
    }
}

impl From<SerfTimer> for Timer {
    fn from(timer: SerfTimer) -> Self {
        Self::Serf(timer)
    }
}

impl From<NodeTimer> for Timer {
    fn from(timer: NodeTimer) -> Self {
        Self::Node(timer)
    }
}

impl Timer {
    /// Index of a singleton timer in [`SLOTS`]; `None` for timers with many instances.
    const fn slot(self) -> Option<usize> {
        Some(match self {
            Self::Swim(SwimTimer::AckDue) => 0,
            Self::Swim(SwimTimer::ProbeEnd) => 1,
            Self::Swim(SwimTimer::Probe) => 2,
            Self::Node(NodeTimer::Gossip) => 3,
            Self::Swim(SwimTimer::PushPull) => 4,
            Self::Serf(SerfTimer::Reap) => 5,
            Self::Serf(SerfTimer::Reconnect) => 6,
            Self::Node(NodeTimer::Leave) => 7,
            Self::Serf(SerfTimer::Deliver) => 8,
            Self::Serf(SerfTimer::Query) => 9,
            Self::Node(NodeTimer::Isolation) => 10,
            Self::Node(NodeTimer::Partition) => 11,
            Self::Swim(SwimTimer::Suspicion(_) | SwimTimer::Relay(_) | SwimTimer::Takeover(_))
            | Self::Serf(SerfTimer::Prune(_))
            | Self::Node(NodeTimer::Stream(_) | NodeTimer::Join(_)) => return None,
        })
    }
}

/// The singleton timers. The order decides which of two at the same instant fires first.
const SLOTS: [Timer; 12] = [
    Timer::Swim(SwimTimer::AckDue),
    Timer::Swim(SwimTimer::ProbeEnd),
    Timer::Swim(SwimTimer::Probe),
    Timer::Node(NodeTimer::Gossip),
    Timer::Swim(SwimTimer::PushPull),
    Timer::Serf(SerfTimer::Reap),
    Timer::Serf(SerfTimer::Reconnect),
    Timer::Node(NodeTimer::Leave),
    Timer::Serf(SerfTimer::Deliver),
    Timer::Serf(SerfTimer::Query),
    Timer::Node(NodeTimer::Isolation),
    Timer::Node(NodeTimer::Partition),
];

/// All timers of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Timers {
    slots: [Instant; SLOTS.len()],
    heap: BinaryHeap<Reverse<(Instant, u32, Timer)>>,
    /// Deadline of the heap's first entry, so that reading it does not touch the heap.
    heap_next: Instant,
    /// Sequence number that makes timers of one instant fire in the order in which they were set.
    order: u32,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { slots: [Instant::MAX; SLOTS.len()], heap: BinaryHeap::new(), heap_next: Instant::MAX, order: 0 }
    }

    /// Arms a timer at `at`. A singleton's previous deadline is replaced; otherwise another instance is added.
    #[inline]
    pub(crate) fn set(&mut self, timer: impl Into<Timer>, at: Instant) {
        let timer = timer.into();
        match timer.slot() {
            Some(slot) => self.slots[slot] = at,
            None => self.push(timer, at),
        }
    }

    fn push(&mut self, timer: Timer, at: Instant) {
        self.order = self.order.wrapping_add(1);
        self.heap.push(Reverse((at, self.order, timer)));
        self.heap_next = self.heap_next.min(at);
    }

    /// Disarms a singleton timer. Heap timers cannot be disarmed.
    #[inline]
    pub(crate) fn clear(&mut self, timer: impl Into<Timer>) {
        if let Some(slot) = timer.into().slot() {
            self.slots[slot] = Instant::MAX;
        }
    }

    /// Whether a singleton timer is armed.
    #[inline]
    pub(crate) fn is_set(&self, timer: impl Into<Timer>) -> bool {
        timer.into().slot().is_some_and(|slot| self.slots[slot] != Instant::MAX)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let slot = self.slots.iter().copied().min().unwrap_or(Instant::MAX);
        let at = slot.min(self.heap_next);
        (at != Instant::MAX).then_some(at)
    }

    /// Removes and returns the earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let mut slot = 0;
        // A linear scan: twelve slots are two cache lines, less work than a heap.
        for candidate in 1..SLOTS.len() {
            if self.slots[candidate] < self.slots[slot] {
                slot = candidate;
            }
        }
        let slot_at = self.slots[slot];
        let heap_at = self.heap_next;
        if slot_at.min(heap_at) > now || slot_at.min(heap_at) == Instant::MAX {
            return None;
        }
        // At the same instant slots go before the heap, so the order is deterministic.
        if slot_at <= heap_at {
            self.slots[slot] = Instant::MAX;
            return Some(SLOTS[slot]);
        }
        let fired = self.heap.pop().map(|Reverse((.., timer))| timer);
        self.heap_next = self.heap.peek().map_or(Instant::MAX, |Reverse((at, ..))| *at);
        fired
    }

    /// Feeds the armed timers, in the order in which they fire.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { slots, heap, heap_next: _, order: _ } = self;
        slots.iter().for_each(|at| to.deadline(*at));
        let mut heap: Vec<_> = heap.iter().map(|Reverse(entry)| *entry).collect();
        heap.sort_unstable();
        for (at, _, timer) in heap {
            to.put(timer);
            to.deadline(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_there_is_one_of_knows_its_slot() {
        for (at, timer) in SLOTS.into_iter().enumerate() {
            assert_eq!(timer.slot(), Some(at), "{timer:?}");
        }
    }

    #[test]
    fn timers_fire_in_order_of_time_then_slots_first_then_as_they_were_set() {
        let at = Instant::from_nanos;
        let mut timers = Timers::new();
        timers.set(SwimTimer::Relay(2), at(5));
        timers.set(SwimTimer::Relay(1), at(5));
        timers.set(NodeTimer::Gossip, at(5));
        timers.set(SwimTimer::Probe, at(5));
        timers.set(SwimTimer::Relay(3), at(4));
        assert_eq!(timers.next(), Some(at(4)));
        assert_eq!(timers.pop_due(at(3)), None);
        let fired: Vec<_> = core::iter::from_fn(|| timers.pop_due(at(9))).collect();
        assert_eq!(
            fired,
            [
                SwimTimer::Relay(3).into(),
                SwimTimer::Probe.into(),
                NodeTimer::Gossip.into(),
                SwimTimer::Relay(2).into(),
                Timer::from(SwimTimer::Relay(1)),
            ]
        );
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_cleared_slot_does_not_fire() {
        let mut timers = Timers::new();
        timers.set(SwimTimer::AckDue, Instant::from_nanos(1));
        timers.clear(SwimTimer::AckDue);
        assert!(!timers.is_set(SwimTimer::AckDue));
        assert_eq!(timers.pop_due(Instant::from_nanos(2)), None);
    }
}
