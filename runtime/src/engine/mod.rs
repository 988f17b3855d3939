//! The node under its lock: what its tasks and handles share, how it is called, and where its outputs go.

mod stream;

use core::convert::Infallible;
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures_lite::FutureExt;
use serf_proto::limits::{STREAM_MESSAGE_BYTES_MAX, STREAMS_INBOUND_MAX};
use serf_proto::{
    Event, Instant, JoinId, JoinOutcome, KeyReport, LeaveReport, Node, Outbox, Output, QueryId, SocketFailure,
    StreamId, canonical,
};

pub(crate) use self::stream::Origin;
use self::stream::StreamHandle;
use crate::address::for_socket;
use crate::call_buffers::{CallBuffers, with_call_buffers};
use crate::dials::Dials;
use crate::end::{End, said};
use crate::error::system_words;
use crate::events::Subscribers;
use crate::files::Files;
use crate::lock;
use crate::net::{Net, Udp};
use crate::send_queue::SendQueue;
use crate::signal::Signal;
use crate::socket::is_dual;

/// What the tasks of a node share with its handles.
pub(crate) struct Shared<N: Net> {
    pub(crate) net: N,
    pub(crate) bound: SocketAddr,
    /// How long the last bytes of a stream may take after it was closed.
    pub(crate) linger: Duration,
    pub(crate) subscriber_events_max: usize,
    pub(crate) send_queue: SendQueue,
    pub(crate) counters: Counters,
    pub(crate) files: Files,
    pub(crate) engine: Mutex<Engine<N>>,
    /// Raised when the node wants to be woken earlier than the timekeeper sleeps.
    pub(crate) earlier: Signal,
    /// Closed when all tasks are gone.
    pub(crate) gone: Receiver<Infallible>,
}

/// What only the driver knows.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) socket_errors: AtomicU64,
    pub(crate) streams_refused: AtomicU64,
    /// Shared with what runs handlers, which does not hold the node.
    pub(crate) handler_panics: Arc<AtomicU64>,
    /// Whether the host has lost the address that we announce.
    pub(crate) address_missing: AtomicBool,
}

/// Everything behind the lock. The lock is never held across an await, nor while a packet is sent.
pub(crate) struct Engine<N: Net> {
    pub(crate) node: Node,
    /// None once the node has stopped.
    pub(crate) running: Option<Running<N>>,
    pub(crate) subscribers: Subscribers,
    /// Who waits for the end of a join.
    pub(crate) joins: BTreeMap<JoinId, Sender<JoinOutcome>>,
    /// How the streams were opened that joins wait for.
    pub(crate) dials: Dials,
    /// Who waits for the end of an operation on keys.
    pub(crate) keys: BTreeMap<QueryId, Sender<KeyReport>>,
    pub(crate) leave: Leave,
    /// Why the node ends or has ended, if not by a command.
    pub(crate) end: Option<End>,
    /// When the timekeeper will wake.
    pub(crate) wake_at: Instant,
}

/// What there is while the node runs. Dropping it ends all tasks and closes all sockets.
pub(crate) struct Running<N: Net> {
    pub(crate) udp: Arc<N::Udp>,
    pub(crate) loops: Vec<N::Task>,
    streams: BTreeMap<StreamId, StreamHandle<N>>,
    /// How many of the streams peers have opened.
    inbound: usize,
    /// The bytes of the answers on those streams, until the streams are closed.
    answers_bytes: usize,
    /// Every task holds a clone: when all are gone, so are the sockets.
    pub(crate) alive: Sender<Infallible>,
}

/// Who waits for our leave, and how it went.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    pub(crate) waiting: Vec<Sender<LeaveReport>>,
    pub(crate) report: Option<LeaveReport>,
}

