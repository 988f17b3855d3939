//! The node: the only place that names both layers. It routes inputs to them and turns what they want into outputs.

mod command;
mod complain;
mod exchange;
mod gossip;
mod isolation;
mod join;
mod keys;
mod known_news;
mod leave;
mod query;
mod receive;
mod send;
mod view;
mod why;

#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use self::command::{ForceLeaveError, JoinError, LeaveError, SetTagsError, UserEventError};
pub use self::complain::SocketFailure;
use self::gossip::Gossip;
use self::isolation::Isolation;
use self::join::Joins;
use self::leave::Leave;
pub use self::why::Why;
use crate::complaints::PeerAt;
use crate::config::Config;
use crate::core::{Core, Notification};
use crate::envelope::Envelope;
use crate::outbox::{Outbox, Output};
use crate::policy::SharedPolicy;
use crate::rng::Seed;
use crate::roster::{Directory, Identity};
use crate::serf::{Delivered, Serf};
use crate::stream::{StreamInput, Streams};
use crate::swim::Swim;
use crate::time::Instant;
use crate::timer::{NodeTimer, Timer};
use crate::types::{Snapshot, StreamId};

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
    joins: Joins,
    leave: Leave,
    isolation: Isolation,
    gossip: Gossip,
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
        let gossip = Gossip::new(core.rng.jitter.duration_below(core.cfg.gossip_interval), now);
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
            joins: Joins::new(previous),
            leave: Leave::default(),
            isolation: Isolation::default(),
            gossip,
        };
        node.settle(None, out);
        node
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
            Timer::Node(NodeTimer::Gossip) => self.gossip_tick(out),
            Timer::Node(NodeTimer::Leave) => self.leave.time_is_up(),
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

    /// Runs a command of the application at `now`, and carries what it leaves in the core.
    fn command<T>(&mut self, now: Instant, out: &mut Outbox, run: impl FnOnce(&mut Self, &mut Outbox) -> T) -> T {
        self.enter(now);
        let result = run(self, out);
        self.settle(None, out);
        result
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
                Notification::FarewellSent => self.leave.farewell_sent(),
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
}

impl From<Delivered> for Output {
    fn from(delivered: Delivered) -> Self {
        match delivered {
            Delivered::Record(record) => Self::Persist(record),
            Delivered::Event(event) => Self::Event(event),
        }
    }
}
