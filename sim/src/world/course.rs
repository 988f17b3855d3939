//! What a timeline needs: faults with consequences for the ground truth, timed events, and the share of right views.

use core::time::Duration;

use serf_proto::{Instant, KeyOperation};

use super::World;
use crate::addressing::node_at;
use crate::command::{Command, KeyChange, QueryParams, StartFrom, TIMED};
use crate::net::{NodeSet, Rule};
use crate::notes::Notes;
use crate::truth::HostState;

impl World {
    /// Starts these nodes evenly over `spread`, each joining through up to three earlier ones of them.
    pub(crate) fn start_these(&mut self, nodes: &[u32], spread: Duration) {
        let count = nodes.len().max(1) as u128;
        for (nth, &node) in nodes.iter().enumerate() {
            let offset = u64::try_from(spread.as_nanos() * nth as u128 / count).unwrap_or(u64::MAX);
            let at = self.now + Duration::from_nanos(offset);
            let contacts = self.draw_of(&nodes[..nth], CONTACTS);
            self.command_at(node, at, Command::Start(StartFrom::Blank));
            if !contacts.is_empty() {
                self.command_at(node, at, Command::Join { contacts });
            }
            self.shared.truth.set(node, HostState::Up);
        }
    }

    /// Starts these nodes now, each joining through nodes that are up.
    pub(crate) fn start_late(&mut self, nodes: &[u32]) {
        self.join_through_all();
        for &node in nodes {
            self.command(node, Command::Start(StartFrom::Blank));
            self.command(node, Command::Join { contacts: Vec::new() });
            self.shared.truth.set(node, HostState::Up);
        }
    }

    /// Makes these nodes subjects, too.
    pub(crate) fn add_subjects(&mut self, nodes: &[u32]) {
        self.shared.truth.add_subjects(nodes);
    }

    /// Starts these nodes at once, each knowing all nodes that are not late.
    pub(crate) fn start_these_converged(&mut self, nodes: &[u32]) {
        for &node in nodes {
            self.command(node, Command::Start(StartFrom::Converged));
            self.shared.truth.set(node, HostState::Up);
        }
    }

    /// Crashes a node of which others are to notice; `fault` is a number for [`Notes::detections`].
    pub(crate) fn crash_for_detection(&mut self, node: u32, fault: usize) {
        self.inject(super::Fault::Crash(node));
        self.shared.truth.set_crashed(node, self.now, fault);
    }

    /// Applies a rule from now on. If it drops packets, failures across it are no false alarms.
    pub(crate) fn add_rule(&mut self, fault: usize, rule: Rule) {
        if rule.effect == crate::net::Effect::Drop {
            self.shared.truth.cut(self.now, fault, rule.from.clone(), rule.to.clone());
        }
        self.shared.network.rules.push(rule);
    }

    /// Ends the rules of a fault.
    pub(crate) fn end_rules(&mut self, fault: usize, rules: &[Rule]) {
        self.shared.truth.mend(fault);
        for rule in rules {
            // Another fault, or the network itself, may have an equal one.
            if let Some(last) = self.shared.network.rules.iter().rposition(|other| other == rule) {
                self.shared.network.rules.remove(last);
            }
        }
    }

    /// Makes each input of a node take `cost`.
    pub(crate) fn set_input_cost(&mut self, node: u32, cost: Duration) {
        self.command(node, Command::SetInputCost(cost));
    }

    /// Sends an event of at least 8 bytes at `at`, whose deliveries are timed.
    pub(crate) fn timed_event(&mut self, node: u32, at: Instant, bytes: u32) {
        let mut payload = at.as_nanos().to_le_bytes().to_vec();
        payload.resize((bytes as usize).max(payload.len()), b'x');
        self.command_at(node, at, Command::UserEvent { name: TIMED.to_owned(), payload });
    }

    /// Sends a query at `at`, which all nodes answer.
    pub(crate) fn query_at(&mut self, node: u32, at: Instant, query_params: QueryParams) {
        self.command_at(node, at, Command::Query { query_params, nodes: Vec::new() });
    }

    /// Changes a node's role tag at `at`.
    pub(crate) fn role_at(&mut self, node: u32, at: Instant) {
        self.commands_given += 1;
        self.command_at(node, at, Command::SetRole(self.commands_given));
    }

    /// Sends a key operation to all nodes, once.
    pub(crate) fn key_operation(&mut self, node: u32, operation: KeyOperation, key: Vec<u8>) {
        self.command(node, Command::ChangeKeys(KeyChange { operation, key, relay_factor: 0 }));
    }

    /// Returns the notes of all shards, without the ledgers.
    pub(crate) fn notes(&self) -> Notes {
        let mut sum = Notes::default();
        self.shards.iter().for_each(|shard| sum.merge(&shard.notes));
        sum
    }

    /// Returns how many views of up to `observers` nodes are right, and how many there are: of each member the status
    /// that it should have. The observers are evenly spread over all nodes.
    pub(crate) fn right_views(&self, observers: u32) -> (u64, u64) {
        let truth = &self.shared.truth;
        let expected: Vec<_> = (0..self.shared.nodes).map(|node| truth.expected_status(node)).collect();
        let members = expected.iter().flatten().count() as u64;
        let step = self.shared.nodes.div_ceil(observers.max(1)) as usize;
        let (mut right, mut total) = (0, 0);
        for observer in (0..self.shared.nodes).step_by(step.max(1)).filter(|node| truth.is_up(*node)) {
            total += members;
            let Some(node) = self.node(observer) else { continue };
            let is_right = |member: &serf_proto::Member| {
                let id = node_at(member.addr(), self.shared.nodes);
                id.is_some_and(|id| expected[id as usize] == Some(member.status()))
            };
            right += node.members().filter(is_right).count() as u64;
        }
        (right, total)
    }

    /// Returns the nodes of a set.
    pub(crate) fn nodes_of(&self, set: &NodeSet) -> Vec<u32> {
        (0..self.shared.nodes).filter(|node| set.contains(*node)).collect()
    }

    /// Draws up to `count` of these nodes.
    pub(crate) fn draw_of(&mut self, nodes: &[u32], count: usize) -> Vec<u32> {
        let pool = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let drawn = crate::shared::draw_distinct(&mut self.rng, pool, count);
        drawn.into_iter().map(|drawn| nodes[drawn as usize]).collect()
    }
}

/// Contacts of a join, as in typical configurations.
const CONTACTS: usize = 3;
