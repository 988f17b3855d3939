//! The simulated world, as its owner sees it: time passes, nodes are commanded, faults are injected.

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::Bytes;
use serf_proto::{Config, DropReason, Instant, KeyOperation, MessageKind, Node, Outbox, Output, Rng, Sent, Status};

use crate::addressing::{addr_of, name_of};
use crate::cell::Cell;
use crate::check::{Finding, Violation, disagreement};
use crate::content;
use crate::digest::Digest;
use crate::engine::{self, Progress, Stop};
use crate::hostile::{Attack, Attacker, Ending, Shot, Sight};
use crate::net::{Effect, LinkModel, NodeSet, Rule};
use crate::recorder::{Recorder, Recording};
use crate::scheduled::{Command, StartFrom};
use crate::shard::Shard;
use crate::shared::{Contacts, Settings, Shared, draw_distinct};
use crate::tally::Tally;
use crate::truth::{Aim, Goal, HostState, Watch};

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// How many nodes there are. At least 1.
    pub nodes: u32,
    /// The seed of all randomness: equal seeds give equal runs.
    pub seed: u64,
    /// How many threads run it. The result does not depend on it.
    pub threads: u32,
    /// The nodes' settings.
    pub config: Config,
    /// Whether every second node speaks HashiCorp's codec only, whatever the settings say.
    pub mixed_codecs: bool,
    /// How links behave.
    pub model: LinkModel,
    /// Whether the checkers watch.
    pub has_checks: bool,
    /// Whether there is one more host behind the last node, from which [`Fault::Assault`] comes.
    pub has_hostile: bool,
}

/// A number of hosts with a node each, and the network between them.
#[derive(Debug)]
pub struct World {
    shared: Shared,
    shards: Vec<Shard>,
    now: Instant,
    rng: Rng,
    /// Faults and changes planned for later, in the order of their times.
    planned: Vec<(Instant, Fault)>,
    /// Tells events and roles apart.
    commands_given: u32,
}

/// How a node asks all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryParams {
    /// Over how many other nodes each answer goes besides the direct way.
    pub relay_factor: u8,
    /// How many bytes each answer carries.
    pub answer_bytes: u32,
}

/// What a node asks all to do to their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// What.
    pub operation: KeyOperation,
    /// With which key.
    pub key: Vec<u8>,
    /// Over how many other nodes each answer goes besides the direct way.
    pub relay_factor: u8,
}

/// Something that befalls nodes or the network.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The process dies.
    Crash(u32),
    /// The process starts anew, without memory, and joins through nodes that are up.
    Restart(u32),
    /// The process starts anew and finds the cluster again with what its snapshot says. Without one, as [`Fault::Restart`].
    Return(u32),
    /// The process stalls.
    Pause(u32),
    /// The process goes on.
    Resume(u32),
    /// The node leaves gracefully.
    Leave(u32),
    /// The node sends a user event of its own.
    Event(u32),
    /// The node asks all others.
    Query(u32),
    /// The node announces another role.
    Role(u32),
    /// A rule of the network begins to apply.
    Rule(Rule),
    /// All rules of the network end.
    Heal,
    /// The hostile host attacks. Without one, nothing.
    Assault(Attack),
}

impl Fault {
    /// Its kind, in a word or two.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Crash(_) => "crashes",
            Self::Restart(_) => "blank restarts",
            Self::Return(_) => "returns from snapshots",
            Self::Pause(_) => "stalls",
            Self::Resume(_) => "ends of stalls",
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
    /// A world in which no node has started yet.
    pub fn new(options: WorldOptions) -> Self {
        let WorldOptions { nodes, seed, threads, config, mixed_codecs, model, has_checks, has_hostile } = options;
        let shards = threads.clamp(1, nodes.max(1));
        let settings = Settings::new(config, mixed_codecs);
        let shared = Shared::new(nodes.max(1), shards, seed, settings, model, has_checks, has_hostile);
        Self {
            shards: (0..shards).map(|index| Shard::new(index, &shared)).collect(),
            rng: shared.plan_rng(),
            shared,
            now: Instant::ZERO,
            planned: Vec::new(),
            commands_given: 0,
        }
    }

