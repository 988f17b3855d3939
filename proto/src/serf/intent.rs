//! Join and leave intents: what members say about themselves, or an operator about them, ordered by Lamport time.

use super::Serf;
use super::member::Intent;
use crate::broadcast::Offer;
use crate::core::Core;
use crate::envelope::Packer;
use crate::event::Status;
use crate::limits::{EARLY_INTENTS_BYTES_MAX, EARLY_INTENTS_MAX, ITEM_BYTES};
use crate::roster::{Holder, MemberIdx};
use crate::stats::DropReason;
use crate::timer::SerfTimer;
use crate::wire::serf::{Join, Leave, Message};
use crate::wire::{Codec, native};

/// Where an intent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Gossip, or ourselves: others are told.
    Gossip,
    /// A push/pull: others are not told, they will exchange states themselves.
    PushPull,
}

impl Intent {
    const fn message(self, ltime: u64, node: &str) -> Message<'_> {
        match self {
            Self::Join => Message::Join(Join { ltime, node }),
            Self::Leave { prune } => Message::Leave(Leave { ltime, node, prune }),
        }
    }
}

impl Serf {
    /// A member says that it joined.
    pub(super) fn join_intent(&mut self, core: &mut Core, join: &Join<'_>) {
        self.intent(core, join.node, join.ltime, Intent::Join, Via::Gossip);
    }

    /// A member leaves.
    pub(super) fn leave_intent(&mut self, core: &mut Core, leave: &Leave<'_>) {
        let intent = Intent::Leave { prune: leave.prune };
        self.intent(core, leave.node, leave.ltime, intent, Via::Gossip);
    }

    /// Takes an intent about `node`, known or not.
    pub(super) fn intent(&mut self, core: &mut Core, node: &str, ltime: u64, intent: Intent, via: Via) {
        if self.clock.witness(core.now, ltime).is_err() {
            return core.stats.drop(DropReason::Absurd);
        }
        match core.roster.find(node) {
            Some(idx) if self.row(idx).status().is_some() => self.known_intent(core, idx, ltime, intent, via),
            Some(idx) => self.early_intent(core, idx, ltime, intent, via),
            None if !self.has_early_room(node) => core.stats.drop(DropReason::Limit),
            None => match core.roster.intern(node) {
                Some(idx) => self.early_intent(core, idx, ltime, intent, via),
                None => core.stats.drop(DropReason::Limit),
            },
        }
    }

