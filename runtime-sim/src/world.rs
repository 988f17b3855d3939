//! The state of a simulation: virtual time, pending inputs, hosts, sockets.

use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use bytes::Bytes;
use serf_proto::{Instant, Rng, Seed};
use serf_tokio::{Events, WeakSerf};

use crate::checks::Checks;
use crate::clock::HostClock;
use crate::digest::Digest;
use crate::disk::Files;
use crate::executor::Executor;
use crate::faults::Faults;
use crate::links::{Fate, Links};
use crate::lock;
use crate::sockets::{Conn, ListenerState, Side, UdpState};
use crate::timeline::Entry;

/// A simulation. All of its parts run on one thread.
pub(crate) struct World {
    state: Mutex<State>,
    pub(crate) executor: Executor,
    pub(crate) seed: u64,
    /// Number of futures of the test that wait for the simulation.
    pub(crate) waits: AtomicUsize,
}

/// The state behind the lock. The lock is never held while a node, a task or a waker is called.
pub(crate) struct State {
    pub(crate) now: Instant,
    queue: BinaryHeap<Reverse<Pending>>,
    pushed: u64,
    pub(crate) hosts: Vec<HostState>,
    pub(crate) links: Links,
    pub(crate) conns: BTreeMap<u64, Conn>,
    pub(crate) conns_opened: u64,
    pub(crate) trace: Digest,
    pub(crate) timeline: Vec<Entry>,
    pub(crate) faults: Faults,
    /// Orders to the driver, which owns the runtimes of the hosts.
    pub(crate) orders: Vec<Order>,
    /// Hosts whose application may have been woken.
    pub(crate) dirty: BTreeSet<usize>,
    pub(crate) wakes: Vec<Waker>,
    /// Drawn by the test and the chaos.
    pub(crate) rng: Rng,
}

/// What the driver is to do before the time goes on.
pub(crate) enum Order {
    /// Ends the processes of a host.
    Kill(usize),
    /// Starts a runtime on a host and runs the application there.
    Boot(usize, Boot),
}

/// Starts the application on the runtime of its host.
pub(crate) type Boot = Box<dyn FnOnce(&tokio::runtime::Runtime) + Send>;

/// Makes the order that starts an application, and the receiver of its start.
pub(crate) type Booter = dyn Fn() -> (Boot, tokio::sync::oneshot::Receiver<()>) + Send + Sync;

/// One virtual host.
pub(crate) struct HostState {
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    pub(crate) is_up: bool,
    /// Set while the host is stalled.
    pub(crate) paused_until: Option<Instant>,
    /// Counts the starts, so that what belongs to an earlier life has no effect.
    pub(crate) life: u64,
    pub(crate) udp: BTreeMap<u16, UdpState>,
    pub(crate) listeners: BTreeMap<u16, ListenerState>,
    pub(crate) next_port: u16,
    /// Draws the fate of what this host sends.
    pub(crate) rng: Rng,
    pub(crate) entropy: Rng,
    pub(crate) files: Arc<Files>,
    pub(crate) nodes: Vec<NodeSlot>,
    /// Starts the application, for a restart.
    pub(crate) boot: Option<Arc<Booter>>,
    /// Drops the application's handle.
    pub(crate) forget: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Inputs that wait until the host is no longer stalled.
    stalled: Vec<Payload>,
    pub(crate) clock: HostClock,
    /// When a stopped clock goes on.
    clock_stands_until: Instant,
    /// Timers that wait until the clock goes on.
    waiting: Vec<Arc<TimerState>>,
    pub(crate) checks: Checks,
}

/// A node that runs on a host.
#[derive(Clone)]
pub(crate) struct NodeSlot {
    pub(crate) weak: WeakSerf,
    /// Keeps the observer of its events.
    pub(crate) _events: Arc<Events>,
}

/// A pending input, in the order of its time and then of its creation.
struct Pending {
    at: Instant,
    n: u64,
    payload: Payload,
}

