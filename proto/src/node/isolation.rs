//! A node that has lost everybody looks for them, however long it takes.
//!
//! serf tries the members that failed until it forgets them; a partition that lasts longer never heals by itself. The addresses
//! of members through which we once joined, and of those that failed last, are kept for good.
//!
//! An address is no identity: by now it may belong to a node of another cluster, and an exchange of states would make one
//! cluster of the two. The member that is remembered at an address is pinged by name first. Only addresses that the
//! application gave are asked whichever node is there.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::join::{Contact, Join};
use super::{Node, OldEvents};
use crate::rng::Rng;
use crate::roster::MemberIdx;
use crate::timer::NodeTimer;

/// Whether the node has lost all other members, and where it looks for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Isolation {
    /// Whether another member has been alive.
    known: bool,
    /// The pause before the next search.
    pause: Duration,
    /// Through whom we joined, the latest last.
    seeds: VecDeque<Contact>,
    /// Who had failed when the last of them did, the latest last. Apart, so that they do not displace the seeds.
    failed: VecDeque<Contact>,
}

impl Isolation {
    /// There were others, in an earlier life, and they have not been found again.
    pub(super) const fn lost(&mut self) {
        self.known = true;
    }

    /// Keeps the address of a seed that answered.
    pub(super) fn remember_seed(&mut self, seed: Option<Contact>) {
        keep(&mut self.seeds, seed);
    }

    /// Keeps the address of a member that failed.
    pub(super) fn remember_failed(&mut self, failed: Option<Contact>) {
        keep(&mut self.failed, failed);
    }

    /// Begins the search; `interval` is the longest pause.
    fn begin(&mut self, interval: Duration) {
        self.known = false;
        self.pause = interval / PAUSE_SHARE;
    }

    /// The pause before the next search, which doubles up to `interval`. Up to a half is left out at random.
    fn next_pause(&mut self, interval: Duration, rng: &mut Rng) -> Duration {
        let pause = self.pause.max(PAUSE_LEAST);
        self.pause = self.pause.saturating_mul(2).min(interval);
        pause - rng.duration_below(pause / 2)
    }

    /// Adds to the members that one search tries, the latest first. Those of an earlier life may be many: they come last.
    fn add_to(&self, candidates: &mut Vec<Contact>, previous: &[Contact]) {
        for other in self.seeds.iter().rev().chain(self.failed.iter().rev()).chain(previous) {
            if candidates.len() == CANDIDATES_MAX {
                break;
            }
            // The same address may be known twice: given by the application, and as that of a member.
            if !candidates.contains(other) {
                candidates.push(other.clone());
            }
        }
    }
}

/// Adds an address; of too many the oldest goes.
fn keep(kept: &mut VecDeque<Contact>, contact: Option<Contact>) {
    let Some(contact) = contact.filter(|contact| !kept.contains(contact)) else { return };
    if kept.len() == ADDRESSES_KEPT {
        kept.pop_front();
    }
    kept.push_back(contact);
}

impl Node {
    /// Notices when the last other member is gone, and when one is back.
    pub(super) fn watch_isolation(&mut self) {
        if !self.serf.is_alone() {
            if self.core.timers.is_set(NodeTimer::Isolation) {
                self.core.timers.clear(NodeTimer::Isolation);
            }
            self.isolation.known = true;
        } else if self.isolation.known && !self.leave.has_begun() {
            self.isolation.begin(self.core.cfg.reconnect_interval);
            let contact = |idx| {
                let peer = self.core.roster.peer(idx)?;
                Some(Contact::remembered(peer.shared_name(), peer.addr()))
            };
            // They will be forgotten one day, and those who joined through us would be found by nobody.
            self.serf.failed().map(contact).for_each(|failed| self.isolation.remember_failed(failed));
            self.arm_search();
        }
    }

    fn arm_search(&mut self) {
        let pause = self.isolation.next_pause(self.core.cfg.reconnect_interval, &mut self.core.rng.join);
        self.core.arm(pause, NodeTimer::Isolation);
    }

    /// Tries the members that failed, those of an earlier life and those through which we joined, a few at a time until one
    /// answers; then waits, longer each time.
    pub(super) fn search(&mut self) {
        if self.leave.has_begun() || !self.serf.is_alone() {
            return;
        }
        self.arm_search();
        self.doubt_farewells();
        if self.joins.is_any_under_way() {
            return;
        }
        let candidates = self.candidates();
        if !candidates.is_empty() {
            self.begin_join(Join::until_one_answers(candidates, OldEvents::Deliver).ours());
        }
    }

    /// Asks members that left whether they have. One packet can forge the farewells of all members to all members; none of them would
    /// contact another again. States are not exchanged with them, as with members that failed: a member that left on purpose
    /// and runs again without a join stays apart.
    fn doubt_farewells(&mut self) {
        let mut left: Vec<MemberIdx> = self.serf.left().chain(self.swim.left()).collect();
        left.sort_unstable();
        left.dedup();
        self.core.rng.join.shuffle(&mut left);
        for idx in left.into_iter().take(CANDIDATES_MAX) {
            self.swim.doubt_farewell(&mut self.core, idx);
        }
    }

    /// The members that one search tries; of those of an earlier life others each time.
    pub(super) fn candidates(&mut self) -> Vec<Contact> {
        let contact = |idx| {
            let peer = self.core.roster.peer(idx)?;
            tracing::info!(member = peer.name(), addr = %peer.addr(), "attempting reconnect");
            Some(Contact::remembered(peer.shared_name(), peer.addr()))
        };
        let mut known: Vec<Contact> = self.serf.failed().filter_map(contact).collect();
        self.core.rng.join.shuffle(&mut known);
        known.truncate(CANDIDATES_MAX);
        let previous = self.joins.shuffled_previous(&mut self.core.rng.join);
        self.isolation.add_to(&mut known, previous);
        known
    }
}

/// The first search begins after this part of the reconnect interval; the pause doubles up to the whole.
const PAUSE_SHARE: u32 = 8;

/// The least pause between two searches.
const PAUSE_LEAST: Duration = Duration::from_millis(100);

/// How many addresses of either kind are kept. Ours.
const ADDRESSES_KEPT: usize = 16;

/// How many members one search tries. Ours.
const CANDIDATES_MAX: usize = 64;
