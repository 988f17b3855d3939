//! The loops around a node: receive, send, keep time, accept, and one per stream.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use async_channel::Receiver;
use bytes::Bytes;
use futures_lite::future::{or, yield_now};
use serf_proto::{Instant, Node, Outbox, SocketFailure};

use crate::address::{Advertised, canonical, for_socket};
use crate::desk::{Desk, with_buffer, with_desk};
use crate::engine::{Engine, Running};
use crate::error::{NotWritten, system_words};
use crate::events::Events;
use crate::keyring_file::KeyringFile;
use crate::lock;
use crate::mail::Mail;
use crate::net::{Listener, Net, Udp};
use crate::query::replied_to;
use crate::signal::Signal;
use crate::snapshot::SnapshotWriter;
use crate::socket::is_dual;
use crate::stream::Start;

/// What the tasks of a node share with its handles.
pub(crate) struct Shared<N: Net> {
    pub(crate) net: N,
    pub(crate) bound: SocketAddr,
    /// How long the last bytes of a stream may take after it was closed.
    pub(crate) linger: Duration,
    pub(crate) subscriber_events_max: usize,
    pub(crate) mail: Mail,
    pub(crate) counters: Counters,
    pub(crate) files: Files,
    engine: Mutex<Engine<N>>,
    /// Raised when the node wants to be woken earlier than the timekeeper sleeps.
    earlier: Signal,
    /// Closed when all tasks are gone.
    pub(crate) gone: Receiver<Infallible>,
}

/// What is kept on disk.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) snapshot: Option<SnapshotWriter>,
    pub(crate) keyring: Option<KeyringFile>,
}

impl Files {
    /// How often writing one of them failed.
    pub(crate) fn errors(&self) -> u64 {
        let keyring = self.keyring.as_ref().map_or(0, |file| file.errors.load(Ordering::Relaxed));
        keyring + self.snapshot.as_ref().map_or(0, SnapshotWriter::errors)
    }

    /// Nothing more will come.
    fn close(&self) {
        if let Some(snapshot) = &self.snapshot {
            snapshot.close();
        }
        if let Some(keyring) = &self.keyring {
            keyring.close();
        }
    }

    /// Waits until everything is on the disk; says whether it is.
    pub(crate) async fn ended(&self) -> Result<(), NotWritten> {
        if let Some(keyring) = &self.keyring {
            keyring.ended().await;
        }
        match &self.snapshot {
            Some(snapshot) => snapshot.ended().await,
            None => Ok(()),
        }
    }
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

impl<N: Net> Shared<N> {
    /// Starts the loops around a new node, and does what it wants done first. Gives all its events, from the very first on.
    pub(crate) fn start(
        net: N,
        bound: SocketAddr,
        sockets: (N::Udp, N::Listener),
        advertised: Advertised,
        (linger, subscriber_events_max): (Duration, usize),
        files: Files,
        new_node: impl FnOnce(Instant, &mut Outbox) -> Node,
    ) -> (Arc<Self>, Events) {
        let (alive, gone) = async_channel::bounded(1);
        let (udp, listener) = (Arc::new(sockets.0), sockets.1);
        with_desk(|desk| {
            let node = new_node(net.now(), &mut desk.out);
            let engine = Mutex::new(Engine::new(node, Running::new(Arc::clone(&udp), alive.clone())));
            let (mail, counters, earlier) = (Mail::default(), Counters::default(), Signal::default());
            let shared =
                Self { net, bound, linger, subscriber_events_max, mail, counters, files, engine, earlier, gone };
            let shared = Arc::new(shared);
            let mut engine = shared.lock();
            let events = engine.subscribers.subscribe(subscriber_events_max, |event| replied_to(event).is_none());
            engine.route(&shared, desk);
            desk.mail.clear();
            let spawn = |name, task| {
                let (alive, this) = (alive.clone(), Arc::clone(&shared));
                shared.net.spawn(async move {
                    let _alive = alive;
                    this.supervise(name, task).await;
                })
            };
            if let Some(running) = &mut engine.running {
                let this = || Arc::clone(&shared);
                running.loops = vec![
                    spawn("receive", Box::pin(receive(this(), Arc::clone(&udp))) as Task),
                    spawn("send", Box::pin(send(this(), udp))),
                    spawn("time", Box::pin(keep_time(this()))),
                    spawn("accept", Box::pin(accept(this(), listener))),
                ];
                if let Some(chosen) = advertised.chosen {
                    running.loops.push(spawn("address", Box::pin(this().watch_address(advertised.addr.ip(), chosen))));
                }
            }
            if let Some(keyring) = &shared.files.keyring
                && let Err(error) = keyring.report_to(&shared)
            {
                tracing::error!(%error, "no thread can be started: the keyring will not be written");
            }
            drop(engine);
            (shared, events)
        })
    }

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
        with_desk(|desk| {
            let mut engine = self.lock();
            let result = self.give(&mut engine, desk, input)?;
            let wake_at = engine.node.poll_timeout().unwrap_or(Instant::MAX);
            let is_earlier = wake_at < engine.wake_at;
            if is_earlier {
                engine.wake_at = wake_at;
            }
            self.send_mail(engine, desk);
            if is_earlier {
                self.earlier.raise();
            }
            Some(result)
        })
    }