pub(crate) enum Payload {
    Timer(Option<usize>, Arc<TimerState>),
    Datagram {
        host: usize,
        to: SocketAddr,
        from: SocketAddr,
        bytes: Bytes,
    },
    /// A connection request arrives.
    Request {
        host: usize,
        conn: u64,
    },
    /// The answer to it arrives.
    Established {
        host: usize,
        conn: u64,
        is_accepted: bool,
    },
    Segment {
        host: usize,
        conn: u64,
        side: Side,
        segment: Segment,
    },
    /// A sender whose segment was lost tries again.
    Retry {
        host: usize,
        conn: u64,
        side: Side,
    },
    Resume(usize),
    /// The clock of a host goes on.
    ClockGoesOn(usize),
}

/// A part of a stream.
pub(crate) enum Segment {
    Data(Bytes),
    Fin,
    Reset,
}

/// A timer of a task.
pub(crate) struct TimerState {
    /// What the clock of its host, or the virtual time, shows when it is due.
    due: Instant,
    pub(crate) waker: Mutex<Option<Waker>>,
    pub(crate) is_due: AtomicBool,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.n).cmp(&(other.at, other.n))
    }
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let rng = Rng::stream(&Seed::from_u64(seed), STREAM_TEST);
        let state = State {
            now: Instant::ZERO,
            queue: BinaryHeap::new(),
            pushed: 0,
            hosts: Vec::new(),
            links: Links::default(),
            conns: BTreeMap::new(),
            conns_opened: 0,
            trace: Digest::default(),
            timeline: Vec::new(),
            faults,
            orders: Vec::new(),
            dirty: BTreeSet::new(),
            wakes: Vec::new(),
            rng,
        };
        Self { state: Mutex::new(state), executor: Executor::default(), seed, waits: AtomicUsize::new(0) }
    }

    /// Changes the state, then wakes what the change concerns.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        let wakes = core::mem::take(&mut state.wakes);
        drop(state);
        for waker in wakes {
            waker.wake();
        }
        result
    }

    pub(crate) fn now(&self) -> Instant {
        lock(&self.state).now
    }

    /// Adds a host that is down.
    pub(crate) fn add_host(&self, name: &str) -> usize {
        let seed = Seed::from_u64(self.seed);
        self.with(|state| {
            let index = state.hosts.len();
            let n = u64::try_from(index).unwrap_or(u64::MAX);
            let number = u16::try_from(index + 1).expect("a simulation has fewer than 65535 hosts");
            let [high, low] = number.to_be_bytes();
            state.hosts.push(HostState {
                name: name.to_owned(),
                ip: Ipv4Addr::new(10, 0, high, low).into(),
                is_up: false,
                paused_until: None,
                life: 0,
                udp: BTreeMap::new(),
                listeners: BTreeMap::new(),
                next_port: PORT_EPHEMERAL_FIRST,
                rng: Rng::stream(&seed, STREAM_NETWORK + 2 * n),
                entropy: Rng::stream(&seed, STREAM_NETWORK + 2 * n + 1),
                files: Arc::default(),
                nodes: Vec::new(),
                boot: None,
                forget: None,
                stalled: Vec::new(),
                clock: HostClock::default(),
                clock_stands_until: Instant::ZERO,
                waiting: Vec::new(),
                checks: Checks::default(),
            });
            index
        })
    }

    /// Drops everything that refers back to this simulation.
    pub(crate) fn close(&self) {
        let hosts = self.with(|state| {
            state.conns.clear();
            state.queue.clear();
            core::mem::take(&mut state.hosts)
        });
        for host in 0..hosts.len() {
            self.executor.kill(host);
        }
    }
}

impl State {
    pub(crate) fn push(&mut self, at: Instant, payload: Payload) {
        self.pushed += 1;
        self.queue.push(Reverse(Pending { at, n: self.pushed, payload }));
    }

