//! What membership keeps of each member: a dense row, and for the few in trouble a little more.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::Swim;
use super::suspicion::Suspicion;
use crate::core::Core;
use crate::roster::{Holder, MemberIdx, Name};
use crate::time::Instant;
use crate::wire::swim::State;

/// Eight bytes a member: in a simulation there are members times nodes of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) incarnation: u32,
    /// `None`: not a member.
    pub(super) state: Option<State>,
    /// How often others have been told, or [`Row::NOT_QUEUED`].
    pub(super) sends: u8,
}

impl Row {
    /// Nobody needs to be told.
    pub(super) const NOT_QUEUED: u8 = u8::MAX;

    pub(super) const fn is_queued(self) -> bool {
        self.sends != Self::NOT_QUEUED
    }
}

impl Default for Row {
    fn default() -> Self {
        Self { incarnation: 0, state: None, sends: Self::NOT_QUEUED }
    }
}

/// What is known of a member that is not simply alive.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// When its state changed.
    pub(super) since: Instant,
    /// Who said so last; its own name if it left.
    pub(super) accuser: Name,
    /// Present while it is suspect.
    pub(super) suspicion: Option<Box<Suspicion>>,
}

impl Trouble {
    pub(super) const fn new(since: Instant, accuser: Name) -> Self {
        Self { since, accuser, suspicion: None }
    }
}

impl Swim {
    /// The row of `idx`, whether or not it is a member.
    pub(super) fn row(&self, idx: MemberIdx) -> Row {
        self.rows.get(idx.at()).copied().unwrap_or_default()
    }

    /// Sets a member's state and keeps the counts in step.
    pub(super) fn set_state(&mut self, core: &Core, idx: MemberIdx, state: State) {
        if self.rows.len() <= idx.at() {
            let len = core.roster.len().max(idx.at() + 1);
            if self.rows.capacity() < len {
                self.rows.reserve_exact(len.max(self.rows.len() + self.rows.len() / 4) - self.rows.len());
            }
            self.rows.resize(len, Row::default());
        }
        let row = &mut self.rows[idx.at()];
        if let Some(before) = row.state {
            self.counts[before as usize] -= 1;
        }
        row.state = Some(state);
        self.counts[state as usize] += 1;
    }

    /// Since when a member has been in its state, as far as it is not simply alive.
    pub(super) fn trouble_since(&self, idx: MemberIdx) -> Instant {
        self.troubles.get(&idx).map_or(Instant::ZERO, |trouble| trouble.since)
    }

    /// `name` as a shared string, without an allocation when it is a member's.
    pub(super) fn name_of(&self, core: &Core, name: &str) -> Name {
        match core.roster.find(name) {
            Some(idx) => core.roster.name(idx),
            None => Arc::from(name),
        }
    }

    /// Forgets members that have been dead or left for long enough (`resetNodes` in memberlist's state.go). A member that
    /// others are still to be told about stays, since what they are told is read from its row; and we stay.
    pub(super) fn reap(&mut self, core: &mut Core) {
        let age_max = core.cfg.gossip_to_the_dead_time;
        let Self { me, rows, counts, troubles, .. } = self;
        troubles.retain(|&idx, trouble| {
            let row = &mut rows[idx.at()];
            let gone = matches!(row.state, Some(State::Dead | State::Left));
            if !gone || idx == *me || row.is_queued() || core.now - trouble.since <= age_max {
                return true;
            }
            if let Some(state) = row.state.take() {
                counts[state as usize] -= 1;
            }
            *row = Row::default();
            core.roster.release(idx, Holder::Swim);
            false
        });
    }
}
