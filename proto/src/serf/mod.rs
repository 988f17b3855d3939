//! The Serf layer: adds statuses, user events, queries and coordinates to SWIM membership.
//!
//! - Time: `clocks` holds one Lamport clock (`lamport`) each for intents, user events and queries.
//! - Members: `members` is the status table (one `row` per member). `status` decides which join and leave intents
//!   change a status, `intents` gossips them, `sync` exchanges them in push/pulls, `reap` removes members that are gone
//!   for long, and `reconnect` tries to reach them before that.
//! - Messages: `events` handles user events, `query` sends and answers queries, `filter` selects the members that a
//!   query is for. Events and queries share the duplicate detection of `recent` and the gossip queue of `message`.
//!   `keys` and `conflict` are internal queries, invisible to the application.
//! - Coordinates: `ping` carries them in acks, `vivaldi` computes them.
//! - Output: `deliver` passes events through `recorder` to the snapshot and through `coalesce` to the application.
//!
//! Depends on [`Core`], on its own messages, and on the notifications of the membership layer. Has no access to SWIM's
//! rows, packets, streams or the outbox.

mod clocks;
mod coalesce;
mod conceal;
mod conflict;
mod coordinate;
mod deliver;
mod events;
mod filter;
mod intents;
mod keys;
mod lamport;
mod members;
mod message;
#[cfg(not(feature = "filters"))]
mod no_pattern;
#[cfg(feature = "filters")]
mod pattern;
mod pattern_error;
#[cfg(not(feature = "filters"))]
use self::no_pattern as pattern;
mod ping;
mod query;
mod reap;
mod recent;
mod reconnect;
mod recorder;
mod row;
mod status;
mod sync;
#[cfg(test)]
mod tests;
mod vivaldi;

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use self::clocks::LamportClocks;
use self::conflict::Conflict;
pub use self::coordinate::{Coordinate, CoordinateError};
pub(crate) use self::deliver::Delivered;
use self::deliver::Delivery;
use self::events::Events;
pub(crate) use self::events::SendError;
pub use self::filter::Filter;
use self::intents::{Intents, Via};
pub use self::keys::KeysError;
pub(crate) use self::lamport::Exhausted;
use self::members::Members;
use self::message::{MessageQueue, decode};
pub use self::pattern::Pattern;
pub use self::pattern_error::PatternError;
use self::ping::Coordinates;
use self::query::Queries;
pub use self::query::{QueryError, Question, RespondError};
use self::reconnect::Reconnects;
use self::row::Intent;
pub use self::vivaldi::{LatencyFilter, Vivaldi};
use crate::broadcast::transmit_limit;
use crate::config::Config;
use crate::core::{Core, Notification, Origin};
use crate::envelope::Packer;
use crate::event::{Member, Status};
use crate::limits::{
    ANSWERS_BYTES_MAX, ANSWERS_HELD_BYTES_MAX, BROADCAST_QUEUE_BYTES_MAX, COALESCED_BYTES_MAX, EARLY_INTENTS_BYTES_MAX,
    EARLY_INTENTS_MAX, EVENT_RING_BYTES_MAX, MEMBERS_MAX, QUERIES_ASKED_MAX, QUERIES_OPEN_MAX, SERF_MESSAGE_BYTES_MAX,
};

use crate::fingerprint::Fingerprint;
use crate::roster::{MemberIdx, RecordHashes};
use crate::stats::{Clocks, DropReason, Histogram, MemberCounts, QueueDepths, Usage};
use crate::timer::SerfTimer;
use crate::types::Snapshot;
use crate::wire::Codec;
use crate::wire::native::{EventHashes, EventWindow};
use crate::wire::serf::Message;

/// The Serf layer of one node: sub-states that each own their rules. Rules that span several of them are here and in
/// the files that implement `Serf`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Serf {
    clocks: LamportClocks,
    members: Members,
    intents: Intents,
    events: Events,
    queries: Queries,
    conflict: Conflict,
    reconnects: Reconnects,
    /// `None` if coordinates are disabled.
    coordinates: Option<Box<Coordinates>>,
    /// `None` if events go to the application unchanged: no snapshot and no coalescing.
    delivery: Option<Box<Delivery>>,
}

