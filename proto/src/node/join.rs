//! Joins: contacts several seeds concurrently and collects their results.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Node, OldEvents};
use crate::core::ExchangePurpose;
use crate::event::{AddressFailure, Event, JoinOutcome, SeedFailureCause};
use crate::fingerprint::Fingerprint;
use crate::input::Input;
use crate::limits::{SEEDS_AT_ONCE_MAX, SEEDS_AT_ONCE_TOTAL_MAX};
use crate::outbox::Outbox;
use crate::rng::Rng;
use crate::roster::{Identity, MemberIdx};
use crate::swim::MERGE_FAILED;
use crate::time::Instant;
use crate::timer::NodeTimer;
use crate::types::{JoinId, Name, Snapshot};

/// An address that may lead to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contact {
    pub(super) addr: SocketAddr,
    /// The member expected at this address. States are exchanged only after it confirmed its name, because the address
    /// may belong to a node of another cluster by now. `None`: the application gave the address, so any node there is
    /// accepted.
    pub(super) name: Option<Name>,
}

impl Contact {
    /// The last known address of a member.
    pub(super) const fn remembered(name: Name, addr: SocketAddr) -> Self {
        Self { addr, name: Some(name) }
    }
}

impl From<SocketAddr> for Contact {
    fn from(given: SocketAddr) -> Self {
        Self { addr: given, name: None }
    }
}

/// Contacts for addresses that the application gave.
pub(super) fn contacts(addrs: &[SocketAddr]) -> Vec<Contact> {
    addrs.iter().copied().map(Contact::from).collect()
}

/// A join in progress.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Join {
    old: OldEvents,
    seeds: Vec<Contact>,
    /// How many of the seeds have been contacted.
    asked: usize,
    /// How many seeds may be contacted concurrently.
    at_once: usize,
    /// Whether one answer ends the join.
    is_enough: bool,
    pending: usize,
    contacted: u32,
    failed: Vec<AddressFailure>,
    /// Whether the node itself started the join; no event is emitted for it.
    is_ours: bool,
    /// Whether the join searches for the cluster of an earlier run.
    is_rejoin: bool,
    /// Whether this node knew no other live member when the join began.
    was_alone: bool,
    /// Whether this node has announced the join of a newcomer.
    is_announced: bool,
}

impl Join {
    /// Contacts all seeds, many concurrently.
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
            was_alone: false,
            is_announced: false,
        }
    }

    /// Contacts a few seeds concurrently, more as time passes without an answer, none after the first answer.
    pub(super) fn until_one_answers(seeds: Vec<Contact>, old: OldEvents) -> Self {
        Self { at_once: SEEDS_AT_FIRST, is_enough: true, ..Self::all(seeds, old) }
    }

    /// Marks the join as a rejoin.
    pub(super) fn rejoin(self) -> Self {
        Self { is_rejoin: true, ..self }
    }

    /// Internal: emits no [`Event::Joined`].
    pub(super) fn ours(self) -> Self {
        Self { is_ours: true, ..self }
    }

    /// Whether seeds are pending or remain to be contacted.
    const fn is_under_way(&self) -> bool {
        self.pending > 0 || self.wants_more()
    }

    /// Whether another seed is to be contacted, now or when a slot is free.
    const fn wants_more(&self) -> bool {
        let is_over = self.is_enough && self.contacted > 0;
        !is_over && self.asked < self.seeds.len()
    }

    /// Takes the next seed; the flag says whether a member's name is remembered for it.
    fn next_seed(&mut self) -> Option<(u32, SocketAddr, bool)> {
        let Contact { addr, name } = self.seeds.get(self.asked)?;
        let seed = u32::try_from(self.asked).ok()?;
        self.asked += 1;
        self.pending += 1;
        Some((seed, *addr, name.is_some()))
    }
}

/// The joins in progress.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Joins {
    running: BTreeMap<JoinId, Join>,
    last: u32,
    /// Contacts of the members of an earlier run, in the order in which they are tried.
    previous: Vec<Contact>,
}

impl Joins {
    /// Starts without a join.
    pub(super) const fn new(previous: Vec<Contact>) -> Self {
        Self { running: BTreeMap::new(), last: 0, previous }
    }

