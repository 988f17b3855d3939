//! Our own incarnation, and which incarnations are accepted from others. The invariant: if any node accepts an
//! accusation, every node accepts its refutation (SWIM §4.2).
//!
//! A refutation is an alive message above the accusation. Alive messages are accepted at any distance above the row.
//! Accusations are bounded: hearsay is accepted only if a refutation can exceed it, and if it is at most
//! [`INCARNATION_AHEAD_MAX`] above the last alive message. All bounds are relative, so no absolute number changes the
//! rule.
//!
//! Incarnations end at `u32::MAX`. Only forged messages raise a row that far. Such a row is decided by evidence instead
//! of by order: hearsay is ignored, our own probes may fail the member, and a message from its own address makes it
//! alive again and updates its tags. A member that is gone at `u32::MAX` may return with any incarnation.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::members::Row;
use super::suspicion::least_timeout;
use super::{Swim, is_gone};
use crate::core::{Core, Notification, Origin};
use crate::fingerprint::Fingerprint;
use crate::limits::INCARNATION_AHEAD_MAX;
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::swim::Accusation;

/// Our own incarnation, the limits on how fast others can raise it, and our leave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Own {
    incarnation: u32,
    /// The incarnation at the start of this probe interval.
    interval_start: u32,
    /// The highest accusation whose refutation is deferred to the next probe interval.
    waiting: Option<u32>,
    /// Members that sent a claim about us far above our incarnation. Each is asked for its state, in this order.
    claimants: Vec<MemberIdx>,
    /// Earliest time of the next such request. A state may be large, and the sender may be forged.
    ask_at: Instant,
    /// Copies of our leave broadcast sent so far; `None` before the leave.
    leave_broadcasts: Option<u32>,
}

impl Own {
    pub(super) const fn new(incarnation: u32) -> Self {
        Self {
            incarnation,
            interval_start: incarnation,
            waiting: None,
            claimants: Vec::new(),
            ask_at: Instant::ZERO,
            leave_broadcasts: None,
        }
    }

    /// Raises our incarnation above `accused`. `None` if this interval's budget is used up: the refutation is deferred
    /// to the next interval. `now` overrides the budget.
    fn refute(&mut self, accused: u32, now: bool) -> Option<u32> {
        let refutation = self.incarnation.max(accused).saturating_add(1);
        let reachable = self.interval_start.saturating_add(INCARNATION_AHEAD_MAX).saturating_add(1);
        if refutation > reachable && !now {
            self.waiting = self.waiting.max(Some(accused));
            return None;
        }
        self.incarnation = refutation;
        Some(refutation)
    }

    fn raise(&mut self) -> u32 {
        self.incarnation = self.incarnation.saturating_add(1);
        self.incarnation
    }

    /// Starts a probe interval with a new budget. Returns the deferred accusation if it still needs a refutation.
    fn start_interval(&mut self) -> Option<u32> {
        self.interval_start = self.incarnation;
        if self.has_left() {
            return None;
        }
        self.waiting.take().filter(|accused| *accused >= self.incarnation)
    }

    /// Whether `incarnation` is so far above ours that the sender must hold a forged claim.
    const fn is_far_below(&self, incarnation: u32) -> bool {
        incarnation > self.incarnation.saturating_add(INCARNATION_AHEAD_MAX)
    }

    fn add_claimant(&mut self, idx: MemberIdx) {
        if self.claimants.len() < CLAIMANTS_MAX && !self.claimants.contains(&idx) {
            self.claimants.push(idx);
        }
    }

    /// The next member to ask for its state. The one after it is asked after `pause` at the earliest.
    fn next_claimant(&mut self, now: Instant, pause: impl FnOnce() -> Duration) -> Option<MemberIdx> {
        if self.claimants.is_empty() || now < self.ask_at {
            return None;
        }
        self.ask_at = now + pause();
        Some(self.claimants.remove(0))
    }

    pub(super) const fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Whether our leave has been declared.
    pub(super) const fn has_left(&self) -> bool {
        self.leave_broadcasts.is_some()
    }

    pub(super) fn count_leave_broadcast(&mut self) {
        self.leave_broadcasts = self.leave_broadcasts.map(|copies| copies + 1);
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { incarnation, interval_start, waiting, claimants, ask_at, leave_broadcasts } = self;
        to.put((incarnation, interval_start, waiting, claimants, leave_broadcasts));
        to.deadline(*ask_at);
    }
}

impl Swim {
    /// Declares this node left (`Leave` in memberlist.go); irreversible. [`Notification::LeaveBroadcastSent`] follows after
    /// the last retransmit of the broadcast, or at once if there is no other live member.
    pub(crate) fn leave(&mut self, core: &mut Core) {
        if self.own.has_left() {
            return;
        }
        // Before `dead`, so that `judge` sees `MeLeaving` and does not refute.
        self.own.leave_broadcasts = Some(0);
        let me = core.roster.name(self.me());
        self.dead(core, Origin::Local, &Accusation { incarnation: self.incarnation(), node: &me, from: &me });
        if self.others_live() == 0 {
            core.notify(Notification::LeaveBroadcastSent);
        }
    }

    /// How many copies of our leave broadcast were sent.
    pub(crate) fn leave_broadcasts_sent(&self) -> u32 {
        self.own.leave_broadcasts.unwrap_or(0)
    }

