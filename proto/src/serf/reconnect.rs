//! Reconnects: tries to reach failed members, and pings members that left in case the leave was forged, until they are
//! reaped.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Serf;
use crate::core::{Core, ExchangePurpose, Notification};
use crate::event::Status;
use crate::fingerprint::Fingerprint;
use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::timer::SerfTimer;

/// State of the reconnect attempts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Reconnects {
    /// Rate limit: until then, a ping from a member that left triggers no reconnect.
    left_quiet_until: Instant,
}

impl Reconnects {
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        to.deadline(self.left_quiet_until);
    }
}

impl Serf {
    /// Tries to reach one failed member, with a probability proportional to their number, so that the whole cluster
    /// tries each of them about once per `reconnect_interval` (`reconnect` in serf.go). HashiCorp's does a push/pull
    /// with the node that has the address now. Ours pings the member by name first, so that a different cluster that
    /// reuses the address stays separate. Members that left within [`VERIFY_LEFT_FOR`] are doubted at the same rate.
    pub(super) fn reconnect(&self, core: &mut Core) {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let left = self.members.left_within(core, VERIFY_LEFT_FOR);
        let failed = count(self.members.failed().len());
        if failed == 0 && left.is_empty() {
            return;
        }
        core.arm(core.cfg.serf().reconnect_interval, SerfTimer::Reconnect);
        // Armed before the early returns below: attempts go on while there is a candidate.
        let others = self.members.live().max(1);
        if core.rng.join.below(others) < count(left.len()) {
            // Separate RNG streams, so that the number of doubted members does not shift the draws of reconnects.
            let at = core.rng.join.below(count(left.len())) as usize;
            core.notify(Notification::VerifyLeft(left[at]));
        }
        if failed == 0 || core.rng.gossip.below(others) >= failed {
            return;
        }
        let at = core.rng.gossip.below(failed) as usize;
        if let Some(idx) = self.members.failed().nth(at) {
            reconnect_to(core, idx);
        }
    }

    /// Handles a ping from a left member that membership has already removed: the member never left, or it restarted
    /// and knows us.
    pub(super) fn reconnect_forgotten(&mut self, core: &mut Core, idx: MemberIdx) {
        let has_left = self.members.row(idx).status() == Some(Status::Left);
        if self.intents.is_leaving() || !has_left || core.now < self.reconnects.left_quiet_until {
            return;
        }
        self.reconnects.left_quiet_until = core.now + core.cfg.swim().probe_interval;
        reconnect_to(core, idx);
    }
}

/// Arms the first attempt, unless one is armed: after a random part of the interval. HashiCorp's timer runs from the
/// start of the process. Members fail at the same time everywhere, so that with equal delays the whole cluster would try
/// at once and then wait for an interval, although a partition has healed.
pub(super) fn arm_reconnect(core: &mut Core) {
    if !core.timers.is_set(SerfTimer::Reconnect) {
        let wait = core.rng.join.duration_below(core.cfg.serf().reconnect_interval);
        core.arm(wait, SerfTimer::Reconnect);
    }
}

fn reconnect_to(core: &mut Core, idx: MemberIdx) {
    let Some(peer) = core.roster.peer(idx) else { return };
    let with = peer.addr();
    tracing::info!(member = peer.name(), addr = %with, "attempting reconnect");
    let until = core.now + core.cfg.transport().stream_timeout;
    let purpose = ExchangePurpose::Reconnect { target: idx, codec: core.codec(Some(idx), None) };
    core.dial(with, purpose, until);
}

/// How long after a leave broadcast a member is occasionally asked whether it left. Ours: forged leave broadcasts can
/// split a cluster into two halves that each consider the other to have left. Shorter than for failed members: the
/// address of a member that left may have been reassigned.
const VERIFY_LEFT_FOR: Duration = Duration::from_secs(300);
