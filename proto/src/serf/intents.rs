//! Intents that wait: those that are gossiped, and those that wait for their member to appear.

use alloc::collections::VecDeque;

use super::members::Members;
use super::reap::arm_reaper;
use super::row::Intent;
use crate::broadcast::{Offer, TransmitQueue, Turn};
use crate::core::Core;
use crate::envelope::Packer;
use crate::limits::{EARLY_INTENTS_BYTES_MAX, EARLY_INTENTS_MAX, ITEM_BYTES};
use crate::roster::{Holder, MemberIdx};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::serf::{Join, Leave, Message};
use crate::wire::{Codec, native};

/// The queue of intents. What an intent says, and how often it was sent, stands in the member's row and is read when it is
/// packed: a newer intent about a member replaces the queued one by being written there.
#[derive(Clone, Debug)]
pub(super) struct Intents {
    /// Members whose intent is to be sent. A place is stale when the row has another number of sends, or none.
    queue: TransmitQueue<MemberIdx>,
    /// Rows with a number of sends: the places that are not stale.
    queued: usize,
    /// Names with an intent that are no members yet, oldest first.
    early: VecDeque<(Instant, MemberIdx)>,
    /// What they take, by [`EARLY_INTENTS_BYTES_MAX`].
    early_bytes: usize,
    /// Copies of our own leave intent that were sent; `None` until we begin to leave.
    own_leaves_sent: Option<u32>,
}

/// Where an intent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Gossip, or ourselves: we gossip it, too.
    Gossip,
    /// A push/pull: we do not gossip it, since the others exchange states themselves.
    PushPull,
}

impl Intents {
    pub(super) const fn new() -> Self {
        let queue = TransmitQueue::new(Turn::Newest);
        Self { queue, queued: 0, early: VecDeque::new(), early_bytes: 0, own_leaves_sent: None }
    }

    /// Keeps an intent about a name that is no member until it becomes one, and gossips it.
    pub(super) fn note_early(
        &mut self,
        core: &mut Core,
        members: &mut Members,
        idx: MemberIdx,
        ltime: u64,
        intent: Intent,
        via: Via,
    ) {
        let row = members.row(idx);
        if row.intent().is_some() && ltime <= row.ltime() {
            return;
        }
        if via == Via::PushPull {
            let was_leave = row.intent().is_some_and(Intent::is_leave);
            if was_leave && intent.is_leave() && ltime == row.ltime() + 1 {
                // The tombstone of the very leave that waits.
                return;
            }
            if was_leave != intent.is_leave() {
                self.cancel(members, idx);
            }
        }
        if row.intent().is_none() {
            let name = core.roster.name_ref(idx);
            if !self.has_early_room(name) {
                return core.stats.drop(DropReason::Limit);
            }
            self.early_bytes += early_bytes(name);
            core.roster.hold(idx, Holder::Serf);
            self.early.push_back((core.now, idx));
            arm_reaper(core);
        }
        members.note_early(core, idx, ltime, intent);
        if via == Via::Gossip {
            self.spread(core, members, idx);
        }
    }

    /// Forgets early intents that have waited for too long. One whose name has become a member is that member's by now.
    pub(super) fn expire(&mut self, core: &mut Core, members: &mut Members) {
        while let Some(&(since, idx)) = self.early.front()
            && core.now - since > core.cfg.serf().recent_intent_timeout
        {
            self.early.pop_front();
            self.early_bytes -= early_bytes(core.roster.name_ref(idx));
            if !members.has(idx) {
                self.cancel(members, idx);
                members.forget_early(core, idx);
            }
        }
    }

    /// A member is about to be forgotten: so is its intent.
    pub(super) fn forget(&mut self, core: &Core, members: &mut Members, idx: MemberIdx) {
        self.cancel(members, idx);
        let waiting = self.early.len();
        self.early.retain(|&(_, early)| early != idx);
        self.early_bytes -= (waiting - self.early.len()) * early_bytes(core.roster.name_ref(idx));
    }

    /// Gossips a member's intent, from the beginning if it is in the queue already.
    pub(super) fn spread(&mut self, core: &mut Core, members: &mut Members, idx: MemberIdx) {
        let is_own_leave = idx == members.me() && self.is_leaving();
        match members.row(idx).sends() {
            // A leave in place of a join that waits unsent still has to become urgent.
            Some(0) if !is_own_leave => return,
            Some(_) => {}
            None => self.queued += 1,
        }
        members.set_sends(idx, Some(0));
        if is_own_leave {
            // The leave waits for it. A join does not go first: it would reach only the few members that a newcomer knows.
            self.queue.push_urgent(idx);
        } else {
            self.queue.push(idx);
        }
        while self.queued > core.cfg.serf().queue_depth_max as usize {
            self.prune(core, members);
        }
        self.queue.clear_stale(self.queued, |sends, idx| members.row(idx).sends() == Some(sends as u64));
    }

