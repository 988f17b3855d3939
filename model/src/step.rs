//! What may happen next in a world, and its effect.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serf_proto::internals::state;
use serf_proto::internals::wire::swim::State;
use serf_proto::{
    Coalescing, Event, Instant, NameVerdict, Node, NodeState, OldEvents, Outbox, Output, Seed, StreamInput, Tags,
};

use crate::mail::{Body, Mail, Step, letter};
use crate::plan::{Plan, address, node_at};
use crate::rules::{Finding, Known, Rule, check_changes, check_own_leave, check_refuted};
use crate::world::{Absence, End, Life, Slot, World};

/// One step of a world. Messages are numbered in the order of their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A message arrives.
    Deliver {
        /// Its number.
        nth: usize,
        /// The seed of the receiver's random choices.
        choice: u8,
    },
    /// A message is lost.
    Lose(usize),
    /// A message is held back.
    Delay(usize),
    /// A copy of a message is held back.
    Repeat(usize),
    /// A message that was held back arrives.
    DeliverLate {
        /// Its number.
        nth: usize,
        /// The seed of the receiver's random choices.
        choice: u8,
    },
    /// The next timer fires, at the time for which it is set.
    Fire {
        /// The node.
        node: usize,
        /// The seed of its random choices.
        choice: u8,
    },
    /// The clock of a node runs ahead to its next timer.
    Hurry {
        /// The node.
        node: usize,
        /// The seed of its random choices.
        choice: u8,
    },
    /// A command is given to a node, or to its process.
    Command {
        /// The node.
        node: usize,
        /// The command.
        command: Command,
    },
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The process ends without a leave.
    Crash,
    /// A process starts, without memory, and joins.
    Start,
    /// The node leaves.
    Leave,
    /// The node sends a user event.
    Event,
    /// The node changes its tags.
    Tags,
}

impl World {
    /// All that may happen next.
    pub(crate) fn actions(&self, plan: &Plan, actions: &mut Vec<Action>) {
        if self.elapsed() >= plan.horizon || self.broken != 0 {
            return;
        }
        let budget = self.budget;
        let choices = u8::try_from(plan.seeds.len()).unwrap_or(u8::MAX);
        for (nth, mail) in self.prompt.iter().enumerate() {
            if self.may_arrive(mail) {
                actions.extend((0..choices).map(|choice| Action::Deliver { nth, choice }));
            }
            if budget.losses > 0 && mail.can_be_lost() {
                actions.push(Action::Lose(nth));
            }
            if budget.delays > 0 {
                actions.push(Action::Delay(nth));
            }
            if budget.repeats > 0 && mail.can_be_repeated() {
                actions.push(Action::Repeat(nth));
            }
        }
        for (nth, mail) in self.late.iter().enumerate() {
            if self.may_arrive(mail) {
                actions.extend((0..choices).map(|choice| Action::DeliverLate { nth, choice }));
            }
        }
        let next = self.next_due();
        for (node, life) in self.up() {
            let Some(due) = life.due() else { continue };
            if self.prompt.is_empty() && Some(due) == next {
                actions.extend((0..choices).map(|choice| Action::Fire { node, choice }));
            } else if budget.hurries > 0 {
                actions.extend((0..choices).map(|choice| Action::Hurry { node, choice }));
            }
        }
        let commands = (0..plan.nodes()).flat_map(|node| self.commands(plan, node).map(move |command| (node, command)));
        actions.extend(commands.map(|(node, command)| Action::Command { node, command }));
    }

    /// The commands that may be given to a node.
    fn commands(&self, plan: &Plan, node: usize) -> impl Iterator<Item = Command> {
        let (budget, slot, is_aim) = (self.budget, &self.slots[node], plan.aims.contains(&node));
        let state = slot.life.as_ref().map(|life| life.node.state());
        let is_up = is_aim && state.is_some();
        let is_alive = is_aim && state == Some(NodeState::Alive);
        let is_absent = state.is_none();
        let may_start = match slot.absence {
            Absence::None => slot.lives == 0 && budget.joins > 0,
            Absence::Crashed | Absence::Left(_) => budget.restarts > 0,
            Absence::VotedOut => false,
        };
        [
            (is_up && budget.crashes > 0, Command::Crash),
            (is_absent && may_start, Command::Start),
            (is_alive && budget.leaves > 0, Command::Leave),
            (is_alive && budget.events > 0, Command::Event),
            (is_alive && budget.tags > 0, Command::Tags),
        ]
        .into_iter()
        .filter_map(|(may, command)| may.then_some(command))
    }

