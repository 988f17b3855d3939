//! The node under its lock: state shared by its tasks and handles, calls into the node, and routing of its outputs.

mod stream;

use core::convert::Infallible;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use serf_proto::limits::{STREAM_MESSAGE_BYTES_MAX, STREAMS_INBOUND_MAX};
use serf_proto::{
    Event, Instant, JoinId, JoinOutcome, KeyReport, LeaveReport, Node, Outbox, Output, QueryId, SocketFailure,
    StreamId, Tap, canonical,
};
use tracing::Span;

pub(crate) use self::stream::Origin;
use self::stream::StreamHandle;
use crate::address::for_socket;
use crate::call_buffers::{CallBuffers, with_call_buffers};
use crate::capture::{Capture, Recorder, Trigger};
use crate::dials::Dials;
use crate::end::{End, panic_message};
use crate::error::system_words;
use crate::events::Subscribers;
use crate::files::Files;
use crate::lock;
use crate::net::{Net, Udp};
use crate::retry::Retries;
use crate::send_queue::SendQueue;
use crate::signal::Signal;
use crate::socket::is_dual;
use crate::span;
use crate::unwind::catch_unwind;

/// State that the tasks of a node share with its handles.
pub(crate) struct Shared<N: Net> {
    pub(crate) net: N,
    pub(crate) bound: SocketAddr,
    /// How long a closed stream may take to flush its last bytes.
    pub(crate) linger: Duration,
    pub(crate) subscriber_events_max: usize,
    pub(crate) send_queue: SendQueue,
    pub(crate) counters: Counters,
    pub(crate) files: Files,
    pub(crate) retries: Retries,
    /// Whether the application has a policy.
    pub(crate) has_policy: bool,
    pub(crate) engine: Mutex<Engine<N>>,
    /// Raised when the node needs a wake-up earlier than the one that the timer loop sleeps for.
    pub(crate) earlier: Signal,
    /// Closed when all tasks have ended.
    pub(crate) gone: Receiver<Infallible>,
}

/// Counters of the driver, which the node does not have.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) socket_errors: AtomicU64,
    pub(crate) streams_refused: AtomicU64,
    /// Failed writes of all captures. Shared with their workers, which hold no reference to the node.
    pub(crate) capture_errors: Arc<AtomicU64>,
    /// Shared with the handler tasks, which hold no reference to the node.
    pub(crate) handler_panics: Arc<AtomicU64>,
    /// Whether the host has lost the advertised address.
    pub(crate) address_missing: AtomicBool,
}

/// State behind the lock. The lock is never held across an await, nor while a datagram is sent.
pub(crate) struct Engine<N: Net> {
    pub(crate) node: Node,
    /// `None` after the node has stopped.
    pub(crate) running: Option<Running<N>>,
    pub(crate) subscribers: Subscribers,
    /// Callers that wait for the end of a join.
    pub(crate) joins: BTreeMap<JoinId, Joining>,
    /// Connect results of the streams that joins wait for.
    pub(crate) dials: Dials,
    /// Callers that wait for the end of a key operation.
    pub(crate) keys: BTreeMap<QueryId, Sender<KeyReport>>,
    /// The spans of running queries, if a subscriber wants them.
    pub(crate) spans: BTreeMap<QueryId, Span>,
    pub(crate) leave: Leave,
    /// The reason for which the node ends or has ended, unless it was a command.
    pub(crate) end: Option<End>,
    /// Time of the timer loop's next wake-up.
    pub(crate) wake_at: Instant,
    /// The recorder of a running capture.
    pub(crate) capture: Option<Arc<Recorder>>,
}

/// The parts of a running node. Dropping it ends all tasks and closes all sockets.
pub(crate) struct Running<N: Net> {
    pub(crate) udp: Arc<N::Udp>,
    pub(crate) loops: Vec<N::Task>,
    streams: BTreeMap<StreamId, StreamHandle<N>>,
    /// Number of streams that peers opened.
    inbound: usize,
    /// Bytes of replies on those streams, counted until the streams are closed.
    answers_bytes: usize,
    /// Every task holds a clone: when all clones are dropped, the sockets are closed too.
    pub(crate) alive: Sender<Infallible>,
}

/// A caller that waits for the end of a join.
pub(crate) struct Joining {
    pub(crate) done: Sender<JoinOutcome>,
    pub(crate) span: Span,
    /// The addresses that it contacts. Empty for a rejoin, which takes those of the snapshot.
    pub(crate) addrs: BTreeSet<SocketAddr>,
}

