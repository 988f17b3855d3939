//! Failure detection (SWIM §3.1 and §4.3; `probe` and `probeNode` in memberlist's state.go).
//!
//! Probes one member at a time, round robin in random order. A probe starts with a direct ping. If no ack arrives
//! within the probe timeout, it continues with indirect pings through a few helpers and a ping over a stream. If none
//! of them is acked within the probe interval, scaled by the local health (Lifeguard §IV-A), the member becomes
//! suspect.

mod order;
mod relays;

use alloc::vec::Vec;
use core::net::{SocketAddr, SocketAddrV6};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use self::order::ProbeOrder;
use self::relays::Relays;
use super::Swim;
use crate::complaints::ComplaintKind;
use crate::core::{Body, Core, ExchangePurpose, Heard, Origin, PROBES_CYCLE, Unicast};
use crate::fingerprint::Fingerprint;
use crate::rng::Rng;
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::swim::{Accusation, Ping, Source, State};

/// The failure detector: our own probe, and the pings that we relay for others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Probing {
    order: ProbeOrder,
    running: Option<Probe>,
    /// Sequence number of the last ping; acks echo it.
    seq: u32,
    /// A member accused at an incarnation where only our own evidence counts. It is probed out of turn.
    hearsay: Option<MemberIdx>,
    relays: Relays,
}

/// The running probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Probe {
    seq: u32,
    target: MemberIdx,
    /// The target's incarnation at the start of the probe. A failure accuses it at this incarnation.
    incarnation: u32,
    sent_at: Instant,
    ends_at: Instant,
    nacks_expected: u32,
    nacks: u32,
    answered_by_stream: bool,
}

impl Probe {
    /// The health penalty of a failed probe: the number of helpers that did not even send a nack (Lifeguard §IV-A), or
    /// 1 if none was asked.
    fn penalty(&self) -> i32 {
        let missing = self.nacks_expected.saturating_sub(self.nacks);
        if self.nacks_expected > 0 { i32::try_from(missing).unwrap_or(i32::MAX) } else { 1 }
    }
}

impl Probing {
    /// Starts at a random sequence number, so that peers cannot forge acks by guessing.
    pub(super) fn new(rng: &mut Rng) -> Self {
        let (order, seq) = (ProbeOrder::new(), rng.next_u32());
        Self { order, running: None, seq, hearsay: None, relays: Relays::default() }
    }

    /// Starts a probe. Returns the sequence number of its pings.
    fn start(&mut self, target: MemberIdx, incarnation: u32, now: Instant, interval: Duration) -> u32 {
        debug_assert!(self.running.is_none(), "one probe runs at a time");
        let seq = self.next_seq();
        self.running = Some(Probe {
            seq,
            target,
            incarnation,
            sent_at: now,
            ends_at: now + interval,
            nacks_expected: 0,
            nacks: 0,
            answered_by_stream: false,
        });
        seq
    }

    /// Sets the number of helpers that will send a nack if the target does not ack.
    fn expect_nacks(&mut self, count: u32) {
        if let Some(probe) = &mut self.running {
            probe.nacks_expected = count;
        }
    }

    /// Ends the probe that matches an ack.
    fn acked(&mut self, seq: u32) -> Option<Probe> {
        self.running.take_if(|probe| probe.seq == seq)
    }

    /// Counts a nack. A nack is evidence about our own health, not about the target.
    pub(super) fn nacked(&mut self, seq: u32) {
        if let Some(probe) = self.running.as_mut().filter(|probe| probe.seq == seq) {
            probe.nacks += 1;
        }
    }

    /// Records an ack over a stream. The probe still runs to its end, but succeeds.
    fn stream_acked(&mut self, seq: u32) {
        if let Some(probe) = self.running.as_mut().filter(|probe| probe.seq == seq) {
            probe.answered_by_stream = true;
        }
    }

    /// Ends the probe without an ack.
    fn timed_out(&mut self) -> Option<Probe> {
        self.running.take()
    }

    /// Cancels the probe of a removed member; false if another is probed.
    pub(super) fn cancel(&mut self, target: MemberIdx) -> bool {
        self.running.take_if(|probe| probe.target == target).is_some()
    }

    /// Schedules an early probe of a member.
    pub(super) fn note_hearsay(&mut self, idx: MemberIdx) {
        self.hearsay = Some(idx);
    }

