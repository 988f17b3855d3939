//! Counters and state sizes of nodes.

use core::time::Duration;

use serf_proto::{DropReason, MessageKind, Sent};

use super::World;
use crate::content;
use crate::report::AntiEntropy;
use crate::series::Series;

impl World {
    /// Returns the inputs that nodes dropped so far, by reason.
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

    /// Returns the anti-entropy of the nodes that run, so far.
    pub(crate) fn anti_entropy(&self) -> AntiEntropy {
        let mut sum = AntiEntropy::default();
        let living = self.shards.iter().flat_map(|shard| &shard.hosts).filter_map(|host| host.process.node.as_ref());
        for stats in living.map(|node| node.stats()) {
            sum.compared += stats.digests_compared;
            sum.differed += stats.digests_differed;
            sum.reconciliations += stats.reconciliations;
            sum.rows += stats.rows_reconciled;
            sum.event_reconciliations += stats.event_reconciliations;
            sum.push_pulls += stats.push_pulls_out;
        }
        sum
    }

    /// Returns the messages that nodes sent in datagrams so far, by kind.
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

    /// Returns the time series of the run so far.
    pub fn series(&self) -> Series {
        let hosts = self.shards.iter().flat_map(|shard| &shard.hosts);
        let meters = hosts.map(|host| &host.sockets.uplink.meter);
        Series::of(self.shards.iter().map(|shard| &shard.notes.ledger), meters)
    }

    /// Returns the size of a node's state in bytes, measured as the length of its debug text. Every name, payload and
    /// list contributes at least one byte per byte of its own, so all state that peers can grow is visible. Unlike
    /// allocator statistics the result is the same in every run and on every platform. Spare capacity of tables and
    /// lists is not included. Zero if the process is down.
    pub fn content_bytes(&self, node: u32) -> usize {
        self.node(node).map_or(0, content::bytes)
    }

    /// Returns the number of members that a node knows, and the minimum size of a push/pull with them, in bytes.
    pub(crate) fn members_weight(&self, node: u32) -> (usize, usize) {
        let Some(node) = self.node(node) else { return (0, 0) };
        let bytes = |member: serf_proto::Member| member.name().len() + member.peer().meta().len() + STATE_BYTES;
        node.members().fold((0, 0), |(known, sum), member| (known + 1, sum + bytes(member)))
    }

    /// Returns the mean round-trip time between two nodes.
    pub(crate) fn round_trip_mean(&self, a: u32, b: u32) -> Duration {
        self.shared.network.round_trip_mean(a, b)
    }
}

/// Size of a member in a push/pull besides its name and metadata: keys, address, incarnation, versions.
const STATE_BYTES: usize = 80;
