//! Isolation: a node that has lost all other members searches for them without a time limit.
//!
//! Serf retries failed members until it reaps them, so a partition that outlasts the reap never heals by itself. Ours:
//! the addresses of the seeds of earlier joins, and of the members that failed last, are kept for good.
//!
//! An address does not identify a node. It may belong to a node of another cluster by now, and a push/pull would merge
//! the two clusters. A remembered address is therefore pinged by the member's name first. Only addresses that the
//! application gave are contacted whatever node is there.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::join::{Contact, Join};
use super::{Node, OldEvents};
use crate::core::Sometimes;
use crate::fingerprint::Fingerprint;
use crate::rng::Rng;
use crate::roster::MemberIdx;
use crate::timer::NodeTimer;

/// Whether the node is isolated, and the addresses that it searches.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Isolation {
    /// Whether another member has been alive since the last search began.
    known: bool,
    /// The pause before the next search.
    pause: Duration,
    /// Seeds of successful joins, the latest last.
    seeds: VecDeque<Contact>,
    /// Members that were failed when the last one failed, the latest last. A queue of its own, so that they do not
    /// evict seeds.
    failed: VecDeque<Contact>,
}

impl Isolation {
    /// Marks the members of an earlier run as lost: the rejoin found none of them.
    pub(super) const fn rejoin_failed(&mut self) {
        self.known = true;
    }

    /// Remembers a seed that answered.
    pub(super) fn remember_seed(&mut self, seed: Option<Contact>) {
        keep(&mut self.seeds, seed);
    }

    /// Remembers a failed member.
    pub(super) fn remember_failed(&mut self, failed: Option<Contact>) {
        keep(&mut self.failed, failed);
    }

    /// Starts the back-off of a search; `interval` is the longest pause.
    fn begin(&mut self, interval: Duration) {
        self.known = false;
        self.pause = interval / PAUSE_SHARE;
    }

    /// The pause before the next search. Doubles up to `interval`, minus a random part of at most half.
    fn next_pause(&mut self, interval: Duration, rng: &mut Rng) -> Duration {
        let pause = self.pause.max(PAUSE_LEAST);
        self.pause = self.pause.saturating_mul(2).min(interval);
        pause - rng.duration_below(pause / 2)
    }

    /// Appends contacts to the candidates of one search, the latest first. Contacts of an earlier run come last,
    /// because there may be many.
    fn add_to(&self, candidates: &mut Vec<Contact>, previous: &[Contact]) {
        for other in self.seeds.iter().rev().chain(self.failed.iter().rev()).chain(previous) {
            if candidates.len() == CANDIDATES_MAX {
                break;
            }
            // An address may be known twice: given by the application, and remembered with a name.
            if !candidates.contains(other) {
                candidates.push(other.clone());
            }
        }
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { known, pause, seeds, failed } = self;
        to.put((known, pause));
        to.text(&(seeds, failed));
    }
}

/// Appends a contact; evicts the oldest at the limit.
fn keep(kept: &mut VecDeque<Contact>, contact: Option<Contact>) {
    let Some(contact) = contact.filter(|contact| !kept.contains(contact)) else { return };
    if kept.len() == ADDRESSES_KEPT {
        kept.pop_front();
    }
    kept.push_back(contact);
}

impl Node {
    /// Starts the search when the last other member is gone, and stops it when one is back.
    pub(super) fn watch_isolation(&mut self) {
        if !self.serf.is_alone() {
            if self.core.timers.is_set(NodeTimer::Isolation) {
                self.core.timers.clear(NodeTimer::Isolation);
            }
            self.isolation.known = true;
        } else if self.isolation.known && !self.leave.has_begun() {
            self.core.met.note(Sometimes::Searched);
            self.isolation.begin(self.core.cfg.serf().reconnect_interval);
            let contact = |idx| {
                let peer = self.core.roster.peer(idx)?;
                Some(Contact::remembered(peer.shared_name(), peer.addr()))
            };
            // The Serf layer reaps failed members in time. Without a copy, nodes that joined through this one could not
            // be found again.
            self.serf.failed().map(contact).for_each(|failed| self.isolation.remember_failed(failed));
            self.arm_search();
        }
    }

    fn arm_search(&mut self) {
        let pause = self.isolation.next_pause(self.core.cfg.serf().reconnect_interval, &mut self.core.rng.join);
        self.core.arm(pause, NodeTimer::Isolation);
    }

    /// Contacts failed members, members of an earlier run and former seeds, a few at a time until one answers. Re-arms
    /// itself with a longer pause.
    pub(super) fn search(&mut self) {
        if self.leave.has_begun() || !self.serf.is_alone() {
            return;
        }
        // Re-arm before the returns below: only this timer continues the search.
        self.arm_search();
        self.verify_left_members();
        if self.joins.is_any_under_way() {
            return;
        }
        let candidates = self.candidates();
        if !candidates.is_empty() {
            self.begin_join(Join::until_one_answers(candidates, OldEvents::Deliver).ours());
        }
    }

    /// Pings members that are considered left, to verify it. One forged packet can claim that all members left, and a
    /// node never contacts a member that left. No states are exchanged, as with failed members: a member that left on
    /// purpose and restarted without a join stays apart.
    fn verify_left_members(&mut self) {
        let mut left: Vec<MemberIdx> = self.serf.left().chain(self.swim.left()).collect();
        // Both layers may list the same member.
        left.sort_unstable();
        left.dedup();
        self.core.rng.join.shuffle(&mut left);
        for idx in left.into_iter().take(CANDIDATES_MAX) {
            self.swim.verify_left(&mut self.core, idx);
        }
    }

    /// The contacts of one search. Those of an earlier run are shuffled each time, so that the limit does not hide the
    /// same ones.
    pub(super) fn candidates(&mut self) -> Vec<Contact> {
        let contact = |idx| {
            let peer = self.core.roster.peer(idx)?;
            tracing::info!(member = peer.name(), addr = %peer.addr(), "attempting reconnect");
            Some(Contact::remembered(peer.shared_name(), peer.addr()))
        };
        let mut known: Vec<Contact> = self.serf.failed().filter_map(contact).collect();
        // Shuffle before truncating, so that each search tries other failed members.
        self.core.rng.join.shuffle(&mut known);
        known.truncate(CANDIDATES_MAX);
        let previous = self.joins.shuffled_previous(&mut self.core.rng.join);
        self.isolation.add_to(&mut known, previous);
        known
    }
}

/// Divisor of the reconnect interval for the first pause; the pause doubles up to the whole interval.
const PAUSE_SHARE: u32 = 8;

/// The shortest pause between two searches.
const PAUSE_LEAST: Duration = Duration::from_millis(100);

/// How many addresses of either kind are kept. Ours.
const ADDRESSES_KEPT: usize = 16;

/// How many contacts one search tries. Ours.
const CANDIDATES_MAX: usize = 64;
