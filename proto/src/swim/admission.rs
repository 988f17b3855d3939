//! Admission of newcomers when the room for members is used up.
//!
//! What members cost is bounded in bytes, see [`MEMBERS_BYTES_MAX`](crate::limits::MEMBERS_BYTES_MAX). Any host can announce members
//! that do not exist, and with each of them use up some of it. So when all is used, a newcomer must show that it exists: it is
//! admitted when it answers a ping, or comes itself over a stream, and evicts a member that has never answered us. While
//! there is room nothing of this happens.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Swim, admits, is_gone};
use crate::core::{Body, Core, Notification, Origin, Unicast};
use crate::roster::{Holder, MemberIdx, Peer, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::swim::PeerRef;

/// Newcomers that there is no room for, and the members that have answered us.
#[derive(Clone, Debug, Default)]
pub(super) struct Admission {
    newcomers: Vec<Newcomer>,
    /// A bit for each member that has answered a probe of ours.
    answered: Vec<u64>,
    /// The peer of the stream over which a newcomer was last admitted: each stream admits one.
    admitted_from: Option<SocketAddr>,
    /// Rises with each probe of a member that has never answered and does not, and falls with each that is answered.
    doubt: u32,
}

/// A newcomer that was pinged.
#[derive(Clone, Debug)]
struct Newcomer {
    incarnation: u32,
    peer: Arc<Peer>,
    seq: u32,
    until: Instant,
}

impl Admission {
    pub(super) fn has_answered(&self, idx: MemberIdx) -> bool {
        self.answered.get(idx.at() / BITS).is_some_and(|word| word >> (idx.at() % BITS) & 1 == 1)
    }

    /// Notes that a member has answered us.
    pub(super) fn note_ack(&mut self, idx: MemberIdx) {
        let word = idx.at() / BITS;
        if self.answered.len() <= word {
            self.answered.resize(word + 1, 0);
        }
        self.answered[word] |= 1 << (idx.at() % BITS);
        self.doubt = self.doubt.saturating_sub(1);
    }

    /// Notes an unanswered probe.
    pub(super) fn note_silence(&mut self, idx: MemberIdx) {
        if !self.has_answered(idx) {
            self.doubt = DOUBT_MAX.min(self.doubt + 1);
        }
    }

    /// Forgets whether the member has answered: it is another now.
    pub(super) fn forget_ack(&mut self, idx: MemberIdx) {
        if let Some(word) = self.answered.get_mut(idx.at() / BITS) {
            *word &= !(1 << (idx.at() % BITS));
        }
    }

    /// Whether most announced members turn out not to exist. Gossip, push/pulls and indirect probes that are drawn evenly
    /// among all members would then go nowhere, the news of their deaths included, so members that have answered us come first. In
    /// a cluster without such a flood this is seldom so, and then harmless.
    pub(super) const fn is_flooded(&self) -> bool {
        self.doubt >= DOUBT_LEAST
    }

    /// Whether the newcomer comes itself, over a stream that has admitted no other.
    fn comes_itself(&mut self, origin: Origin, peer: PeerRef<'_>) -> bool {
        let Origin::Exchange(from) = origin else { return false };
        let comes = canonical(from).ip() == canonical(peer.addr).ip() && self.admitted_from != Some(from);
        if comes {
            self.admitted_from = Some(from);
        }
        comes
    }

    /// Whether one more newcomer may be pinged. Packets cost their senders least, and leave half of the places to others.
    fn has_place(&mut self, now: Instant, origin: Origin, name: &str) -> bool {
        self.newcomers.retain(|newcomer| now < newcomer.until);
        let is_packet = matches!(origin, Origin::Packet(_));
        let places = if is_packet { NEWCOMERS_MAX / 2 } else { NEWCOMERS_MAX };
        self.newcomers.len() < places && self.newcomers.iter().all(|newcomer| newcomer.peer.name() != name)
    }

    fn acked(&mut self, seq: u32) -> Option<Newcomer> {
        let at = self.newcomers.iter().position(|newcomer| newcomer.seq == seq)?;
        Some(self.newcomers.swap_remove(at))
    }
}

impl Swim {
    /// There is no room for a newcomer: admits it if it comes itself, and pings it if others announce it.
    pub(super) fn ask_newcomer(&mut self, core: &mut Core, origin: Origin, incarnation: u32, peer: PeerRef<'_>) {
        if incarnation == 0 {
            return;
        }
        if self.admission.comes_itself(origin, peer) {
            return self.admit(core, incarnation, peer);
        }
        core.stats.drop(DropReason::Limit);
        if !self.admission.has_place(core.now, origin, peer.name) {
            return;
        }
        let (seq, until) = (self.probing.next_seq(), core.now + core.cfg.probe_timeout);
        let peer = Arc::new(Peer::new(peer.name.into(), peer));
        let body = Body::NewcomerPing { seq, node: peer.shared_name() };
        core.unicasts.push(Unicast { to: peer.addr(), peer: None, answers: None, body });
        self.admission.newcomers.push(Newcomer { incarnation, peer, seq, until });
    }

    /// Admits the newcomer that this ack comes from.
    pub(super) fn newcomer_acked(&mut self, core: &mut Core, seq: u32) {
        let Some(Newcomer { incarnation, peer, until, .. }) = self.admission.acked(seq) else { return };
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
        self.admission.note_ack(idx);
    }

    /// Evicts members until there is room for so many bytes; false when none may go. Those go that never answered us, and then those
    /// that are gone; which of them is drawn. `keep` stays.
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

    /// Forgets a member, whatever it is.
    fn evict(&mut self, core: &mut Core, idx: MemberIdx) {
        self.broadcasts.cancel(idx, &mut self.members);
        self.members.forget(idx);
        self.takeovers.cancel(idx);
        if self.probing.cancel(idx) {
            core.timers.clear(SwimTimer::AckDue);
            core.timers.clear(SwimTimer::ProbeEnd);
        }
        core.stats.evictions += 1;
        core.roster.write_off(idx);
        core.roster.release(idx, Holder::Swim);
        core.notify(Notification::Evicted(idx));
    }
}

const BITS: usize = u64::BITS as usize;

/// How many newcomers are pinged at one time. Ours: each holds what it announces. One more is refused and counted; it will be
/// announced again.
const NEWCOMERS_MAX: usize = 64;

/// How many members are looked at to make room for one. Ours, so that a packet costs little however many have answered.
const DRAWS_MAX: u32 = 128;

/// How far the doubt in newcomers rises, so that it ends as soon as a few more of them answer than do not.
const DOUBT_MAX: u32 = 16;

/// From where on members that have answered come first.
const DOUBT_LEAST: u32 = 8;
