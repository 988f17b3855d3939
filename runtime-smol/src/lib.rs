//! Serf for [smol](https://docs.rs/smol): cluster membership, failure detection, user events and queries in your own
//! service.
//!
//! [`Serf`] is the handle of a node, [`Options`] its configuration, [`Events`] and [`Handlers`] deliver what
//! happens. This page is a tutorial; [`serf_runtime`] lists all parts and the equivalents of Serfer's API. Nodes use
//! smol's reactor and pool of blocking threads. They run on one thread of their own, or on your executor:
//! [`Smol::on`].
//!
//! # Two nodes
//!
//! A node starts alone. It becomes a member of a cluster by joining through any member; gossip spreads the news to the
//! others. Each node has a unique name and one address for UDP and TCP.
//!
//! ```
//! use serf_smol::{Coalescing, Event, Options, Serf};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> { smol::block_on(async {
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
//! # Ok(()) }) }
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
//! # use serf_smol::{Key, Options, Serf};
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
//! # use serf_smol::{Handlers, MemberEventKind, Options, Serf};
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
//! # use serf_smol::{Handlers, Question, Serf};
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
//! # use serf_smol::{Options, Serf};
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
//! # use serf_smol::{End, Serf};
//! # async fn stop(serf: Serf) -> Result<(), Box<dyn core::error::Error>> {
//! let left = serf.leave().await?;
//! println!("all members notified: {}", left.complete);
//! serf.shutdown().await?; // sockets are closed and files are written
//! # Ok(()) }
//! ```
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
//! # use serf_smol::{Options, Serf};
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

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Once};

use async_io::{Async, Timer};

/// Runs the tasks of nodes: `smol::Executor`.
pub use async_executor::Executor;
/// A task of a node: `smol::Task`.
pub use async_executor::Task;
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

/// A member of a cluster, running on smol. See [`serf_runtime::Serf`].
pub type Serf = serf_runtime::Serf<Smol>;

/// A weak handle, which does not keep its node running. See [`serf_runtime::WeakSerf`].
pub type WeakSerf = serf_runtime::WeakSerf<Smol>;

/// A smol executor, as the [`Net`](net::Net) of nodes.
#[derive(Clone, Debug)]
pub struct Smol {
    /// `None` stands for the shared executor of [`Smol::global`].
    executor: Option<Arc<Executor<'static>>>,
    origin: std::time::Instant,
}

impl Smol {
    /// Returns the executor that nodes share by default. One thread runs it, named `serf`, from the first task on.
    ///
    /// It is not that of `smol::spawn`, which the umbrella crate owns with all its dependencies.
    ///
    /// # Panics
    ///
    /// The first task panics if the system does not start a thread.
    pub fn global() -> Self {
        Self { executor: None, origin: std::time::Instant::now() }
    }

    /// Returns an executor that the caller runs, for [`Builder::on`].
    pub fn on(executor: Arc<Executor<'static>>) -> Self {
        Self { executor: Some(executor), ..Self::global() }
    }
}

/// Returns the executor of [`Smol::global`], and starts its thread at the first call.
fn shared_executor() -> &'static Executor<'static> {
    static EXECUTOR: Executor<'static> = Executor::new();
    static THREAD: Once = Once::new();
    THREAD.call_once(|| {
        let run = || async_io::block_on(EXECUTOR.run(core::future::pending::<()>()));
        // A task that panics must not stop the others.
        let run_always = move || {
            loop {
                _ = std::panic::catch_unwind(run);
            }
        };
        std::thread::Builder::new().name("serf".into()).spawn(run_always).expect("the system gives one thread");
    });
    &EXECUTOR
}

impl net::Net for Smol {
    type Udp = Datagrams;
    type Listener = Listener;
    type Stream = Stream;
    type Task = Task<()>;

    fn current() -> io::Result<Self> {
        Ok(Self::global())
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        Timer::after(duration).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        match &self.executor {
            Some(executor) => executor.spawn(task),
            None => shared_executor().spawn(task),
        }
    }

    fn detach(&self, task: Task<()>) {
        task.detach();
    }

    async fn unblock<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(blocking::unblock(work).await)
    }

    fn bind(&self, addr: SocketAddr) -> Result<net::Bound<Self>, StartError> {
        let net::Sockets { udp, tcp, addr } = net::bind(addr)?;
        let udp = Async::new_nonblocking(udp).map(Datagrams).map_err(StartError::Runtime)?;
        let listener = Async::new_nonblocking(tcp).map(Listener).map_err(StartError::Runtime)?;
        Ok(net::Bound { udp, listener, addr })
    }

    async fn connect(&self, _from: SocketAddr, to: SocketAddr) -> io::Result<Stream> {
        Async::<TcpStream>::connect(to).await.map(Stream)
    }
}

/// A UDP socket.
#[derive(Debug)]
pub struct Datagrams(Async<UdpSocket>);

/// A TCP listener.
#[derive(Debug)]
pub struct Listener(Async<TcpListener>);

/// A TCP stream.
#[derive(Debug)]
pub struct Stream(Async<TcpStream>);

impl net::Udp for Datagrams {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.0.readable()
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.0.writable()
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.get_ref().recv_from(buffer)
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.get_ref().send_to(datagram, to)
    }
}

impl net::Listener for Listener {
    type Stream = Stream;

    async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, from) = self.0.accept().await?;
        Ok((Stream(stream), from))
    }
}

impl net::Stream for Stream {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.0.readable()
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.0.writable()
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0.get_ref(), buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut self.0.get_ref(), bytes)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.0.get_ref().shutdown(Shutdown::Write)
    }
}

/// Runs the example of the README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
