//! Read access to a node's state.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::{Node, NodeState};
use crate::core::Sometimes;
use crate::envelope::PacketBuffers;
use crate::event::Member;
use crate::limits::MEMBERS_BYTES_MAX;
use crate::roster::Peer;
use crate::serf::Coordinate;
use crate::stats::{Clocks, Histogram, MemberCounts, Metric, QueueDepths, Stats, Usage};

impl Node {
    /// Whether this node knows no other member that is alive or leaving. The condition under which it starts to search
    /// for the cluster.
    pub fn is_alone(&self) -> bool {
        self.serf.is_alone()
    }

    /// All known members, including this node, in a fixed but unspecified order.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.serf.members(&self.core)
    }

    /// Looks up a member by name.
    pub fn member(&self, name: &str) -> Option<Member> {
        let idx = self.core.roster.find(name)?;
        self.serf.member(&self.core, idx)
    }

    /// Network coordinate of this node; `None` if coordinates are off.
    pub fn coordinate(&self) -> Option<Coordinate> {
        self.serf.coordinate(self.swim.me())
    }

    /// Network coordinate of a member, from its last ack to a probe of this node; `None` before the first one, or if
    /// coordinates are off.
    pub fn coordinate_of(&self, name: &str) -> Option<Coordinate> {
        self.serf.coordinate(self.core.roster.find(name)?)
    }

    /// The record that this node announces.
    pub fn local(&self) -> &Arc<Peer> {
        self.core.roster.peer(self.swim.me()).expect("we hold our own place in the roster")
    }

    /// Lifecycle state of the node.
    pub const fn state(&self) -> NodeState {
        self.leave.state()
    }

    /// Incarnation of this node; raised to refute an accusation or to announce new tags.
    pub const fn incarnation(&self) -> u32 {
        self.swim.incarnation()
    }

    /// The last known incarnation of a member; `None` if the name is unknown.
    pub fn incarnation_of(&self, name: &str) -> Option<u32> {
        self.swim.incarnation_of(self.core.roster.find(name)?)
    }

    /// The Lamport clocks of this node.
    pub fn clocks(&self) -> Clocks {
        self.serf.times()
    }

    /// Local health score (Lifeguard §IV-A): 0 is healthy; each point adds one probe interval to the time between
    /// probes.
    pub const fn health_score(&self) -> u32 {
        self.swim.health_score()
    }

    /// Number of queued broadcasts.
    pub fn queue_depths(&self) -> QueueDepths {
        QueueDepths { swim: self.swim.queue_depth(), ..self.serf.queue_depths() }
    }

    /// Distributions of times: round trips of probes, waits of broadcasts by queue, acks of queries.
    pub fn histograms(&self) -> Vec<Metric<Histogram>> {
        let stats = &self.core.stats;
        let waited = |(queue, waits): (&'static str, &Histogram)| {
            let help =
                "Time from a broadcast's queueing to its first transmission. One of each queue is timed at once.";
            Metric::labelled("gossip_wait", help, ("queue", queue), waits.clone())
        };
        let help = "Round trips of probes that were acked directly, within the probe timeout.";
        let mut all = vec![Metric::plain("probe_round_trip", help, stats.probe_round_trips.clone())];
        all.push(waited(("swim", self.swim.waits())));
        all.extend(self.serf.waits().map(waited));
        let help = "Time from a query of this node to the ack of each other member.";
        all.push(Metric::plain("dissemination", help, stats.dissemination_times.clone()));
        let help = "Time from a query of this node to the last ack of the other members that were expected.";
        all.push(Metric::plain("dissemination_all", help, stats.dissemination_all_times.clone()));
        all
    }

    /// Number of known members, by status. Constant time.
    pub fn member_counts(&self) -> MemberCounts {
        MemberCounts { suspected: self.swim.suspects(), ..self.serf.counts() }
    }

    /// Fill level and limit of each collection that remote input can grow.
    pub fn usage(&self) -> Vec<Usage> {
        let mut usage = self.serf.usage(&self.core);
        usage.push(Usage::new("members_bytes", self.core.roster.used(), MEMBERS_BYTES_MAX));
        usage
    }

    /// Members whose digest still differed from ours after the last reconciliation with them, each with the number of
    /// reconciliations that this node has begun since the two last agreed. One is common: the next probe shows whether
    /// it helped. A number that keeps growing is a fault of either node, or of a hostile one.
    ///
    /// At most 32 members, the most recent last; empty with HashiCorp's codec, which has no digests.
    pub fn disagreements(&self) -> impl Iterator<Item = (Arc<Peer>, u32)> + '_ {
        let unsettled = self.gossip.anti_entropy.unsettled();
        unsettled.filter_map(|(idx, tries)| Some((Arc::clone(self.core.roster.peer(idx)?), tries)))
    }

    /// Number of open exchanges on streams.
    pub fn streams_live(&self) -> usize {
        self.streams.len()
    }

    /// Bytes buffered for incomplete messages on streams; bounded by
    /// [`STREAMS_UNFINISHED_BYTES_MAX`](crate::limits::STREAMS_UNFINISHED_BYTES_MAX).
    pub const fn streams_unfinished_bytes(&self) -> usize {
        self.streams.unfinished_bytes()
    }

    /// Opens a datagram of this node itself, with its label and its keys: for tools that compare what replayed nodes send with
    /// what others received.
    #[doc(hidden)]
    pub fn open_own(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.envelope.open(datagram, &mut PacketBuffers::new()).ok().map(Vec::from)
    }

    /// Whether this node has met a rare situation. For test campaigns.
    #[doc(hidden)]
    pub const fn has_met(&self, situation: Sometimes) -> bool {
        self.core.met.has(situation)
    }

    /// Counters since the node was created.
    pub const fn stats(&self) -> &Stats {
        &self.core.stats
    }
}
