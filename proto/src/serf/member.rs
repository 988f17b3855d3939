//! The status of each member, and how it changes.

use core::mem;
use core::time::Duration;

use super::Serf;
use super::intent::early_bytes;
use crate::core::Core;
use crate::event::{MemberEventKind, Status};
use crate::limits::LAMPORT_TIME_MAX;
use crate::roster::{Holder, MemberIdx};
use crate::time::Instant;

/// What is kept of a member, in one word: in a simulation there are members times nodes of these.
///
/// From the lowest bit: the time of its newest intent (52 bits), its status (3), the intent that others are to be told or,
/// while the status is none, that waits for the member (2), how often they have been told (6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(u64);

/// What an intent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Join,
    Leave { prune: bool },
}

const STATUS_SHIFT: u32 = 52;
const INTENT_SHIFT: u32 = 55;
const SENDS_SHIFT: u32 = 57;
const SENDS_BITS: u64 = 0x3f;

impl Row {
    /// The time of the newest intent known; 0 when none.
    pub(super) const fn ltime(self) -> u64 {
        self.0 & LAMPORT_TIME_MAX
    }

    pub(super) fn set_ltime(&mut self, ltime: u64) {
        debug_assert!(ltime <= LAMPORT_TIME_MAX, "the clock refuses greater times");
        self.0 = (self.0 & !LAMPORT_TIME_MAX) | ltime;
    }

    /// The status; `None` when it is not a member.
    pub(super) const fn status(self) -> Option<Status> {
        match (self.0 >> STATUS_SHIFT) & 7 {
            1 => Some(Status::Alive),
            2 => Some(Status::Leaving),
            3 => Some(Status::Left),
            4 => Some(Status::Failed),
            _ => None,
        }
    }

    pub(super) fn set_status(&mut self, status: Status) {
        self.0 = (self.0 & !(7 << STATUS_SHIFT)) | (status as u64) << STATUS_SHIFT;
    }

    /// The intent that others are to be told, or that waits for the member.
    pub(super) const fn intent(self) -> Option<Intent> {
        match (self.0 >> INTENT_SHIFT) & 3 {
            1 => Some(Intent::Join),
            2 => Some(Intent::Leave { prune: false }),
            3 => Some(Intent::Leave { prune: true }),
            _ => None,
        }
    }

    pub(super) fn set_intent(&mut self, intent: Option<Intent>) {
        let bits = match intent {
            None => 0,
            Some(Intent::Join) => 1,
            Some(Intent::Leave { prune: false }) => 2,
            Some(Intent::Leave { prune: true }) => 3,
        };
        self.0 = (self.0 & !(3 << INTENT_SHIFT)) | bits << INTENT_SHIFT;
    }

    /// How often others have been told of the intent; `None` when they need not be told.
    pub(super) const fn sends(self) -> Option<u64> {
        match (self.0 >> SENDS_SHIFT) & SENDS_BITS {
            0 => None,
            more => Some(more - 1),
        }
    }

    pub(super) fn set_sends(&mut self, sends: Option<u64>) {
        let bits = sends.map_or(0, |sends| (sends + 1).min(SENDS_BITS));
        self.0 = (self.0 & !(SENDS_BITS << SENDS_SHIFT)) | bits << SENDS_SHIFT;
    }
}

/// A member that failed or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) idx: MemberIdx,
    pub(super) since: Instant,
}

impl Serf {
    pub(super) fn row(&self, idx: MemberIdx) -> Row {
        self.rows.get(idx.at()).copied().unwrap_or_default()
    }

    pub(super) fn row_mut(&mut self, core: &Core, idx: MemberIdx) -> &mut Row {
        if self.rows.len() <= idx.at() {
            let len = core.roster.len().max(idx.at() + 1);
            if self.rows.capacity() < len {
                self.rows.reserve_exact(len.max(self.rows.len() + self.rows.len() / 4) - self.rows.len());
            }
            self.rows.resize(len, Row::default());
        }
        &mut self.rows[idx.at()]
    }

    /// Makes a name a member, if it is not, with the status that an early intent gave it. Returns whether it was not.
    pub(super) fn admit(&mut self, core: &mut Core, idx: MemberIdx) -> bool {
        core.roster.hold(idx, Holder::Serf);
        let row = self.row_mut(core, idx);
        if row.status().is_some() {
            return false;
        }
        // Whoever was pruned and is back is not on its way out.
        let leaving = row.intent() == Some(Intent::Leave { prune: false });
        row.set_status(if leaving { Status::Leaving } else { Status::Alive });
        self.members += 1;
        if leaving {
            self.departs(core, idx);
        }
        true
    }

    /// Membership says that the member is alive (`handleNodeJoin` in serf).
    pub(super) fn joined(&mut self, core: &mut Core, idx: MemberIdx) {
        if !self.admit(core, idx) {
            let flap = |gone: &Gone| gone.idx == idx && core.now - gone.since < core.cfg.flap_timeout;
            core.stats.member_flaps += u64::from(self.failed.iter().any(flap));
            self.row_mut(core, idx).set_status(Status::Alive);
            self.failed.retain(|gone| gone.idx != idx);
            self.left.retain(|gone| gone.idx != idx);
        }
        self.tell(core, MemberEventKind::Join, idx);
    }

