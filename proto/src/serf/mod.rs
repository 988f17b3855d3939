//! What Serf adds to membership: Lamport clocks, join and leave intents, statuses, tags, user events and queries.
//!
//! Knows the [`Core`] it is lent, the meaning of its own messages, and what membership notifies. It does not know SWIM's
//! rows, packets, streams or the outbox.

mod coalesce;
mod conflict;
mod coordinate;
mod deliver;
mod event;
mod filter;
mod intent;
mod internal;
mod keys;
mod lamport;
mod leave;
mod member;
mod pattern;
mod patterns;
mod ping;
mod query;
mod reap;
mod record;
mod sync;
#[cfg(test)]
mod tests;
mod vivaldi;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use self::conflict::Conflict;
pub use self::coordinate::{Coordinate, CoordinateError};
pub(crate) use self::deliver::Delivered;
use self::deliver::Delivery;
use self::event::Ring;
pub(crate) use self::event::SendError;
pub use self::filter::Filter;
pub use self::keys::KeysError;
pub(crate) use self::lamport::Exhausted;
use self::lamport::LamportClock;
use self::member::{Gone, Row};
pub use self::pattern::{Pattern, PatternError};
use self::patterns::Patterns;
use self::ping::Coordinates;
use self::query::{Queries, decode};
pub use self::query::{QueryError, Question, RespondError};
pub use self::vivaldi::{LatencyFilter, Vivaldi};
use crate::broadcast::{Offer, TransmitQueue, Turn, transmit_limit};
use crate::config::Config;
use crate::core::{Core, Notification, Origin};
use crate::envelope::Packer;
use crate::event::{Member, MemberEvent, MemberEventKind};
use crate::limits::{
    BROADCAST_QUEUE_BYTES_MAX, COALESCED_BYTES_MAX, EARLY_INTENTS_BYTES_MAX, EARLY_INTENTS_MAX, EVENT_RING_BYTES_MAX,
    MEMBERS_MAX, QUERIES_ASKED_MAX, QUERIES_OPEN_MAX, SERF_MESSAGE_BYTES_MAX,
};
use crate::roster::MemberIdx;
use crate::stats::{DropReason, Usage};
use crate::time::Instant;
use crate::timer::SerfTimer;
use crate::types::JoinId;
use crate::wire::Codec;
use crate::wire::serf::Message;

/// The Serf layer of one node.
#[derive(Clone, Debug)]
pub(crate) struct Serf {
    me: MemberIdx,
    /// Whether we have begun to leave: from then on what is said of us is not refuted.
    leaving: bool,
    /// The first join of ours that reached a member.
    first_join: Option<JoinId>,
    clock: LamportClock,
    event_clock: LamportClock,
    query_clock: LamportClock,
    rows: Vec<Row>,
    /// Members in any status.
    members: u32,
    failed: Vec<Gone>,
    left: Vec<Gone>,
    /// Before this no member that left and pings us is reconnected to.
    left_quiet_until: Instant,
    /// Members that were about to leave, and since when.
    departing: BTreeMap<MemberIdx, Instant>,
    /// Intents for members that we do not know yet, in the order in which they came.
    early: VecDeque<(Instant, MemberIdx)>,
    /// What they take, by [`limits::EARLY_INTENTS_BYTES_MAX`](crate::limits::EARLY_INTENTS_BYTES_MAX).
    early_bytes: usize,
    /// Members whose intent others are to be told of; what they are told is read from the row when it is sent.
    intents: TransmitQueue<MemberIdx>,
    intents_queued: usize,
    /// How many copies of our own leave intent have been sent.
    leaves_sent: u32,
    /// User events, as they came.
    events: TransmitQueue<Bytes>,
    ring: Ring,
    /// Events before this time are not delivered.
    event_min: u64,
    queries: Queries,
    patterns: Patterns,
    conflict: Conflict,
    /// `None` when coordinates are off.
    coordinates: Option<Box<Coordinates>>,
    /// `None` when events go to the application as they are.
    delivery: Option<Box<Delivery>>,
}

