//! Counters of one shard per virtual second, for a whole run.

use serf_proto::Instant;

use super::meter::{Amount, second_of};
use super::rates::Rates;

/// Kind of a verdict about a member, one per observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// A node that was up was suspected.
    FalseSuspicion,
    /// A node that was up was declared failed.
    FalseFailure,
    /// A node that was down or unreachable was declared failed.
    TrueFailure,
}

/// Counters in buckets of equal width. The width starts at a second and doubles when a run is longer than [`BUCKETS_MAX`] buckets,
/// so the memory is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Binary logarithm of the width in seconds.
    doublings: u32,
    buckets: Vec<Bucket>,
}

/// Counters of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Started processes minus ended ones.
    pub(super) processes: i64,
    pub(super) datagrams: u64,
    pub(super) alarms: [u64; ALARMS],
    pub(super) payload: Flow,
    pub(super) wire: Flow,
    pub(super) stream: Flow,
}

/// Bytes of all hosts, and their distribution over node-seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) bytes: u64,
    pub(super) rates: Rates,
}

impl Ledger {
    /// Counts what one host sent within one second.
    pub(super) fn host_second(&mut self, second: u32, amount: Amount) {
        let Amount { datagrams, datagram_bytes, stream_bytes } = amount;
        let bucket = self.bucket(second);
        bucket.datagrams += u64::from(datagrams);
        if datagrams > 0 {
            bucket.payload.add(datagram_bytes);
            bucket.wire.add(datagram_bytes.saturating_add(datagrams.saturating_mul(HEADER_BYTES)));
        }
        if stream_bytes > 0 {
            bucket.stream.add(stream_bytes);
        }
    }

    /// Counts a verdict.
    pub(crate) fn alarm(&mut self, at: Instant, alarm: Alarm) {
        self.bucket(second_of(at)).alarms[alarm as usize] += 1;
    }

    /// Counts a process that started (1) or ended (-1).
    pub(crate) fn process(&mut self, at: Instant, change: i64) {
        self.bucket(second_of(at)).processes += change;
    }

    /// Adds the counters of another shard.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        self.coarsen(other.doublings);
        other.coarsen(self.doublings);
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize_with(other.buckets.len(), Bucket::default);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            mine.merge(theirs);
        }
    }

    /// Returns the width of a bucket, in seconds.
    pub(super) const fn width_s(&self) -> u32 {
        1 << self.doublings
    }

    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    fn bucket(&mut self, second: u32) -> &mut Bucket {
        let mut doublings = self.doublings;
        while (second >> doublings) as usize >= BUCKETS_MAX {
            doublings += 1;
        }
        self.coarsen(doublings);
        let at = (second >> self.doublings) as usize;
        if at >= self.buckets.len() {
            self.buckets.resize_with(at + 1, Bucket::default);
        }
        &mut self.buckets[at]
    }

    /// Widens the buckets to at least `doublings`.
    fn coarsen(&mut self, doublings: u32) {
        while self.doublings < doublings {
            let halves = core::mem::take(&mut self.buckets);
            for (at, half) in halves.into_iter().enumerate() {
                match self.buckets.last_mut() {
                    Some(whole) if at % 2 == 1 => whole.merge(&half),
                    _ => self.buckets.push(half),
                }
            }
            self.doublings += 1;
        }
    }
}

impl Bucket {
    fn merge(&mut self, other: &Self) {
        self.processes += other.processes;
        self.datagrams += other.datagrams;
        for (mine, theirs) in self.alarms.iter_mut().zip(other.alarms) {
            *mine += theirs;
        }
        self.payload.merge(&other.payload);
        self.wire.merge(&other.wire);
        self.stream.merge(&other.stream);
    }
}

impl Flow {
    fn add(&mut self, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.rates.add(bytes);
    }

    fn merge(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.rates.merge(&other.rates);
    }
}

/// An IPv4 header without options, and a UDP header.
pub(crate) const HEADER_BYTES: u32 = 20 + 8;

const ALARMS: usize = 3;

/// A bit more than an hour in seconds.
pub(super) const BUCKETS_MAX: usize = 4096;
