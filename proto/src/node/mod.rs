//! Coordinates the protocol layers: the only module that names both [`Swim`] and [`Serf`].
//! Routes each input to the layer that handles it, then turns the effects that the layers queued in [`Core`] into
//! outputs. Neither layer calls the other; this module is the one place to read for who calls what, in which order.

mod anti_entropy;
mod checkpoint;
mod command;
mod complain;
mod exchange;
mod explore;
mod gossip;
mod isolation;
mod join;
mod keys;
mod known_news;
mod leave;
mod partition;
mod query;
mod receive;
mod send;
mod tap;
mod view;
mod why;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use self::checkpoint::{CheckpointError, Unsaved};
pub use self::command::{ForceLeaveError, JoinError, LeaveError, SetTagsError, UserEventError};
pub use self::complain::SocketFailure;
pub use self::explore::{KnownMember, View};
use self::gossip::Gossip;
use self::isolation::Isolation;
use self::join::Joins;
use self::leave::Leave;
use self::partition::Partition;
use self::tap::Tapped;
pub use self::tap::{Outputs, Tap};
pub use self::why::Why;
use crate::complaints::PeerAt;
use crate::config::Config;
use crate::core::{Core, Notification, Origin};
use crate::envelope::Envelope;
use crate::input::Input;
use crate::outbox::{Outbox, Output};
use crate::policy::SharedPolicy;
use crate::rng::Seed;
use crate::roster::{Directory, Identity};
use crate::serf::{Delivered, Serf};
use crate::stats::DropReason;
use crate::stream::{Step, StreamInput, Streams};
use crate::swim::Swim;
use crate::time::Instant;
use crate::timer::{NodeTimer, Timer};
use crate::types::{Snapshot, StreamId};

/// One member of a cluster, as a state machine without IO. See the [crate's documentation](crate) for the run loop.
///
/// Cloning a node forks it: a simulation can run several futures from one state.
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
    partition: Partition,
    gossip: Gossip,
    /// `None` unless inputs are recorded.
    tapped: Option<Box<Tapped>>,
}

/// Optional initial state of a node.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Start {
    /// Table of peers, shared with other nodes of the process to save memory; see [`Directory`].
    pub directory: Directory,
    /// Start with every peer of the directory as an alive member, and with empty broadcast queues. For simulations that
    /// are not about joining.
    pub converged: bool,
    /// Snapshot of an earlier run of this node.
    pub snapshot: Option<Snapshot>,
    /// Callback with which the application vetoes peers and merges; `None` admits all.
    pub policy: Option<SharedPolicy>,
}

impl Start {
    /// An empty start: no members, no snapshot, no policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses a shared directory.
    #[must_use]
    pub fn with_directory(self, directory: Directory) -> Self {
        Self { directory, ..self }
    }

    /// Resumes from the snapshot of an earlier run. The node restores its Lamport clocks, so it does not deliver again
    /// the events that it delivered before. Call [`Node::rejoin`] to find the cluster again.
    #[must_use]
    pub fn with_snapshot(self, snapshot: Snapshot) -> Self {
        Self { snapshot: Some(snapshot), ..self }
    }

    /// Uses the application's policy.
    #[must_use]
    pub fn with_policy(self, policy: SharedPolicy) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// Starts with every peer of the directory as an alive member.
    #[must_use]
    pub const fn converged(mut self) -> Self {
        self.converged = true;
        self
    }
}

/// Whether a join delivers the user events that the cluster sent before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldEvents {
    /// Deliver those that the members still buffer.
    Deliver,
    /// Deliver none of them.
    Ignore,
}

/// Whether receivers may coalesce a user event with others of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coalescing {
    /// Receivers that coalesce may deliver only the newest of several events of this name.
    Allow,
    /// Receivers deliver each event.
    Forbid,
}

impl From<bool> for Coalescing {
    /// Serf's field `coalesce`: true allows it.
    fn from(coalesce: bool) -> Self {
        if coalesce { Self::Allow } else { Self::Forbid }
    }
}

/// What remains of a member that is declared gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tombstone {
    /// The member is remembered as left, for [`tombstone_timeout`](crate::SerfOptions::tombstone_timeout).
    Keep,
    /// The member is forgotten at once (`-prune` of HashiCorp's `force-leave`).
    Erase,
}

impl From<bool> for Tombstone {
    /// Serf's field `prune`: true erases the member.
    fn from(prune: bool) -> Self {
        if prune { Self::Erase } else { Self::Keep }
    }
}

