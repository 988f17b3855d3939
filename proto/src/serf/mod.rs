//! The Serf layer: what Serf adds to membership.
//!
//! - Time: `clocks` has a Lamport clock (`lamport`) each for intents, user events and queries.
//! - Members: `members` is the table of statuses (`row` is one member). `status` decides which join and leave intents change it,
//!   `intents` gossips them, `sync` exchanges them in a push/pull, `reap` forgets and `reconnect` looks for members that are gone.
//! - Messages: `events` are user events, `query` asks and answers, `filter` decides for which members. Both recognise repeats with
//!   `recent` and wait in a queue of `message`. `keys` and `conflict` are queries that the application never sees.
//! - Coordinates: `ping` measures, `vivaldi` computes.
//! - Out: `deliver` passes events on, through `recorder` to the snapshot and through `coalesce` to the application.
//!
//! Knows the [`Core`] it is lent, the meaning of its own messages, and what membership notifies. It does not know SWIM's
//! rows, packets, streams or the outbox.

mod bucket;
mod clocks;
mod coalesce;
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
mod pattern;
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
pub use self::pattern::{Pattern, PatternError};
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
use crate::event::Member;
use crate::limits::{
    BROADCAST_QUEUE_BYTES_MAX, COALESCED_BYTES_MAX, EARLY_INTENTS_BYTES_MAX, EARLY_INTENTS_MAX, EVENT_RING_BYTES_MAX,
    MEMBERS_MAX, QUERIES_ASKED_MAX, QUERIES_OPEN_MAX, SERF_MESSAGE_BYTES_MAX,
};
use crate::roster::MemberIdx;
use crate::stats::{Clocks, DropReason, MemberCounts, QueueDepths, Usage};
use crate::timer::SerfTimer;
use crate::types::Snapshot;
use crate::wire::Codec;
use crate::wire::serf::Message;

/// The Serf layer of one node: parts that each own their state and its rules. What concerns several of them is done here and in the
/// files that implement `Serf`.
#[derive(Clone, Debug)]
pub(crate) struct Serf {
    clocks: LamportClocks,
    members: Members,
    intents: Intents,
    events: Events,
    queries: Queries,
    conflict: Conflict,
    reconnects: Reconnects,
    /// `None` when coordinates are off.
    coordinates: Option<Box<Coordinates>>,
    /// `None` when events go to the application as they are.
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

    /// Begins where an earlier life ended: clocks are after all that it saw, and its events and queries are not delivered again.
    pub(crate) fn resume(&mut self, snapshot: &Snapshot) {
        self.clocks.resume(snapshot);
        self.events.ignore_before(snapshot.event_clock() + 1);
        self.queries.ignore_before(snapshot.query_clock() + 1);
        if let Some(delivery) = &mut self.delivery {
            delivery.resume(snapshot);
        }
    }

    /// Makes every name in the roster's directory a member, without an event.
    pub(crate) fn assume_converged(&mut self, core: &mut Core) {
        for idx in core.roster.indices() {
            if idx != self.members.me() {
                self.members.admit(core, idx);
            }
        }
    }

    /// Takes what membership notifies.
    pub(crate) fn notified(&mut self, core: &mut Core, notification: Notification) {
        match notification {
            Notification::Joined(idx) => self.members.joined(core, idx),
            Notification::Gone(idx) => self.gone(core, idx, false),
            Notification::Left(idx) => self.gone(core, idx, true),
            Notification::Updated(idx) => self.members.updated(core, idx),
            Notification::Evicted(idx) => self.evicted(core, idx),
            Notification::Forgotten(idx) => self.left_is_there(core, idx),
            // The node handles them: a vote on our name waits for the rest, a farewell is a step of its leave, and membership asks the
            // doubted.
            Notification::Conflict(_) | Notification::FarewellSent | Notification::Doubted(_) => {}
        }
    }

    /// Takes the body of a user message.
    pub(crate) fn handle(&mut self, core: &mut Core, origin: Origin, body: &[u8]) {
        if body.len() > SERF_MESSAGE_BYTES_MAX {
            return core.stats.drop(DropReason::Limit);
        }
        match decode(core, body) {
            Ok(Message::Join(join)) => self.intent(core, join.node, join.ltime, Intent::Join, Via::Gossip),
            Ok(Message::Leave(leave)) => {
                let intent = Intent::Leave { prune: leave.prune };
                self.intent(core, leave.node, leave.ltime, intent, Via::Gossip);
            }
            Ok(Message::UserEvent(event)) => self.events.receive(core, &mut self.clocks.event, &event, body),
            Ok(Message::Query(query)) => self.query_in(core, origin, &query, body),
            Ok(Message::QueryResponse(response)) => self.response_in(core, origin, &response),
            Ok(Message::Relay(relay)) => self.relay_in(core, origin, &relay),
            Ok(Message::ConflictResponse(_) | Message::KeyRequest(_) | Message::KeyResponse(_)) => {
                core.stats.drop(DropReason::Unexpected);
            }
            Err(reason) => core.stats.drop(reason),
        }
    }

    /// Membership says that the member is gone.
    fn gone(&mut self, core: &mut Core, idx: MemberIdx, said_so: bool) {
        self.stop_waiting_for(core, idx);
        self.members.gone(core, idx, said_so);
    }

