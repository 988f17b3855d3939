//! The table of members. Only this module changes rows, so that rows, counts and side tables stay consistent.

mod accusations;
mod rows;
mod zones;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use self::accusations::AccusationLog;
pub(crate) use self::accusations::Accused;
pub(super) use self::rows::Row;
use self::rows::Rows;
pub(super) use self::zones::Zones;
use super::suspicion::Suspicion;
use crate::broadcast::SendCounts;
use crate::core::Core;
use crate::event::Evidence;
use crate::fingerprint::Fingerprint;
use crate::roster::{Holder, MemberIdx, RecordHashes, Roster, mix};
use crate::time::Instant;
use crate::types::Name;
use crate::wire::swim::{Accusation, PeerRef, State};

/// All known members, including this node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Members {
    me: MemberIdx,
    rows: Rows,
    /// Extra state of members that are not alive. A side table, because few are.
    not_alive: BTreeMap<MemberIdx, NotAlive>,
    log: AccusationLog,
    live: LiveSums,
    zones: Zones,
}

/// Sums over the live members, kept up to date row by row.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct LiveSums {
    /// Sum of the members' hashes.
    digest: u64,
    /// Number of members without anti-entropy by digests.
    legacy: u32,
}

/// Extra state of a member that is not alive.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NotAlive {
    /// When its state last changed.
    since: Instant,
    /// Incarnation of its last alive message.
    alive_at: u32,
    /// Sender of the last accusation; the member itself if it left.
    accuser: Name,
    /// When the accusation of its leave was last sent to it.
    challenged_at: Instant,
    /// Present while the member is suspect.
    suspicion: Option<Box<Suspicion>>,
}

impl Members {
    pub(super) fn new(me: MemberIdx, zones: Zones) -> Self {
        Self {
            me,
            rows: Rows::default(),
            not_alive: BTreeMap::new(),
            log: AccusationLog::default(),
            live: LiveSums::default(),
            zones,
        }
    }

    /// Marks a member alive at `incarnation`, from any state.
    pub(super) fn set_alive(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32) {
        core.roster.hold(idx, Holder::Swim);
        self.not_alive.remove(&idx);
        self.log.remove(idx);
        // Rows exist for all indices up to this one before `change` indexes them.
        self.grow(core);
        self.change(&core.roster, idx, |row| (row.state, row.incarnation) = (Some(State::Alive), incarnation));
        if idx == self.me {
            self.note_own_zone(&core.roster);
        }
    }

    /// Changes a row, and with it the sums over the live members and the zones.
    fn change(&mut self, roster: &Roster, idx: MemberIdx, change: impl FnOnce(&mut Row)) {
        let before = self.rows.get(idx);
        self.rows.change(idx, change);
        let after = self.rows.get(idx);
        if live_incarnation(before) != live_incarnation(after) {
            self.live.remove(roster, idx, before);
            self.live.add(roster, idx, after);
        }
        if before.state != after.state {
            self.zones.remove(roster, idx, before.state);
            self.zones.add(roster, idx, after.state);
        }
    }

    fn note_own_zone(&mut self, roster: &Roster) {
        let Self { rows, zones, me, .. } = self;
        let alive = rows.iter().filter(|(_, row)| row.state == Some(State::Alive)).map(|(idx, _)| idx);
        zones.set_own(roster, *me, alive);
    }

    /// Replaces a member's record.
    pub(super) fn set_peer(&mut self, core: &mut Core, idx: MemberIdx, peer: PeerRef<'_>) {
        let row = self.rows.get(idx);
        self.live.remove(&core.roster, idx, row);
        self.zones.remove(&core.roster, idx, row.state);
        core.roster.set_peer(idx, peer);
        self.live.add(&core.roster, idx, row);
        self.zones.add(&core.roster, idx, row.state);
        if idx == self.me {
            self.note_own_zone(&core.roster);
        }
    }

    /// Raises a row's incarnation although nothing else changes. Without this, a delayed alive message could revive a
    /// dead member.
    pub(super) fn raise(&mut self, core: &Core, idx: MemberIdx, incarnation: u32) {
        self.change(&core.roster, idx, |row| row.incarnation = row.incarnation.max(incarnation));
    }

    /// Marks a live member suspect. Returns the deadline of the suspicion.
    pub(super) fn suspect(&mut self, core: &Core, idx: MemberIdx, by: &Accusation<'_>, evidence: Evidence) -> Instant {
        let accuser = name_of(core, by.from);
        let suspicion = Suspicion::new(core.cfg.swim(), self.known(), core.now, accuser.clone());
        let deadline = suspicion.deadline();
        self.set_not_alive(core, idx, by, &accuser, State::Suspect, Some(Box::new(suspicion)));
        self.log.suspect(idx, self.row(idx).incarnation, accuser, evidence);
        deadline
    }

