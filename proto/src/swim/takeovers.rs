//! Before a name goes to another address, its last holder is pinged.
//!
//! Any host can declare another node left, and then claim its name from elsewhere; memberlist believes both, and declares it out of
//! scope (issue 370). Here a claim of a name whose holder left, or is dead for long enough, waits: the holder's address is pinged
//! by the name, twice and over a stream. If it answers, the claim is a conflict as between two live nodes. If not, the name goes over
//! after two probe timeouts, which is what the restart of a node under another address has to wait.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::{Swim, admits};
use crate::core::{Ask, Body, Core, Unicast};
use crate::roster::{MemberIdx, Peer, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::swim::PeerRef;

/// Claims of names that wait for the answer of the name's last holder, by the holder.
#[derive(Clone, Debug, Default)]
pub(super) struct Takeovers(BTreeMap<MemberIdx, Takeover>);

#[derive(Clone, Debug)]
struct Takeover {
    incarnation: u32,
    claim: Arc<Peer>,
    /// The number of the pings.
    seq: u32,
    asked_twice: bool,
    due: Instant,
}

impl Takeovers {
    pub(super) fn contains(&self, idx: MemberIdx) -> bool {
        self.0.contains_key(&idx)
    }

    pub(super) fn cancel(&mut self, idx: MemberIdx) {
        self.0.remove(&idx);
    }

    /// Takes a claim out whose holder was pinged with this number.
    fn acked(&mut self, seq: u32) -> Option<(MemberIdx, Arc<Peer>)> {
        let (&idx, _) = self.0.iter().find(|(_, takeover)| takeover.seq == seq)?;
        self.0.remove(&idx).map(|takeover| (idx, takeover.claim))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Swim {
    /// Pings the last holder of a name before `claim` takes it. Of two claims the first waits, and is replaced by its own newer ones.
    pub(super) fn ask_holder(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32, claim: PeerRef<'_>) {
        if let Some(takeover) = self.takeovers.0.get_mut(&idx) {
            if incarnation > takeover.incarnation && takeover.claim.addr() == canonical(claim.addr) {
                takeover.incarnation = incarnation;
                takeover.claim = Arc::new(Peer::new(core.roster.name(idx), claim));
            }
            return core.stats.repeats_in += 1;
        }
        if self.takeovers.0.len() >= TAKEOVERS_MAX {
            return core.stats.drop(DropReason::Limit);
        }
        let (seq, due) = (self.probing.next_seq(), core.now + core.cfg.probe_timeout);
        let claim = Arc::new(Peer::new(core.roster.name(idx), claim));
        self.takeovers.0.insert(idx, Takeover { incarnation, claim, seq, asked_twice: false, due });
        ping_holder(core, idx, seq);
        core.timers.set(SwimTimer::Takeover(idx), due);
    }

    /// The holder has not answered within a probe timeout.
    pub(super) fn takeover_due(&mut self, core: &mut Core, idx: MemberIdx) {
        let Some(takeover) = self.takeovers.0.get_mut(&idx).filter(|takeover| takeover.due <= core.now) else { return };
        if takeover.asked_twice {
            return self.take_over(core, idx);
        }
        let (seq, due) = (takeover.seq, core.now + core.cfg.probe_timeout);
        (takeover.asked_twice, takeover.due) = (true, due);
        core.timers.set(SwimTimer::Takeover(idx), due);
        ping_holder(core, idx, seq);
        if let Some(with) = core.roster.peer(idx).map(|peer| peer.addr()).filter(|_| core.cfg.stream_pings) {
            let ask = Ask::Ping { seq, target: idx, codec: core.codec(Some(idx), None) };
            core.dial(with, ask, due);
        }
    }

    fn take_over(&mut self, core: &mut Core, idx: MemberIdx) {
        let Some(Takeover { incarnation, claim, .. }) = self.takeovers.0.remove(&idx) else { return };
        if !self.may_take_name(core, idx) {
            self.conflict(core, idx, claim.announced());
        } else if !self.make_room(core, core.roster.growth(idx, claim.announced()), Some(idx)) {
            core.stats.drop(DropReason::Limit);
        } else if admits(core, claim.announced()) {
            self.admission.forget_ack(idx);
            self.adopt(core, idx, incarnation, claim.announced());
        }
    }

    /// A holder that answers keeps its name, and is sent what is said of it, so that it can refute: gossip does not go to members
    /// that left.
    pub(super) fn holder_acked(&mut self, core: &mut Core, seq: u32) {
        let Some((idx, claim)) = self.takeovers.acked(seq) else { return };
        self.conflict(core, idx, claim.announced());
        if let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) {
            let body = Body::Ping { seq: self.probing.next_seq(), target: idx, accusing: true };
            core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
        }
    }
}

fn ping_holder(core: &mut Core, idx: MemberIdx, seq: u32) {
    let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) else { return };
    let body = Body::BarePing { seq, target: idx };
    core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
}

/// How many claims wait at one time. Ours: each holds what it announces, and pings. One more is refused and counted; it will be
/// repeated.
const TAKEOVERS_MAX: usize = 64;
