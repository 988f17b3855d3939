//! Joining through several seeds at once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Node, OldEvents};
use crate::core::Ask;
use crate::event::{AddressFailure, Event, JoinOutcome, SeedFailureCause};
use crate::limits::{SEEDS_AT_ONCE_MAX, SEEDS_AT_ONCE_TOTAL_MAX};
use crate::outbox::{Outbox, Output};
use crate::rng::Rng;
use crate::roster::Identity;
use crate::swim::MERGE_FAILED;
use crate::time::Instant;
use crate::timer::NodeTimer;
use crate::types::{JoinId, Name, Snapshot};

/// An address that may lead to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) addr: SocketAddr,
    /// The member that is remembered there. States are exchanged only if it answers: the address may belong to a node of
    /// another cluster by now. `None`: the application gave the address, and whichever node has it is meant.
    pub(super) name: Option<Name>,
}

impl Contact {
    /// The address that a member had.
    pub(super) const fn remembered(name: Name, addr: SocketAddr) -> Self {
        Self { addr, name: Some(name) }
    }
}

impl From<SocketAddr> for Contact {
    fn from(given: SocketAddr) -> Self {
        Self { addr: given, name: None }
    }
}

/// Addresses that the application gave.
pub(super) fn given(addrs: &[SocketAddr]) -> Vec<Contact> {
    addrs.iter().copied().map(Contact::from).collect()
}

/// A join that is under way.
#[derive(Clone, Debug)]
pub(super) struct Join {
    old: OldEvents,
    seeds: Vec<Contact>,
    /// How many of the seeds have been asked.
    asked: usize,
    /// How many may be asked at the same time.
    at_once: usize,
    /// Whether no more are asked once one has answered.
    is_enough: bool,
    pending: usize,
    contacted: u32,
    failed: Vec<AddressFailure>,
    /// Whether the application did not ask for it and is not told of its end.
    is_ours: bool,
    /// Whether it looks for the cluster of an earlier life.
    is_rejoin: bool,
}

impl Join {
    /// Through all seeds, many at the same time.
    pub(super) fn all(seeds: Vec<Contact>, old: OldEvents) -> Self {
        Self {
            old,
            seeds,
            asked: 0,
            at_once: SEEDS_AT_ONCE_MAX,
            is_enough: false,
            pending: 0,
            contacted: 0,
            failed: Vec::new(),
            is_ours: false,
            is_rejoin: false,
        }
    }

    /// Through a few seeds at a time, more as time passes without an answer, and no more once one has answered.
    pub(super) fn until_one_answers(seeds: Vec<Contact>, old: OldEvents) -> Self {
        Self { at_once: SEEDS_AT_FIRST, is_enough: true, ..Self::all(seeds, old) }
    }

    /// To find the cluster of an earlier life.
    pub(super) fn rejoin(self) -> Self {
        Self { is_rejoin: true, ..self }
    }

    /// Internal: emits no [`Event::Joined`].
    pub(super) fn ours(self) -> Self {
        Self { is_ours: true, ..self }
    }

    /// Whether seeds are being asked at this moment, or wait to be.
    const fn is_under_way(&self) -> bool {
        self.pending > 0 || self.wants_more()
    }

    /// Whether another seed is to be asked, now or when there is room.
    const fn wants_more(&self) -> bool {
        let is_over = self.is_enough && self.contacted > 0;
        !is_over && self.asked < self.seeds.len()
    }

    /// The next seed to be asked now, and whether a member is remembered there.
    fn next_seed(&mut self) -> Option<(u32, SocketAddr, bool)> {
        let Contact { addr, name } = self.seeds.get(self.asked)?;
        let seed = u32::try_from(self.asked).ok()?;
        self.asked += 1;
        self.pending += 1;
        Some((seed, *addr, name.is_some()))
    }
}

/// The joins that are under way.
#[derive(Clone, Debug)]
pub(super) struct Joins {
    running: BTreeMap<JoinId, Join>,
    last: u32,
    /// Where the members of an earlier life were, in the order in which they are tried.
    previous: Vec<Contact>,
}

impl Joins {
    /// None is under way.
    pub(super) const fn new(previous: Vec<Contact>) -> Self {
        Self { running: BTreeMap::new(), last: 0, previous }
    }

    fn add(&mut self, join: Join) -> JoinId {
        self.last = self.last.wrapping_add(1);
        let id = JoinId(self.last);
        self.running.insert(id, join);
        id
    }

    /// Whether any join asks seeds at this moment, or waits to.
    pub(super) fn is_any_under_way(&self) -> bool {
        self.running.values().any(Join::is_under_way)
    }

    /// Whether any join wants none of the old user events.
    pub(super) fn ignore_old(&self) -> bool {
        self.running.values().any(|join| join.old == OldEvents::Ignore)
    }

    /// The member that is remembered at the address of a join's seed.
    pub(super) fn remembered(&self, id: JoinId, seed: u32) -> Option<&str> {
        self.running.get(&id)?.seeds.get(seed as usize)?.name.as_deref()
    }

    /// Where the members of an earlier life were.
    pub(super) fn previous(&self) -> &[Contact] {
        &self.previous
    }

    /// The same, in another order.
    pub(super) fn shuffled_previous(&mut self, rng: &mut Rng) -> &[Contact] {
        rng.shuffle(&mut self.previous);
        &self.previous
    }
}

