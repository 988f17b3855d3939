//! What can be read of a node.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Node, NodeState};
use crate::event::Member;
use crate::limits::MEMBERS_BYTES_MAX;
use crate::roster::Peer;
use crate::serf::Coordinate;
use crate::stats::{Clocks, MemberCounts, QueueDepths, Stats, Usage};

impl Node {
    /// Whether no other member is in the cluster, as far as we know: none is alive or about to leave. This is the rule by which the
    /// node decides to look for the others.
    pub fn is_alone(&self) -> bool {
        self.serf.is_alone()
    }

    /// Every member that we know of, ourselves included, in a fixed but unspecified order.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.serf.members(&self.core)
    }

    /// One member.
    pub fn member(&self, name: &str) -> Option<Member> {
        let idx = self.core.roster.find(name)?;
        self.serf.member(&self.core, idx)
    }

    /// Where we are in the network; `None` when coordinates are off.
    pub fn coordinate(&self) -> Option<Coordinate> {
        self.serf.coordinate(self.swim.me())
    }

    /// Where a member is, as it said in its last answer to a probe of ours; `None` while there was none, or when coordinates
    /// are off.
    pub fn coordinate_of(&self, name: &str) -> Option<Coordinate> {
        self.serf.coordinate(self.core.roster.find(name)?)
    }

    /// What we announce about ourselves.
    pub fn local(&self) -> &Arc<Peer> {
        self.core.roster.peer(self.swim.me()).expect("we hold our own place in the roster")
    }

    /// Where the node is in its life.
    pub const fn state(&self) -> NodeState {
        self.leave.state()
    }

    /// Our own incarnation: raised to refute an accusation, or to announce new tags.
    pub const fn incarnation(&self) -> u32 {
        self.swim.incarnation()
    }

    /// The incarnation at which membership knows a member; `None` when it knows none of that name.
    pub fn incarnation_of(&self, name: &str) -> Option<u32> {
        self.swim.incarnation_of(self.core.roster.find(name)?)
    }

    /// Our Lamport clocks.
    pub fn clocks(&self) -> Clocks {
        self.serf.times()
    }

    /// Our own health (Lifeguard): 0 is well, and every point stretches the probe interval by its length once more.
    pub const fn health_score(&self) -> u32 {
        self.swim.health_score()
    }

    /// How many broadcasts wait to be gossiped.
    pub fn queue_depths(&self) -> QueueDepths {
        QueueDepths { swim: self.swim.queue_depth(), ..self.serf.queue_depths() }
    }

    /// How many members we know. Costs the same however many there are.
    pub fn member_counts(&self) -> MemberCounts {
        MemberCounts { suspected: self.swim.suspects(), ..self.serf.counts() }
    }

    /// How full the collections are that others fill, each with its limit.
    pub fn usage(&self) -> Vec<Usage> {
        let mut usage = self.serf.usage(&self.core);
        usage.push(Usage::new("members_bytes", self.core.roster.used(), MEMBERS_BYTES_MAX));
        usage
    }

    /// How many exchanges on streams are under way.
    pub fn streams_live(&self) -> usize {
        self.streams.len()
    }

    /// What is held of messages on streams that are not whole, in bytes; bounded by
    /// [`STREAMS_UNFINISHED_BYTES_MAX`](crate::limits::STREAMS_UNFINISHED_BYTES_MAX).
    pub const fn streams_unfinished_bytes(&self) -> usize {
        self.streams.unfinished_bytes()
    }

    /// What the node has done so far.
    pub const fn stats(&self) -> &Stats {
        &self.core.stats
    }
}
