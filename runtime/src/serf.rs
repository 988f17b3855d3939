//! The handle of a node.

use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Weak};

use serf_proto::{
    Coalescing, Complaint, Coordinate, Event, ForceLeaveError, Instant, LeaveReport, Member, NodeState, Outbox,
    PartitionShare, Peer, Question, SetTagsError, Tags, Tombstone, UserEventError, Why,
};

use crate::capture::{Capture, Trigger};
use crate::end::End;
use crate::engine::{Engine, Shared};
use crate::error::{CommandError, LeaveError, NotWritten};
use crate::events::{Events, replied_to};
use crate::handlers::Handlers;
use crate::net::Net;
use crate::responder::Responder;
use crate::snapshot::SnapshotWriter;
use crate::stats::Stats;

/// A member of a cluster, running on an async runtime.
///
/// This is a handle: cloning it is cheap, and all clones refer to the same node. When the last clone is dropped, the
/// node stops and the other members detect it as failed; call [`leave`](Self::leave) first to leave gracefully. All
/// methods may be called from any thread. Methods that are not `async` return immediately and never wait for the
/// network.
pub struct Serf<N: Net>(Arc<Owner<N>>);

/// State shared by all handles.
struct Owner<N: Net> {
    shared: Arc<Shared<N>>,
}

impl<N: Net> Drop for Owner<N> {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// A weak handle, which does not keep the node running. For tasks and handlers that should end with the node.
pub struct WeakSerf<N: Net>(Weak<Owner<N>>);

/// End.
impl<N: Net> Serf<N> {
    /// Waits until the node has left, was shut down, or has ended for another reason, and returns the reason. A service
    /// should exit, or start a new node, when this returns. The handle that waits keeps the node running.
    pub async fn wait(&self) -> End {
        let (done, waiting) = async_channel::bounded(1);
        let left = self.shared().call(|engine, _, _| {
            engine.leave.waiting.retain(|waiting| !waiting.is_closed());
            if engine.leave.report.is_none() {
                engine.leave.waiting.push(done);
            }
            engine.leave.report
        });
        if left == Some(None) {
            // Receives nothing if the node stops before it has left.
            _ = waiting.recv().await;
        }
        // The caller of `leave` gets the file's error.
        _ = self.sync_snapshot().await;
        self.shared().lock().end.clone().unwrap_or(End::ShutDown)
    }

    /// Leaves the cluster gracefully. Waits until the leave was gossiped or its timeout has passed, and the snapshot is
    /// on disk. Then call [`shutdown`](Self::shutdown), or drop the handle. Further calls wait for the same leave;
    /// dropping the future does not stop it. A leave is final: to return, start a new node.
    ///
    /// # Errors
    ///
    /// Returns an error if the node was shut down before or during the call, or if it has left and the snapshot could
    /// not be written.
    pub async fn leave(&self) -> Result<LeaveReport, LeaveError> {
        let (done, waiting) = async_channel::bounded(1);
        let left = self.shared().call(|engine, now, out| {
            // Refused if a leave has begun before: then wait for that one.
            _ = engine.node.leave(now, out);
            if engine.leave.report.is_none() {
                engine.leave.waiting.push(done);
            }
            engine.leave.report
        });
        let report = match left.ok_or(LeaveError::Stopped)? {
            Some(report) => report,
            None => waiting.recv().await.map_err(|_| LeaveError::Stopped)?,
        };
        match self.sync_snapshot().await {
            Ok(()) => Ok(report),
            Err(source) => Err(LeaveError::NotRecorded { report, source }),
        }
    }

    /// Stops the node immediately and waits until its sockets are closed and its files are written. Without a preceding
    /// [`leave`](Self::leave), the other members detect the node as failed. [Event](Self::events) streams end; waiting
    /// calls fail. Has no effect on a stopped node.
    ///
    /// # Errors
    ///
    /// Returns an error if the node has stopped and its snapshot is incomplete on disk. Reported once.
    pub async fn shutdown(&self) -> Result<(), NotWritten> {
        self.shared().stop();
        // Nothing is ever sent: this returns when the last task has dropped its sender.
        _ = self.shared().gone.recv().await;
        let capture = self.shared().lock().capture.clone();
        if let Some(capture) = capture {
            capture.ended().await;
        }
        self.shared().files.ended().await
    }

