//! The member table: statuses and status transitions.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::reap::arm_reaper;
use super::reconnect::arm_reconnect;
use super::row::{Intent, Row};
use crate::broadcast::SendCounts;
use crate::core::Core;
use crate::event::{Event, Member, MemberEvent, MemberEventKind, Status};
use crate::fingerprint::Fingerprint;
use crate::roster::{Holder, MemberIdx, RecordHashes, mix};
use crate::stats::MemberCounts;
use crate::time::Instant;

/// The member table. Only this file writes rows, and every member event is emitted here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Members {
    /// This node.
    me: MemberIdx,
    /// Indexed by roster index. A row without a status is not a member, but may hold an early intent.
    rows: Vec<Row>,
    /// Number of rows with a status.
    known: u32,
    /// Members in status failed, without duplicates.
    failed: Vec<Gone>,
    /// Members in status left, without duplicates.
    left: Vec<Gone>,
    /// Start times of leaves, by member. An entry of a member that is no longer leaving remains until the reaper runs.
    leaving: BTreeMap<MemberIdx, Instant>,
    /// Sum of the hashes of the live members.
    digest: u64,
}

/// A failed or left member, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gone {
    idx: MemberIdx,
    since: Instant,
}

impl Members {
    pub(super) const fn new(me: MemberIdx) -> Self {
        Self {
            me,
            rows: Vec::new(),
            known: 0,
            failed: Vec::new(),
            left: Vec::new(),
            leaving: BTreeMap::new(),
            digest: 0,
        }
    }

    /// Makes a name a member, in the status that its early intent implies. Returns false if it was a member already.
    /// Emits no event.
    pub(super) fn admit(&mut self, core: &mut Core, idx: MemberIdx) -> bool {
        // Idempotent: one hold per layer, released in `erase`.
        core.roster.hold(idx, Holder::Serf);
        let row = self.row_mut(core, idx);
        if row.status().is_some() {
            return false;
        }
        // Only a plain early leave applies. A member that was pruned and has rejoined is not leaving.
        let leaving = row.intent() == Some(Intent::Leave { prune: false });
        self.change(core, idx, |row| row.set_status(if leaving { Status::Leaving } else { Status::Alive }));
        self.known += 1;
        if leaving {
            self.watch_leaving(core, idx);
        }
        true
    }

    /// Handles a member that membership declared alive (`handleNodeJoin` in serf.go).
    pub(super) fn joined(&mut self, core: &mut Core, idx: MemberIdx) {
        if !self.admit(core, idx) {
            // Counted before `forget_gone` removes the time of the failure.
            let flap = |gone: &Gone| gone.idx == idx && core.now - gone.since < core.cfg.serf().flap_timeout;
            core.stats.member_flaps += u64::from(self.failed.iter().any(flap));
            self.change(core, idx, |row| row.set_status(Status::Alive));
            self.forget_gone(idx);
        }
        self.emit(core, MemberEventKind::Join, idx);
    }

    /// Handles a member that membership declared gone (`handleNodeLeave` in serf.go). The member left if its intent
    /// says so, or if its own leave broadcast does (`by_own_message`). HashiCorp's checks the intent only, and shows a member
    /// as failed if its leave broadcast overtakes the intent.
    pub(super) fn handle_gone(&mut self, core: &mut Core, idx: MemberIdx, by_own_message: bool) {
        let gone = Gone { idx, since: core.now };
        match self.row(idx).status() {
            Some(Status::Alive) if !by_own_message => {
                self.change(core, idx, |row| row.set_status(Status::Failed));
                self.failed.push(gone);
                arm_reconnect(core);
                self.emit(core, MemberEventKind::Failed, idx);
            }
            Some(Status::Alive | Status::Leaving) => {
                self.change(core, idx, |row| row.set_status(Status::Left));
                self.left.push(gone);
                arm_reconnect(core);
                self.emit(core, MemberEventKind::Leave, idx);
            }
            // Already gone: a second entry in `failed` or `left` would be reaped twice.
            Some(Status::Left | Status::Failed) | None => return,
        }
        arm_reaper(core);
    }

    /// Handles changed metadata or a changed address of a member.
    pub(super) fn updated(&self, core: &mut Core, idx: MemberIdx) {
        self.emit(core, MemberEventKind::Update, idx);
    }