/// Where the members of an earlier life were, ourselves left out: those alive in random order, then the failed.
pub(super) fn previous(snapshot: &Snapshot, me: &Identity, rng: &mut Rng) -> Vec<Contact> {
    let others = |(name, addr): (&Name, SocketAddr)| {
        (**name != *me.peer.name()).then(|| Contact::remembered(Name::clone(name), addr))
    };
    let mut previous: Vec<Contact> = snapshot.alive().filter_map(others).collect();
    rng.shuffle(&mut previous);
    previous.extend(snapshot.failed_members().filter_map(others));
    previous
}

impl Node {
    /// Begins a join.
    pub(super) fn begin_join(&mut self, join: Join) -> JoinId {
        let grows = join.is_enough;
        let id = self.joins.add(join);
        self.ask_seeds();
        if grows {
            self.core.arm(PATIENCE, NodeTimer::Join(id));
        }
        id
    }

    /// Asks as many seeds as may be asked now, those of the join first that waits for the fewest.
    ///
    /// Ends: each round asks one, and of those there are not more at one time than the bound.
    fn ask_seeds(&mut self) {
        if self.leave.has_begun() {
            return self.end_waiting_joins();
        }
        let mut pending: usize = self.joins.running.values().map(|join| join.pending).sum();
        while pending < SEEDS_AT_ONCE_TOTAL_MAX {
            let wanting =
                self.joins.running.iter_mut().filter(|(_, join)| join.wants_more() && join.pending < join.at_once);
            let Some((&id, join)) = wanting.min_by_key(|(id, join)| (join.pending, **id)) else { return };
            let until = self.core.now + self.core.cfg.stream_timeout;
            let Some((seed, with, is_remembered)) = join.next_seed() else { return };
            pending += 1;
            let ask = if is_remembered { Ask::Greet { id, seed } } else { Ask::Join { id, seed } };
            self.core.dial(with, ask, until);
        }
    }

    /// Ends the joins that have seeds left to ask and wait for none: a node that leaves asks no more seeds.
    fn end_waiting_joins(&mut self) {
        let waiting = self.joins.running.iter().filter(|(_, join)| join.pending == 0 && join.wants_more());
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end_join(id, true);
        }
    }

    /// Whether an exchange belongs to a join that wants to hear nothing old.
    pub(super) fn ignores_old_events(&self, ask: Ask) -> bool {
        match ask {
            Ask::Join { id, .. } => self.joins.running.get(&id).is_some_and(|join| join.old == OldEvents::Ignore),
            Ask::PushPull { .. } | Ask::Ping { .. } | Ask::Greet { .. } | Ask::Reconnect { .. } => false,
        }
    }

    /// One seed of a join has answered, or has not. After each that has, everybody is told that we joined: its state may
    /// have brought news of an earlier life of ours, and the intent must be newer than that. After the last the join ends.
    pub(super) fn seed_done(&mut self, id: JoinId, seed: u32, result: Result<(), SeedFailureCause>) {
        let Some(join) = self.joins.running.get_mut(&id) else { return };
        join.pending -= 1;
        let contact = join.seeds.get(seed as usize);
        match result {
            Ok(()) => {
                join.contacted += 1;
                self.isolation.remember_seed(contact.cloned());
                self.serf.announce_join(&mut self.core);
            }
            Err(cause) => {
                let said = &*self.core.detail;
                let said = said.strip_prefix(MERGE_FAILED).unwrap_or(said);
                let detail = (!said.is_empty()).then(|| said.into());
                join.failed.extend(contact.map(|&Contact { addr, .. }| AddressFailure { addr, cause, detail }));
            }
        }
        if self.joins.running.get(&id).is_some_and(|join| join.pending == 0 && !join.wants_more()) {
            self.end_join(id, false);
        }
        self.ask_seeds();
    }

    /// No seed has answered for a while: asks more at the same time.
    pub(super) fn widen_join(&mut self, id: JoinId) {
        let Some(join) = self.joins.running.get_mut(&id) else { return };
        if join.wants_more() && join.at_once < SEEDS_AT_ONCE_MAX {
            join.at_once = (join.at_once + SEEDS_AT_FIRST).min(SEEDS_AT_ONCE_MAX);
            self.core.arm(PATIENCE, NodeTimer::Join(id));
            self.ask_seeds();
        }
    }

    /// Ends a join, and tells the application how it went.
    fn end_join(&mut self, id: JoinId, cancelled: bool) {
        let Some(Join { contacted, failed, is_ours, is_rejoin, .. }) = self.joins.running.remove(&id) else {
            return;
        };
        if is_rejoin && contacted == 0 && !cancelled {
            self.isolation.lost();
        }
        if !is_ours {
            self.core.events.push(Event::Joined(JoinOutcome { id, contacted, failed, cancelled }));
        }
    }

    /// Gives up a join: its streams are closed and no more seeds are asked. [`Event::Joined`] tells how far it came. False
    /// when it was over before.
    pub fn cancel_join(&mut self, now: Instant, id: JoinId, out: &mut Outbox) -> bool {
        if self.joins.running.get(&id).is_none_or(|join| join.is_ours) {
            self.enter(now);
            return false;
        }
        self.command(now, out, |node, out| {
            let is_its = |ask: &Ask| matches!(ask, Ask::Join { id: of, .. } | Ask::Greet { id: of, .. } if *of == id);
            for stream in node.streams.abandon(is_its) {
                out.push(Output::Close { stream });
            }
            node.end_join(id, true);
            node.ask_seeds();
        });
        true
    }
}

/// How many seeds of a rejoin are asked at first. serf asks one; a dead one then costs a whole stream timeout.
const SEEDS_AT_FIRST: usize = 3;

/// How long without an answer before so many more are asked, up to the bound of any join: the members that are gone must not
/// hide those that are there.
const PATIENCE: Duration = Duration::from_secs(1);