    /// Time of the next input.
    pub(crate) fn next_at(&mut self) -> Option<Instant> {
        // Timers that nothing waits for any more are not worth a step.
        while let Some(Reverse(Pending { payload: Payload::Timer(_, timer), .. })) = self.queue.peek()
            && timer.is_due.load(Ordering::Relaxed)
        {
            self.queue.pop();
        }
        self.queue.peek().map(|Reverse(pending)| pending.at)
    }

    /// Handles the next input, if it is due. Returns false if none is.
    pub(crate) fn step(&mut self) -> bool {
        match self.queue.peek() {
            Some(Reverse(pending)) if pending.at <= self.now => {}
            _ => return false,
        }
        let Some(Reverse(pending)) = self.queue.pop() else { return false };
        self.handle(pending.payload);
        true
    }

    fn handle(&mut self, payload: Payload) {
        if let Some(host) = payload.host()
            && self.is_paused(host)
        {
            self.hosts[host].stalled.push(payload);
            return;
        }
        match payload {
            Payload::Timer(host, timer) => {
                // The clock of the host may have been stopped since it was set.
                if self.due_at(host, &timer).is_none_or(|at| at > self.now) {
                    self.set_timer(host, timer);
                } else if !timer.is_due.swap(true, Ordering::Relaxed) {
                    self.wakes.extend(lock(&timer.waker).take());
                }
            }
            Payload::Datagram { host, to, from, bytes } => self.deliver(host, to, from, bytes),
            Payload::Request { host, conn } => self.request(host, conn),
            Payload::Established { conn, is_accepted, .. } => self.established(conn, is_accepted),
            Payload::Segment { conn, side, segment, .. } => self.receive(conn, side, segment),
            Payload::Retry { conn, side, .. } => self.pump(conn, side, true),
            Payload::Resume(host) => self.resume(host),
            Payload::ClockGoesOn(host) => self.let_clock_go_on(host),
        }
    }

    /// Returns the virtual time at which a timer of a host, or of the test, is due; `None` while the host's clock stands.
    fn due_at(&self, host: Option<usize>, timer: &TimerState) -> Option<Instant> {
        match host.and_then(|host| self.hosts.get(host)) {
            Some(host) => host.clock.when(timer.due),
            None => Some(timer.due),
        }
    }

    fn set_timer(&mut self, host: Option<usize>, timer: Arc<TimerState>) {
        match (self.due_at(host, &timer), host) {
            (Some(at), _) => self.push(at, Payload::Timer(host, timer)),
            (None, Some(host)) => self.hosts[host].waiting.push(timer),
            (None, None) => {}
        }
    }

    /// Stops the clock of a host until a time.
    pub(crate) fn stop_clock(&mut self, host: usize, until: Instant) {
        let state = &mut self.hosts[host];
        state.clock.stop(self.now);
        state.clock_stands_until = state.clock_stands_until.max(until);
        self.push(until, Payload::ClockGoesOn(host));
    }

    fn let_clock_go_on(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        if state.clock_stands_until > self.now {
            return;
        }
        state.clock.go_on(self.now);
        for timer in core::mem::take(&mut state.waiting) {
            self.set_timer(Some(host), timer);
        }
    }

    /// Whether the application of a host runs.
    pub(crate) fn runs(&self, host: usize) -> bool {
        self.hosts.get(host).is_some_and(|host| host.is_up && host.paused_until.is_none())
    }

    pub(crate) fn is_paused(&self, host: usize) -> bool {
        self.hosts.get(host).is_some_and(|host| host.paused_until.is_some())
    }

    fn resume(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        if state.paused_until.is_none_or(|until| until > self.now) {
            return;
        }
        state.paused_until = None;
        for payload in core::mem::take(&mut state.stalled) {
            self.push(self.now, payload);
        }
        self.dirty.insert(host);
    }

