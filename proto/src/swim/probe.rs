//! Is it there? One member is probed at a time, everybody in turn (`probe` and `probeNode` in memberlist's state.go).
//!
//! A direct ping; if no ack comes within the probe timeout, indirect pings through a few others and a ping over a stream;
//! if none of these is answered within the probe interval, stretched by our own ill health, the member is suspect.

use core::net::{SocketAddr, SocketAddrV6};
use core::time::Duration;

use super::Swim;
use crate::complaints::ComplaintKind;
use crate::core::{Ask, Body, Core, Heard, Origin, Unicast};
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::swim::{Accusation, Ping, Source, State};

/// The probe that is running.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    seq: u32,
    target: MemberIdx,
    /// The target's incarnation when the probe began: what it is accused at.
    incarnation: u32,
    sent_at: Instant,
    ends_at: Instant,
    nacks_expected: u32,
    nacks: u32,
    answered_by_stream: bool,
}

impl Probe {
    pub(super) fn is_of(&self, idx: MemberIdx) -> bool {
        self.target == idx
    }
}

impl Swim {
    /// Each loop begins after a random wait, so that nodes started together do not tick together.
    pub(super) fn start_timers(&self, core: &mut Core) {
        let wait = core.rng.jitter.duration_below(core.cfg.probe_interval);
        core.arm(wait, SwimTimer::Probe);
        let wait = core.rng.jitter.duration_below(core.cfg.push_pull_interval);
        core.arm(wait, SwimTimer::PushPull);
    }

    /// Takes a timer of this layer.
    pub(crate) fn handle_timer(&mut self, core: &mut Core, timer: SwimTimer) {
        match timer {
            SwimTimer::Probe => self.probe_next(core),
            SwimTimer::AckDue => self.ask_others(core),
            SwimTimer::ProbeEnd => self.end_probe(core),
            SwimTimer::PushPull => self.push_pull_due(core),
            SwimTimer::Suspicion(idx) => self.suspicion_due(core, Origin::Local, idx),
            SwimTimer::Relay(seq) => self.relay_due(core, seq),
            SwimTimer::Takeover(idx) => self.takeover_due(core, idx),
        }
    }

    /// Starts the next probe. Does nothing while one runs, or when nobody can be probed.
    fn probe_next(&mut self, core: &mut Core) {
        core.arm(core.cfg.probe_interval, SwimTimer::Probe);
        self.mind_own_incarnation(core);
        if self.probe.is_some() {
            return;
        }
        let Some(target) = self.next_target(core) else { return };
        let row = self.row(target);
        let (seq, interval) = (self.next_seq(), self.awareness.scale(core.cfg.probe_interval));
        self.probe = Some(Probe {
            seq,
            target,
            incarnation: row.incarnation,
            sent_at: core.now,
            ends_at: core.now + interval,
            nacks_expected: 0,
            nacks: 0,
            answered_by_stream: false,
        });
        core.stats.probes += 1;
        let Some(to) = core.roster.peer(target).map(|peer| peer.addr()) else { return };
        let accusing = row.state == Some(State::Suspect);
        let body = Body::Ping { seq, target, accusing };
        core.unicasts.push(Unicast { to, peer: Some(target), answers: None, body });
        core.arm(core.cfg.probe_timeout, SwimTimer::AckDue);
        core.arm(interval, SwimTimer::ProbeEnd);
    }

    /// The next member in the order that can be probed. When a round is over the dead are forgotten and the next begins;
    /// a round without anybody to probe ends the search.
    fn next_target(&mut self, core: &mut Core) -> Option<MemberIdx> {
        if self.others_live() == 0 && self.troubles.is_empty() {
            return None;
        }
        // Every other time at the most, so that hearsay keeps no member from being probed.
        if core.stats.probes.is_multiple_of(2)
            && let Some(idx) = self.hearsay.take()
            && self.is_live(idx)
        {
            return Some(idx);
        }
        // Members that are there wait no longer for their turn because many are not.
        if self.door.has_doubts() && core.stats.probes % 4 == 1 {
            let answered = |swim: &Self, idx| swim.door.has_answered(idx) && swim.is_live(idx);
            if let Some(&idx) = self.choose(&mut core.rng.probe, 1, answered).first() {
                return Some(idx);
            }
        }
        for _ in 0..2 {
            while let Some(idx) = self.order.next(self.rows.len()) {
                if idx != self.me && self.is_live(idx) {
                    return Some(idx);
                }
            }
            self.reap(core);
            self.order.restart(self.rows.len(), &mut core.rng.probe);
        }
        None
    }

    /// The direct ping was not answered in time: others, and a stream, are to try.
    fn ask_others(&mut self, core: &mut Core) {
        let Some(Probe { seq, target, ends_at, .. }) = self.probe else { return };
        let count = core.cfg.indirect_probes as usize;
        let may_help = |swim: &Self, idx| idx != target && swim.row(idx).state == Some(State::Alive);
        let helpers = self.choose_reliable(&mut core.rng.probe, count, may_help);
        let mut nacks_expected = 0;
        for helper in helpers {
            let Some(peer) = core.roster.peer(helper) else { continue };
            let nack = peer.versions().protocol_max() >= PROTOCOL_NACK;
            nacks_expected += u32::from(nack);
            let body = Body::IndirectPing { seq, target, nack };
            core.unicasts.push(Unicast { to: peer.addr(), peer: Some(helper), answers: None, body });
        }
        if let Some(probe) = &mut self.probe {
            probe.nacks_expected = nacks_expected;
        }
        let Some(peer) = core.roster.peer(target) else { return };
        if core.cfg.stream_pings && peer.versions().protocol_max() >= PROTOCOL_STREAM_PING {
            let (with, ask) = (peer.addr(), Ask::Ping { seq, target, codec: core.codec(Some(target), None) });
            core.dial(with, ask, ends_at);
        }
    }

