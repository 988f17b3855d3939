//! The sockets of a node: tokio's, or with the feature `sim` those of a simulated host.

use core::net::SocketAddr;
use std::io;
use std::net::Shutdown;

use serf_runtime::net;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

#[cfg(feature = "sim")]
use crate::sim;

/// Declares the type of a socket: tokio's, or with the feature `sim` that of a simulated host.
macro_rules! socket {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $tokio:ty, $simulated:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub(crate) $kind);

        #[derive(Debug)]
        pub(crate) enum $kind {
            Tokio($tokio),
            #[cfg(feature = "sim")]
            Simulated(std::sync::Arc<dyn sim::$simulated>),
        }
    };
}

socket!(
    /// A UDP socket.
    Datagrams, DatagramsKind, UdpSocket, Datagrams
);
socket!(
    /// A TCP listener.
    Listener, ListenerKind, TcpListener, Listener
);
socket!(
    /// A TCP stream.
    Stream, StreamKind, TcpStream, Stream
);

impl net::Udp for Datagrams {
    async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            DatagramsKind::Tokio(socket) => socket.readable().await,
            #[cfg(feature = "sim")]
            DatagramsKind::Simulated(socket) => core::future::poll_fn(|cx| socket.poll_readable(cx)).await,
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match &self.0 {
            DatagramsKind::Tokio(socket) => socket.writable().await,
            #[cfg(feature = "sim")]
            DatagramsKind::Simulated(_) => Ok(()),
        }
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            DatagramsKind::Tokio(socket) => socket.try_recv_from(buffer),
            #[cfg(feature = "sim")]
            DatagramsKind::Simulated(socket) => socket.try_recv(buffer),
        }
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        match &self.0 {
            DatagramsKind::Tokio(socket) => socket.try_send_to(datagram, to),
            #[cfg(feature = "sim")]
            DatagramsKind::Simulated(socket) => socket.try_send(datagram, to),
        }
    }
}

impl net::Listener for Listener {
    type Stream = Stream;

    async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.0 {
            ListenerKind::Tokio(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((Stream(StreamKind::Tokio(stream)), from))
            }
            #[cfg(feature = "sim")]
            ListenerKind::Simulated(listener) => {
                let (stream, from) = core::future::poll_fn(|cx| listener.poll_accept(cx)).await?;
                Ok((Stream(StreamKind::Simulated(stream)), from))
            }
        }
    }
}

impl net::Stream for Stream {
    async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            StreamKind::Tokio(stream) => stream.readable().await,
            #[cfg(feature = "sim")]
            StreamKind::Simulated(stream) => core::future::poll_fn(|cx| stream.poll_readable(cx)).await,
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match &self.0 {
            StreamKind::Tokio(stream) => stream.writable().await,
            #[cfg(feature = "sim")]
            StreamKind::Simulated(stream) => core::future::poll_fn(|cx| stream.poll_writable(cx)).await,
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            StreamKind::Tokio(stream) => stream.try_read(buffer),
            #[cfg(feature = "sim")]
            StreamKind::Simulated(stream) => stream.try_read(buffer),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            StreamKind::Tokio(stream) => stream.try_write(bytes),
            #[cfg(feature = "sim")]
            StreamKind::Simulated(stream) => stream.try_write(bytes),
        }
    }

    fn shutdown_write(&self) -> io::Result<()> {
        match &self.0 {
            StreamKind::Tokio(stream) => socket2::SockRef::from(stream).shutdown(Shutdown::Write),
            #[cfg(feature = "sim")]
            StreamKind::Simulated(stream) => stream.shutdown_write(),
        }
    }
}