    /// Allocates a sequence number.
    pub(super) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    /// The last sequence number.
    pub(super) const fn seq(&self) -> u32 {
        self.seq
    }

    /// Feeds sequence numbers relative to the last one.
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { order, running, seq: last, hearsay, relays } = self;
        order.fingerprint(to);
        to.put((hearsay, running.is_some()));
        if let Some(probe) = running {
            let Probe { seq, target, incarnation, sent_at, ends_at, nacks_expected, nacks, answered_by_stream } = probe;
            to.put((last.wrapping_sub(*seq), target, incarnation, nacks_expected, nacks, answered_by_stream));
            to.age(*sent_at);
            to.deadline(*ends_at);
        }
        relays.fingerprint(*last, to);
    }
}

impl Swim {
    /// Starts the next probe, unless one is running or no member can be probed.
    pub(super) fn probe_next(&mut self, core: &mut Core) {
        // Re-armed first, and at the unscaled interval: a probe that outlives its interval skips a tick.
        core.arm(core.cfg.swim().probe_interval, SwimTimer::Probe);
        self.start_probe_interval(core);
        if self.probing.running.is_some() {
            return;
        }
        let Some(target) = self.next_target(core) else { return };
        let (row, interval) = (self.members.row(target), self.awareness.scale(core.cfg.swim().probe_interval));
        let seq = self.probing.start(target, row.incarnation, core.now, interval);
        core.stats.probes += 1;
        let Some(to) = core.roster.peer(target).map(|peer| peer.addr()) else { return };
        // The accusation rides on the ping, so that a live target can refute at once (Lifeguard's buddy system).
        let accusing = row.state == Some(State::Suspect);
        let body = Body::Ping { seq, target, accusing };
        core.unicasts.push(Unicast { to, peer: Some(target), answers: None, body });
        core.arm(core.cfg.swim().probe_timeout, SwimTimer::AckDue);
        core.arm(interval, SwimTimer::ProbeEnd);
    }

    /// The next member to probe. At the end of a round the dead are reaped and a new round starts. `None` if a whole
    /// round has no candidate.
    fn next_target(&mut self, core: &mut Core) -> Option<MemberIdx> {
        if self.others_live() == 0 && self.members.all_alive() {
            return None;
        }
        // At most every second probe, so that hearsay cannot starve the round.
        if core.stats.probes.is_multiple_of(2)
            && let Some(idx) = self.probing.hearsay.take()
            && self.is_live(idx)
        {
            return Some(idx);
        }
        // During a flood every fourth probe goes to a member that has answered before, so that failures of real members
        // are still found in time.
        if self.admission.is_flooded() && core.stats.probes % PROBES_CYCLE == 1 {
            let answered = |swim: &Self, idx| swim.admission.has_answered(idx) && swim.is_live(idx);
            if let Some(&idx) = self.choose(&mut core.rng.probe, 1, answered).first() {
                return Some(idx);
            }
        }
        // Twice: the rest of this round, then one full round.
        for _ in 0..2 {
            while let Some(idx) = self.probing.order.next(self.members.len()) {
                if idx != self.me() && self.is_live(idx) && self.members.zones().takes_turn(&mut core.rng.probe, idx) {
                    return Some(idx);
                }
            }
            // Between rounds, since reaping changes which rows are members.
            self.reap(core);
            self.probing.order.restart(self.members.len(), &mut core.rng.probe);
        }
        None
    }

    /// Handles the probe timeout: asks helpers for indirect pings, and pings over a stream.
    pub(super) fn probe_indirectly(&mut self, core: &mut Core) {
        let Some(Probe { seq, target, ends_at, .. }) = self.probing.running else { return };
        let count = core.cfg.swim().indirect_probes as usize;
        // Suspects do not help: their silence would count against our own health.
        let may_help = |swim: &Self, idx| idx != target && swim.members.row(idx).state == Some(State::Alive);
        let helpers = self.choose_helpers(core, target, count, may_help);
        let mut nacks_expected = 0;
        for helper in helpers {
            let Some(peer) = core.roster.peer(helper) else { continue };
            // Older members send no nack; expecting one would lower our health without cause.
            let nack = peer.versions().protocol_max() >= PROTOCOL_NACK;
            nacks_expected += u32::from(nack);
            let body = Body::IndirectPing { seq, target, nack };
            core.unicasts.push(Unicast { to: peer.addr(), peer: Some(helper), answers: None, body });
        }
        self.probing.expect_nacks(nacks_expected);
        let Some(peer) = core.roster.peer(target) else { return };
        if core.cfg.swim().stream_pings && peer.versions().protocol_max() >= PROTOCOL_STREAM_PING {
            let (with, purpose) =
                (peer.addr(), ExchangePurpose::Ping { seq, target, codec: core.codec(Some(target), None) });
            core.dial(with, purpose, ends_at);
        }
    }

