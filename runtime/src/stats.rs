//! Counters and gauges of a running node.

use serf_proto::{Clocks, Histogram, MemberCounts, Metric, PartitionShare, QueueDepths, Usage};

/// Counters and gauges of a running node, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Counters of the protocol: packets, probes, refutations, and dropped inputs by reason.
    pub protocol: serf_proto::Stats,
    /// Known members by status.
    pub members: MemberCounts,
    /// The Lamport clocks.
    pub clocks: Clocks,
    /// Broadcasts queued for gossip.
    pub queues: QueueDepths,
    /// Lifeguard's health score: 0 is healthy; each point delays accusations by one probe interval.
    pub health_score: u32,
    /// Running stream exchanges.
    pub streams_live: usize,
    /// Buffered bytes of incomplete stream messages.
    pub streams_unfinished_bytes: usize,
    /// Whether the host has lost the advertised address, so that no peer can reach the node.
    pub address_missing: bool,
    /// Whether snapshot writes currently fail: a restart would lose the events since then.
    pub snapshot_failing: bool,
    /// Open complaints; see [`Serf::complaints`](crate::Serf::complaints).
    pub complaints: usize,
    /// Members that are alive against the largest stable membership; `None` unless the partition signal is on.
    pub partition: Option<PartitionShare>,
    /// Fill levels of the collections that peers can fill.
    pub usage: Vec<Usage>,
    /// Distributions of times, for exporters: round trips of probes, waits of broadcasts, acks of queries.
    pub histograms: Vec<Metric<Histogram>>,
    /// Datagrams dropped because the socket and the send queue were full.
    pub datagrams_lost: u64,
    /// Failed sends, receives and accepts. Only the first per peer is logged; see
    /// [`Serf::complaints`](crate::Serf::complaints).
    pub socket_errors: u64,
    /// Failed writes of the snapshot, the keyring file or a capture. Each is also a `tracing` event; those of the snapshot
    /// and of captures are retried.
    pub file_errors: u64,
    /// Inbound streams cut off at the limit, because their peers did not read the replies.
    pub streams_refused: u64,
    /// Panics of [`Handlers`](crate::Handlers); each is also a `tracing` event.
    pub handler_panics: u64,
}

impl Stats {
    /// Returns all counters, those of the protocol first, for exporters.
    pub fn counters(&self) -> impl Iterator<Item = Metric> + use<> {
        let ours = [
            Metric::plain(
                "datagrams_lost",
                "Datagrams dropped because the socket and the send queue were full.",
                self.datagrams_lost,
            ),
            Metric::plain("socket_errors", "Failed sends, receives and accepts.", self.socket_errors),
            Metric::plain(
                "file_errors",
                "Failed writes of the snapshot, the keyring file or a capture.",
                self.file_errors,
            ),
            Metric::plain(
                "streams_refused",
                "Inbound streams cut off at the limit, because their peers did not read the replies.",
                self.streams_refused,
            ),
            Metric::plain("handler_panics", "Panics of handlers.", self.handler_panics),
        ];
        self.protocol.counters().chain(ours)
    }

    /// Returns all gauges, for exporters.
    pub fn gauges(&self) -> impl Iterator<Item = Metric> + use<> {
        let Self { members, clocks, queues, health_score, streams_live, streams_unfinished_bytes, usage, .. } = self;
        let many = |name, help, label, of: &[(&'static str, u64)]| {
            of.iter().map(|&(value, figure)| Metric::labelled(name, help, (label, value), figure)).collect::<Vec<_>>()
        };
        let statuses = [
            ("live", members.live as u64),
            ("failed", members.failed as u64),
            ("left", members.left as u64),
            ("suspected", members.suspected as u64),
        ];
        let times = [("member", clocks.member), ("event", clocks.event), ("query", clocks.query)];
        let depths = [
            ("swim", queues.swim as u64),
            ("intents", queues.intents as u64),
            ("queries", queues.queries as u64),
            ("events", queues.events as u64),
        ];
        let mut gauges = many("members", "Known members; suspected ones also count as live.", "status", &statuses);
        gauges.extend(many("lamport_time", "The Lamport clocks.", "clock", &times));
        gauges.extend(many("queue_depth", "Broadcasts queued for gossip.", "queue", &depths));
        gauges.push(Metric::plain("health_score", "Lifeguard's health score: 0 is healthy.", u64::from(*health_score)));
        gauges.push(Metric::plain("streams_live", "Running stream exchanges.", *streams_live as u64));
        gauges.push(Metric::plain(
            "streams_unfinished_bytes",
            "Buffered bytes of incomplete stream messages.",
            *streams_unfinished_bytes as u64,
        ));
        let help = "Whether the host has lost the advertised address: 0 is healthy.";
        gauges.push(Metric::plain("address_missing", help, u64::from(self.address_missing)));
        let help = "Whether snapshot writes currently fail: 0 is healthy.";
        gauges.push(Metric::plain("snapshot_failing", help, u64::from(self.snapshot_failing)));
        let help = "Open complaints of the log about peers: 0 is healthy.";
        gauges.push(Metric::plain("complaints", help, self.complaints as u64));
        if let Some(share) = &self.partition {
            let help = "Whether so many members are missing that the cluster may be partitioned: 0 is healthy.";
            gauges.push(Metric::plain("partition_split", help, u64::from(share.split)));
            let help = "Whether more than half of the largest stable membership is alive: 1 is healthy.";
            gauges.push(Metric::plain("partition_majority", help, u64::from(share.has_majority())));
            let help = "Members of the largest stable membership, less those that have left since.";
            gauges.push(Metric::plain("partition_members_largest", help, u64::from(share.largest)));
        }
        gauges.extend(Usage::gauges(usage));
        gauges.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_counter_and_gauge_is_listed_once() {
        let stats = Stats {
            protocol: serf_proto::Stats::default(),
            members: MemberCounts::default(),
            clocks: Clocks::default(),
            queues: QueueDepths::default(),
            health_score: 9,
            streams_live: 2,
            usage: Vec::new(),
            histograms: Vec::new(),
            datagrams_lost: 3,
            socket_errors: 4,
            file_errors: 5,
            streams_refused: 6,
            handler_panics: 7,
            streams_unfinished_bytes: 8,
            address_missing: true,
            snapshot_failing: true,
            complaints: 10,
            partition: None,
        };
        let all: Vec<Metric> = stats.counters().chain(stats.gauges()).collect();
        let names: BTreeSet<_> = all.iter().map(|metric| (metric.name, metric.label)).collect();
        assert_eq!(names.len(), all.len());
        let values: BTreeSet<u64> = all.iter().map(|metric| metric.value).collect();
        assert_eq!(values, (0..=10).collect());
    }
}