    /// Starts all nodes: node 0 now, the others spread evenly over `spread`, each joining through up to three
    /// that started earlier.
    pub fn start_cold(&mut self, spread: Duration) {
        self.start_first(self.shared.nodes, spread);
    }

    /// Starts the first `nodes` nodes as [`World::start_cold`] does. The others are unknown to all until they start.
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

    /// Injects a fault now. What makes no sense, such as the crash of a dead process, does nothing.
    pub fn inject(&mut self, fault: Fault) {
        use HostState::{Crashed, Leaving, Left, Paused, Up};
        match fault {
            Fault::Crash(node) => self.change(node, &[Up, Paused, Leaving], Command::Crash, Crashed),
            Fault::Pause(node) => self.change(node, &[Up], Command::Pause, Paused),
            Fault::Resume(node) => self.change(node, &[Paused], Command::Resume, Up),
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

    /// Injects a fault later.
    pub fn plan(&mut self, at: Instant, fault: Fault) {
        debug_assert!(at >= self.now, "what is planned lies ahead");
        let place = self.planned.partition_point(|(planned, _)| *planned <= at);
        self.planned.insert(place, (at, fault));
    }

    /// Lets a node send a user event.
    pub fn user_event(&mut self, node: u32, name: &str, payload: &[u8]) {
        self.command(node, Command::UserEvent { name: name.to_owned(), payload: payload.to_vec() });
    }

    /// Lets a node ask all, who answer. While that is what a phase is about, those who do not are asked again.
    pub fn query(&mut self, node: u32, query_params: QueryParams) {
        self.command(node, Command::Query { query_params, nodes: Vec::new() });
    }

    /// Keeps all that goes in and comes out of a node from its next start on.
    pub fn record(&mut self, node: u32) {
        self.watch_node(node, false);
    }

    /// Prints all that goes in and comes out of a node to the standard error stream.
    pub fn print_trace(&mut self, node: u32) {
        self.watch_node(node, true);
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.run(until, &mut |_| false) != Stop::TimeOver {}
    }

    /// The virtual time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How many hosts there are.
    pub const fn nodes(&self) -> u32 {
        self.shared.nodes
    }

    /// The node of a host, if its process runs.
    pub fn node(&self, node: u32) -> Option<&Node> {
        self.cell(node).node.as_ref()
    }

    /// A hash of everything that went into every node so far. Equal seeds give equal hashes for every number of threads.
    pub fn trace_hash(&self) -> u64 {
        (0..self.shared.hosts).fold(0, |sum, node| {
            let cell = self.cell(node);
            let mut digest = Digest::default();
            digest.fold(u64::from(node) + 1);
            digest.fold(cell.digest.value());
            sum.wrapping_add(digest.value())
        })
    }

    /// What was recorded of the node that [`World::record`] was told.
    pub fn recording(&self) -> Option<&Recording> {
        self.shards.iter().find_map(|shard| shard.recorder.as_ref()?.recording())
    }

    /// What a node gives that starts as the recorded one did and gets the same inputs, without a world around it.
    pub fn replay(&self, recording: &Recording) -> Vec<Output> {
        let mut out = Outbox::new();
        let Recording { node, life, started_at, is_converged, .. } = *recording;
        let found = recording.found.clone();
        let mut node = self.shared.spawn(node, life, started_at, is_converged, found, &mut out);
        let mut outputs: Vec<Output> = out.drain().collect();
        for (at, input) in &recording.inputs {
            node.apply(*at, input, &mut out);
            outputs.extend(out.drain());
        }
        outputs
    }

    /// The rules that were broken so far, the first few of them.
    pub fn violations(&self) -> Vec<Violation> {
        self.tally().violations
    }

    /// Every view that is not as it should be once everything has settled, up to `limit`.
    pub fn disagreements(&self, limit: usize) -> Vec<Violation> {
        let observers = (0..self.shared.nodes).filter(|node| self.shared.truth.is_up(*node));
        observers
            .filter_map(|observer| Some((observer, self.node(observer)?)))
            .flat_map(|(observer, node)| {
                (0..self.shared.nodes).filter_map(move |member| {
                    let seen = node.member(&name_of(member)).map(|member| member.status());
                    let finding = disagreement(&self.shared.truth, member, seen)?;
                    Some(Violation { at: self.now, node: observer, finding })
                })
            })
            .take(limit)
            .collect()
    }

    /// Every view that is not as it should be after faults of all kinds, up to `limit`. More is fine than with
    /// [`World::disagreements`]: whoever left while nobody could hear it may be held for failed. And less: tags must be right, too.
    pub fn discords(&self, limit: usize) -> Vec<Violation> {
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

    /// How much a node remembers, in bytes: the length of all that it consists of, written as text. Every name, payload and list
    /// shows in it with at least a byte for each of its own, so that nothing that peers can grow stays unseen, and unlike what an
    /// allocator says it is the same in every run and on every platform. Spare room in tables and lists does not show. Zero when
    /// the process is down.
    pub fn content_bytes(&self, node: u32) -> usize {
        self.node(node).map_or(0, content::bytes)
    }

    // What chaos uses.

    /// How many members a node knows, and how many bytes a push/pull takes at the least to tell them.
    pub(crate) fn members_weight(&self, node: u32) -> (usize, usize) {
        let Some(node) = self.node(node) else { return (0, 0) };
        let told = |member: serf_proto::Member| member.name().len() + member.peer().meta().len() + STATE_BYTES;
        node.members().fold((0, 0), |(known, sum), member| (known + 1, sum + told(member)))
    }

    /// Starts the process of the hostile host, which joins the cluster if it `joins`, and attacks the first `victims` nodes
    /// when it is told to.
    pub(crate) fn start_hostile(&mut self, victims: u32, joins: bool) {
        let Some(host) = self.shared.hostile() else { return };
        let attacker = Box::new(Attacker::new(&self.shared, victims));
        let shard = &mut self.shards[self.shared.shard(host)];
        shard.cells[self.shared.local(host)].attacker = Some(attacker);
        self.command(host, Command::Start(StartFrom::Blank));
        if joins {
            self.command(host, Command::Join { contacts: vec![0] });
        }
    }

    /// From now on a node that is voted out of its name is a finding.
    pub(crate) const fn expect_names_kept(&mut self) {
        self.shared.names_kept = true;
    }

    /// How many members the attacker has invented.
    pub(crate) fn ghosts(&self) -> u32 {
        let attacker = self.shared.hostile().and_then(|host| self.cell(host).attacker.as_ref());
        attacker.map_or(0, |attacker| attacker.ghosts_invented())
    }

    /// What the hostile host would send in one round of an attack.
    pub(crate) fn compose(&mut self, attack: Attack) -> Vec<Shot> {
        let Some(host) = self.shared.hostile() else { return Vec::new() };
        let cell = &mut self.shards[self.shared.shard(host)].cells[self.shared.local(host)];
        let Some(mut attacker) = cell.attacker.take() else { return Vec::new() };
        let shots = attacker.compose(Sight { shared: &self.shared, host, node: cell.node.as_ref() }, attack);
        cell.attacker = Some(attacker);
        shots
    }

    /// The node of a host, to give it inputs without the network. What it wants done must be done by the caller.
    pub(crate) fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.shards[self.shared.shard(node)].cells[self.shared.local(node)].node.as_mut()
    }

    /// Ends what the hostile host does as a member.
    pub(crate) fn end_hostile(&mut self, ending: Ending) {
        let Some(host) = self.shared.hostile() else { return };
        match ending {
            Ending::Stays => {}
            Ending::Leaves => self.command(host, Command::Leave),
            Ending::Crashes => self.command(host, Command::Crash),
        }
    }

    /// Lets a node join through the nodes that it is to join through.
    pub(crate) fn join(&mut self, node: u32) {
        self.command(node, Command::Join { contacts: Vec::new() });
    }

    /// From now on nodes without contacts of their own join through those that are up.
    pub(crate) fn join_through_all(&mut self) {
        self.shared.contacts = Contacts::These(self.shared.truth.all(HostState::Up).collect());
    }

    /// Every node that stayed and missed events of [`Fault::Event`] that another such node delivered.
    pub(crate) fn missed_events(&self) -> Vec<Violation> {
        let heard = |node: u32| &self.cell(node).loads;
        let all: BTreeSet<&Bytes> = self.shared.truth.stayed().flat_map(heard).collect();
        let missed = |node: u32| all.len() - heard(node).len();
        let stayed = self.shared.truth.stayed().filter(|node| missed(*node) > 0);
        let finding = |node| Finding::EventsMissed { events: missed(node) };
        stayed.map(|node| Violation { at: self.now, node, finding: finding(node) }).collect()
    }

    // What phases use.

    /// Nodes that are up and have delivered fewer of the events that are listened for.
    pub(crate) fn not_heard(&self, count: u32) -> Vec<u32> {
        self.shared.truth.all(HostState::Up).filter(|node| self.cell(*node).heard < count).collect()
    }

    /// Begins to count what hosts send.
    pub(crate) fn begin_phase(&mut self) {
        for cell in self.shards.iter_mut().flat_map(|shard| &mut shard.cells) {
            (cell.uplink.datagrams, cell.uplink.datagram_bytes) = (0, 0);
        }
    }

    /// Begins to count deliveries of user events of this name.
    pub(crate) fn listen_for(&mut self, name: &str) {
        debug_assert!(name != LOAD, "the events of faults are counted by their payloads");
        self.shared.listened_for = Some(name.into());
        for cell in self.shards.iter_mut().flat_map(|shard| &mut shard.cells) {
            cell.heard = 0;
        }
    }

    /// Begins to count towards `aim`, which pairs and deliveries that are already so count for.
    pub(crate) fn begin(&mut self, aim: Aim) {
        for shard in &mut self.shards {
            shard.tally = Tally::default();
            for cell in &mut shard.cells {
                cell.answered.clear();
            }
        }
        let up = self.shared.truth.all(HostState::Up).count();
        let (total, done) = match &aim {
            Aim::Nothing => (0, 0),
            Aim::Events { count } => {
                let count = *count as usize;
                let heard = |node| (self.cell(node).heard as usize).min(count);
                (up * count, self.shared.truth.all(HostState::Up).map(heard).sum())
            }
            Aim::Answers { .. } | Aim::Keys { .. } => (up, 0),
            Aim::Views { status, watch } => {
                let (status, watch) = (*status, *watch);
                let (total, missing) = self.pairs(watch).fold((0, 0), |(total, missing), (observer, member)| {
                    (total + 1, missing + usize::from(self.status_seen(observer, member) != Some(status)))
                });
                (total, total - missing)
            }
        };
        let count = |n: usize| i64::try_from(n).expect("pairs are counted in 63 bits");
        self.shared.goal = Goal { aim, total: count(total), since: self.now };
        if done > 0 {
            self.shards[0].tally.progress(self.now, self.now, count(done));
        }
    }

    /// Runs until `until`, or until the goal is reached. Stops at what is planned and goes on.
    pub(crate) fn run(&mut self, until: Instant, on_progress: &mut dyn FnMut(Progress) -> bool) -> Stop {
        let goal = (self.shared.goal.aim != Aim::Nothing).then_some(self.shared.goal.total);
        loop {
            while let Some((at, _)) = self.planned.first()
                && *at <= self.now
            {
                let (_, fault) = self.planned.remove(0);
                self.inject(fault);
            }
            let cut = self.planned.first().map_or(until, |(at, _)| until.min(*at));
            let (now, stop) = engine::run(&mut self.shards, &self.shared, self.now, cut, goal, on_progress);
            self.now = now;
            if stop != Stop::TimeOver || now >= until {
                return stop;
            }
        }
    }

    /// The goal that is being counted towards.
    pub(crate) const fn goal(&self) -> &Goal {
        &self.shared.goal
    }

    /// What all shards counted since the phase began.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for shard in &self.shards {
            sum.merge(&shard.tally);
        }
        sum
    }