    /// Applies an intent that is newer than all others about the member: records its time and changes the status
    /// (`handleNodeJoinIntent` and `handleNodeLeaveIntent` in serf.go). The caller has compared the times.
    pub(super) fn apply_intent(&mut self, core: &mut Core, idx: MemberIdx, ltime: u64, intent: Intent) {
        let Some(status) = self.row(idx).status() else { return };
        self.change(core, idx, |row| row.set_ltime(ltime));
        match (intent, status) {
            (Intent::Join, Status::Leaving) => self.change(core, idx, |row| row.set_status(Status::Alive)),
            (Intent::Leave { .. }, Status::Alive) => {
                self.change(core, idx, |row| row.set_status(Status::Leaving));
                self.watch_leaving(core, idx);
            }
            (Intent::Leave { .. }, Status::Failed) => self.mark_failed_left(core, idx),
            // Only membership can declare a member alive again; an intent alone is not evidence that it runs.
            (Intent::Join, Status::Alive | Status::Left | Status::Failed) => {}
            (Intent::Leave { .. }, Status::Leaving | Status::Left) => {}
        }
    }

    /// Moves a failed member to left, with the time of its failure: the tombstone timeout counts from there.
    fn mark_failed_left(&mut self, core: &mut Core, idx: MemberIdx) {
        self.change(core, idx, |row| row.set_status(Status::Left));
        if let Some(at) = self.failed.iter().position(|gone| gone.idx == idx) {
            let gone = self.failed.swap_remove(at);
            self.left.push(gone);
        }
        self.emit(core, MemberEventKind::Leave, idx);
    }

    /// Starts to watch a leaving member. Our own leave is not watched; it ends with the process.
    fn watch_leaving(&mut self, core: &mut Core, idx: MemberIdx) {
        if idx != self.me {
            self.leaving.insert(idx, core.now);
            arm_reaper(core);
        }
    }

    /// Reverts members to alive whose leave never happened, and returns them. A leave intent can be forged or sent by
    /// another node, and the refutation can be lost. If membership still finds the member alive after the duration of a
    /// complete leave plus one push/pull, it is not leaving. HashiCorp's shows it as leaving forever.
    pub(super) fn revert_leaving(&mut self, core: &Core) -> Vec<MemberIdx> {
        let leave = core.cfg.serf().broadcast_timeout.saturating_add(core.cfg.serf().leave_propagate_delay);
        let exchange = core.cfg.push_pull_interval_of(self.known);
        // With push/pull disabled there is no exchange to wait for.
        let patience = if exchange == Duration::MAX { leave } else { leave.saturating_add(exchange) };
        let (rows, digest, mut staying) = (&mut self.rows, &mut self.digest, Vec::new());
        self.leaving.retain(|&idx, since| {
            let row = &mut rows[idx.at()];
            let leaving = row.status() == Some(Status::Leaving);
            // Entries of members that are no longer leaving are dropped here too.
            let waits = leaving && core.now - *since <= patience;
            if leaving && !waits {
                tracing::info!(
                    member = core.roster.name_ref(idx),
                    "its announced leave did not happen: it is alive again"
                );
                *digest = digest.wrapping_sub(live_hash(core.roster.hashes(idx), *row, 0));
                row.set_status(Status::Alive);
                *digest = digest.wrapping_add(live_hash(core.roster.hashes(idx), *row, 0));
                staying.push(idx);
            }
            waits
        });
        staying
    }

    /// Returns the members whose reap timeout has expired, failed ones first.
    pub(super) fn expired(&self, core: &Core) -> Vec<MemberIdx> {
        let expired = |gone: &Gone, timeout: Duration| {
            // The policy may override the timeout per member, as `ReconnectTimeoutOverride` in serf's config.go.
            let member = core.policy.as_ref().and_then(|policy| Some((policy, self.member(core, gone.idx)?)));
            let timeout = member.map_or(timeout, |(policy, member)| policy.reconnect_timeout(&member, timeout));
            core.now - gone.since > timeout
        };
        let failed = self.failed.iter().filter(|gone| expired(gone, core.cfg.serf().reconnect_timeout));
        let left = self.left.iter().filter(|gone| expired(gone, core.cfg.serf().tombstone_timeout));
        failed.chain(left).map(|gone| gone.idx).collect()
    }

    /// Removes a member and emits its reap event. The roster may reuse its index from here on.
    pub(super) fn erase(&mut self, core: &mut Core, idx: MemberIdx) {
        // First: the event reads the row.
        self.emit(core, MemberEventKind::Reap, idx);
        self.change(core, idx, |row| *row = Row::default());
        self.known -= 1;
        self.forget_gone(idx);
        self.leaving.remove(&idx);
        core.roster.release(idx, Holder::Serf);
    }