    /// A member is about to leave.
    pub(super) fn departs(&mut self, core: &mut Core, idx: MemberIdx) {
        if idx != self.me {
            self.departing.insert(idx, core.now);
            Self::arm_reaper(core);
        }
    }

    /// Members that were to leave, and that membership has found alive ever since, for longer than any leave takes, do not
    /// leave: somebody else said so, and their word against it got lost. serf shows them as leaving for ever.
    pub(super) fn stay(&mut self, core: &Core) {
        let patience = core.cfg.broadcast_timeout.saturating_add(core.cfg.leave_propagate_delay);
        let exchange = core.cfg.push_pull_interval_of(self.members);
        // Without exchanges there is nothing more to wait for.
        let patience = if exchange == Duration::MAX { patience } else { patience.saturating_add(exchange) };
        let mut departing = mem::take(&mut self.departing);
        departing.retain(|&idx, since| {
            if self.row(idx).status() != Some(Status::Leaving) {
                return false;
            }
            let waits = core.now - *since <= patience;
            if !waits {
                tracing::info!(member = core.roster.name_ref(idx), "was to leave and is still there: it stays");
                self.cancel_intent(idx);
                self.row_mut(core, idx).set_status(Status::Alive);
            }
            waits
        });
        self.departing = departing;
    }

    /// Membership says that the member is gone (`handleNodeLeave` in serf). It left if its intent tells, or if it said so itself:
    /// serf asks for the intent only, and shows a member as failed whose farewell overtakes it.
    pub(super) fn gone(&mut self, core: &mut Core, idx: MemberIdx, said_so: bool) {
        self.stop_waiting_for(core, idx);
        let gone = Gone { idx, since: core.now };
        match self.row(idx).status() {
            Some(Status::Alive) if !said_so => {
                self.row_mut(core, idx).set_status(Status::Failed);
                self.failed.push(gone);
                Self::arm_reconnect(core);
                self.tell(core, MemberEventKind::Failed, idx);
            }
            Some(Status::Alive | Status::Leaving) => {
                self.row_mut(core, idx).set_status(Status::Left);
                self.left.push(gone);
                Self::arm_reconnect(core);
                self.tell(core, MemberEventKind::Leave, idx);
            }
            Some(Status::Left | Status::Failed) | None => return,
        }
        Self::arm_reaper(core);
    }

    /// A failed member turns out to have left. Its age is counted from when it failed.
    pub(super) fn failed_has_left(&mut self, core: &mut Core, idx: MemberIdx) {
        self.row_mut(core, idx).set_status(Status::Left);
        if let Some(at) = self.failed.iter().position(|gone| gone.idx == idx) {
            let gone = self.failed.swap_remove(at);
            self.left.push(gone);
        }
        self.tell(core, MemberEventKind::Leave, idx);
    }

    /// Membership has forgotten a member, dead or alive, since it needs the room.
    pub(super) fn evicted(&mut self, core: &mut Core, idx: MemberIdx) {
        self.stop_waiting_for(core, idx);
        self.departing.remove(&idx);
        self.erase(core, idx);
    }

    /// Forgets a member, and tells the application.
    pub(super) fn erase(&mut self, core: &mut Core, idx: MemberIdx) {
        if self.row(idx).status().is_none() {
            return;
        }
        self.tell(core, MemberEventKind::Reap, idx);
        self.cancel_intent(idx);
        self.rows[idx.at()] = Row::default();
        self.members -= 1;
        self.failed.retain(|gone| gone.idx != idx);
        self.left.retain(|gone| gone.idx != idx);
        let waiting = self.early.len();
        self.early.retain(|&(_, early)| early != idx);
        self.early_bytes -= (waiting - self.early.len()) * early_bytes(core.roster.name_ref(idx));
        self.conflict.forget(idx);
        if let Some(coordinates) = &mut self.coordinates {
            coordinates.forget(idx);
        }
        core.roster.release(idx, Holder::Serf);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_of_a_row_do_not_touch_each_other(ltime in 0..=LAMPORT_TIME_MAX, status in 1_u8..5, intent in 0_u8..4, sends in prop::option::of(0_u64..60)) {
            let status = [Status::Alive, Status::Leaving, Status::Left, Status::Failed][usize::from(status) - 1];
            let intent = [None, Some(Intent::Join), Some(Intent::Leave { prune: false }), Some(Intent::Leave { prune: true })][usize::from(intent)];
            let mut row = Row::default();
            row.set_sends(sends);
            row.set_intent(intent);
            row.set_status(status);
            row.set_ltime(ltime);
            prop_assert_eq!((row.ltime(), row.status(), row.intent(), row.sends()), (ltime, Some(status), intent, sends));
        }
    }
}
