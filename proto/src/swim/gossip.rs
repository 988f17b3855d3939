//! The random members that broadcasts, push/pulls and indirect pings go to.

use alloc::vec::Vec;

use super::Swim;
use crate::core::Core;
use crate::rng::Rng;
use crate::roster::MemberIdx;
use crate::wire::swim::State;

impl Swim {
    /// The members that get a packet in this gossip tick (`gossip` in memberlist's state.go): the live, the suspect, so that
    /// they hear of it, and the recently dead, so that they may refute.
    pub(crate) fn gossip_targets(&self, core: &mut Core) -> Vec<MemberIdx> {
        let (now, dead_age_max) = (core.now, core.cfg.gossip_to_the_dead_time);
        let count = core.cfg.gossip_nodes as usize;
        self.choose_reliable(&mut core.rng.gossip, count, |swim, idx| match swim.members.row(idx).state {
            Some(State::Alive | State::Suspect) => true,
            Some(State::Dead) => now - swim.members.since(idx) <= dead_age_max,
            Some(State::Left) | None => false,
        })
    }

    /// As [`choose`](Self::choose), but two of three are members that have answered us while most newcomers do not exist.
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
        let mut chosen = self.choose(rng, count - count / 3, answered);
        let others = |swim: &Self, idx| !chosen.contains(&idx) && eligible(swim, idx);
        let rest = self.choose(rng, count - chosen.len(), others);
        chosen.extend(rest);
        chosen
    }

    /// Up to `count` different members, not ourselves, that `eligible` accepts; each is as likely as any other.
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
                return chosen;
            }
            let idx = MemberIdx(rng.below(slots));
            if idx != self.me() && !chosen.contains(&idx) && eligible(self, idx) {
                chosen.push(idx);
            }
        }
        // Drawing fails when few rows are eligible, so look at all of them and take a fair sample of the rest.
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

/// While most members are eligible, one draw in two or better succeeds.
const DRAWS_PER_MEMBER: usize = 8;
