//! Runs without faults: whether a world comes to agree with the truth.

use core::time::Duration;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Mutex, PoisonError};

use serf_proto::internals::wire::swim::State;
use serf_proto::{NodeState, Seed, Status};

use crate::mail::letter;
use crate::plan::{Plan, address};
use crate::rules::{Finding, Known, Rule};
use crate::world::{Life, World};

/// The worlds that are known to come to an agreement, by the hash of what decides how they go on.
#[derive(Debug, Default)]
pub(crate) struct Settled(Mutex<HashSet<u64>>);

impl Settled {
    fn contains(&self, hash: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash)
    }

    fn extend(&self, hashes: Vec<u64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(hashes);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl World {
    /// Goes on without faults until all agree, and returns what is wrong if they do not. Messages that were held back are
    /// lost.
    pub(crate) fn make_peace(&mut self, plan: &Plan, settled: &Settled) -> Option<Finding> {
        let (until, mut passed) = (self.now + PEACE, Vec::new());
        self.late.clear();
        loop {
            // First, because the last step before agreement can break a rule too.
            if let Some(finding) = self.finding() {
                return Some(finding.clone());
            }
            if self.prompt.is_empty() {
                let hash = self.rest_hash();
                if settled.contains(hash) {
                    break;
                }
                passed.push(hash);
                if self.disagreement(plan).is_none() {
                    break;
                }
            }
            if self.now >= until || !self.peaceful_step(plan) {
                let (rule, what) = self.disagreement(plan)?;
                return Some(Finding { rule, what: format!("{what}, {:?} after the faults", PEACE) });
            }
            self.compare_digests();
        }
        settled.extend(passed);
        None
    }

    fn rest_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.feed(&mut hasher);
        hasher.finish()
    }

    /// Delivers a message, or fires the next timer. False if there is neither.
    pub(crate) fn peaceful_step(&mut self, plan: &Plan) -> bool {
        let next = self.prompt.iter().position(|mail| self.may_arrive(mail));
        if let Some(nth) = next {
            let mail = self.prompt.remove(nth);
            let seed = self.slots[mail.to].life.as_ref().map_or_else(|| Seed::from_u64(0), |life| fair_seed(life));
            return self.deliver(plan, &mail, &seed, false).is_some();
        }
        let due = self.up().filter_map(|(at, life)| Some((life.due()?, at))).min();
        let Some((node, seed)) = due.and_then(|(_, at)| Some((at, fair_seed(self.slots[at].life.as_ref()?)))) else {
            return false;
        };
        self.fire(plan, node, &seed, false).is_some()
    }

    /// The first difference between what a running node knows and the truth.
    pub(crate) fn disagreement(&self, plan: &Plan) -> Option<(Rule, String)> {
        let views = self.up().find_map(|(at, life)| self.wrong_belief(plan, at, life));
        views.or_else(|| {
            let mut nodes = self.up();
            let (first, life) = nodes.next()?;
            let (other, _) = nodes.find(|(_, other)| other.view != life.view)?;
            Some((Rule::Agreement, format!("the views of {} and {} differ", letter(first), letter(other))))
        })
    }

    fn wrong_belief(&self, plan: &Plan, observer: usize, life: &Life) -> Option<(Rule, String)> {
        (0..plan.nodes()).filter(|&at| at != observer).find_map(|at| {
            let name = plan.name_of(at);
            let known = Known::of(&life.known, name);
            let status = life.node.member(name);
            let is_there = status.as_ref().is_some_and(|member| member.addr() == address(at));
            let sees = |what: &str| format!("{} sees {} as {what}", letter(observer), letter(at));
            match &self.slots[at].life {
                Some(other) => {
                    if other.node.state() != NodeState::Alive {
                        return Some((Rule::Agreement, format!("{} has not left", letter(at))));
                    }
                    let Some(known) = known.filter(|_| is_there) else {
                        return Some((Rule::Agreement, sees("nothing")));
                    };
                    if known.member.state != State::Alive || known.member.incarnation != other.node.incarnation() {
                        let rule = if known.is_accused() { Rule::Refutable } else { Rule::Agreement };
                        let (state, incarnation) = (known.member.state, known.member.incarnation);
                        return Some((rule, sees(&format!("{state:?} at incarnation {incarnation}"))));
                    }
                    let status = status.map(|member| member.status());
                    (status != Some(Status::Alive)).then(|| (Rule::Agreement, sees(&format!("{status:?}"))))
                }
                // Another node may have its name.
                None => {
                    let is_live = is_there && known.is_some_and(Known::is_live);
                    is_live.then(|| (Rule::Agreement, sees("live, although it is gone")))
                }
            }
        })
    }

    /// Whether a running node suspects another one, or takes it for dead.
    pub(crate) fn has_false_accusation(&self, plan: &Plan) -> bool {
        self.up().any(|(observer, life)| {
            life.known
                .iter()
                .filter(|known| known.is_accused())
                .any(|known| self.up().any(|(at, _)| at != observer && *known.member.name == *plan.name_of(at)))
        })
    }
}

/// Random choices that differ from step to step, but are the same for the same state.
fn fair_seed(life: &Life) -> Seed {
    Seed::from_u64(life.hash)
}

/// How long agreement may take. Failed members are reconnected to every four seconds on average, and states exchanged
/// every eight, each with a random member.
const PEACE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::find("two-losses").expect("it is shipped")
    }

    #[test]
    fn a_violation_in_a_world_that_agrees_is_found() {
        let mut world = World::new(&plan(), 0);
        assert_eq!(world.disagreement(&plan()), None);
        world.note(Finding { rule: Rule::EventOnce, what: "planted".into() });
        let settled = Settled::default();
        let finding = world.make_peace(&plan(), &settled);
        assert_eq!(finding.map(|finding| finding.rule), Some(Rule::EventOnce));
        assert_eq!(settled.len(), 0, "the state does not count as settled");
    }

    #[test]
    fn worlds_that_differ_in_when_the_next_timer_fires_differ() {
        let (early, mut late) = (World::new(&plan(), 0), World::new(&plan(), 0));
        late.now = late.now + Duration::from_millis(1);
        assert_ne!(early.rest_hash(), late.rest_hash());
    }
}