    /// The members that are asked to ping a silent one. With zones, near ones for a near target if there are enough: their
    /// pings do not leave the zone. A far target is pinged by members of any zone, on as many paths as possible.
    pub(super) fn choose_helpers(
        &self,
        core: &mut Core,
        target: MemberIdx,
        count: usize,
        may_help: impl Fn(&Self, MemberIdx) -> bool,
    ) -> Vec<MemberIdx> {
        let zones = self.members.zones();
        if zones.are_far_apart() && zones.is_near(target) {
            let near = |swim: &Self, idx| swim.members.zones().is_near(idx) && may_help(swim, idx);
            let helpers = self.choose_reliable(&mut core.rng.probe, count, near);
            if helpers.len() == count {
                return helpers;
            }
        }
        self.choose_reliable(&mut core.rng.probe, count, may_help)
    }

    /// Handles the end of the probe interval: suspects the target, unless it acked over a stream.
    pub(super) fn end_probe(&mut self, core: &mut Core) {
        let Some(probe) = self.probing.timed_out() else { return };
        core.timers.clear(SwimTimer::AckDue);
        if probe.answered_by_stream {
            core.stats.probes_saved_by_stream += 1;
            core.complain_of(ComplaintKind::UdpBlocked, probe.target, "");
            self.admission.note_ack(probe.target);
            self.awareness.apply(-1);
            return;
        }
        self.admission.note_failed_probe(probe.target);
        // A member that does not exist is not evidence about our own health.
        if self.admission.has_answered(probe.target) || !self.admission.is_flooded() {
            self.awareness.apply(probe.penalty());
        }
        core.stats.probes_failed += 1;
        // The target was reaped or evicted during the probe.
        if self.members.row(probe.target).state.is_none() {
            return;
        }
        core.stats.suspicions_raised += 1;
        let (node, me) = (core.roster.name(probe.target), core.roster.name(self.me()));
        self.suspect(core, Origin::Local, &Accusation { incarnation: probe.incarnation, node: &node, from: &me });
    }

    /// Handles an ack of our own probe, or of a ping that we relay. Returns the member and the round-trip time if it
    /// acks our direct ping within the probe timeout. A later ack may have come through a helper, which would distort
    /// the RTT.
    pub(crate) fn acked(&mut self, core: &mut Core, origin: Origin, seq: u32) -> Option<(MemberIdx, Duration)> {
        // Sequence numbers come from one counter, so an ack matches at most one of these.
        let Some(probe) = self.probing.acked(seq) else {
            self.probing.relays.acked(core, seq);
            self.holder_acked(core, seq);
            self.newcomer_acked(core, seq);
            return None;
        };
        // Before the timer is cleared: it is armed only until the indirect pings.
        let is_direct = core.timers.is_set(SwimTimer::AckDue);
        core.timers.clear(SwimTimer::AckDue);
        core.timers.clear(SwimTimer::ProbeEnd);
        self.awareness.apply(-1);
        self.admission.note_ack(probe.target);
        core.probe_answered(origin, probe.target, is_direct);
        let rtt = core.now - probe.sent_at;
        if is_direct {
            core.stats.probe_round_trips.record(rtt);
        }
        is_direct.then_some((probe.target, rtt))
    }

    /// Handles the ack of a stream ping.
    pub(crate) fn stream_acked(&mut self, core: &mut Core, seq: u32) {
        self.holder_acked(core, seq);
        self.probing.stream_acked(seq);
    }

