//! Joining through several seeds at once.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Node, OldEvents};
use crate::core::Ask;
use crate::event::{Event, JoinId, JoinReport, SeedFailure, SeedFailureCause};

/// A join that is under way.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) old: OldEvents,
    seeds: Vec<SocketAddr>,
    pending: usize,
    contacted: u32,
    failed: Vec<SeedFailure>,
}

impl Join {
    pub(super) fn new(seeds: &[SocketAddr], old: OldEvents) -> Self {
        Self { old, seeds: seeds.to_vec(), pending: seeds.len(), contacted: 0, failed: Vec::new() }
    }
}

impl Node {
    /// Whether an exchange belongs to a join that wants to hear nothing old.
    pub(super) fn ignores_old_events(&self, ask: Ask) -> bool {
        match ask {
            Ask::Join { id, .. } => self.joins.get(&id).is_some_and(|join| join.old == OldEvents::Ignore),
            Ask::PushPull { .. } | Ask::Ping { .. } => false,
        }
    }

    /// One seed of a join has answered, or has not. After each that has, everybody is told that we joined: its state may
    /// have brought news of an earlier life of ours, and the intent must be newer than that. After the last the application
    /// is told.
    pub(super) fn seed_done(&mut self, id: JoinId, seed: u32, result: Result<(), SeedFailureCause>) {
        let Some(join) = self.joins.get_mut(&id) else { return };
        join.pending -= 1;
        match result {
            Ok(()) => join.contacted += 1,
            Err(cause) => {
                if let Some(&addr) = join.seeds.get(seed as usize) {
                    join.failed.push(SeedFailure { addr, cause });
                }
            }
        }
        let finished = join.pending == 0;
        if result.is_ok() {
            self.serf.announce_join(&mut self.core);
        }
        if finished && let Some(join) = self.joins.remove(&id) {
            let Join { contacted, failed, .. } = join;
            self.core.events.push(Event::Joined(JoinReport { id, contacted, failed }));
        }
    }
}
