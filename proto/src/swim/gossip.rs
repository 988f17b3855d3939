//! Random target selection for broadcasts, push/pull and indirect pings.

use alloc::vec::Vec;

use super::Swim;
use crate::core::Core;
use crate::rng::Rng;
use crate::roster::MemberIdx;
use crate::wire::swim::State;

impl Swim {
    /// The targets of one gossip tick (`gossip` in memberlist's state.go): live members; suspects, so that they learn
    /// of the suspicion; and the recently dead, so that they may refute.
    pub(crate) fn gossip_targets(&self, core: &mut Core) -> Vec<MemberIdx> {
        let (now, dead_age_max) = (core.now, core.cfg.swim().gossip_to_the_dead_time);
        let count = core.cfg.swim().gossip_nodes as usize;
        self.choose_by_zone(&mut core.rng.gossip, count, |swim, idx| match swim.members.row(idx).state {
            Some(State::Alive | State::Suspect) => true,
            Some(State::Dead) => now - swim.members.since(idx) <= dead_age_max,
            Some(State::Left) | None => false,
        })
    }

    /// As [`choose_reliable`](Self::choose_reliable). With zones, most are near; of the far, as many as the role of this
    /// node allows. Where there are too few of either, the others take their places.
    pub(super) fn choose_by_zone(
        &self,
        rng: &mut Rng,
        count: usize,
        eligible: impl Fn(&Self, MemberIdx) -> bool,
    ) -> Vec<MemberIdx> {
        let Some(far) = self.members.zones().far_targets(rng, count) else {
            return self.choose_reliable(rng, count, eligible);
        };
        let is_near = |swim: &Self, idx| swim.members.zones().is_near(idx);
        let mut chosen = self.choose_reliable(rng, count - far, |swim, idx| is_near(swim, idx) && eligible(swim, idx));
        let rest =
            self.choose_reliable(rng, count - chosen.len(), |swim, idx| !is_near(swim, idx) && eligible(swim, idx));
        chosen.extend(rest);
        if chosen.len() < count {
            let others = |swim: &Self, idx| !chosen.contains(&idx) && eligible(swim, idx);
            let rest = self.choose_reliable(rng, count - chosen.len(), others);
            chosen.extend(rest);
        }
        chosen
    }

    /// As [`choose`](Self::choose). During a flood, two thirds are members that have answered us.
    pub(super) fn choose_reliable(
        &self,
        rng: &mut Rng,
        count: usize,
        eligible: impl Fn(&Self, MemberIdx) -> bool,
    ) -> Vec<MemberIdx> {
        if !self.admission.is_flooded() {
            return self.choose(rng, count, eligible);
        }
        let answered = |swim: &Self, idx| swim.admission.has_answered(idx) && eligible(swim, idx);
        // One third stays uniform: newcomers that do exist must still get gossip.
        let mut chosen = self.choose(rng, count - count / 3, answered);
        let others = |swim: &Self, idx| !chosen.contains(&idx) && eligible(swim, idx);
        let rest = self.choose(rng, count - chosen.len(), others);
        chosen.extend(rest);
        chosen
    }

    /// Up to `count` distinct members other than this node that `eligible` accepts, uniformly at random.
    pub(super) fn choose(
        &self,
        rng: &mut Rng,
        count: usize,
        eligible: impl Fn(&Self, MemberIdx) -> bool,
    ) -> Vec<MemberIdx> {
        let mut chosen = Vec::with_capacity(count);
        let slots = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        for _ in 0..count * DRAWS_PER_MEMBER {
            if chosen.len() == count {
                break;
            }
            let idx = MemberIdx(rng.below(slots));
            if idx != self.me() && !chosen.contains(&idx) && eligible(self, idx) {
                chosen.push(idx);
            }
        }
        if chosen.len() == count {
            return chosen;
        }
        // Draws fail when few rows are eligible. Then scan all rows, and sample the eligible ones.
        let mut rest: Vec<MemberIdx> = (0..slots)
            .map(MemberIdx)
            .filter(|&idx| idx != self.me() && !chosen.contains(&idx) && eligible(self, idx))
            .collect();
        while chosen.len() < count && !rest.is_empty() {
            let at = rng.below(u32::try_from(rest.len()).unwrap_or(u32::MAX)) as usize;
            chosen.push(rest.swap_remove(at));
        }
        chosen
    }
}

/// Draws per wanted member, before all rows are scanned. Enough while at least half of the rows are eligible.
const DRAWS_PER_MEMBER: usize = 8;
