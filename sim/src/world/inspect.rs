//! What the invariants of a whole world look at.

use serf_proto::{Instant, Snapshot};

use super::World;
use crate::shard::Shard;
use crate::witness::{Balance, Witness};

impl World {
    /// Returns what happened since the world began, including what the processes that still run have counted.
    pub(crate) fn witness(&self) -> Witness {
        let mut sum = Witness::default();
        for shard in &self.shards {
            sum.merge(&shard.notes.witness);
            let running = shard.hosts.iter().filter_map(|host| host.process.node.as_ref());
            running.for_each(|node| sum.note_process(node));
        }
        sum
    }

    /// Returns the sums of all datagrams since the world began.
    pub(crate) fn datagram_balance(&self) -> Balance {
        let mut sum = Balance::default();
        self.shards.iter().for_each(|shard| sum.merge(&shard.notes.witness.datagrams));
        sum
    }

    /// Returns the number of datagrams that are on their way: in the network, or in the socket buffer of a process that
    /// does not read.
    pub(crate) fn datagrams_on_their_way(&self) -> u64 {
        let of = |shard: &Shard| {
            let flying = shard.queues.queue.iter().filter(|scheduled| scheduled.payload.is_datagram()).count();
            flying + shard.hosts.iter().map(|host| host.process.datagrams_held()).sum::<usize>()
        };
        self.shards.iter().map(|shard| of(shard) as u64).sum()
    }

    /// Returns the number of a host's process life, and its start.
    pub(crate) fn life(&self, node: u32) -> (u32, Instant) {
        let process = &self.host(node).process;
        (process.lives, process.born_at)
    }

    /// Returns what the next process of a host would read from its snapshot; `None` if it has none.
    pub(crate) fn snapshot_of(&self, node: u32) -> Option<Snapshot> {
        self.shared.settings.of(node).serf().snapshot.then(|| self.host(node).disk.snapshot())
    }

    /// Whether the process of a host began without a snapshot of an earlier life.
    pub(crate) fn began_blank(&self, node: u32) -> bool {
        self.host(node).process.began_blank
    }
}
