//! The reaper: removes members that have been gone for long, and early intents whose member never appeared.

use super::Serf;
use crate::core::Core;
use crate::roster::MemberIdx;
use crate::timer::SerfTimer;

impl Serf {
    /// Removes everything that has expired (`handleReap` in serf.go).
    pub(super) fn reap(&mut self, core: &mut Core) {
        for idx in self.members.expired(core) {
            self.erase(core, idx);
        }
        self.intents.expire(core, &mut self.members);
        for idx in self.members.revert_leaving(core) {
            self.intents.cancel(&mut self.members, idx);
        }
        if self.intents.early() > 0 || self.members.needs_reaper() {
            arm_reaper(core);
        }
    }

    /// Handles a member that membership evicted, dead or alive, to make room.
    pub(super) fn evicted(&mut self, core: &mut Core, idx: MemberIdx) {
        self.stop_waiting_for(core, idx);
        self.erase(core, idx);
    }

    /// Erases a member from every part of this layer. The row goes last: after it, the roster may reuse the index for
    /// another name.
    pub(super) fn erase(&mut self, core: &mut Core, idx: MemberIdx) {
        if !self.members.has(idx) {
            return;
        }
        self.forget_offers(core, idx);
        self.intents.forget(core, &mut self.members, idx);
        self.conflict.forget(idx);
        if let Some(coordinates) = &mut self.coordinates {
            coordinates.forget(idx);
        }
        self.members.erase(core, idx);
    }
}

/// Arms the reaper, unless it is armed. It does not run while there is nothing to remove.
pub(super) fn arm_reaper(core: &mut Core) {
    if !core.timers.is_set(SerfTimer::Reap) {
        core.arm(core.cfg.serf().reap_interval, SerfTimer::Reap);
    }
}
