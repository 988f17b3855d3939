//! Gossip: when a tick is, who gets its packets, what is in them.
//!
//! A tick is armed only while there is something to tell and a member to tell it to. Its targets are drawn by membership
//! ([`Swim::gossip_targets`](crate::swim::Swim::gossip_targets)). Broadcasts also ride on unicasts, in the same way.

use core::net::SocketAddr;
use core::time::Duration;

use super::Node;
use crate::envelope::Packer;
use crate::outbox::Outbox;
use crate::roster::MemberIdx;
use crate::time::{Instant, next_on_grid};
use crate::timer::NodeTimer;
use crate::wire::Codec;

/// When broadcasts are sent.
#[derive(Clone, Debug)]
pub(super) struct Gossip {
    /// Ticks lie on a grid that begins at a random point, however seldom there is something to tell.
    phase: Duration,
    /// Before this there is no other tick, if ticks need not lie on the grid.
    rest: Instant,
    /// When broadcasts last rode on an ack, and to which member.
    rode: Option<(Instant, MemberIdx)>,
}

impl Gossip {
    pub(super) const fn new(phase: Duration, now: Instant) -> Self {
        Self { phase, rest: now, rode: None }
    }

    /// When the next tick is; with `early` as soon as what happens together can be told together.
    fn next_tick(&self, now: Instant, interval: Duration, early: bool) -> Instant {
        if early { self.rest.max(now + interval / GATHERING_PART) } else { next_on_grid(now, self.phase, interval) }
    }

    fn begin_tick(&mut self, now: Instant, interval: Duration) {
        self.rest = now + interval;
    }

    /// Whether broadcasts may ride on an ack to a member: once in a gossip interval, and not twice in a row to the same. Each
    /// ride counts as a transmission: a flood of pings would use up all broadcasts otherwise, at one address that its sender
    /// need not even have.
    pub(super) fn may_ride(&mut self, now: Instant, interval: Duration, peer: MemberIdx) -> bool {
        let may = self.rode.is_none_or(|(at, last)| last != peer && now - at >= interval);
        if may {
            self.rode = Some((now, peer));
        }
        may
    }
}

impl Node {
    /// Sets the gossip timer if there is something to tell and a member to tell it to.
    pub(super) fn arm_gossip(&mut self) {
        let wanted = (self.serf.wants_gossip() && self.swim.has_listeners()) || self.swim.wants_gossip();
        if wanted && !self.core.timers.is_set(NodeTimer::Gossip) {
            let at = self.gossip.next_tick(self.core.now, self.core.cfg.gossip_interval, self.core.cfg.gossip_early);
            self.core.timers.set(NodeTimer::Gossip, at);
        }
    }

    /// A gossip tick: broadcasts to a few random members, each of them other broadcasts. A backlog may go out in several
    /// packets a member.
    pub(super) fn gossip_tick(&mut self, out: &mut Outbox) {
        let packets_max = self.core.cfg.gossip_packets_per_tick;
        self.gossip.begin_tick(self.core.now, self.core.cfg.gossip_interval);
        for target in self.swim.gossip_targets(&mut self.core) {
            let Some(to) = self.core.roster.peer(target).map(|peer| peer.addr()) else { continue };
            self.swim.begin_round();
            self.serf.begin_round();
            let sent = (0..packets_max).take_while(|_| self.send_gossip(to, target, out)).count();
            self.swim.end_round();
            self.serf.end_round();
            if sent == 0 {
                return;
            }
        }
    }

    /// Sends one packet of broadcasts; false when there is nothing to tell.
    fn send_gossip(&mut self, to: SocketAddr, target: MemberIdx, out: &mut Outbox) -> bool {
        let mut packer = self.envelope.packer(out.buffers(), self.core.cfg.packet_bytes);
        let codec = self.core.codec(Some(target), None);
        self.fill(to, codec, &mut packer);
        if packer.is_empty() {
            return false;
        }
        self.seal_packet(packer.finish(), to, Some(target), out);
        true
    }

    /// Adds broadcasts to a packet for `to`, and notes whether it is told that we leave.
    pub(super) fn fill(&mut self, to: SocketAddr, codec: Codec, packer: &mut Packer<'_>) {
        let (intents, farewells) = (self.serf.leaves_sent(), self.swim.leave_broadcasts_sent());
        self.swim.fill(&mut self.core, codec, packer);
        self.serf.fill(&self.core, codec, packer);
        self.leave.note_sent(to, self.serf.leaves_sent() > intents, self.swim.leave_broadcasts_sent() > farewells);
    }
}

/// Which part of a gossip interval early news waits for more, so that what happens together is told together.
const GATHERING_PART: u32 = 40;
