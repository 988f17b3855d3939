//! Fault injection into nodes and the network.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use serf_proto::{Instant, Key, KeyOperation};

use super::World;
use crate::command::{Command, KeyChange, LOAD, QueryParams, StartFrom};
use crate::hostile::Attack;
use crate::net::{Effect, NodeSet, Rule};
use crate::shared::Contacts;
use crate::truth::HostState;

/// A fault of a node or the network, or a scheduled command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The process dies.
    Crash(u32),
    /// The power fails: the process dies, and the newest records of its snapshot are lost or torn.
    PowerLoss {
        /// The node.
        node: u32,
        /// Decides how many records are lost, and where one is torn.
        draw: u32,
    },
    /// The process restarts without state and joins through nodes that are up.
    Restart(u32),
    /// The process restarts and rejoins from its snapshot. Without one, like [`Fault::Restart`].
    Return(u32),
    /// The process stalls.
    Pause(u32),
    /// The process resumes.
    Resume(u32),
    /// The host's clock stands still, while packets go on arriving: the node answers, and none of its timers fires.
    StopClock(u32),
    /// The host's clock runs again from where it stood, set ahead by `jump`. A clock that runs is only set ahead.
    StartClock {
        /// The node.
        node: u32,
        /// How far it is set ahead.
        jump: Duration,
    },
    /// The node leaves gracefully.
    Leave(u32),
    /// The node sends a user event of its own.
    Event(u32),
    /// The node sends a query to all others.
    Query(u32),
    /// The node announces another role tag.
    Role(u32),
    /// The node performs a step of a key rotation on all nodes. No effect without encryption, or where an operator would
    /// wait: before all hosts have the key, or while a host still encrypts with the one to remove.
    Rotate {
        /// The node.
        node: u32,
        /// The step.
        operation: KeyOperation,
        /// Number of the key; 0 is the first of the nodes' options.
        key: u32,
    },
    /// A network rule takes effect.
    Rule(Rule),
    /// All network rules end.
    Heal,
    /// The hostile host attacks. No effect without one.
    Assault(Attack),
}

impl Fault {
    /// Returns the node that it concerns, if it is one.
    pub fn node(&self) -> Option<u32> {
        self.clone().node_mut().copied()
    }

    /// Returns the node that it concerns, to renumber it.
    pub(crate) const fn node_mut(&mut self) -> Option<&mut u32> {
        match self {
            Self::Crash(node)
            | Self::PowerLoss { node, .. }
            | Self::Restart(node)
            | Self::Return(node)
            | Self::Pause(node)
            | Self::Resume(node)
            | Self::StopClock(node)
            | Self::StartClock { node, .. }
            | Self::Leave(node)
            | Self::Event(node)
            | Self::Query(node)
            | Self::Role(node)
            | Self::Rotate { node, .. } => Some(node),
            Self::Rule(_) | Self::Heal | Self::Assault(_) => None,
        }
    }

    /// Returns its kind, for reports.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Crash(_) => "crashes",
            Self::PowerLoss { .. } => "power failures",
            Self::Restart(_) => "blank restarts",
            Self::Return(_) => "returns from snapshots",
            Self::Pause(_) => "stalls",
            Self::Resume(_) => "ends of stalls",
            Self::StopClock(_) => "stops of clocks",
            Self::StartClock { .. } => "starts of clocks",
            Self::Leave(_) => "leaves",
            Self::Event(_) => "events",
            Self::Query(_) => "queries",
            Self::Role(_) => "changes of tags",
            Self::Rotate { .. } => "key rotations",
            Self::Rule(Rule { effect: Effect::Drop, .. }) => "cuts",
            Self::Rule(Rule { effect: Effect::Loss { .. }, .. }) => "bursts of loss",
            Self::Rule(Rule { effect: Effect::Delay(_), .. }) => "delays",
            Self::Heal => "ends of all rules",
            Self::Assault(_) => "assaults",
        }
    }
}