    /// Does what is due, and says until when the timekeeper may sleep. None when the node has stopped.
    fn tick(self: &Arc<Self>) -> Option<Instant> {
        self.check();
        with_desk(|desk| {
            let mut engine = self.lock();
            self.give(&mut engine, desk, |engine, now, out| engine.node.handle_timeout(now, out))?;
            let wake_at = engine.node.poll_timeout().unwrap_or(Instant::MAX);
            engine.wake_at = wake_at;
            self.send_mail(engine, desk);
            Some(wake_at)
        })
    }

    fn give<R>(
        self: &Arc<Self>,
        engine: &mut Engine<N>,
        desk: &mut Desk,
        input: impl FnOnce(&mut Engine<N>, Instant, &mut Outbox) -> R,
    ) -> Option<R> {
        engine.running.as_ref()?;
        // Under the lock, so that the node's time never goes back.
        let now = self.net.now();
        let result = input(engine, now, &mut desk.out);
        engine.route(self, desk);
        Some(result)
    }

    /// Unlocks the node, and sends what it laid aside.
    fn send_mail(self: &Arc<Self>, engine: MutexGuard<'_, Engine<N>>, desk: &mut Desk) {
        if desk.mail.is_empty() {
            return;
        }
        let udp = engine.running.as_ref().map(|running| Arc::clone(&running.udp));
        drop(engine);
        for (to, datagram) in desk.mail.drain(..) {
            if let Some(udp) = &udp {
                self.send_now_or_later(udp, to, &datagram);
            }
        }
    }

    fn send_now_or_later(&self, udp: &N::Udp, to: SocketAddr, datagram: &Bytes) {
        let to = for_socket(to, is_dual(self.bound));
        if self.mail.is_waiting() {
            return self.mail.post(to, datagram);
        }
        match udp.try_send(datagram, to) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.mail.post(to, datagram),
            Err(error) => self.note_error(SocketFailure::Send(canonical(to)), &error),
        }
    }

    /// Counts what the system refused. The node decides whether to log it: every packet may fail.
    fn note_error(&self, what: SocketFailure, error: &io::Error) {
        self.counters.socket_errors.fetch_add(1, Ordering::Relaxed);
        self.lock().node.socket_failed(self.net.now(), what, &system_words(error));
    }

    /// A stream's task is at its end.
    pub(crate) fn stream_over(&self, id: serf_proto::StreamId) {
        let over = self.lock().running.as_mut().and_then(|running| running.close(id));
        drop(over);
    }

    fn accept(self: &Arc<Self>, stream: N::Stream, from: SocketAddr) {
        self.call(|engine, now, out| {
            let Some(running) = &mut engine.running else { return };
            let cut = running.make_room();
            self.counters.streams_refused.fetch_add(u64::from(cut), Ordering::Relaxed);
            let id = engine.node.accept(now, canonical(from), out);
            running.open(self, id, Start::Accepted(stream));
        });
    }

    /// Takes datagrams until there are none. False when there may be more, but it is somebody else's turn.
    fn take_datagrams(self: &Arc<Self>, udp: &N::Udp) -> io::Result<bool> {
        with_buffer(|buffer| {
            for _ in 0..DATAGRAMS_PER_TURN {
                let (len, from) = match udp.try_recv(buffer) {
                    Ok(datagram) => datagram,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                };
                let datagram = &buffer[..len];
                self.call(|engine, now, out| engine.node.handle_datagram(now, canonical(from), datagram, out));
            }
            Ok(false)
        })
    }

    /// Ends everything: tasks, sockets, whoever waits.
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
}

type Task = core::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn receive<N: Net>(shared: Arc<Shared<N>>, udp: Arc<N::Udp>) {
    loop {
        let taken = match udp.readable().await {
            Ok(()) => shared.take_datagrams(&udp),
            Err(error) => Err(error),
        };
        match taken {
            Ok(true) => {}
            Ok(false) => yield_now().await,
            Err(error) => {
                shared.note_error(SocketFailure::Receive, &error);
                shared.net.sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

/// Sends what the socket had no room for. While it has room, this loop sleeps.
async fn send<N: Net>(shared: Arc<Shared<N>>, udp: Arc<N::Udp>) {
    loop {
        shared.mail.posted.wait().await;
        while let Some((to, datagram)) = shared.mail.oldest() {
            match udp.try_send(&datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if udp.writable().await.is_err() {
                        shared.net.sleep(PAUSE_AFTER_ERROR).await;
                    }
                    continue;
                }
                Err(error) => shared.note_error(SocketFailure::Send(canonical(to)), &error),
                Ok(_) => {}
            }
            shared.mail.forget_oldest();
        }
    }
}

async fn keep_time<N: Net>(shared: Arc<Shared<N>>) {
    while let Some(wake_at) = shared.tick() {
        let wait = wake_at - shared.net.now();
        if wait.is_zero() {
            yield_now().await;
        } else {
            or(shared.net.sleep(wait), shared.earlier.wait()).await;
        }
    }
}

async fn accept<N: Net>(shared: Arc<Shared<N>>, listener: N::Listener) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                shared.accept(stream, from);
                // What the peers of the streams before have said is read before they are taken for silent.
                yield_now().await;
            }
            Err(error) => {
                // Too many open files, most likely: trying at once would only burn the processor.
                shared.note_error(SocketFailure::Accept, &error);
                shared.net.sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

/// After so many the receive loop lets others run.
const DATAGRAMS_PER_TURN: usize = 64;

/// What a socket fails with once it may fail with again.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);