    /// Takes a timer of this layer; `out` takes what was held back until now.
    pub(crate) fn handle_timer(&mut self, core: &mut Core, timer: SerfTimer, out: impl FnMut(Delivered)) {
        match timer {
            SerfTimer::Reap => self.reap(core),
            SerfTimer::Reconnect => self.reconnect(core),
            SerfTimer::Deliver => self.deliver_due(core, out),
            SerfTimer::Query => self.queries_due(core),
            SerfTimer::Prune(idx) => self.prune_due(core, idx),
        }
    }

    /// Sends a user event.
    pub(crate) fn user_event(
        &mut self,
        core: &mut Core,
        name: &str,
        payload: &[u8],
        coalesce: bool,
    ) -> Result<(), SendError> {
        self.events.send(core, &mut self.clocks.event, name, payload, coalesce)
    }

    /// Adds broadcasts to a packet while they fit: intents first, then queries, then user events, as serf does.
    pub(crate) fn fill(&mut self, core: &Core, codec: Codec, packer: &mut Packer<'_>) {
        let limit = transmit_limit(core.cfg.swim().retransmit_mult, self.members.known());
        self.intents.fill(core, &mut self.members, limit, codec, packer);
        for queue in self.message_queues() {
            queue.fill(limit, codec, packer);
        }
    }

    /// Begins a round of several packets to one member, each broadcast at most once.
    pub(crate) fn begin_round(&mut self) {
        self.intents.begin_round();
        self.message_queues().into_iter().for_each(MessageQueue::begin_round);
    }

    /// Ends the round.
    pub(crate) fn end_round(&mut self) {
        self.intents.end_round();
        self.message_queues().into_iter().for_each(MessageQueue::end_round);
    }

    /// The queues of whole messages, in the order in which a packet takes them.
    const fn message_queues(&mut self) -> [&mut MessageQueue; 2] {
        [&mut self.queries.queue, &mut self.events.queue]
    }

    /// The members that the application knows of, in the order of their numbers.
    pub(crate) fn members<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = Member> + 'a {
        self.members.rows().filter_map(|(idx, _)| self.members.member(core, idx))
    }

    /// One member as the application sees it.
    pub(crate) fn member(&self, core: &Core, idx: MemberIdx) -> Option<Member> {
        self.members.member(core, idx)
    }

    /// The members that failed, as they are remembered.
    pub(crate) fn failed(&self) -> impl Iterator<Item = MemberIdx> {
        self.members.failed()
    }

    /// The members that left, as they are remembered.
    pub(crate) fn left(&self) -> impl Iterator<Item = MemberIdx> {
        self.members.left()
    }

    /// Whether no other member is in the cluster, as far as we know.
    pub(crate) fn is_alone(&self) -> bool {
        self.members.live() <= 1
    }

    /// The Lamport times of members, events and queries.
    pub(crate) const fn times(&self) -> Clocks {
        self.clocks.times()
    }

    /// How many members are known. What is suspected only membership knows: 0 here.
    pub(crate) fn counts(&self) -> MemberCounts {
        self.members.counts()
    }

    /// How many broadcasts of this layer wait to be gossiped; those of membership are 0 here.
    pub(crate) const fn queue_depths(&self) -> QueueDepths {
        let (queries, events) = (self.queries.queue.len(), self.events.queue.len());
        QueueDepths { swim: 0, intents: self.intents.queued(), queries, events }
    }

    /// The largest payload that a user event of this name may have now; `None` when not even an empty one may.
    pub(crate) fn user_event_payload_max(&self, core: &Core, name: &str) -> Option<usize> {
        events::payload_max(core, self.clocks.event.time(), name)
    }

    /// How full each collection is that peers can fill.
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
            of("queries_asked", self.queries.asked(), QUERIES_ASKED_MAX),
            of("coalesced_events_bytes", coalesced, COALESCED_BYTES_MAX),
            of("patterns", patterns, patterns_max),
        ]
    }

    /// Whether there is anything to gossip.
    pub(crate) const fn wants_gossip(&self) -> bool {
        self.intents.queued() > 0 || !self.queries.queue.is_empty() || !self.events.queue.is_empty()
    }

    /// Whether an intent about `idx` says nothing new, neither of the member nor of the time.
    pub(crate) fn is_repeat(&self, idx: MemberIdx, ltime: u64) -> bool {
        let row = self.members.row(idx);
        let known = row.status().is_some() || row.intent().is_some();
        known && ltime <= row.ltime() && ltime < self.clocks.member.time()
    }

    /// Prefetches what the next packet takes of the queues. The result means nothing.
    pub(crate) fn touch_queues(&self) -> u64 {
        let next = self.intents.next().map_or(0, |idx| idx.0);
        let lengths = u64::from(self.members.slots()) ^ self.events.queue.len() as u64;
        u64::from(next) ^ self.clocks.member.time() ^ lengths
    }

    /// Prefetches a member's row. The result means nothing.
    pub(crate) fn touch(&self, idx: MemberIdx) -> u64 {
        self.members.row(idx).ltime()
    }
}
