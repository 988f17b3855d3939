//! Join and leave intents: which of them change a member's status, and those that we announce. Intents about one member are
//! ordered by their Lamport times.

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
    /// Takes an intent about `node`, a member or not.
    pub(super) fn intent(&mut self, core: &mut Core, node: &str, ltime: u64, intent: Intent, via: Via) {
        if self.clocks.member.witness(core.now, ltime).is_err() {
            return core.stats.drop(DropReason::Absurd);
        }
        let found = core.roster.find(node);
        if let Some(idx) = found.filter(|&idx| self.members.has(idx)) {
            return self.known_intent(core, idx, ltime, intent, via);
        }
        // A name is not interned for an intent that there is no room for.
        let idx = found.or_else(|| if self.intents.has_early_room(node) { core.roster.intern(node) } else { None });
        match idx {
            Some(idx) => self.intents.note_early(core, &mut self.members, idx, ltime, intent, via),
            None => core.stats.drop(DropReason::Limit),
        }
    }

    /// Takes an intent about a member. One that is not newer than all others about it means nothing.
    fn known_intent(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, intent: Intent, via: Via) {
        let row = self.members.row(idx);
        let Some(status) = row.status() else { return };
        if ltime <= row.ltime() {
            return;
        }
        if idx == self.members.me() {
            match (intent.is_leave(), self.intents.is_leaving()) {
                // An exchange that was in flight when we began to leave does not revoke it.
                (false, true) => return,
                (true, false) => {
                    tracing::debug!("refuting a leave intent about ourselves");
                    return self.announce_join(core);
                }
                (true, true) | (false, false) => {}
            }
        }
        if via == Via::PushPull && intent.is_leave() && !is_credible(status, ltime, row.ltime()) {
            return;
        }
        // Before the queue is touched: it reads the time from the row when it packs the intent.
        self.members.follow(core, idx, ltime, intent);
        match via {
            Via::Gossip => {
                self.members.set_intent(idx, intent);
                self.intents.spread(core, &mut self.members, idx);
            }
            // What is queued is older. Of the same kind it may go out with the newer time; another kind is void.
            Via::PushPull if row.intent().is_some_and(|queued| queued.is_leave() == intent.is_leave()) => {}
            Via::PushPull => {
                self.intents.cancel(&mut self.members, idx);
                self.members.set_intent(idx, intent);
            }
        }
        if intent == (Intent::Leave { prune: true }) {
            self.prune(core, idx, ltime, via);
        }
    }

    /// Announces that we joined, at a time after all that we have seen, tombstones of ourselves included.
    pub(crate) fn announce_join(&mut self, core: &mut Core) {
        let me = core.roster.name(self.members.me());
        // When the clock is at its end, every node would refuse the intent.
        _ = self.announce(core, &me, Intent::Join);
    }

    /// Announces that we leave. Returns whether another member is there to hear it.
    pub(crate) fn leave(&mut self, core: &mut Core) -> bool {
        self.intents.begin_leave();
        let me = self.members.me();
        let others_live = self.members.others_live();
        let name = core.roster.name(me);
        // When the clock is at its end, the others see a failure.
        _ = self.announce(core, &name, Intent::Leave { prune: false });
        if !others_live {
            self.intents.cancel(&mut self.members, me);
        }
        others_live
    }

    /// Announces that another member leaves (`RemoveFailedNode` in serf). A live one refutes.
    pub(crate) fn force_leave(&mut self, core: &mut Core, name: &str, prune: bool) -> Result<(), Exhausted> {
        self.announce(core, name, Intent::Leave { prune })
    }

    /// Makes an intent. Its time is the next one, which takes nothing of the clock's budget.
    fn announce(&mut self, core: &mut Core, node: &str, intent: Intent) -> Result<(), Exhausted> {
        let ltime = self.clocks.member.tick()?;
        self.intent(core, node, ltime, intent, Via::Gossip);
        Ok(())
    }

    /// Whether every copy of our leave intent has been sent. There is none when our clock is at its end.
    pub(crate) fn leave_is_told(&self) -> bool {
        let me = self.members.row(self.members.me());
        me.status() != Some(Status::Alive) && me.sends().is_none()
    }

    /// How many copies of our leave intent have been sent.
    pub(crate) fn leaves_sent(&self) -> u32 {
        self.intents.own_leaves_sent()
    }

    /// Has a member erased: at once when it is gone; a live one only if it has gone by the time in which it could have
    /// refuted. serf's agents erase it even then, and never see it again.
    fn prune(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, via: Via) {
        match self.members.row(idx).status() {
            Some(Status::Left | Status::Failed) => {
                let name = core.roster.name(idx);
                self.erase_on_request(core, idx);
                // The intent outlives the member for a while, so that others hear of it and we know it when it comes again.
                self.intent(core, &name, ltime, Intent::Leave { prune: true }, via);
            }
            Some(Status::Alive | Status::Leaving) => {
                let wait = core.cfg.serf().broadcast_timeout + core.cfg.serf().leave_propagate_delay;
                core.arm(wait, SerfTimer::Prune(idx));
            }
            None => {}
        }
    }

    /// Erases a member that is gone, unless it has refuted in between: then its newest intent is another.
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

/// Whether to believe a leave that a push/pull implies. Its time is one above the tombstone's, so that two nodes with a
/// tombstone would raise it by one at every exchange, for ever; a tombstone from before the member's last join would make a
/// live member leave; and one of the leave that we are just passing on would go out again as a newer one, to everybody.
const fn is_credible(status: Status, ltime: u64, known: u64) -> bool {
    match status {
        Status::Left => false,
        Status::Alive | Status::Leaving => ltime > known + 1,
        Status::Failed => true,
    }
}
