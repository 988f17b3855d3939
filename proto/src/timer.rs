//! What a node wants to be woken for.
//!
//! Things there is one of (the next probe, the next gossip tick) have a slot each, which is set and cleared exactly.
//! Things there are many of (suspicions, streams) go on a heap and are cancelled lazily: the code that set the timer checks,
//! when it fires, that it still means something.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::types::{JoinId, StreamId};

/// A timer, by the layer that handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Swim(SwimTimer),
    Serf(SerfTimer),
    Node(NodeTimer),
}

/// The timers of membership and failure detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SwimTimer {
    /// The running probe has waited long enough for a direct ack.
    AckDue,
    /// The running probe is over.
    ProbeEnd,
    /// Start the next probe.
    Probe,
    /// Exchange states with a random member.
    PushPull,
    /// A suspicion may have run out.
    Suspicion(MemberIdx),
    /// A probe that we relay has waited long enough.
    Relay(u32),
    /// The last holder of a name that another claims has not answered.
    Takeover(MemberIdx),
}

/// The timers of the Serf layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SerfTimer {
    /// Look for members to forget.
    Reap,
    /// Try to reach a failed member.
    Reconnect,
    /// Something is held back for the application or the snapshot.
    Deliver,
    /// A query of ours is over.
    Query,
    /// A member may have waited long enough to be erased.
    Prune(MemberIdx),
}

/// The timers of the node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NodeTimer {
    /// Send broadcasts.
    Gossip,
    /// A step of our own leave has taken long enough.
    Leave,
    /// We are the only member that is alive: look for the others.
    Isolation,
    /// An exchange has taken too long.
    Stream(StreamId),
    /// No seed of a join has answered for a while.
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
    /// The place in [`SLOTS`] of a timer there is one of; `None` for one there may be many of.
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
            Self::Swim(SwimTimer::Suspicion(_) | SwimTimer::Relay(_) | SwimTimer::Takeover(_))
            | Self::Serf(SerfTimer::Prune(_))
            | Self::Node(NodeTimer::Stream(_) | NodeTimer::Join(_)) => return None,
        })
    }
}

/// The timers there is one of, in the order in which those of one instant fire.
const SLOTS: [Timer; 11] = [
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
];

/// All timers of one node.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    slots: [Instant; SLOTS.len()],
    heap: BinaryHeap<Reverse<(Instant, u32, Timer)>>,
    /// When the first on the heap is due, so that asking does not touch the heap.
    heap_next: Instant,
    /// Timers of one instant fire in the order in which they were set.
    order: u32,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { slots: [Instant::MAX; SLOTS.len()], heap: BinaryHeap::new(), heap_next: Instant::MAX, order: 0 }
    }

    /// Has a timer fire at `at`: one there is one of at no other time, one there may be many of once more.
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

    /// Stops a timer there is one of. Those on the heap are never stopped.
    #[inline]
    pub(crate) fn clear(&mut self, timer: impl Into<Timer>) {
        if let Some(slot) = timer.into().slot() {
            self.slots[slot] = Instant::MAX;
        }
    }

    /// Whether a timer there is one of will fire.
    #[inline]
    pub(crate) fn is_set(&self, timer: impl Into<Timer>) -> bool {
        timer.into().slot().is_some_and(|slot| self.slots[slot] != Instant::MAX)
    }

    /// When the next timer fires.
    pub(crate) fn next(&self) -> Option<Instant> {
        let slot = self.slots.iter().copied().min().unwrap_or(Instant::MAX);
        let at = slot.min(self.heap_next);
        (at != Instant::MAX).then_some(at)
    }

    /// Takes the earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let mut slot = 0;
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
        if slot_at <= heap_at {
            self.slots[slot] = Instant::MAX;
            return Some(SLOTS[slot]);
        }
        let fired = self.heap.pop().map(|Reverse((.., timer))| timer);
        self.heap_next = self.heap.peek().map_or(Instant::MAX, |Reverse((at, ..))| *at);
        fired
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
        let fired: alloc::vec::Vec<_> = core::iter::from_fn(|| timers.pop_due(at(9))).collect();
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
