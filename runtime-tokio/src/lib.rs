//! Serf for [tokio](https://docs.rs/tokio): cluster membership, failure detection, user events and queries in your own
//! service.
//!
//! [`Serf`] is the handle of a node, [`Options`] its configuration, [`Events`] and [`Handlers`] deliver what
//! happens. This page is a tutorial; [`serf_runtime`] lists all parts and the equivalents of Serfer's API. Start nodes
//! within a runtime that has IO and time enabled; their methods may be called from any thread.
//!
//! # Two nodes
//!
//! A node starts alone. It becomes a member of a cluster by joining through any member; gossip spreads the news to the
//! others. Each node has a unique name and one address for UDP and TCP.
//!
//! ```
//! use serf_tokio::{Coalescing, Event, Options, Serf};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let loopback = "127.0.0.1:0".parse()?;
//! let first = Serf::start(Options::local("first").with(|options| options.bind = loopback))?;
//! let second = Serf::start(Options::local("second").with(|options| options.bind = loopback))?;
//!
//! let mut events = first.events();
//! second.join(&[first.bound_addr().to_string()]).await?;
//! if let Some(Ok(Event::Member(event))) = events.next().await {
//!     println!("{event}"); // member-join: second
//! }
//! second.user_event("deploy", b"v1.2.3", Coalescing::Allow)?;
//! # Ok(())
//! # }
//! ```
//!
//! A service usually lists its seeds in [`Options::join`] instead: the node then retries in the background until
//! another member is known, so seeds may start later.
//!
//! # Encryption
//!
//! With a key all packets and streams are encrypted with AES-GCM, and nodes without the key cannot join. All nodes
//! need the same key; generate it once with [`Key::generate`] or `serf keygen`. With [`Options::keyring_file`] the
//! node also stores every later change, such as [`Serf::install_key`], and starts with the stored keys next time.
//!
//! ```no_run
//! # use serf_tokio::{Key, Options, Serf};
//! # fn start(shared: Key) -> Result<Serf, Box<dyn core::error::Error>> {
//! let options = Options::lan("web-1").with(|options| {
//!     options.keyring_file = Some("web-1.keyring".into());
//!     options.protocol.transport.encrypt_keys = vec![shared];
//! });
//! let serf = Serf::start(options)?;
//! # Ok(serf) }
//! ```
//!
//! # Handlers
//!
//! [`Handlers`] are callbacks by event kind and name. They run in order, in a background task; spawn a task for long
//! work. Handlers passed to the builder receive every event from the first one on. The alternative is a loop over
//! [`Serf::events`].
//!
//! ```no_run
//! # use serf_tokio::{Handlers, MemberEventKind, Options, Serf};
//! # fn start() -> Result<Serf, Box<dyn core::error::Error>> {
//! let handlers = Handlers::new()
//!     .on_member(MemberEventKind::Failed, |event| async move { println!("{event}") })
//!     .on_user("deploy", |event| async move { println!("deploy {:?}", event.payload) })
//!     .on_lagged(|lagged| async move { println!("{lagged}") });
//! let serf = Serf::builder(Options::lan("web-1")).handlers(handlers).start()?;
//! # Ok(serf) }
//! ```
//!
//! # Queries
//!
//! A query goes to all members, or to those that match its filters, and collects their answers until all have answered
//! or its timeout has passed. A handler's return value is the answer. Datagrams get lost, so treat a missing answer as
//! unknown.
//!
//! ```no_run
//! # use serf_tokio::{Handlers, Question, Serf};
//! # async fn ask(serf: &Serf) -> Result<(), Box<dyn core::error::Error>> {
//! serf.handle(Handlers::new().on_query("uptime", |_query| async { Some(b"three days".to_vec()) }));
//!
//! let question = Question::new("uptime").of_tags(&[("role", "web")]);
//! let answers = serf.query(&question)?.answers().await?;
//! println!("{:?}, no answer from {:?}", answers.responses, answers.report.silent);
//! # Ok(()) }
//! ```
//!
//! # Snapshot
//!
//! A snapshot file records the known members and the Lamport clocks. After a crash the node rejoins through those
//! members by itself, and delivers no event twice. Start with [`Builder::start_with_events`], or with handlers, to
//! receive the events that it missed.
//!
//! ```no_run
//! # use serf_tokio::{Options, Serf};
//! # fn start() -> Result<(), Box<dyn core::error::Error>> {
//! let options = Options::lan("web-1").with(|options| options.snapshot = Some("web-1.snapshot".into()));
//! let (serf, mut events) = Serf::builder(options).start_with_events()?;
//! # Ok(()) }
//! ```
//!
//! # Shutdown
//!
//! Leave before the process exits: the members then record a leave instead of detecting a failure. [`Serf::leave`]
//! waits until the leave was gossiped. [`Serf::wait`] returns the reason for which a node ended; a service should
//! exit, or start a new node, when it does.
//!
//! ```no_run
//! # use serf_tokio::{End, Serf};
//! # async fn stop(serf: Serf) -> Result<(), Box<dyn core::error::Error>> {
//! let left = serf.leave().await?;
//! println!("all members notified: {}", left.complete);
//! serf.shutdown().await?; // sockets are closed and files are written
//! # Ok(()) }
//! ```
//!
//! # Tests
//!
//! The crate `serf-sim` runs a service that uses this crate, unchanged, on a virtual network, clock and disk, with faults and
//! a seed. With real sockets on loopback, `#[tokio::test(start_paused = true)]` works too: minutes of the protocol take a
//! second, but runs differ.
//!
//! # Choosing settings
//!
//! All members of a cluster should use the same profile and limits. Measure a change with the simulator before you
//! deploy it: its options include the profile, loss and latency.
//!
//! | environment | settings |
//! |---|---|
//! | LAN: one data centre, round trips far below 500 ms | [`Options::lan`]. Probes every second, each with a timeout of 500 ms. |
//! | WAN: several regions, round trips far below 3 s | [`Options::wan`]. Probes every 5 s, each with a timeout of 3 s; the suspicion timeout is 7.5 times that of a LAN. |
//! | one host, tests | [`Options::local`], with port 0 for a free port. |
//! | containers, NAT | a profile from above, plus the following. |
//!
//! In containers:
//!
//! - **Address.** The default is the private address of the default route's interface. Set [`Options::advertise`]
//!   if other members reach the node at another address, for example a published port. UDP and TCP need the same port,
//!   and all members must reach one another directly.
//! - **Name.** Use the pod or container name, and a new one per instance if instances overlap: a name is unique in a
//!   cluster.
//! - **Changing addresses.** Members refuse a known name at a new address while its old member is alive or failed.
//!   `dead_node_reclaim_time` in the protocol options lets a replacement take a failed member's name after that time;
//!   a graceful leave lets it do so at once.
//! - **Stop signal.** Call [`Serf::leave`] on SIGTERM. It takes up to about 6 s with the LAN profile; the grace period
//!   must be longer.
//! - **Files.** Put the snapshot and the keyring on a persistent volume, one per instance: a file is locked by its
//!   node.
//! - **CPU limits.** A throttled node acks late. Lifeguard slows its own accusations, but the other members may still
//!   suspect it: raise the CPU limit, or use the WAN profile.
//!
//! ```no_run
//! # use serf_tokio::{Options, Serf};
//! # fn start(name: String, host: core::net::SocketAddr) -> Result<Serf, Box<dyn core::error::Error>> {
//! let options = Options::lan(name).with(|options| {
//!     options.advertise = Some(host); // as other members reach it; `bind` stays 0.0.0.0:7946
//!     options.join = vec!["seed-0.serf.internal".into(), "seed-1.serf.internal".into()];
//! });
//! let serf = Serf::start(options)?;
//! # Ok(serf) }
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "sim")]
pub mod sim;
mod sockets;

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

