//! The table of members. Only this file changes a row, so that rows and what is kept of members that are not alive agree.

mod accusations;
mod rows;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use self::accusations::AccusationLog;
pub(crate) use self::accusations::Accused;
pub(super) use self::rows::Row;
use self::rows::Rows;
use super::suspicion::Suspicion;
use crate::broadcast::SendCounts;
use crate::core::Core;
use crate::event::Evidence;
use crate::roster::{Holder, MemberIdx};
use crate::time::Instant;
use crate::types::Name;
use crate::wire::swim::{Accusation, State};

/// Every member that membership knows, ourselves included.
#[derive(Clone, Debug)]
pub(super) struct Members {
    me: MemberIdx,
    rows: Rows,
    /// Extra state of members that are not alive. A side table, because few are.
    not_alive: BTreeMap<MemberIdx, NotAlive>,
    log: AccusationLog,
}

/// What is known of a member that is not alive.
#[derive(Clone, Debug)]
struct NotAlive {
    /// When its state changed.
    since: Instant,
    /// The incarnation of its last alive message.
    alive_at: u32,
    /// The sender of the last accusation; its own name if it left.
    accuser: Name,
    /// When it was last sent the claim that it left.
    challenged_at: Instant,
    /// Present while it is suspect.
    suspicion: Option<Box<Suspicion>>,
}

impl Members {
    pub(super) fn new(me: MemberIdx) -> Self {
        Self { me, rows: Rows::default(), not_alive: BTreeMap::new(), log: AccusationLog::default() }
    }

    /// Makes a member alive at `incarnation`, whatever it was.
    pub(super) fn set_alive(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32) {
        core.roster.hold(idx, Holder::Swim);
        self.not_alive.remove(&idx);
        self.log.remove(idx);
        self.grow(core, idx);
        self.rows.change(idx, |row| (row.state, row.incarnation) = (Some(State::Alive), incarnation));
    }

    /// Raises a row's incarnation to what was said of it, though nothing else changes. Otherwise a delayed alive message could
    /// make a dead member alive.
    pub(super) fn raise(&mut self, idx: MemberIdx, incarnation: u32) {
        self.rows.change(idx, |row| row.incarnation = row.incarnation.max(incarnation));
    }

    /// Makes a member that is alive suspect. Returns when the suspicion runs out.
    pub(super) fn suspect(&mut self, core: &Core, idx: MemberIdx, by: &Accusation<'_>, evidence: Evidence) -> Instant {
        let accuser = name_of(core, by.from);
        let suspicion = Suspicion::new(&core.cfg, self.known(), core.now, accuser.clone());
        let deadline = suspicion.deadline();
        self.set_not_alive(core, idx, by, &accuser, State::Suspect, Some(Box::new(suspicion)));
        self.log.suspect(idx, self.row(idx).incarnation, accuser, evidence);
        deadline
    }

    /// Counts one more accuser of a suspect. Returns when the suspicion runs out now; `None` when the accuser does not count.
    pub(super) fn confirm(&mut self, core: &Core, idx: MemberIdx, by: &Accusation<'_>) -> Option<Instant> {
        self.raise(idx, by.incarnation);
        let accuser = name_of(core, by.from);
        let not_alive = self.not_alive.get_mut(&idx)?;
        let suspicion = not_alive.suspicion.as_mut()?;
        if !suspicion.confirm(accuser.clone()) {
            return None;
        }
        not_alive.accuser = accuser.clone();
        self.log.confirm(idx, accuser);
        Some(suspicion.deadline())
    }

    /// Makes a member dead, or left if it says so itself.
    pub(super) fn declare_dead(
        &mut self,
        core: &Core,
        idx: MemberIdx,
        by: &Accusation<'_>,
        evidence: Evidence,
    ) -> State {
        let state = if by.node == by.from { State::Left } else { State::Dead };
        let accuser = name_of(core, by.from);
        self.set_not_alive(core, idx, by, &accuser, state, None);
        self.log.declare_dead(idx, self.row(idx).incarnation, accuser, evidence);
        state
    }

    fn set_not_alive(
        &mut self,
        core: &Core,
        idx: MemberIdx,
        by: &Accusation<'_>,
        accuser: &Name,
        state: State,
        suspicion: Option<Box<Suspicion>>,
    ) {
        let (alive_at, accuser) = (self.alive_at(idx), accuser.clone());
        self.grow(core, idx);
        self.raise(idx, by.incarnation);
        self.rows.change(idx, |row| row.state = Some(state));
        let (since, challenged_at) = (core.now, core.now);
        self.not_alive.insert(idx, NotAlive { since, alive_at, accuser, challenged_at, suspicion });
    }

    /// Whether a member that left is challenged now: not while it may still be leaving, and once in a probe interval at the most.
    pub(super) fn challenge(&mut self, core: &Core, idx: MemberIdx) -> bool {
        let Some(not_alive) = self.not_alive.get_mut(&idx) else { return false };
        let lingers = core.cfg.leave_propagate_delay + core.cfg.probe_interval;
        let may =
            core.now - not_alive.since >= lingers && core.now - not_alive.challenged_at >= core.cfg.probe_interval;
        if may {
            not_alive.challenged_at = core.now;
        }
        may
    }

    /// Forgets a member, whatever it is.
    pub(super) fn forget(&mut self, idx: MemberIdx) {
        debug_assert!(self.row(idx).sends.is_none(), "a queued broadcast is written from its row");
        if idx.at() < self.rows.len() {
            self.rows.set(idx, Row::UNKNOWN);
        }
        self.not_alive.remove(&idx);
        self.log.remove(idx);
    }

