//! Fault injection into nodes and the network.

use core::time::Duration;

use serf_proto::Instant;

use super::World;
use crate::command::{Command, LOAD, QueryParams, StartFrom};
use crate::hostile::Attack;
use crate::net::{Effect, NodeSet, Rule};
use crate::shared::Contacts;
use crate::truth::HostState;

/// A fault of a node or the network, or a scheduled command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The process dies.
    Crash(u32),
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
    /// A network rule takes effect.
    Rule(Rule),
    /// All network rules end.
    Heal,
    /// The hostile host attacks. No effect without one.
    Assault(Attack),
}

impl Fault {
    /// Returns its kind, for reports.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Crash(_) => "crashes",
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
        use HostState::{Crashed, Leaving, Left, Paused, Up};
        match fault {
            Fault::Crash(node) => self.change(node, &[Up, Paused, Leaving], Command::Crash, Crashed),
            Fault::Pause(node) => self.change(node, &[Up], Command::Pause, Paused),
            Fault::Resume(node) => self.change(node, &[Paused], Command::Resume, Up),
            Fault::StopClock(node) => self.command(node, Command::StopClock),
            Fault::StartClock { node, jump } => self.command(node, Command::StartClock { jump }),
            Fault::Leave(node) => self.change(node, &[Up], Command::Leave, Leaving),
            Fault::Restart(node) => {
                self.settle_departures();
                if matches!(self.shared.truth.state(node), Crashed | Left) {
                    let up = self.shared.truth.all(Up).collect();
                    self.restart_through(node, Contacts::These(up));
                }
            }
            Fault::Return(node) => {
                self.settle_departures();
                if matches!(self.shared.truth.state(node), Crashed | Left) {
                    self.shared.contacts = Contacts::These(self.shared.truth.all(Up).collect());
                    self.return_after(node, Duration::ZERO);
                }
            }
            Fault::Event(node) => {
                self.commands_given += 1;
                let payload = self.commands_given.to_le_bytes();
                self.change(node, &[Up], Command::UserEvent { name: LOAD.to_owned(), payload: payload.to_vec() }, Up);
            }
            Fault::Query(node) => {
                let query_params = QueryParams { relay_factor: 1, answer_bytes: 8 };
                self.change(node, &[Up], Command::Query { query_params, nodes: Vec::new() }, Up);
            }
            Fault::Role(node) => {
                self.commands_given += 1;
                self.change(node, &[Up], Command::SetRole(self.commands_given), Up);
            }
            Fault::Rule(rule) => self.shared.network.rules.push(rule),
            Fault::Heal => self.shared.network.rules.clear(),
            Fault::Assault(attack) => {
                if let Some(host) = self.shared.hostile() {
                    self.command(host, Command::Assault(attack));
                }
            }
        }
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

    /// Sends a command to a node whose state is one of `from`, and records its new state.
    fn change(&mut self, node: u32, from: &[HostState], command: Command, to: HostState) {
        if from.contains(&self.shared.truth.state(node)) {
            self.command(node, command);
            self.shared.truth.set(node, to);
        }
    }
}