impl World {
    /// Injects a fault now. An inapplicable fault, such as the crash of a dead process, has no effect.
    pub fn inject(&mut self, fault: Fault) {
        let kind = fault.kind();
        let is_partitioned = self.is_partitioned();
        if self.inject_if_applicable(fault) && is_partitioned {
            *self.shards[0].notes.witness.while_partitioned.entry(kind).or_default() += 1;
        }
    }

    /// Injects a fault; returns whether it had an effect.
    fn inject_if_applicable(&mut self, fault: Fault) -> bool {
        use HostState::{Crashed, Leaving, Paused, Up};
        match fault {
            Fault::Crash(node) => self.change(node, &[Up, Paused, Leaving], Command::Crash, Crashed),
            Fault::PowerLoss { node, draw } => {
                self.change(node, &[Up, Paused, Leaving], Command::LosePower { draw }, Crashed)
            }
            Fault::Pause(node) => self.change(node, &[Up], Command::Pause, Paused),
            Fault::Resume(node) => self.change(node, &[Paused], Command::Resume, Up),
            Fault::StopClock(node) => {
                self.command(node, Command::StopClock);
                true
            }
            Fault::StartClock { node, jump } => {
                self.command(node, Command::StartClock { jump });
                true
            }
            Fault::Leave(node) => self.change(node, &[Up], Command::Leave, Leaving),
            Fault::Restart(node) => self.bring_back(node, false),
            Fault::Return(node) => self.bring_back(node, true),
            Fault::Event(node) => {
                self.commands_given += 1;
                let payload = self.commands_given.to_le_bytes();
                self.change(node, &[Up], Command::UserEvent { name: LOAD.to_owned(), payload: payload.to_vec() }, Up)
            }
            Fault::Query(node) => {
                let query_params = QueryParams { relay_factor: 1, answer_bytes: 8 };
                self.change(node, &[Up], Command::Query { query_params, nodes: Vec::new() }, Up)
            }
            Fault::Role(node) => {
                self.commands_given += 1;
                self.change(node, &[Up], Command::SetRole(self.commands_given), Up)
            }
            Fault::Rotate { node, operation, key } => self.rotate(node, operation, key),
            Fault::Rule(rule) => {
                self.shared.network.rules.push(rule);
                true
            }
            Fault::Heal => {
                self.shared.network.rules.clear();
                true
            }
            Fault::Assault(attack) => {
                let host = self.shared.hostile();
                host.into_iter().for_each(|host| self.command(host, Command::Assault(attack)));
                host.is_some()
            }
        }
    }

    /// Restarts a process that is down, from its snapshot or without state.
    pub(crate) fn bring_back(&mut self, node: u32, has_snapshot: bool) -> bool {
        self.settle_departures();
        let is_down = matches!(self.shared.truth.state(node), HostState::Crashed | HostState::Left);
        if is_down {
            let up = Contacts::These(self.shared.truth.all(HostState::Up).collect());
            if has_snapshot {
                self.shared.contacts = up;
                self.return_after(node, Duration::ZERO);
            } else {
                self.restart_through(node, up);
            }
        }
        is_down
    }

    /// Performs a step of a key rotation, if an operator would: a key is used only when all hosts have it, and removed only
    /// when all encrypt with the same other one. Hosts that are down count with the keyring on their disk, because they
    /// will return with it.
    fn rotate(&mut self, node: u32, operation: KeyOperation, key: u32) -> bool {
        let Some(bytes) = self.shared.key(key) else { return false };
        let rings: Vec<Vec<Key>> = (0..self.shared.nodes).map(|node| self.keyring(node)).collect();
        let is_due = match operation {
            KeyOperation::Install => true,
            KeyOperation::Use => rings.iter().all(|ring| ring.contains(&bytes)),
            KeyOperation::Remove => {
                let primary = rings.first().and_then(|ring| ring.first());
                primary != Some(&bytes) && rings.iter().all(|ring| ring.first() == primary)
            }
            KeyOperation::List => false,
        };
        let change = KeyChange { operation, key: bytes.as_bytes().to_vec(), relay_factor: 0 };
        is_due && self.change(node, &[HostState::Up], Command::ChangeKeys(change), HostState::Up)
    }

