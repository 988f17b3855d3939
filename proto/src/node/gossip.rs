//! Gossip ticks: when one is due, which members get its packets, and what the packets contain.
//!
//! A tick is armed only while a broadcast is queued and a member could receive it.
//! [`Swim::gossip_targets`](crate::swim::Swim::gossip_targets) draws the targets. Broadcasts are also piggybacked on
//! unicasts (SWIM §4.1), filled by the same function.

use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Node;
use super::anti_entropy::AntiEntropy;
use crate::core::Core;
use crate::envelope::Packer;
use crate::fingerprint::Fingerprint;
use crate::outbox::Outbox;
use crate::roster::MemberIdx;
use crate::time::{Instant, next_on_grid};
use crate::timer::NodeTimer;
use crate::wire::Codec;

/// Dissemination: the schedule of gossip ticks, piggybacking on acks, and anti-entropy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Gossip {
    /// Offset of the tick grid, random per node. Ticks stay on the grid even when few are needed, so that nodes do not
    /// get in step.
    phase: Duration,
    /// Earliest time of the next tick when ticks need not be on the grid.
    rest: Instant,
    /// When broadcasts were last piggybacked on an ack, and to which member.
    last_piggyback: Option<(Instant, MemberIdx)>,
    /// What finds what gossip missed.
    pub(super) anti_entropy: AntiEntropy,
}

impl Gossip {
    pub(super) fn new(phase: Duration, now: Instant) -> Self {
        Self { phase, rest: now, last_piggyback: None, anti_entropy: AntiEntropy::new(now) }
    }

    /// The time of the next tick. With `early`, a short wait after now, which collects the broadcasts of one burst.
    fn next_tick(&self, now: Instant, interval: Duration, early: bool) -> Instant {
        if early { self.rest.max(now + interval / GATHERING_PART) } else { next_on_grid(now, self.phase, interval) }
    }

    fn begin_tick(&mut self, now: Instant, interval: Duration) {
        self.rest = now + interval;
    }

    /// Whether an ack to this member may carry broadcasts: at most one ack per gossip interval, and not two in a row to
    /// one member. Every piggybacked copy counts as a transmission. Without the limit, a flood of pings would use up
    /// the retransmits of all broadcasts at one address, which may even be spoofed.
    pub(super) fn may_piggyback(&mut self, now: Instant, interval: Duration, peer: MemberIdx) -> bool {
        let may = self.last_piggyback.is_none_or(|(at, last)| last != peer && now - at >= interval);
        if may {
            self.last_piggyback = Some((now, peer));
        }
        may
    }

    pub(super) fn fingerprint(&self, core: &Core, to: &mut Fingerprint<'_>) {
        let Self { phase, rest, last_piggyback, anti_entropy } = self;
        let interval = core.cfg.swim().gossip_interval;
        to.deadline(next_on_grid(core.now, *phase, interval));
        to.deadline(*rest);
        to.put(last_piggyback.map(|(_, peer)| peer));
        if let Some((at, _)) = last_piggyback {
            to.age_up_to(*at, interval);
        }
        anti_entropy.fingerprint(to);
    }
}

impl Node {
    /// Arms the gossip timer if a broadcast is queued and a member could receive it.
    pub(super) fn arm_gossip(&mut self) {
        // `Swim::wants_gossip` checks for a receiver itself.
        let wanted = (self.serf.wants_gossip() && self.swim.has_receiver()) || self.swim.wants_gossip();
        if wanted && !self.core.timers.is_set(NodeTimer::Gossip) {
            let at = self.gossip.next_tick(
                self.core.now,
                self.core.cfg.swim().gossip_interval,
                self.core.cfg.swim().gossip_early,
            );
            self.core.timers.set(NodeTimer::Gossip, at);
        }
    }

    /// Runs a gossip tick: sends broadcasts to a few random members, different ones to each. A backlog may take several
    /// packets per member.
    pub(super) fn gossip_tick(&mut self, out: &mut Outbox) {
        let packets_max = self.core.cfg.swim().gossip_packets_per_tick;
        // Even if nothing is sent: the next early tick is a whole interval after this one.
        self.gossip.begin_tick(self.core.now, self.core.cfg.swim().gossip_interval);
        for target in self.swim.gossip_targets(&mut self.core) {
            let Some(to) = self.core.roster.peer(target).map(|peer| peer.addr()) else { continue };
            // A round keeps one member from getting the same broadcast twice in several packets.
            self.swim.begin_round();
            self.serf.begin_round();
            let sent = (0..packets_max).take_while(|_| self.send_gossip(to, target, out)).count();
            self.swim.end_round();
            self.serf.end_round();
            // Nothing is queued for this target, so nothing is for the others.
            if sent == 0 {
                return;
            }
        }
    }

    /// Sends one packet of broadcasts; false if there was none to send.
    fn send_gossip(&mut self, to: SocketAddr, target: MemberIdx, out: &mut Outbox) -> bool {
        let mut packer = self.envelope.packer(out.buffers(), self.core.cfg.transport().packet_bytes);
        let codec = self.core.codec(Some(target), None);
        self.fill(to, Some(target), codec, &mut packer);
        if packer.is_empty() {
            return false;
        }
        self.seal_packet(packer.finish(), to, Some(target), out);
        true
    }

    /// Fills the rest of a packet with broadcasts, and records whether a copy of our own leave is in it.
    pub(super) fn fill(&mut self, to: SocketAddr, peer: Option<MemberIdx>, codec: Codec, packer: &mut Packer<'_>) {
        let (intents, broadcasts) = (self.serf.leaves_sent(), self.swim.leave_broadcasts_sent());
        // Membership first: refutations and accusations must not wait behind user events. The leave reads from the
        // counters whether either queue packed a copy.
        let carries = codec == Codec::Native && self.compares_digests(peer);
        let Self { swim, serf, core, .. } = self;
        swim.fill(core, codec, |idx| if carries { serf.join_time(idx) } else { 0 }, packer);
        self.serf.fill(&self.core, codec, packer);
        self.leave.note_sent(to, self.serf.leaves_sent() > intents, self.swim.leave_broadcasts_sent() > broadcasts);
    }
}

/// Divisor of the gossip interval: the wait of an early tick, which collects the broadcasts of one burst into one
/// packet.
const GATHERING_PART: u32 = 40;