    /// Refutes an accusation with a higher incarnation (`refute` in memberlist's state.go).
    ///
    /// Ours: accusations raise our incarnation by little more than [`INCARNATION_AHEAD_MAX`] per probe interval. The
    /// rest is deferred, so that a flood cannot exhaust the range.
    pub(super) fn refute(&mut self, core: &mut Core, origin: Origin, accused: u32) {
        let Some(refutation) = self.own.refute(accused, is_reply(origin)) else { return };
        // Lifeguard §IV-A: having to refute is a sign of poor local health.
        self.awareness.apply(1);
        core.stats.refutations += 1;
        if refutation == u32::MAX {
            tracing::error!(
                "our incarnation has reached its greatest value: members of HashiCorp's cannot hear us refute"
            );
        }
        self.set_own_incarnation(core, refutation);
    }

    /// Announces our current record at a higher incarnation.
    pub(crate) fn announce(&mut self, core: &Core) {
        let incarnation = self.own.raise();
        self.set_own_incarnation(core, incarnation);
    }

    fn set_own_incarnation(&mut self, core: &Core, incarnation: u32) {
        let me = self.me();
        self.members.raise(core, me, incarnation);
        self.queue_broadcast(core, me);
    }

    /// Starts a probe interval: sends the deferred refutation, and asks the next claimant for its state.
    pub(super) fn start_probe_interval(&mut self, core: &mut Core) {
        if let Some(accused) = self.own.start_interval() {
            self.refute(core, Origin::Local, accused);
        }
        if self.own.has_left() {
            return;
        }
        // Half the minimum timeout, so that a refutation arrives before any suspicion expires.
        let pause = || least_timeout(core.cfg.swim(), self.members.known()) / 2;
        if let Some(claimant) = self.own.next_claimant(core.now, pause) {
            self.push_pull_with(core, claimant);
        }
        if self.incarnation() == u32::MAX {
            // Members accept it only from our own address, so it is queued again every interval.
            self.queue_broadcast(core, self.me());
        }
    }

    /// Rejects a claim about ourselves that is far above our incarnation, and schedules a push/pull with its sender,
    /// whose reply on our own stream is accepted. A forged packet thus cannot exhaust the incarnation range, and a
    /// member that holds a forged claim is still refuted.
    pub(super) fn reject_out_of_range(&mut self, core: &mut Core, origin: Origin, incarnation: u32) -> bool {
        if !self.own.is_far_below(incarnation) || is_reply(origin) {
            return false;
        }
        core.stats.drop(DropReason::OutOfRange);
        if let Origin::Packet(from) | Origin::Exchange(from) | Origin::Reply(from) = origin
            && let Some(claimant) = self.live_at(core, canonical(from))
        {
            self.own.add_claimant(claimant);
        }
        true
    }

    /// Whether every node will accept a refutation of this accusation of another member. Our own evidence always
    /// counts.
    pub(super) fn is_refutable(
        &mut self,
        core: &Core,
        origin: Origin,
        idx: MemberIdx,
        row: Row,
        accusation: &Accusation<'_>,
    ) -> bool {
        if origin == Origin::Local {
            return true;
        }
        let incarnation = accusation.incarnation;
        let is_leave = accusation.node == accusation.from;
        let ends = incarnation == u32::MAX && !(is_leave && is_direct(core, origin, idx));
        if ends && row.incarnation == u32::MAX && !is_gone(row) {
            // Hearsay at `u32::MAX` is not evidence, but a reason to probe the member.
            self.probing.note_hearsay(idx);
        }
        !ends && incarnation <= self.members.alive_at(idx).saturating_add(INCARNATION_AHEAD_MAX)
    }
}

/// Whether the message came from the address of `idx`.
pub(super) fn is_direct(core: &Core, origin: Origin, idx: MemberIdx) -> bool {
    let (Origin::Packet(from) | Origin::Reply(from)) = origin else { return false };
    core.roster.peer(idx).is_some_and(|peer| peer.addr() == canonical(from))
}

/// Whether the message is a reply on a stream that we opened.
const fn is_reply(origin: Origin) -> bool {
    matches!(origin, Origin::Reply(_))
}

/// How many claimants may wait. Ours. Further ones are dropped; they will repeat their claim.
const CLAIMANTS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refutation_is_above_the_accusation_and_above_our_last() {
        let mut own = Own::new(1);
        assert_eq!(own.refute(5, false), Some(6));
        assert_eq!(own.refute(2, false), Some(7));
        assert_eq!(own.raise(), 8);
    }

    #[test]
    fn a_time_far_above_the_start_of_an_interval_waits_unless_it_is_certain() {
        let mut own = Own::new(1);
        let far = INCARNATION_AHEAD_MAX + 2;
        assert_eq!((own.refute(far, false), own.incarnation()), (None, 1));
        assert_eq!((own.refute(far + 1, false), own.incarnation()), (None, 1));
        assert_eq!(own.start_interval(), Some(far + 1), "the highest");
        assert_eq!(own.start_interval(), None, "once");
        assert_eq!(own.refute(far, true), Some(far + 1));
    }

    #[test]
    fn claimants_are_asked_in_their_order_with_a_pause_between_them() {
        let mut own = Own::new(1);
        [2, 3, 2].into_iter().for_each(|idx| own.add_claimant(MemberIdx(idx)));
        let pause = || Duration::from_secs(2);
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(own.next_claimant(at(0), pause), Some(MemberIdx(2)));
        assert_eq!(own.next_claimant(at(1), pause), None);
        assert_eq!(own.next_claimant(at(2), pause), Some(MemberIdx(3)));
        assert_eq!(own.next_claimant(at(9), pause), None);
    }
}