impl Serf {
    pub(crate) fn new(me: MemberIdx, cfg: &Config) -> Self {
        Self {
            clocks: LamportClocks::default(),
            members: Members::new(me),
            intents: Intents::new(),
            events: Events::default(),
            queries: Queries::default(),
            conflict: Conflict::default(),
            reconnects: Reconnects::default(),
            coordinates: Coordinates::new(cfg.serf().coordinates),
            delivery: Delivery::new(cfg),
        }
    }

    /// Resumes from a snapshot: the clocks start after every recorded time, and events and queries up to those times
    /// are not delivered again.
    pub(crate) fn resume(&mut self, snapshot: &Snapshot) {
        self.clocks.resume(snapshot);
        self.events.ignore_before(snapshot.event_clock() + 1);
        self.queries.ignore_before(snapshot.query_clock() + 1);
        if let Some(delivery) = &mut self.delivery {
            delivery.resume(snapshot);
        }
    }

    /// Makes every name in the roster's directory a member, without events. Simulations start from this state.
    pub(crate) fn assume_converged(&mut self, core: &mut Core) {
        for idx in core.roster.indices() {
            if idx != self.members.me() {
                self.members.admit(core, idx);
            }
        }
    }

    /// Handles a notification of the membership layer.
    pub(crate) fn notified(&mut self, core: &mut Core, notification: Notification) {
        match notification {
            Notification::Joined(idx) => self.members.joined(core, idx),
            Notification::Dead(idx) => self.handle_gone(core, idx, false),
            Notification::Left(idx) => self.handle_gone(core, idx, true),
            Notification::Updated(idx) => self.members.updated(core, idx),
            Notification::Evicted(idx) => self.evicted(core, idx),
            Notification::Forgotten(idx) => self.reconnect_forgotten(core, idx),
            // Handled by the node: a vote on our name, a step of its leave, and a ping of a doubted member concern
            // other layers too.
            Notification::Conflict(_) | Notification::LeaveBroadcastSent | Notification::VerifyLeft(_) => {}
        }
    }

    /// Handles the body of a user message, from a packet or a stream.
    pub(crate) fn handle(&mut self, core: &mut Core, origin: Origin, body: &[u8]) {
        // Checked before decoding: no legitimate message is larger.
        if body.len() > SERF_MESSAGE_BYTES_MAX {
            return core.stats.drop(DropReason::Limit);
        }
        match decode(core, body) {
            Ok(Message::Join(join)) => self.intent(core, join.node, join.ltime, Intent::Join, Via::Gossip),
            Ok(Message::Leave(leave)) => {
                let intent = Intent::Leave { prune: leave.prune };
                self.intent(core, leave.node, leave.ltime, intent, Via::Gossip);
            }
            Ok(Message::UserEvent(event)) => {
                let timed_at = self.members.timed_at(core);
                self.events.receive(core, timed_at, &mut self.clocks.event, &event, body);
            }
            Ok(Message::Query(query)) => self.query_in(core, origin, &query, body),
            Ok(Message::QueryResponse(response)) => self.response_in(core, origin, &response),
            Ok(Message::Relay(relay)) => self.relay_in(core, origin, &relay),
            Ok(Message::ConflictResponse(_) | Message::KeyRequest(_) | Message::KeyResponse(_)) => {
                // Payloads of responses and requests; on their own they have no meaning.
                core.stats.drop(DropReason::Unexpected);
            }
            Err(reason) => core.stats.drop(reason),
        }
    }

    /// Handles a member that membership declared dead, or left if `by_own_message` (its own leave broadcast).
    fn handle_gone(&mut self, core: &mut Core, idx: MemberIdx, by_own_message: bool) {
        // First: a query that waited only for this member ends, and its end precedes the member event.
        self.stop_waiting_for(core, idx);
        self.members.handle_gone(core, idx, by_own_message);
    }

