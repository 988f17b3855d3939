//! Forged leaves: a member that still runs after its leave broadcast is sent that broadcast, so that it can refute.
//!
//! A leave broadcast is in the member's own name, so memberlist sends nothing to a member that left: no gossip, no probe, no push/pull.
//! Any member, and without a key any host, can forge one, and the victim may be the last to hear of it. When the leaves of all members
//! are sent to all members, no member contacts another, and the cluster stays apart. Ours: a member that left is sent the accusation
//! when it pings us, and is pinged with it when a node is alone, or now and then for a while.
//!
//! A member that really left does not refute. Nor does a process that runs again at its address without a join, as far as we can
//! hear: it knows no member to send a refutation to.

use core::net::SocketAddr;

use super::Swim;
use crate::core::{Body, Core, Notification, Unicast};
use crate::roster::{MemberIdx, canonical};
use crate::wire::swim::{Source, State};

impl Swim {
    /// The members that left lately, as far as membership remembers.
    pub(crate) fn left(&self) -> impl Iterator<Item = MemberIdx> {
        self.members.left()
    }

    /// Pings a member that left, with the accusation, unless a live member has its address by now. The ping says nothing of us: a process
    /// that does not know us stays apart.
    pub(crate) fn doubt_farewell(&mut self, core: &mut Core, idx: MemberIdx) {
        if self.own.has_left() || self.is_live(idx) {
            return;
        }
        let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) else { return };
        if self.live_at(core, to).is_some() {
            return;
        }
        let body = Body::Ping { seq: self.probing.next_seq(), target: idx, accusing: true };
        core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
    }

    /// Sends a member that left and pings us from its own address the accusation. Once in a probe interval at the most: the sender
    /// may be forged.
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
                // What it holds us for is not known. Our own state is packed once it is queued.
                self.queue_broadcast(self.me());
                let body = Body::Challenge { seq: self.probing.next_seq(), target: idx };
                core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
            }
            Some(_) => {}
        }
    }
}