/// The result of our leave, and the callers that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    pub(crate) waiting: Vec<Sender<LeaveReport>>,
    pub(crate) report: Option<LeaveReport>,
}

impl<N: Net> Shared<N> {
    /// Locks the node for reading.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine<N>> {
        lock(&self.engine)
    }

    /// Stops a node whose state may be inconsistent after a panic.
    fn check(&self) {
        if self.engine.is_poisoned() {
            self.fail("call", "while the node was locked".to_owned());
        }
    }

    /// Calls the node and executes its outputs. Returns `None` if the node has stopped.
    pub(crate) fn call<R>(
        self: &Arc<Self>,
        input: impl FnOnce(&mut Engine<N>, Instant, &mut Outbox) -> R,
    ) -> Option<R> {
        self.check();
        with_call_buffers(|buffers| {
            let mut engine = self.lock();
            let result = self.run(&mut engine, buffers, input)?;
            let wake_at = engine.node.poll_timeout().unwrap_or(Instant::MAX);
            let is_earlier = wake_at < engine.wake_at;
            if is_earlier {
                engine.wake_at = wake_at;
            }
            self.send_datagrams(engine, buffers);
            if is_earlier {
                self.earlier.raise();
            }
            Some(result)
        })
    }

    /// Fires the due timers and returns the time of the next wake-up; `None` if the node has stopped.
    pub(crate) fn tick(self: &Arc<Self>) -> Option<Instant> {
        self.check();
        with_call_buffers(|buffers| {
            let mut engine = self.lock();
            self.run(&mut engine, buffers, |engine, now, out| engine.node.handle_timeout(now, out))?;
            let wake_at = engine.node.poll_timeout().unwrap_or(Instant::MAX);
            engine.wake_at = wake_at;
            self.send_datagrams(engine, buffers);
            Some(wake_at)
        })
    }

    fn run<R>(
        self: &Arc<Self>,
        engine: &mut Engine<N>,
        buffers: &mut CallBuffers,
        input: impl FnOnce(&mut Engine<N>, Instant, &mut Outbox) -> R,
    ) -> Option<R> {
        engine.running.as_ref()?;
        // Read under the lock, so that the node's time never goes back.
        let now = self.net.now();
        if let Some(capture) = engine.capture.as_ref().filter(|capture| capture.wants_file()) {
            capture.begin_file(&engine.node, now, self.net.wall_clock());
        }
        let result = input(engine, now, &mut buffers.out);
        engine.route(self, buffers);
        Some(result)
    }

    /// Unlocks the node, then sends the datagrams of the call.
    fn send_datagrams(self: &Arc<Self>, engine: MutexGuard<'_, Engine<N>>, buffers: &mut CallBuffers) {
        if buffers.datagrams.is_empty() {
            return;
        }
        let udp = engine.running.as_ref().map(|running| Arc::clone(&running.udp));
        drop(engine);
        for (to, datagram) in buffers.datagrams.drain(..) {
            if let Some(udp) = &udp {
                self.send_now_or_later(udp, to, &datagram);
            }
        }
    }

    fn send_now_or_later(&self, udp: &N::Udp, to: SocketAddr, datagram: &Bytes) {
        let to = for_socket(to, is_dual(self.bound));
        if self.send_queue.is_waiting() {
            return self.send_queue.push(to, datagram);
        }
        match udp.try_send(datagram, to) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.send_queue.push(to, datagram),
            Err(error) => self.note_error(SocketFailure::Send(canonical(to)), &error),
        }
    }

    /// Counts an operation that the operating system refused. The node decides whether to log it, because every packet
    /// may fail.
    pub(crate) fn note_error(&self, what: SocketFailure, error: &io::Error) {
        self.counters.socket_errors.fetch_add(1, Ordering::Relaxed);
        self.lock().node.socket_failed(self.net.now(), what, &system_words(error));
    }

    /// Starts a capture, after the one that runs.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started; a capture that runs then goes on.
    pub(crate) fn start_capture(&self, engine: &mut Engine<N>, capture: Capture, trigger: Trigger) -> io::Result<()> {
        let errors = Arc::clone(&self.counters.capture_errors);
        let recorder = Recorder::start(capture, &self.net.disk(), self.has_policy, trigger, errors)?;
        engine.stop_capture();
        recorder.begin_file(&engine.node, self.net.now(), self.net.wall_clock());
        engine.node.set_tap(Some(Arc::clone(&recorder) as Arc<dyn Tap>));
        engine.capture = Some(recorder);
        Ok(())
    }

    /// Removes a stream whose task has ended.
    pub(crate) fn stream_over(&self, id: StreamId) {
        let over = self.lock().running.as_mut().and_then(|running| running.close(id));
        drop(over);
    }

    pub(crate) fn accept(self: &Arc<Self>, stream: N::Stream, from: SocketAddr) {
        self.call(|engine, now, out| {
            let Some(running) = &mut engine.running else { return };
            let cut = running.make_room();
            self.counters.streams_refused.fetch_add(u64::from(cut), Ordering::Relaxed);
            let from = canonical(from);
            let id = engine.node.accept(now, from, out);
            running.open(self, id, Origin::Accepted(stream, from), None);
        });
    }

    /// Stops the node: ends all tasks, closes the sockets and fails the waiting calls.
    pub(crate) fn stop(&self) {
        let mut engine = self.lock();
        let running = engine.running.take();
        let waiting = (
            core::mem::take(&mut engine.joins),
            core::mem::take(&mut engine.keys),
            core::mem::take(&mut engine.leave.waiting),
        );
        for span in core::mem::take(&mut engine.spans).values() {
            span::abandoned(span);
        }
        engine.subscribers.close();
        if let Some(capture) = &engine.capture {
            capture.close();
        }
        drop(engine);
        self.files.close();
        drop((running, waiting));
    }

    /// Runs a task that the node depends on: if it ends while the node runs, the node ends.
    pub(crate) async fn supervise(self: Arc<Self>, task: &'static str, work: impl Future<Output = ()>) {
        match catch_unwind(work).await {
            Ok(()) => {}
            Err(panic) => self.fail(task, panic_message(&*panic)),
        }
    }

    /// Stops the node after a panic.
    pub(crate) fn fail(&self, task: &'static str, message: String) {
        let mut engine = self.lock();
        if engine.running.is_none() {
            return;
        }
        tracing::error!(task, message, "a panic stopped the node");
        engine.end = Some(End::Panicked { task, message });
        drop(engine);
        self.stop();
    }
}

