//! A node that has lost everybody looks for them, however long it takes.
//!
//! serf tries the members that failed until it forgets them; a partition that lasts longer never heals by itself. The addresses
//! of members through which we once joined, and of those that failed last, are kept for good.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::join::Join;
use super::leave::Leaving;
use super::{Node, OldEvents};
use crate::timer::Slot;

/// What a node remembers of its company.
#[derive(Clone, Debug, Default)]
pub(super) struct Company {
    /// Whether another member has been alive.
    known: bool,
    /// The pause before the next search.
    pause: Duration,
    /// Through whom we joined, and who failed when the last of them did; the latest last.
    seeds: VecDeque<SocketAddr>,
}

impl Company {
    /// There was company, in an earlier life, and it has not been found again.
    pub(super) const fn lost(&mut self) {
        self.known = true;
    }

    /// Keeps the address of a seed that answered.
    pub(super) fn remember(&mut self, seed: Option<SocketAddr>) {
        let Some(seed) = seed.filter(|seed| !self.seeds.contains(seed)) else { return };
        if self.seeds.len() == SEEDS_KEPT {
            self.seeds.pop_front();
        }
        self.seeds.push_back(seed);
    }
}

impl Node {
    /// Notices when the last other member is gone, and when one is back.
    pub(super) fn mind_company(&mut self) {
        if !self.serf.is_alone() {
            if self.core.timers.is_set(Slot::Alone) {
                self.core.timers.clear(Slot::Alone);
            }
            self.company.known = true;
        } else if self.company.known && self.leaving == Leaving::No {
            self.company.known = false;
            self.company.pause = self.core.cfg.reconnect_interval / PAUSE_SHARE;
            let addr = |idx| self.core.roster.peer(idx).map(|peer| peer.addr());
            // They will be forgotten one day, and those who joined through us would be found by nobody.
            self.serf.failed().map(addr).for_each(|failed| self.company.remember(failed));
            self.wait_for_company();
        }
    }

    fn wait_for_company(&mut self) {
        let pause = self.company.pause.max(Duration::from_millis(100));
        let pause = pause - self.core.rng.join.duration_below(pause / 2);
        self.core.arm(pause, Slot::Alone);
        self.company.pause = self.company.pause.saturating_mul(2).min(self.core.cfg.reconnect_interval);
    }

    /// Tries the members that failed, those of an earlier life and those through which we joined, a few at a time until one
    /// answers; then waits, longer each time.
    pub(super) fn seek_company(&mut self) {
        if self.leaving != Leaving::No || !self.serf.is_alone() {
            return;
        }
        self.wait_for_company();
        if self.joins.values().any(Join::is_under_way) {
            return;
        }
        let addr = |idx| {
            let peer = self.core.roster.peer(idx)?;
            tracing::info!(member = peer.name(), addr = %peer.addr(), "attempting reconnect");
            Some(peer.addr())
        };
        let mut known: Vec<SocketAddr> = self.serf.failed().filter_map(addr).collect();
        self.core.rng.join.shuffle(&mut known);
        let others = self.previous.iter().chain(self.company.seeds.iter().rev());
        for other in others.copied().take(CANDIDATES_MAX) {
            if !known.contains(&other) {
                known.push(other);
            }
        }
        known.truncate(CANDIDATES_MAX);
        if !known.is_empty() {
            self.begin_join(Join::until_one_answers(known, OldEvents::Deliver).ours());
        }
    }
}

/// The first search begins after this part of the reconnect interval; the pause doubles up to the whole.
const PAUSE_SHARE: u32 = 8;

/// How many addresses are kept. Ours.
const SEEDS_KEPT: usize = 16;

/// How many members one search tries. Ours.
const CANDIDATES_MAX: usize = 64;