    /// Handles a timer of this layer. `out` receives coalesced events and records that are due.
    pub(crate) fn handle_timer(&mut self, core: &mut Core, timer: SerfTimer, out: impl FnMut(Delivered)) {
        match timer {
            SerfTimer::Reap => self.reap(core),
            SerfTimer::Reconnect => self.reconnect(core),
            SerfTimer::Deliver => self.deliver_due(core, out),
            SerfTimer::Query => self.queries_due(core),
            SerfTimer::Prune(idx) => self.prune_due(core, idx),
        }
    }

    /// The digest of the recent user events, salted.
    pub(crate) fn event_window(&mut self, core: &Core, salt: u64) -> Option<EventWindow> {
        self.events.window(core, self.clocks.event, salt)
    }

    /// The last Lamport time of the queries that we ignore, if the clock shows none later: the clocks of others must
    /// follow, as for [events](Self::event_window), or we would ignore their next queries.
    pub(crate) fn queries_ignored(&self) -> Option<u64> {
        self.queries.ignored(self.clocks.query)
    }

    /// Follows the clock of a member that ignores queries until this time.
    pub(crate) fn follow_queries(&mut self, core: &Core, ignored: Option<u64>) {
        if let Some(last) = ignored {
            // As far as the budget allows; the next ping of that member goes on.
            _ = self.clocks.query.follow(core.now, last);
        }
    }

    /// Compares a remote digest of recent user events. Returns the hashes of ours in its range if they differ. Our clock
    /// follows: a member that missed an event is behind.
    pub(crate) fn compare_events(&mut self, core: &Core, remote: EventWindow, salt: u64) -> Option<Vec<u32>> {
        let (Ok(reached) | Err(reached)) = self.clocks.event.follow(core.now, remote.last);
        self.events.settle_until(reached.min(remote.last));
        let differs = self.events.differs(core, self.clocks.event, remote, salt)?;
        differs.then(|| self.events.hashes(remote.last, remote.times))
    }

    /// The range and the hashes of our recent user events, for a member that has missed the newest: its own window ends
    /// at `last`.
    pub(crate) fn events_after(&mut self, core: &Core, last: u64) -> Option<((u64, u8), Vec<u32>)> {
        let (last, times) = self.events.window_beyond(core, self.clocks.event, last)?;
        Some(((last, times), self.events.hashes(last, times)))
    }

    /// Our user events of a range of Lamport times: those that a peer with the events `known` lacks, encoded, and all
    /// their hashes.
    pub(crate) fn events_beyond(
        &self,
        core: &Core,
        remote: &EventHashes<'_>,
        known: &[u32],
        codec: Codec,
    ) -> (Vec<Bytes>, Vec<u32>) {
        let (last, times) = (remote.last, remote.times);
        (self.events.missing(core, last, times, known, codec), self.events.hashes(last, times))
    }

    /// Sends a user event.
    pub(crate) fn user_event(
        &mut self,
        core: &mut Core,
        name: &str,
        payload: &[u8],
        coalesce: bool,
    ) -> Result<(), SendError> {
        let timed_at = self.members.timed_at(core);
        self.events.send(core, timed_at, &mut self.clocks.event, name, payload, coalesce)
    }

    /// Adds broadcasts to a packet while they fit: intents first, then queries, then user events, as in `GetBroadcasts`
    /// of serf's delegate.go.
    pub(crate) fn fill(&mut self, core: &Core, codec: Codec, packer: &mut Packer<'_>) {
        let limit = transmit_limit(core.cfg.swim().retransmit_mult, self.members.known());
        self.intents.fill(core, &mut self.members, limit, codec, packer);
        for queue in self.message_queues() {
            queue.fill(core.now, limit, codec, packer);
        }
    }

