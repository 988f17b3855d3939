//! Sockets of an application on the virtual network, with the names and methods of `tokio::net`.
//!
//! An application that has an interface of its own beside its node, such as HTTP, binds these in tests:
//!
//! ```ignore
//! #[cfg(not(test))]
//! use tokio::net::{TcpListener, TcpStream};
//! #[cfg(test)]
//! use serf_sim::net::{TcpListener, TcpStream};
//! ```
//!
//! They work on a host of a simulation only, that is in the future passed to [`hosts`](crate::Network::hosts) and in the
//! tasks that it spawns.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::Arc;

use serf_tokio::sim::{Datagrams as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::host::{HostEnv, current};
use crate::sockets::{Owner, StreamEnd, Tcp, Udp};

/// An address of a socket: a [`SocketAddr`], or `host:port` with the name of a host.
pub trait ToAddr {
    /// Returns the address.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not an address or names no host.
    fn to_addr(&self) -> io::Result<SocketAddr>;
}

impl ToAddr for SocketAddr {
    fn to_addr(&self) -> io::Result<SocketAddr> {
        Ok(*self)
    }
}

impl ToAddr for str {
    fn to_addr(&self) -> io::Result<SocketAddr> {
        if let Ok(addr) = self.parse() {
            return Ok(addr);
        }
        let (host, port) = self.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        let port = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(SocketAddr::new(here()?.resolve_name(host)?, port))
    }
}

impl ToAddr for String {
    fn to_addr(&self) -> io::Result<SocketAddr> {
        self.as_str().to_addr()
    }
}

impl<T: ToAddr + ?Sized> ToAddr for &T {
    fn to_addr(&self) -> io::Result<SocketAddr> {
        (**self).to_addr()
    }
}

fn here() -> io::Result<Arc<HostEnv>> {
    current().ok_or_else(|| io::Error::other("not on a host of a simulation"))
}

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket(Udp);

impl UdpSocket {
    /// Binds a socket on this host. Port 0 selects a free one.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not the host's or the port is taken.
    pub async fn bind(addr: impl ToAddr) -> io::Result<Self> {
        Udp::bind(&here()?, addr.to_addr()?, Owner::Application).map(Self)
    }

    /// Returns the bound address.
    ///
    /// # Errors
    ///
    /// None; the result is that of tokio's method.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.addr)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    ///
    /// Returns an error if the datagram is longer than 65507 bytes or the address is unknown.
    pub async fn send_to(&self, bytes: &[u8], to: impl ToAddr) -> io::Result<usize> {
        self.0.try_send(bytes, to.to_addr()?)
    }

    /// Receives a datagram. What does not fit into the buffer is lost. Cancel safe.
    ///
    /// # Errors
    ///
    /// None; the result is that of tokio's method.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        core::future::poll_fn(|cx| self.0.poll_readable(cx)).await?;
        self.0.try_recv(buffer)
    }
}

/// A TCP listener.
#[derive(Debug)]
pub struct TcpListener(Tcp);

impl TcpListener {
    /// Binds a listener on this host. Port 0 selects a free one.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not the host's or the port is taken.
    pub async fn bind(addr: impl ToAddr) -> io::Result<Self> {
        Tcp::bind(&here()?, addr.to_addr()?, Owner::Application).map(Self)
    }

    /// Returns the bound address.
    ///
    /// # Errors
    ///
    /// None; the result is that of tokio's method.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.addr)
    }

    /// Accepts a stream. Cancel safe.
    ///
    /// # Errors
    ///
    /// None; the result is that of tokio's method.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = core::future::poll_fn(|cx| self.0.poll_accept_stream(cx)).await?;
        Ok((TcpStream(stream), from))
    }
}

/// A TCP stream. Dropping it closes it.
#[derive(Debug)]
pub struct TcpStream(StreamEnd);

impl TcpStream {
    /// Connects to a listener. Waits while a partition is between the hosts.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing listens there or the address is unknown.
    pub async fn connect(to: impl ToAddr) -> io::Result<Self> {
        let here = here()?;
        let unspecified = core::net::Ipv4Addr::UNSPECIFIED.into();
        StreamEnd::connect(here, unspecified, to.to_addr()?, Owner::Application).await.map(Self)
    }

    /// Returns the address of this side.
    ///
    /// # Errors
    ///
    /// Returns an error if the stream was reset.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.addrs().map(|[local, _]| local)
    }

    /// Returns the address of the other side.
    ///
    /// # Errors
    ///
    /// Returns an error if the stream was reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.addrs().map(|[_, peer]| peer)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_readable(cx))?;
        let len = self.0.try_read(buffer.initialize_unfilled())?;
        buffer.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.0.poll_writable(cx))?;
        Poll::Ready(self.0.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown_write())
    }
}
