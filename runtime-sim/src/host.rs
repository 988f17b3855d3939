//! A host, as the nodes and the application of one of its lives see it.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::{Arc, Weak};

use serf_proto::Instant;
use serf_tokio::net::{Disk, HostAddress};
use serf_tokio::sim::{BoxFuture, Entered, Host as SimulatedHost, Sockets, Stream, Task};
use serf_tokio::{StartError, Transport, WeakSerf};

use crate::disk::HostDisk;
use crate::sockets::{Owner, StreamEnd, Tcp, Udp};
use crate::timeline::observe;
use crate::world::{NodeSlot, Sleep, State, World};

/// One life of a host, from its start to its crash.
pub(crate) struct HostEnv {
    pub(crate) world: Arc<World>,
    pub(crate) index: usize,
    life: u64,
    /// Latest time that was read: the clock of a host never goes back.
    last: AtomicU64,
    this: Weak<Self>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<HostEnv>>> = const { RefCell::new(None) };
    /// Set while a host's application catches up with the time: the clock of its runtime, and what the clock of the host
    /// showed when that clock began.
    static LOCAL: RefCell<Option<(tokio::time::Instant, Instant)>> = const { RefCell::new(None) };
}

/// Returns the host whose application runs on this thread.
pub(crate) fn current() -> Option<Arc<HostEnv>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Lets the clock be that of a runtime, or again that of the world.
pub(crate) fn set_local_clock(clock: Option<(tokio::time::Instant, Instant)>) {
    LOCAL.set(clock);
}

/// Guard while the application of a host runs.
pub(crate) struct Inside {
    outer: Option<Arc<HostEnv>>,
    _entered: Entered,
}

impl Drop for Inside {
    fn drop(&mut self) {
        CURRENT.set(self.outer.take());
    }
}

impl HostEnv {
    pub(crate) fn new(world: &Arc<World>, index: usize, life: u64) -> Arc<Self> {
        let last = AtomicU64::new(0);
        Arc::new_cyclic(|this| Self { world: Arc::clone(world), index, life, last, this: Weak::clone(this) })
    }

    fn this(&self) -> Arc<Self> {
        self.this.upgrade().expect("a method is called by a holder of the host")
    }

    pub(crate) fn enter(self: &Arc<Self>) -> Inside {
        let outer = CURRENT.replace(Some(Arc::clone(self)));
        Inside { outer, _entered: serf_tokio::sim::enter(Arc::clone(self) as _) }
    }

    pub(crate) const fn life(&self) -> u64 {
        self.life
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.with_live(|_| Ok(())).is_err()
    }

    /// Calls `f`, unless this life has ended.
    pub(crate) fn with_live<R>(&self, f: impl FnOnce(&mut State) -> io::Result<R>) -> io::Result<R> {
        self.world.with(|state| match state.hosts.get(self.index) {
            Some(host) if host.is_up && host.life == self.life => f(state),
            _ => Err(io::ErrorKind::NetworkDown.into()),
        })
    }

    /// Returns what the clock of the host shows.
    pub(crate) fn time(&self) -> Instant {
        let local = LOCAL.with_borrow(|clock| clock.map(|(origin, base)| base + origin.elapsed()));
        let now = self.world.with(|state| match state.hosts.get(self.index) {
            Some(host) => host.clock.read(state.now),
            None => state.now,
        });
        let now = now.max(local.unwrap_or(Instant::ZERO));
        let last = self.last.fetch_max(now.as_nanos(), Ordering::Relaxed);
        Instant::from_nanos(last.max(now.as_nanos()))
    }

    /// Returns the virtual time of what the host does now.
    pub(crate) fn virtual_time(&self) -> Instant {
        let shown = self.time();
        self.world.with(|state| {
            let at = state.hosts.get(self.index).and_then(|host| host.clock.when(shown));
            at.unwrap_or(state.now)
        })
    }