    /// Datagrams and bytes that each host sent since the phase began whose process ran at some time of it.
    pub(crate) fn traffic(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let cells = self.shards.iter().flat_map(|shard| &shard.cells);
        let active = cells.filter(|cell| cell.node.is_some() || cell.uplink.datagrams > 0);
        active.map(|cell| (cell.uplink.datagrams, cell.uplink.datagram_bytes))
    }

    /// Inputs that nodes dropped since the world began.
    pub(crate) fn node_drops(&self) -> [u64; DropReason::ALL.len()] {
        let mut sum = [0; DropReason::ALL.len()];
        let living = self.shards.iter().flat_map(|shard| &shard.cells).filter_map(|cell| cell.node.as_ref());
        let dead = self.shards.iter().map(|shard| &shard.dropped_by_the_dead);
        for dropped in living.map(|node| &node.stats().dropped).chain(dead) {
            for (sum, dropped) in sum.iter_mut().zip(dropped) {
                *sum += dropped;
            }
        }
        sum
    }

    /// What nodes sent in datagrams since the world began, by kind of message.
    pub(crate) fn sent(&self) -> [Sent; MessageKind::ALL.len()] {
        let mut sum = [Sent::default(); MessageKind::ALL.len()];
        let living = self.shards.iter().flat_map(|shard| &shard.cells).filter_map(|cell| cell.node.as_ref());
        let dead = self.shards.iter().map(|shard| &shard.sent_by_the_dead);
        for sent in living.map(|node| &node.stats().messages_out).chain(dead) {
            for (sum, sent) in sum.iter_mut().zip(sent) {
                sum.add(*sent);
            }
        }
        sum
    }

