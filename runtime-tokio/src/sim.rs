//! A host of a simulation in place of the operating system's network, clock and disk. Feature `sim`.
//!
//! `serf-sim` implements [`Host`] and [enters](enter) it while it runs the application of that host. Nodes that are started
//! meanwhile run on it; they are of the same type [`Serf`](crate::Serf) as real ones, so that an application has no type
//! parameter.

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use serf_runtime::net::{Disk, HostAddress};
use serf_runtime::{Instant, StartError};

use crate::WeakSerf;

/// A boxed future.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A simulated host: the environment of the nodes that run on it.
pub trait Host: fmt::Debug + Send + Sync + 'static {
    /// Returns the time of the host.
    fn now(&self) -> Instant;
    /// Sleeps.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;
    /// Spawns a task of a node.
    fn spawn(&self, task: BoxFuture<()>) -> Box<dyn Task>;
    /// Resolves a name.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is unknown.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
    /// Binds both sockets of a node.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not the host's or the port is taken.
    fn bind(&self, addr: SocketAddr) -> Result<Sockets, StartError>;
    /// Connects a stream.
    fn connect(&self, from: SocketAddr, to: SocketAddr) -> BoxFuture<io::Result<Arc<dyn Stream>>>;
    /// Returns the addresses of the host.
    fn addresses(&self) -> Vec<HostAddress>;
    /// Fills `bytes` from the seed of the simulation.
    fn entropy(&self, bytes: &mut [u8]);
    /// Returns the disk.
    fn disk(&self) -> Arc<dyn Disk>;
    /// Reports that a node has started.
    fn started(&self, node: WeakSerf);
}

/// A task of a node. Dropping it cancels the task.
pub trait Task: fmt::Debug + Send {
    /// Lets the task run to its end.
    fn detach(self: Box<Self>);
}

/// The sockets of a node.
#[derive(Debug)]
pub struct Sockets {
    /// The socket for datagrams.
    pub udp: Arc<dyn Datagrams>,
    /// The listener for streams.
    pub listener: Arc<dyn Listener>,
    /// The bound address.
    pub addr: SocketAddr,
}

/// A socket for datagrams. Sending never blocks.
pub trait Datagrams: fmt::Debug + Send + Sync {
    /// Waits for a datagram.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Receives a datagram, or fails with [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    ///
    /// Returns an error if there is no datagram.
    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// Sends a datagram.
    ///
    /// # Errors
    ///
    /// Returns an error if the datagram is too long.
    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize>;
}

/// A listener for streams.
pub trait Listener: fmt::Debug + Send + Sync {
    /// Accepts a stream.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Arc<dyn Stream>, SocketAddr)>>;
}

/// A stream. Dropping it closes it.
pub trait Stream: fmt::Debug + Send + Sync {
    /// Waits for bytes, the end or a failure.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Waits for room.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads some bytes, or fails with [`io::ErrorKind::WouldBlock`]; 0 at the end.
    ///
    /// # Errors
    ///
    /// Returns an error if there is nothing yet, or the stream was reset.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes some bytes, or fails with [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    ///
    /// Returns an error if there is no room, or the stream is closed.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Closes the write half.
    ///
    /// # Errors
    ///
    /// Returns an error if the stream was reset.
    fn shutdown_write(&self) -> io::Result<()>;
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Host>>> = const { RefCell::new(None) };
}

/// Makes a host the current one of this thread until the result is dropped.
#[must_use]
pub fn enter(host: Arc<dyn Host>) -> Entered {
    Entered { outer: CURRENT.replace(Some(host)) }
}

/// Returns the current host of this thread.
pub fn current() -> Option<Arc<dyn Host>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Guard of [`enter`].
#[derive(Debug)]
pub struct Entered {
    outer: Option<Arc<dyn Host>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.outer.take());
    }
}
