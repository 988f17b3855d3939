//! The state of a world: nodes, messages in transit, and what may still happen.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serf_proto::internals::state;
use serf_proto::{Directory, Identity, Instant, Node, Outbox, Seed, Start, StreamId, Tags};

use crate::mail::{Mail, letter};
use crate::plan::{Budget, Plan, address};
use crate::rules::{Finding, Known, Rule};

/// A state of a world.
#[derive(Clone)]
pub struct World {
    pub(crate) now: Instant,
    pub(crate) slots: Vec<Slot>,
    /// Messages that arrive before time passes, ordered by hash.
    pub(crate) prompt: Vec<Arc<Mail>>,
    /// Messages that were held back, ordered by hash.
    pub(crate) late: Vec<Arc<Mail>>,
    /// The other end of each end of a stream, and how many steps were sent from this one.
    pub(crate) ends: BTreeMap<End, (End, u32)>,
    pub(crate) budget: Budget,
    /// The rules that were violated on the way, as bits, and the first violation.
    pub(crate) broken: u16,
    pub(crate) finding: Option<Arc<Finding>>,
    /// The reports of the nodes, while a script is played. Tells no states apart.
    pub(crate) log: Option<Arc<Vec<(usize, String)>>>,
}

/// An end of a stream: the node, and its number of the stream.
pub(crate) type End = (usize, StreamId);

/// The place of a node.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) life: Option<Arc<Life>>,
    /// How often it was started.
    pub(crate) lives: u32,
    pub(crate) absence: Absence,
}

/// Why a node is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Absence {
    /// It is there, or was never started.
    None,
    Crashed,
    /// It left, at this incarnation.
    Left(u32),
    /// It lost the vote on its name.
    VotedOut,
}

/// A running node, and what is remembered of it to check the rules.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) node: Node,
    /// How far its clock is ahead of the world's.
    pub(crate) ahead: Duration,
    pub(crate) known: Vec<Known>,
    /// The user events that it delivered: Lamport time and name.
    pub(crate) delivered: BTreeSet<(u64, Box<str>)>,
    pub(crate) hash: u64,
    /// The hash of its view.
    pub(crate) view: u64,
    pub(crate) digest: u64,
}

impl Life {
    fn new(node: Node) -> Self {
        let mut life = Self {
            node,
            ahead: Duration::ZERO,
            known: Vec::new(),
            delivered: BTreeSet::new(),
            hash: 0,
            view: 0,
            digest: 0,
        };
        life.refresh();
        life
    }

    /// Computes what follows from the node, after each call.
    pub(crate) fn refresh(&mut self) {
        self.known = Known::all(&self.node);
        let mut hasher = DefaultHasher::new();
        state::fingerprint(&self.node, &mut hasher);
        self.delivered.hash(&mut hasher);
        self.hash = hasher.finish();
        let mut hasher = DefaultHasher::new();
        let view = state::view(&self.node);
        (view.live, view.intents, view.clocks).hash(&mut hasher);
        self.view = hasher.finish();
        self.digest = self.node.digest();
    }

    /// When its next timer fires, by the world's clock.
    pub(crate) fn due(&self) -> Option<Instant> {
        let at = self.node.poll_timeout()?;
        Some(Instant::from_nanos(u64::try_from((at - (Instant::ZERO + self.ahead)).as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl World {
    /// The world at its start; `start` selects the phases of the timers.
    pub(crate) fn new(plan: &Plan, start: u8) -> Self {
        let mut world = Self {
            now: START,
            slots: Vec::new(),
            prompt: Vec::new(),
            late: Vec::new(),
            ends: BTreeMap::new(),
            budget: plan.budget,
            broken: 0,
            finding: None,
            log: None,
        };
        let identities = (0..plan.members.len()).map(|at| identity(plan, at));
        let directory = Directory::new(identities);
        for at in 0..plan.nodes() {
            let life = (at < plan.members.len()).then(|| {
                let start_with = Start::new().with_directory(directory.clone()).converged();
                let seed = Seed::from_u64(u64::from(start)).child(at as u64);
                let mut out = Outbox::new();
                let cfg = Arc::clone(&plan.config);
                let node = Node::new(cfg, &identity(plan, at), &seed, world.now, start_with, &mut out);
                Arc::new(Life::new(node))
            });
            let lives = u32::from(life.is_some());
            world.slots.push(Slot { life, lives, absence: Absence::None });
        }
        world
    }

    /// Starts a node without memory. Its outputs are in `out`.
    pub(crate) fn start(&mut self, plan: &Plan, at: usize, out: &mut Outbox) {
        let slot = &mut self.slots[at];
        slot.lives += 1;
        let seed = Seed::from_u64(RESTARTS).child(at as u64).child(u64::from(slot.lives));
        let node = Node::new(Arc::clone(&plan.config), &identity(plan, at), &seed, self.now, Start::new(), out);
        (slot.life, slot.absence) = (Some(Arc::new(Life::new(node))), Absence::None);
        self.report(at, || "starts".into());
    }

    /// The running nodes.
    pub(crate) fn up(&self) -> impl Iterator<Item = (usize, &Life)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at, &**slot.life.as_ref()?)))
    }

    /// When the next timer of any node fires.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.up().filter_map(|(_, life)| life.due()).min()
    }