/// The runtime-independent crate, for code that is generic over runtimes: `serf_runtime::Serf<N>`.
pub use serf_runtime;
pub use serf_runtime::{
    Answers, Beacon, Builder, Candidate, Capture, Coalescing, CodecChoice, CommandError, Complaint, ComplaintKind,
    Coordinate, DEFAULT_PORT, DropReason, End, EntropyError, Event, Events, Evidence, ForceLeaveError, Handlers,
    Histogram, Instant, JoinError, JoinReport, Key, KeyAnswer, KeyError, KeyOperation, KeyReport, KeyringFileError,
    KeysError, Lagged, LeaveError, LeaveReport, Member, MemberCounts, MemberEvent, MemberEventKind, Members, Metric,
    Name, NodeState, NotWritten, OldEvents, Options, PartitionReport, PartitionShare, Peer, Policy, Query, QueryError,
    QueryId, QueryReport, QueryStream, Question, Reply, RespondError, Retry, Seed, SeedCause, SeedError, SeedFailure,
    SeedFailureCause, SetTagsError, SharedPolicy, Source, StartError, Stats, Status, Stopped, Tags, Tombstone,
    Transport, UnknownWord, Usage, UserEvent, UserEventError, Veto, Why, bytes, capture, net, read_keyring_file,
    serf_proto, write_keyring_file,
};
/// The version of tokio that nodes run on. `#[tokio::main]` needs a direct dependency on tokio with its features.
pub use tokio;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;

pub use self::sockets::{Datagrams, Listener, Stream};
use self::sockets::{DatagramsKind, ListenerKind, StreamKind};

/// A member of a cluster, running on tokio. See [`serf_runtime::Serf`].
pub type Serf = serf_runtime::Serf<Tokio>;

/// A weak handle, which does not keep its node running. See [`serf_runtime::WeakSerf`].
pub type WeakSerf = serf_runtime::WeakSerf<Tokio>;

/// A tokio runtime, as the [`Net`](net::Net) of nodes.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
    origin: tokio::time::Instant,
    #[cfg(feature = "sim")]
    host: Option<std::sync::Arc<dyn sim::Host>>,
}

