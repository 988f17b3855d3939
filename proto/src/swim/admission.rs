//! Admission control: which newcomers become members when the memory for members is used up.
//!
//! Memory for members is limited to [`MEMBERS_BYTES_MAX`](crate::limits::MEMBERS_BYTES_MAX) bytes. Any host can
//! announce members that do not exist, and use some of it with each. At the limit, a newcomer must prove that it
//! exists: it must answer a ping, or open a stream to us. It then evicts a member that has never answered us. Below the
//! limit, every newcomer is admitted without a check.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Swim, admits, is_gone};
use crate::core::{Body, Core, Notification, Origin, Unicast};
use crate::fingerprint::Fingerprint;
use crate::roster::{Holder, MemberIdx, Peer, canonical, stored_peer};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::swim::PeerRef;

/// Admission state: pinged newcomers, and which members have answered us.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Admission {
    newcomers: Vec<Newcomer>,
    /// Bit set, by member index: the member has answered a probe.
    answered: Vec<u64>,
    /// The peer of the stream that last admitted a newcomer. Each stream admits one.
    admitted_from: Option<SocketAddr>,
    /// Flood score: +1 for each failed probe of a member that never answered, -1 for each ack.
    flood_score: u32,
}

/// A newcomer that was pinged and has not answered yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Newcomer {
    incarnation: u32,
    #[serde(with = "stored_peer")]
    peer: Arc<Peer>,
    seq: u32,
    until: Instant,
}

impl Admission {
    pub(super) fn has_answered(&self, idx: MemberIdx) -> bool {
        self.answered.get(idx.at() / BITS).is_some_and(|word| word >> (idx.at() % BITS) & 1 == 1)
    }

    /// Records an ack of a member.
    pub(super) fn note_ack(&mut self, idx: MemberIdx) {
        let word = idx.at() / BITS;
        if self.answered.len() <= word {
            self.answered.resize(word + 1, 0);
        }
        self.answered[word] |= 1 << (idx.at() % BITS);
        self.flood_score = self.flood_score.saturating_sub(1);
    }

    /// Records a failed probe.
    pub(super) fn note_failed_probe(&mut self, idx: MemberIdx) {
        if !self.has_answered(idx) {
            self.flood_score = FLOOD_SCORE_MAX.min(self.flood_score + 1);
        }
    }

    /// Clears a member's bit: its index now stands for another node.
    pub(super) fn forget_ack(&mut self, idx: MemberIdx) {
        if let Some(word) = self.answered.get_mut(idx.at() / BITS) {
            *word &= !(1 << (idx.at() % BITS));
        }
    }

    /// Whether most announced members seem not to exist. Uniformly drawn targets for gossip, push/pull and indirect
    /// pings would then mostly be dead addresses, and even the news of their deaths would not spread. Members that have
    /// answered are then preferred. False positives are rare without a flood, and harmless.
    pub(super) const fn is_flooded(&self) -> bool {
        self.flood_score >= FLOOD_SCORE_LEAST
    }

    /// Whether the newcomer itself opened the stream of this message, and the stream has admitted no other.
    fn opened_the_stream(&mut self, origin: Origin, peer: PeerRef<'_>) -> bool {
        let Origin::Exchange(from) = origin else { return false };
        let comes = canonical(from).ip() == canonical(peer.addr).ip() && self.admitted_from != Some(from);
        if comes {
            self.admitted_from = Some(from);
        }
        comes
    }

    /// Whether another newcomer may be pinged. Packets are the cheapest to forge, so they may use only half of the
    /// slots.
    fn has_slot(&mut self, now: Instant, origin: Origin, name: &str) -> bool {
        self.newcomers.retain(|newcomer| now < newcomer.until);
        let is_packet = matches!(origin, Origin::Packet(_));
        let slots = if is_packet { NEWCOMERS_MAX / 2 } else { NEWCOMERS_MAX };
        self.newcomers.len() < slots && self.newcomers.iter().all(|newcomer| newcomer.peer.name() != name)
    }

    fn acked(&mut self, seq: u32) -> Option<Newcomer> {
        let at = self.newcomers.iter().position(|newcomer| newcomer.seq == seq)?;
        Some(self.newcomers.swap_remove(at))
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { newcomers, answered, admitted_from, flood_score } = self;
        to.put((answered, admitted_from, flood_score));
        // Only at the limit of memory is there any.
        to.text(newcomers);
    }
}