    /// Whether a message may arrive now: none precedes it on its stream.
    pub(crate) fn may_arrive(&self, mail: &Mail) -> bool {
        !self.prompt.iter().chain(&self.late).any(|other| other.precedes(mail))
    }

    /// Adds a message to those that arrive before time passes.
    pub(crate) fn post(&mut self, mail: Mail) {
        insert(&mut self.prompt, Arc::new(mail));
    }

    /// Holds a message back.
    pub(crate) fn hold(&mut self, mail: Arc<Mail>) {
        insert(&mut self.late, mail);
    }

    /// Records a violation.
    pub(crate) fn note(&mut self, finding: Finding) {
        self.broken |= 1 << finding.rule as u16;
        self.finding.get_or_insert_with(|| Arc::new(finding));
    }

    /// Adds a line to the reports of a node.
    pub(crate) fn report(&mut self, node: usize, what: impl FnOnce() -> String) {
        let elapsed = self.elapsed().as_secs_f64();
        if let Some(log) = &mut self.log {
            Arc::make_mut(log).push((node, format!("{:>8}  {}", format!("{elapsed:.1}s"), what())));
        }
    }

    /// Reports what a node knows of all members.
    pub(crate) fn report_members(&mut self, node: usize) {
        let Some(life) = self.slots[node].life.clone() else { return self.report(node, || "does not run".into()) };
        let mut members: Vec<_> = life.node.members().map(|m| format!("{} {}", m.name(), m.status())).collect();
        members.sort_unstable();
        self.report(node, || format!("knows: {}", members.join(", ")));
    }

    /// Whether a rule was violated on the way to this state.
    pub fn breaks(&self, rule: Rule) -> bool {
        self.broken >> rule as u16 & 1 == 1
    }

    /// The first violation on the way to this state.
    pub fn finding(&self) -> Option<&Finding> {
        self.finding.as_deref()
    }

    /// The virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - START
    }

    /// Feeds nodes and messages, without the time and the budget: what decides how the world goes on once the faults are
    /// over.
    pub(crate) fn feed(&self, hasher: &mut impl Hasher) {
        for Slot { life, lives, absence } in &self.slots {
            // The times in a fingerprint are relative to the node's last call. When its next timer fires, relative to the
            // world's clock, tells how long ago that call was.
            let wait = |life: &Arc<Life>| life.due().map(|due| due - self.now);
            (life.as_ref().map(|life| (life.hash, wait(life))), lives, absence).hash(hasher);
        }
        let (prompt, late) = (self.prompt.iter().map(|mail| mail.hash), self.late.iter().map(|mail| mail.hash));
        (self.prompt.len(), self.late.len()).hash(hasher);
        prompt.chain(late).for_each(|hash| hash.hash(hasher));
        // Numbers in messages mean something only to the nodes that gave them.
        if !self.prompt.is_empty() || !self.late.is_empty() || !self.ends.is_empty() {
            self.ends.hash(hasher);
            self.up().for_each(|(_, life)| state::numbers(&life.node).hash(hasher));
        }
    }
}

/// Adds a message to a list that is ordered by hash.
fn insert(mails: &mut Vec<Arc<Mail>>, mail: Arc<Mail>) {
    let at = mails.partition_point(|other| other.hash < mail.hash);
    mails.insert(at, mail);
}

/// Who the node is.
pub(crate) fn identity(plan: &Plan, at: usize) -> Identity {
    Identity::new(plan.name_of(at), address(at), &Tags::default()).expect("the name is valid")
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.feed(state);
        (self.now, self.budget, self.broken).hash(state);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let hash = |world: &Self| {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        hash(self) == hash(other)
    }
}

impl fmt::Debug for World {
    /// One line: the time, what each node knows, and the messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}s", self.elapsed().as_secs_f64())?;
        for (at, slot) in self.slots.iter().enumerate() {
            match &slot.life {
                None => write!(f, "; {} {:?}", letter(at), slot.absence)?,
                Some(life) => {
                    write!(f, "; {}:", letter(at))?;
                    for Known { member, .. } in &life.known {
                        write!(f, " {} {:?} {}", member.name, member.state, member.incarnation)?;
                    }
                }
            }
        }
        for mail in &self.prompt {
            write!(f, "; {mail}")?;
        }
        for mail in &self.late {
            write!(f, "; late {mail}")?;
        }
        Ok(())
    }
}

/// The start of a world. Far from the origin of time, so that ages before the start are long.
pub(crate) const START: Instant = Instant::from_nanos(1_000_000_000_000);

/// Seeds of nodes that start later.
const RESTARTS: u64 = 1 << 32;