    /// Returns a weak handle, which does not keep the node running.
    pub fn downgrade(&self) -> WeakSerf<N> {
        WeakSerf(Arc::downgrade(&self.0))
    }
}

/// State.
impl<N: Net> Serf<N> {
    /// Returns a consistent copy of all known members, this node included, in every status. The order is fixed but
    /// unspecified. Costs about 10 ns per member.
    pub fn members(&self) -> Vec<Member> {
        self.shared().lock().node.members().collect()
    }

    /// Whether no other known member is alive or leaving. The node then contacts by itself the failed members and those
    /// through which it joined.
    pub fn is_alone(&self) -> bool {
        self.shared().lock().node.is_alone()
    }

    /// Returns the member of this name, if it is known.
    pub fn member(&self, name: &str) -> Option<Member> {
        self.shared().lock().node.member(name)
    }

    /// Returns what this node announces: name, address, tags.
    pub fn local(&self) -> Arc<Peer> {
        Arc::clone(self.shared().lock().node.local())
    }

    /// Returns the tags that this node announces.
    pub fn tags(&self) -> Tags {
        Tags::decode(self.local().meta())
    }

    /// Returns the lifecycle state. A node that was shut down keeps its last state.
    pub fn state(&self) -> NodeState {
        self.shared().lock().node.state()
    }

    /// Returns why a member is suspected, failed or left: the accuser and the evidence. `None` if it is alive or
    /// unknown, or its record has been forgotten. Times are of [this node's clock](Self::now).
    pub fn why(&self, name: &str) -> Option<Why> {
        self.shared().lock().node.why(name)
    }

    /// Returns the open complaints of the log: peers whose packets are rejected, members reachable over streams only,
    /// operations refused by the operating system. Empty in a healthy node. Times are of [this node's
    /// clock](Self::now).
    pub fn complaints(&self) -> Vec<Complaint> {
        self.shared().lock().node.complaints().collect()
    }

    /// Returns the members whose digest still differed from ours after the last reconciliation with them, each with the
    /// number of reconciliations since the two last agreed; see
    /// [`Node::disagreements`](serf_proto::Node::disagreements). Empty in a healthy cluster, but for a member or two while
    /// news is under way.
    pub fn disagreements(&self) -> Vec<(Arc<Peer>, u32)> {
        self.shared().lock().node.disagreements().collect()
    }

    /// Returns how many members are alive, against the largest stable membership; `None` unless
    /// [`partition_stable_after`](serf_proto::SerfOptions::partition_stable_after) is set. Its changes are
    /// [`Event::Partition`].
    pub fn partition(&self) -> Option<PartitionShare> {
        self.shared().lock().node.partition()
    }

    /// Returns the time of the node's clock, to compare with the times in events and reports.
    pub fn now(&self) -> Instant {
        self.shared().net.now()
    }

    /// Returns counters and gauges.
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let engine = shared.lock();
        let node = &engine.node;
        Stats {
            protocol: node.stats().clone(),
            members: node.member_counts(),
            clocks: node.clocks(),
            queues: node.queue_depths(),
            health_score: node.health_score(),
            streams_live: node.streams_live(),
            streams_unfinished_bytes: node.streams_unfinished_bytes(),
            snapshot_failing: shared.files.snapshot.as_ref().is_some_and(SnapshotWriter::is_failing),
            complaints: node.complaints().count(),
            address_missing: shared.counters.address_missing.load(Ordering::Relaxed),
            partition: node.partition(),
            usage: node.usage(),
            histograms: node.histograms(),
            datagrams_lost: shared.send_queue.lost(),
            socket_errors: shared.counters.socket_errors.load(Ordering::Relaxed),
            file_errors: shared.files.errors() + shared.counters.capture_errors.load(Ordering::Relaxed),
            streams_refused: shared.counters.streams_refused.load(Ordering::Relaxed),
            handler_panics: shared.counters.handler_panics.load(Ordering::Relaxed),
        }
    }

    /// Returns this node's network coordinate; `None` if [coordinates](serf_proto::SerfOptions::coordinates) are off.
    pub fn coordinate(&self) -> Option<Coordinate> {
        self.shared().lock().node.coordinate()
    }

