//! Serf for [smol](https://docs.rs/smol): see [`Serf`] for what a node can do and [`NodeOptions`] for how to set it up.
//!
//! ```
//! use serf_smol::{Event, NodeOptions, Serf};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> { smol::block_on(async {
//! let first = Serf::start(NodeOptions { bind: "127.0.0.1:0".parse()?, ..NodeOptions::local("first") })?;
//! let second = Serf::start(NodeOptions { bind: "127.0.0.1:0".parse()?, ..NodeOptions::local("second") })?;
//!
//! let mut events = first.events();
//! second.join(&[first.bound_addr().to_string()]).await?;
//! if let Some(Ok(Event::Member(event))) = events.next().await {
//!     println!("{}: {}", event.kind, event.member.name()); // member-join: second
//! }
//! second.user_event("deploy", b"v1.2.3", true)?;
//! # Ok(()) }) }
//! ```
//!
//! Nodes run on smol's global executor, or on one of yours: [`Smol::on`].

#![forbid(unsafe_code)]

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

/// The crate behind this one, for code that is generic over runtimes: `serf_runtime::Serf<N>`.
pub use serf_runtime;
pub use serf_runtime::{
    Answers, Builder, Candidate, CodecChoice, CommandError, Complaint, ComplaintKind, Coordinate, DEFAULT_PORT,
    DropReason, End, EntropyError, Event, Events, Evidence, ForceLeaveError, Handlers, Instant, JoinError, JoinReport,
    Key, KeyAnswer, KeyError, KeyOperation, KeyReport, KeyringFileError, KeysError, Lagged, LeaveError, LeaveReport,
    Member, MemberCounts, MemberEvent, MemberEventKind, MembersEvent, Metric, Name, NodeOptions, NodeState, NotWritten,
    OldEvents, Peer, Policy, Query, QueryError, QueryId, QueryReport, QueryStream, Question, Reply, RespondError,
    Retry, SeedCause, SeedError, SeedFailure, SeedFailureCause, SetTagsError, SharedPolicy, Source, StartError, Stats,
    Status, Stopped, Tags, Transport, UnknownWord, Usage, UserEvent, UserEventError, Veto, Why, bytes, net,
    read_keyring_file, serf_proto, write_keyring_file,
};
/// The runtime, of the version that nodes run on: a program needs no other dependency.
pub use smol;
use smol::{Async, Executor, Task, Timer};

/// A member of a cluster, running on smol. See [`serf_runtime::Serf`].
pub type Serf = serf_runtime::Serf<Smol>;

/// A handle that does not keep its node running. See [`serf_runtime::WeakSerf`].
pub type WeakSerf = serf_runtime::WeakSerf<Smol>;

/// smol, as nodes use it.
#[derive(Clone, Debug)]
pub struct Smol {
    /// None: the global one.
    executor: Option<Arc<Executor<'static>>>,
    origin: std::time::Instant,
}

impl Smol {
    /// The global executor.
    pub fn global() -> Self {
        Self { executor: None, origin: std::time::Instant::now() }
    }

    /// An executor that the caller runs, for [`Builder::on`].
    pub fn on(executor: Arc<Executor<'static>>) -> Self {
        Self { executor: Some(executor), ..Self::global() }
    }
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
            None => smol::spawn(task),
        }
    }

    fn detach(&self, task: Task<()>) {
        task.detach();
    }

    async fn resolve(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        smol::unblock(move || Ok((host, port).to_socket_addrs()?.collect())).await
    }

    fn udp(&self, socket: UdpSocket) -> io::Result<Datagrams> {
        Async::new_nonblocking(socket).map(Datagrams)
    }

    fn listener(&self, socket: TcpListener) -> io::Result<Listener> {
        Async::new_nonblocking(socket).map(Listener)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<Stream> {
        Async::<TcpStream>::connect(to).await.map(Stream)
    }
}

/// A socket for datagrams.
#[derive(Debug)]
pub struct Datagrams(Async<UdpSocket>);

/// A socket that streams come in on.
#[derive(Debug)]
pub struct Listener(Async<TcpListener>);

/// A stream.
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
