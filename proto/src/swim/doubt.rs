//! A farewell may be forged: a member that is there after it is told, so that it can refute.
//!
//! A farewell is a member's own last word, so memberlist sends nothing to a member that left: no gossip, no probe, no push/pull. Any
//! member, and without a key any host, can say it in another's name, and the victim may be the last to hear of it. When the farewells
//! of all members are told to all members, nobody contacts anybody, and the cluster stays apart. Ours: a member that left is told the
//! accusation when it pings us, and is pinged with it when a node is alone, or now and then for a while.
//!
//! A member that really left does not refute. Nor does a process that runs again at its address without a join, as far as we can
//! hear: it knows nobody to tell.

use core::net::SocketAddr;

use super::Swim;
use crate::core::{Body, Core, Notification, Unicast};
use crate::roster::{MemberIdx, canonical};
use crate::wire::swim::{Source, State};

impl Swim {
    /// The members that left lately, as far as membership remembers.
    pub(crate) fn left(&self) -> impl Iterator<Item = MemberIdx> {
        let left = self.troubles.keys().copied().filter(|&idx| self.row(idx).state == Some(State::Left));
        left.filter(|&idx| idx != self.me)
    }

    /// Pings a member that left, with the accusation, unless a live member has its address by now. Tells it nothing of us: a process
    /// that does not know us stays apart.
    pub(crate) fn doubt_farewell(&mut self, core: &mut Core, idx: MemberIdx) {
        if self.farewell.is_said() || self.is_live(idx) {
            return;
        }
        let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) else { return };
        if self.live_at(core, to).is_some() {
            return;
        }
        let body = Body::Ping { seq: self.next_seq(), target: idx, accusing: true };
        core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
    }

    /// A ping came. If it is of a member that left, and from the member's own address, the member is told so. Once in a probe interval at
    /// the most: the sender may be forged.
    pub(super) fn challenge(&mut self, core: &mut Core, from: SocketAddr, source: Option<Source<'_>>) {
        let Some(source) = source.filter(|_| !self.farewell.is_said()) else { return };
        let Some(idx) = core.roster.find(source.node).filter(|&idx| idx != self.me) else { return };
        let to = canonical(from);
        if canonical(source.addr) != to || core.roster.peer(idx).is_none_or(|peer| peer.addr() != to) {
            return;
        }
        match self.row(idx).state {
            None => core.notify(Notification::Forgotten(idx)),
            Some(State::Left) => {
                let Some(trouble) = self.troubles.get_mut(&idx) else { return };
                // One that really leaves probes on for a little.
                let lingers = core.cfg.leave_propagate_delay + core.cfg.probe_interval;
                if core.now - trouble.since < lingers || core.now - trouble.challenged_at < core.cfg.probe_interval {
                    return;
                }
                trouble.challenged_at = core.now;
                // What it holds us for is not known. Our own state is packed once it is queued.
                self.spread(self.me);
                let body = Body::Challenge { seq: self.next_seq(), target: idx };
                core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body });
            }
            Some(State::Alive | State::Suspect | State::Dead) => {}
        }
    }
}