    /// Returns a member's coordinate from its last ack to a probe of this node; `None` before that, or if coordinates
    /// are off.
    pub fn coordinate_of(&self, name: &str) -> Option<Coordinate> {
        self.shared().lock().node.coordinate_of(name)
    }

    /// Estimates the round-trip time between two members; `None` unless both coordinates are known.
    pub fn rtt(&self, a: &str, b: &str) -> Option<Duration> {
        let engine = self.shared().lock();
        let (a, b) = (engine.node.coordinate_of(a)?, engine.node.coordinate_of(b)?);
        Some(a.distance_to(&b))
    }

    /// Returns the address that [`join`](Self::join) contacts for a seed; `None` if it is malformed or has a host name.
    pub fn seed_addr(&self, seed: &str) -> Option<SocketAddr> {
        crate::seed::Seed::parse(seed, self.bound_addr().port()).ok()?.addr()
    }

    /// Returns the listen address, with the actual port if port 0 was configured.
    pub fn bound_addr(&self) -> SocketAddr {
        self.shared().bound
    }
}

/// Events.
impl<N: Net> Serf<N> {
    /// Subscribes to all events from now on: members that join, leave, fail, update or are reaped; user events; queries
    /// to this node; suspicions; name conflicts. Replies to this node's queries come on the query's own
    /// [stream](crate::QueryStream). See [`Events`] for slow subscribers.
    pub fn events(&self) -> Events {
        self.events_where(|event| replied_to(event).is_none())
    }

    /// Subscribes to the events that `wanted` accepts. It is called under the node's lock and must only inspect the
    /// event.
    pub fn events_where(&self, wanted: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Events {
        let shared = self.shared();
        let events = shared.lock().subscribers.subscribe(shared.subscriber_events_max, wanted);
        events.with_responder(self.responder())
    }

    /// Returns the current members and discards the queued member events, so that the next events of `events` continue
    /// the list without a gap. For a subscriber that has [lagged](crate::Lagged), or that starts.
    pub fn resync(&self, events: &mut Events) -> Vec<Member> {
        let engine = self.shared().lock();
        events.inbox().forget_members();
        engine.node.members().collect()
    }

    /// Runs handlers for the events from now on, sequentially and in order, in a background task until the node stops.
    /// A handler that needs the node must hold a [`WeakSerf`]: a [`Serf`] in its own handler would keep the node
    /// running forever.
    pub fn handle(&self, handlers: Handlers) {
        let net = &self.shared().net;
        let events = self.events();
        net.detach(net.spawn_handlers(handlers.run(events)));
    }
}

/// Commands.
impl<N: Net> Serf<N> {
    /// Sends a user event to every member, this node included. A node that is leaving, or has
    /// left, still sends as long as it runs.
    ///
    /// Events that one node sends in quick succession usually arrive in that order, but gossip does not guarantee it:
    /// lost packets are repaired later, and a large burst takes several paths. An application that depends on the order
    /// should use [`ltime`](crate::UserEvent::ltime), which grows with every event that a node has seen or sent, or put
    /// everything into one event. HashiCorp's nodes send the newest first.
    ///
    /// `coalescing` may be a boolean, as in HashiCorp's library: true is [`Coalescing::Allow`].
    ///
    /// # Errors
    ///
    /// Returns an error if the event is too large, or the node is stopped.
    pub fn user_event(
        &self,
        name: &str,
        payload: &[u8],
        coalescing: impl Into<Coalescing>,
    ) -> Result<(), CommandError<UserEventError>> {
        let coalescing = coalescing.into();
        self.command(|engine, now, out| engine.node.user_event(now, name, payload, coalescing, out))
    }

    /// Returns the largest payload of a user event of this name, in bytes; `None` if the name alone is too long.
    pub fn user_event_payload_max(&self, name: &str) -> Option<usize> {
        self.shared().lock().node.user_event_payload_max(name)
    }

    /// Returns the largest payload of this question, in bytes; `None` if the rest alone is too long.
    pub fn query_payload_max(&self, question: &Question<'_>) -> Option<usize> {
        self.shared().lock().node.query_payload_max(question)
    }

    /// Replaces the tags and announces them to all members.
    ///
    /// # Errors
    ///
    /// Returns an error if the tags exceed 512 bytes encoded, or the node is leaving or stopped.
    pub fn set_tags(&self, tags: &Tags) -> Result<(), CommandError<SetTagsError>> {
        self.command(|engine, now, out| engine.node.set_tags(now, tags, out))
    }