    /// The world after a step; `None` if another choice gives the same one.
    pub(crate) fn after(&self, plan: &Plan, action: Action) -> Option<Self> {
        let mut world = self.clone();
        match action {
            Action::Deliver { nth, choice } => {
                let mail = world.prompt.remove(nth);
                world.deliver(plan, &mail, &choice_seed(plan, choice), choice > 0)?;
            }
            Action::DeliverLate { nth, choice } => {
                let mail = world.late.remove(nth);
                world.deliver(plan, &mail, &choice_seed(plan, choice), choice > 0)?;
            }
            Action::Lose(nth) => {
                world.budget.losses -= 1;
                world.prompt.remove(nth);
            }
            Action::Delay(nth) => {
                world.budget.delays -= 1;
                let mail = world.prompt.remove(nth);
                world.hold(mail);
            }
            Action::Repeat(nth) => {
                world.budget.repeats -= 1;
                world.hold(Arc::clone(&world.prompt[nth]));
            }
            Action::Fire { node, choice } => world.fire(plan, node, &choice_seed(plan, choice), choice > 0)?,
            Action::Hurry { node, choice } => {
                world.budget.hurries -= 1;
                let due = world.slots[node].life.as_ref()?.due()?;
                let life = Arc::make_mut(world.slots[node].life.as_mut()?);
                life.ahead += due - world.now;
                world.call(plan, node, &choice_seed(plan, choice), choice > 0, Node::handle_timeout)?;
            }
            Action::Command { node, command } => world.command(plan, node, command)?,
        }
        world.compare_digests();
        Some(world)
    }

    /// The node that another one probes first, if its random choices have this seed.
    pub(crate) fn first_target(&self, plan: &Plan, node: usize, seed: u64) -> Option<usize> {
        let mut world = self.clone();
        // The first timers may be others.
        for _ in 0..STEPS_TO_FIRST_PROBE {
            world.fire(plan, node, &Seed::from_u64(seed), false)?;
            if let Some(mail) = world.prompt.first() {
                return Some(mail.to);
            }
        }
        None
    }

    /// Fires the timers of a node that are due next.
    pub(crate) fn fire(&mut self, plan: &Plan, node: usize, seed: &Seed, drawing: bool) -> Option<()> {
        self.now = self.slots[node].life.as_ref()?.due()?.max(self.now);
        self.call(plan, node, seed, drawing, Node::handle_timeout)
    }

    /// Delivers a message. With `drawing`, `None` if the receiver draws nothing.
    pub(crate) fn deliver(&mut self, plan: &Plan, mail: &Mail, seed: &Seed, drawing: bool) -> Option<()> {
        let (from, to) = (mail.from, mail.to);
        if self.slots[to].life.is_none() {
            return (!drawing).then_some(());
        }
        match &mail.body {
            Body::Datagram(bytes) => {
                let accused_at = mail.accusation_of(plan.name_of(to));
                self.call(plan, to, seed, drawing, |node, now, out| {
                    node.handle_datagram(now, address(from), bytes, out);
                })?;
                let life = self.slots[to].life.as_ref();
                if let Some(finding) = life.and_then(|life| check_refuted(&life.node, accused_at)) {
                    self.note(finding);
                }
            }
            Body::Connect(theirs) => {
                let mut ours = None;
                let accept = |node: &mut Node, now: Instant, out: &mut Outbox| {
                    ours = Some(node.accept(now, address(from), out));
                };
                self.call(plan, to, seed, drawing, accept)?;
                // Without one the call panicked, which is a violation and not a choice that makes no difference.
                let Some(ours) = ours else { return Some(()) };
                let ours = (to, ours);
                self.ends.insert(ours, ((from, *theirs), 0));
                self.ends.insert((from, *theirs), (ours, 0));
                self.send_step(ours, Step::Opened);
            }
            Body::Stream { stream, step, .. } => {
                let input = match step {
                    Step::Opened => StreamInput::Opened,
                    Step::Data(data) => StreamInput::Data(data),
                    Step::Closed => StreamInput::Closed,
                    Step::Failed => StreamInput::Failed,
                };
                if matches!(step, Step::Closed | Step::Failed) {
                    self.ends.remove(&(to, *stream));
                }
                self.call(plan, to, seed, drawing, |node, now, out| node.handle_stream(now, *stream, input, out))?;
            }
        }
        Some(())
    }

