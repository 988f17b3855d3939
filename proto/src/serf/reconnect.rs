//! Trying to reach members that failed, and asking those that left whether they have, until they are forgotten.

use core::time::Duration;

use super::Serf;
use crate::core::{Ask, Core, Notification};
use crate::event::Status;
use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::timer::SerfTimer;

/// When members that are gone are tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Reconnects {
    /// Before this no member that left and pings us is reconnected to.
    left_quiet_until: Instant,
}

impl Serf {
    /// Tries to reach one failed member, with a chance that grows with their number, so that the whole cluster tries each of
    /// them about once an interval (`reconnect` in serf). HashiCorp's exchanges states with the node that has the address now.
    /// Ours: the member is pinged by name first, so that another cluster that got its address stays apart. And
    /// for [`FAREWELL_DOUBTED`] members that left are asked as often whether they have.
    pub(super) fn reconnect(&self, core: &mut Core) {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let left = self.members.left_within(core, FAREWELL_DOUBTED);
        let failed = count(self.members.failed().len());
        if failed == 0 && left.is_empty() {
            return;
        }
        core.arm(core.cfg.serf().reconnect_interval, SerfTimer::Reconnect);
        let others = self.members.live().max(1);
        if core.rng.join.below(others) < count(left.len()) {
            let at = core.rng.join.below(count(left.len())) as usize;
            core.notify(Notification::Doubted(left[at]));
        }
        if failed == 0 || core.rng.gossip.below(others) >= failed {
            return;
        }
        let at = core.rng.gossip.below(failed) as usize;
        if let Some(idx) = self.members.failed().nth(at) {
            reconnect_to(core, idx);
        }
    }

    /// A member that left so long ago that membership has forgotten it pings us: it has not left, or is back and knows us.
    pub(super) fn left_is_there(&mut self, core: &mut Core, idx: MemberIdx) {
        let has_left = self.members.row(idx).status() == Some(Status::Left);
        if self.intents.is_leaving() || !has_left || core.now < self.reconnects.left_quiet_until {
            return;
        }
        self.reconnects.left_quiet_until = core.now + core.cfg.swim().probe_interval;
        reconnect_to(core, idx);
    }
}

/// Has the next attempt made after an interval, if none waits.
pub(super) fn arm_reconnect(core: &mut Core) {
    if !core.timers.is_set(SerfTimer::Reconnect) {
        core.arm(core.cfg.serf().reconnect_interval, SerfTimer::Reconnect);
    }
}

fn reconnect_to(core: &mut Core, idx: MemberIdx) {
    let Some(peer) = core.roster.peer(idx) else { return };
    let with = peer.addr();
    tracing::info!(member = peer.name(), addr = %with, "attempting reconnect");
    let until = core.now + core.cfg.transport().stream_timeout;
    let ask = Ask::Reconnect { target: idx, codec: core.codec(Some(idx), None) };
    core.dial(with, ask, until);
}

/// For how long after a farewell the member is asked now and then whether it has left. Ours: forged farewells can cut a cluster in two
/// halves, each of which holds the other for left. Not as long as the failed, for a member that left may have handed its address on.
const FAREWELL_DOUBTED: Duration = Duration::from_secs(300);
