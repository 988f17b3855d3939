//! Claims about members: what an alive, a suspect and a dead message change, once [`judge`] has decided.

use alloc::sync::Arc;

use super::Swim;
use super::members::Row;
use super::own::is_direct;
use super::verdict::{About, Claim, Verdict, judge};
use crate::core::{Core, Notification, Origin};
use crate::event::{Event, Evidence, Source};
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::wire::swim::{Accusation, Alive, PeerRef, State};

impl Swim {
    /// Handles an alive message (`aliveNode` in memberlist's state.go).
    pub(super) fn alive(&mut self, core: &mut Core, origin: Origin, alive: &Alive<'_>) {
        let Alive { incarnation, peer } = *alive;
        if !peer.versions.are_valid() {
            let text = format_args!(
                "Ignoring an alive message for '{}' ({}) because protocol version(s) are wrong",
                peer.name, peer.addr
            );
            return core.drop_of(DropReason::Versions, peer.addr, text);
        }
        let found = core.roster.find(peer.name);
        let row = found.map_or(Row::UNKNOWN, |idx| self.members.row(idx));
        let growth = found.map_or_else(|| core.roster.cost_of(peer), |idx| core.roster.growth(idx, peer));
        if row.state.is_none() && !core.roster.has_room(growth) {
            return self.ask_newcomer(core, origin, incarnation, peer);
        }
        let Some(idx) = found.or_else(|| core.roster.intern(peer.name)) else {
            return core.stats.drop(DropReason::Limit);
        };
        // Of a name that membership has forgotten the roster may still know the address: the layer above remembers those that left.
        let moved = self.has_moved(core, idx, peer);
        if moved && !self.may_take_name(core, idx) {
            return self.conflict(core, idx, peer);
        }
        if idx == self.me() && self.is_beyond_us(core, origin, incarnation) {
            return;
        }
        if moved && incarnation > 0 {
            return self.ask_holder(core, idx, incarnation, peer);
        }
        let unchanged = row.state.is_some() && core.roster.peer(idx).is_some_and(|p| p.announced() == peer);
        let direct = row.incarnation == u32::MAX && is_direct(core, origin, idx);
        let claim = Claim::Alive { unchanged, direct };
        match judge(row, claim, incarnation, self.about(idx)) {
            Verdict::Adopt if (!unchanged || is_gone(row)) && !admits(core, peer) => {
                if found.is_none() {
                    core.roster.forget_unheld(idx);
                }
            }
            Verdict::Adopt if !self.make_room(core, growth, Some(idx)) => {
                core.stats.drop(DropReason::Limit);
            }
            Verdict::Adopt => self.adopt(core, idx, incarnation, peer),
            Verdict::Refute => self.refute(core, origin, incarnation),
            _ => {
                core.stats.repeats_in += 1;
                if found.is_none() {
                    core.roster.forget_unheld(idx);
                }
            }
        }
    }

    /// Handles an alive message that announces what the roster has of the member. The same as [`alive`](Self::alive), without
    /// decoding: in most messages everything but perhaps the incarnation is known, and mostly that is too.
    #[inline]
    pub(crate) fn alive_as_known(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, incarnation: u32) {
        if self.members.is_surely_alive(idx, incarnation) {
            core.stats.repeats_in += 1;
        } else {
            self.alive_unchanged(core, origin, idx, incarnation);
        }
    }

    fn alive_unchanged(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, incarnation: u32) {
        if idx == self.me() && self.is_beyond_us(core, origin, incarnation) {
            return;
        }
        let row = self.members.row(idx);
        let direct = row.incarnation == u32::MAX && is_direct(core, origin, idx);
        let claim = Claim::Alive { unchanged: row.state.is_some(), direct };
        match judge(row, claim, incarnation, self.about(idx)) {
            Verdict::Adopt if core.policy.is_some() && is_gone(row) && !self.may_return(core, idx) => {}
            Verdict::Adopt => self.revive(core, idx, incarnation),
            Verdict::Refute => self.refute(core, origin, incarnation),
            _ => core.stats.repeats_in += 1,
        }
    }

    /// Whether the policy admits a member that is gone, or of which we only know the name, as what the roster has of it.
    fn may_return(&self, core: &mut Core, idx: MemberIdx) -> bool {
        let peer = core.roster.peer(idx).map(Arc::clone);
        peer.is_none_or(|peer| admits(core, peer.announced()))
    }

    /// Whether the address differs from the one we know. An IPv4 address and its IPv6-mapped form are the same.
    fn has_moved(&self, core: &Core, idx: MemberIdx, peer: PeerRef<'_>) -> bool {
        core.roster.peer(idx).is_some_and(|known| known.addr() != canonical(peer.addr))
    }

    /// Whether another address may take the name if the holder does not answer: it left, has been dead for long enough, or is known
    /// to the layer above only.
    pub(super) fn may_take_name(&self, core: &Core, idx: MemberIdx) -> bool {
        if idx == self.me() {
            return false;
        }
        let reclaim = core.cfg.dead_node_reclaim_time;
        match self.members.row(idx).state {
            None | Some(State::Left) => true,
            Some(State::Dead) => !reclaim.is_zero() && core.now - self.members.since(idx) > reclaim,
            _ => false,
        }
    }