    pub(crate) fn command(&mut self, plan: &Plan, node: usize, command: Command) -> Option<()> {
        let seed = choice_seed(plan, 0);
        match command {
            Command::Crash => {
                self.budget.crashes -= 1;
                self.stop(node, Absence::Crashed);
            }
            Command::Start => {
                let budget = &mut self.budget;
                let count = if self.slots[node].lives == 0 { &mut budget.joins } else { &mut budget.restarts };
                *count -= 1;
                OUTBOX.with_borrow_mut(|out| self.start(plan, node, out));
                self.join(plan, node);
            }
            Command::Leave => {
                self.budget.leaves -= 1;
                self.call(plan, node, &seed, false, |node, now, out| _ = node.leave(now, out))?;
            }
            Command::Event => {
                self.budget.events -= 1;
                let payload = self.budget.events.to_string();
                self.call(plan, node, &seed, false, |node, now, out| {
                    _ = node.user_event(now, "event", payload.as_bytes(), Coalescing::Forbid, out);
                })?;
            }
            Command::Tags => {
                self.budget.tags -= 1;
                let tags: Tags = [("tag", self.budget.tags.to_string())].into_iter().collect();
                self.call(plan, node, &seed, false, |node, now, out| _ = node.set_tags(now, &tags, out))?;
            }
        }
        Some(())
    }

    /// Joins through another node that runs, if there is one: through that of the same name, so that both hear of the
    /// conflict, or else through the first.
    fn join(&mut self, plan: &Plan, node: usize) {
        let others = || self.up().map(|(at, _)| at).filter(|&at| at != node);
        let namesake = others().find(|&at| plan.name_of(at) == plan.name_of(node));
        let Some(seed) = namesake.or_else(|| others().next()).map(address) else { return };
        let join =
            |node: &mut Node, now: Instant, out: &mut Outbox| _ = node.join(now, &[seed], OldEvents::Deliver, out);
        _ = self.call(plan, node, &choice_seed(plan, 0), false, join);
    }

    /// Ends a process. Its streams break, and what was on the way to it is lost.
    fn stop(&mut self, node: usize, absence: Absence) {
        let slot = &mut self.slots[node];
        (slot.life, slot.absence) = (None, absence);
        self.report(node, || "ends".into());
        let open: Vec<End> = self.ends.keys().filter(|(at, _)| *at == node).copied().collect();
        for end in open {
            self.send_step(end, Step::Failed);
            self.ends.remove(&end);
        }
        self.prompt.retain(|mail| mail.to != node);
        self.late.retain(|mail| mail.to != node || mail.can_be_repeated());
    }

