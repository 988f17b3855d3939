//! What a shard writes down about a whole run, apart from the counters of the current step.

use core::time::Duration;
use std::collections::BTreeMap;

use serf_proto::{Instant, PartitionReport};

use crate::explain::News;
use crate::histogram::Histogram;
use crate::series::{Alarm, HEADER_BYTES, Ledger};
use crate::witness::Witness;

/// Records of one shard. Nothing in the simulation depends on them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// Counters per virtual second.
    pub(crate) ledger: Ledger,
    /// What nodes learn about one member, if it is recorded.
    pub(crate) news: Option<News>,
    /// By crashed node: the fault, how many observers detected it, and the first and last of them.
    pub(crate) detected: BTreeMap<u32, Detected>,
    /// Times from each crash or cut until each observer marked the node failed, by fault.
    pub(crate) detections: BTreeMap<usize, Histogram>,
    /// Times from the sending of each timed event until each node delivered it.
    pub(crate) deliveries: Histogram,
    /// Number of these deliveries.
    pub(crate) delivered: u64,
    /// Verdicts about the nodes of each group, by [`Alarm`].
    pub(crate) by_group: BTreeMap<u16, [u64; 3]>,
    /// What nodes sent to nodes of other groups.
    pub(crate) crossed: Crossed,
    /// Partition signals of nodes.
    pub(crate) signals: Signals,
    /// What happened since the world began.
    pub(crate) witness: Witness,
}

/// Partition signals, one per node and report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signals {
    /// That members are missing.
    pub(crate) splits: u64,
    /// Of these, those of a majority.
    pub(crate) majorities: u64,
    /// Of these, those that name a lost zone.
    pub(crate) zones_lost: u64,
    /// That they are missing no more.
    pub(crate) ends: u64,
    /// When the last node reported that members are missing.
    pub(crate) last_split_at: Option<Instant>,
}

impl Signals {
    pub(crate) fn add(&mut self, at: Instant, report: &PartitionReport) {
        let share = report.share;
        if share.split {
            self.splits += 1;
            self.majorities += u64::from(share.has_majority());
            self.zones_lost += u64::from(!report.zones_lost.is_empty());
            self.last_split_at = self.last_split_at.max(Some(at));
        } else {
            self.ends += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.splits += other.splits;
        self.majorities += other.majorities;
        self.zones_lost += other.zones_lost;
        self.ends += other.ends;
        self.last_split_at = self.last_split_at.max(other.last_split_at);
    }
}

/// Traffic between nodes of different groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub(crate) datagrams: u64,
    /// Bytes of these, with 28 bytes of IP and UDP headers each, and bytes written to streams.
    pub(crate) bytes: u64,
}

impl Crossed {
    pub(crate) const fn datagram(&mut self, bytes: usize) {
        self.datagrams += 1;
        self.bytes += bytes as u64 + HEADER_BYTES as u64;
    }

    pub(crate) const fn stream(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

/// Who detected the crash of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detected {
    pub(crate) fault: usize,
    pub(crate) observers: u64,
    /// Time and number of the first observer; of those at the same time the least.
    pub(crate) first: (Instant, u32),
    /// Time of the last observer.
    pub(crate) last: Instant,
}

impl Notes {
    /// Notes that `observer` marked a crashed node failed.
    pub(crate) fn detect(&mut self, observer: u32, at: Instant, node: u32, (crashed_at, fault): (Instant, usize)) {
        self.detections.entry(fault).or_default().add(at - crashed_at, 1);
        let new = Detected { fault, observers: 1, first: (at, observer), last: at };
        self.detected.entry(node).and_modify(|detected| detected.merge(&new)).or_insert(new);
    }

    /// Notes that an observer marked a node failed that was cut from it.
    pub(crate) fn lose(&mut self, at: Instant, (cut_at, fault): (Instant, usize)) {
        self.detections.entry(fault).or_default().add(at - cut_at, 1);
    }

    /// Counts a verdict about a node of a group.
    pub(crate) fn alarm(&mut self, at: Instant, alarm: Alarm, group: u16) {
        self.ledger.alarm(at, alarm);
        self.by_group.entry(group).or_default()[alarm as usize] += 1;
    }

    /// Notes that a timed event was delivered.
    pub(crate) fn deliver(&mut self, after: Duration) {
        self.deliveries.add(after, 1);
        self.delivered += 1;
    }

    /// Adds the notes of another shard, except its ledger.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (node, detected) in &other.detected {
            self.detected.entry(*node).and_modify(|mine| mine.merge(detected)).or_insert(*detected);
        }
        for (fault, histogram) in &other.detections {
            self.detections.entry(*fault).or_default().merge(histogram);
        }
        self.deliveries.merge(&other.deliveries);
        self.delivered += other.delivered;
        self.crossed.datagrams += other.crossed.datagrams;
        self.crossed.bytes += other.crossed.bytes;
        self.signals.merge(&other.signals);
        for (group, counts) in &other.by_group {
            let mine = self.by_group.entry(*group).or_default();
            mine.iter_mut().zip(counts).for_each(|(mine, count)| *mine += count);
        }
    }
}

impl Detected {
    fn merge(&mut self, other: &Self) {
        self.observers += other.observers;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_two_shards_add_up_to_the_first_and_the_last_observer() {
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        let (mut one, mut two) = (Notes::default(), Notes::default());
        one.detect(4, at(900), 7, (at(100), 0));
        one.detect(2, at(300), 7, (at(100), 0));
        two.detect(1, at(300), 7, (at(100), 0));
        two.deliver(Duration::from_millis(5));
        one.merge(&two);
        let expected = Detected { fault: 0, observers: 3, first: (at(300), 1), last: at(900) };
        assert_eq!((one.detected[&7], one.delivered), (expected, 1));
        assert_eq!(one.detections[&0].reached(3), Some(Duration::from_millis(800)));
    }
}
