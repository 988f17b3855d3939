//! Forgetting members that have been gone for long, and trying to reach the failed until then.

use core::time::Duration;

use super::Serf;
use super::intent::early_bytes;
use super::member::{Gone, Row};
use crate::core::{Ask, Core};
use crate::roster::Holder;
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
        let due: alloc::vec::Vec<_> = failed.chain(left).map(|gone| gone.idx).collect();
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

    /// Tries to reach one failed member, with a chance that grows with their number, so that the whole cluster tries each of
    /// them about once an interval (`reconnect` in serf). HashiCorp's exchanges states with whichever node has the address.
    /// Ours: the member is pinged by name first, so that another cluster that got its address stays apart.
    pub(super) fn reconnect(&self, core: &mut Core) {
        if self.failed.is_empty() {
            return;
        }
        core.arm(core.cfg.reconnect_interval, SerfTimer::Reconnect);
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let failed = count(self.failed.len());
        let others = self.members.saturating_sub(failed + count(self.left.len())).max(1);
        if core.rng.gossip.below(others) >= failed {
            return;
        }
        let gone = self.failed[core.rng.gossip.below(failed) as usize];
        let Some(peer) = core.roster.peer(gone.idx) else { return };
        let with = peer.addr();
        tracing::info!(member = peer.name(), addr = %with, "attempting reconnect");
        let until = core.now + core.cfg.stream_timeout;
        let ask = Ask::Reconnect { target: gone.idx, codec: core.codec(Some(gone.idx), None) };
        core.dial(with, ask, until);
    }
}