    /// The pairs, or nodes, that the goal still lacks, and how many they are. For an event both of a pair are the node.
    pub(crate) fn missing(&self, limit: usize) -> (u64, Vec<(u32, u32)>) {
        let mut examples = Vec::new();
        let mut count = 0;
        let mut note = |pair| {
            count += 1;
            if examples.len() < limit {
                examples.push(pair);
            }
        };
        match &self.shared.goal.aim {
            Aim::Nothing => {}
            Aim::Events { count } => {
                self.not_heard(*count).into_iter().for_each(|node| note((node, node)));
            }
            Aim::Answers { asker } | Aim::Keys { asker } => {
                let cell = self.cell(*asker);
                for node in self.shared.truth.all(HostState::Up) {
                    if !cell.answered.contains(&node) {
                        note((node, node));
                    }
                }
            }
            Aim::Views { status, watch } => {
                for (observer, member) in self.pairs(*watch) {
                    if self.status_seen(observer, member) != Some(*status) {
                        note((observer, member));
                    }
                }
            }
        }
        (count, examples)
    }

    /// Nodes of one standing.
    pub(crate) fn all(&self, state: HostState) -> Vec<u32> {
        self.shared.truth.all(state).collect()
    }

    /// Up to `count` of the nodes that are up, drawn at random.
    pub(crate) fn draw_up(&mut self, count: u32) -> Vec<u32> {
        let up = self.all(HostState::Up);
        let pool = u32::try_from(up.len()).expect("nodes are counted in 32 bits");
        draw_distinct(&mut self.rng, pool, count).into_iter().map(|drawn| up[drawn as usize]).collect()
    }

