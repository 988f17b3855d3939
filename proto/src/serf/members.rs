//! The members, their statuses, and how a status changes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::reap::arm_reaper;
use super::reconnect::arm_reconnect;
use super::row::{Intent, Row};
use crate::core::Core;
use crate::event::{Event, Member, MemberEvent, MemberEventKind, Status};
use crate::roster::{Holder, MemberIdx};
use crate::stats::MemberCounts;
use crate::time::Instant;

/// The table of members. Only this file writes a row, and every change that the application sees is emitted here.
#[derive(Clone, Debug)]
pub(super) struct Members {
    /// Ourselves.
    me: MemberIdx,
    /// By the roster's index. A row without a status is no member; it may hold an early intent.
    rows: Vec<Row>,
    /// Rows with a status.
    known: u32,
    /// The members in status failed, each once.
    failed: Vec<Gone>,
    /// The members in status left, each once.
    left: Vec<Gone>,
    /// Since when members are leaving. One that is not leaving any more stays in here until the reaper looks.
    departing: BTreeMap<MemberIdx, Instant>,
}

/// A member that failed or left, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gone {
    idx: MemberIdx,
    since: Instant,
}

impl Members {
    pub(super) const fn new(me: MemberIdx) -> Self {
        Self { me, rows: Vec::new(), known: 0, failed: Vec::new(), left: Vec::new(), departing: BTreeMap::new() }
    }

    /// Makes a name a member, if it is none, in the status that an early intent gives it. Returns whether it was none. Emits
    /// nothing.
    pub(super) fn admit(&mut self, core: &mut Core, idx: MemberIdx) -> bool {
        core.roster.hold(idx, Holder::Serf);
        let row = self.row_mut(core, idx);
        if row.status().is_some() {
            return false;
        }
        // A member that was pruned and is back does not leave.
        let leaving = row.intent() == Some(Intent::Leave { prune: false });
        row.set_status(if leaving { Status::Leaving } else { Status::Alive });
        self.known += 1;
        if leaving {
            self.departs(core, idx);
        }
        true
    }

    /// Membership says that the member is alive (`handleNodeJoin` in serf).
    pub(super) fn joined(&mut self, core: &mut Core, idx: MemberIdx) {
        if !self.admit(core, idx) {
            let flap = |gone: &Gone| gone.idx == idx && core.now - gone.since < core.cfg.serf().flap_timeout;
            core.stats.member_flaps += u64::from(self.failed.iter().any(flap));
            self.rows[idx.at()].set_status(Status::Alive);
            self.forget_gone(idx);
        }
        self.emit(core, MemberEventKind::Join, idx);
    }

    /// Membership says that the member is gone (`handleNodeLeave` in serf). It left if its intent says so, or if it said so itself:
    /// serf asks for the intent only, and shows a member as failed whose farewell overtakes it.
    pub(super) fn gone(&mut self, core: &mut Core, idx: MemberIdx, said_so: bool) {
        let gone = Gone { idx, since: core.now };
        match self.row(idx).status() {
            Some(Status::Alive) if !said_so => {
                self.rows[idx.at()].set_status(Status::Failed);
                self.failed.push(gone);
                arm_reconnect(core);
                self.emit(core, MemberEventKind::Failed, idx);
            }
            Some(Status::Alive | Status::Leaving) => {
                self.rows[idx.at()].set_status(Status::Left);
                self.left.push(gone);
                arm_reconnect(core);
                self.emit(core, MemberEventKind::Leave, idx);
            }
            Some(Status::Left | Status::Failed) | None => return,
        }
        arm_reaper(core);
    }

    /// Membership says that the member announces other metadata or another address.
    pub(super) fn updated(&self, core: &mut Core, idx: MemberIdx) {
        self.emit(core, MemberEventKind::Update, idx);
    }

    /// Notes the time of an intent that is newer than all others about the member, and changes the status as it demands
    /// (`handleNodeJoinIntent` and `handleNodeLeaveIntent` in serf).
    pub(super) fn follow(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, intent: Intent) {
        let Some(status) = self.row(idx).status() else { return };
        self.rows[idx.at()].set_ltime(ltime);
        match (intent, status) {
            (Intent::Join, Status::Leaving) => self.rows[idx.at()].set_status(Status::Alive),
            (Intent::Leave { .. }, Status::Alive) => {
                self.rows[idx.at()].set_status(Status::Leaving);
                self.departs(core, idx);
            }
            (Intent::Leave { .. }, Status::Failed) => self.failed_has_left(core, idx),
            // Only membership brings back a member that is gone.
            (Intent::Join, Status::Alive | Status::Left | Status::Failed) => {}
            (Intent::Leave { .. }, Status::Leaving | Status::Left) => {}
        }
    }

