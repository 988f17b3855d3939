//! The node: the only place that names both layers. It routes inputs to them and turns what they want into outputs.

mod alone;
mod command;
mod complain;
mod exchange;
mod join;
mod key_demands;
mod keys;
mod leave;
mod packet;
mod query;
mod view;
mod why;

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use self::alone::Isolation;
pub use self::command::{ForceLeaveError, JoinError, LeaveError, SetTagsError, UserEventError};
pub use self::complain::SocketFailure;
use self::join::{Contact, Join};
use self::key_demands::PendingWrites;
use self::leave::{Leaving, Told};
pub use self::view::{Clocks, MemberCounts, QueueDepths};
pub use self::why::Why;
use crate::complaints::PeerAt;
use crate::config::Config;
use crate::core::{Core, Heard, Notification, Origin};
use crate::envelope::{self, Envelope, Parts};
use crate::outbox::{Outbox, Output};
use crate::policy::SharedPolicy;
use crate::rng::Seed;
use crate::roster::{Directory, Identity, MemberIdx};
use crate::serf::{Delivered, Serf};
use crate::stats::DropReason;
use crate::stream::{StreamInput, Streams};
use crate::swim::Swim;
use crate::time::{Instant, next_on_grid};
use crate::timer::{NodeTimer, Timer};
use crate::types::{JoinId, Snapshot, StreamId};
use crate::wire::hashicorp;
use crate::wire::native::{self, Glance, Unread};
use crate::wire::swim::{FIRST_INCARNATION, Message};
use crate::wire::{Announced, Codec};

/// One member of a cluster, as a state machine. See the [crate's documentation](crate) for the loop around it.
///
/// It can be cloned: a simulation can fork a world and try several futures from it.
#[derive(Clone, Debug)]
pub struct Node {
    core: Core,
    swim: Swim,
    serf: Serf,
    envelope: Envelope,
    streams: Streams,
    joins: BTreeMap<JoinId, Join>,
    joins_last: u32,
    pending_writes: PendingWrites,
    /// Where the members of an earlier life were, in the order in which they are tried.
    previous: Vec<Contact>,
    leaving: Leaving,
    told: Told,
    /// When broadcasts last rode on an ack, and to which member.
    rode: Option<(Instant, MemberIdx)>,
    isolation: Isolation,
    /// Gossip ticks lie on a grid that begins at a random point, however seldom there is something to tell.
    gossip_phase: Duration,
    /// Before this there is no other tick, if ticks need not lie on the grid.
    gossip_rest: Instant,
}

/// What a node knows when it starts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Start {
    /// Peers that this node shares with others of its process; see [`Directory`].
    pub directory: Directory,
    /// Begin as a member of a cluster of everybody in the directory, in which nothing is left to tell. For simulations that
    /// are not about joining.
    pub converged: bool,
    /// What an earlier life of this node left behind.
    pub snapshot: Option<Snapshot>,
    /// What the application decides; none: nothing is decided against.
    pub policy: Option<SharedPolicy>,
}

impl Start {
    /// A node that knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a shared directory.
    #[must_use]
    pub fn with_directory(self, directory: Directory) -> Self {
        Self { directory, ..self }
    }

    /// As a node that was a member before. It knows the clocks of its earlier life and delivers none of the events that it saw
    /// in it; call [`Node::rejoin`] to find the cluster again.
    #[must_use]
    pub fn with_snapshot(self, snapshot: Snapshot) -> Self {
        Self { snapshot: Some(snapshot), ..self }
    }

    /// With decisions of the application.
    #[must_use]
    pub fn with_policy(self, policy: SharedPolicy) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// As a member of a cluster of everybody in the directory.
    #[must_use]
    pub const fn converged(mut self) -> Self {
        self.converged = true;
        self
    }
}

/// What to do with the user events that a cluster has seen before we joined it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldEvents {
    /// Deliver those that members still remember.
    Deliver,
    /// Deliver none of them.
    Ignore,
}

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It takes part.
    Alive,
    /// It is on its way out.
    Leaving,
    /// It has left; it may be dropped.
    Left,
}

