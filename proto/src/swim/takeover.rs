//! Before a name goes to another address, its last holder is asked whether it is still there.
//!
//! Anybody can say farewell in another's name, and then claim the name from elsewhere; memberlist believes both, and declares it out of
//! scope (issue 370). Here a claim of a name whose holder left, or is dead for long enough, waits: the holder's address is pinged
//! by the name, twice and over a stream. If it answers, the claim is a conflict as between two live nodes. If not, the name goes over
//! after two probe timeouts, which is what the restart of a node under another address has to wait.

use alloc::sync::Arc;

use super::{Swim, admits};
use crate::core::{Ask, Body, Core, Unicast};
use crate::roster::{MemberIdx, Peer, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::swim::PeerRef;

/// A claim of a name that waits for the answer of the name's last holder.
#[derive(Clone, Debug)]
pub(super) struct Takeover {
    incarnation: u32,
    claim: Arc<Peer>,
    /// The number of the pings.
    seq: u32,
    asked_twice: bool,
    due: Instant,
}

impl Swim {
    /// Asks the last holder of a name before `claim` takes it. Of two claims the first is heard; its newer word replaces the older.
    pub(super) fn ask_holder(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32, claim: PeerRef<'_>) {
        if let Some(takeover) = self.takeovers.get_mut(&idx) {
            if incarnation > takeover.incarnation && takeover.claim.addr() == canonical(claim.addr) {
                takeover.incarnation = incarnation;
                takeover.claim = Arc::new(Peer::new(core.roster.name(idx), claim));
            }
            return core.stats.repeats_in += 1;
        }
        if self.takeovers.len() >= TAKEOVERS_MAX {
            return core.stats.drop(DropReason::Limit);
        }
        let (seq, due) = (self.next_seq(), core.now + core.cfg.probe_timeout);
        let claim = Arc::new(Peer::new(core.roster.name(idx), claim));
        self.takeovers.insert(idx, Takeover { incarnation, claim, seq, asked_twice: false, due });
        self.ping_holder(core, idx, seq);
        core.timers.set(SwimTimer::Takeover(idx), due);
    }

    fn ping_holder(&self, core: &mut Core, idx: MemberIdx, seq: u32) {
        let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) else { return };
        let body = Body::BarePing { seq, target: idx };
        core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
    }

    /// The holder has not answered within a probe timeout.
    pub(super) fn takeover_due(&mut self, core: &mut Core, idx: MemberIdx) {
        let Some(takeover) = self.takeovers.get_mut(&idx).filter(|takeover| takeover.due <= core.now) else { return };
        if takeover.asked_twice {
            return self.take_over(core, idx);
        }
        let (seq, due) = (takeover.seq, core.now + core.cfg.probe_timeout);
        (takeover.asked_twice, takeover.due) = (true, due);
        core.timers.set(SwimTimer::Takeover(idx), due);
        self.ping_holder(core, idx, seq);
        if let Some(with) = core.roster.peer(idx).map(|peer| peer.addr()).filter(|_| core.cfg.stream_pings) {
            let ask = Ask::Ping { seq, target: idx, codec: core.codec(Some(idx), None) };
            core.dial(with, ask, due);
        }
    }

    fn take_over(&mut self, core: &mut Core, idx: MemberIdx) {
        let Some(Takeover { incarnation, claim, .. }) = self.takeovers.remove(&idx) else { return };
        if !self.may_take_name(core, idx) {
            self.conflict(core, idx, claim.announced());
        } else if !self.make_room(core, core.roster.growth(idx, claim.announced()), Some(idx)) {
            core.stats.drop(DropReason::Limit);
        } else if admits(core, claim.announced()) {
            self.door.note_answer(idx, false);
            self.adopt(core, idx, incarnation, claim.announced());
        }
    }

    /// An ack came that is of no probe of ours. A holder that answers is told what is said of it, so that it can refute: gossip
    /// does not go to members that left.
    pub(super) fn holder_answered(&mut self, core: &mut Core, seq: u32) {
        let Some(idx) = self.takeovers.iter().find(|(_, takeover)| takeover.seq == seq).map(|(idx, _)| *idx) else {
            return;
        };
        if let Some(Takeover { claim, .. }) = self.takeovers.remove(&idx) {
            self.conflict(core, idx, claim.announced());
            if let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) {
                let body = Body::Ping { seq: self.next_seq(), target: idx, accusing: true };
                core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
            }
        }
    }
}

/// How many claims wait at one time. Ours: each holds what it announces, and pings. One more is refused and counted; it will be
/// repeated.
const TAKEOVERS_MAX: usize = 64;
