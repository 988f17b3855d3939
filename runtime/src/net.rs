//! Abstraction of a node's environment: async runtime, network, host, files. Mechanism only, no policy.

use core::future::Future;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use serf_proto::Instant;

pub use crate::address::is_of_host as has_address;
pub use crate::disk::{Disk, DiskFile, OpenMode, SystemDisk, Turn, Worker, in_use};
use crate::error::StartError;
pub use crate::interfaces::{HostAddress, of_host as addresses};
use crate::serf::WeakSerf;
pub use crate::socket::{Sockets, bind, resolve};

/// The environment of a node: clock, tasks, sockets, host and files. `serf-tokio` and `serf-smol` implement it;
/// implement it yourself for another runtime or transport.
///
/// An async runtime supplies the required methods. The provided ones use the operating system: [`bind`] opens its
/// sockets, [`SystemDisk`] its files. An implementation that overrides all of them, such as a simulation, reads no clock,
/// no entropy, no socket and no file of the host.
///
/// Sockets are non-blocking and have pairs of methods: wait for readiness, then try. A packet is thereby read into a
/// buffer that all nodes of a thread share, and an idle node holds no buffer.
pub trait Net: Sized + Send + Sync + 'static {
    /// UDP socket.
    type Udp: Udp;
    /// TCP listener.
    type Listener: Listener<Stream = Self::Stream>;
    /// TCP stream.
    type Stream: Stream;
    /// Handle of a spawned task. Dropping it cancels the task: its future is dropped at once, or as soon as it is not
    /// running.
    type Task: Send + 'static;

    /// Returns the runtime that the caller runs on.
    ///
    /// # Errors
    ///
    /// Returns an error outside a runtime.
    fn current() -> io::Result<Self>;

    /// Returns the time since an origin chosen by the runtime. Never goes back.
    fn now(&self) -> Instant;

    /// Sleeps. Called within spawned tasks only.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Spawns a background task.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Self::Task;

    /// Detaches a task: it runs to its end without a handle.
    fn detach(&self, task: Self::Task);

    /// Spawns a background task that runs [handlers](crate::Handlers) of the application. Default: [`spawn`](Self::spawn).
    fn spawn_handlers(&self, task: impl Future<Output = ()> + Send + 'static) -> Self::Task {
        self.spawn(task)
    }

    /// Runs work that may block, on another thread.
    ///
    /// # Errors
    ///
    /// Returns an error if the runtime is shutting down or the work panicked.
    fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send;

    /// Resolves a host name to addresses without blocking the caller's thread. Default: the system's resolver.
    fn resolve(&self, host: String, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        let found = self.unblock(move || resolve(host, port));
        async { found.await? }
    }

    /// Binds one address for datagrams and streams, and registers both sockets with the runtime. `0.0.0.0` stands for
    /// all addresses of the host, of both families if it has IPv6; port 0 for a port that is free for both.
    ///
    /// # Errors
    ///
    /// Returns [`StartError::Bind`] if the address cannot be bound, [`StartError::Runtime`] if the runtime cannot poll
    /// the sockets.
    fn bind(&self, addr: SocketAddr) -> Result<Bound<Self>, StartError>;

    /// Connects a stream from a node that is bound to `from`. Called within spawned tasks only.
    fn connect(&self, from: SocketAddr, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Returns the addresses of the host's interfaces, without loopback. May block. Default: those of the system.
    fn addresses(&self) -> Vec<HostAddress> {
        addresses()
    }

    /// Whether the host has this address. Must not block. Default: tries to bind it.
    fn has_address(&self, ip: IpAddr) -> bool {
        has_address(ip)
    }

    /// Fills `bytes` with entropy, from which all randomness of a node derives. Default: that of the operating system.
    ///
    /// # Errors
    ///
    /// Returns an error if the source failed.
    fn entropy(&self, bytes: &mut [u8]) -> io::Result<()> {
        entropy(bytes)
    }

    /// Returns the host's clock, for the times in a [capture](crate::capture). Default: the system's.
    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Returns the disk of the host, for the snapshot and the keyring file. Default: the system's.
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(SystemDisk)
    }

    /// Reports that a node has started, before its first input. For tests that observe all nodes. Default: no effect.
    fn started(&self, _node: WeakSerf<Self>) {}
}

/// Fills `bytes` from the operating system's entropy source, for [`Net::entropy`].
///
/// # Errors
///
/// Returns an error if the source failed.
pub fn entropy(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

/// The sockets of a node, bound to one address.
#[derive(Debug)]
pub struct Bound<N: Net> {
    /// The socket for datagrams.
    pub udp: N::Udp,
    /// The listener for streams.
    pub listener: N::Listener,
    /// The bound address, with the actual port if port 0 was requested.
    pub addr: SocketAddr,
}

/// A bound UDP socket.
pub trait Udp: Send + Sync + 'static {
    /// Waits until the socket may be readable.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits until the socket may be writable.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Receives one datagram, or fails with [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// Sends one datagram, or fails with [`io::ErrorKind::WouldBlock`]. Called from any thread.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize>;
}

/// A TCP listener.
pub trait Listener: Send + Sync + 'static {
    /// The accepted streams.
    type Stream: Stream;
    /// Accepts the next stream.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

/// A connected stream. Dropping it closes it.
pub trait Stream: Send + Sync + 'static {
    /// Waits until the stream may be readable.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits until the stream may be writable.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Reads some bytes, or fails with [`io::ErrorKind::WouldBlock`]; 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes some bytes, or fails with [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Shuts down the write half.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn shutdown_write(&self) -> io::Result<()>;
}
