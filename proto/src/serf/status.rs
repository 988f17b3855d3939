//! Join and leave intents: which of them change a member's status, and which this node announces. Intents about one
//! member are ordered by Lamport time.

use super::Serf;
use super::intents::Via;
use super::lamport::Exhausted;
use super::row::Intent;
use crate::core::Core;
use crate::event::Status;
use crate::roster::MemberIdx;
use crate::stats::DropReason;
use crate::timer::SerfTimer;

impl Serf {
    /// Handles an intent about `node`, whether it is a member or not.
    pub(super) fn intent(&mut self, core: &mut Core, node: &str, ltime: u64, intent: Intent, via: Via) {
        // The clock goes first, also for repeats: our next intent must be newer than every one we received.
        if self.clocks.member.witness(core.now, ltime).is_err() {
            return core.stats.drop(DropReason::OutOfRange);
        }
        let found = core.roster.find(node);
        if let Some(idx) = found.filter(|&idx| self.members.has(idx)) {
            return self.known_intent(core, idx, ltime, intent, via);
        }
        // Does not intern a name unless its intent can be stored: a flood of unknown names must not fill the roster.
        let idx = found.or_else(|| if self.intents.has_early_room(node) { core.roster.intern(node) } else { None });
        match idx {
            Some(idx) => self.intents.note_early(core, &mut self.members, idx, ltime, intent, via),
            None => core.stats.drop(DropReason::Limit),
        }
    }

    /// Handles an intent about a member. Ignores it unless it is newer than all others about the member.
    fn known_intent(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, intent: Intent, via: Via) {
        let row = self.members.row(idx);
        let Some(status) = row.status() else { return };
        // First: most intents are repeats. An older leave must not be refuted again either, or each of its copies would
        // cause another join broadcast.
        if ltime <= row.ltime() {
            return;
        }
        if idx == self.members.me() {
            match (intent.is_leave(), self.intents.is_leaving()) {
                // A push/pull that was in flight when our leave began does not revoke the leave.
                (false, true) => return,
                (true, false) => {
                    tracing::debug!("refuting a leave intent about ourselves");
                    return self.announce_join(core);
                }
                (true, true) | (false, false) => {}
            }
        }
        // After the refutation of claims about ourselves, which are answered however incredible they are.
        if via == Via::PushPull && intent.is_leave() && !is_credible(status, ltime, row.ltime()) {
            return;
        }
        // Must precede the queue: packing reads the intent's time from the row.
        self.members.apply_intent(core, idx, ltime, intent);
        match via {
            Via::Gossip => {
                self.members.set_intent(idx, intent);
                self.intents.spread(core, &mut self.members, idx);
            }
            // The queued intent is older. If it is of the same kind, it may be sent with the newer time; if not, it is
            // obsolete.
            Via::PushPull | Via::Alive if row.intent().is_some_and(|queued| queued.is_leave() == intent.is_leave()) => {
            }
            Via::PushPull | Via::Alive => {
                self.intents.cancel(&mut self.members, idx);
                self.members.set_intent(idx, intent);
            }
        }
        // Last: it erases the row that the steps above read.
        if intent == (Intent::Leave { prune: true }) {
            self.prune(core, idx, ltime, via);
        }
    }

    /// Handles the Lamport time of a join that came with an alive message of the member. The caller has seen that
    /// membership holds the member alive. `carried`: our own alive message passes the time on; otherwise an intent does.
    pub(crate) fn joined_at(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, carried: bool) {
        if self.clocks.member.witness(core.now, ltime).is_err() {
            return core.stats.drop(DropReason::OutOfRange);
        }
        if self.members.has(idx) {
            let via = if carried { Via::Alive } else { Via::Gossip };
            self.known_intent(core, idx, ltime, Intent::Join, via);
        } else if carried {
            // Membership has just adopted the announcement: the member is admitted with this time.
            self.members.note_join(core, idx, ltime);
        } else {
            self.intents.note_early(core, &mut self.members, idx, ltime, Intent::Join, Via::Gossip);
        }
    }

    /// Handles the Lamport time of a leave intent that came with a reconciled row of a member.
    pub(crate) fn leaving_at(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64) {
        if self.clocks.member.witness(core.now, ltime).is_err() {
            return core.stats.drop(DropReason::OutOfRange);
        }
        self.known_intent(core, idx, ltime, Intent::Leave { prune: false }, Via::Gossip);
    }

