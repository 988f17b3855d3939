//! What a running node has done, and how it is.

use serf_proto::{Clocks, MemberCounts, Metric, QueueDepths, Usage};

/// Counters and gauges of a running node, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What the protocol counts: packets, probes, refutations, and what was dropped for which reason.
    pub protocol: serf_proto::Stats,
    /// The members known.
    pub members: MemberCounts,
    /// The Lamport clocks.
    pub clocks: Clocks,
    /// Broadcasts that wait to be gossiped.
    pub queues: QueueDepths,
    /// Lifeguard's score: 0 is well; each point makes the node one probe interval slower to accuse others.
    pub health_score: u32,
    /// Exchanges on streams that are under way.
    pub streams_live: usize,
    /// What is held of messages on streams that are not whole, in bytes.
    pub streams_unfinished_bytes: usize,
    /// Whether the host has lost the address that the node chose to announce, so that no peer can reach it.
    pub address_missing: bool,
    /// Whether the snapshot cannot be written at this time: a restart would not know what happened since.
    pub snapshot_failing: bool,
    /// Peers that the log complains of and has not seen the end of; see [`Serf::complaints`](crate::Serf::complaints).
    pub complaints: usize,
    /// How full the collections are that others fill.
    pub usage: Vec<Usage>,
    /// Packets lost because the socket, and then the queue before it, had no room.
    pub datagrams_lost: u64,
    /// Sending, receiving or accepting that failed. The log has a line for the first of each peer, not for each; see
    /// [`Serf::complaints`](crate::Serf::complaints).
    pub socket_errors: u64,
    /// Writing the snapshot or the keyring file that failed. Each is also a `tracing` event; the snapshot is tried again.
    pub file_errors: u64,
    /// Streams of peers that were cut off because they did not read their answers and there were too many of them.
    pub streams_refused: u64,
    /// Panics of [`Handlers`](crate::Handlers); each is also a `tracing` event.
    pub handler_panics: u64,
}

impl Stats {
    /// Every counter there is, those of the protocol first: to show or export them without naming each.
    pub fn counters(&self) -> impl Iterator<Item = Metric> + use<> {
        let ours = [
            Metric::plain(
                "datagrams_lost",
                "Packets lost because the socket had no room for them.",
                self.datagrams_lost,
            ),
            Metric::plain("socket_errors", "Sending, receiving or accepting that failed.", self.socket_errors),
            Metric::plain("file_errors", "Writing the snapshot or the keyring file that failed.", self.file_errors),
            Metric::plain(
                "streams_refused",
                "Streams cut off because they did not read their answers and there were too many of them.",
                self.streams_refused,
            ),
            Metric::plain("handler_panics", "Panics of handlers.", self.handler_panics),
        ];
        self.protocol.counters().chain(ours)
    }

    /// Every gauge there is: figures that rise and fall.
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
        let mut gauges = many("members", "Members known; the suspected are live too.", "status", &statuses);
        gauges.extend(many("lamport_time", "The Lamport clocks.", "clock", &times));
        gauges.extend(many("queue_depth", "Broadcasts that wait to be gossiped.", "queue", &depths));
        gauges.push(Metric::plain("health_score", "Lifeguard's score: 0 is well.", u64::from(*health_score)));
        gauges.push(Metric::plain("streams_live", "Exchanges on streams under way.", *streams_live as u64));
        gauges.push(Metric::plain(
            "streams_unfinished_bytes",
            "Bytes held of messages on streams that are not whole.",
            *streams_unfinished_bytes as u64,
        ));
        let help = "Whether the host has lost the address that the node announces: 0 is well.";
        gauges.push(Metric::plain("address_missing", help, u64::from(self.address_missing)));
        let help = "Whether the snapshot cannot be written at this time: 0 is well.";
        gauges.push(Metric::plain("snapshot_failing", help, u64::from(self.snapshot_failing)));
        let help = "Peers that the log complains of and has not seen the end of: 0 is well.";
        gauges.push(Metric::plain("complaints", help, self.complaints as u64));
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
            datagrams_lost: 3,
            socket_errors: 4,
            file_errors: 5,
            streams_refused: 6,
            handler_panics: 7,
            streams_unfinished_bytes: 8,
            address_missing: true,
            snapshot_failing: true,
            complaints: 10,
        };
        let all: Vec<Metric> = stats.counters().chain(stats.gauges()).collect();
        let names: BTreeSet<_> = all.iter().map(|metric| (metric.name, metric.label)).collect();
        assert_eq!(names.len(), all.len());
        let values: BTreeSet<u64> = all.iter().map(|metric| metric.value).collect();
        assert_eq!(values, (0..=10).collect());
    }
}