impl Serf {
    pub(crate) fn new(me: MemberIdx, cfg: &Config) -> Self {
        Self {
            me,
            leaving: false,
            first_join: None,
            clock: LamportClock::default(),
            event_clock: LamportClock::default(),
            query_clock: LamportClock::default(),
            rows: Vec::new(),
            members: 0,
            failed: Vec::new(),
            left: Vec::new(),
            left_quiet_until: Instant::ZERO,
            departing: BTreeMap::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            intents: TransmitQueue::new(Turn::Newest),
            intents_queued: 0,
            leaves_sent: 0,
            events: TransmitQueue::new(Turn::Oldest),
            ring: Ring::default(),
            event_min: 0,
            queries: Queries::new(),
            patterns: Patterns::default(),
            conflict: Conflict::default(),
            coordinates: Coordinates::new(cfg.coordinates),
            delivery: Delivery::new(cfg),
        }
    }

    /// Makes everybody in the roster's directory a member, without telling the application.
    pub(crate) fn assume_converged(&mut self, core: &mut Core) {
        for idx in core.roster.indices() {
            if idx != self.me {
                self.admit(core, idx);
            }
        }
    }

    /// The members that the application knows of, in the order of their numbers.
    pub(crate) fn members<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = Member> + 'a {
        (0_u32..).zip(&self.rows).filter_map(|(idx, _)| self.member(core, MemberIdx(idx)))
    }

    /// One member as the application sees it.
    pub(crate) fn member(&self, core: &Core, idx: MemberIdx) -> Option<Member> {
        let row = self.row(idx);
        let peer = core.roster.peer(idx)?.clone();
        Some(Member { peer, status: row.status()?, status_ltime: row.ltime() })
    }

    /// The Lamport times of members, events and queries.
    pub(crate) fn times(&self) -> (u64, u64, u64) {
        (self.clock.time(), self.event_clock.time(), self.query_clock.time())
    }

    /// How many members are known in any status, how many of them failed, and how many left.
    pub(crate) const fn counts(&self) -> (usize, usize, usize) {
        (self.members as usize, self.failed.len(), self.left.len())
    }

    /// How many intents and how many user events wait to be gossiped.
    pub(crate) fn queue_depths(&self) -> (usize, usize) {
        (self.intents_queued, self.events.len())
    }

    /// How full everything is that others fill.
    pub(crate) fn usage(&self, core: &Core) -> Vec<Usage> {
        let depth_max = core.cfg.queue_depth_max as usize;
        let coalesced = self.delivery.as_ref().map_or(0, |delivery| delivery.coalesced_bytes());
        let (patterns, patterns_max) = self.patterns.usage();
        let of = Usage::new;
        alloc::vec![
            of("members", core.roster.len(), MEMBERS_MAX),
            of("event_ring_bytes", self.ring.bytes(), EVENT_RING_BYTES_MAX),
            of("event_queue", self.events.len(), depth_max),
            of("event_queue_bytes", self.events.bytes(), BROADCAST_QUEUE_BYTES_MAX),
            of("query_queue", self.queries.queue.len(), depth_max),
            of("query_queue_bytes", self.queries.queue.bytes(), BROADCAST_QUEUE_BYTES_MAX),
            of("intent_queue", self.intents_queued, depth_max),
            of("early_intents", self.early.len(), EARLY_INTENTS_MAX),
            of("early_intents_bytes", self.early_bytes, EARLY_INTENTS_BYTES_MAX),
            of("queries_open", self.queries.open.len(), QUERIES_OPEN_MAX),
            of("queries_asked", self.queries.asked.len(), QUERIES_ASKED_MAX),
            of("coalesced_events_bytes", coalesced, COALESCED_BYTES_MAX),
            of("patterns", patterns, patterns_max),
        ]
    }

    /// How many queries wait to be gossiped.
    pub(crate) fn queries_queued(&self) -> usize {
        self.queries.queue.len()
    }

    /// Whether no other member is in the cluster, as far as we know.
    pub(crate) fn is_alone(&self) -> bool {
        self.members as usize <= 1 + self.failed.len() + self.left.len()
    }

    /// The members that failed, as they are remembered.
    pub(crate) fn failed(&self) -> impl Iterator<Item = MemberIdx> {
        self.failed.iter().map(|gone| gone.idx)
    }

    /// The members that left, as they are remembered.
    pub(crate) fn left(&self) -> impl Iterator<Item = MemberIdx> {
        self.left.iter().map(|gone| gone.idx)
    }

    /// Whether gossip would tell somebody something.
    pub(crate) fn wants_gossip(&self) -> bool {
        self.intents_queued > 0 || !self.queries.queue.is_empty() || !self.events.is_empty()
    }

    /// Takes what membership notifies.
    pub(crate) fn notified(&mut self, core: &mut Core, notification: Notification) {
        match notification {
            Notification::Joined(idx) => self.joined(core, idx),
            Notification::Gone(idx) => self.gone(core, idx, false),
            Notification::Left(idx) => self.gone(core, idx, true),
            Notification::Updated(idx) => self.tell(core, MemberEventKind::Update, idx),
            Notification::Evicted(idx) => self.evicted(core, idx),
            Notification::Forgotten(idx) => self.left_is_there(core, idx),
            // The node minds them: a vote on our name waits for the rest, a farewell is a step of its leave, and membership asks the doubted.
            Notification::Conflict(_) | Notification::FarewellSent | Notification::Doubted(_) => {}
        }
    }

    /// Takes the body of a user message.
    pub(crate) fn handle(&mut self, core: &mut Core, origin: Origin, body: &[u8]) {
        if body.len() > SERF_MESSAGE_BYTES_MAX {
            return core.stats.drop(DropReason::Limit);
        }
        match decode(core, body) {
            Ok(Message::Join(join)) => self.join_intent(core, &join),
            Ok(Message::Leave(leave)) => self.leave_intent(core, &leave),
            Ok(Message::UserEvent(event)) => self.user_event_in(core, &event, body),
            Ok(Message::Query(query)) => self.query_in(core, origin, &query, body),
            Ok(Message::QueryResponse(response)) => self.response_in(core, origin, &response),
            Ok(Message::Relay(relay)) => self.relay_in(core, origin, &relay),
            Ok(Message::ConflictResponse(_) | Message::KeyRequest(_) | Message::KeyResponse(_)) => {
                core.stats.drop(DropReason::Unexpected);
            }
            Err(reason) => core.stats.drop(reason),
        }
    }

    /// Whether an intent about `idx` that was only looked at says nothing new, neither of the member nor of the time.
    pub(crate) fn is_repeat(&self, idx: MemberIdx, ltime: u64) -> bool {
        let row = self.row(idx);
        let known = row.status().is_some() || row.intent().is_some();
        known && ltime <= row.ltime() && ltime < self.clock.time()
    }

    /// Reads what a packet needs of the queues for no other reason than to have it in the cache.
    pub(crate) fn touch_queues(&self) -> u64 {
        let next = self.intents.upcoming().next().map_or(0, |idx| idx.0);
        u64::from(next) ^ self.clock.time() ^ self.rows.len() as u64 ^ self.events.len() as u64
    }

    /// Reads a member's row for no other reason than to have it in the cache.
    pub(crate) fn touch(&self, idx: MemberIdx) -> u64 {
        self.row(idx).ltime()
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

    /// Adds broadcasts to a packet while they fit: intents first, then queries, then user events, as serf does.
    pub(crate) fn fill(&mut self, core: &Core, codec: Codec, packer: &mut Packer<'_>) {
        let limit = transmit_limit(core.cfg.retransmit_mult, self.members);
        self.fill_intents(core, limit, codec, packer);
        for queue in [&mut self.queries.queue, &mut self.events] {
            queue.fill(limit, |_, message| {
                let frame = packer.frame(|w| {
                    codec.begin_user(w)?;
                    codec.translate_serf(message, w)
                });
                if frame.is_err() { Offer::Full } else { Offer::Sent }
            });
        }
    }

    /// Begins a round of several packets to one member, which is told nothing twice.
    pub(crate) fn begin_round(&mut self) {
        self.intents.begin_round();
        self.queries.queue.begin_round();
        self.events.begin_round();
    }

    /// Ends the round.
    pub(crate) fn end_round(&mut self) {
        self.intents.end_round();
        self.queries.queue.end_round();
        self.events.end_round();
    }

    fn tell(&self, core: &mut Core, kind: MemberEventKind, idx: MemberIdx) {
        let Some(member) = self.member(core, idx) else { return };
        tracing::info!(member = member.name(), addr = %member.addr(), %kind, "member event");
        let stats = &mut core.stats;
        *match kind {
            MemberEventKind::Join => &mut stats.member_joins,
            MemberEventKind::Leave => &mut stats.member_leaves,
            MemberEventKind::Failed => &mut stats.member_failures,
            MemberEventKind::Update => &mut stats.member_updates,
            MemberEventKind::Reap => &mut stats.member_reaps,
        } += 1;
        core.events.push(crate::Event::Member(MemberEvent { kind, member }));
    }
}