    /// A failed member turns out to have left. Its age is counted from when it failed.
    fn failed_has_left(&mut self, core: &mut Core, idx: MemberIdx) {
        self.rows[idx.at()].set_status(Status::Left);
        if let Some(at) = self.failed.iter().position(|gone| gone.idx == idx) {
            let gone = self.failed.swap_remove(at);
            self.left.push(gone);
        }
        self.emit(core, MemberEventKind::Leave, idx);
    }

    /// A member is leaving. Our own leave ends with us.
    fn departs(&mut self, core: &mut Core, idx: MemberIdx) {
        if idx != self.me {
            self.departing.insert(idx, core.now);
            arm_reaper(core);
        }
    }

    /// Makes members alive again that were to leave, and that membership has found alive ever since for longer than any leave
    /// takes: another node said so, and their refutation got lost. serf shows them as leaving for ever. Returns them.
    pub(super) fn stay(&mut self, core: &Core) -> Vec<MemberIdx> {
        let leave = core.cfg.serf().broadcast_timeout.saturating_add(core.cfg.serf().leave_propagate_delay);
        let exchange = core.cfg.push_pull_interval_of(self.known);
        // Without exchanges there is nothing more to wait for.
        let patience = if exchange == Duration::MAX { leave } else { leave.saturating_add(exchange) };
        let (rows, mut staying) = (&mut self.rows, Vec::new());
        self.departing.retain(|&idx, since| {
            let row = &mut rows[idx.at()];
            let leaving = row.status() == Some(Status::Leaving);
            let waits = leaving && core.now - *since <= patience;
            if leaving && !waits {
                tracing::info!(member = core.roster.name_ref(idx), "was to leave and is still there: it stays");
                row.set_status(Status::Alive);
                staying.push(idx);
            }
            waits
        });
        staying
    }

    /// The members that have been gone for so long that they must be forgotten, the failed first.
    pub(super) fn outlived(&self, core: &Core) -> Vec<MemberIdx> {
        let outlived = |gone: &Gone, timeout: Duration| {
            let member = core.policy.as_ref().and_then(|policy| Some((policy, self.member(core, gone.idx)?)));
            let timeout = member.map_or(timeout, |(policy, member)| policy.reconnect_timeout(&member, timeout));
            core.now - gone.since > timeout
        };
        let failed = self.failed.iter().filter(|gone| outlived(gone, core.cfg.serf().reconnect_timeout));
        let left = self.left.iter().filter(|gone| outlived(gone, core.cfg.serf().tombstone_timeout));
        failed.chain(left).map(|gone| gone.idx).collect()
    }

    /// Forgets a member. The roster may give its index to another name from here on.
    pub(super) fn erase(&mut self, core: &mut Core, idx: MemberIdx) {
        self.emit(core, MemberEventKind::Reap, idx);
        self.rows[idx.at()] = Row::default();
        self.known -= 1;
        self.forget_gone(idx);
        self.departing.remove(&idx);
        core.roster.release(idx, Holder::Serf);
    }

    fn forget_gone(&mut self, idx: MemberIdx) {
        self.failed.retain(|gone| gone.idx != idx);
        self.left.retain(|gone| gone.idx != idx);
    }

    /// Keeps an intent in the row of a name that is no member yet.
    pub(super) fn note_early(&mut self, core: &Core, idx: MemberIdx, ltime: u64, intent: Intent) {
        let row = self.row_mut(core, idx);
        debug_assert!(row.status().is_none(), "a member's intent is not early");
        row.set_ltime(ltime);
        row.set_intent(Some(intent));
    }

    /// Forgets the early intent of a name that has not become a member.
    pub(super) fn forget_early(&mut self, core: &mut Core, idx: MemberIdx) {
        debug_assert!(self.row(idx).status().is_none(), "a member's intent is not early");
        self.rows[idx.at()] = Row::default();
        core.roster.release(idx, Holder::Serf);
    }

    /// Notes the intent about a member that is gossiped.
    pub(super) fn set_intent(&mut self, idx: MemberIdx, intent: Intent) {
        self.rows[idx.at()].set_intent(Some(intent));
    }

    /// Notes how often the intent has been gossiped; `None` when it is not in the queue.
    pub(super) fn set_sends(&mut self, idx: MemberIdx, sends: Option<u64>) {
        self.rows[idx.at()].set_sends(sends);
    }

