//! The handle.

use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::{Arc, Weak};

use serf_proto::{
    Complaint, Coordinate, Event, ForceLeaveError, Instant, LeaveReport, Member, NodeState, Outbox, Peer, Question,
    SetTagsError, Tags, UserEventError, Why,
};

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
/// This is a handle: cloning it is cheap, and all clones are the same node. When the last is dropped the node stops, and the
/// others will find that it failed; [`leave`](Self::leave) first, and they know that it left. Every method may be called from
/// any thread. Those that are not `async` return at once: they never wait for the network.
pub struct Serf<N: Net>(Arc<Owner<N>>);

/// What the handles have in common.
struct Owner<N: Net> {
    shared: Arc<Shared<N>>,
}

impl<N: Net> Drop for Owner<N> {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// A handle that does not keep the node running, for a task or a handler that should end with it.
pub struct WeakSerf<N: Net>(Weak<Owner<N>>);

/// Stopping.
impl<N: Net> Serf<N> {
    /// Waits until the node has left its cluster, was shut down, by whichever handle, or has ended for a reason of its own, and says
    /// which. Services should end, or start a new node, when it returns. The handle that waits keeps the node running.
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
            // Nothing comes when the node stops before it has left.
            _ = waiting.recv().await;
        }
        // The caller of the leave gets the error of the file.
        _ = self.sync_snapshot().await;
        self.shared().lock().end.clone().unwrap_or(End::ShutDown)
    }

    /// Leaves the cluster gracefully and waits until the others were told, or it took too long to tell them, and the
    /// snapshot is on the disk. Then
    /// [`shutdown`](Self::shutdown), or drop the handle. Calling it again waits for the same leave; dropping the future does
    /// not stop it. There is no way back: to return, start a new node.
    ///
    /// # Errors
    ///
    /// When the node was shut down, before or meanwhile; or when it has left and the snapshot could not be written.
    pub async fn leave(&self) -> Result<LeaveReport, LeaveError> {
        let (done, waiting) = async_channel::bounded(1);
        let left = self.shared().call(|engine, now, out| {
            // Refused when a leave has begun before: then we wait for that one.
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

    /// Stops the node at once and waits until its sockets are closed and its files written. Without a [`leave`](Self::leave) before, the others will
    /// find that it failed. Streams of [events](Self::events) end; calls that wait fail. Does nothing when it has stopped
    /// before.
    ///
    /// # Errors
    ///
    /// When the node has stopped and its snapshot could not be written to the end. Reported once.
    pub async fn shutdown(&self) -> Result<(), NotWritten> {
        self.shared().stop();
        // Nothing is ever sent: this ends when the last task has dropped its sender.
        _ = self.shared().gone.recv().await;
        self.shared().files.ended().await
    }

    /// A handle that does not keep the node running.
    pub fn downgrade(&self) -> WeakSerf<N> {
        WeakSerf(Arc::downgrade(&self.0))
    }
}

/// Looking.
impl<N: Net> Serf<N> {
    /// Every member that we know of, ourselves included, in whatever status, as of one moment. In a fixed but unspecified
    /// order. A copy costs about ten nanoseconds a member.
    pub fn members(&self) -> Vec<Member> {
        self.shared().lock().node.members().collect()
    }

    /// Whether no other member is in the cluster, as far as we know: none is alive or about to leave. By itself the node then looks for
    /// the members that failed and for those through which it joined.
    pub fn is_alone(&self) -> bool {
        self.shared().lock().node.is_alone()
    }

    /// One member; none if nobody of that name is known.
    pub fn member(&self, name: &str) -> Option<Member> {
        self.shared().lock().node.member(name)
    }

    /// What we announce about ourselves: name, address, tags.
    pub fn local(&self) -> Arc<Peer> {
        Arc::clone(self.shared().lock().node.local())
    }

    /// The tags that we announce.
    pub fn tags(&self) -> Tags {
        Tags::decode(self.local().meta())
    }

    /// Where the node is in its life. A node that was shut down stays in the state that it was in.
    pub fn state(&self) -> NodeState {
        self.shared().lock().node.state()
    }

    /// Why a member is suspected, failed or left: who accuses it, and how we know. None when it is simply alive, unknown, or its
    /// case is long forgotten. Its moments are of [our clock](Self::now).
    pub fn why(&self, name: &str) -> Option<Why> {
        self.shared().lock().node.why(name)
    }

    /// What the log complains of and has not seen the end of: peers whose packets are refused, members that only streams reach,
    /// what the system refuses. Empty when all is well. Its moments are of [our clock](Self::now).
    pub fn complaints(&self) -> Vec<Complaint> {
        self.shared().lock().node.complaints().collect()
    }

    /// The node's clock: what the moments in events and reports are compared with.
    pub fn now(&self) -> Instant {
        self.shared().net.now()
    }

    /// Counters and gauges.
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
            usage: node.usage(),
            datagrams_lost: shared.send_queue.lost(),
            socket_errors: shared.counters.socket_errors.load(Ordering::Relaxed),
            file_errors: shared.files.errors(),
            streams_refused: shared.counters.streams_refused.load(Ordering::Relaxed),
            handler_panics: shared.counters.handler_panics.load(Ordering::Relaxed),
        }
    }

    /// Where we are in the network; none when [coordinates](serf_proto::Options::coordinates) are off.
    pub fn coordinate(&self) -> Option<Coordinate> {
        self.shared().lock().node.coordinate()
    }

    /// Where a member is, as it said when it last answered a probe of ours; none while it has not, or when coordinates are off.
    pub fn coordinate_of(&self, name: &str) -> Option<Coordinate> {
        self.shared().lock().node.coordinate_of(name)
    }

    /// How long a packet is thought to take from one member to another and back; none while we do not know where both are.
    pub fn rtt(&self, a: &str, b: &str) -> Option<Duration> {
        let engine = self.shared().lock();
        let (a, b) = (engine.node.coordinate_of(a)?, engine.node.coordinate_of(b)?);
        Some(a.distance_to(&b))
    }

    /// Where the node listens, with the port that the system chose if it was to choose.
    pub fn bound_addr(&self) -> SocketAddr {
        self.shared().bound
    }
}