    pub(crate) fn sleep_for(&self, duration: Duration) -> Sleep {
        Sleep::new(&self.world, Some(self.index), self.time(), duration)
    }

    pub(crate) fn spawn_task(&self, task: BoxFuture<()>) -> u64 {
        if self.is_dead() {
            return u64::MAX;
        }
        self.world.executor.spawn(self.index, task)
    }

    pub(crate) fn resolve_name(&self, name: &str) -> io::Result<IpAddr> {
        if let Ok(ip) = name.parse() {
            return Ok(ip);
        }
        self.with_live(|state| match state.find_host(name) {
            Some(host) => Ok(state.hosts[host].ip),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no host of this name in the simulation")),
        })
    }
}

impl SimulatedHost for HostEnv {
    fn now(&self) -> Instant {
        self.time()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(self.sleep_for(duration))
    }

    fn spawn(&self, task: BoxFuture<()>) -> Box<dyn Task> {
        let id = self.spawn_task(task);
        Box::new(TaskHandle { world: Arc::clone(&self.world), id, is_detached: false })
    }

    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::new(self.resolve_name(host)?, port)])
    }

    fn bind(&self, addr: SocketAddr) -> Result<Sockets, StartError> {
        let this = self.this();
        let failed = |transport| move |source| StartError::Bind { transport, addr, source };
        let listener = Tcp::bind(&this, addr, Owner::Node).map_err(failed(Transport::Tcp))?;
        let udp = Udp::bind(&this, listener.addr, Owner::Node).map_err(failed(Transport::Udp))?;
        let addr = listener.addr;
        Ok(Sockets { udp: Arc::new(udp), listener: Arc::new(listener), addr })
    }

    fn connect(&self, from: SocketAddr, to: SocketAddr) -> BoxFuture<io::Result<Arc<dyn Stream>>> {
        let this = self.this();
        Box::pin(async move {
            let stream = StreamEnd::connect(this, from.ip(), to, Owner::Node).await?;
            Ok(Arc::new(stream) as _)
        })
    }

    fn addresses(&self) -> Vec<HostAddress> {
        let found = self.with_live(|state| Ok(state.hosts[self.index].ip));
        let address = |ip| HostAddress { ip, interface: "eth0".to_owned(), prefix_bits: 8, is_default: true };
        found.into_iter().map(address).collect()
    }

    fn entropy(&self, bytes: &mut [u8]) {
        _ = self.with_live(|state| {
            for chunk in bytes.chunks_mut(8) {
                let drawn = state.hosts[self.index].entropy.bytes::<8>();
                chunk.copy_from_slice(&drawn[..chunk.len()]);
            }
            Ok(())
        });
    }

    fn disk(&self) -> Arc<dyn Disk> {
        let files = self.world.with(|state| Arc::clone(&state.hosts[self.index].files));
        Arc::new(HostDisk { files, env: self.this() })
    }

    fn started(&self, node: WeakSerf) {
        let Some(serf) = node.upgrade() else { return };
        let (world, host, life) = (Arc::downgrade(&self.world), self.index, self.life);
        let events = serf.events_where(move |event| {
            if let Some(world) = world.upgrade() {
                world.with(|state| observe(state, host, life, event));
            }
            false
        });
        _ = self.with_live(|state| {
            state.hosts[host].nodes.push(NodeSlot { weak: node, _events: Arc::new(events) });
            state.log(Some(host), "node started".to_owned());
            Ok(())
        });
    }
}

impl fmt::Debug for HostEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostEnv").field("index", &self.index).field("life", &self.life).finish_non_exhaustive()
    }
}

/// Handle of a node's task.
struct TaskHandle {
    world: Arc<World>,
    id: u64,
    is_detached: bool,
}

impl Task for TaskHandle {
    fn detach(mut self: Box<Self>) {
        self.is_detached = true;
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        if !self.is_detached {
            self.world.executor.cancel(self.id);
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("id", &self.id).finish_non_exhaustive()
    }
}