    /// Announces our join, at a Lamport time newer than every one seen, including tombstones of ourselves.
    pub(crate) fn announce_join(&mut self, core: &mut Core) {
        let me = core.roster.name(self.members.me());
        // Ignored: with an exhausted clock, every node would refuse the intent.
        _ = self.announce(core, &me, Intent::Join, Via::Gossip);
    }

    /// As [`announce_join`](Self::announce_join), if our own alive message carries the time.
    pub(crate) fn date_join(&mut self, core: &mut Core) {
        let me = core.roster.name(self.members.me());
        _ = self.announce(core, &me, Intent::Join, Via::Alive);
    }

    /// Announces our leave. Returns whether another live member can receive it.
    pub(crate) fn leave(&mut self, core: &mut Core) -> bool {
        // First: from here on `known_intent` accepts a leave about ourselves instead of refuting it.
        self.intents.begin_leave();
        let me = self.members.me();
        let others_live = self.members.others_live();
        let name = core.roster.name(me);
        // Ignored: with an exhausted clock, the other members report a failure.
        _ = self.announce(core, &name, Intent::Leave { prune: false }, Via::Gossip);
        if !others_live {
            self.intents.cancel(&mut self.members, me);
        }
        others_live
    }

    /// Announces the leave of another member (`RemoveFailedNode` in serf.go). A live member refutes it.
    pub(crate) fn force_leave(&mut self, core: &mut Core, name: &str, prune: bool) -> Result<(), Exhausted> {
        self.announce(core, name, Intent::Leave { prune }, Via::Gossip)
    }

    /// Creates and handles an intent of our own. Its time is the next tick, which costs no budget of the clock.
    fn announce(&mut self, core: &mut Core, node: &str, intent: Intent, via: Via) -> Result<(), Exhausted> {
        let ltime = self.clocks.member.tick()?;
        self.intent(core, node, ltime, intent, via);
        Ok(())
    }

    /// Whether every copy of our leave intent has been sent, or none was created because the clock is exhausted.
    pub(crate) fn leave_is_sent(&self) -> bool {
        let me = self.members.row(self.members.me());
        me.status() != Some(Status::Alive) && me.sends().is_none()
    }

    /// Number of copies of our leave intent that were sent.
    pub(crate) fn leaves_sent(&self) -> u32 {
        self.intents.own_leaves_sent()
    }

    /// Handles a prune: erases a member at once if it is gone. A live member is erased only if it is gone after the time
    /// in which it could refute. HashiCorp's erases a live member as well, and never lists it again.
    fn prune(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, via: Via) {
        match self.members.row(idx).status() {
            Some(Status::Left | Status::Failed) => {
                let name = core.roster.name(idx);
                self.erase_on_request(core, idx);
                // The intent is kept as an early intent, so that it is still gossiped and recognised as a repeat. `idx`
                // may be reused by now, so this goes by name.
                self.intent(core, &name, ltime, Intent::Leave { prune: true }, via);
            }
            Some(Status::Alive | Status::Leaving) => {
                let wait = core.cfg.serf().broadcast_timeout + core.cfg.serf().leave_propagate_delay;
                core.arm(wait, SerfTimer::Prune(idx));
            }
            None => {}
        }
    }

    /// Erases a pruned member that is gone. If it refuted in the meantime, its newest intent is not a prune any more.
    pub(super) fn prune_due(&mut self, core: &mut Core, idx: MemberIdx) {
        let row = self.members.row(idx);
        let gone = matches!(row.status(), Some(Status::Left | Status::Failed));
        if gone && row.intent() == Some(Intent::Leave { prune: true }) {
            self.erase_on_request(core, idx);
        }
    }

    fn erase_on_request(&mut self, core: &mut Core, idx: MemberIdx) {
        tracing::debug!(member = &*core.roster.name(idx), "erased on request");
        self.erase(core, idx);
    }
}

/// Whether to apply a leave that a push/pull implies. Its time is one above the tombstone's, which has three pitfalls.
/// Two nodes with a tombstone would raise its time by one at every exchange, forever. A tombstone older than the
/// member's last join would mark a live member as leaving. The tombstone of a leave that we are gossiping would go out
/// again, as a newer leave, to all members.
const fn is_credible(status: Status, ltime: u64, known: u64) -> bool {
    match status {
        Status::Left => false,
        Status::Alive | Status::Leaving => ltime > known + 1,
        Status::Failed => true,
    }
}
