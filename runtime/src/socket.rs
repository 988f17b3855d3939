//! Sockets of the operating system: binds one address for UDP and TCP; resolves names.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{StartError, Transport};

/// UDP socket and TCP listener of the operating system on the same address and port, both non-blocking.
#[derive(Debug)]
pub struct Sockets {
    /// The UDP socket.
    pub udp: UdpSocket,
    /// The TCP listener.
    pub tcp: TcpListener,
    /// The bound address, with the actual port if port 0 was requested.
    pub addr: SocketAddr,
}

/// Binds both sockets, for [`Net::bind`](crate::net::Net::bind) of an adapter. `0.0.0.0` also stands for all IPv6
/// addresses, if the host has IPv6. With port 0 the system selects a port for TCP; if UDP has no such port free, another
/// is tried.
///
/// # Errors
///
/// Returns [`StartError::Bind`] with the operating system's error.
pub fn bind(addr: SocketAddr) -> Result<Sockets, StartError> {
    bind_one(of_both_kinds(addr))
}

fn bind_one(addr: SocketAddr) -> Result<Sockets, StartError> {
    bind_with(addr, bind_udp)
}

/// Extends a bind to all IPv4 addresses to all IPv6 addresses if the host has IPv6, as Go's `net.Listen` does.
fn of_both_kinds(bind: SocketAddr) -> SocketAddr {
    let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let is_any = bind.ip() == Ipv4Addr::UNSPECIFIED && bind_one(both).is_ok();
    if is_any { SocketAddr::new(both.ip(), bind.port()) } else { bind }
}

/// Resolves a name by the system's resolver, for [`Net::resolve`](crate::net::Net::resolve). Blocks.
///
/// # Errors
///
/// Returns the resolver's error.
pub fn resolve(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
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
    fn every_address_of_ipv4_is_every_address_and_one_address_is_that_one() {
        let both = of_both_kinds("0.0.0.0:7946".parse().unwrap());
        assert!(both.port() == 7946 && both.ip().is_unspecified());
        for one in ["127.0.0.1:7946", "[::1]:7946", "[::]:0"] {
            assert_eq!(of_both_kinds(one.parse().unwrap()), one.parse().unwrap());
        }
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
