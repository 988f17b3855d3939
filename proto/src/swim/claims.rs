//! Claims about members: applies alive, suspect and dead messages after [`judge`] has decided.

use alloc::sync::Arc;

use super::Swim;
use super::members::Row;
use super::own::is_direct;
use super::verdict::{About, Claim, Verdict, judge};
use crate::core::{Core, Notification, Origin, Sometimes};
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
        if !core.cfg.admits(peer.addr.ip()) {
            let ip = peer.addr.ip().to_canonical();
            let text = format_args!("Rejected node {} ({ip}): {ip} is not allowed", peer.name);
            return core.drop_of(DropReason::Network, peer.addr, text);
        }
        // Size first, before `intern`: at the limit a forged name must not take memory.
        let found = core.roster.find(peer.name);
        let row = found.map_or(Row::UNKNOWN, |idx| self.members.row(idx));
        let growth = found.map_or_else(|| core.roster.cost_of(peer), |idx| core.roster.growth(idx, peer));
        if row.state.is_none() && !core.roster.has_room(growth) {
            return self.ask_newcomer(core, origin, incarnation, peer);
        }
        let Some(idx) = found.or_else(|| core.roster.intern(peer.name)) else {
            return core.stats.drop(DropReason::Limit);
        };
        // The roster may know the address of a name that membership has reaped: Serf remembers members that left.
        let moved = self.has_moved(core, idx, peer);
        if moved && !self.may_take_name(core, idx) {
            return self.conflict(core, idx, peer);
        }
        // Before the takeover check: a claim of our own name is refuted, never taken over.
        if idx == self.me() && self.reject_out_of_range(core, origin, incarnation) {
            return;
        }
        if moved && incarnation > 0 {
            return self.ask_holder(core, idx, incarnation, peer);
        }
        let unchanged = row.state.is_some() && core.roster.peer(idx).is_some_and(|p| p.announced() == peer);
        let direct = row.incarnation == u32::MAX && is_direct(core, origin, idx);
        let claim = Claim::Alive { unchanged, direct };
        match judge(row, claim, incarnation, self.about(idx)) {
            // A veto only applies to changes. `intern` above made a row for the name, which nothing holds yet.
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

    /// Handles an alive message whose record equals the one in the roster. Same result as [`alive`](Self::alive),
    /// without decoding. Most messages repeat the record, and mostly the incarnation too.
    #[inline]
    pub(crate) fn alive_as_known(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, incarnation: u32) {
        if self.members.is_surely_alive(idx, incarnation) {
            core.stats.repeats_in += 1;
            self.note_duplicate(idx);
        } else {
            self.alive_unchanged(core, origin, idx, incarnation);
        }
    }

    fn alive_unchanged(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, incarnation: u32) {
        if idx == self.me() && self.reject_out_of_range(core, origin, incarnation) {
            return;
        }
        let row = self.members.row(idx);
        let direct = row.incarnation == u32::MAX && is_direct(core, origin, idx);
        let claim = Claim::Alive { unchanged: row.state.is_some(), direct };
        match judge(row, claim, incarnation, self.about(idx)) {
            Verdict::Adopt if core.policy.is_some() && is_gone(row) && !self.may_return(core, idx) => {}
            Verdict::Adopt => self.revive(core, idx, incarnation),
            Verdict::Refute => self.refute(core, origin, incarnation),
            _ => {
                core.stats.repeats_in += 1;
                if row.state == Some(State::Alive) && row.incarnation == incarnation {
                    self.note_duplicate(idx);
                }
            }
        }
    }

    /// Whether the policy admits a member that is not live, with the record in the roster.
    fn may_return(&self, core: &mut Core, idx: MemberIdx) -> bool {
        let peer = core.roster.peer(idx).map(Arc::clone);
        peer.is_none_or(|peer| admits(core, peer.announced()))
    }

    /// Whether the address differs from the known one. An IPv4 address and its IPv4-mapped IPv6 form are equal.
    fn has_moved(&self, core: &Core, idx: MemberIdx, peer: PeerRef<'_>) -> bool {
        core.roster.peer(idx).is_some_and(|known| known.addr() != canonical(peer.addr))
    }

    /// Whether another address may take the name if the holder does not answer: the holder left, has been dead for
    /// longer than `dead_node_reclaim_time`, or is known to Serf only.
    pub(super) fn may_take_name(&self, core: &Core, idx: MemberIdx) -> bool {
        if idx == self.me() {
            return false;
        }
        let reclaim = core.cfg.swim().dead_node_reclaim_time;
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
        // A node that has left reports no conflicts; the other members do.
        if self.own.has_left() {
            return;
        }
        core.events.push(Event::NameConflict { existing, other: canonical(peer.addr) });
        core.notify(Notification::Conflict(idx));
    }

    /// Applies an alive message: stores the record and revives the member.
    pub(super) fn adopt(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32, peer: PeerRef<'_>) {
        // Compared before the record is replaced below.
        let is_member = self.is_live(idx);
        let meta_changed = is_member && core.roster.peer(idx).is_some_and(|p| p.meta() != peer.meta);
        self.members.set_peer(core, idx, peer);
        self.revive(core, idx, incarnation);
        // Only for a member that was live; otherwise `Joined` announces the tags.
        if meta_changed {
            core.notify(Notification::Updated(idx));
        }
    }

    /// Marks a member alive with the record in the roster.
    fn revive(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32) {
        debug_assert!(idx != self.me(), "only we raise our incarnation");
        let Row { state: before, incarnation: known, .. } = self.members.row(idx);
        if known == u32::MAX && matches!(before, Some(State::Dead | State::Left)) {
            core.met.note(Sometimes::ReturnedAtTheEnd);
        }
        if before.is_none() {
            // The index may have belonged to another node under this name.
            self.admission.forget_ack(idx);
        }
        self.members.set_alive(core, idx, incarnation);
        // After `set_alive`: the broadcast is encoded from the row.
        self.queue_broadcast(core, idx);
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
            Verdict::Raise => self.members.raise(core, idx, accusation.incarnation),
            _ => {}
        }
    }

    /// Handles a dead message; a leave if the sender names itself (`deadNode` in memberlist's state.go).
    pub(super) fn dead(&mut self, core: &mut Core, origin: Origin, accusation: &Accusation<'_>) {
        let Some((idx, row)) = self.accused_member(core, origin, accusation) else { return };
        match judge(row, Claim::Dead, accusation.incarnation, self.about(idx)) {
            Verdict::DeclareDead => self.declare_dead(core, origin, idx, accusation),
            Verdict::Refute => self.refute(core, origin, accusation.incarnation),
            Verdict::Raise => self.members.raise(core, idx, accusation.incarnation),
            _ => {}
        }
    }

    /// The accused member, if it is known and can refute the accusation.
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
            // Ours: an accusation at `u32::MAX` is not accepted by our nodes, and HashiCorp's nodes could not accept a
            // refutation.
            let in_vain = accusation.incarnation == u32::MAX && self.incarnation() < u32::MAX;
            if in_vain {
                core.met.note(Sometimes::AccusedInVain);
            } else {
                return (!self.reject_out_of_range(core, origin, accusation.incarnation)).then_some((idx, row));
            }
        } else if self.is_refutable(core, origin, idx, row, accusation) {
            return Some((idx, row));
        }
        core.stats.drop(DropReason::OutOfRange);
        None
    }

    fn declare_dead(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, by: &Accusation<'_>) {
        // Before `declare_dead`, which removes the suspicion.
        let timed_out = self.members.suspicion(idx).is_some_and(|suspicion| suspicion.is_over(core.now));
        let by_us = timed_out && *by.from == *core.roster.name_ref(self.me());
        let evidence = if by_us {
            Evidence { at: core.now, source: Source::OwnTimer }
        } else {
            evidence(core, origin, Source::Ourselves)
        };
        let state = self.members.declare_dead(core, idx, by, evidence);
        self.queue_broadcast(core, idx);
        core.notify(if state == State::Left { Notification::Left(idx) } else { Notification::Dead(idx) });
    }

    fn about(&self, idx: MemberIdx) -> About {
        match (idx == self.me(), self.own.has_left()) {
            (false, _) => About::Another,
            (true, false) => About::Me,
            (true, true) => About::MeLeaving,
        }
    }
}

/// Whether the row is not a member, or a dead or left one.
pub(super) const fn is_gone(row: Row) -> bool {
    matches!(row.state, None | Some(State::Dead | State::Left))
}

/// Asks the policy to admit a peer. Logs and counts a veto.
pub(super) fn admits(core: &mut Core, peer: PeerRef<'_>) -> bool {
    let admitted = core.policy.as_ref().is_none_or(|policy| policy.admits(peer));
    if !admitted {
        let text = format_args!("Ignoring an alive message for '{}': the policy does not admit it", peer.name);
        core.drop_of(DropReason::Vetoed, peer.addr, text);
    }
    admitted
}

/// Evidence for a claim of this origin; `otherwise` is the source if it came in no message.
pub(super) fn evidence(core: &Core, origin: Origin, otherwise: Source) -> Evidence {
    let source = match origin {
        Origin::Local => otherwise,
        Origin::Packet(from) => Source::Gossip { from, member: None },
        Origin::Exchange(with) | Origin::Reply(with) => Source::PushPull { with, member: None },
    };
    Evidence { at: core.now, source }
}