    /// Makes these nodes the subjects of the phase.
    pub(crate) fn set_subjects(&mut self, subjects: &[u32]) {
        self.shared.truth.set_subjects(subjects);
    }

    /// Notes that those who were leaving have left.
    pub(crate) fn settle_departures(&mut self) {
        for node in self.all(HostState::Leaving) {
            if self.node(node).is_none() {
                self.shared.truth.set(node, HostState::Left);
            }
        }
    }

    /// Starts a node's process anew after `pause`, with what its disk says.
    pub(crate) fn return_after(&mut self, node: u32, pause: Duration) {
        let at = self.now + pause;
        if self.shared.settings.of(node).snapshot {
            self.command_at(node, at, Command::Start(StartFrom::FromDisk));
            self.command_at(node, at, Command::Rejoin);
        } else {
            self.command_at(node, at, Command::Start(StartFrom::Blank));
            self.command_at(node, at, Command::Join { contacts: Vec::new() });
        }
        self.shared.truth.set(node, HostState::Up);
    }

    /// Lets a node's process stall from now plus `pause` on for `time`. It still counts as up.
    pub(crate) fn stall_after(&mut self, node: u32, pause: Duration, time: Duration) {
        self.command_at(node, self.now + pause, Command::Pause);
        self.command_at(node, self.now + pause + time, Command::Resume);
    }