    /// Makes room: the intent that has been sent most often goes.
    fn prune(&mut self, core: &mut Core, members: &mut Members) {
        let Some((sends, idx)) = self.queue.prune() else {
            debug_assert!(false, "a queued intent has a place in the queue");
            self.queued = 0;
            return;
        };
        // Dropping a stale place loses nothing.
        if members.row(idx).sends() == Some(sends as u64) {
            self.cancel(members, idx);
            core.stats.intents_pruned.full += 1;
        }
    }

    /// Takes a member's intent out of the queue. Its place becomes stale.
    pub(super) fn cancel(&mut self, members: &mut Members, idx: MemberIdx) {
        if members.row(idx).sends().is_some() {
            members.set_sends(idx, None);
            self.queued -= 1;
        }
    }

    /// We begin to leave: from now on intents about us are not refuted.
    pub(super) fn begin_leave(&mut self) {
        self.own_leaves_sent.get_or_insert(0);
    }

    /// Adds intents to a packet while they fit.
    pub(super) fn fill(
        &mut self,
        core: &Core,
        members: &mut Members,
        limit: usize,
        codec: Codec,
        packer: &mut Packer<'_>,
    ) {
        if self.queued == 0 {
            return;
        }
        // The rows lie far apart in memory. Reading the next ones in a row lets the cache misses overlap.
        let upcoming = self.queue.upcoming().take(packer.room() / INTENT_BYTES);
        core::hint::black_box(upcoming.fold(0, |sum, &idx| sum ^ members.row(idx).ltime()));
        let Self { queue, queued, own_leaves_sent, .. } = self;
        queue.fill(limit, |sends, &idx| {
            let row = members.row(idx);
            let (true, Some(intent)) = (row.sends() == Some(sends as u64), row.intent()) else { return Offer::Stale };
            let ltime = row.ltime();
            let frame = match intent {
                // Most intents are joins: their bytes are put together without an encoder.
                Intent::Join if codec == Codec::Native => {
                    let name = core.roster.name_bytes(idx);
                    packer.join(native::join_head(ltime, name.len()).bytes(), name)
                }
                Intent::Join | Intent::Leave { .. } => packer.frame(|w| {
                    codec.begin_user(w)?;
                    codec.encode_serf(&intent.message(ltime, core.roster.name_ref(idx)), w)
                }),
            };
            if frame.is_err() {
                return Offer::Full;
            }
            let finished = sends + 1 >= limit;
            members.set_sends(idx, (!finished).then_some(sends as u64 + 1));
            *queued -= usize::from(finished);
            if let Some(sent) = own_leaves_sent.as_mut().filter(|_| idx == members.me()) {
                *sent += 1;
            }
            Offer::Sent
        });
    }

    /// Begins a round of several packets to one member, each intent at most once.
    pub(super) fn begin_round(&mut self) {
        self.queue.begin_round();
    }

    /// Ends the round.
    pub(super) fn end_round(&mut self) {
        self.queue.end_round();
    }

    /// Whether one more intent may wait for its member.
    pub(super) fn has_early_room(&self, node: &str) -> bool {
        self.early.len() < EARLY_INTENTS_MAX && self.early_bytes + early_bytes(node) <= EARLY_INTENTS_BYTES_MAX
    }

    /// How many intents wait for their members.
    pub(super) fn early(&self) -> usize {
        self.early.len()
    }

    /// What they take.
    pub(super) const fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// How many intents are to be gossiped.
    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    /// The names whose intents wait for their members, the oldest first.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> impl Iterator<Item = MemberIdx> {
        self.early.iter().map(|&(_, idx)| idx)
    }

    /// How many places the queue has, stale ones included.
    #[cfg(test)]
    pub(super) const fn places(&self) -> usize {
        self.queue.len()
    }

    /// The member whose intent is packed next.
    pub(super) fn next(&self) -> Option<MemberIdx> {
        self.queue.upcoming().next().copied()
    }

    /// Whether we have begun to leave.
    pub(super) const fn is_leaving(&self) -> bool {
        self.own_leaves_sent.is_some()
    }

    /// How many copies of our leave intent were sent.
    pub(super) fn own_leaves_sent(&self) -> u32 {
        self.own_leaves_sent.unwrap_or_default()
    }
}

impl Intent {
    const fn message(self, ltime: u64, node: &str) -> Message<'_> {
        match self {
            Self::Join => Message::Join(Join { ltime, node }),
            Self::Leave { prune } => Message::Leave(Leave { ltime, node, prune }),
        }
    }
}

/// What an intent takes that waits for its member.
const fn early_bytes(node: &str) -> usize {
    node.len() + ITEM_BYTES
}

/// About how many bytes an intent takes, at the least.
const INTENT_BYTES: usize = 12;
