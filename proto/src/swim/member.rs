//! How rows change, and what is kept besides of the few members in trouble.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::SocketAddr;

use super::Swim;
use super::rows::Row;
use super::suspicion::Suspicion;
use crate::core::Core;
use crate::roster::{Holder, MemberIdx};
use crate::time::Instant;
use crate::types::Name;
use crate::wire::swim::State;

/// What is known of a member that is not simply alive.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// When its state changed.
    pub(super) since: Instant,
    /// The incarnation of its last alive message.
    pub(super) alive_at: u32,
    /// Who said so last; its own name if it left.
    pub(super) accuser: Name,
    /// When it was last told that it is said to have left.
    pub(super) challenged_at: Instant,
    /// Present while it is suspect.
    pub(super) suspicion: Option<Box<Suspicion>>,
}

impl Swim {
    /// The other live member that announces this address. Walks the rows.
    pub(crate) fn live_at(&self, core: &Core, addr: SocketAddr) -> Option<MemberIdx> {
        let is_there = |idx: MemberIdx| core.roster.peer(idx).is_some_and(|peer| peer.addr() == addr);
        self.rows.iter().map(|(idx, _)| idx).find(|&idx| idx != self.me && self.is_live(idx) && is_there(idx))
    }

    /// The row of `idx`, whether or not it is a member.
    pub(super) fn row(&self, idx: MemberIdx) -> Row {
        self.rows.get(idx)
    }

    /// Sets a member's state and keeps the counts in step.
    pub(super) fn set_state(&mut self, core: &Core, idx: MemberIdx, state: State) {
        self.rows.grow(core.roster.len().max(idx.at() + 1));
        let before = self.row(idx).state;
        if let Some(before) = before {
            self.counts[before as usize] -= 1;
        }
        self.rows.change(idx, |row| row.state = Some(state));
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
        let Self { me, rows, counts, troubles, takeovers, .. } = self;
        troubles.retain(|&idx, trouble| {
            let row = rows.get(idx);
            let gone = matches!(row.state, Some(State::Dead | State::Left));
            if !gone
                || idx == *me
                || row.sends.is_some()
                || takeovers.contains_key(&idx)
                || core.now - trouble.since <= age_max
            {
                return true;
            }
            if let Some(state) = row.state {
                counts[state as usize] -= 1;
            }
            rows.set(idx, Row::NOBODY);
            core.roster.release(idx, Holder::Swim);
            false
        });
    }
}