    fn add(&mut self, join: Join) -> JoinId {
        self.last = self.last.wrapping_add(1);
        let id = JoinId(self.last);
        self.running.insert(id, join);
        id
    }

    /// Whether any join has pending or uncontacted seeds.
    pub(super) fn is_any_under_way(&self) -> bool {
        self.running.values().any(Join::is_under_way)
    }

    /// Whether any join ignores old user events.
    pub(super) fn ignore_old(&self) -> bool {
        self.running.values().any(|join| join.old == OldEvents::Ignore)
    }

    /// Whether the node knew no other live member when the join began.
    pub(super) fn began_alone(&self, id: JoinId) -> bool {
        self.running.get(&id).is_some_and(|join| join.was_alone)
    }

    /// The name remembered for a seed of a join.
    pub(super) fn remembered(&self, id: JoinId, seed: u32) -> Option<&str> {
        self.running.get(&id)?.seeds.get(seed as usize)?.name.as_deref()
    }

    /// Contacts of the members of an earlier run.
    pub(super) fn previous(&self) -> &[Contact] {
        &self.previous
    }

    /// The same, shuffled.
    pub(super) fn shuffled_previous(&mut self, rng: &mut Rng) -> &[Contact] {
        rng.shuffle(&mut self.previous);
        &self.previous
    }

    /// Feeds the running joins. Their numbers matter only while there are any.
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { running, last, previous } = self;
        to.put(running.len());
        for (id, join) in running {
            to.put(last.wrapping_sub(id.0));
            to.text(join);
        }
        to.text(previous);
    }
}

