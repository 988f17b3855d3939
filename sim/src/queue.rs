//! The event queue: a calendar queue (Brown, CACM 1988) for the near future, a heap for the rest.
//!
//! Nearly all pending payloads are packets that arrive within milliseconds or probes within the second. A ring of
//! buckets stores those in constant time and sorts each bucket only when it is reached. A binary heap would pay `log n`
//! cache misses for each of them.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use serf_proto::Instant;

use crate::scheduled::{Key, Scheduled};

/// Pending payloads, popped in the order of their keys.
#[derive(Debug)]
pub(crate) struct Calendar {
    /// Buckets `reached + 1 ..= reached + RING`, each at its number modulo `RING`, unsorted.
    ring: Box<[Vec<Scheduled>]>,
    /// One bit per nonempty bucket of the ring.
    occupied: Box<[u64]>,
    /// Payloads of bucket `reached`, or pushed for an earlier one, in reverse order.
    current: Vec<Scheduled>,
    /// Number of the bucket in `current`.
    reached: u64,
    /// Payloads beyond the ring.
    far: BinaryHeap<Reverse<ByKey>>,
    /// Emptied buckets, kept to reuse their memory.
    spare: Vec<Vec<Scheduled>>,
}

impl Calendar {
    pub(crate) fn new() -> Self {
        Self {
            ring: (0..RING).map(|_| Vec::new()).collect(),
            occupied: vec![0; slot(RING - 1) / 64 + 1].into(),
            current: Vec::new(),
            reached: 0,
            far: BinaryHeap::new(),
            spare: Vec::new(),
        }
    }

    /// Adds a scheduled payload. It must not precede those already popped.
    pub(crate) fn push(&mut self, scheduled: Scheduled) {
        let bucket = bucket(scheduled.key.at);
        if bucket <= self.reached {
            let at = self.current.partition_point(|h| h.key > scheduled.key);
            self.current.insert(at, scheduled);
        } else if bucket <= self.reached + RING {
            self.file(bucket, scheduled);
        } else {
            self.far.push(Reverse(ByKey(scheduled)));
        }
    }

    /// Pops the first payload, if it is due before `end`.
    pub(crate) fn pop_before(&mut self, end: Instant) -> Option<Scheduled> {
        loop {
            if let Some(first) = self.current.last() {
                return if first.key.at < end { self.current.pop() } else { None };
            }
            let next = self.next_bucket()?;
            if next > bucket(Instant::from_nanos(end.as_nanos().saturating_sub(1))) {
                // Advancing further would insert later pushes into `current`, which is slow if it is long.
                return None;
            }
            self.advance(next);
        }
    }

    /// Returns the next payloads, as far as they are sorted.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = &Scheduled> {
        self.current.iter().rev()
    }

    /// Returns all payloads, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Scheduled> {
        let near = self.ring.iter().flatten();
        self.current.iter().chain(near).chain(self.far.iter().map(|Reverse(far)| &far.0))
    }

    /// Returns the due time of the first payload.
    pub(crate) fn least(&self) -> Option<Instant> {
        if let Some(first) = self.current.last() {
            return Some(first.key.at);
        }
        let near = self.next_occupied().and_then(|b| self.ring[slot(b)].iter().map(|h| h.key.at).min());
        let far = self.far.peek().map(|Reverse(first)| first.0.key.at);
        near.into_iter().chain(far).min()
    }

    fn file(&mut self, bucket: u64, scheduled: Scheduled) {
        let slot = slot(bucket);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        let entries = &mut self.ring[slot];
        if entries.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *entries = spare;
        }
        entries.push(scheduled);
    }

    fn next_bucket(&self) -> Option<u64> {
        let far = self.far.peek().map(|Reverse(first)| bucket(first.0.key.at));
        self.next_occupied().into_iter().chain(far).min()
    }

    /// Returns the first nonempty bucket of the ring.
    fn next_occupied(&self) -> Option<u64> {
        let first = self.reached + 1;
        let words = self.occupied.len();
        let (word, bit) = (slot(first) / 64, slot(first) % 64);
        // Visits the word of the start twice: first its bits from the start on, at last those before it.
        for step in 0..=words {
            let mut bits = self.occupied[(word + step) % words];
            if step == 0 {
                bits &= u64::MAX << bit;
            } else if step == words {
                bits &= !(u64::MAX << bit);
            }
            if bits != 0 {
                let found = ((word + step) % words * 64) as u64 + u64::from(bits.trailing_zeros());
                return Some(first + (found + RING - first % RING) % RING);
            }
        }
        None
    }

    /// Makes bucket `next` the current one. All earlier buckets are empty.
    fn advance(&mut self, next: u64) {
        debug_assert!(self.current.is_empty() && next > self.reached, "time goes forward");
        self.reached = next;
        let slot = slot(next);
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        let emptied = core::mem::replace(&mut self.current, core::mem::take(&mut self.ring[slot]));
        if emptied.capacity() > 0 {
            self.spare.push(emptied);
        }
        while let Some(Reverse(first)) = self.far.peek()
            && bucket(first.0.key.at) <= self.reached + RING
        {
            let Some(Reverse(ByKey(scheduled))) = self.far.pop() else { break };
            let bucket = bucket(scheduled.key.at);
            if bucket == self.reached {
                self.current.push(scheduled);
            } else {
                self.file(bucket, scheduled);
            }
        }
        self.current.sort_unstable_by_key(|h| Reverse(h.key));
    }
}

