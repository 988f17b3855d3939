//! What can be read of a node.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::Serialize;

use super::{Node, NodeState};
use crate::event::Member;
use crate::limits::MEMBERS_BYTES_MAX;
use crate::roster::Peer;
use crate::serf::Coordinate;
use crate::stats::{Stats, Usage};

/// A node's Lamport clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Clocks {
    /// Of join and leave intents.
    pub member: u64,
    /// Of user events.
    pub event: u64,
    /// Of queries.
    pub query: u64,
}

/// How many broadcasts wait to be gossiped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueDepths {
    /// Members whose state others are to be told.
    pub swim: usize,
    /// Join and leave intents.
    pub intents: usize,
    /// Queries.
    pub queries: usize,
    /// User events.
    pub events: usize,
}

/// How many members a node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemberCounts {
    /// In any status, ourselves included.
    pub known: usize,
    /// Alive or about to leave.
    pub live: usize,
    /// Failed and not yet forgotten.
    pub failed: usize,
    /// Left and not yet forgotten.
    pub left: usize,
    /// Of the live, those that are suspected and have not refuted yet.
    pub suspected: usize,
}

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
        let (member, event, query) = self.serf.times();
        Clocks { member, event, query }
    }

    /// Our own health (Lifeguard): 0 is well, and every point stretches the probe interval by its length once more.
    pub const fn health_score(&self) -> u32 {
        self.swim.health_score()
    }

    /// How many broadcasts wait to be gossiped.
    pub fn queue_depths(&self) -> QueueDepths {
        let (intents, events) = self.serf.queue_depths();
        QueueDepths { swim: self.swim.queue_depth(), intents, queries: self.serf.queries_queued(), events }
    }

    /// How many members we know. Costs the same however many there are.
    pub fn member_counts(&self) -> MemberCounts {
        let (known, failed, left) = self.serf.counts();
        let live = known.saturating_sub(failed + left);
        MemberCounts { known, live, failed, left, suspected: self.swim.suspects() }
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
