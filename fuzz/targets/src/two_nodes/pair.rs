//! Two nodes with the network between them, and the rules that hold after each call.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serf_model::{Finding, Known, Rule, accusation_of, check_changes, check_own_leave, check_refuted};
use serf_proto::internals::state;
use serf_proto::internals::wire::swim::State;
use serf_proto::{
    AfterLeave, Config, Event, Identity, Input, Instant, Node, NodeState, OldEvents, Outbox, Output, QueryId, Seed,
    Snapshot, Start, Tags,
};

use super::network::{Body, Mail, Network, Step};
use crate::subject::{Kind, Subject, addr, options};

/// Messages of one instant. More are an exchange without an end.
const MAILS_MAX: usize = 2_000;

/// The names of the nodes.
pub(super) const NAMES: [&str; 2] = ["a", "b"];

/// Two nodes, and the network between them.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) slots: [Slot; 2],
    pub(super) network: Network,
    /// Whether a corrupt message may have been taken for one of a member: rules about what nodes say to each other do not
    /// hold then.
    pub(super) is_forged: bool,
    seed: Seed,
}

/// The place of a node.
pub(super) struct Slot {
    kind: Kind,
    pub(super) life: Option<Life>,
    lives: u64,
    /// The incarnation at which the last process left.
    left_at: Option<u32>,
    /// What is on its disk.
    snapshot: Snapshot,
    /// The user events that it delivered since it last started without a snapshot.
    delivered: BTreeSet<(u64, Box<str>, Vec<u8>)>,
}

/// A running node.
pub(super) struct Life {
    pub(super) subject: Subject,
    pub(super) known: Vec<Known>,
    /// The last query that it was asked.
    pub(super) asked: Option<QueryId>,
    /// How far its clock is ahead.
    ahead: Duration,
    /// The number of outputs that were carried out.
    seen: usize,
}

impl Pair {
    /// Two nodes that have just joined.
    pub(super) fn new(kinds: [Kind; 2], seed: u8) -> Self {
        let slot = |kind| Slot {
            kind,
            life: None,
            lives: 0,
            left_at: None,
            snapshot: Snapshot::new(AfterLeave::Rejoin),
            delivered: BTreeSet::new(),
        };
        let mut pair = Self {
            now: Instant::ZERO,
            slots: kinds.map(slot),
            network: Network::default(),
            is_forged: false,
            seed: Seed::from_u64(seed.into()),
        };
        pair.start(0, false);
        pair.start(1, false);
        pair.join(0);
        pair.settle();
        pair
    }

    /// Starts the process of a node, with its snapshot or without.
    pub(super) fn start(&mut self, at: usize, has_snapshot: bool) {
        let slot = &mut self.slots[at];
        if slot.life.is_some() {
            return;
        }
        let mut start = Start::new();
        if has_snapshot {
            start = start.with_snapshot(slot.snapshot.clone());
        } else {
            slot.snapshot = Snapshot::new(AfterLeave::Rejoin);
            slot.delivered.clear();
        }
        slot.left_at = None;
        slot.lives += 1;
        let identity = Identity::new(NAMES[at], address(at), &Tags::default()).expect("a valid name");
        let seed = self.seed.child(at as u64).child(slot.lives);
        let mut out = Outbox::new();
        let node = Node::new(config(slot.kind), &identity, &seed, self.now, start, &mut out);
        let subject = Subject::of(slot.kind, Rc::new(node), self.now);
        let known = Known::all(&subject.node);
        slot.life = Some(Life { subject, known, asked: None, ahead: Duration::ZERO, seen: 0 });
        out.drain().for_each(|output| self.carry_out(at, output));
    }

    /// Ends the process of a node.
    pub(super) fn stop(&mut self, at: usize) {
        if let Some(life) = self.slots[at].life.take() {
            life.subject.check_replay();
            self.network.stop(at);
        }
    }

    /// Makes a node join through the other one.
    pub(super) fn join(&mut self, at: usize) {
        self.give(at, Input::Join { seeds: vec![address(1 - at)], old: OldEvents::Deliver });
    }

