//! Indirect pings on behalf of other members (SWIM §3.1; `handleIndirectPing` in memberlist's net.go).

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ReplyTo, Swim};
use crate::core::{Body, Core, Heard, Unicast};
use crate::fingerprint::Fingerprint;
use crate::limits::RELAYS_MAX;
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::timer::SwimTimer;
use crate::wire::Codec;
use crate::wire::swim::IndirectPing;

/// Relayed pings, by our own sequence number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Relays(BTreeMap<u32, Relay>);

/// A relayed ping.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Relay {
    /// The requester's sequence number.
    seq: u32,
    requester: SocketAddr,
    peer: Option<MemberIdx>,
    /// The codec of the request.
    codec: Codec,
    nack: bool,
}

impl Relay {
    fn answer(self, body: Body) -> Unicast {
        Unicast { to: self.requester, peer: self.peer, answers: Some(self.codec), body }
    }
}

impl Relays {
    /// Forwards the target's ack to the requester.
    pub(super) fn acked(&mut self, core: &mut Core, seq: u32) {
        if let Some(relay) = self.0.remove(&seq) {
            core.unicasts.push(relay.answer(Body::RelayedAck { seq: relay.seq }));
        }
    }

    /// Handles the relay's timeout. The nack shows the requester that its own connectivity is fine (Lifeguard §IV-A).
    fn timed_out(&mut self, core: &mut Core, seq: u32) {
        if let Some(relay) = self.0.remove(&seq).filter(|relay| relay.nack) {
            core.unicasts.push(relay.answer(Body::Nack { seq: relay.seq }));
        }
    }

    pub(super) fn fingerprint(&self, last_seq: u32, to: &mut Fingerprint<'_>) {
        for (ours, Relay { seq, requester, peer, codec, nack }) in &self.0 {
            to.put((last_seq.wrapping_sub(*ours), seq, requester, peer, nack));
            to.text(codec);
        }
    }
}

impl Swim {
    /// Relays a ping for another member.
    ///
    /// Ours: only members may request, and only members are pinged, at their own address. Otherwise any host could make
    /// us send to any address. A request for an unknown target still gets its nack.
    pub(in crate::swim) fn relay_ping(&mut self, core: &mut Core, heard: &mut Heard, ping: &IndirectPing<'_>) {
        if self.probing.relays.0.len() >= RELAYS_MAX {
            return core.stats.drop(DropReason::Limit);
        }
        let ReplyTo { addr: requester, peer, is_member } = self.reply_to(core, heard.from, ping.source);
        if !is_member {
            // A member that has just joined may ask before its join has reached us.
            return core.stats.drop_expected(DropReason::Unexpected);
        }
        if !heard.take_answer() {
            return core.stats.drop(DropReason::Limit);
        }
        let seq = self.probing.next_seq();
        let relay = Relay { seq: ping.seq, requester, peer, codec: heard.codec, nack: ping.nack };
        self.probing.relays.0.insert(seq, relay);
        core.arm(core.cfg.swim().probe_timeout, SwimTimer::Relay(seq));
        let to = canonical(ping.target);
        // The relay is registered even without a target: its timeout sends the nack.
        let target = core.roster.find(ping.node).filter(|&idx| self.members.row(idx).state.is_some());
        if let Some(target) = target.filter(|&idx| core.roster.peer(idx).is_some_and(|peer| peer.addr() == to)) {
            let body = Body::BarePing { seq, target };
            core.unicasts.push(Unicast { to, peer: Some(target), answers: None, body });
        }
    }

    pub(in crate::swim) fn relay_due(&mut self, core: &mut Core, seq: u32) {
        self.probing.relays.timed_out(core, seq);
    }
}