    /// Counts another accuser of a suspect. Returns the new deadline; `None` if the accuser does not count.
    pub(super) fn confirm(&mut self, core: &Core, idx: MemberIdx, by: &Accusation<'_>) -> Option<Instant> {
        // Even if the accuser does not count: the refutation must exceed this accusation too.
        self.raise(core, idx, by.incarnation);
        let accuser = name_of(core, by.from);
        let not_alive = self.not_alive.get_mut(&idx)?;
        let suspicion = not_alive.suspicion.as_mut()?;
        if !suspicion.confirm(accuser.clone()) {
            return None;
        }
        // The accuser that is gossiped next, so that others can count it too.
        not_alive.accuser = accuser.clone();
        self.log.confirm(idx, accuser);
        Some(suspicion.deadline())
    }

    /// Marks a member dead, or left if it is its own accuser.
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
        // Read first: `alive_at` falls back to the row, which changes below.
        let (alive_at, accuser) = (self.alive_at(idx), accuser.clone());
        self.grow(core);
        self.raise(core, idx, by.incarnation);
        self.change(&core.roster, idx, |row| row.state = Some(state));
        let (since, challenged_at) = (core.now, core.now);
        self.not_alive.insert(idx, NotAlive { since, alive_at, accuser, challenged_at, suspicion });
    }

    /// Whether a member that left is challenged now: not while it may still linger, and at most once per probe
    /// interval.
    pub(super) fn challenge(&mut self, core: &Core, idx: MemberIdx) -> bool {
        let Some(not_alive) = self.not_alive.get_mut(&idx) else { return false };
        let lingers = core.cfg.serf().leave_propagate_delay + core.cfg.swim().probe_interval;
        let may = core.now - not_alive.since >= lingers
            && core.now - not_alive.challenged_at >= core.cfg.swim().probe_interval;
        if may {
            not_alive.challenged_at = core.now;
        }
        may
    }

    /// Removes a member in any state.
    pub(super) fn forget(&mut self, core: &Core, idx: MemberIdx) {
        debug_assert!(self.row(idx).sends.is_none(), "a queued broadcast is written from its row");
        if idx.at() < self.rows.len() {
            self.change(&core.roster, idx, |row| *row = Row::UNKNOWN);
        }
        self.not_alive.remove(&idx);
        self.log.remove(idx);
    }

    /// Removes members that have been dead or left for longer than `gossip_to_the_dead_time` (`resetNodes` in
    /// memberlist's state.go). Keeps this node, members whose broadcast is queued, and those that `keep` accepts. The
    /// accusation log keeps its entries.
    pub(super) fn reap(&mut self, core: &mut Core, keep: impl Fn(MemberIdx) -> bool) {
        let age_max = core.cfg.swim().gossip_to_the_dead_time;
        let Self { me, rows, not_alive, zones, .. } = self;
        not_alive.retain(|&idx, NotAlive { since, .. }| {
            let row = rows.get(idx);
            let is_gone = matches!(row.state, Some(State::Dead | State::Left));
            if !is_gone || idx == *me || row.sends.is_some() || keep(idx) || core.now - *since <= age_max {
                return true;
            }
            rows.set(idx, Row::UNKNOWN);
            zones.remove(&core.roster, idx, row.state);
            core.roster.release(idx, Holder::Swim);
            false
        });
    }

    /// Grows the table to the roster's size.
    fn grow(&mut self, core: &Core) {
        self.rows.grow(core.roster.len());
    }

    /// The index of this node.
    pub(super) const fn me(&self) -> MemberIdx {
        self.me
    }

    /// The row of `idx`; [`Row::UNKNOWN`] if it is not a member.
    pub(super) fn row(&self, idx: MemberIdx) -> Row {
        self.rows.get(idx)
    }

    /// All rows, by index.
    pub(super) fn rows(&self) -> impl Iterator<Item = (MemberIdx, Row)> + '_ {
        self.rows.iter()
    }

    /// Number of rows, including those of no member.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether a member is alive or suspect.
    pub(super) fn is_live(&self, idx: MemberIdx) -> bool {
        matches!(self.row(idx).state, Some(State::Alive | State::Suspect))
    }

    /// Whether the mark alone shows that a member is alive at `incarnation` or later. If false, the row decides.
    #[inline]
    pub(super) fn is_surely_alive(&self, idx: MemberIdx, incarnation: u32) -> bool {
        self.rows.is_surely_alive(idx, incarnation)
    }

    /// Number of known members, including this node and the dead that are not yet reaped: memberlist's `estNumNodes`.
    pub(super) fn known(&self) -> u32 {
        self.rows.counts().iter().sum()
    }

    /// Number of members in a state.
    pub(super) const fn count(&self, state: State) -> u32 {
        self.rows.counts()[state as usize]
    }

    /// Number of other members that are alive or suspect.
    pub(super) fn others_live(&self) -> u32 {
        let live = self.count(State::Alive) + self.count(State::Suspect);
        live - u32::from(matches!(self.row(self.me).state, Some(State::Alive)))
    }

    /// The zones of the members.
    pub(super) const fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Sum of the hashes of the live members.
    pub(super) const fn digest(&self) -> u64 {
        self.live.digest
    }

    /// Whether every live member takes part in anti-entropy by digests.
    pub(super) const fn all_compare_digests(&self) -> bool {
        self.live.legacy == 0
    }

    /// The other members that left.
    pub(super) fn left(&self) -> impl Iterator<Item = MemberIdx> {
        self.not_alive.keys().copied().filter(|&idx| idx != self.me && self.row(idx).state == Some(State::Left))
    }

    /// Whether every member is alive.
    pub(super) fn all_alive(&self) -> bool {
        self.not_alive.is_empty()
    }

    /// When the state of a member that is not alive last changed.
    pub(super) fn since(&self, idx: MemberIdx) -> Instant {
        self.not_alive.get(&idx).map_or(Instant::ZERO, |not_alive| not_alive.since)
    }

    /// Incarnation of the last alive message of a member.
    pub(super) fn alive_at(&self, idx: MemberIdx) -> u32 {
        self.not_alive.get(&idx).map_or_else(|| self.row(idx).incarnation, |not_alive| not_alive.alive_at)
    }

    /// Sender of the last accusation of a member that is not alive.
    pub(super) fn accuser(&self, idx: MemberIdx) -> Option<&Name> {
        self.not_alive.get(&idx).map(|not_alive| &not_alive.accuser)
    }

    /// The suspicion of a suspect.
    pub(super) fn suspicion(&self, idx: MemberIdx) -> Option<&Suspicion> {
        self.not_alive.get(&idx)?.suspicion.as_deref()
    }

    /// The accusations of a member that is not alive; `None` if it is alive, or the log has evicted them.
    pub(super) fn accused(&self, idx: MemberIdx) -> Option<&Accused> {
        self.log.get(idx).filter(|_| self.row(idx).state != Some(State::Alive))
    }

    /// Checks counts, sums and side tables against all rows.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self, roster: &Roster) {
        let mut live = LiveSums::default();
        self.rows().for_each(|(idx, row)| live.add(roster, idx, row));
        assert_eq!((self.live.digest, self.live.legacy), (live.digest, live.legacy));
        let states: alloc::vec::Vec<_> = self.rows().map(|(idx, row)| (idx, row.state)).collect();
        self.zones.assert_consistent(roster, self.me, &states);
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

    /// Feeds all rows. The log of accusations is only shown to operators; the sums and the zones follow from the rows.
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { me: _, rows, not_alive, log: _, live: _, zones: _ } = self;
        to.put(rows.len());
        for (_, Row { incarnation, state, sends }) in rows.iter() {
            to.put((incarnation, state.map(|state| state as u8), sends));
        }
        for (idx, NotAlive { since, alive_at, accuser, challenged_at, suspicion }) in not_alive {
            to.put((idx, alive_at, accuser, suspicion.is_some()));
            to.age(*since);
            to.age(*challenged_at);
            if let Some(suspicion) = suspicion {
                suspicion.fingerprint(to);
            }
        }
    }
}