impl Node {
    /// A new node. It does nothing before it is told to [`join`](Self::join), but it can be joined.
    pub fn new(
        cfg: Arc<Config>,
        identity: &Identity,
        seed: &Seed,
        now: Instant,
        start: Start,
        out: &mut Outbox,
    ) -> Self {
        let envelope = Envelope::new(cfg.envelope().clone(), seed);
        let mut core = Core::new(cfg, seed, start.directory, now);
        core.policy = start.policy;
        let gossip_phase = core.rng.jitter.duration_below(core.cfg.gossip_interval);
        let identity = identity.clone().with_versions(core.cfg.codec.versions().speaking(core.cfg.protocol_version));
        let swim = Swim::new(&mut core, &identity, start.converged);
        let mut serf = Serf::new(swim.me(), &core.cfg);
        if start.converged {
            serf.assume_converged(&mut core);
        }
        let mut previous = Vec::new();
        if let Some(snapshot) = &start.snapshot {
            serf.resume(snapshot);
            previous = join::previous(snapshot, &identity, &mut core.rng.jitter);
        }
        let mut node = Self {
            core,
            swim,
            serf,
            envelope,
            streams: Streams::default(),
            joins: BTreeMap::new(),
            joins_last: 0,
            pending_writes: PendingWrites::default(),
            previous,
            leaving: Leaving::No,
            told: Told::default(),
            rode: None,
            isolation: Isolation::default(),
            gossip_phase,
            gossip_rest: now,
        };
        node.settle(None, out);
        node
    }