    /// Ourselves.
    pub(super) const fn me(&self) -> MemberIdx {
        self.me
    }

    /// What is known of a member; an empty row when nothing is.
    pub(super) fn row(&self, idx: MemberIdx) -> Row {
        self.rows.get(idx.at()).copied().unwrap_or_default()
    }

    /// Whether the index is a member's, in any status.
    pub(super) fn has(&self, idx: MemberIdx) -> bool {
        self.row(idx).status().is_some()
    }

    /// One member as the application sees it.
    pub(super) fn member(&self, core: &Core, idx: MemberIdx) -> Option<Member> {
        let row = self.row(idx);
        let peer = core.roster.peer(idx)?.clone();
        Some(Member { peer, status: row.status()?, status_ltime: row.ltime() })
    }

    /// All rows by index, those without a status too.
    pub(super) fn rows(&self) -> impl Iterator<Item = (MemberIdx, Row)> + Clone + '_ {
        (0..).map(MemberIdx).zip(self.rows.iter().copied())
    }

    /// How many rows there are, those without a status too.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The members that failed, as they are remembered.
    pub(super) fn failed(&self) -> impl ExactSizeIterator<Item = MemberIdx> {
        self.failed.iter().map(|gone| gone.idx)
    }

    /// The members that left, as they are remembered.
    pub(super) fn left(&self) -> impl ExactSizeIterator<Item = MemberIdx> {
        self.left.iter().map(|gone| gone.idx)
    }

    /// The members that left no longer ago than `span`.
    pub(super) fn left_within(&self, core: &Core, span: Duration) -> Vec<MemberIdx> {
        let lately = self.left.iter().filter(|gone| core.now - gone.since <= span);
        lately.map(|gone| gone.idx).collect()
    }

    /// Since when a member is failed or left.
    #[cfg(test)]
    pub(super) fn gone_since(&self, idx: MemberIdx) -> Option<Instant> {
        self.failed.iter().chain(&self.left).find(|gone| gone.idx == idx).map(|gone| gone.since)
    }

    /// How many members the reaper watches to see whether they leave.
    #[cfg(test)]
    pub(super) fn departing(&self) -> usize {
        self.departing.len()
    }

    /// How many there are in any status.
    pub(super) const fn known(&self) -> u32 {
        self.known
    }

    /// How many are alive or leaving.
    pub(super) fn live(&self) -> u32 {
        let gone = self.failed.len() + self.left.len();
        self.known.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX))
    }

    /// How many there are in each status. What is suspected only membership knows.
    pub(super) fn counts(&self) -> MemberCounts {
        let (known, live) = (self.known as usize, self.live() as usize);
        MemberCounts { known, live, failed: self.failed.len(), left: self.left.len(), suspected: 0 }
    }

    /// Whether another member is alive, even if it leaves. HashiCorp's: only if it stays; a member that leaves at the same time then
    /// hears our farewell without the intent, and its handlers see a failure.
    pub(super) fn others_live(&self) -> bool {
        self.rows().any(|(idx, row)| idx != self.me && row.is_live())
    }

    /// Whether the reaper has anything to wait for.
    pub(super) fn needs_reaper(&self) -> bool {
        !(self.failed.is_empty() && self.left.is_empty() && self.departing.is_empty())
    }

    /// The row of a name, made if there is none. The table grows to the roster's size at once, and exactly: a simulation holds
    /// members times nodes of these.
    fn row_mut(&mut self, core: &Core, idx: MemberIdx) -> &mut Row {
        if self.rows.len() <= idx.at() {
            let len = core.roster.len().max(idx.at() + 1);
            if self.rows.capacity() < len {
                self.rows.reserve_exact(len.max(self.rows.len() + self.rows.len() / 4) - self.rows.len());
            }
            self.rows.resize(len, Row::default());
        }
        &mut self.rows[idx.at()]
    }

    fn emit(&self, core: &mut Core, kind: MemberEventKind, idx: MemberIdx) {
        let Some(member) = self.member(core, idx) else { return };
        tracing::info!(member = member.name(), addr = %member.addr(), %kind, "member event");
        let stats = &mut core.stats;
        *match kind {
            MemberEventKind::Join => &mut stats.member_joins,
            MemberEventKind::Leave => &mut stats.member_leaves,
            MemberEventKind::Failed => &mut stats.member_failures,
            MemberEventKind::Update => &mut stats.member_updates,
            MemberEventKind::Reap => &mut stats.member_reaps,
        } += 1;
        core.events.push(Event::Member(MemberEvent { kind, members: member.into() }));
    }
}
