//! Forgetting members that have been gone for long, and trying to reach the failed until then.

use alloc::vec::Vec;
use core::time::Duration;

use super::Serf;
use super::intent::early_bytes;
use super::member::{Gone, Row};
use crate::core::{Ask, Core, Notification};
use crate::event::Status;
use crate::roster::{Holder, MemberIdx};
use crate::timer::SerfTimer;

impl Serf {
    /// Has the reaper look after an interval. It is not woken while there is nothing to forget.
    pub(super) fn arm_reaper(core: &mut Core) {
        if !core.timers.is_set(SerfTimer::Reap) {
            core.arm(core.cfg.reap_interval, SerfTimer::Reap);
        }
    }

    /// Forgets whoever is due (`handleReap` in serf), then intents that waited too long for their member.
    pub(super) fn reap(&mut self, core: &mut Core) {
        let (now, cfg) = (core.now, core.cfg.clone());
        let outlived = |gone: &Gone, timeout: Duration| {
            let member = core.policy.as_ref().and_then(|policy| Some((policy, self.member(core, gone.idx)?)));
            now - gone.since > member.map_or(timeout, |(policy, member)| policy.reconnect_timeout(&member, timeout))
        };
        let failed = self.failed.iter().filter(|gone| outlived(gone, cfg.reconnect_timeout));
        let left = self.left.iter().filter(|gone| outlived(gone, cfg.tombstone_timeout));
        let due: Vec<_> = failed.chain(left).map(|gone| gone.idx).collect();
        for idx in due {
            self.erase(core, idx);
        }
        while let Some(&(since, idx)) = self.early.front() {
            if now - since <= cfg.recent_intent_timeout {
                break;
            }
            self.early.pop_front();
            self.early_bytes -= early_bytes(core.roster.name_ref(idx));
            if self.row(idx).status().is_none() {
                self.cancel_intent(idx);
                *self.row_mut(core, idx) = Row::default();
                core.roster.release(idx, Holder::Serf);
            }
        }
        self.stay(core);
        let waits = !(self.early.is_empty() && self.departing.is_empty());
        if waits || !(self.failed.is_empty() && self.left.is_empty()) {
            Self::arm_reaper(core);
        }
    }

    /// Has the next attempt made after an interval, if none waits.
    pub(super) fn arm_reconnect(core: &mut Core) {
        if !core.timers.is_set(SerfTimer::Reconnect) {
            core.arm(core.cfg.reconnect_interval, SerfTimer::Reconnect);
        }
    }

    /// Tries to reach one failed member, with a chance that grows with their number, so that the whole cluster tries each of
    /// them about once an interval (`reconnect` in serf). HashiCorp's exchanges states with whichever node has the address.
    /// Ours: the member is pinged by name first, so that another cluster that got its address stays apart. And
    /// for [`FAREWELL_DOUBTED`] members that left are asked as often whether they have.
    pub(super) fn reconnect(&self, core: &mut Core) {
        let lately = self.left.iter().filter(|gone| core.now - gone.since <= FAREWELL_DOUBTED);
        let left: Vec<MemberIdx> = lately.map(|gone| gone.idx).collect();
        if self.failed.is_empty() && left.is_empty() {
            return;
        }
        core.arm(core.cfg.reconnect_interval, SerfTimer::Reconnect);
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let others = self.members.saturating_sub(count(self.failed.len() + self.left.len())).max(1);
        if core.rng.join.below(others) < count(left.len()) {
            let at = core.rng.join.below(count(left.len())) as usize;
            core.notify(Notification::Doubted(left[at]));
        }
        let failed = count(self.failed.len());
        if failed == 0 || core.rng.gossip.below(others) >= failed {
            return;
        }
        let at = core.rng.gossip.below(failed) as usize;
        self.reconnect_to(core, self.failed[at].idx);
    }

    /// A member that left so long ago that membership has forgotten it pings us: it has not left, or is back and knows us.
    pub(super) fn left_is_there(&mut self, core: &mut Core, idx: MemberIdx) {
        if self.leaving || self.row(idx).status() != Some(Status::Left) || core.now < self.left_quiet_until {
            return;
        }
        self.left_quiet_until = core.now + core.cfg.probe_interval;
        self.reconnect_to(core, idx);
    }

    fn reconnect_to(&self, core: &mut Core, idx: MemberIdx) {
        let Some(peer) = core.roster.peer(idx) else { return };
        let with = peer.addr();
        tracing::info!(member = peer.name(), addr = %with, "attempting reconnect");
        let until = core.now + core.cfg.stream_timeout;
        let ask = Ask::Reconnect { target: idx, codec: core.codec(Some(idx), None) };
        core.dial(with, ask, until);
    }
}

/// For how long after a farewell the member is asked now and then whether it has left. Ours: forged farewells can cut a cluster in two
/// halves, each of which holds the other for left. Not as long as the failed, for a member that left may have handed its address on.
const FAREWELL_DOUBTED: Duration = Duration::from_secs(300);