impl Swim {
    /// Handles a newcomer at the memory limit: admits it if it opened the stream itself, otherwise pings it.
    pub(super) fn ask_newcomer(&mut self, core: &mut Core, origin: Origin, incarnation: u32, peer: PeerRef<'_>) {
        // `judge` adopts no newcomer at incarnation 0 either.
        if incarnation == 0 {
            return;
        }
        if self.admission.opened_the_stream(origin, peer) {
            return self.admit(core, incarnation, peer);
        }
        // Counted in any case. The newcomer will be announced again by gossip.
        core.stats.drop(DropReason::Limit);
        if !self.admission.has_slot(core.now, origin, peer.name) {
            return;
        }
        let (seq, until) = (self.probing.next_seq(), core.now + core.cfg.swim().probe_timeout);
        let peer = Arc::new(Peer::new(peer.name.into(), peer));
        let body = Body::NewcomerPing { seq, node: peer.shared_name() };
        core.unicasts.push(Unicast { to: peer.addr(), peer: None, answers: None, body });
        self.admission.newcomers.push(Newcomer { incarnation, peer, seq, until });
    }

    /// Admits the newcomer whose ping this ack answers.
    pub(super) fn newcomer_acked(&mut self, core: &mut Core, seq: u32) {
        let Some(Newcomer { incarnation, peer, until, .. }) = self.admission.acked(seq) else { return };
        // It may have been admitted over a stream in the meantime.
        let is_member = core.roster.find(peer.name()).is_some_and(|idx| self.members.row(idx).state.is_some());
        if core.now < until && !is_member {
            self.admit(core, incarnation, peer.announced());
        }
    }

    fn admit(&mut self, core: &mut Core, incarnation: u32, peer: PeerRef<'_>) {
        if !admits(core, peer) {
            return;
        }
        let bytes = core.roster.cost_of(peer);
        let idx = if self.make_room(core, bytes, None) { core.roster.intern(peer.name) } else { None };
        let Some(idx) = idx else { return core.stats.drop(DropReason::Limit) };
        self.adopt(core, idx, incarnation, peer);
        // It has answered, so the next newcomer does not evict it.
        self.admission.note_ack(idx);
    }

    /// Evicts members until `bytes` fit; false if too few may be evicted. Candidates are drawn at random: members that
    /// never answered, and in the second half of the draws also members that are dead or left. `keep` is not evicted.
    pub(super) fn make_room(&mut self, core: &mut Core, bytes: usize, keep: Option<MemberIdx>) -> bool {
        let rows = u32::try_from(core.roster.len()).unwrap_or(u32::MAX);
        for draw in 0..DRAWS_MAX {
            if core.roster.has_room(bytes) {
                return true;
            }
            let idx = MemberIdx(core.rng.gossip.below(rows));
            let may_go = !self.admission.has_answered(idx) || (draw >= DRAWS_MAX / 2 && is_gone(self.members.row(idx)));
            if idx != self.me() && Some(idx) != keep && may_go && core.roster.makes_room(idx) {
                self.evict(core, idx);
            }
        }
        core.roster.has_room(bytes)
    }

    /// Removes a member in any state.
    fn evict(&mut self, core: &mut Core, idx: MemberIdx) {
        // Dequeue before `forget`: a queued broadcast is written from its row.
        self.broadcasts.cancel(idx, &mut self.members);
        self.members.forget(core, idx);
        self.takeovers.cancel(idx);
        if self.probing.cancel(idx) {
            core.timers.clear(SwimTimer::AckDue);
            core.timers.clear(SwimTimer::ProbeEnd);
        }
        core.stats.evictions += 1;
        // The layer above may still hold the row, so its bytes are written off before this layer's hold is released.
        core.roster.write_off(idx);
        core.roster.release(idx, Holder::Swim);
        core.notify(Notification::Evicted(idx));
    }
}

const BITS: usize = u64::BITS as usize;

/// How many newcomers are pinged concurrently. Ours: each holds its record. Newcomers beyond the limit are counted as
/// dropped; gossip will announce them again.
const NEWCOMERS_MAX: usize = 64;

/// How many random draws one newcomer may cost. Ours: bounds the work per packet when most members have answered.
const DRAWS_MAX: u32 = 128;

/// Upper bound of the flood score, so that a few acks end the flood mode.
const FLOOD_SCORE_MAX: u32 = 16;

/// The flood score from which members that have answered are preferred.
const FLOOD_SCORE_LEAST: u32 = 8;