    /// Delivers all messages that arrive before time passes.
    pub(super) fn settle(&mut self) {
        let mut mails = 0;
        while let Some(mail) = self.network.next() {
            self.deliver(mail);
            mails += 1;
            assert!(mails < MAILS_MAX, "the nodes talk without an end");
        }
        self.check_digests();
    }

    /// Lets time pass and fires the timers of both nodes. Stops once `is_enough` holds; false if that is never.
    pub(super) fn pass(&mut self, span: Duration, mut is_enough: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + span;
        loop {
            if is_enough(self) {
                return true;
            }
            let due = (0..2).filter_map(|at| Some((self.slots[at].life.as_ref()?.due()?, at))).min();
            let Some((due, at)) = due.filter(|(due, _)| *due <= end) else { break };
            self.now = self.now.max(due);
            self.call(at, |subject| subject.wake(subject.now));
            self.settle();
        }
        self.now = end;
        false
    }

    /// Lets the clock of a node run ahead to its next timer.
    pub(super) fn hurry(&mut self, at: usize) {
        let now = self.now;
        let Some(life) = &mut self.slots[at].life else { return };
        let Some(due) = life.due().filter(|due| *due > now) else { return };
        life.ahead += due - now;
        self.call(at, |subject| subject.wake(subject.now));
    }

    /// Passes an input to a node, if it runs.
    pub(super) fn give(&mut self, at: usize, input: Input) {
        self.call(at, |subject| subject.give(input));
    }