impl<N: Net> Running<N> {
    pub(crate) const fn new(udp: Arc<N::Udp>, alive: Sender<Infallible>) -> Self {
        Self { udp, loops: Vec::new(), streams: BTreeMap::new(), inbound: 0, answers_bytes: 0, alive }
    }

    /// Makes room for one more inbound stream; returns whether another one was cut off. `proto` drops a stream once it
    /// has replied, but here the stream counts until the reply is read, so that peers that do not read cannot
    /// accumulate streams. At the limit the stream that was answered first is cut off; if none was answered, the node
    /// decides.
    pub(crate) fn make_room(&mut self) -> bool {
        self.inbound >= STREAMS_INBOUND_MAX && self.cut_off_oldest()
    }

    /// Accounts bytes written to a stream; returns how many streams were cut off, so that unread replies do not fill
    /// the memory.
    pub(crate) fn write(&mut self, stream: StreamId, bytes: Bytes) -> u64 {
        let Some(handle) = self.streams.get_mut(&stream) else { return 0 };
        if handle.is_inbound() {
            self.answers_bytes += bytes.len();
        }
        handle.write(bytes);
        let mut cut = 0;
        while self.answers_bytes > ANSWERS_BYTES_MAX && self.cut_off_oldest() {
            cut += 1;
        }
        cut
    }

    fn cut_off_oldest(&mut self) -> bool {
        let is_answered = |handle: &StreamHandle<N>| handle.is_inbound() && handle.written_bytes() > 0;
        let oldest = self.streams.iter().find(|(_, handle)| is_answered(handle)).map(|(id, _)| *id);
        oldest.and_then(|oldest| self.close(oldest)).is_some()
    }

    /// Spawns the task of a stream.
    pub(crate) fn open(&mut self, shared: &Arc<Shared<N>>, stream: StreamId, origin: Origin<N>, join: Option<&Span>) {
        self.inbound += usize::from(origin.is_inbound());
        let span = span::exchange(origin.peer(), origin.is_inbound(), join);
        self.streams.insert(stream, StreamHandle::spawn(shared, stream, origin, self.alive.clone(), span));
    }

    /// Removes a stream whose task has ended.
    pub(crate) fn close(&mut self, stream: StreamId) -> Option<StreamHandle<N>> {
        let handle = self.streams.remove(&stream)?;
        if handle.is_inbound() {
            self.inbound -= 1;
            self.answers_bytes -= handle.written_bytes();
        }
        Some(handle)
    }
}