    fn forget_gone(&mut self, idx: MemberIdx) {
        self.failed.retain(|gone| gone.idx != idx);
        self.left.retain(|gone| gone.idx != idx);
    }

    /// Stores an intent in the row of a name that is not a member yet.
    pub(super) fn note_early(&mut self, core: &Core, idx: MemberIdx, ltime: u64, intent: Intent) {
        let row = self.row_mut(core, idx);
        debug_assert!(row.status().is_none(), "a member's intent is not early");
        row.set_ltime(ltime);
        row.set_intent(Some(intent));
    }

    /// Removes the early intent of a name that did not become a member.
    pub(super) fn forget_early(&mut self, core: &mut Core, idx: MemberIdx) {
        debug_assert!(self.row(idx).status().is_none(), "a member's intent is not early");
        self.rows[idx.at()] = Row::default();
        core.roster.release(idx, Holder::Serf);
    }

    /// Sets the member's current intent, which gossip sends.
    pub(super) fn set_intent(&mut self, idx: MemberIdx, intent: Intent) {
        self.rows[idx.at()].set_intent(Some(intent));
    }

    /// This node.
    pub(super) const fn me(&self) -> MemberIdx {
        self.me
    }

    /// The row of a member; an empty row if there is none.
    pub(super) fn row(&self, idx: MemberIdx) -> Row {
        self.rows.get(idx.at()).copied().unwrap_or_default()
    }

    /// Whether the index is a member, in any status.
    pub(super) fn has(&self, idx: MemberIdx) -> bool {
        self.row(idx).status().is_some()
    }

    /// One member as the application sees it.
    pub(super) fn member(&self, core: &Core, idx: MemberIdx) -> Option<Member> {
        let row = self.row(idx);
        let peer = core.roster.peer(idx)?.clone();
        Some(Member { peer, status: row.status()?, status_ltime: row.ltime() })
    }

    /// All rows in index order, including those without a status.
    pub(super) fn rows(&self) -> impl Iterator<Item = (MemberIdx, Row)> + Clone + '_ {
        (0..).map(MemberIdx).zip(self.rows.iter().copied())
    }

    /// Number of rows, including those without a status.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The failed members.
    pub(super) fn failed(&self) -> impl ExactSizeIterator<Item = MemberIdx> {
        self.failed.iter().map(|gone| gone.idx)
    }

    /// The members that left.
    pub(super) fn left(&self) -> impl ExactSizeIterator<Item = MemberIdx> {
        self.left.iter().map(|gone| gone.idx)
    }

    /// The members that left at most `span` ago.
    pub(super) fn left_within(&self, core: &Core, span: Duration) -> Vec<MemberIdx> {
        let lately = self.left.iter().filter(|gone| core.now - gone.since <= span);
        lately.map(|gone| gone.idx).collect()
    }

    /// Since when a member is failed or left.
    #[cfg(test)]
    pub(super) fn gone_since(&self, idx: MemberIdx) -> Option<Instant> {
        self.failed.iter().chain(&self.left).find(|gone| gone.idx == idx).map(|gone| gone.since)
    }

    /// Number of watched leaves.
    #[cfg(test)]
    pub(super) fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// Number of members in any status.
    pub(super) const fn known(&self) -> u32 {
        self.known
    }

    /// The time from which a broadcast waits, if there is a member to send it to.
    pub(super) fn timed_at(&self, core: &Core) -> Option<Instant> {
        (self.live() > 1).then_some(core.now)
    }

    /// Number of members that are alive or leaving.
    pub(super) fn live(&self) -> u32 {
        let gone = self.failed.len() + self.left.len();
        self.known.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX))
    }

    /// Member counts by status. Suspicions are counted by membership: 0 here.
    pub(super) fn counts(&self) -> MemberCounts {
        let (known, live) = (self.known as usize, self.live() as usize);
        MemberCounts { known, live, failed: self.failed.len(), left: self.left.len(), suspected: 0 }
    }

    /// Whether another member is alive or leaving. HashiCorp's counts alive members only: a member that leaves at the
    /// same time then receives our leave broadcast without the intent, and reports a failure.
    pub(super) fn others_live(&self) -> bool {
        self.rows().any(|(idx, row)| idx != self.me && row.is_live())
    }

    /// Whether there is a member that the reaper has to check.
    pub(super) fn needs_reaper(&self) -> bool {
        !(self.failed.is_empty() && self.left.is_empty() && self.leaving.is_empty())
    }

    /// Changes a row that exists, and with it the digest.
    fn change(&mut self, core: &Core, idx: MemberIdx, change: impl FnOnce(&mut Row)) {
        let row = &mut self.rows[idx.at()];
        let before = *row;
        change(row);
        if before.is_live() || row.is_live() {
            let hashes = core.roster.hashes(idx);
            let (before, after) = (live_hash(hashes, before, 0), live_hash(hashes, *row, 0));
            self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        }
    }

    /// Sum of the hashes of the live members.
    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    /// Stores the Lamport time of a join that came with the announcement of a name that is not a member yet. The caller
    /// has seen that membership adopted the announcement, so that [`admit`](Self::admit) follows.
    pub(super) fn note_join(&mut self, core: &Core, idx: MemberIdx, ltime: u64) {
        let row = self.row_mut(core, idx);
        debug_assert!(row.status().is_none(), "a member's time is changed by `follow`");
        if row.intent().is_none() || ltime > row.ltime() {
            row.set_ltime(ltime);
        }
    }

    /// Returns the row of a name, creating it if necessary. Grows the table to the exact size of the roster at once: a
    /// simulation holds members times nodes of these.
    fn row_mut(&mut self, core: &Core, idx: MemberIdx) -> &mut Row {
        if self.rows.len() <= idx.at() {
            let len = core.roster.len();
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

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { me: _, rows, known: _, failed, left, leaving, digest: _ } = self;
        to.put((rows, failed.len(), left.len(), leaving.len()));
        for Gone { idx, since } in failed.iter().chain(left) {
            to.put(idx);
            to.age(*since);
        }
        for (idx, since) in leaving {
            to.put(idx);
            to.age(*since);
        }
    }

    /// The rows of the live members.
    pub(super) fn live_rows(&self) -> impl Iterator<Item = (MemberIdx, Row)> + '_ {
        self.rows().filter(|(_, row)| row.is_live())
    }
}

