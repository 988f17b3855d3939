//! Sockets on network interfaces.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use crate::platform::{BINDS_TO_GROUPS, share_port};

/// Where to discover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The interface; all interfaces of the host when `None`.
    pub(crate) interface: Option<String>,
    /// Over IPv4.
    pub(crate) ipv4: bool,
    /// Over IPv6.
    pub(crate) ipv6: bool,
}

/// The sockets for IPv4 and IPv6. A host may lack one of them.
pub(crate) struct Network {
    scope: Scope,
    v4: Option<Pair>,
    v6: Option<Pair>,
}

/// A received packet, and the socket for the reply.
pub(crate) struct Received<'n> {
    pub(crate) length: usize,
    pub(crate) from: SocketAddr,
    socket: &'n UdpSocket,
}

impl Received<'_> {
    /// Sends a reply to the sender.
    pub(crate) async fn reply(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.send_to(packet, self.from).await.map(drop)
    }
}

struct Pair {
    /// Receives the questions of all hosts.
    listener: UdpSocket,
    /// Sends questions, and receives the answers, which come to its port only.
    asker: UdpSocket,
}

impl Network {
    /// Opens the sockets. One of the two protocols is enough.
    ///
    /// # Errors
    ///
    /// If neither opens, the error of the last one.
    pub(crate) fn open(scope: Scope) -> io::Result<Self> {
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "both IPv4 and IPv6 are disabled");
        let mut open = |is_wanted: bool, group: SocketAddr| {
            let opened = is_wanted.then(|| Pair::open(group))?;
            opened.map_err(|error| failure = error).ok()
        };
        let v4 = open(scope.ipv4, GROUP_V4);
        let v6 = open(scope.ipv6, GROUP_V6);
        if v4.is_none() && v6.is_none() { Err(failure) } else { Ok(Self { scope, v4, v6 }) }
    }

    /// Sends the question on every current interface, and listens on it from now on: interfaces appear and vanish.
    ///
    /// # Errors
    ///
    /// The question could be sent on no interface.
    pub(crate) async fn ask(&self, question: &[u8]) -> io::Result<()> {
        let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "no network interface to ask on"));
        let mut asked = Vec::new();
        for interface in if_addrs::get_if_addrs()? {
            let index = interface.index.unwrap_or(0);
            let is_wanted = self.scope.interface.as_ref().is_none_or(|wanted| *wanted == interface.name);
            if !is_wanted || asked.contains(&(index, interface.ip().is_ipv4())) {
                continue;
            }
            let sent = match (interface.ip(), &self.v4, &self.v6) {
                (IpAddr::V4(ip), Some(pair), _) => pair.ask_v4(ip, question).await,
                (IpAddr::V6(_), _, Some(pair)) if index != 0 => pair.ask_v6(index, question).await,
                _ => continue,
            };
            match sent {
                Ok(()) => {
                    asked.push((index, interface.ip().is_ipv4()));
                    result = Ok(());
                }
                Err(error) if result.is_err() => result = Err(error),
                Err(_) => {}
            }
        }
        result
    }

    /// Receives the next question.
    pub(crate) async fn next_question(&self, packet: &mut [u8]) -> io::Result<Received<'_>> {
        self.next(packet, |pair| &pair.listener).await
    }

    /// Receives the next answer.
    pub(crate) async fn next_answer(&self, packet: &mut [u8]) -> io::Result<Received<'_>> {
        self.next(packet, |pair| &pair.asker).await
    }

    /// Receives the next packet from a local link.
    async fn next(&self, packet: &mut [u8], which: impl Fn(&Pair) -> &UdpSocket) -> io::Result<Received<'_>> {
        let [v4, v6] = [&self.v4, &self.v6].map(|pair| pair.as_ref().map(&which));
        loop {
            let socket = tokio::select! {
                socket = readable(v4) => socket?,
                socket = readable(v6) => socket?,
            };
            match socket.try_recv_from(packet) {
                Ok((length, from)) if is_near(from.ip()) => return Ok(Received { length, from, socket }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

async fn readable(socket: Option<&UdpSocket>) -> io::Result<&UdpSocket> {
    match socket {
        Some(socket) => socket.readable().await.map(|()| socket),
        None => core::future::pending().await,
    }
}

impl Pair {
    fn open(group: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = if group.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let listener = socket(group)?;
        // Other programs of this host that use mDNS bind the same port.
        listener.set_reuse_address(true)?;
        share_port(&listener)?;
        // Bound to the group, the socket receives only the group's packets. An IPv6 group would have to be bound to one
        // link.
        let bound = if BINDS_TO_GROUPS && group.is_ipv4() { group } else { SocketAddr::new(any, group.port()) };
        listener.bind(&bound.into())?;
        let asker = socket(group)?;
        asker.bind(&SocketAddr::new(any, 0).into())?;
        Ok(Self { listener: UdpSocket::from_std(listener.into())?, asker: UdpSocket::from_std(asker.into())? })
    }

    async fn ask_v4(&self, interface: Ipv4Addr, question: &[u8]) -> io::Result<()> {
        let joined = self.listener.join_multicast_v4(GROUP_V4_IP, interface);
        joined.or_else(unless_joined)?;
        SockRef::from(&self.asker).set_multicast_if_v4(&interface)?;
        self.asker.send_to(question, GROUP_V4).await.map(drop)
    }

    async fn ask_v6(&self, interface: u32, question: &[u8]) -> io::Result<()> {
        let joined = self.listener.join_multicast_v6(&GROUP_V6_IP, interface);
        joined.or_else(unless_joined)?;
        SockRef::from(&self.asker).set_multicast_if_v6(interface)?;
        self.asker.send_to(question, GROUP_V6).await.map(drop)
    }
}

/// Whether the sender may be on a local link. IPv6 sockets also receive unicast packets, from anywhere; a distant
/// sender gets no answer (section 11 of RFC 6762).
const fn is_near(from: IpAddr) -> bool {
    match from {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback() || ip.is_unique_local(),
    }
}

/// Opens a socket with multicast loop, so that agents on this host receive each other's packets.
fn socket(group: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if group.is_ipv4() {
        socket.set_multicast_loop_v4(true)?;
        socket.set_multicast_ttl_v4(HOPS)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_multicast_loop_v6(true)?;
        socket.set_multicast_hops_v6(HOPS)?;
    }
    Ok(socket)
}

/// Ignores the error for joining a group twice.
fn unless_joined(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AddrInUse { Ok(()) } else { Err(error) }
}

const GROUP_V4_IP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6_IP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const PORT: u16 = 5353;
const GROUP_V4: SocketAddr = SocketAddr::new(IpAddr::V4(GROUP_V4_IP), PORT);
const GROUP_V6: SocketAddr = SocketAddr::new(IpAddr::V6(GROUP_V6_IP), PORT);

/// The hop limit of packets. One that arrives with fewer was forwarded, which is not allowed (section 11 of RFC 6762).
const HOPS: u32 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_addresses_are_answered() {
        let near = |ip: &str| is_near(ip.parse().expect("is one"));
        assert!(near("192.0.2.1") && near("fe80::1") && near("::1") && near("fd00::1"));
        assert!(!near("2001:db8::1"));
    }
}