/// A scheduled payload, ordered by its key alone; keys are unique.
#[derive(Debug)]
struct ByKey(Scheduled);

impl ByKey {
    const fn key(&self) -> Key {
        self.0.key
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

const fn bucket(at: Instant) -> u64 {
    at.as_nanos() >> BUCKET_SHIFT
}

const fn slot(bucket: u64) -> usize {
    (bucket % RING) as usize
}

/// Buckets are 2^17 ns = 131 µs wide: about a dozen packets each in a join storm of 5000 nodes.
const BUCKET_SHIFT: u32 = 17;

/// 2^14 buckets reach 2.1 s ahead: beyond a probe interval.
const RING: u64 = 1 << 14;

#[cfg(test)]
mod tests {
    use serf_proto::{Rng, Seed};

    use super::*;
    use crate::scheduled::Payload;

    fn at(nanos: u64, n: u32) -> Scheduled {
        Scheduled { key: Key { at: Instant::from_nanos(nanos), source: 0, n }, target: 0, payload: Payload::Wake }
    }

    /// Random pushes and pops, near and far, checked against a sorted list.
    #[test]
    fn what_is_scheduled_comes_out_in_the_order_of_its_keys() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let mut queue = Calendar::new();
        let mut model: Vec<Key> = Vec::new();
        let (mut now, mut n) = (0, 0);
        for _ in 0..20_000 {
            for _ in 0..rng.below(4) {
                let ahead = match rng.below(4) {
                    0 => rng.below_u64(1_000),
                    1 => rng.below_u64(20_000_000),
                    2 => rng.below_u64(2_200_000_000),
                    _ => rng.below_u64(60_000_000_000),
                };
                n += 1;
                model.push(at(now + ahead, n).key);
                queue.push(at(now + ahead, n));
            }
            model.sort_unstable_by_key(|key| Reverse(*key));
            assert_eq!(queue.least(), model.last().map(|key| key.at));
            let shift = rng.below(20);
            let end = now + rng.below_u64(2_000_000_000 >> shift);
            for _ in 0..rng.below(4) {
                let expected = model.last().copied().filter(|key| key.at.as_nanos() < end);
                let popped = queue.pop_before(Instant::from_nanos(end));
                assert_eq!(popped.map(|h| h.key), expected);
                if let Some(key) = expected {
                    model.pop();
                    now = key.at.as_nanos();
                }
            }
        }
    }

    #[test]
    fn memory_of_emptied_buckets_is_used_again() {
        let mut queue = Calendar::new();
        for n in 0..10_000 {
            queue.push(at(u64::from(n) << BUCKET_SHIFT, n));
            assert!(queue.pop_before(Instant::MAX).is_some());
        }
        assert!(queue.spare.len() <= 2, "{}", queue.spare.len());
    }
}
