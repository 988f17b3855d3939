//! Abstraction of an async runtime, as the driver needs it. Mechanism only, no policy.

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use serf_proto::Instant;

/// An async runtime: clock, tasks, sockets. `serf-tokio` and `serf-smol` implement it; implement it yourself for
/// another runtime.
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

    /// Resolves a host name to addresses without blocking the caller's thread.
    fn resolve(&self, host: String, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Registers a bound, non-blocking socket with the runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the runtime cannot poll it.
    fn udp(&self, socket: std::net::UdpSocket) -> io::Result<Self::Udp>;

    /// Registers a listening, non-blocking socket with the runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the runtime cannot poll it.
    fn listener(&self, socket: std::net::TcpListener) -> io::Result<Self::Listener>;

    /// Connects a stream. Called within spawned tasks only.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;
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
