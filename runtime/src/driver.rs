//! Starts a node and runs its loops: receive, send, timers, accept.

use core::convert::Infallible;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex};

use async_channel::Sender;
use futures_lite::future::{or, yield_now};
use serf_proto::{Instant, KeyringChange, Node, Outbox, SocketFailure, canonical};

use crate::address::Advertised;
use crate::address_watch::watch_address;
use crate::call_buffers::{with_buffer, with_call_buffers};
use crate::capture::{Capture, Trigger};
use crate::engine::{Counters, Engine, Running, Shared};
use crate::events::{Events, replied_to};
use crate::files::Files;
use crate::net::{Bound, Listener, Net, Udp};
use crate::retry::Retries;
use crate::send_queue::SendQueue;
use crate::signal::Signal;

/// The parts that a node is started from.
pub(crate) struct Setup<N: Net> {
    pub(crate) net: N,
    pub(crate) bound: Bound<N>,
    pub(crate) advertised: Advertised,
    /// How long a closed stream may take to flush its last bytes.
    pub(crate) linger: Duration,
    pub(crate) subscriber_events_max: usize,
    pub(crate) files: Files,
    pub(crate) retries: Retries,
    pub(crate) capture: Option<Capture>,
    pub(crate) has_policy: bool,
}

/// Starts the loops of a new node after its first outputs. Returns two subscriptions from the first event on: one for
/// the caller, one for the handlers.
pub(crate) fn start<N: Net>(
    setup: Setup<N>,
    new_node: impl FnOnce(Instant, &mut Outbox) -> Node,
) -> (Arc<Shared<N>>, [Events; 2]) {
    let Setup { net, bound, advertised, linger, subscriber_events_max, files, retries, capture, has_policy } = setup;
    let Bound { udp, listener, addr } = bound;
    let (alive, gone) = async_channel::bounded(1);
    let udp = Arc::new(udp);
    with_call_buffers(|buffers| {
        let node = new_node(net.now(), &mut buffers.out);
        let engine = Engine::new(node, Running::new(Arc::clone(&udp), alive.clone()));
        let shared = Arc::new(Shared {
            net,
            bound: addr,
            linger,
            subscriber_events_max,
            send_queue: SendQueue::default(),
            counters: Counters::default(),
            files,
            retries,
            has_policy,
            engine: Mutex::new(engine),
            earlier: Signal::default(),
            gone,
        });
        let mut engine = shared.lock();
        let events =
            [(); 2].map(|()| engine.subscribers.subscribe(subscriber_events_max, |event| replied_to(event).is_none()));
        engine.route(&shared, buffers);
        buffers.datagrams.clear();
        if let Some(capture) = capture
            && let Err(error) = shared.start_capture(&mut engine, capture, Trigger::Start)
        {
            tracing::error!(%error, "cannot start a thread: nothing is captured");
        }
        let loops = spawn_loops(&shared, udp, listener, advertised, &alive);
        if let Some(running) = &mut engine.running {
            running.loops = loops;
        }
        if let Some(keyring) = &shared.files.keyring
            && let Err(error) = keyring.start(report_written(&shared))
        {
            tracing::error!(%error, "cannot start a thread: the keyring will not be written");
        }
        drop(engine);
        (shared, events)
    })
}

fn spawn_loops<N: Net>(
    shared: &Arc<Shared<N>>,
    udp: Arc<N::Udp>,
    listener: N::Listener,
    advertised: Advertised,
    alive: &Sender<Infallible>,
) -> Vec<N::Task> {
    let spawn = |name, task| {
        let (alive, this) = (alive.clone(), Arc::clone(shared));
        shared.net.spawn(async move {
            let _alive = alive;
            this.supervise(name, task).await;
        })
    };
    let this = || Arc::clone(shared);
    let mut loops = vec![
        spawn("receive", Box::pin(receive(this(), Arc::clone(&udp))) as Task),
        spawn("send", Box::pin(send(this(), udp))),
        spawn("time", Box::pin(keep_time(this()))),
        spawn("accept", Box::pin(accept(this(), listener))),
    ];
    if let Some(chosen) = advertised.chosen {
        loops.push(spawn("address", Box::pin(watch_address(this(), advertised.addr.ip(), chosen))));
    }
    loops
}

/// Reports to the node that a keyring change was written. Holds no strong reference, so it does not keep the node
/// running.
fn report_written<N: Net>(
    shared: &Arc<Shared<N>>,
) -> impl Fn(KeyringChange, Result<(), &str>) + Send + 'static + use<N> {
    let shared = Arc::downgrade(shared);
    move |change, result| {
        if let Some(shared) = shared.upgrade() {
            shared.call(|engine, now, out| engine.node.keyring_written(now, change, result, out));
        }
    }
}

type Task = core::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn receive<N: Net>(shared: Arc<Shared<N>>, udp: Arc<N::Udp>) {
    loop {
        let taken = match udp.readable().await {
            Ok(()) => take_datagrams(&shared, &udp),
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

/// Receives datagrams until the socket is empty. Returns false at the limit per turn, so that other tasks run.
fn take_datagrams<N: Net>(shared: &Arc<Shared<N>>, udp: &N::Udp) -> io::Result<bool> {
    with_buffer(|buffer| {
        for _ in 0..DATAGRAMS_PER_TURN {
            let (len, from) = match udp.try_recv(buffer) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let datagram = &buffer[..len];
            shared.call(|engine, now, out| engine.node.handle_datagram(now, canonical(from), datagram, out));
        }
        Ok(false)
    })
}

/// Sends the queued datagrams that the socket had no room for. Sleeps while the queue is empty.
async fn send<N: Net>(shared: Arc<Shared<N>>, udp: Arc<N::Udp>) {
    loop {
        shared.send_queue.ready.wait().await;
        while let Some((to, datagram)) = shared.send_queue.oldest() {
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
            shared.send_queue.forget_oldest();
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
                // Lets the tasks of earlier streams read first, so that their peers are not taken for silent.
                yield_now().await;
            }
            Err(error) => {
                // Most likely too many open files: an immediate retry would spin.
                shared.note_error(SocketFailure::Accept, &error);
                shared.net.sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

/// Datagrams per turn of the receive loop before it yields to other tasks.
const DATAGRAMS_PER_TURN: usize = 64;

/// Back-off of a loop after a socket error: the same error is likely to repeat at once.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);
