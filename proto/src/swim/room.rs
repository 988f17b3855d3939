//! Who gives way when the room for members is used up.
//!
//! What members cost is bounded in bytes, see [`MEMBERS_BYTES_MAX`](crate::limits::MEMBERS_BYTES_MAX). Anybody can announce members
//! that are not there, and with each of them use up some of it. So when all is used, a newcomer must show that it is there: it is let
//! in when it answers a ping, or comes itself over a stream, and in its place a member goes that has never answered us. While
//! there is room nothing of this happens.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::rows::Row;
use super::{Swim, admits};
use crate::core::{Body, Core, Notification, Origin, Unicast};
use crate::roster::{Holder, MemberIdx, Peer, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::swim::{PeerRef, State};

/// A newcomer that was asked whether it is there.
#[derive(Clone, Debug)]
struct Knock {
    incarnation: u32,
    claim: Arc<Peer>,
    seq: u32,
    until: Instant,
}

/// Newcomers that there is no room for, and who has earned its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Door {
    knocks: Vec<Knock>,
    /// A bit for each member that has answered a probe of ours.
    answered: Vec<u64>,
    /// The peer of the stream over which a newcomer was last admitted: each stream admits one.
    came: Option<SocketAddr>,
    /// Rises with each probe of a member that has never answered and does not, and falls with each that is answered.
    doubt: u32,
}

impl Door {
    pub(super) fn has_answered(&self, idx: MemberIdx) -> bool {
        self.answered.get(idx.at() / BITS).is_some_and(|word| word >> (idx.at() % BITS) & 1 == 1)
    }

    pub(super) fn note_answer(&mut self, idx: MemberIdx, answers: bool) {
        let (word, bit) = (idx.at() / BITS, 1 << (idx.at() % BITS));
        if self.answered.len() <= word {
            if !answers {
                return;
            }
            self.answered.resize(word + 1, 0);
        }
        if answers {
            self.answered[word] |= bit;
            self.doubt = self.doubt.saturating_sub(1);
        } else {
            self.answered[word] &= !bit;
        }
    }

    /// Notes an unanswered probe.
    pub(super) fn note_silence(&mut self, idx: MemberIdx) {
        if !self.has_answered(idx) {
            self.doubt = DOUBT_MAX.min(self.doubt + 1);
        }
    }

    /// Whether most announced members turn out not to exist. Gossip, push/pulls and indirect probes that are drawn evenly
    /// among all members would then go nowhere, the news of their deaths included, so members that have answered us come first. In
    /// a cluster without such a flood this is seldom so, and then harmless.
    pub(super) const fn has_doubts(&self) -> bool {
        self.doubt >= DOUBT_LEAST
    }
}

impl Swim {
    /// There is no room for a newcomer: it is let in if it comes itself, and asked whether it is there if others tell of it.
    pub(super) fn knock(&mut self, core: &mut Core, origin: Origin, incarnation: u32, peer: PeerRef<'_>) {
        if incarnation == 0 {
            return;
        }
        if let Origin::Exchange(from) = origin
            && canonical(from).ip() == canonical(peer.addr).ip()
            && self.door.came != Some(from)
        {
            self.door.came = Some(from);
            return self.let_in(core, incarnation, peer);
        }
        core.stats.drop(DropReason::Limit);
        self.door.knocks.retain(|knock| core.now < knock.until);
        // Packets cost their senders least, and leave half of the places to others.
        let is_packet = matches!(origin, Origin::Packet(_));
        let places = if is_packet { KNOCKS_MAX / 2 } else { KNOCKS_MAX };
        if self.door.knocks.len() >= places || self.door.knocks.iter().any(|knock| knock.claim.name() == peer.name) {
            return;
        }
        let (seq, until) = (self.next_seq(), core.now + core.cfg.probe_timeout);
        let claim = Arc::new(Peer::new(peer.name.into(), peer));
        let body = Body::Knock { seq, node: claim.shared_name() };
        core.unicasts.push(Unicast { to: claim.addr(), peer: None, answers: None, body });
        self.door.knocks.push(Knock { incarnation, claim, seq, until });
    }

    /// An ack came that is of no probe of ours.
    pub(super) fn knocker_answered(&mut self, core: &mut Core, seq: u32) {
        let Some(at) = self.door.knocks.iter().position(|knock| knock.seq == seq) else { return };
        let Knock { incarnation, claim, until, .. } = self.door.knocks.swap_remove(at);
        let is_member = core.roster.find(claim.name()).is_some_and(|idx| self.row(idx).state.is_some());
        if core.now < until && !is_member {
            self.let_in(core, incarnation, claim.announced());
        }
    }

    fn let_in(&mut self, core: &mut Core, incarnation: u32, peer: PeerRef<'_>) {
        if !admits(core, peer) {
            return;
        }
        let bytes = core.roster.cost_of(peer);
        let idx = if self.make_room(core, bytes, None) { core.roster.intern(peer.name) } else { None };
        let Some(idx) = idx else { return core.stats.drop(DropReason::Limit) };
        self.adopt(core, idx, incarnation, peer);
        self.door.note_answer(idx, true);
    }

    /// Has members go until there is room for so many bytes; false when none may go. Those go that never answered us, and then those
    /// that are gone; which of them is drawn. `for_whom` stays.
    pub(super) fn make_room(&mut self, core: &mut Core, bytes: usize, for_whom: Option<MemberIdx>) -> bool {
        let rows = u32::try_from(core.roster.len()).unwrap_or(u32::MAX);
        for draw in 0..DRAWS_MAX {
            if core.roster.has_room(bytes) {
                return true;
            }
            let idx = MemberIdx(core.rng.gossip.below(rows));
            let state = self.row(idx).state;
            let is_gone = matches!(state, None | Some(State::Dead | State::Left));
            let may_go = !self.door.has_answered(idx) || (draw >= DRAWS_MAX / 2 && is_gone);
            if idx != self.me && Some(idx) != for_whom && may_go && core.roster.makes_room(idx) {
                self.evict(core, idx);
            }
        }
        core.roster.has_room(bytes)
    }

    /// Forgets a member, whatever it is.
    fn evict(&mut self, core: &mut Core, idx: MemberIdx) {
        let row = self.row(idx);
        if let Some(state) = row.state {
            self.counts[state as usize] -= 1;
            self.queued -= usize::from(row.sends.is_some());
            self.rows.set(idx, Row::NOBODY);
        }
        self.troubles.remove(&idx);
        self.takeovers.remove(&idx);
        self.cases.close(idx);
        if self.probe.take_if(|probe| probe.is_of(idx)).is_some() {
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

/// How many newcomers are asked at one time. Ours: each holds what it announces. One more is refused and counted; it will be repeated.
const KNOCKS_MAX: usize = 64;

/// How many members are looked at to make room for one. Ours, so that a packet costs little however many have answered.
const DRAWS_MAX: u32 = 128;

/// How far the doubt in newcomers rises, so that it ends as soon as a few more of them answer than do not.
const DOUBT_MAX: u32 = 16;

/// From where on members that have answered come first.
const DOUBT_LEAST: u32 = 8;
