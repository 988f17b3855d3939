//! Serf for [tokio](https://docs.rs/tokio): see [`Serf`] for what a node can do and [`NodeOptions`] for how to set it up.
//!
//! ```
//! use serf_tokio::{Event, NodeOptions, Serf};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let first = Serf::start(NodeOptions { bind: "127.0.0.1:0".parse()?, ..NodeOptions::local("first") })?;
//! let second = Serf::start(NodeOptions { bind: "127.0.0.1:0".parse()?, ..NodeOptions::local("second") })?;
//!
//! let mut events = first.events();
//! second.join(&[first.bound_addr().to_string()]).await?;
//! if let Some(Ok(Event::Member(event))) = events.next().await {
//!     println!("{}: {}", event.kind, event.member.name()); // member-join: second
//! }
//! second.user_event("deploy", b"v1.2.3", true)?;
//! # Ok(())
//! # }
//! ```
//!
//! Start nodes within a runtime that has IO and time enabled. Their methods may then be called from anywhere.

#![forbid(unsafe_code)]

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::{Shutdown, ToSocketAddrs};

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
/// The runtime, of the version that nodes run on. `#[tokio::main]` needs a dependency on tokio with its features.
pub use tokio;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;

/// A member of a cluster, running on tokio. See [`serf_runtime::Serf`].
pub type Serf = serf_runtime::Serf<Tokio>;

/// A handle that does not keep its node running. See [`serf_runtime::WeakSerf`].
pub type WeakSerf = serf_runtime::WeakSerf<Tokio>;

/// A tokio runtime, as nodes use it.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
    origin: tokio::time::Instant,
}

impl Tokio {
    /// The runtime behind `handle`, for [`Builder::on`].
    pub fn on(handle: Handle) -> Self {
        Self { handle, origin: tokio::time::Instant::now() }
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub struct Task(Option<tokio::task::JoinHandle<()>>);

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
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
        Instant::ZERO + self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(duration)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(Some(self.handle.spawn(task)))
    }

    fn detach(&self, mut task: Task) {
        task.0 = None;
    }

    async fn resolve(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = self.handle.spawn_blocking(move || Ok((host, port).to_socket_addrs()?.collect()));
        found.await.map_err(io::Error::other)?
    }

    fn udp(&self, socket: std::net::UdpSocket) -> io::Result<Datagrams> {
        let _runtime = self.handle.enter();
        UdpSocket::from_std(socket).map(Datagrams)
    }

    fn listener(&self, socket: std::net::TcpListener) -> io::Result<Listener> {
        let _runtime = self.handle.enter();
        TcpListener::from_std(socket).map(Listener)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<Stream> {
        TcpStream::connect(to).await.map(Stream)
    }
}

/// A socket for datagrams.
#[derive(Debug)]
pub struct Datagrams(UdpSocket);

/// A socket that streams come in on.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// A stream.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl net::Udp for Datagrams {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.0.readable()
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.0.writable()
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.try_recv_from(buffer)
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.try_send_to(datagram, to)
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
        self.0.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        socket2::SockRef::from(&self.0).shutdown(Shutdown::Write)
    }
}

/// Runs the examples in the project's README as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