impl<N: Net> Shared<N> {
    /// Locks the node to look at it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine<N>> {
        lock(&self.engine)
    }

    /// Stops a node that a panic has left inconsistent.
    fn check(&self) {
        if self.engine.is_poisoned() {
            self.fail("call", "while the node was locked".to_owned());
        }
    }

    /// Calls the node and does what it wants done. None when it has stopped.
    pub(crate) fn call<R>(
        self: &Arc<Self>,
        input: impl FnOnce(&mut Engine<N>, Instant, &mut Outbox) -> R,
    ) -> Option<R> {
        self.check();
        with_call_buffers(|buffers| {
            let mut engine = self.lock();
            let result = self.give(&mut engine, buffers, input)?;
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

    /// Does what is due, and says until when the timekeeper may sleep. None when the node has stopped.
    pub(crate) fn tick(self: &Arc<Self>) -> Option<Instant> {
        self.check();
        with_call_buffers(|buffers| {
            let mut engine = self.lock();
            self.give(&mut engine, buffers, |engine, now, out| engine.node.handle_timeout(now, out))?;
            let wake_at = engine.node.poll_timeout().unwrap_or(Instant::MAX);
            engine.wake_at = wake_at;
            self.send_datagrams(engine, buffers);
            Some(wake_at)
        })
    }

    fn give<R>(
        self: &Arc<Self>,
        engine: &mut Engine<N>,
        buffers: &mut CallBuffers,
        input: impl FnOnce(&mut Engine<N>, Instant, &mut Outbox) -> R,
    ) -> Option<R> {
        engine.running.as_ref()?;
        // Under the lock, so that the node's time never goes back.
        let now = self.net.now();
        let result = input(engine, now, &mut buffers.out);
        engine.route(self, buffers);
        Some(result)
    }

    /// Unlocks the node, and sends what it laid aside.
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

    /// Counts what the system refused. The node decides whether to log it: every packet may fail.
    pub(crate) fn note_error(&self, what: SocketFailure, error: &io::Error) {
        self.counters.socket_errors.fetch_add(1, Ordering::Relaxed);
        self.lock().node.socket_failed(self.net.now(), what, &system_words(error));
    }

    /// A stream's task is at its end.
    pub(crate) fn stream_over(&self, id: StreamId) {
        let over = self.lock().running.as_mut().and_then(|running| running.close(id));
        drop(over);
    }

    pub(crate) fn accept(self: &Arc<Self>, stream: N::Stream, from: SocketAddr) {
        self.call(|engine, now, out| {
            let Some(running) = &mut engine.running else { return };
            let cut = running.make_room();
            self.counters.streams_refused.fetch_add(u64::from(cut), Ordering::Relaxed);
            let id = engine.node.accept(now, canonical(from), out);
            running.open(self, id, Origin::Accepted(stream));
        });
    }

    /// Ends everything: tasks, sockets, and calls that wait.
    pub(crate) fn stop(&self) {
        let mut engine = self.lock();
        let running = engine.running.take();
        let waiting = (
            core::mem::take(&mut engine.joins),
            core::mem::take(&mut engine.keys),
            core::mem::take(&mut engine.leave.waiting),
        );
        engine.subscribers.close();
        drop(engine);
        self.files.close();
        drop((running, waiting));
    }

    /// Runs a task without which the node is not whole: when it ends while the node runs, the node ends.
    pub(crate) async fn supervise(self: Arc<Self>, task: &'static str, work: impl Future<Output = ()>) {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(()) => {}
            Err(panic) => self.fail(task, said(&*panic)),
        }
    }

    /// Stops the node, for it is broken.
    pub(crate) fn fail(&self, task: &'static str, message: String) {
        let mut engine = self.lock();
        if engine.running.is_none() {
            return;
        }
        tracing::error!(task, message, "the node is stopped: a panic has left it broken");
        engine.end = Some(End::Panicked { task, message });
        drop(engine);
        self.stop();
    }
}

impl<N: Net> Running<N> {
    pub(crate) const fn new(udp: Arc<N::Udp>, alive: Sender<Infallible>) -> Self {
        Self { udp, loops: Vec::new(), streams: BTreeMap::new(), inbound: 0, answers_bytes: 0, alive }
    }

    /// Makes room for one more stream of a peer; says whether one was cut off for it. `proto` forgets a stream when it has
    /// answered; here it counts until the answer is read, so that peers which do not read cannot make it many. Of too many the one
    /// goes that has been answered for the longest; while none has, the node decides.
    pub(crate) fn make_room(&mut self) -> bool {
        self.inbound >= STREAMS_INBOUND_MAX && self.cut_off_oldest()
    }

    /// Notes what is written to a stream; says how many were cut off, so that unread answers do not fill the memory.
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

    /// Gives a stream a task of its own.
    pub(crate) fn open(&mut self, shared: &Arc<Shared<N>>, stream: StreamId, origin: Origin<N>) {
        self.inbound += usize::from(origin.is_inbound());
        self.streams.insert(stream, StreamHandle::spawn(shared, stream, origin, self.alive.clone()));
    }

    /// Forgets a stream whose task is at its end.
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
            leave: Leave::default(),
            end: None,
            wake_at: Instant::MAX,
        }
    }

    /// Does everything that the node wants done, in order; datagrams are laid aside, to be sent without the lock.
    pub(crate) fn route(&mut self, shared: &Arc<Shared<N>>, buffers: &mut CallBuffers) {
        while let Some(output) = buffers.out.pop() {
            match output {
                Output::Datagram { to, bytes } => buffers.datagrams.push((to, bytes)),
                Output::Event(event) => self.tell(event),
                Output::Connect { stream, to } => {
                    if let Some(running) = &mut self.running {
                        running.open(shared, stream, Origin::Dial(to));
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

    fn handle(&self, stream: StreamId) -> Option<&StreamHandle<N>> {
        self.running.as_ref()?.streams.get(&stream)
    }

    fn tell(&mut self, event: Event) {
        self.subscribers.publish(&event);
        match event {
            // The caller may have stopped waiting.
            Event::Joined(report) => {
                if let Some(waiting) = self.joins.remove(&report.id) {
                    _ = waiting.try_send(report);
                }
            }
            Event::Keys(report) => {
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
    }
}

/// What the answers on the streams of peers may have together, in bytes, until they are read. Ours: three of the longest. Beyond, the
/// streams are cut off that have waited for the longest.
const ANSWERS_BYTES_MAX: usize = 3 * STREAM_MESSAGE_BYTES_MAX;
