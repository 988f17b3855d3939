//! What nodes count and remember.

use core::time::Duration;

use serf_proto::{DropReason, MessageKind, Sent};

use super::World;
use crate::content;

impl World {
    /// Inputs that nodes dropped since the world began.
    pub(crate) fn node_drops(&self) -> [u64; DropReason::ALL.len()] {
        let mut sum = [0; DropReason::ALL.len()];
        let living = self.shards.iter().flat_map(|shard| &shard.hosts).filter_map(|host| host.process.node.as_ref());
        let dead = self.shards.iter().map(|shard| &shard.dropped_by_the_dead);
        for dropped in living.map(|node| &node.stats().dropped).chain(dead) {
            for (sum, dropped) in sum.iter_mut().zip(dropped) {
                *sum += dropped;
            }
        }
        sum
    }

    /// What nodes sent in datagrams since the world began, by kind of message.
    pub(crate) fn sent(&self) -> [Sent; MessageKind::ALL.len()] {
        let mut sum = [Sent::default(); MessageKind::ALL.len()];
        let living = self.shards.iter().flat_map(|shard| &shard.hosts).filter_map(|host| host.process.node.as_ref());
        let dead = self.shards.iter().map(|shard| &shard.sent_by_the_dead);
        for sent in living.map(|node| &node.stats().messages_out).chain(dead) {
            for (sum, sent) in sum.iter_mut().zip(sent) {
                sum.add(*sent);
            }
        }
        sum
    }

    /// How much a node remembers, in bytes: the length of all that it consists of, written as text. Every name, payload and list
    /// shows in it with at least a byte for each of its own, so that nothing that peers can grow stays unseen, and unlike what an
    /// allocator says it is the same in every run and on every platform. Spare room in tables and lists does not show. Zero when
    /// the process is down.
    pub fn content_bytes(&self, node: u32) -> usize {
        self.node(node).map_or(0, content::bytes)
    }

    /// How many members a node knows, and how many bytes a push/pull takes at the least to tell them.
    pub(crate) fn members_weight(&self, node: u32) -> (usize, usize) {
        let Some(node) = self.node(node) else { return (0, 0) };
        let bytes = |member: serf_proto::Member| member.name().len() + member.peer().meta().len() + STATE_BYTES;
        node.members().fold((0, 0), |(known, sum), member| (known + 1, sum + bytes(member)))
    }

    /// The mean time of a round trip between two nodes.
    pub(crate) fn round_trip_mean(&self, a: u32, b: u32) -> Duration {
        self.shared.network.round_trip_mean(a, b)
    }
}

/// A member in a push/pull besides its name and its metadata: keys, address, incarnation, versions.
const STATE_BYTES: usize = 80;
