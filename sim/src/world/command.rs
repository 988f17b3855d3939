//! Commands of the nodes' operator: start, join, send events and queries.

use core::time::Duration;

use serf_proto::Instant;

use super::World;
use crate::command::{Command, KeyChange, QueryParams, StartFrom};
use crate::shared::Contacts;
use crate::truth::HostState;

impl World {
    /// Starts all nodes: node 0 now, the others evenly over `spread`, each joining through up to three earlier ones.
    pub fn start_cold(&mut self, spread: Duration) {
        self.start_first(self.shared.nodes, spread);
    }

    /// Starts the first `nodes` nodes like [`World::start_cold`]. The others are unknown until they start.
    pub fn start_first(&mut self, nodes: u32, spread: Duration) {
        for node in 0..nodes {
            let offset = spread.as_nanos() * u128::from(node) / u128::from(nodes);
            let at = self.now + Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX));
            self.command_at(node, at, Command::Start(StartFrom::Blank));
            if node > 0 {
                self.command_at(node, at, Command::Join { contacts: Vec::new() });
            }
            self.shared.truth.set(node, HostState::Up);
        }
    }

    /// Starts all nodes at once, each knowing all others already.
    pub fn start_converged(&mut self) {
        for node in 0..self.shared.nodes {
            self.command(node, Command::Start(StartFrom::Converged));
            self.shared.truth.set(node, HostState::Up);
        }
    }

    /// Starts one node, which joins through `contacts`.
    pub fn start(&mut self, node: u32, contacts: &[u32]) {
        self.command(node, Command::Start(StartFrom::Blank));
        if !contacts.is_empty() {
            self.command(node, Command::Join { contacts: contacts.to_vec() });
        }
        self.shared.truth.set(node, HostState::Up);
    }

    /// Sends a user event from a node.
    pub fn user_event(&mut self, node: u32, name: &str, payload: &[u8]) {
        self.command(node, Command::UserEvent { name: name.to_owned(), payload: payload.to_vec() });
    }

    /// Sends a user event from a node after `pause`.
    pub(crate) fn user_event_after(&mut self, node: u32, pause: Duration, name: &str, payload: &[u8]) {
        let event = Command::UserEvent { name: name.to_owned(), payload: payload.to_vec() };
        self.command_at(node, self.now + pause, event);
    }

    /// Sends a query from a node to all, who answer. In a query phase it is repeated for nodes that did not answer.
    pub fn query(&mut self, node: u32, query_params: QueryParams) {
        self.command(node, Command::Query { query_params, nodes: Vec::new() });
    }

    /// Joins a node through its contacts.
    pub(crate) fn join(&mut self, node: u32) {
        self.command(node, Command::Join { contacts: Vec::new() });
    }

    /// From now on nodes without contacts of their own join through nodes that are up.
    pub(crate) fn join_through_all(&mut self) {
        self.shared.contacts = Contacts::These(self.shared.truth.all(HostState::Up).collect());
    }

    /// Sends a key operation from a node to all, repeated while the current step is about it.
    pub(crate) fn change_keys(&mut self, node: u32, change: KeyChange) {
        self.command(node, Command::ChangeKeys(change));
    }

    pub(super) fn command(&mut self, node: u32, command: Command) {
        self.command_at(node, self.now, command);
    }

    pub(super) fn command_at(&mut self, node: u32, at: Instant, command: Command) {
        self.shards[self.shared.shard(node)].command(&self.shared, node, at, command);
    }
}
