//! Which incarnations are believed, so that whatever accusation a node accepts, its refutation is adopted by every node.
//!
//! A refutation is an alive message above the accusation, and any alive message above a row is adopted, however far above. What is
//! bounded is accusations: by hearsay only those are accepted that a refutation can still exceed, and that are at most
//! [`INCARNATION_AHEAD_MAX`] above the last alive message. Relative bounds only, so that there is no number at which the rule
//! flips.
//!
//! Numbers end at `u32::MAX`. A row that has arrived there, which only forged messages bring about, is decided by evidence
//! instead of by order: hearsay changes nothing, our own probes may fail the member, and what comes from its own address
//! makes it alive again and brings its tags. A member that is gone at the greatest number may return with any.

use alloc::vec::Vec;

use super::rows::Row;
use super::suspicion::least_timeout;
use super::{Swim, is_gone};
use crate::core::{Core, Origin};
use crate::limits::INCARNATION_AHEAD_MAX;
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::swim::Accusation;

/// Our own incarnation, which only we raise, and what keeps others from driving it up.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) incarnation: u32,
    /// The incarnation with which the current probe interval began.
    began: u32,
    /// The highest accusation that waits for the next probe interval to be refuted.
    waiting: Option<u32>,
    /// Members that told us of an incarnation of ours that is beyond reason. They are asked for their states, in this order.
    tellers: Vec<MemberIdx>,
    /// Before this none of them is asked: a state may be large, and a sender forged.
    ask_at: Instant,
}

impl Own {
    pub(super) const fn new(incarnation: u32) -> Self {
        Self { incarnation, began: incarnation, waiting: None, tellers: Vec::new(), ask_at: Instant::ZERO }
    }
}

impl Swim {
    /// Contradicts what was said of us, with an incarnation above it (`refute` in memberlist's state.go).
    ///
    /// Ours: within a probe interval accusations raise our incarnation by little more than [`INCARNATION_AHEAD_MAX`]. What is above
    /// that waits for the next, so that a flood does not use up the numbers.
    pub(super) fn refute(&mut self, core: &mut Core, origin: Origin, accused: u32) {
        let refutation = self.own.incarnation.max(accused).saturating_add(1);
        let reachable = self.own.began.saturating_add(INCARNATION_AHEAD_MAX).saturating_add(1);
        if refutation > reachable && !is_reply(origin) {
            self.own.waiting = self.own.waiting.max(Some(accused));
            return;
        }
        self.own.incarnation = refutation;
        self.rows.change(self.me, |row| row.incarnation = refutation);
        self.awareness.apply(1);
        core.stats.refutations += 1;
        if refutation == u32::MAX {
            tracing::error!(
                "our incarnation has reached its greatest value: members of HashiCorp's cannot hear us refute"
            );
        }
        self.spread(self.me);
    }

    /// Announces what the roster now says of us.
    pub(crate) fn announce(&mut self) {
        self.own.incarnation = self.own.incarnation.saturating_add(1);
        self.rows.change(self.me, |row| row.incarnation = self.own.incarnation);
        self.spread(self.me);
    }

    /// Begins another probe interval, as far as our own incarnation is concerned.
    pub(super) fn mind_own_incarnation(&mut self, core: &mut Core) {
        self.own.began = self.own.incarnation;
        if self.farewell.is_said() {
            return;
        }
        if let Some(accused) = self.own.waiting.take().filter(|accused| *accused >= self.own.incarnation) {
            self.refute(core, Origin::Local, accused);
        }
        if !self.own.tellers.is_empty() && core.now >= self.own.ask_at {
            // Soon enough for a refutation before any suspicion runs out.
            self.own.ask_at = core.now + least_timeout(&core.cfg, self.members_known()) / 2;
            let teller = self.own.tellers.remove(0);
            self.push_pull_with(core, teller);
        }
        if self.own.incarnation == u32::MAX {
            // Others believe it only from our own address, so it is queued again in every probe interval.
            self.spread(self.me);
        }
    }

    /// Whether a claim about ourselves is so far above our own incarnation that only a deceived member can hold it. Then it
    /// is counted, and the member that told us is asked for its states: what it says on a stream that we opened is taken. A forged sender
    /// therefore cannot use up our numbers with one packet, and a deceived member is still refuted.
    pub(super) fn is_beyond_us(&mut self, core: &mut Core, origin: Origin, incarnation: u32) -> bool {
        let near = self.own.incarnation.saturating_add(INCARNATION_AHEAD_MAX);
        if incarnation <= near || is_reply(origin) {
            return false;
        }
        core.stats.drop(DropReason::Absurd);
        if let Some(teller) = self.teller(core, origin)
            && self.own.tellers.len() < TELLERS_MAX
            && !self.own.tellers.contains(&teller)
        {
            self.own.tellers.push(teller);
        }
        true
    }

    /// The live member at whose own address the sender is.
    fn teller(&self, core: &Core, origin: Origin) -> Option<MemberIdx> {
        let (Origin::Packet(from) | Origin::Exchange(from) | Origin::Reply(from)) = origin else { return None };
        self.live_at(core, canonical(from))
    }

    /// Whether what is being handled comes from the address of `idx` itself.
    pub(super) fn is_direct(core: &Core, origin: Origin, idx: MemberIdx) -> bool {
        let (Origin::Packet(from) | Origin::Reply(from)) = origin else { return false };
        core.roster.peer(idx).is_some_and(|peer| peer.addr() == canonical(from))
    }

    /// Whether an accusation is one whose refutation everybody will adopt. Our own evidence always counts.
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
        let says_farewell = accusation.node == accusation.from;
        let ends = incarnation == u32::MAX && !(says_farewell && Self::is_direct(core, origin, idx));
        if ends && row.incarnation == u32::MAX && !is_gone(row) {
            // Hearsay of this kind is no evidence, but a reason to look.
            self.hearsay = Some(idx);
        }
        !ends && incarnation <= self.alive_at(idx, row).saturating_add(INCARNATION_AHEAD_MAX)
    }

    /// The incarnation of the last alive message of a member.
    pub(super) fn alive_at(&self, idx: MemberIdx, row: Row) -> u32 {
        self.troubles.get(&idx).map_or(row.incarnation, |trouble| trouble.alive_at)
    }
}

/// Whether what is being handled came in answer, on a stream that we opened.
const fn is_reply(origin: Origin) -> bool {
    matches!(origin, Origin::Reply(_))
}

/// How many members wait to be asked for their states. Ours. One more is not asked; it repeats what it says.
const TELLERS_MAX: usize = 8;