    pub(super) fn conflict(&self, core: &mut Core, idx: MemberIdx, peer: PeerRef<'_>) {
        let Some(existing) = core.roster.peer(idx).map(Arc::clone) else {
            return core.stats.drop(DropReason::NameConflict);
        };
        let (theirs, state) = (canonical(peer.addr), self.members.row(idx).state.map_or(0, |state| state as u8));
        let text = format_args!("{}. Mine: {} Theirs: {theirs} Old state: {state}", peer.name, existing.addr());
        core.drop_of(DropReason::NameConflict, theirs, text);
        if self.own.has_left() {
            return;
        }
        core.events.push(Event::NameConflict { existing, other: canonical(peer.addr) });
        core.notify(Notification::Conflict(idx));
    }

    /// Believes an alive message.
    pub(super) fn adopt(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32, peer: PeerRef<'_>) {
        let is_member = self.is_live(idx);
        let meta_changed = is_member && core.roster.peer(idx).is_some_and(|p| p.meta() != peer.meta);
        core.roster.set_peer(idx, peer);
        self.revive(core, idx, incarnation);
        if meta_changed {
            core.notify(Notification::Updated(idx));
        }
    }

    /// Believes that a member is alive, as what the roster has of it.
    fn revive(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32) {
        debug_assert!(idx != self.me(), "only we raise our incarnation");
        let before = self.members.row(idx).state;
        if before.is_none() {
            self.admission.forget_ack(idx);
        }
        self.members.set_alive(core, idx, incarnation);
        self.queue_broadcast(idx);
        if matches!(before, None | Some(State::Dead | State::Left)) {
            core.notify(Notification::Joined(idx));
        }
    }

    /// Handles a suspect message (`suspectNode` in memberlist's state.go).
    pub(super) fn suspect(&mut self, core: &mut Core, origin: Origin, accusation: &Accusation<'_>) {
        let Some((idx, row)) = self.accused_member(core, origin, accusation) else { return };
        match judge(row, Claim::Suspect, accusation.incarnation, self.about(idx)) {
            Verdict::Suspect => self.begin_suspicion(core, origin, idx, accusation),
            Verdict::Confirm => self.confirm_suspicion(core, origin, idx, accusation),
            Verdict::Refute => self.refute(core, origin, accusation.incarnation),
            Verdict::Raise => self.members.raise(idx, accusation.incarnation),
            _ => {}
        }
    }

    /// Handles a dead message, which with its own sender's name is a leave (`deadNode` in memberlist's state.go).
    pub(super) fn dead(&mut self, core: &mut Core, origin: Origin, accusation: &Accusation<'_>) {
        let Some((idx, row)) = self.accused_member(core, origin, accusation) else { return };
        match judge(row, Claim::Dead, accusation.incarnation, self.about(idx)) {
            Verdict::DeclareDead => self.declare_dead(core, origin, idx, accusation),
            Verdict::Refute => self.refute(core, origin, accusation.incarnation),
            Verdict::Raise => self.members.raise(idx, accusation.incarnation),
            _ => {}
        }
    }

    /// The accused, if we know it and the accusation can be refuted.
    fn accused_member(
        &mut self,
        core: &mut Core,
        origin: Origin,
        accusation: &Accusation<'_>,
    ) -> Option<(MemberIdx, Row)> {
        let idx = core.roster.find(accusation.node)?;
        let row = self.members.row(idx);
        row.state?;
        if idx == self.me() {
            // At the greatest number no node of ours believes it, and no node of HashiCorp's could hear the refutation.
            let in_vain = accusation.incarnation == u32::MAX && self.incarnation() < u32::MAX;
            if !in_vain {
                return (!self.is_beyond_us(core, origin, accusation.incarnation)).then_some((idx, row));
            }
        } else if self.is_refutable(core, origin, idx, row, accusation) {
            return Some((idx, row));
        }
        core.stats.drop(DropReason::Absurd);
        None
    }

    fn declare_dead(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, by: &Accusation<'_>) {
        let timed_out = self.members.suspicion(idx).is_some_and(|suspicion| suspicion.is_over(core.now));
        let by_us = timed_out && *by.from == *core.roster.name_ref(self.me());
        let evidence = if by_us {
            Evidence { at: core.now, source: Source::OwnTimer }
        } else {
            evidence(core, origin, Source::Ourselves)
        };
        let state = self.members.declare_dead(core, idx, by, evidence);
        self.queue_broadcast(idx);
        core.notify(if state == State::Left { Notification::Left(idx) } else { Notification::Gone(idx) });
    }

    fn about(&self, idx: MemberIdx) -> About {
        match (idx == self.me(), self.own.has_left()) {
            (false, _) => About::Another,
            (true, false) => About::Me,
            (true, true) => About::MeLeaving,
        }
    }
}

/// Whether the row is of no member, or of one that is dead or left.
pub(super) const fn is_gone(row: Row) -> bool {
    matches!(row.state, None | Some(State::Dead | State::Left))
}

/// Whether the application admits a member that announces this.
pub(super) fn admits(core: &mut Core, peer: PeerRef<'_>) -> bool {
    let admitted = core.policy.as_ref().is_none_or(|policy| policy.admits(peer));
    if !admitted {
        let text = format_args!("Ignoring an alive message for '{}': the policy does not admit it", peer.name);
        core.drop_of(DropReason::Vetoed, peer.addr, text);
    }
    admitted
}

/// Evidence of this origin; `otherwise` is its source when it came in no message.
pub(super) fn evidence(core: &Core, origin: Origin, otherwise: Source) -> Evidence {
    let source = match origin {
        Origin::Local => otherwise,
        Origin::Packet(from) => Source::Gossip { from, member: None },
        Origin::Exchange(with) | Origin::Reply(with) => Source::PushPull { with, member: None },
    };
    Evidence { at: core.now, source }
}