    /// Returns the keys of a host, the primary first: those of its process, or those that its next process will have.
    fn keyring(&self, node: u32) -> Vec<Key> {
        let host = self.host(node);
        match &host.process.node {
            Some(running) => running.keys().cloned().collect(),
            None if host.disk.keys().is_empty() => self.shared.settings.of(node).transport().encrypt_keys.clone(),
            None => host.disk.keys().to_vec(),
        }
    }

    /// Whether a rule drops packets now.
    pub(crate) fn is_partitioned(&self) -> bool {
        let drops = |rule: &Rule| {
            rule.effect == Effect::Drop && rule.during.is_none_or(|(from, until)| from <= self.now && self.now < until)
        };
        self.shared.network.rules.iter().any(drops)
    }

    /// Schedules a fault.
    pub fn plan(&mut self, at: Instant, fault: Fault) {
        debug_assert!(at >= self.now, "what is planned lies ahead");
        let place = self.planned.partition_point(|(planned, _)| *planned <= at);
        self.planned.insert(place, (at, fault));
    }

    /// Marks leaving nodes whose processes have ended as left.
    pub(crate) fn settle_departures(&mut self) {
        for node in self.all(HostState::Leaving) {
            if self.node(node).is_none() {
                self.shared.truth.set(node, HostState::Left);
            }
        }
    }

    /// Restarts a node's process. From now on nodes without contacts of their own join through `contacts`.
    pub(crate) fn restart_through(&mut self, node: u32, contacts: Contacts) {
        self.shared.contacts = contacts;
        self.command(node, Command::Start(StartFrom::Blank));
        self.command(node, Command::Join { contacts: Vec::new() });
        self.shared.truth.set(node, HostState::Up);
    }

    /// Restarts a node's process from its disk after `pause`.
    pub(crate) fn return_after(&mut self, node: u32, pause: Duration) {
        let at = self.now + pause;
        if self.shared.settings.of(node).serf().snapshot {
            self.command_at(node, at, Command::Start(StartFrom::FromDisk));
            self.command_at(node, at, Command::Rejoin);
        } else {
            self.command_at(node, at, Command::Start(StartFrom::Blank));
            self.command_at(node, at, Command::Join { contacts: Vec::new() });
        }
        self.shared.truth.set(node, HostState::Up);
    }

    /// Stalls a node's process for `time`, starting after `pause`. It still counts as up.
    pub(crate) fn stall_after(&mut self, node: u32, pause: Duration, time: Duration) {
        self.command_at(node, self.now + pause, Command::Pause);
        self.command_at(node, self.now + pause + time, Command::Resume);
    }

    /// Blocks a node's packets for `time`, starting after `pause`, while its timers go on. It still counts as up.
    pub(crate) fn block_after(&mut self, node: u32, pause: Duration, time: Duration) {
        let until = self.now + pause + time;
        self.command_at(node, self.now + pause, Command::Block { until });
        self.command_at(node, until, Command::Resume);
    }

    /// Starts or ends a partition between the subjects and the others.
    pub(crate) fn set_split(&mut self, is_split: bool) {
        self.shared.truth.set_split(is_split);
        self.shared.network.rules.clear();
        if is_split {
            let sides = |is_subject| {
                NodeSet::of((0..self.shared.nodes).filter(|node| self.shared.truth.is_subject(*node) == is_subject))
            };
            self.shared.network.rules.extend(Rule::partition(sides(true), sides(false), None));
        }
    }

    /// Disables loss, duplication, reordering and resets of links from now on.
    pub(crate) const fn mend_links(&mut self) {
        let model = self.shared.network.model.with_loss_ppm(0).with_duplicate_ppm(0).with_reorder_ppm(0);
        self.shared.network.model = model.with_stream_reset_ppm(0);
    }

    /// Sends a command to a node whose state is one of `from`, and records its new state. Returns whether it was.
    fn change(&mut self, node: u32, from: &[HostState], command: Command, to: HostState) -> bool {
        let applies = from.contains(&self.shared.truth.state(node));
        if applies {
            self.command(node, command);
            self.shared.truth.set(node, to);
        }
        applies
    }
}