    /// Passes an input to a node with fresh random choices, carries out its outputs, and checks it. With `drawing`, `None`
    /// if it draws nothing.
    fn call(
        &mut self,
        plan: &Plan,
        at: usize,
        seed: &Seed,
        drawing: bool,
        input: impl FnOnce(&mut Node, Instant, &mut Outbox),
    ) -> Option<()> {
        let life = Arc::make_mut(self.slots[at].life.as_mut()?);
        let (before, state) = (std::mem::take(&mut life.known), life.node.state());
        let now = self.now + life.ahead;
        state::reseed(&mut life.node, seed);
        let mut outputs = Vec::new();
        let run = || {
            OUTBOX.with_borrow_mut(|out| {
                input(&mut life.node, now, out);
                outputs.extend(out.drain());
            });
        };
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            OUTBOX.with_borrow_mut(|out| *out = Outbox::new());
            self.note(Finding { rule: Rule::NoPanic, what: format!("a call of {} panicked", letter(at)) });
            self.stop(at, Absence::Crashed);
            return Some(());
        }
        if drawing && !state::has_drawn(&life.node, seed) {
            return None;
        }
        life.refresh();
        self.check(plan, at, &before, state);
        for output in outputs {
            self.carry_out(plan, at, output);
        }
        Some(())
    }

    /// Checks what a node knows after a call.
    fn check(&mut self, plan: &Plan, at: usize, before: &[Known], state: NodeState) {
        let Some(life) = &self.slots[at].life else { return };
        let left_at = |addr| self.left_at(plan, node_at(addr)?);
        let name = plan.name_of(at);
        let own = Known::of(before, name).zip(Known::of(&life.known, name));
        let changes = check_changes(before, &life.known, left_at);
        let leave = check_own_leave(state, life.node.state(), own);
        changes.into_iter().chain(leave).for_each(|finding| self.note(finding));
    }

    /// The least incarnation at which a view that shows a node as left shows its last leave, unless it was started again
    /// since. A node that was started once has left once.
    fn left_at(&self, plan: &Plan, at: usize) -> Option<u32> {
        let Slot { life, lives, absence } = &self.slots[at];
        let own = life.as_ref().and_then(|life| Known::of(&life.known, plan.name_of(at)));
        let declared = own.filter(|own| own.member.state == State::Left).map(|own| own.member.incarnation);
        let left = if let Absence::Left(incarnation) = absence { Some(*incarnation) } else { declared };
        left.map(|incarnation| if *lives == 1 { 0 } else { incarnation })
    }

    fn carry_out(&mut self, plan: &Plan, from: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes } => {
                if let Some(to) = node_at(to).filter(|&to| self.is_up(to)) {
                    self.post(Mail::new(from, to, Body::Datagram(bytes.as_ref().into())));
                }
            }
            Output::Connect { stream, to } => match node_at(to).filter(|&to| self.is_up(to)) {
                Some(to) => self.post(Mail::new(from, to, Body::Connect(stream))),
                None => {
                    let step = Body::Stream { stream, order: 0, step: Step::Failed };
                    self.post(Mail::new(from, from, step));
                }
            },
            Output::Write { stream, bytes } => self.send_step((from, stream), Step::Data(bytes.as_ref().into())),
            Output::Close { stream } => {
                self.send_step((from, stream), Step::Closed);
                self.ends.remove(&(from, stream));
            }
            Output::Event(event) => self.note_event(plan, from, &event),
            // `Output` is non-exhaustive. An output that is ignored here would make the exploration incomplete.
            other => {
                unreachable!("no plan has a snapshot or a keyring file, but a node asks for {other:?}")
            }
        }
    }

    fn is_up(&self, at: usize) -> bool {
        self.slots.get(at).is_some_and(|slot| slot.life.is_some())
    }

    /// Sends a step of a stream from one of its ends to the other.
    fn send_step(&mut self, from: End, step: Step) {
        let Some((to, sent)) = self.ends.get_mut(&from) else { return };
        let ((to, stream), order) = (*to, *sent);
        *sent += 1;
        if self.is_up(to) {
            self.post(Mail::new(from.0, to, Body::Stream { stream, order, step }));
        }
    }

    fn note_event(&mut self, plan: &Plan, at: usize, event: &Event) {
        self.report(at, || serf_tests::describe(event));
        match event {
            Event::User(event) => {
                let Some(life) = &mut self.slots[at].life else { return };
                let key = (event.ltime, format!("{} {:?}", event.name, event.payload).into_boxed_str());
                let life = Arc::make_mut(life);
                let is_new = life.delivered.insert(key);
                // Delivered events distinguish states.
                life.refresh();
                if !is_new {
                    let what = format!("{} delivers an event of time {} again", letter(at), event.ltime);
                    self.note(Finding { rule: Rule::EventOnce, what });
                }
            }
            // An application tries again.
            Event::Joined(outcome) if outcome.contacted == 0 => self.join(plan, at),
            Event::LeftCluster(_) => {
                let incarnation = self.slots[at].life.as_ref().map_or(0, |life| life.node.incarnation());
                self.stop(at, Absence::Left(incarnation));
            }
            Event::NameVote(vote) if vote.verdict == NameVerdict::Lost => {
                self.stop(at, Absence::VotedOut);
                let is_rival = |(other, slot): &(usize, &Slot)| {
                    *other != at && plan.name_of(*other) == plan.name_of(at) && slot.absence == Absence::VotedOut
                };
                if self.slots.iter().enumerate().any(|slot| is_rival(&slot)) {
                    let what = format!("both nodes named {} lost the vote", plan.name_of(at));
                    self.note(Finding { rule: Rule::OneKeepsItsName, what });
                }
            }
            _ => {}
        }
    }

    /// Checks the digests of all pairs of running nodes.
    pub(crate) fn compare_digests(&mut self) {
        let wrong = self.up().find_map(|(one, life)| {
            let differs = |(_, other): &(usize, &Life)| (life.digest == other.digest) != (life.view == other.view);
            self.up().take_while(|(other, _)| *other < one).find(differs).map(|(other, _)| (other, one))
        });
        if let Some((one, other)) = wrong {
            let what =
                format!("{} and {}: equal digests of different views, or the reverse", letter(one), letter(other));
            self.note(Finding { rule: Rule::DigestIsView, what });
        }
    }
}

/// The seed of a choice.
fn choice_seed(plan: &Plan, choice: u8) -> Seed {
    Seed::from_u64(plan.seeds.get(usize::from(choice)).copied().unwrap_or_default())
}

/// A converged node has at most so many other timers before its first probe.
const STEPS_TO_FIRST_PROBE: usize = 4;

thread_local! {
    /// The buffers of all calls of a thread.
    static OUTBOX: RefCell<Outbox> = RefCell::new(Outbox::new());
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Start => "start",
            Self::Leave => "leave",
            Self::Event => "event",
            Self::Tags => "tags",
        })
    }
}
