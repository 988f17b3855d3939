//! Trace hash, recordings and their replay.

use serf_proto::{Outbox, Output};

use super::World;
use crate::digest::Digest;
use crate::recorder::{Recorder, Recording};

impl World {
    /// Records all inputs and outputs of a node from its next start on.
    pub fn record(&mut self, node: u32) {
        self.watch_node(node, false);
    }

    /// Prints all inputs and outputs of a node to stderr.
    pub fn print_trace(&mut self, node: u32) {
        self.watch_node(node, true);
    }

    /// Returns the hash of all inputs of all nodes so far. Equal seeds give equal hashes for every number of threads.
    pub fn trace_hash(&self) -> u64 {
        (0..self.shared.hosts).fold(0, |sum, node| {
            let host = self.host(node);
            let mut digest = Digest::default();
            digest.fold(u64::from(node) + 1);
            digest.fold(host.process.digest.value());
            sum.wrapping_add(digest.value())
        })
    }

    /// Returns the recording of the node passed to [`World::record`].
    pub fn recording(&self) -> Option<&Recording> {
        self.shards.iter().find_map(|shard| shard.recorder.as_ref()?.recording())
    }

    /// Replays the recorded inputs into a fresh node without a world, and returns its outputs.
    pub fn replay(&self, recording: &Recording) -> Vec<Output> {
        let mut out = Outbox::new();
        let Recording { node, life, started_at, is_converged, .. } = *recording;
        let found = recording.found.clone();
        let mut node = self.shared.spawn(node, life, started_at, is_converged, found, &mut out);
        let mut outputs: Vec<Output> = out.drain().collect();
        for (at, input) in &recording.inputs {
            node.apply(*at, input, &mut out);
            outputs.extend(out.drain());
        }
        outputs
    }

    fn watch_node(&mut self, node: u32, is_printing: bool) {
        let recorder = Recorder::new(node, self.shared.nodes, is_printing);
        let shard = self.shared.shard(node);
        self.shards[shard].recorder = Some(recorder);
    }
}