    /// Answers a ping for this node. Returns the live member that sent it from its own address.
    pub(crate) fn answer_ping(&mut self, core: &mut Core, heard: &mut Heard, ping: &Ping<'_>) -> Option<MemberIdx> {
        if !self.is_for_us(core, ping.node) {
            core.drop_naming(DropReason::NotForUs, format_args!("{}", ping.node));
            return None;
        }
        // One answer per packet: a compound of pings must not multiply traffic.
        if !heard.take_answer() {
            core.stats.drop(DropReason::Limit);
            return None;
        }
        let ReplyTo { addr: to, peer, is_member } = self.reply_to(core, heard.from, ping.source);
        let (seq, answers) = (ping.seq, Some(heard.codec));
        let sender = peer.filter(|_| is_member && to == canonical(heard.from));
        let body = if is_member { Body::Ack { seq } } else { Body::StrangerAck { seq, bytes_max: heard.bytes } };
        core.unicasts.push(Unicast { to, peer, answers, body });
        // After the ack: the sender is alive, whatever we believed.
        self.challenge(core, heard.from, ping.source);
        sender
    }

    /// Whether a ping is for this node: it names this node, or none.
    pub(crate) fn is_for_us(&self, core: &Core, node: &str) -> bool {
        node.is_empty() || core.roster.peer(self.me()).is_some_and(|me| me.name() == node)
    }

    /// The address for an answer: the address that the message names, if it is on the sender's host or the member's
    /// own; otherwise the sender's. Without the check any host could direct our answers to a victim.
    fn reply_to(&self, core: &Core, from: SocketAddr, source: Option<Source<'_>>) -> ReplyTo {
        let Some(source) = source else { return ReplyTo { addr: from, peer: None, is_member: false } };
        let addr = canonical(source.addr);
        let peer = core.roster.find(source.node).filter(|&idx| self.members.row(idx).state.is_some());
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
}

/// The destination of an answer.
#[derive(Clone, Copy, Debug)]
struct ReplyTo {
    addr: SocketAddr,
    /// The member that the message names as its sender.
    peer: Option<MemberIdx>,
    /// Whether `peer` is a live member and `addr` its own address.
    is_member: bool,
}

/// Adds the IPv6 scope of `from` to `addr`, which has the same IP. Messages carry no scope id, and a link-local address
/// is unreachable without one.
fn with_scope_of(addr: SocketAddr, from: SocketAddr) -> SocketAddr {
    match (addr, from) {
        (SocketAddr::V6(addr), SocketAddr::V6(from)) => {
            SocketAddrV6::new(*addr.ip(), addr.port(), 0, from.scope_id()).into()
        }
        _ => addr,
    }
}

/// The first protocol version whose members answer pings over a stream.
const PROTOCOL_STREAM_PING: u8 = 3;

/// The first protocol version whose members send nacks.
const PROTOCOL_NACK: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    const TARGET: MemberIdx = MemberIdx(3);

    fn started() -> (Probing, u32) {
        let mut probing = Probing::new(&mut Rng::stream(&Seed::from_u64(7), 1));
        let seq = probing.start(TARGET, 5, Instant::ZERO, Duration::from_secs(1));
        (probing, seq)
    }

    #[test]
    fn an_ack_ends_the_probe_of_its_number_once() {
        let (mut probing, seq) = started();
        assert_eq!(probing.acked(seq.wrapping_sub(1)), None);
        assert_eq!(probing.acked(seq).map(|probe| (probe.target, probe.incarnation)), Some((TARGET, 5)));
        assert_eq!((probing.acked(seq), probing.timed_out()), (None, None));
    }

    #[test]
    fn the_penalty_of_a_timeout_is_the_missing_nacks_or_one_if_none_is_expected() {
        let penalty = |expected, nacks| {
            let (mut probing, seq) = started();
            probing.expect_nacks(expected);
            (0..nacks).for_each(|_| probing.nacked(seq));
            probing.nacked(seq.wrapping_add(1));
            probing.timed_out().unwrap().penalty()
        };
        assert_eq!([penalty(3, 0), penalty(3, 2), penalty(3, 3), penalty(3, 4), penalty(0, 0)], [3, 1, 0, 0, 1]);
    }

    #[test]
    fn a_stream_ack_decides_the_probe_of_its_number_and_does_not_end_it() {
        let (mut probing, seq) = started();
        probing.stream_acked(seq.wrapping_sub(1));
        assert!(!probing.running.unwrap().answered_by_stream);
        probing.stream_acked(seq);
        assert!(probing.timed_out().unwrap().answered_by_stream);
    }

    #[test]
    fn the_probe_of_a_member_is_cancelled_and_that_of_another_is_not() {
        let (mut probing, _) = started();
        assert!(!probing.cancel(MemberIdx(4)) && probing.cancel(TARGET) && !probing.cancel(TARGET));
    }
}
