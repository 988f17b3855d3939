//! Queues of intents: those to gossip, and those about names that are not members yet.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::members::Members;
use super::reap::arm_reaper;
use super::row::Intent;
use crate::broadcast::{Offer, RowQueue};
use crate::core::Core;
use crate::envelope::Packer;
use crate::fingerprint::Fingerprint;
use crate::limits::{EARLY_INTENTS_BYTES_MAX, EARLY_INTENTS_MAX, ITEM_BYTES};
use crate::roster::{Holder, MemberIdx};
use crate::stats::{DropReason, Histogram};
use crate::time::Instant;
use crate::waits::Waits;
use crate::wire::serf::{Join, Leave, Message};
use crate::wire::{Codec, native};

/// The intent queues. The content and the transmit count of an intent are in the member's row and read when it is
/// packed: a newer intent replaces the queued one in place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Intents {
    /// Members whose intent is queued.
    queue: RowQueue<MemberIdx>,
    waits: Waits<MemberIdx>,
    /// Names with an early intent, oldest first. Some may have become members since.
    early: VecDeque<(Instant, MemberIdx)>,
    /// Memory used by `early`, in bytes; limited by [`EARLY_INTENTS_BYTES_MAX`].
    early_bytes: usize,
    /// Number of copies of our own leave intent that were sent; `None` until our leave begins.
    own_leaves_sent: Option<u32>,
}

/// The source of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Gossip, or this node itself: is gossiped on.
    Gossip,
    /// A push/pull: is not gossiped on, since members exchange states among themselves.
    PushPull,
    /// An alive message, which is gossiped on with the time.
    Alive,
}

impl Intents {
    pub(super) const fn new() -> Self {
        Self {
            queue: RowQueue::new(),
            waits: Waits::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            own_leaves_sent: None,
        }
    }

    /// Stores an intent about a name that is not a member yet (`upsertIntent` in serf.go), and gossips it.
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
                // The tombstone of the stored leave: a push/pull reports a leave with its time plus one.
                return;
            }
            if was_leave != intent.is_leave() {
                // The queued intent is of the other kind, hence obsolete. One of the same kind may be sent on.
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
        // Holds the index until `expire`: without it, the roster could give it to another name.
        members.note_early(core, idx, ltime, intent);
        if via == Via::Gossip {
            self.spread(core, members, idx);
        }
    }

    /// Removes early intents older than `recent_intent_timeout`. If the name has become a member, the intent belongs to
    /// the member's row and stays there.
    pub(super) fn expire(&mut self, core: &mut Core, members: &mut Members) {
        while let Some(&(since, idx)) = self.early.front()
            && core.now - since > core.cfg.serf().recent_intent_timeout
        {
            self.early.pop_front();
            self.early_bytes -= early_bytes(core.roster.name_ref(idx));
            // The bytes go first: `forget_early` may release the name.
            if !members.has(idx) {
                self.cancel(members, idx);
                members.forget_early(core, idx);
            }
        }
    }

    /// Removes the intent of a member that is about to be erased. Must precede the erasure of the row.
    pub(super) fn forget(&mut self, core: &Core, members: &mut Members, idx: MemberIdx) {
        self.cancel(members, idx);
        let waiting = self.early.len();
        self.early.retain(|&(_, early)| early != idx);
        self.early_bytes -= (waiting - self.early.len()) * early_bytes(core.roster.name_ref(idx));
    }

    /// Queues a member's intent, with a transmit count of zero if it is queued already.
    pub(super) fn spread(&mut self, core: &mut Core, members: &mut Members, idx: MemberIdx) {
        // Our leave has priority because the shutdown waits for it, and gets it also if it replaces a queued join. A join
        // has none: it would reach only the few members that a newcomer knows.
        if idx == members.me() && self.is_leaving() {
            self.queue.push_urgent(idx, members);
        } else {
            self.queue.push(idx, members);
        }
        if let Some(now) = members.timed_at(core) {
            self.waits.queued(now, || idx);
        }
        let depth_max = core.cfg.serf().queue_depth_max as usize;
        core.stats.intents_pruned.full += self.queue.prune(depth_max, members);
    }

    /// Dequeues a member's intent.
    pub(super) fn cancel(&mut self, members: &mut Members, idx: MemberIdx) {
        self.queue.cancel(idx, members);
    }

    /// Begins our leave: from now on, intents about ourselves are not refuted.
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
        let Self { queue, own_leaves_sent, waits, .. } = self;
        let ahead = packer.room() / INTENT_BYTES;
        queue.fill(
            members,
            limit,
            ahead,
            |_| 0,
            |members, idx, _| {
                let row = members.row(idx);
                let Some(intent) = row.intent() else { return Offer::Stale };
                let ltime = row.ltime();
                let frame = match intent {
                    // Most intents are joins; their native encoding is assembled without an encoder.
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
                if let Some(sent) = own_leaves_sent.as_mut().filter(|_| idx == members.me()) {
                    *sent += 1;
                }
                waits.sent(core.now, &idx);
                Offer::Sent
            },
        );
    }

    /// How long intents have waited before they were sent for the first time.
    pub(super) const fn waits(&self) -> &Histogram {
        self.waits.histogram()
    }

    /// Notes that another member sent a queued intent; see [`RowQueue::note_duplicate`].
    pub(super) fn note_duplicate(&mut self, members: &mut Members, idx: MemberIdx) {
        self.queue.note_duplicate(idx, members);
    }

    /// Begins a round of several packets to one member: each intent is offered at most once until the round ends.
    pub(super) fn begin_round(&mut self) {
        self.queue.begin_round();
    }

    /// Ends a round.
    pub(super) fn end_round(&mut self) {
        self.queue.end_round();
    }

    /// Whether there is room for another early intent.
    pub(super) fn has_early_room(&self, node: &str) -> bool {
        self.early.len() < EARLY_INTENTS_MAX && self.early_bytes + early_bytes(node) <= EARLY_INTENTS_BYTES_MAX
    }

    /// Number of early intents.
    pub(super) fn early(&self) -> usize {
        self.early.len()
    }

    /// Memory used by early intents, in bytes.
    pub(super) const fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// Number of intents to gossip.
    pub(super) const fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The names with early intents, oldest first.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> impl Iterator<Item = MemberIdx> {
        self.early.iter().map(|&(_, idx)| idx)
    }

    /// Number of queue entries, including stale ones.
    #[cfg(test)]
    pub(super) const fn places(&self) -> usize {
        self.queue.places()
    }

    /// The member whose intent is packed next.
    pub(super) fn next(&self) -> Option<MemberIdx> {
        self.queue.upcoming()
    }

    /// Whether our leave has begun.
    pub(super) const fn is_leaving(&self) -> bool {
        self.own_leaves_sent.is_some()
    }

    /// Number of copies of our leave intent that were sent.
    pub(super) fn own_leaves_sent(&self) -> u32 {
        self.own_leaves_sent.unwrap_or_default()
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { queue, waits: _, early, early_bytes: _, own_leaves_sent } = self;
        queue.fingerprint(to);
        to.put((early.len(), own_leaves_sent));
        for (since, idx) in early {
            to.put(idx);
            to.age(*since);
        }
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

/// Memory used by an early intent, in bytes.
const fn early_bytes(node: &str) -> usize {
    node.len() + ITEM_BYTES
}

/// The approximate minimum size of an encoded intent, in bytes.
const INTENT_BYTES: usize = 12;