impl<N: Net> Engine<N> {
    pub(crate) fn new(node: Node, running: Running<N>) -> Self {
        Self {
            node,
            running: Some(running),
            subscribers: Subscribers::default(),
            joins: BTreeMap::new(),
            dials: Dials::default(),
            keys: BTreeMap::new(),
            spans: BTreeMap::new(),
            leave: Leave::default(),
            end: None,
            wake_at: Instant::MAX,
            capture: None,
        }
    }

    /// Ends the capture, if one runs. What is recorded is still written.
    pub(crate) fn stop_capture(&mut self) -> bool {
        self.node.set_tap(None);
        let running = self.capture.take();
        if let Some(recorder) = &running {
            recorder.close();
        }
        running.is_some()
    }

    /// Executes all outputs of the node in order. Datagrams are collected, to be sent without the lock.
    pub(crate) fn route(&mut self, shared: &Arc<Shared<N>>, buffers: &mut CallBuffers) {
        while let Some(output) = buffers.out.pop() {
            match output {
                Output::Datagram { to, bytes } => buffers.datagrams.push((to, bytes)),
                Output::Event(event) => {
                    if let Some(behind) = self.dispatch_event(event) {
                        self.node.hold_answers(shared.net.now(), behind, true, &mut buffers.out);
                    }
                }
                Output::Connect { stream, to } => {
                    if let Some(running) = &mut self.running {
                        // A rejoin has no addresses: it takes the streams that belong to no other join.
                        let joins = || self.joins.values();
                        let named = joins().find(|join| join.addrs.contains(&to));
                        let join = named.or_else(|| joins().find(|join| join.addrs.is_empty()));
                        running.open(shared, stream, Origin::Dial(to), join.map(|join| &join.span));
                    }
                }
                Output::Write { stream, bytes } => {
                    let cut = self.running.as_mut().map_or(0, |running| running.write(stream, bytes));
                    shared.counters.streams_refused.fetch_add(cut, Ordering::Relaxed);
                }
                Output::Close { stream } => {
                    if let Some(handle) = self.handle(stream) {
                        handle.close();
                    }
                }
                Output::Persist(record) => {
                    if let Some(snapshot) = &shared.files.snapshot {
                        snapshot.append(&record);
                    }
                }
                Output::Keyring { change, keys } => {
                    let taken = shared.files.keyring.as_ref().map_or(Ok(()), |file| file.write_later(change, keys));
                    if let Err(why) = taken {
                        self.node.keyring_written(shared.net.now(), change, Err(&why), &mut buffers.out);
                    }
                }
                other => debug_assert!(false, "unhandled output: {other:?}"),
            }
        }
    }

    /// Keeps the span of a query until its end.
    pub(crate) fn trace(&mut self, id: QueryId, span: Span) {
        if !span.is_disabled() {
            self.spans.insert(id, span);
        }
    }

    fn handle(&self, stream: StreamId) -> Option<&StreamHandle<N>> {
        self.running.as_ref()?.streams.get(&stream)
    }

    /// Passes an event on. Returns a query whose reader is behind from now on, if any.
    fn dispatch_event(&mut self, event: Event) -> Option<QueryId> {
        let behind = self.subscribers.publish(&event);
        match event {
            // The caller may have stopped waiting.
            Event::Joined(report) => {
                if let Some(waiting) = self.joins.remove(&report.id) {
                    _ = waiting.done.try_send(report);
                }
            }
            Event::QueryEnded(report) => {
                if let Some(span) = self.spans.remove(&report.id) {
                    span::query_ended(&span, &report);
                }
            }
            Event::Keys(report) => {
                if let Some(span) = self.spans.remove(&report.id) {
                    span::keys_ended(&span, &report);
                }
                if let Some(waiting) = self.keys.remove(&report.id) {
                    _ = waiting.try_send(report);
                }
            }
            Event::LeftCluster(report) => {
                self.leave.report = Some(report);
                self.end.get_or_insert(End::Left(report));
                for waiting in self.leave.waiting.drain(..) {
                    _ = waiting.try_send(report);
                }
            }
            _ => {}
        }
        behind
    }
}

/// Total bytes of unread replies on inbound streams. Ours: three of the largest messages. Above it the streams that
/// have waited longest are cut off.
const ANSWERS_BYTES_MAX: usize = 3 * STREAM_MESSAGE_BYTES_MAX;
