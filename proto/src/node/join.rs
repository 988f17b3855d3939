//! Joining through several seeds at once.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Node, OldEvents};
use crate::core::{Ask, Notification};
use crate::event::{Event, JoinId, JoinReport, SeedFailure, SeedFailureCause};
use crate::rng::Rng;
use crate::roster::{Identity, Name};
use crate::serf::Snapshot;

/// A join that is under way.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) old: OldEvents,
    seeds: Vec<SocketAddr>,
    /// How many of the seeds have been asked.
    asked: usize,
    /// How many may be asked at the same time.
    at_once: usize,
    pending: usize,
    contacted: u32,
    failed: Vec<SeedFailure>,
}

impl Join {
    /// Through all seeds at once.
    pub(super) fn all(seeds: Vec<SocketAddr>, old: OldEvents) -> Self {
        let at_once = seeds.len();
        Self { old, seeds, asked: 0, at_once, pending: 0, contacted: 0, failed: Vec::new() }
    }

    /// Through a few seeds at a time, and no more once one has answered.
    pub(super) fn until_one_answers(seeds: Vec<SocketAddr>, old: OldEvents) -> Self {
        Self { at_once: SEEDS_AT_ONCE, ..Self::all(seeds, old) }
    }

    /// The next seed to be asked now.
    fn next_seed(&mut self) -> Option<(u32, SocketAddr)> {
        let wants_more = self.contacted == 0 && self.pending < self.at_once;
        let &addr = self.seeds.get(self.asked).filter(|_| wants_more)?;
        let seed = u32::try_from(self.asked).ok()?;
        self.asked += 1;
        self.pending += 1;
        Some((seed, addr))
    }
}

/// Where the members of an earlier life were, ourselves left out: those alive in random order, then the failed.
pub(super) fn previous(snapshot: &Snapshot, me: &Identity, rng: &mut Rng) -> Vec<SocketAddr> {
    let others = |(name, addr): (&Name, SocketAddr)| (**name != *me.peer.name()).then_some(addr);
    let mut previous: Vec<SocketAddr> = snapshot.alive().filter_map(others).collect();
    rng.shuffle(&mut previous);
    previous.extend(snapshot.failed_members().filter_map(others));
    previous
}

impl Node {
    /// Begins a join.
    pub(super) fn begin_join(&mut self, join: Join) -> JoinId {
        self.joins_last = self.joins_last.wrapping_add(1);
        let id = JoinId(self.joins_last);
        self.joins.insert(id, join);
        self.ask_seeds(id);
        id
    }

    /// Asks as many seeds of a join as may be asked now.
    fn ask_seeds(&mut self, id: JoinId) {
        let Some(join) = self.joins.get_mut(&id) else { return };
        let until = self.core.now + self.core.cfg.stream_timeout;
        while let Some((seed, with)) = join.next_seed() {
            self.core.notify(Notification::Wants { with, ask: Ask::Join { id, seed }, until });
        }
    }

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
        if result.is_ok() {
            self.serf.announce_join(&mut self.core);
        }
        self.ask_seeds(id);
        let finished = self.joins.get(&id).is_some_and(|join| join.pending == 0);
        if finished && let Some(join) = self.joins.remove(&id) {
            let Join { contacted, failed, .. } = join;
            self.core.events.push(Event::Joined(JoinReport { id, contacted, failed }));
        }
    }
}

/// How many seeds of a rejoin are asked at the same time. serf asks one; a dead one then costs a whole stream timeout.
const SEEDS_AT_ONCE: usize = 3;
