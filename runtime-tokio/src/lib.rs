//! Serf for [tokio](https://docs.rs/tokio): see [`Serf`] for what a node can do and [`Options`] for how to set it up.
//!
//! ```
//! use serf_tokio::{Event, Options, Serf};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let first = Serf::start(Options { bind: "127.0.0.1:0".parse()?, ..Options::local("first") })?;
//! let second = Serf::start(Options { bind: "127.0.0.1:0".parse()?, ..Options::local("second") })?;
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

pub use serf_runtime::*;
use serf_runtime::net::{Listener, Net, Stream, Udp};
use serf_runtime::serf_proto::Instant;
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
    /// The runtime behind `handle`, for [`Serf::start_on`](serf_runtime::Serf::start_on).
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

impl Net for Tokio {
    type Udp = UdpSocket;
    type Listener = TcpListener;
    type Stream = TcpStream;
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

    fn udp(&self, socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        let _runtime = self.handle.enter();
        UdpSocket::from_std(socket)
    }

    fn listener(&self, socket: std::net::TcpListener) -> io::Result<TcpListener> {
        let _runtime = self.handle.enter();
        TcpListener::from_std(socket)
    }

    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send {
        TcpStream::connect(to)
    }
}

/// The trait's methods have the names of the types' own.
macro_rules! readiness {
    ($socket:ty) => {
        fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
            <$socket>::readable(self)
        }

        fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
            <$socket>::writable(self)
        }
    };
}

impl Udp for UdpSocket {
    readiness!(Self);

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_recv_from(buffer)
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.try_send_to(datagram, to)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        Self::accept(self)
    }
}

impl Stream for TcpStream {
    readiness!(Self);

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::try_read(self, buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        socket2::SockRef::from(self).shutdown(Shutdown::Write)
    }
}