    /// The nodes that run.
    pub(super) fn up(&self) -> impl Iterator<Item = (usize, &Life)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.life.as_ref()?)))
    }

    fn deliver(&mut self, mail: Mail) {
        let (at, from) = (mail.to, 1 - mail.to);
        let Some(life) = &self.slots[at].life else { return self.refuse(&mail) };
        self.is_forged |= mail.is_corrupt && !self.slots[at].kind.is_sealed;
        match mail.body {
            Body::Datagram(bytes) => {
                let opened = if mail.is_corrupt { None } else { life.subject.node.open_own(&bytes) };
                let accused_at = opened.and_then(|packet| accusation_of(&packet, NAMES[at]));
                self.give(at, Input::Datagram { from: address(from), bytes });
                let refuted =
                    self.slots[at].life.as_ref().and_then(|life| check_refuted(&life.subject.node, accused_at));
                report(refuted);
            }
            Body::Connect(theirs) => {
                let Some(ours) = self.call(at, |subject| subject.accept(address(from))) else { return };
                self.network.connect((at, ours), (from, theirs));
                self.network.send_step((at, ours), Step::Opened);
            }
            Body::Stream(stream, step) => self.give(
                at,
                match step {
                    Step::Opened => Input::StreamOpened(stream),
                    Step::Data(bytes) => Input::StreamData(stream, bytes),
                    Step::Closed => Input::StreamClosed(stream),
                    Step::Failed => Input::StreamFailed(stream),
                },
            ),
        }
    }

    /// Nothing listens at the receiver.
    fn refuse(&mut self, mail: &Mail) {
        if let Body::Connect(stream) = mail.body {
            self.network.send(1 - mail.to, Body::Stream(stream, Step::Failed));
        }
    }

    /// Calls a node, if it runs, checks it, and carries out what it asks for.
    fn call<T>(&mut self, at: usize, input: impl FnOnce(&mut Subject) -> T) -> Option<T> {
        let now = self.now;
        let life = self.slots[at].life.as_mut()?;
        let state = life.subject.node.state();
        life.subject.now = now + life.ahead;
        let result = input(&mut life.subject);
        let known = Known::all(&life.subject.node);
        let before = std::mem::replace(&mut life.known, known);
        let outputs = life.subject.outputs[life.seen..].to_vec();
        life.seen += outputs.len();
        self.check(at, &before, state);
        outputs.into_iter().for_each(|output| self.carry_out(at, output));
        Some(result)
    }

    fn check(&self, at: usize, before: &[Known], state: NodeState) {
        let Some(life) = &self.slots[at].life else { return };
        let node_at = |addr| (0..2).find(|&at| !self.is_forged && address(at) == addr);
        report(check_changes(before, &life.known, |addr| self.left_at(node_at(addr)?)));
        let own = Known::of(before, NAMES[at]).zip(Known::of(&life.known, NAMES[at]));
        report(check_own_leave(state, life.subject.node.state(), own));
    }

    /// The least incarnation at which a view that shows a node as left shows its last leave, unless it was started again
    /// since. A node that was started once has left once.
    fn left_at(&self, at: usize) -> Option<u32> {
        let slot = &self.slots[at];
        let own = slot.life.as_ref().and_then(|life| Known::of(&life.known, NAMES[at]));
        let left = own.filter(|own| own.member.state == State::Left).map(|own| own.member.incarnation);
        left.or(slot.left_at).map(|incarnation| if slot.lives == 1 { 0 } else { incarnation })
    }

    fn carry_out(&mut self, from: usize, output: Output) {
        let other = 1 - from;
        match output {
            Output::Datagram { to, bytes } if to == address(other) => {
                self.network.send(other, Body::Datagram(bytes.to_vec()));
            }
            Output::Connect { stream, to } if to == address(other) => self.network.send(other, Body::Connect(stream)),
            // To a member that only a corrupt message has told of.
            Output::Datagram { .. } => {}
            Output::Connect { stream, .. } => self.network.send(from, Body::Stream(stream, Step::Failed)),
            Output::Write { stream, bytes } => self.network.send_step((from, stream), Step::Data(bytes.to_vec())),
            Output::Close { stream } => {
                self.network.send_step((from, stream), Step::Closed);
                self.network.disconnect((from, stream));
            }
            Output::Persist(record) => self.slots[from].snapshot.apply(&record),
            Output::Event(event) => self.note(from, event),
            other => unreachable!("no node has a keyring file, but {other:?}"),
        }
    }

    fn note(&mut self, at: usize, event: Event) {
        let slot = &mut self.slots[at];
        match event {
            Event::User(event) => {
                let what = format!("{} delivers an event of time {} again", NAMES[at], event.ltime);
                let is_new = slot.delivered.insert((event.ltime, event.name, event.payload.to_vec()));
                report((!is_new).then_some(Finding { rule: Rule::EventOnce, what }));
            }
            Event::Query(query) => {
                if let Some(life) = &mut slot.life {
                    life.asked = Some(query.id);
                }
            }
            Event::LeftCluster(_) => {
                slot.left_at = slot.life.as_ref().map(|life| life.subject.node.incarnation());
                self.stop(at);
            }
            _ => {}
        }
    }

    /// Checks that the digests are equal if and only if the views are.
    fn check_digests(&self) {
        let [Some(one), Some(other)] = [&self.slots[0].life, &self.slots[1].life] else { return };
        let (one, other) = (&one.subject.node, &other.subject.node);
        let what = || "equal digests of different views, or the reverse".to_owned();
        let is_wrong = (one.digest() == other.digest()) != (state::view(one) == state::view(other));
        report(is_wrong.then(|| Finding { rule: Rule::DigestIsView, what: what() }));
    }
}

impl Life {
    /// When its next timer fires, by the clock of the pair.
    fn due(&self) -> Option<Instant> {
        let at = self.subject.node.poll_timeout()?;
        Some(Instant::from_nanos(u64::try_from((at - (Instant::ZERO + self.ahead)).as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Fails if a rule is violated.
pub(super) fn report(finding: Option<Finding>) {
    if let Some(Finding { rule, what }) = finding {
        panic!("{rule}: {what}");
    }
}

pub(super) fn address(at: usize) -> SocketAddr {
    addr(if at == 0 { 1 } else { 2 })
}

/// The settings of a node under test, except that failed members are remembered for longer than any run takes: afterwards
/// nothing would bring the two together again.
fn config(kind: Kind) -> Arc<Config> {
    let options = options(kind).with(|options| options.serf.reconnect_timeout = Duration::from_secs(24 * 3600));
    Arc::new(Config::new(options).expect("the settings are sound"))
}
