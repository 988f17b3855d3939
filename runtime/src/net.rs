//! What the driver needs of an async runtime. Mechanism only: nothing here decides anything.

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use serf_proto::Instant;

/// An async runtime: clock, tasks, sockets. `serf-tokio` and `serf-smol` implement it; so can you, for another.
///
/// Sockets are non-blocking and come in pairs of methods: wait until one is ready, then try. A packet is thereby read into a
/// buffer that all nodes of a thread share, and an idle node holds none.
pub trait Net: Sized + Send + Sync + 'static {
    /// A socket for datagrams.
    type Udp: Udp;
    /// A socket that streams come in on.
    type Listener: Listener<Stream = Self::Stream>;
    /// A stream.
    type Stream: Stream;
    /// A task that was spawned. Dropping it cancels the task: its future is dropped at once, or as soon as it is not running.
    type Task: Send + 'static;

    /// The runtime that the caller runs on.
    ///
    /// # Errors
    ///
    /// When there is none.
    fn current() -> io::Result<Self>;

    /// The time since an origin of this runtime's choice. Never goes back.
    fn now(&self) -> Instant;

    /// Waits. Called within spawned tasks only.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Runs a task in the background.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Self::Task;

    /// Lets a task run to its end though nobody holds it.
    fn detach(&self, task: Self::Task);

    /// The addresses of a host name, without blocking the caller's thread.
    fn resolve(&self, host: String, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Takes a bound, non-blocking socket.
    ///
    /// # Errors
    ///
    /// When the runtime cannot wait for it.
    fn udp(&self, socket: std::net::UdpSocket) -> io::Result<Self::Udp>;

    /// Takes a listening, non-blocking socket.
    ///
    /// # Errors
    ///
    /// When the runtime cannot wait for it.
    fn listener(&self, socket: std::net::TcpListener) -> io::Result<Self::Listener>;

    /// Opens a stream. Called within spawned tasks only.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A bound socket for datagrams.
pub trait Udp: Send + Sync + 'static {
    /// Waits until there may be a datagram.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits until there may be room to send.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Takes one datagram, or fails with [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// Sends one datagram, or fails with [`io::ErrorKind::WouldBlock`]. Called from any thread.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize>;
}

/// A socket that streams come in on.
pub trait Listener: Send + Sync + 'static {
    /// What it gives.
    type Stream: Stream;
    /// Waits for the next stream.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

/// A connected stream. Dropping it closes it.
pub trait Stream: Send + Sync + 'static {
    /// Waits until there may be bytes to read.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits until there may be room to write.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Reads some bytes, or fails with [`io::ErrorKind::WouldBlock`]; 0 when the peer has closed.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes some bytes, or fails with [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Says that nothing more will be written.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn shutdown_write(&self) -> io::Result<()>;
}