/// Contacts of the members of an earlier run, without this node: alive members in random order, then failed ones.
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
    /// Starts a join.
    pub(super) fn begin_join(&mut self, join: Join) -> JoinId {
        let grows = join.is_enough;
        let id = self.joins.add(Join { was_alone: self.serf.is_alone(), ..join });
        self.ask_seeds();
        if grows {
            self.core.arm(PATIENCE, NodeTimer::Join(id));
        }
        id
    }

    /// Contacts as many seeds as the limits allow. The join with the fewest pending seeds is served first, so that a
    /// long seed list does not starve other joins.
    ///
    /// Terminates: each iteration adds one pending seed, up to the limit.
    fn ask_seeds(&mut self) {
        if self.leave.has_begun() {
            return self.end_waiting_joins();
        }
        let mut pending: usize = self.joins.running.values().map(|join| join.pending).sum();
        while pending < SEEDS_AT_ONCE_TOTAL_MAX {
            let wanting =
                self.joins.running.iter_mut().filter(|(_, join)| join.wants_more() && join.pending < join.at_once);
            let Some((&id, join)) = wanting.min_by_key(|(id, join)| (join.pending, **id)) else { return };
            let until = self.core.now + self.core.cfg.transport().stream_timeout;
            let Some((seed, with, is_remembered)) = join.next_seed() else { return };
            pending += 1;
            let purpose =
                if is_remembered { ExchangePurpose::Greet { id, seed } } else { ExchangePurpose::Join { id, seed } };
            self.core.dial(with, purpose, until);
        }
    }

    /// Ends joins that have no pending seed but some left to contact: a leaving node contacts no more seeds.
    fn end_waiting_joins(&mut self) {
        let waiting = self.joins.running.iter().filter(|(_, join)| join.pending == 0 && join.wants_more());
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end_join(id, true);
        }
    }

    /// Whether the exchange belongs to a join that ignores old user events.
    pub(super) fn ignores_old_events(&self, purpose: ExchangePurpose) -> bool {
        match purpose {
            ExchangePurpose::Join { id, .. } => {
                self.joins.running.get(&id).is_some_and(|join| join.old == OldEvents::Ignore)
            }
            ExchangePurpose::PushPull { .. }
            | ExchangePurpose::Ping { .. }
            | ExchangePurpose::Fetch { .. }
            | ExchangePurpose::Greet { .. }
            | ExchangePurpose::Reconnect { .. } => false,
        }
    }

    /// Records the result of one seed. Each success re-broadcasts the join intent: the seed's state may hold leave
    /// intents about an earlier run of this node, and the join intent must be newer. The last result ends the join.
    pub(super) fn seed_done(&mut self, id: JoinId, seed: u32, result: Result<(), SeedFailureCause>) {
        let Some(join) = self.joins.running.get_mut(&id) else { return };
        join.pending -= 1;
        let contact = join.seeds.get(seed as usize);
        match result {
            Ok(()) => {
                join.contacted += 1;
                self.isolation.remember_seed(contact.cloned());
                let is_newcomer = join.was_alone && self.swim.all_compare_digests();
                // What a seed knows that is newer than our first announcement is refuted when its state is merged.
                if !(is_newcomer && core::mem::replace(&mut join.is_announced, true)) {
                    self.announce_join(is_newcomer);
                }
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
        // The seed freed a slot, for this join or for another.
        self.ask_seeds();
    }

    /// Handles the Lamport time of a join that came with an alive message. A member that membership does not hold alive
    /// is none of Serf's concern.
    pub(super) fn joined_at(&mut self, idx: MemberIdx, ltime: u64) {
        if self.swim.is_live(idx) {
            // A member that we know already is news to others, which gossip it with the time.
            let carried = self.swim.all_compare_digests();
            self.serf.joined_at(&mut self.core, idx, ltime, carried);
        }
    }

    /// Announces our join, at a Lamport time newer than every one seen: with an intent, or that of a newcomer to a
    /// cluster whose members all read it with the alive message.
    pub(super) fn announce_join(&mut self, is_newcomer: bool) {
        if is_newcomer && !self.leave.has_begun() {
            self.serf.date_join(&mut self.core);
            self.swim.broadcast_own(&self.core);
        } else {
            self.serf.announce_join(&mut self.core);
        }
    }

    /// Widens a join that got no answer for a while: contacts more seeds concurrently.
    pub(super) fn widen_join(&mut self, id: JoinId) {
        let Some(join) = self.joins.running.get_mut(&id) else { return };
        if join.wants_more() && join.at_once < SEEDS_AT_ONCE_MAX {
            join.at_once = (join.at_once + SEEDS_AT_FIRST).min(SEEDS_AT_ONCE_MAX);
            self.core.arm(PATIENCE, NodeTimer::Join(id));
            self.ask_seeds();
        }
    }

    /// Ends a join and emits its outcome.
    fn end_join(&mut self, id: JoinId, cancelled: bool) {
        let Some(Join { contacted, failed, is_ours, is_rejoin, .. }) = self.joins.running.remove(&id) else {
            return;
        };
        // Cancelled by the application or by a leave: no search follows.
        if is_rejoin && contacted == 0 && !cancelled {
            self.isolation.rejoin_failed();
        }
        if !is_ours {
            self.core.events.push(Event::Joined(JoinOutcome { id, contacted, failed, cancelled }));
        }
    }

    /// Cancels a join: closes its streams and contacts no more seeds. [`Event::Joined`] reports the seeds contacted so
    /// far. False if the join is already over.
    pub fn cancel_join(&mut self, now: Instant, id: JoinId, out: &mut Outbox) -> bool {
        if self.joins.running.get(&id).is_none_or(|join| join.is_ours) {
            self.set_now(now);
            return false;
        }
        self.command(now, out, || Input::CancelJoin(id), |node, out| {
            let is_its = |purpose: &ExchangePurpose| matches!(purpose, ExchangePurpose::Join { id: of, .. } | ExchangePurpose::Greet { id: of, .. } if *of == id);
            node.cancel_streams(is_its, out);
            node.end_join(id, true);
            // The cancelled seeds free slots for other joins.
            node.ask_seeds();
        });
        true
    }
}

/// How many seeds a rejoin contacts at first. HashiCorp's contacts one at a time, so that each dead seed costs a whole
/// stream timeout.
const SEEDS_AT_FIRST: usize = 3;

/// How long a join waits for an answer before it contacts more seeds, up to the limit of any join. Dead seeds must not
/// delay those that are alive.
const PATIENCE: Duration = Duration::from_secs(1);