impl LiveSums {
    fn add(&mut self, roster: &Roster, idx: MemberIdx, row: Row) {
        let (digest, legacy) = Self::of(roster, idx, row);
        self.digest = self.digest.wrapping_add(digest);
        self.legacy += legacy;
    }

    fn remove(&mut self, roster: &Roster, idx: MemberIdx, row: Row) {
        let (digest, legacy) = Self::of(roster, idx, row);
        self.digest = self.digest.wrapping_sub(digest);
        self.legacy -= legacy;
    }

    /// A row's part of the sums.
    fn of(roster: &Roster, idx: MemberIdx, row: Row) -> (u64, u32) {
        if live_incarnation(row).is_none() {
            return (0, 0);
        }
        let compares = roster.peer(idx).is_some_and(|peer| peer.versions().compares_digests());
        (live_hash(roster.hashes(idx), row, 0), u32::from(!compares))
    }
}

/// The hash of a live member, salted: of its record and its incarnation. 0 for any other row.
pub(super) fn live_hash(hashes: Option<RecordHashes>, row: Row, salt: u64) -> u64 {
    match (live_incarnation(row), hashes) {
        (Some(incarnation), Some(hashes)) => mix(mix(hashes.record ^ salt).wrapping_add(incarnation.into())),
        _ => 0,
    }
}

/// The incarnation of a live member. A suspicion does not count as a difference between views: it ends by itself.
const fn live_incarnation(row: Row) -> Option<u32> {
    match row.state {
        Some(State::Alive | State::Suspect) => Some(row.incarnation),
        Some(State::Dead | State::Left) | None => None,
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

/// A shared copy of `name`; allocates only for a name that is not in the roster.
fn name_of(core: &Core, name: &str) -> Name {
    match core.roster.find(name) {
        Some(idx) => core.roster.name(idx),
        None => Arc::from(name),
    }
}