    /// Begins a round of several packets to one member: each broadcast is offered at most once until the round ends.
    pub(crate) fn begin_round(&mut self) {
        self.intents.begin_round();
        self.message_queues().into_iter().for_each(MessageQueue::begin_round);
    }

    /// Ends a round.
    pub(crate) fn end_round(&mut self) {
        self.intents.end_round();
        self.message_queues().into_iter().for_each(MessageQueue::end_round);
    }

    /// The queues of whole messages, in packing order.
    const fn message_queues(&mut self) -> [&mut MessageQueue; 2] {
        [&mut self.queries.queue, &mut self.events.queue]
    }

    /// The members that the application knows, in index order.
    pub(crate) fn members<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = Member> + 'a {
        self.members.rows().filter_map(|(idx, _)| self.members.member(core, idx))
    }

    /// One member as the application sees it.
    pub(crate) fn member(&self, core: &Core, idx: MemberIdx) -> Option<Member> {
        self.members.member(core, idx)
    }

    /// The failed members that are not yet reaped.
    pub(crate) fn failed(&self) -> impl Iterator<Item = MemberIdx> {
        self.members.failed()
    }

    /// The members that left and are not yet reaped.
    pub(crate) fn left(&self) -> impl Iterator<Item = MemberIdx> {
        self.members.left()
    }

    /// Whether we know of no other live member.
    pub(crate) fn is_alone(&self) -> bool {
        self.members.live() <= 1
    }

    /// The Lamport times of members, events and queries.
    pub(crate) const fn times(&self) -> Clocks {
        self.clocks.times()
    }

    /// Member counts by status. Suspicions are counted by membership: 0 here.
    pub(crate) fn counts(&self) -> MemberCounts {
        self.members.counts()
    }

    /// Queue depths of this layer's broadcasts; 0 for those of membership.
    pub(crate) const fn queue_depths(&self) -> QueueDepths {
        let (queries, events) = (self.queries.queue.len(), self.events.queue.len());
        QueueDepths { swim: 0, intents: self.intents.queued(), queries, events }
    }

    /// How long broadcasts have waited before they were sent for the first time, by queue.
    pub(crate) const fn waits(&self) -> [(&'static str, &Histogram); 3] {
        [("intents", self.intents.waits()), ("queries", self.queries.queue.waits()), ("events", self.events.waits())]
    }

    /// The largest payload, in bytes, of a user event with this name at the current Lamport time. `None` if even an
    /// empty payload is too large.
    pub(crate) fn user_event_payload_max(&self, core: &Core, name: &str) -> Option<usize> {
        events::payload_max(core, self.clocks.event.time(), name)
    }

    /// The fill level of each collection that peers can grow, with its limit.
    pub(crate) fn usage(&self, core: &Core) -> Vec<Usage> {
        let depth_max = core.cfg.serf().queue_depth_max as usize;
        let coalesced = self.delivery.as_ref().map_or(0, |delivery| delivery.coalesced_bytes());
        let (events, queries) = (&self.events.queue, &self.queries.queue);
        let (patterns, patterns_max) = self.queries.patterns_usage();
        let of = Usage::new;
        alloc::vec![
            of("members", core.roster.len(), MEMBERS_MAX),
            of("event_ring_bytes", self.events.remembered_bytes(), EVENT_RING_BYTES_MAX),
            of("event_queue", events.len(), depth_max),
            of("event_queue_bytes", events.bytes(), BROADCAST_QUEUE_BYTES_MAX),
            of("query_queue", queries.len(), depth_max),
            of("query_queue_bytes", queries.bytes(), BROADCAST_QUEUE_BYTES_MAX),
            of("intent_queue", self.intents.queued(), depth_max),
            of("early_intents", self.intents.early(), EARLY_INTENTS_MAX),
            of("early_intents_bytes", self.intents.early_bytes(), EARLY_INTENTS_BYTES_MAX),
            of("queries_open", self.queries.open(), QUERIES_OPEN_MAX),
            of("queries_asked", self.queries.pending(), QUERIES_ASKED_MAX),
            of("answers_held_bytes", self.queries.held_bytes(), ANSWERS_HELD_BYTES_MAX),
            of("answers_bytes", self.queries.answers_bytes(), ANSWERS_BYTES_MAX),
            of("coalesced_events_bytes", coalesced, COALESCED_BYTES_MAX),
            of("patterns", patterns, patterns_max),
        ]
    }

    /// Whether any broadcast is queued.
    pub(crate) const fn wants_gossip(&self) -> bool {
        self.intents.queued() > 0 || !self.queries.queue.is_empty() || !self.events.queue.is_empty()
    }

    /// Whether an intent at `ltime` about `idx` is a no-op: not newer for the member, and so not ahead of our clock, which
    /// is after the time of every row. Lets the node skip a repeat before decoding it.
    pub(crate) fn is_repeat(&self, idx: MemberIdx, ltime: u64) -> bool {
        let row = self.members.row(idx);
        debug_assert!(row.ltime() < self.clocks.member.time(), "the clock is after the time of every row");
        let known = row.status().is_some() || row.intent().is_some();
        known && ltime <= row.ltime()
    }

    /// Notes that another member sent an intent; see [`RowQueue::note_duplicate`](crate::broadcast::RowQueue). Never
    /// about ourselves: only we know who has heard it.
    pub(crate) fn note_duplicate(&mut self, idx: MemberIdx, ltime: u64) {
        if idx != self.members.me() && self.members.row(idx).ltime() == ltime {
            self.intents.note_duplicate(&mut self.members, idx);
        }
    }

    /// The Lamport time of a member's join, if an alive message may carry it: 0 if there is none, or the member leaves.
    pub(crate) fn join_time(&self, idx: MemberIdx) -> u64 {
        let row = self.members.row(idx);
        if row.status() == Some(Status::Alive) { row.ltime() } else { 0 }
    }

    /// Sum of the hashes of the live members.
    pub(crate) const fn digest(&self) -> u64 {
        self.members.digest()
    }

    /// The hash of a live member's row, salted; 0 if it is not live.
    pub(crate) fn row_hash(&self, idx: MemberIdx, hashes: Option<RecordHashes>, salt: u64) -> u64 {
        members::live_hash(hashes, self.members.row(idx), salt)
    }

    /// The Lamport time of the newest intent about a live member, and whether that is a leave.
    pub(crate) fn intent_of(&self, idx: MemberIdx) -> (u64, bool) {
        let row = self.members.row(idx);
        (row.ltime(), row.status() == Some(Status::Leaving))
    }

    /// Prefetches the queue state that the next packet reads. The result only keeps the reads alive.
    pub(crate) fn prefetch_queues(&self) -> u64 {
        let next = self.intents.next().map_or(0, |idx| idx.0);
        let lengths = u64::from(self.members.slots()) ^ self.events.queue.len() as u64;
        u64::from(next) ^ self.clocks.member.time() ^ lengths
    }

    /// Prefetches a member's row. The result only keeps the read alive.
    pub(crate) fn prefetch(&self, idx: MemberIdx) -> u64 {
        self.members.row(idx).ltime()
    }

    /// Feeds what decides the behaviour of this layer.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { clocks, members, intents, events, queries, conflict, reconnects, coordinates, delivery } = self;
        clocks.fingerprint(to);
        members.fingerprint(to);
        intents.fingerprint(to);
        events.fingerprint(to);
        queries.fingerprint(to);
        conflict.fingerprint(to);
        reconnects.fingerprint(to);
        // Both are optional. What is held back by coalescing is fed with absolute times, so that states merge less.
        to.text(coordinates);
        to.text(delivery);
    }

    /// The live members, each with the Lamport time of its newest intent, and whether that is a leave.
    pub(crate) fn live_intents(&self) -> impl Iterator<Item = (MemberIdx, u64, bool)> + '_ {
        self.members.live_rows().map(|(idx, row)| (idx, row.ltime(), row.status() == Some(Status::Leaving)))
    }
}