    /// Lets a node send a user event after `pause`.
    pub(crate) fn user_event_after(&mut self, node: u32, pause: Duration, name: &str, payload: &[u8]) {
        let event = Command::UserEvent { name: name.to_owned(), payload: payload.to_vec() };
        self.command_at(node, self.now + pause, event);
    }

    /// Lets a node ask all to do something to their keys, again and again while that is what a step is about.
    pub(crate) fn change_keys(&mut self, node: u32, change: KeyChange) {
        self.command(node, Command::ChangeKeys(change));
    }

    /// Begins or ends a partition that keeps the subjects from all others.
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

    /// From now on links lose, double, hold up and reset nothing.
    pub(crate) const fn mend_links(&mut self) {
        let model = self.shared.network.model.with_loss_ppm(0).with_duplicate_ppm(0).with_reorder_ppm(0);
        self.shared.network.model = model.with_stream_reset_ppm(0);
    }

    /// Notes a rule that was found broken from outside.
    pub(crate) fn violate(&mut self, node: u32, finding: Finding) {
        let at = self.now;
        self.shards[0].tally.violate(Violation { at, node, finding });
    }

    /// The RNG of what is done to the world.
    pub(crate) const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The mean time of a round trip between two nodes.
    pub(crate) fn round_trip_mean(&self, a: u32, b: u32) -> Duration {
        self.shared.network.round_trip_mean(a, b)
    }

    /// Starts a node's process anew. From now on nodes without contacts of their own join through `contacts`.
    pub(crate) fn restart_through(&mut self, node: u32, contacts: Contacts) {
        self.shared.contacts = contacts;
        self.command(node, Command::Start(StartFrom::Blank));
        self.command(node, Command::Join { contacts: Vec::new() });
        self.shared.truth.set(node, HostState::Up);
    }

    /// Commands a node whose standing is one of `from`, and notes its new standing.
    fn change(&mut self, node: u32, from: &[HostState], command: Command, to: HostState) {
        if from.contains(&self.shared.truth.state(node)) {
            self.command(node, command);
            self.shared.truth.set(node, to);
        }
    }

    fn cell(&self, node: u32) -> &Cell {
        &self.shards[self.shared.shard(node)].cells[self.shared.local(node)]
    }

    fn command(&mut self, node: u32, command: Command) {
        self.command_at(node, self.now, command);
    }

    fn command_at(&mut self, node: u32, at: Instant, command: Command) {
        self.shards[self.shared.shard(node)].command(&self.shared, node, at, command);
    }

    fn watch_node(&mut self, node: u32, is_printing: bool) {
        let recorder = Recorder::new(node, self.shared.nodes, is_printing);
        let shard = self.shared.shard(node);
        self.shards[shard].recorder = Some(recorder);
    }

    fn status_seen(&self, observer: u32, member: u32) -> Option<Status> {
        Some(self.node(observer)?.member(&name_of(member))?.status())
    }

    fn pairs(&self, watch: Watch) -> impl Iterator<Item = (u32, u32)> + '_ {
        let truth = &self.shared.truth;
        let members = 0..self.shared.nodes;
        (0..self.shared.nodes).flat_map(move |observer| {
            members
                .clone()
                .filter(move |member| watch.covers(truth, observer, *member))
                .map(move |member| (observer, member))
        })
    }
}

/// A member in a push/pull besides its name and its metadata: keys, address, incarnation, versions.
const STATE_BYTES: usize = 80;

/// The name of the events of [`Fault::Event`].
pub(crate) const LOAD: &str = "load";