impl Tokio {
    /// Returns the runtime of `handle`, for [`Builder::on`].
    pub fn on(handle: Handle) -> Self {
        Self {
            handle,
            origin: tokio::time::Instant::now(),
            #[cfg(feature = "sim")]
            host: sim::current(),
        }
    }
}

/// Ends the function with the simulated host's answer, if the node runs on one.
macro_rules! on_simulated_host {
    ($net:expr, $host:ident => $answer:expr) => {
        #[cfg(feature = "sim")]
        if let Some($host) = &$net.host {
            return $answer;
        }
    };
}

/// A spawned task, which is aborted on drop.
#[derive(Debug)]
pub struct Task(TaskKind);

#[derive(Debug)]
enum TaskKind {
    Tokio(tokio::task::JoinHandle<()>),
    #[cfg(feature = "sim")]
    Simulated(Box<dyn sim::Task>),
    Detached,
}

impl Drop for Task {
    fn drop(&mut self) {
        if let TaskKind::Tokio(task) = &self.0 {
            task.abort();
        }
    }
}

impl net::Net for Tokio {
    type Udp = Datagrams;
    type Listener = Listener;
    type Stream = Stream;
    type Task = Task;

    fn current() -> io::Result<Self> {
        Handle::try_current().map(Self::on).map_err(io::Error::other)
    }

    fn now(&self) -> Instant {
        on_simulated_host!(self, host => host.now());
        Instant::ZERO + self.origin.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        on_simulated_host!(self, host => host.sleep(duration).await);
        tokio::time::sleep(duration).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        on_simulated_host!(self, host => Task(TaskKind::Simulated(host.spawn(Box::pin(task)))));
        self.spawn_handlers(task)
    }

    fn spawn_handlers(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(TaskKind::Tokio(self.handle.spawn(task)))
    }

    fn detach(&self, mut task: Task) {
        match core::mem::replace(&mut task.0, TaskKind::Detached) {
            #[cfg(feature = "sim")]
            TaskKind::Simulated(task) => task.detach(),
            TaskKind::Tokio(_) | TaskKind::Detached => {}
        }
    }

    async fn unblock<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        on_simulated_host!(self, _host => Ok(work()));
        self.handle.spawn_blocking(work).await.map_err(io::Error::other)
    }

    #[cfg(feature = "sim")]
    async fn resolve(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        on_simulated_host!(self, simulated => simulated.resolve(&host, port));
        self.unblock(move || net::resolve(host, port)).await?
    }

    fn bind(&self, addr: SocketAddr) -> Result<net::Bound<Self>, StartError> {
        on_simulated_host!(self, host => host.bind(addr).map(|bound| net::Bound {
            udp: Datagrams(DatagramsKind::Simulated(bound.udp)),
            listener: Listener(ListenerKind::Simulated(bound.listener)),
            addr: bound.addr,
        }));
        let _runtime = self.handle.enter();
        let net::Sockets { udp, tcp, addr } = net::bind(addr)?;
        let udp = UdpSocket::from_std(udp).map_err(StartError::Runtime)?;
        let tcp = TcpListener::from_std(tcp).map_err(StartError::Runtime)?;
        let listener = Listener(ListenerKind::Tokio(tcp));
        Ok(net::Bound { udp: Datagrams(DatagramsKind::Tokio(udp)), listener, addr })
    }

    async fn connect(&self, _from: SocketAddr, to: SocketAddr) -> io::Result<Stream> {
        on_simulated_host!(self, host => host.connect(_from, to).await.map(StreamKind::Simulated).map(Stream));
        TcpStream::connect(to).await.map(StreamKind::Tokio).map(Stream)
    }

    #[cfg(feature = "sim")]
    fn addresses(&self) -> Vec<net::HostAddress> {
        self.host.as_ref().map_or_else(net::addresses, |host| host.addresses())
    }

    #[cfg(feature = "sim")]
    fn has_address(&self, ip: core::net::IpAddr) -> bool {
        on_simulated_host!(self, host => host.addresses().iter().any(|address| address.ip == ip));
        net::has_address(ip)
    }

    #[cfg(feature = "sim")]
    fn entropy(&self, bytes: &mut [u8]) -> io::Result<()> {
        on_simulated_host!(self, host => { host.entropy(bytes); Ok(()) });
        net::entropy(bytes)
    }

    /// On a simulated host: 1970 and the virtual time.
    #[cfg(feature = "sim")]
    fn wall_clock(&self) -> std::time::SystemTime {
        on_simulated_host!(self, host => std::time::UNIX_EPOCH + (host.now() - Instant::ZERO));
        std::time::SystemTime::now()
    }

    #[cfg(feature = "sim")]
    fn disk(&self) -> std::sync::Arc<dyn net::Disk> {
        self.host.as_ref().map_or_else(|| std::sync::Arc::new(net::SystemDisk) as _, |host| host.disk())
    }

    #[cfg(feature = "sim")]
    fn started(&self, node: WeakSerf) {
        if let Some(host) = &self.host {
            host.started(node);
        }
    }
}

/// Runs the example of the README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