/// Listening.
impl<N: Net> Serf<N> {
    /// All events from now on: members that join, leave, fail, change or are forgotten; user events; queries to us; suspicions; name
    /// conflicts. Replies to our own queries are not among them: they come on the query's own [stream](crate::QueryStream). See
    /// [`Events`] for what happens to slow listeners.
    pub fn events(&self) -> Events {
        self.events_where(|event| replied_to(event).is_none())
    }

    /// The events that `wanted` accepts, of all that there are. It is called while the node is locked: it should look at the event and no more.
    pub fn events_where(&self, wanted: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Events {
        let shared = self.shared();
        let events = shared.lock().subscribers.subscribe(shared.subscriber_events_max, wanted);
        events.with_responder(self.responder())
    }

    /// The members as they are, from which the member events that `events` gives next lead on without a gap: those that
    /// are queued are in the list and are dropped. For a subscriber that has [lagged](crate::Lagged), or that begins.
    pub fn resync(&self, events: &mut Events) -> Vec<Member> {
        let engine = self.shared().lock();
        events.inbox().forget_members();
        engine.node.members().collect()
    }

    /// Runs handlers for the events from now on, one after the other and in order, in the background, until the node stops. A
    /// handler that needs the node should hold a [`WeakSerf`]: with a [`Serf`] in its own handler it would never stop.
    pub fn handle(&self, handlers: Handlers) {
        let net = &self.shared().net;
        let events = self.events();
        net.detach(net.spawn(handlers.run(events)));
    }
}

/// Speaking.
impl<N: Net> Serf<N> {
    /// Sends a user event to every member, ourselves included. With `coalesce`, receivers may take only the newest of several
    /// events of this name. A node that leaves, or has left, still sends as long as it runs.
    ///
    /// Events that one node sends shortly after each other arrive in that order as a rule, but gossip does not promise it: packets
    /// get lost and are made up for later, and a large burst reaches members by several ways. What depends on the order should look
    /// at [`ltime`](crate::UserEvent::ltime), which grows with every event that a node has seen or sent, or put all into one event.
    /// HashiCorp's nodes send the newest first.
    ///
    /// # Errors
    ///
    /// When it is too large, or the node is stopped.
    pub fn user_event(&self, name: &str, payload: &[u8], coalesce: bool) -> Result<(), CommandError<UserEventError>> {
        self.command(|engine, now, out| engine.node.user_event(now, name, payload, coalesce, out))
    }

    /// The largest payload that a user event of this name may have, in bytes; none when not even an empty one may.
    pub fn user_event_payload_max(&self, name: &str) -> Option<usize> {
        self.shared().lock().node.user_event_payload_max(name)
    }

    /// The largest payload that this question may have, in bytes; none when not even an empty one may.
    pub fn query_payload_max(&self, question: &Question<'_>) -> Option<usize> {
        self.shared().lock().node.query_payload_max(question)
    }

    /// Replaces our tags and tells everybody.
    ///
    /// # Errors
    ///
    /// When they take more than 512 bytes, or the node has begun to leave or is stopped.
    pub fn set_tags(&self, tags: &Tags) -> Result<(), CommandError<SetTagsError>> {
        self.command(|engine, now, out| engine.node.set_tags(now, tags, out))
    }

    /// Changes some of our tags and tells everybody. `change` is called while the node is locked, so that of changes made at the same
    /// time none is lost:
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

    /// Declares that a failed member is gone for good, so that nobody tries to reach it any more. With `prune` it is also
    /// forgotten at once. A live member refutes.
    ///
    /// # Errors
    ///
    /// When the name is our own or nobody's, or the node is stopped.
    pub fn force_leave(&self, name: &str, prune: bool) -> Result<(), CommandError<ForceLeaveError>> {
        self.command(|engine, now, out| engine.node.force_leave(now, name, prune, out))
    }
}

impl<N: Net> Serf<N> {
    /// That we left is to be known to the next life.
    async fn sync_snapshot(&self) -> Result<(), NotWritten> {
        match &self.shared().files.snapshot {
            Some(snapshot) => snapshot.sync().await,
            None => Ok(()),
        }
    }

    pub(crate) fn of(shared: Arc<Shared<N>>) -> Self {
        Self(Arc::new(Owner { shared }))
    }

    /// The way of handlers to answer queries.
    pub(crate) fn responder(&self) -> Responder {
        // With a handle that counts, the node would never stop while its handlers run.
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
    /// The node, if somebody keeps it running.
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
