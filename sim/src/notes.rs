//! What a shard writes down about a whole run, apart from the counters of the current step.

use core::time::Duration;
use std::collections::BTreeMap;

use serf_proto::Instant;

use crate::explain::News;
use crate::histogram::Histogram;
use crate::series::{Alarm, Ledger};
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
    /// Times from each crash until each observer detected it, by fault.
    pub(crate) detections: BTreeMap<usize, Histogram>,
    /// Times from the sending of each timed event until each node delivered it.
    pub(crate) deliveries: Histogram,
    /// Number of these deliveries.
    pub(crate) delivered: u64,
    /// Verdicts about the nodes of each group, by [`Alarm`].
    pub(crate) by_group: BTreeMap<u16, [u64; 3]>,
    /// What happened since the world began.
    pub(crate) witness: Witness,
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