    /// The probe is over and no ack came.
    fn end_probe(&mut self, core: &mut Core) {
        let Some(probe) = self.probe.take() else { return };
        core.timers.clear(SwimTimer::AckDue);
        if probe.answered_by_stream {
            core.stats.probes_saved_by_stream += 1;
            core.complain_of(ComplaintKind::UdpBlocked, probe.target, "");
            self.door.note_answer(probe.target, true);
            self.awareness.apply(-1);
            return;
        }
        self.door.note_silence(probe.target);
        // The silence of a member that does not exist says nothing of our own health.
        if self.door.has_answered(probe.target) || !self.door.has_doubts() {
            let missing = probe.nacks_expected.saturating_sub(probe.nacks);
            self.awareness.apply(if probe.nacks_expected > 0 { i32::try_from(missing).unwrap_or(i32::MAX) } else { 1 });
        }
        core.stats.probes_failed += 1;
        if self.row(probe.target).state.is_none() {
            return;
        }
        core.stats.suspicions_raised += 1;
        let (node, me) = (core.roster.name(probe.target), core.roster.name(self.me));
        self.suspect(core, Origin::Local, &Accusation { incarnation: probe.incarnation, node: &node, from: &me });
    }

    /// An ack came, for our own probe or for one that we relay. Returns who answered and how long that took when it answers our
    /// own direct ping within the probe timeout: later it may have come through another member.
    pub(crate) fn acked(&mut self, core: &mut Core, origin: Origin, seq: u32) -> Option<(MemberIdx, Duration)> {
        let Some(probe) = self.probe.take_if(|probe| probe.seq == seq) else {
            self.relay_acked(core, seq);
            self.holder_answered(core, seq);
            self.knocker_answered(core, seq);
            return None;
        };
        let is_direct = core.timers.is_set(SwimTimer::AckDue);
        core.timers.clear(SwimTimer::AckDue);
        core.timers.clear(SwimTimer::ProbeEnd);
        self.awareness.apply(-1);
        self.door.note_answer(probe.target, true);
        core.probe_answered(origin, probe.target, is_direct);
        is_direct.then(|| (probe.target, core.now - probe.sent_at))
    }

    pub(super) fn nacked(&mut self, seq: u32) {
        if let Some(probe) = &mut self.probe
            && probe.seq == seq
        {
            probe.nacks += 1;
        }
    }

    /// The target of a stream ping answered. That does not end the probe, but decides it.
    pub(crate) fn stream_acked(&mut self, core: &mut Core, seq: u32) {
        self.holder_answered(core, seq);
        if let Some(probe) = &mut self.probe
            && probe.seq == seq
        {
            probe.answered_by_stream = true;
        }
    }

    /// Answers a ping, unless it is for somebody else.
    pub(super) fn answer_ping(&mut self, core: &mut Core, heard: &mut Heard, ping: &Ping<'_>) {
        if !self.is_for_us(core, ping.node) {
            return core.drop_naming(DropReason::NotForUs, format_args!("{}", ping.node));
        }
        if !heard.take_answer() {
            return core.stats.drop(DropReason::Limit);
        }
        let ReplyTo { addr: to, peer, is_member } = self.reply_to(core, heard.from, ping.source);
        let (seq, answers) = (ping.seq, Some(heard.codec));
        let body = if is_member { Body::Ack { seq } } else { Body::StrangerAck { seq, bytes_max: heard.bytes } };
        core.unicasts.push(Unicast { to, peer, answers, body });
        self.challenge(core, heard.from, ping.source);
    }

    /// Whether a ping that names `node` is for us: it names us, or nobody.
    pub(crate) fn is_for_us(&self, core: &Core, node: &str) -> bool {
        node.is_empty() || core.roster.peer(self.me).is_some_and(|me| me.name() == node)
    }

    /// Where an answer goes: to the address that the message names if that is the sender's host or a member's own, else to
    /// where it came from. Otherwise anybody could have our answers sent to a victim.
    pub(super) fn reply_to(&self, core: &Core, from: SocketAddr, source: Option<Source<'_>>) -> ReplyTo {
        let Some(source) = source else { return ReplyTo { addr: from, peer: None, is_member: false } };
        let addr = canonical(source.addr);
        let peer = core.roster.find(source.node).filter(|&idx| self.row(idx).state.is_some());
        let is_peers = peer.and_then(|idx| core.roster.peer(idx)).is_some_and(|peer| peer.addr() == addr);
        let is_senders = addr.ip() == from.ip().to_canonical();
        let addr = if is_senders {
            with_scope_of(addr, from)
        } else if is_peers {
            addr
        } else {
            from
        };
        ReplyTo { addr, peer, is_member: is_peers && peer.is_some_and(|idx| self.is_live(idx)) }
    }

    pub(super) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyTo {
    pub(super) addr: SocketAddr,
    /// Who says that it asks.
    pub(super) peer: Option<MemberIdx>,
    /// Whether that is a live member and the address its own.
    pub(super) is_member: bool,
}

/// `addr` in the zone of `from`, which has the same IP. No message names a zone, and without one nothing reaches a link-local
/// address.
fn with_scope_of(addr: SocketAddr, from: SocketAddr) -> SocketAddr {
    match (addr, from) {
        (SocketAddr::V6(addr), SocketAddr::V6(from)) => {
            SocketAddrV6::new(*addr.ip(), addr.port(), 0, from.scope_id()).into()
        }
        _ => addr,
    }
}

/// The protocol version from which a member answers pings over a stream.
const PROTOCOL_STREAM_PING: u8 = 3;

/// The protocol version from which a member sends nacks.
const PROTOCOL_NACK: u8 = 4;
