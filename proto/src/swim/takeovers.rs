//! Name takeovers: pings the last holder of a name before another address gets the name.
//!
//! Any host can forge another node's leave and then claim its name. memberlist accepts both and declares this out of
//! scope (issue 370). Ours: a claim of a name whose holder left, or has been dead for long enough, waits while the
//! holder's address is pinged by name, twice over UDP and once over a stream. If the holder answers, the claim becomes
//! a conflict between two live nodes. If not, the name changes hands after two probe timeouts. A node that restarts at
//! another address waits that long.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Swim, admits};
use crate::core::{Body, Core, ExchangePurpose, Sometimes, Unicast};
use crate::fingerprint::Fingerprint;
use crate::roster::{MemberIdx, Peer, canonical, stored_peer};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::swim::PeerRef;

/// Pending claims of names, by the index of the last holder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Takeovers(BTreeMap<MemberIdx, Takeover>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Takeover {
    incarnation: u32,
    #[serde(with = "stored_peer")]
    claim: Arc<Peer>,
    /// Sequence number of the pings.
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

    /// Removes the claim whose holder acked this sequence number.
    fn acked(&mut self, core: &Core, seq: u32) -> Option<(MemberIdx, Arc<Peer>)> {
        let (&idx, _) = self.0.iter().find(|(_, takeover)| takeover.seq == seq)?;
        self.remove_stale(core, idx);
        self.0.remove(&idx).map(|takeover| (idx, takeover.claim))
    }

    /// Removes the claim if its name was forgotten in the meantime: the index may have another name, or none.
    fn remove_stale(&mut self, core: &Core, idx: MemberIdx) {
        let has_name = |claim: &Peer| core.roster.find_bytes(claim.name().as_bytes()) == Some(idx);
        if self.0.get(&idx).is_some_and(|takeover| !has_name(&takeover.claim)) {
            self.0.remove(&idx);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Feeds sequence numbers relative to the last one.
    pub(super) fn fingerprint(&self, last_seq: u32, to: &mut Fingerprint<'_>) {
        for (idx, Takeover { incarnation, claim, seq, asked_twice, due }) in &self.0 {
            to.put((idx, incarnation, claim.record(), last_seq.wrapping_sub(*seq), asked_twice));
            to.deadline(*due);
        }
    }
}

impl Swim {
    /// Starts a takeover: pings the last holder of the name. Of two claims the first is pending; the same address may
    /// replace it with a newer one.
    pub(super) fn ask_holder(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32, claim: PeerRef<'_>) {
        self.takeovers.remove_stale(core, idx);
        if let Some(takeover) = self.takeovers.0.get_mut(&idx) {
            if incarnation > takeover.incarnation && takeover.claim.addr() == canonical(claim.addr) {
                takeover.incarnation = incarnation;
                takeover.claim = Arc::new(Peer::new(core.roster.name(idx), claim));
            }
            return core.stats.repeats_in += 1;
        }
        // Each pending claim holds a record and sends pings, so their number is bounded.
        if self.takeovers.0.len() >= TAKEOVERS_MAX {
            return core.stats.drop(DropReason::Limit);
        }
        let (seq, due) = (self.probing.next_seq(), core.now + core.cfg.swim().probe_timeout);
        let claim = Arc::new(Peer::new(core.roster.name(idx), claim));
        self.takeovers.0.insert(idx, Takeover { incarnation, claim, seq, asked_twice: false, due });
        ping_holder(core, idx, seq);
        core.timers.set(SwimTimer::Takeover(idx), due);
    }

    /// Handles the timeout of a ping to the holder: pings once more, then completes the takeover.
    pub(super) fn takeover_due(&mut self, core: &mut Core, idx: MemberIdx) {
        // Serf may have removed a holder that membership no longer knew, or was told to. Claims are repeated.
        self.takeovers.remove_stale(core, idx);
        let Some(takeover) = self.takeovers.0.get_mut(&idx).filter(|takeover| takeover.due <= core.now) else { return };
        if takeover.asked_twice {
            return self.take_over(core, idx);
        }
        let (seq, due) = (takeover.seq, core.now + core.cfg.swim().probe_timeout);
        (takeover.asked_twice, takeover.due) = (true, due);
        core.timers.set(SwimTimer::Takeover(idx), due);
        ping_holder(core, idx, seq);
        if let Some(with) = core.roster.peer(idx).map(|peer| peer.addr()).filter(|_| core.cfg.swim().stream_pings) {
            let purpose = ExchangePurpose::Ping { seq, target: idx, codec: core.codec(Some(idx), None) };
            core.dial(with, purpose, due);
        }
    }

    fn take_over(&mut self, core: &mut Core, idx: MemberIdx) {
        let Some(Takeover { incarnation, claim, .. }) = self.takeovers.0.remove(&idx) else { return };
        // Checked again: the holder may have returned or been reaped in the meantime.
        if !self.may_take_name(core, idx) {
            self.conflict(core, idx, claim.announced());
        } else if !self.make_room(core, core.roster.growth(idx, claim.announced()), Some(idx)) {
            core.stats.drop(DropReason::Limit);
        } else if admits(core, claim.announced()) {
            // The new node at this index has not answered a probe yet.
            self.admission.forget_ack(idx);
            core.met.note(Sometimes::NameMoved);
            self.adopt(core, idx, incarnation, claim.announced());
        }
    }

    /// The holder answered: it keeps the name, and gets the accusation so that it can refute.
    pub(super) fn holder_acked(&mut self, core: &mut Core, seq: u32) {
        let Some((idx, claim)) = self.takeovers.acked(core, seq) else { return };
        core.met.note(Sometimes::NameDefended);
        self.conflict(core, idx, claim.announced());
        self.ping_accusing(core, idx);
    }
}

fn ping_holder(core: &mut Core, idx: MemberIdx, seq: u32) {
    let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) else { return };
    let body = Body::BarePing { seq, target: idx };
    core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
}

/// How many claims may be pending. Ours: each holds a record and sends pings. Further ones are dropped and counted;
/// they will be repeated.
const TAKEOVERS_MAX: usize = 64;