    /// An intent for a member that we do not know yet: it waits, and others are told.
    fn early_intent(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, intent: Intent, via: Via) {
        let row = self.row(idx);
        if row.intent().is_some() && ltime <= row.ltime() {
            return;
        }
        let was_leave = row.intent().is_some_and(|waiting| waiting != Intent::Join);
        if via == Via::PushPull {
            let is_leave = intent != Intent::Join;
            if was_leave && is_leave && ltime == row.ltime() + 1 {
                // The tombstone of the very leave that waits.
                return;
            }
            if was_leave != is_leave {
                self.cancel_intent(idx);
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
            Self::arm_reaper(core);
        }
        let row = self.row_mut(core, idx);
        row.set_ltime(ltime);
        row.set_intent(Some(intent));
        if via == Via::Gossip {
            self.spread_intent(core, idx);
        }
    }

    /// Whether one more intent may wait for its member.
    fn has_early_room(&self, node: &str) -> bool {
        self.early.len() < EARLY_INTENTS_MAX && self.early_bytes + early_bytes(node) <= EARLY_INTENTS_BYTES_MAX
    }

    /// The table of statuses and intents (`handleNodeJoinIntent` and `handleNodeLeaveIntent` in serf). An intent that is not
    /// newer than what is known means nothing.
    fn known_intent(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, intent: Intent, via: Via) {
        let row = self.row(idx);
        let Some(status) = row.status() else { return };
        if ltime <= row.ltime() {
            return;
        }
        let is_leave = intent != Intent::Join;
        if !is_leave && idx == self.me && self.leaving {
            // An exchange that was in flight when we began to leave does not revoke it.
            return;
        }
        if is_leave && idx == self.me && !self.leaving {
            return self.refute_leave(core);
        }
        if via == Via::PushPull && is_leave && !credible(status, ltime, row.ltime()) {
            return;
        }
        self.row_mut(core, idx).set_ltime(ltime);
        match (intent, status) {
            (Intent::Join, Status::Leaving) => self.row_mut(core, idx).set_status(Status::Alive),
            (Intent::Leave { .. }, Status::Alive) => {
                self.row_mut(core, idx).set_status(Status::Leaving);
                self.departs(core, idx);
            }
            (Intent::Leave { .. }, Status::Failed) => self.failed_has_left(core, idx),
            _ => {}
        }
        match via {
            Via::Gossip => {
                self.row_mut(core, idx).set_intent(Some(intent));
                self.spread_intent(core, idx);
            }
            // What is queued is older. Of the same kind it may go out with the newer time; another kind is void.
            Via::PushPull if row.intent().is_some_and(|told| (told != Intent::Join) == is_leave) => {}
            Via::PushPull => {
                self.cancel_intent(idx);
                self.row_mut(core, idx).set_intent(Some(intent));
            }
        }
        if intent == (Intent::Leave { prune: true }) {
            self.prune(core, idx, ltime, via);
        }
    }

    /// Somebody says that we leave, and we do not.
    fn refute_leave(&mut self, core: &mut Core) {
        tracing::debug!("refuting a leave intent about ourselves");
        self.announce_join(core);
    }

    /// Tells everybody that we joined, at a time after everything that we have seen, tombstones of ourselves included.
    pub(crate) fn announce_join(&mut self, core: &mut Core) {
        // Ours is the next time, which takes nothing of the budget.
        let Ok(ltime) = self.clock.tick() else { return };
        let me = core.roster.name(self.me);
        self.intent(core, &me, ltime, Intent::Join, Via::Gossip);
    }

    /// Has a member erased: at once when it is gone; a live one only if it has gone by the time in which it could have
    /// refuted. serf's agents erase it even then, and never see it again.
    fn prune(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, via: Via) {
        match self.row(idx).status() {
            Some(Status::Left | Status::Failed) => {
                let name = core.roster.name(idx);
                self.erase_on_request(core, idx);
                // The intent outlives the member for a while, so that others hear of it and we know it when it comes again.
                self.intent(core, &name, ltime, Intent::Leave { prune: true }, via);
            }
            Some(Status::Alive | Status::Leaving) => {
                let wait = core.cfg.broadcast_timeout + core.cfg.leave_propagate_delay;
                core.arm(wait, SerfTimer::Prune(idx));
            }
            None => {}
        }
    }

    /// Erases a member that is gone, unless it has refuted in between: then its newest intent is another.
    pub(super) fn prune_due(&mut self, core: &mut Core, idx: MemberIdx) {
        let row = self.row(idx);
        let gone = matches!(row.status(), Some(Status::Left | Status::Failed));
        if gone && row.intent() == Some(Intent::Leave { prune: true }) {
            self.erase_on_request(core, idx);
        }
    }

    fn erase_on_request(&mut self, core: &mut Core, idx: MemberIdx) {
        tracing::debug!(member = &*core.roster.name(idx), "erased on request");
        self.erase(core, idx);
    }

    /// Has others told of a member's intent, from the beginning if they were being told already.
    pub(super) fn spread_intent(&mut self, core: &mut Core, idx: MemberIdx) {
        let row = self.row_mut(core, idx);
        match row.sends() {
            // A leave in place of a join that waits unsent still has to become urgent.
            Some(0) if !(idx == self.me && self.leaving) => return,
            Some(_) => {}
            None => self.intents_queued += 1,
        }
        self.row_mut(core, idx).set_sends(Some(0));
        if idx == self.me && self.leaving {
            // The leave waits for it. A join does not go first: it would be told to the first few that a newcomer knows only.
            self.intents.push_urgent(idx);
        } else {
            self.intents.push(idx);
        }
        while self.intents_queued > core.cfg.queue_depth_max as usize {
            self.prune_intents(core);
        }
        let rows = &self.rows;
        self.intents.clear_stale(self.intents_queued, |sends, idx| rows[idx.at()].sends() == Some(sends as u64));
    }

    /// Makes room: the intent that has been sent most often goes.
    fn prune_intents(&mut self, core: &mut Core) {
        let Some((sends, idx)) = self.intents.prune() else {
            debug_assert!(false, "a queued intent has a place in the queue");
            self.intents_queued = 0;
            return;
        };
        // A place may be out of date; then nothing is lost.
        if self.row(idx).sends() == Some(sends as u64) {
            self.cancel_intent(idx);
            core.stats.intents_pruned.full += 1;
        }
    }

    /// Others need not be told of a member's intent any more.
    pub(super) fn cancel_intent(&mut self, idx: MemberIdx) {
        let Some(row) = self.rows.get_mut(idx.at()) else { return };
        if row.sends().is_some() {
            row.set_sends(None);
            self.intents_queued -= 1;
        }
    }

    pub(super) fn fill_intents(&mut self, core: &Core, limit: usize, codec: Codec, packer: &mut Packer<'_>) {
        if self.intents_queued == 0 {
            return;
        }
        // The rows lie far apart: read together, the waits for them overlap.
        let upcoming = self.intents.upcoming().take(packer.room() / INTENT_BYTES);
        core::hint::black_box(upcoming.fold(0, |sum, &idx| sum ^ self.touch(idx)));
        let Self { me, leaving, rows, intents, intents_queued, leaves_sent, .. } = self;
        intents.fill(limit, |sends, &idx| {
            let row = &mut rows[idx.at()];
            let (true, Some(intent)) = (row.sends() == Some(sends as u64), row.intent()) else { return Offer::Stale };
            let ltime = row.ltime();
            let frame = match intent {
                Intent::Join if codec == Codec::Native => {
                    let name = core.roster.name_bytes(idx);
                    packer.join(native::join_head(ltime, name.len()).bytes(), name)
                }
                _ => packer.frame(|w| {
                    codec.begin_user(w)?;
                    codec.encode_serf(&intent.message(ltime, core.roster.name_ref(idx)), w)
                }),
            };
            if frame.is_err() {
                return Offer::Full;
            }
            let finished = sends + 1 >= limit;
            row.set_sends((!finished).then_some(sends as u64 + 1));
            *intents_queued -= usize::from(finished);
            *leaves_sent += u32::from(idx == *me && *leaving);
            Offer::Sent
        });
    }
}

/// Whether a leave that a push/pull implies is to be believed. Its time is one above the tombstone's, so that two nodes with a
/// tombstone would raise it by one at every exchange, for ever; a tombstone from before the member's last join would make a
/// live member leave; and one of the leave that we are just passing on would go out again as a newer one, to everybody.
fn credible(status: Status, ltime: u64, known: u64) -> bool {
    match status {
        Status::Left => false,
        Status::Alive | Status::Leaving => ltime > known + 1,
        Status::Failed => true,
    }
}

/// What an intent takes that waits for its member.
pub(super) const fn early_bytes(node: &str) -> usize {
    node.len() + ITEM_BYTES
}

/// About how many bytes an intent takes, at the least.
const INTENT_BYTES: usize = 12;
