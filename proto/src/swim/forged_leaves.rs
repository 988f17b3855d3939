//! Forged leaves: sends a member that runs after its own leave broadcast that broadcast, so that it can refute.
//!
//! A leave broadcast carries the member's own name as the accuser. memberlist sends no gossip, probe or push/pull to a
//! member that left. Any member, or any host if there is no key, can forge one, and the victim may never receive it. If
//! the leaves of all members are forged, no member contacts another, and the cluster stays split. Ours: a member that
//! left is sent the accusation when it pings us, and is pinged with the accusation when this node is alone, or
//! occasionally for a while after.
//!
//! A member that really left does not refute. Nor does a process that restarted at its address without a join: it knows
//! no member to send a refutation to.

use core::net::SocketAddr;

use super::Swim;
use crate::core::{Body, Core, Notification, Sometimes, Unicast};
use crate::roster::{MemberIdx, canonical};
use crate::wire::swim::{Source, State};

impl Swim {
    /// The members that left and are not yet reaped.
    pub(crate) fn left(&self) -> impl Iterator<Item = MemberIdx> {
        self.members.left()
    }

    /// Pings a member that left, with the accusation, unless a live member has its address. The ping does not carry our
    /// own state: a process that does not know us stays apart.
    pub(crate) fn verify_left(&mut self, core: &mut Core, idx: MemberIdx) {
        if self.own.has_left() || self.is_live(idx) {
            return;
        }
        // A node that took the address over must not be accused under the old name.
        if core.roster.peer(idx).is_some_and(|peer| self.live_at(core, peer.addr()).is_none()) {
            core.met.note(Sometimes::LeaveVerified);
            self.ping_accusing(core, idx);
        }
    }

    /// Pings a member with the accusation, because gossip does not reach members that left.
    pub(super) fn ping_accusing(&mut self, core: &mut Core, idx: MemberIdx) {
        let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) else { return };
        let body = Body::Ping { seq: self.probing.next_seq(), target: idx, accusing: true };
        core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
    }

    /// Sends the accusation to a member that left and pings us from its own address. At most once per probe interval,
    /// because the sender may be forged.
    pub(super) fn challenge(&mut self, core: &mut Core, from: SocketAddr, source: Option<Source<'_>>) {
        let Some(source) = source.filter(|_| !self.own.has_left()) else { return };
        let Some(idx) = core.roster.find(source.node).filter(|&idx| idx != self.me()) else { return };
        let to = canonical(from);
        if canonical(source.addr) != to || core.roster.peer(idx).is_none_or(|peer| peer.addr() != to) {
            return;
        }
        match self.members.row(idx).state {
            None => core.notify(Notification::Forgotten(idx)),
            Some(State::Left) if self.members.challenge(core, idx) => {
                core.met.note(Sometimes::LeaveVerified);
                // The member may consider us gone. `Challenge` packets carry our own state only while it is queued.
                self.queue_broadcast(core, self.me());
                let body = Body::Challenge { seq: self.probing.next_seq(), target: idx };
                core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
            }
            Some(_) => {}
        }
    }
}