    /// Forgets members that have been dead or left for longer than `gossip_to_the_dead_time` (`resetNodes` in memberlist's
    /// state.go), but for us, for those whose state is still queued, and for those that `keep` keeps. The log keeps them.
    pub(super) fn reap(&mut self, core: &mut Core, keep: impl Fn(MemberIdx) -> bool) {
        let age_max = core.cfg.gossip_to_the_dead_time;
        let Self { me, rows, not_alive, .. } = self;
        not_alive.retain(|&idx, NotAlive { since, .. }| {
            let row = rows.get(idx);
            let is_gone = matches!(row.state, Some(State::Dead | State::Left));
            if !is_gone || idx == *me || row.sends.is_some() || keep(idx) || core.now - *since <= age_max {
                return true;
            }
            rows.set(idx, Row::UNKNOWN);
            core.roster.release(idx, Holder::Swim);
            false
        });
    }

    /// Makes room for the rows of all names in the roster.
    fn grow(&mut self, core: &Core, idx: MemberIdx) {
        self.rows.grow(core.roster.len().max(idx.at() + 1));
    }

    /// Which member we are.
    pub(super) const fn me(&self) -> MemberIdx {
        self.me
    }

    /// The row of `idx`, whether or not it is a member.
    pub(super) fn row(&self, idx: MemberIdx) -> Row {
        self.rows.get(idx)
    }

    /// Every row, in the order of the indices.
    pub(super) fn rows(&self) -> impl Iterator<Item = (MemberIdx, Row)> + '_ {
        self.rows.iter()
    }

    /// How many rows there are, those of no member included.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether a member is alive, or only suspected.
    pub(super) fn is_live(&self, idx: MemberIdx) -> bool {
        matches!(self.row(idx).state, Some(State::Alive | State::Suspect))
    }

    /// Whether a member is alive at `incarnation` or a later one, as far as its mark alone can tell; when not, ask its row.
    #[inline]
    pub(super) fn is_surely_alive(&self, idx: MemberIdx, incarnation: u32) -> bool {
        self.rows.is_surely_alive(idx, incarnation)
    }

    /// memberlist's `n`: every member known, ourselves and the dead that are not yet forgotten included.
    pub(super) fn known(&self) -> u32 {
        self.rows.counts().iter().sum()
    }

    /// How many members are in this state.
    pub(super) const fn count(&self, state: State) -> u32 {
        self.rows.counts()[state as usize]
    }

    /// Members, besides ourselves, that are alive or suspect.
    pub(super) fn others_live(&self) -> u32 {
        let live = self.count(State::Alive) + self.count(State::Suspect);
        live - u32::from(matches!(self.row(self.me).state, Some(State::Alive)))
    }

    /// The other members that left.
    pub(super) fn left(&self) -> impl Iterator<Item = MemberIdx> {
        self.not_alive.keys().copied().filter(|&idx| idx != self.me && self.row(idx).state == Some(State::Left))
    }

    /// Whether every member is alive.
    pub(super) fn all_alive(&self) -> bool {
        self.not_alive.is_empty()
    }

    /// Since when a member that is not alive has been in its state.
    pub(super) fn since(&self, idx: MemberIdx) -> Instant {
        self.not_alive.get(&idx).map_or(Instant::ZERO, |not_alive| not_alive.since)
    }

    /// The incarnation of the last alive message of a member.
    pub(super) fn alive_at(&self, idx: MemberIdx) -> u32 {
        self.not_alive.get(&idx).map_or_else(|| self.row(idx).incarnation, |not_alive| not_alive.alive_at)
    }

    /// The sender of the last accusation of a member that is not alive.
    pub(super) fn accuser(&self, idx: MemberIdx) -> Option<&Name> {
        self.not_alive.get(&idx).map(|not_alive| &not_alive.accuser)
    }

    /// The suspicion of a suspect.
    pub(super) fn suspicion(&self, idx: MemberIdx) -> Option<&Suspicion> {
        self.not_alive.get(&idx)?.suspicion.as_deref()
    }

    /// Why a member is not alive; `None` when it is, or when the log has dropped it.
    pub(super) fn accused(&self, idx: MemberIdx) -> Option<&Accused> {
        self.log.get(idx).filter(|_| self.row(idx).state != Some(State::Alive))
    }

    /// Compares counts and side tables with all rows.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        let count = |state| u32::try_from(self.rows().filter(|(_, row)| row.state == Some(state)).count()).unwrap();
        assert_eq!(self.rows.counts(), [State::Alive, State::Suspect, State::Dead, State::Left].map(count));
        for (idx, row) in self.rows() {
            let is_suspect = row.state == Some(State::Suspect);
            let is_not_alive = row.state.is_some_and(|state| state != State::Alive);
            assert_eq!(self.not_alive.contains_key(&idx), is_not_alive, "{row:?}");
            assert_eq!(self.suspicion(idx).is_some(), is_suspect, "{row:?}");
            assert!(row.state.is_some() || row.sends.is_none(), "only members are queued: {row:?}");
        }
    }
}

impl SendCounts<MemberIdx> for Members {
    #[inline]
    fn sends(&self, idx: MemberIdx) -> Option<usize> {
        self.rows.sends(idx).map(usize::from)
    }

    fn set_sends(&mut self, idx: MemberIdx, sends: Option<usize>) {
        let sends = sends.map(|sends| u8::try_from(sends).expect("the transmit limit fits into a row"));
        self.rows.set_sends(idx, sends);
    }

    #[inline]
    fn prefetch(&self, idx: MemberIdx) -> u64 {
        self.rows.prefetch(idx).into()
    }
}

/// `name` as a shared string, without an allocation when it is a member's.
fn name_of(core: &Core, name: &str) -> Name {
    match core.roster.find(name) {
        Some(idx) => core.roster.name(idx),
        None => Arc::from(name),
    }
}
