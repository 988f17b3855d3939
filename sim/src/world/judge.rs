//! Violations: broken rules, and views that differ from the ground truth.

use std::collections::BTreeMap;

use bytes::Bytes;
use serf_proto::Status;

use super::World;
use crate::addressing::{addr_of, name_of};
use crate::check::{Finding, Violation, disagreement};
use crate::truth::HostState;

/// What nodes know of each other that are up but do not agree: see [`World::links`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    /// Pairs of nodes of which one counts the other as failed, and so tries to reconnect.
    pub(crate) failed: u32,
    /// Whether any node can reach any other over what nodes know. A member that left is known, but not contacted.
    pub(crate) are_connected: bool,
}

impl World {
    /// Returns the first violations so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.tally().violations
    }

    /// Records a violation found outside the shards.
    pub(crate) fn violate(&mut self, node: u32, finding: Finding) {
        let at = self.now;
        self.shards[0].tally.violate(Violation { at, node, finding });
    }

    /// Returns up to `limit` views that are wrong after everything has settled.
    pub fn disagreements(&self, limit: usize) -> Vec<Violation> {
        let observers = (0..self.shared.nodes).filter(|node| self.shared.truth.is_up(*node));
        // Not made anew for each pair, of which ten thousand nodes have a hundred million.
        let names: Vec<String> = (0..self.shared.nodes).map(name_of).collect();
        observers
            .filter_map(|observer| Some((observer, self.node(observer)?)))
            .flat_map(|(observer, node)| {
                (0_u32..).zip(&names).filter_map(move |(member, name)| {
                    let seen = node.member(name).map(|member| member.status());
                    let finding = disagreement(&self.shared.truth, member, seen)?;
                    Some(Violation { at: self.now, node: observer, finding })
                })
            })
            .take(limit)
            .collect()
    }

    /// Returns up to `limit` views that are wrong after faults of all kinds. Weaker than [`World::disagreements`] in
    /// one respect: a member that left while unreachable may count as failed. Stronger in another: tags must be right,
    /// too.
    pub fn wrong_views(&self, limit: usize) -> Vec<Violation> {
        let observers = || (0..self.shared.nodes).filter(|node| self.shared.truth.is_up(*node));
        let is_fine = |violation: &Violation| match violation.finding {
            Finding::Disagreement { member, seen: Some(Status::Failed), .. } => {
                self.shared.truth.state(member) == HostState::Left
            }
            _ => false,
        };
        let mut wrong = self.disagreements(usize::MAX);
        wrong.retain(|violation| !is_fine(violation));
        for member in observers() {
            let Some(tags) = self.node(member).map(|node| node.local().meta()) else { continue };
            let name = name_of(member);
            let sees_others = |observer: &u32| {
                self.node(*observer).and_then(|node| node.member(&name)).is_some_and(|seen| seen.peer().meta() != tags)
            };
            let moved = |observer: &u32| {
                let seen = self.node(*observer).and_then(|node| node.member(&name))?.addr();
                (seen != addr_of(member)).then_some((*observer, seen))
            };
            wrong.extend(observers().filter_map(|observer| moved(&observer)).map(|(node, seen)| Violation {
                at: self.now,
                node,
                finding: Finding::AddressDisagrees { member, seen },
            }));
            let finding = Finding::TagsDisagree { member };
            let at = self.now;
            wrong.extend(observers().filter(sees_others).map(|node| Violation { at, node, finding: finding.clone() }));
        }
        wrong.truncate(limit);
        wrong
    }

    /// Returns what the nodes that are up know of each other.
    pub(crate) fn links(&self) -> Links {
        let up: Vec<u32> = self.all(HostState::Up);
        let mut failed = 0;
        // Each node's group, by the lowest node in it.
        let mut groups: Vec<usize> = (0..up.len()).collect();
        for (from, observer) in up.iter().enumerate() {
            for (to, member) in up.iter().enumerate().filter(|(to, _)| *to != from) {
                let seen = self.node(*observer).and_then(|node| node.member(&name_of(*member)));
                let Some(status) = seen.map(|member| member.status()).filter(|status| *status != Status::Left) else {
                    continue;
                };
                failed += u32::from(status == Status::Failed);
                let (one, other) = (groups[from], groups[to]);
                groups.iter_mut().filter(|group| **group == one.max(other)).for_each(|group| *group = one.min(other));
            }
        }
        Links { failed, are_connected: groups.iter().all(|group| *group == 0) }
    }

    /// Returns the nodes that were up throughout and missed events of [`Fault::Event`](super::Fault::Event) that at least
    /// `holders_min` other such nodes delivered.
    pub(crate) fn missed_events(&self, holders_min: usize) -> Vec<Violation> {
        let heard = |node: u32| &self.host(node).phase.loads;
        let mut holders: BTreeMap<&Bytes, usize> = BTreeMap::new();
        for event in self.shared.truth.always_up().flat_map(heard) {
            *holders.entry(event).or_default() += 1;
        }
        holders.retain(|_, count| *count >= holders_min);
        let missed = |node: u32| holders.keys().filter(|event| !heard(node).contains(**event)).count();
        let deaf = self.shared.truth.always_up().filter(|node| missed(*node) > 0);
        let finding = |node| Finding::EventsMissed { events: missed(node) };
        deaf.map(|node| Violation { at: self.now, node, finding: finding(node) }).collect()
    }
}
