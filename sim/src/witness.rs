//! What happened in a world since its start, for the coverage of campaigns and for the balance of datagrams. Nothing in
//! the simulation depends on it. The sums are independent of the number of threads.

use std::collections::{BTreeMap, BTreeSet};

use serf_proto::internals::Sometimes;
use serf_proto::{Node, Record};

use crate::disk::Torn;
use crate::tally::NetDrop;

/// Observations of one shard, or their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Witness {
    pub(crate) datagrams: Balance,
    /// Counters of processes that have ended.
    counters: Counters,
    /// Rare situations that these processes met.
    met: BTreeSet<Sometimes>,
    /// Members that returned after they were declared failed although they had run all the time: the refutation came
    /// too late.
    pub(crate) late_refutations: u64,
    /// Votes about a name, by verdict: kept, lost, undecided.
    pub(crate) name_votes: [u64; 3],
    /// Nodes whose own incarnation is the greatest.
    pub(crate) greatest_incarnations: u64,
    /// Power losses that tore a record of the snapshot, by [`record_kind`].
    pub(crate) torn: BTreeMap<&'static str, u64>,
    /// Faults that had an effect while packets between some nodes were dropped, by their kind.
    pub(crate) while_partitioned: BTreeMap<&'static str, u64>,
    /// Power losses that lost at least one whole record.
    pub(crate) records_lost: u64,
    /// Joins that reached no node.
    pub(crate) joins_in_vain: u64,
}

/// Counters of nodes by name and label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters(BTreeMap<(&'static str, Option<&'static str>), u64>);

/// Balance of datagrams: what was sent was delivered, dropped for a reason, or is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Sent by nodes.
    pub(crate) sent: u64,
    /// Sent by the attacker.
    pub(crate) forged: u64,
    /// Copies that the network made.
    pub(crate) copied: u64,
    /// Handled by nodes.
    pub(crate) delivered: u64,
    /// Dropped, by [`NetDrop`].
    pub(crate) dropped: [u64; NetDrop::ALL.len()],
}

impl Witness {
    /// Records what a process counted and met. Called once per process, at its end or at the end of the world.
    pub(crate) fn note_process(&mut self, node: &Node) {
        self.counters.add(node);
        self.met.extend(Sometimes::ALL.into_iter().filter(|situation| node.has_met(*situation)));
        self.greatest_incarnations += u64::from(node.incarnation() == u32::MAX);
    }

    /// Records the effect of a power failure on a disk.
    pub(crate) fn lose_power(&mut self, torn: &Torn) {
        self.records_lost += u64::from(torn.lost > 0);
        if let Some(record) = &torn.record {
            *self.torn.entry(record_kind(record)).or_default() += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.datagrams.merge(&other.datagrams);
        self.counters.merge(&other.counters);
        self.met.extend(&other.met);
        self.late_refutations += other.late_refutations;
        for (sum, votes) in self.name_votes.iter_mut().zip(other.name_votes) {
            *sum += votes;
        }
        self.greatest_incarnations += other.greatest_incarnations;
        merge_counts(&mut self.torn, &other.torn);
        merge_counts(&mut self.while_partitioned, &other.while_partitioned);
        self.records_lost += other.records_lost;
        self.joins_in_vain += other.joins_in_vain;
    }

    /// Whether any node met a situation.
    pub(crate) fn has_met(&self, situation: Sometimes) -> bool {
        self.met.contains(&situation)
    }

    /// The sum of a counter over all nodes and labels.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let of_name = |(key, value): (&(&'static str, _), &u64)| if key.0 == name { *value } else { 0 };
        self.counters.0.iter().map(of_name).sum()
    }

    /// The sum over all nodes of a counter with this label.
    pub(crate) fn count_of(&self, name: &'static str, label: &'static str) -> u64 {
        self.counters.0.get(&(name, Some(label))).copied().unwrap_or_default()
    }
}

impl Counters {
    fn add(&mut self, node: &Node) {
        for counter in node.stats().counters().filter(|counter| counter.value > 0) {
            *self.0.entry((counter.name, counter.label.map(|(_, value)| value))).or_default() += counter.value;
        }
    }

    fn merge(&mut self, other: &Self) {
        for (key, value) in &other.0 {
            *self.0.entry(*key).or_default() += value;
        }
    }
}

impl Balance {
    pub(crate) const fn drop(&mut self, reason: NetDrop) {
        self.dropped[reason as usize] += 1;
    }

    /// The number of datagrams that should be on their way; `None` if more arrived than were sent.
    pub(crate) fn on_their_way(&self) -> Option<u64> {
        let began = self.sent + self.forged + self.copied;
        began.checked_sub(self.delivered + self.dropped.iter().sum::<u64>())
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.forged += other.forged;
        self.copied += other.copied;
        self.delivered += other.delivered;
        for (sum, dropped) in self.dropped.iter_mut().zip(other.dropped) {
            *sum += dropped;
        }
    }
}

/// Returns a stable name of a record's kind: its prefix in the file.
pub(crate) const fn record_kind(record: &Record) -> &'static str {
    match record {
        Record::Alive { .. } => "alive",
        Record::NotAlive { .. } => "not-alive",
        Record::Failed { .. } => "failed",
        Record::Clock(_) => "clock",
        Record::EventClock(_) => "event-clock",
        Record::QueryClock(_) => "query-clock",
        Record::Leave => "leave",
        _ => "another",
    }
}

fn merge_counts(sum: &mut BTreeMap<&'static str, u64>, other: &BTreeMap<&'static str, u64>) {
    for (key, count) in other {
        *sum.entry(key).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_that_is_neither_delivered_nor_dropped_is_on_its_way() {
        let mut balance = Balance { sent: 5, forged: 1, copied: 2, delivered: 4, ..Balance::default() };
        balance.drop(NetDrop::Loss);
        balance.drop(NetDrop::Down);
        assert_eq!(balance.on_their_way(), Some(2));
        balance.delivered = 7;
        assert_eq!(balance.on_their_way(), None, "more arrived than were sent");
    }
}
