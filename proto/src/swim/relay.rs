//! Probing on behalf of others.

use core::net::SocketAddr;

use super::Swim;
use crate::core::{Body, Core, Target, Unicast};
use crate::limits::RELAYS_MAX;
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::timer::Many;
use crate::wire::swim::IndirectPing;

/// A ping that we sent for another member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    /// The number under which the requester knows it.
    seq: u32,
    requester: SocketAddr,
    peer: Option<MemberIdx>,
    nack: bool,
}

impl Swim {
    /// Pings somebody because another member asked for it (`handleIndirectPing` in memberlist's net.go).
    pub(super) fn relay_ping(&mut self, core: &mut Core, from: SocketAddr, ping: &IndirectPing<'_>) {
        if self.relays.len() >= RELAYS_MAX {
            return core.stats.drop(DropReason::Limit);
        }
        let (requester, peer) = self.reply_to(core, from, ping.source);
        let seq = self.next_seq();
        self.relays.insert(seq, Relay { seq: ping.seq, requester, peer, nack: ping.nack });
        core.arm_many(core.cfg.probe_timeout, Many::Relay(seq));
        let known = core.roster.find(ping.node).filter(|&idx| self.row(idx).state.is_some());
        let target = known.map_or_else(|| Target::Named(ping.node.into()), Target::Member);
        let body = Body::Ping { seq, target, accusing: false };
        core.unicasts.push(Unicast { to: canonical(ping.target), peer: known, body });
    }

    /// The target answered in time.
    pub(super) fn relay_acked(&mut self, core: &mut Core, seq: u32) {
        if let Some(relay) = self.relays.remove(&seq) {
            let body = Body::RelayedAck { seq: relay.seq };
            core.unicasts.push(Unicast { to: relay.requester, peer: relay.peer, body });
        }
    }

    /// The target did not answer in time. The nack tells the requester that at least we are well.
    pub(super) fn relay_due(&mut self, core: &mut Core, seq: u32) {
        if let Some(relay) = self.relays.remove(&seq)
            && relay.nack
        {
            let body = Body::Nack { seq: relay.seq };
            core.unicasts.push(Unicast { to: relay.requester, peer: relay.peer, body });
        }
    }
}