    /// Closes the sockets of a host. Resets its streams at their peers, unless the power failed.
    pub(crate) fn take_down(&mut self, host: usize, is_power_failure: bool) {
        let state = &mut self.hosts[host];
        if !state.is_up {
            return;
        }
        state.is_up = false;
        state.paused_until = None;
        state.stalled.clear();
        state.udp.clear();
        state.listeners.clear();
        state.checks.end_life();
        if is_power_failure {
            state.files.tear(&mut state.rng);
        }
        let conns: Vec<(u64, Side)> =
            self.conns.iter().filter_map(|(id, conn)| Some((*id, conn.side_of(host)?))).collect();
        for (conn, side) in conns {
            if is_power_failure { self.forget_side(conn, side) } else { self.abort(conn, side) }
        }
        self.orders.push(Order::Kill(host));
    }

    pub(crate) fn find_host(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }

    pub(crate) fn host_at(&self, ip: IpAddr) -> Option<usize> {
        let IpAddr::V4(v4) = serf_proto::canonical(SocketAddr::new(ip, 0)).ip() else { return None };
        let [10, 0, high, low] = v4.octets() else { return None };
        let index = usize::from(u16::from_be_bytes([high, low])).checked_sub(1)?;
        (index < self.hosts.len()).then_some(index)
    }

    pub(crate) fn log(&mut self, host: Option<usize>, text: String) {
        let host = host.map(|host| self.hosts[host].name.clone());
        self.timeline.push(Entry { at: self.now, host, text });
    }

    /// Sends a datagram at `now`, the sender's time.
    pub(crate) fn send(&mut self, now: Instant, sender: usize, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let Some(host) = self.host_at(to.ip()) else { return };
        let (from, to) = (serf_proto::canonical(from), serf_proto::canonical(to));
        let fate = self.links.judge(&mut self.hosts[sender].rng, sender, host);
        let Fate::Arrives { after, copy_after } = fate else { return };
        let bytes = Bytes::copy_from_slice(bytes);
        if let Some(after) = copy_after {
            self.push(now + after, Payload::Datagram { host, to, from, bytes: bytes.clone() });
        }
        self.push(now + after, Payload::Datagram { host, to, from, bytes });
    }

    pub(crate) fn trace_input(&mut self, host: usize, from: SocketAddr, bytes: &[u8]) {
        self.trace.fold(self.now.as_nanos());
        self.trace.fold(host as u64);
        self.trace.fold(u64::from(from.port()));
        self.trace.fold_bytes(bytes);
    }
}

impl Payload {
    /// The host that handles it.
    const fn host(&self) -> Option<usize> {
        match self {
            Self::Timer(host, _) => *host,
            Self::Datagram { host, .. }
            | Self::Request { host, .. }
            | Self::Established { host, .. }
            | Self::Segment { host, .. }
            | Self::Retry { host, .. } => Some(*host),
            Self::Resume(_) | Self::ClockGoesOn(_) => None,
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// A timer that fires after `duration`. Dropping it cancels it.
pub(crate) struct Sleep(Arc<TimerState>);

impl Sleep {
    /// `now` is what the clock of the host shows, or the virtual time.
    pub(crate) fn new(world: &World, host: Option<usize>, now: Instant, duration: Duration) -> Self {
        let due = now + duration;
        let timer = Arc::new(TimerState { due, waker: Mutex::default(), is_due: AtomicBool::new(false) });
        world.with(|state| state.set_timer(host, Arc::clone(&timer)));
        Self(timer)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: core::pin::Pin<&mut Self>, cx: &mut core::task::Context<'_>) -> core::task::Poll<()> {
        if self.0.is_due.load(Ordering::Relaxed) {
            return core::task::Poll::Ready(());
        }
        *lock(&self.0.waker) = Some(cx.waker().clone());
        core::task::Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.0.is_due.store(true, Ordering::Relaxed);
        lock(&self.0.waker).take();
    }
}

const STREAM_TEST: u64 = 1;
const STREAM_NETWORK: u64 = 1_000;
const PORT_EPHEMERAL_FIRST: u16 = 49_152;