    /// Edits the tags and announces them to all members. `change` is called under the node's lock, so concurrent edits
    /// do not overwrite each other:
    ///
    /// ```
    /// # use serf_runtime::{CommandError, Serf, SetTagsError, net::Net};
    /// # fn drain<N: Net>(serf: &Serf<N>) -> Result<(), CommandError<SetTagsError>> {
    /// serf.update_tags(|tags| {
    ///     tags.set("state", "draining");
    ///     tags.remove("leader");
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`set_tags`](Self::set_tags).
    pub fn update_tags(&self, change: impl FnOnce(&mut Tags)) -> Result<(), CommandError<SetTagsError>> {
        self.command(|engine, now, out| {
            let mut tags = Tags::decode(engine.node.local().meta());
            change(&mut tags);
            engine.node.set_tags(now, &tags, out)
        })
    }

    /// Marks a failed member as left, so that no member tries to reconnect to it. A live
    /// member refutes.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is this node's or unknown, or the node is stopped.
    pub fn force_leave(
        &self,
        name: &str,
        tombstone: impl Into<Tombstone>,
    ) -> Result<(), CommandError<ForceLeaveError>> {
        let tombstone = tombstone.into();
        self.command(|engine, now, out| engine.node.force_leave(now, name, tombstone, out))
    }
}

/// Capture.
impl<N: Net> Serf<N> {
    /// Begins to record the node's inputs, as [`Options::capture`](crate::Options::capture) does from the start. A capture
    /// that runs ends first. The files are written by a thread of their own, and their errors are counted
    /// ([`Stats::file_errors`]).
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started, or the node is stopped.
    pub fn start_capture(&self, capture: Capture) -> Result<(), CommandError<io::Error>> {
        let shared = self.shared();
        let mut engine = shared.lock();
        if engine.running.is_none() {
            return Err(CommandError::Stopped);
        }
        shared.start_capture(&mut engine, capture, Trigger::SwitchedOn).map_err(CommandError::Refused)
    }

    /// Ends the capture. What was recorded is written in the background. Returns whether one was running.
    pub fn stop_capture(&self) -> bool {
        self.shared().lock().stop_capture()
    }

    /// Returns the settings of the capture, if one is running.
    pub fn capture(&self) -> Option<Capture> {
        self.shared().lock().capture.as_ref().map(|recorder| recorder.settings().clone())
    }
}

impl<N: Net> Serf<N> {
    /// Syncs the snapshot, so that the next start knows about the leave.
    async fn sync_snapshot(&self) -> Result<(), NotWritten> {
        match &self.shared().files.snapshot {
            Some(snapshot) => snapshot.sync().await,
            None => Ok(()),
        }
    }

    pub(crate) fn of(shared: Arc<Shared<N>>) -> Self {
        Self(Arc::new(Owner { shared }))
    }

    /// Returns the link for handlers that answer queries.
    pub(crate) fn responder(&self) -> Responder {
        // A strong handle would keep the node running while its handlers run.
        let weak = self.downgrade();
        let respond = move |to, payload: &[u8]| weak.upgrade().ok_or(CommandError::Stopped)?.respond(to, payload);
        Responder::new(respond, Arc::clone(&self.shared().counters.handler_panics))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<N>> {
        &self.0.shared
    }

    pub(crate) fn command<E>(
        &self,
        command: impl FnOnce(&mut Engine<N>, Instant, &mut Outbox) -> Result<(), E>,
    ) -> Result<(), CommandError<E>> {
        self.shared().call(command).ok_or(CommandError::Stopped)?.map_err(CommandError::Refused)
    }
}

impl<N: Net> WeakSerf<N> {
    /// Returns a strong handle, if the node still has one.
    pub fn upgrade(&self) -> Option<Serf<N>> {
        self.0.upgrade().map(Serf)
    }
}

impl<N: Net> Clone for Serf<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N: Net> Clone for WeakSerf<N> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<N: Net> fmt::Debug for Serf<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serf").field("local", &self.local()).finish_non_exhaustive()
    }
}

impl<N: Net> fmt::Debug for WeakSerf<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSerf").finish_non_exhaustive()
    }
}