/// The hash of a live member, salted: of its name, the Lamport time of its newest intent, and whether it is leaving. 0
/// for any other row.
pub(super) fn live_hash(hashes: Option<RecordHashes>, row: Row, salt: u64) -> u64 {
    match hashes {
        Some(hashes) if row.is_live() => {
            let leaving = row.status() == Some(Status::Leaving);
            mix(mix(hashes.name ^ salt).wrapping_add(row.ltime() << 1 | u64::from(leaving)))
        }
        _ => 0,
    }
}

impl SendCounts<MemberIdx> for Members {
    #[inline]
    fn sends(&self, idx: MemberIdx) -> Option<usize> {
        self.row(idx).sends().and_then(|sends| usize::try_from(sends).ok())
    }

    fn set_sends(&mut self, idx: MemberIdx, sends: Option<usize>) {
        self.rows[idx.at()].set_sends(sends.map(|sends| sends as u64));
    }

    #[inline]
    fn prefetch(&self, idx: MemberIdx) -> u64 {
        self.row(idx).ltime()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::sync::Arc;

    use super::*;
    use crate::roster::Directory;
    use crate::{Config, Options, Seed};

    #[test]
    fn the_table_takes_the_size_of_the_roster_and_then_grows_by_a_quarter() {
        let cfg = Arc::new(Config::new(Options::lan()).unwrap());
        let mut core = Core::new(cfg, &Seed::from_u64(7), Directory::default(), Instant::ZERO);
        let mut members = Members::new(MemberIdx(0));
        let mut admit = |members: &mut Members, known: usize| {
            (0..known).for_each(|n| {
                _ = core.roster.intern(&format!("node-{n}")).map(|idx| core.roster.hold(idx, Holder::Swim))
            });
            let newest = core.roster.find(&format!("node-{}", known - 1)).unwrap();
            members.admit(&mut core, newest);
            (members.rows.len(), members.rows.capacity())
        };
        assert_eq!(admit(&mut members, 100), (100, 100));
        assert_eq!(admit(&mut members, 101), (101, 125));
        assert_eq!(admit(&mut members, 124), (124, 125));
        assert_eq!(admit(&mut members, 125), (125, 125));
        assert_eq!(admit(&mut members, 200), (200, 200));
    }
}
