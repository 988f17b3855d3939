//! Binds one address for UDP and TCP.

use core::net::SocketAddr;
use std::io;
use std::net::{TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{StartError, Transport};

/// UDP socket and TCP listener on the same address and port.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) udp: UdpSocket,
    pub(crate) tcp: TcpListener,
    /// The bound address, with the actual port if port 0 was requested.
    pub(crate) addr: SocketAddr,
}

/// Binds both sockets. With port 0 the system selects a port for TCP; if UDP has no such port free, another is tried.
pub(crate) fn bind(addr: SocketAddr) -> Result<Sockets, StartError> {
    bind_with(addr, bind_udp)
}

fn bind_with(
    addr: SocketAddr,
    mut bind_udp: impl FnMut(SocketAddr) -> io::Result<UdpSocket>,
) -> Result<Sockets, StartError> {
    let mut tries_left = if addr.port() == 0 { PORTS_TRIED } else { 1 };
    loop {
        tries_left -= 1;
        let failed = |transport, addr| move |source| StartError::Bind { transport, addr, source };
        let tcp = bind_tcp(addr).map_err(failed(Transport::Tcp, addr))?;
        let bound = tcp.local_addr().map_err(failed(Transport::Tcp, addr))?;
        match bind_udp(bound) {
            Ok(udp) => return Ok(Sockets { udp, tcp, addr: bound }),
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {}
            Err(error) => return Err(failed(Transport::Udp, bound)(error)),
        }
    }
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // On Unix this lets a restarted node take its port back while old connections linger; elsewhere it would let two
    // nodes share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    prepare(&socket, addr)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, addr)?;
    // A large buffer, so that bursts of gossip are not lost. The node starts with a smaller one too.
    let _less = socket.set_recv_buffer_size(RECV_BUFFER_BYTES);
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn prepare(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    if is_dual(addr) {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)
}

/// Whether a socket bound to `addr` is dual-stack.
pub(crate) fn is_dual(addr: SocketAddr) -> bool {
    addr.is_ipv6() && addr.ip().is_unspecified()
}

/// memberlist's value (`udpRecvBufSize` in net_transport.go).
const RECV_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Pending connections, for many nodes that join at once.
const BACKLOG: i32 = 1024;

/// Number of ports to try. memberlist tries ten.
const PORTS_TRIED: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sockets_have_the_port_that_the_system_chose() {
        let sockets = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(sockets.addr.port(), 0);
        assert_eq!(sockets.udp.local_addr().unwrap(), sockets.addr);
        assert_eq!(sockets.tcp.local_addr().unwrap(), sockets.addr);
    }

    #[test]
    fn another_port_is_tried_when_the_chosen_one_is_taken_for_the_other_transport() {
        let mut asked = Vec::new();
        let sockets = bind_with("127.0.0.1:0".parse().unwrap(), |addr| {
            asked.push(addr);
            if asked.len() < 3 { Err(io::ErrorKind::AddrInUse.into()) } else { bind_udp(addr) }
        });
        assert_eq!(sockets.unwrap().addr, asked[2]);
    }

    #[test]
    fn a_given_port_is_the_only_one_tried() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let error = bind(addr).unwrap_err();
        assert!(matches!(error, StartError::Bind { transport: Transport::Udp, addr: at, .. } if at == addr), "{error}");
    }
}