    /// Takes a datagram that came from `from`. What cannot be used is counted in [`Stats::dropped`](crate::Stats::dropped).
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        self.enter(now);
        let mut heard = Heard::new(from, datagram.len());
        // Checks of the port that send next to nothing are not complained of.
        let peer = heard.origin().peer().filter(|_| datagram.len() > PORT_CHECK_BYTES_MAX);
        let stats = &mut self.core.stats;
        stats.datagrams_in += 1;
        stats.bytes_in += datagram.len() as u64;
        match self.envelope.open(datagram, out.buffers()) {
            Ok(message) => self.handle_message(&mut heard, message),
            Err(reason) => self.core.stats.drop(reason),
        }
        self.complain_of_datagram(peer, datagram);
        self.settle(peer, out);
    }

    /// Takes a stream that a peer has opened. When there are too many another is closed for it: the one that has brought the
    /// least.
    pub fn accept(&mut self, now: Instant, from: SocketAddr, out: &mut Outbox) -> StreamId {
        self.enter(now);
        if let Some(slowest) = self.streams.in_the_way(self.core.now, from) {
            self.evict(slowest, None, out);
        }
        let stream = self.streams.accept(self.core.now, from);
        let until = Streams::silent_until(self.core.now, self.core.cfg.stream_timeout);
        self.core.timers.set(NodeTimer::Stream(stream), until);
        self.settle(None, out);
        stream
    }

    /// Takes what happened to a stream. An input for a stream that is over means nothing.
    pub fn handle_stream(&mut self, now: Instant, id: StreamId, input: StreamInput<'_>, out: &mut Outbox) {
        self.enter(now);
        if let StreamInput::Data(data) = input {
            self.core.stats.stream_bytes_in += data.len() as u64;
        }
        let peer = self.peer_of(id);
        let step = self.streams.handle(id, input, &self.envelope);
        self.step(id, step, peer, out);
        // Ends: each takes what it holds away.
        while let Some(largest) = self.streams.overdrawn(self.core.now) {
            self.evict(largest, peer, out);
        }
        self.settle(peer, out);
        self.core.detail.clear();
    }

    /// Does everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        self.enter(now);
        // Ends: a timer that fires is set again later than `now`, or not at all.
        while let Some(timer) = self.core.timers.pop_due(now) {
            let peer = self.handle_timer(timer, out);
            self.settle(peer, out);
        }
        self.sweep_complaints();
    }

    /// Does what one timer is for. Returns the peer of the stream that it ended.
    fn handle_timer(&mut self, timer: Timer, out: &mut Outbox) -> Option<PeerAt> {
        match timer {
            Timer::Swim(timer) => self.swim.handle_timer(&mut self.core, timer),
            Timer::Serf(timer) => self.serf.handle_timer(&mut self.core, timer, |delivered| out.push(delivered.into())),
            Timer::Node(NodeTimer::Gossip) => self.gossip(out),
            Timer::Node(NodeTimer::Leave) => self.leave_waited(),
            Timer::Node(NodeTimer::Isolation) => self.search(),
            Timer::Node(NodeTimer::Stream(id)) => return self.stream_due(id, out),
            Timer::Node(NodeTimer::Join(id)) => self.widen_join(id),
        }
        None
    }

    /// A stream has had its time, unless it brings what it is asked for.
    fn stream_due(&mut self, id: StreamId, out: &mut Outbox) -> Option<PeerAt> {
        if let Some(until) = self.streams.may_go_on(id, self.core.now, self.core.cfg.stream_timeout) {
            self.core.timers.set(NodeTimer::Stream(id), until);
            return None;
        }
        let peer = self.peer_of(id);
        let step = self.streams.expire(id);
        self.step(id, step, peer, out);
        peer
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next; `None`: not before something else comes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.timers.next()
    }

    /// Notes the time. A clock that goes back is held.
    fn enter(&mut self, now: Instant) {
        debug_assert!(now >= self.core.now, "the caller's clock goes back");
        self.core.now = self.core.now.max(now);
    }

    /// Takes a message, which may be a compound of messages.
    fn handle_message(&mut self, heard: &mut Heard, message: &[u8]) {
        let mut parts = match envelope::split(message) {
            Ok(parts) => parts,
            Err(reason) => return self.core.stats.drop(reason),
        };
        if parts.is_compound() {
            self.handle_parts(heard, &mut parts);
        } else if let Some(frame) = parts.next() {
            self.handle_frame(heard, frame);
        }
        if parts.damaged() {
            self.core.stats.drop(DropReason::Compound);
        }
    }

    /// Takes the parts of a compound, a few at a time: first all are looked at and the rows of their members read, then each
    /// is handled. The rows lie far apart, and one after the other each would be waited for; read together, the waits
    /// overlap. Most parts turn out to say nothing new and need not be decoded.
    fn handle_parts(&mut self, heard: &mut Heard, parts: &mut Parts<'_>) {
        loop {
            let reads_native = self.core.cfg.codec.reads(Codec::Native);
            let mut frames: [&[u8]; PARTS_AHEAD] = [&[]; PARTS_AHEAD];
            let mut glances = [Glanced::Unread; PARTS_AHEAD];
            let mut count = 0;
            for frame in parts.by_ref().take(PARTS_AHEAD) {
                (frames[count], glances[count]) = (frame, self.glance(frame, reads_native));
                count += 1;
            }
            let (frames, glances) = (&frames[..count], &glances[..count]);
            // A loop of its own: with more work between the reads the processor would not get far enough ahead.
            core::hint::black_box(glances.iter().fold(0, |touched, glance| match glance {
                Glanced::Alive { idx, .. } => touched ^ self.swim.prefetch(*idx),
                Glanced::Intent { idx, .. } => touched ^ self.serf.touch(*idx),
                Glanced::Unread => touched,
            }));
            let generation = self.core.roster.generation();
            for (&glance, frame) in glances.iter().zip(frames) {
                let is_valid = self.core.roster.generation() == generation;
                if !(is_valid && self.handle_glanced(heard.origin(), glance)) {
                    self.handle_frame(heard, frame);
                }
            }
            if count < PARTS_AHEAD {
                return;
            }
        }
    }

    /// Handles a frame as far as a glance at it is enough, and says whether it was.
    #[inline]
    fn handle_glanced(&mut self, origin: Origin, glance: Glanced) -> bool {
        match glance {
            Glanced::Alive { idx, incarnation } => self.swim.alive_as_known(&mut self.core, origin, idx, incarnation),
            Glanced::Intent { idx, ltime } if self.serf.is_repeat(idx, ltime) => self.core.stats.repeats_in += 1,
            Glanced::Intent { .. } | Glanced::Unread => return false,
        }
        self.core.stats.messages_in += 1;
        true
    }

    #[inline(always)]
    fn glance(&self, frame: &[u8], reads_native: bool) -> Glanced {
        if !reads_native {
            return self.glance_at_hashicorp(frame);
        }
        // Most messages of a join storm.
        if let Some(idx) = self.core.roster.find_first_alive(frame) {
            return Glanced::Alive { idx, incarnation: FIRST_INCARNATION };
        }
        self.glance_at_any(frame)
    }

    fn glance_at_any(&self, frame: &[u8]) -> Glanced {
        match native::glance(frame) {
            Some(Glance::Alive(Unread { incarnation, name, record })) => {
                match self.core.roster.find_record(name, record) {
                    Some((idx, true)) => Glanced::Alive { idx, incarnation },
                    _ => Glanced::Unread,
                }
            }
            Some(Glance::Intent { ltime, name }) => match self.core.roster.find_bytes(name) {
                Some(idx) => Glanced::Intent { idx, ltime },
                None => Glanced::Unread,
            },
            None if self.core.cfg.codec.reads(Codec::HashiCorp) => self.glance_at_hashicorp(frame),
            None => Glanced::Unread,
        }
    }

    fn glance_at_hashicorp(&self, frame: &[u8]) -> Glanced {
        let Some(announced) = hashicorp::peek_alive(frame) else { return Glanced::Unread };
        let incarnation = announced.incarnation;
        match self.core.roster.find_bytes(announced.name) {
            Some(idx) if self.core.roster.announces(idx, &Announced::Fields(announced)) => {
                Glanced::Alive { idx, incarnation }
            }
            _ => Glanced::Unread,
        }
    }

    fn handle_frame(&mut self, heard: &mut Heard, frame: &[u8]) {
        if envelope::is_compound(frame) {
            return self.core.stats.drop(DropReason::Compound);
        }
        self.core.stats.messages_in += 1;
        let Some(codec) = frame.first().map(|&kind| Codec::of(kind)).filter(|codec| self.core.cfg.codec.reads(*codec))
        else {
            return self.core.stats.drop(DropReason::Codec);
        };
        heard.codec = codec;
        match Codec::decode(frame) {
            Ok(Message::User(body)) => self.serf.handle(&mut self.core, heard.origin(), body),
            Ok(Message::Ack(ack)) => {
                if let Some((member, rtt)) = self.swim.acked(&mut self.core, heard.origin(), ack.seq) {
                    self.serf.pinged(&mut self.core, member, rtt, ack.payload);
                }
            }
            Ok(message) => self.swim.handle(&mut self.core, heard, &message),
            Err(_) => self.core.stats.drop(DropReason::Malformed),
        }
    }

    /// Carries everything that the layers left in the core to where it belongs, until nothing moves. `peer` is whose input was
    /// handled.
    ///
    /// Ends: a notification makes events and wishes, never more notifications of its kind than there are members.
    fn settle(&mut self, peer: Option<PeerAt>, out: &mut Outbox) {
        while self.core.has_effects() {
            self.deliver_notifications(out);
            self.handle_key_requests(out);
            self.send_unicasts(out);
        }
        self.complain_of_drops(peer);
        self.proceed_leave(out);
        self.watch_isolation();
        self.serf.deliver(&mut self.core, |delivered| out.push(delivered.into()));
        self.core.give_back_memory();
        self.arm_gossip();
    }

    /// Tells the Serf layer what membership noticed, and opens the streams that either layer wants.
    fn deliver_notifications(&mut self, out: &mut Outbox) {
        let (mut at, mut is_claimed) = (0, false);
        while let Some(&notification) = self.core.notifications.get(at) {
            at += 1;
            match notification {
                Notification::Conflict(idx) => is_claimed |= idx == self.swim.me(),
                Notification::FarewellSent => self.leaving.farewell_sent(),
                Notification::Doubted(idx) => self.swim.doubt_farewell(&mut self.core, idx),
                Notification::Gone(idx) => {
                    self.core.forget_complaints(idx);
                    self.serf.notified(&mut self.core, notification);
                }
                _ => self.serf.notified(&mut self.core, notification),
            }
        }
        self.core.notifications.clear();
        self.open_dialed(out);
        // After the rest: whoever joins under a name that is taken hears of the claim and of all who know better at once.
        if is_claimed {
            self.serf.name_conflict(&mut self.core);
        }
    }

    /// Sets the gossip timer if there is something to tell and somebody to tell it to.
    fn arm_gossip(&mut self) {
        let wanted = (self.serf.wants_gossip() && self.swim.has_listeners()) || self.swim.wants_gossip();
        if wanted && !self.core.timers.is_set(NodeTimer::Gossip) {
            let (now, interval) = (self.core.now, self.core.cfg.gossip_interval);
            let at = if self.core.cfg.gossip_early {
                self.gossip_rest.max(now + interval / GATHERING_PART)
            } else {
                next_on_grid(now, self.gossip_phase, interval)
            };
            self.core.timers.set(NodeTimer::Gossip, at);
        }
    }
}

impl From<Delivered> for Output {
    fn from(delivered: Delivered) -> Self {
        match delivered {
            Delivered::Record(record) => Self::Persist(record),
            Delivered::Event(event) => Self::Event(event),
        }
    }
}

/// What a glance at a frame told.
#[derive(Clone, Copy, Debug)]
enum Glanced {
    /// Nothing: it must be decoded.
    Unread,
    /// A member is alive and announces what we know.
    Alive { idx: MemberIdx, incarnation: u32 },
    /// A member joined.
    Intent { idx: MemberIdx, ltime: u64 },
}

/// Which part of a gossip interval early news waits for more, so that what happens together is told together.
const GATHERING_PART: u32 = 40;

/// A datagram of so many bytes says nothing: `nc -zu` sends one, others none.
const PORT_CHECK_BYTES_MAX: usize = 1;

/// How many parts of a compound are looked at together.
const PARTS_AHEAD: usize = 32;