/// Lifecycle state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Takes part in the cluster.
    Alive,
    /// A leave is in progress.
    Leaving,
    /// The leave is complete; the node may be dropped.
    Left,
}

impl Node {
    /// Creates a node. It sends nothing before [`join`](Self::join), but other nodes can join through it.
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
        // A random phase, so that nodes that start together do not gossip in step.
        let gossip = Gossip::new(core.rng.jitter.duration_below(core.cfg.swim().gossip_interval), now);
        let identity =
            identity.clone().with_versions(core.cfg.transport().versions().speaking(core.cfg.serf().protocol_version));
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
            partition: Partition::default(),
            gossip,
            tapped: None,
        };
        // The layers may have queued effects while they were built.
        node.settle(None, out);
        node
    }

    /// Accepts a stream that a peer opened. At the limit, the stream with the worst throughput is evicted to make room.
    /// A stream from outside of [`cidrs_allowed`](crate::TransportOptions::cidrs_allowed) is closed at once.
    pub fn accept(&mut self, now: Instant, from: SocketAddr, out: &mut Outbox) -> StreamId {
        self.set_now(now);
        self.begin_tap(out, || Input::Accept { from });
        if !self.core.cfg.admits(from.ip()) {
            let refused = self.refuse(from, out);
            self.end_tap(out);
            return refused;
        }
        // Evict before accepting, so that the new stream cannot be chosen.
        if let Some(slowest) = self.streams.to_evict_before(self.core.now, from) {
            self.evict(slowest, None, out);
        }
        let stream = self.streams.accept(self.core.now, from);
        let until = Streams::idle_deadline(self.core.now, self.core.cfg.transport().stream_timeout);
        self.core.timers.set(NodeTimer::Stream(stream), until);
        self.settle(None, out);
        self.end_tap(out);
        stream
    }

    /// Closes a stream from an address outside of the allowed networks. It takes no place from another stream.
    fn refuse(&mut self, from: SocketAddr, out: &mut Outbox) -> StreamId {
        let stream = self.streams.refuse();
        self.core.stats.drop(DropReason::Network);
        out.push(Output::Close { stream });
        self.settle(Origin::Exchange(from).peer(), out);
        stream
    }

    /// Handles an input of a stream. Inputs for a stream that is closed are ignored.
    pub fn handle_stream(&mut self, now: Instant, id: StreamId, input: StreamInput<'_>, out: &mut Outbox) {
        self.set_now(now);
        // Before the step, which may remove the stream.
        let peer = self.peer_of(id);
        let step = if let StreamInput::Data(data) = input {
            self.core.stats.stream_bytes_in += data.len() as u64;
            let read = self.streams.read(id, data, &self.envelope);
            self.begin_tap(out, || tap::stream_read(id, data.len(), &read));
            self.streams.handle_read(id, read)
        } else {
            self.begin_tap(out, || tap::stream_input(id, input));
            self.streams.handle(id, input, &self.envelope)
        };
        self.end_stream_input(id, step, peer, out);
    }

    /// Handles a chunk of a stream of which only the opened message is known.
    pub(crate) fn handle_stream_opened(
        &mut self,
        now: Instant,
        id: StreamId,
        wire_bytes: usize,
        opened: Result<Option<&[u8]>, DropReason>,
        out: &mut Outbox,
    ) {
        self.set_now(now);
        let peer = self.peer_of(id);
        self.core.stats.stream_bytes_in += wire_bytes as u64;
        let read = self.streams.read_opened(id, wire_bytes, opened);
        self.begin_tap(out, || tap::stream_read(id, wire_bytes, &read));
        let step = self.streams.handle_read(id, read);
        self.end_stream_input(id, step, peer, out);
    }

    fn end_stream_input(&mut self, id: StreamId, step: Step<'_>, peer: Option<PeerAt>, out: &mut Outbox) {
        self.step(id, step, peer, out);
        // Terminates: each eviction frees the buffer of one stream.
        while let Some(largest) = self.streams.to_evict_for_memory(self.core.now) {
            self.evict(largest, peer, out);
        }
        self.settle(peer, out);
        self.core.detail.clear();
        self.end_tap(out);
    }

    /// Fires every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        self.set_now(now);
        self.begin_tap(out, || Input::Timeout);
        // Terminates: a timer that fires is armed again later than `now`, or not at all.
        while let Some(timer) = self.core.timers.pop_due(now) {
            let peer = self.handle_timer(timer, out);
            // After each timer: the next handler must see the effects of this one, and complaints must name this peer.
            self.settle(peer, out);
        }
        self.sweep_complaints();
        self.end_tap(out);
    }

    /// Dispatches one timer. Returns the peer of the stream that it closed, if any.
    fn handle_timer(&mut self, timer: Timer, out: &mut Outbox) -> Option<PeerAt> {
        match timer {
            Timer::Swim(timer) => self.swim.handle_timer(&mut self.core, timer),
            Timer::Serf(timer) => self.serf.handle_timer(&mut self.core, timer, |delivered| out.push(delivered.into())),
            Timer::Node(NodeTimer::Gossip) => self.gossip_tick(out),
            Timer::Node(NodeTimer::Leave) => self.leave.time_is_up(),
            Timer::Node(NodeTimer::Isolation) => self.search(),
            Timer::Node(NodeTimer::Partition) => self.judge_partition(),
            Timer::Node(NodeTimer::Stream(id)) => return self.stream_due(id, out),
            Timer::Node(NodeTimer::Join(id)) => self.widen_join(id),
        }
        None
    }

    /// Handles a stream's deadline. An inbound stream that has received data gets the whole timeout once; any other ends.
    fn stream_due(&mut self, id: StreamId, out: &mut Outbox) -> Option<PeerAt> {
        if let Some(until) = self.streams.extended_deadline(id, self.core.now, self.core.cfg.transport().stream_timeout)
        {
            self.core.timers.set(NodeTimer::Stream(id), until);
            return None;
        }
        let peer = self.peer_of(id);
        let step = self.streams.expire(id);
        self.step(id, step, peer, out);
        peer
    }

    /// The instant at which [`handle_timeout`](Self::handle_timeout) must be called next; `None` if no timer is armed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.timers.next()
    }

    /// Sets `core.now`. Clamps a clock that runs backwards, because timers and intervals assume that it does not.
    fn set_now(&mut self, now: Instant) {
        debug_assert!(now >= self.core.now, "the caller's clock goes back");
        self.core.now = self.core.now.max(now);
    }

    /// Runs a command of the application at `now`, then settles its effects. `input` is the command, for the tap.
    fn command<T>(
        &mut self,
        now: Instant,
        out: &mut Outbox,
        input: impl FnOnce() -> Input,
        run: impl FnOnce(&mut Self, &mut Outbox) -> T,
    ) -> T {
        self.set_now(now);
        self.begin_tap(out, input);
        let result = run(self, out);
        self.settle(None, out);
        self.end_tap(out);
        result
    }

    /// Drains the effects that the layers queued in the core, until none is left. `peer` sent the input that was
    /// handled; complaints about dropped input name it.
    ///
    /// Terminates: a notification causes events and unicasts, and at most one notification of each kind per member.
    fn settle(&mut self, peer: Option<PeerAt>, out: &mut Outbox) {
        while self.core.has_effects() {
            // Unicasts last in each pass: notifications and key requests queue unicasts.
            self.deliver_notifications(out);
            self.handle_key_requests(out);
            self.send_unicasts(out);
        }
        // From here on order matters. Drops are reported while `peer` is known; the leave may queue broadcasts and
        // events, so events are delivered after it and gossip is armed last.
        self.complain_of_drops(peer);
        self.proceed_leave(out);
        self.watch_isolation();
        self.watch_partition();
        self.serf.deliver(&mut self.core, |delivered| out.push(delivered.into()));
        self.core.give_back_memory();
        self.arm_gossip();
    }

    /// Dispatches notifications of membership to the Serf layer and to the leave, then opens the streams that either
    /// layer requested.
    fn deliver_notifications(&mut self, out: &mut Outbox) {
        let (mut at, mut is_claimed) = (0, false);
        // By index: a handler may append notifications while this loop runs.
        while let Some(&notification) = self.core.notifications.get(at) {
            at += 1;
            match notification {
                Notification::Conflict(idx) => is_claimed |= idx == self.swim.me(),
                Notification::LeaveBroadcastSent => self.leave.leave_broadcast_sent(),
                Notification::VerifyLeft(idx) => self.swim.verify_left(&mut self.core, idx),
                Notification::Dead(idx) => {
                    self.core.forget_complaints(idx);
                    self.serf.notified(&mut self.core, notification);
                }
                _ => self.serf.notified(&mut self.core, notification),
            }
        }
        self.core.notifications.clear();
        self.open_dialed(out);
        // Last: a node that joins under a name in use must first learn the other members, which vote on the claim.
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
