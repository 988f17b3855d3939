//! Addresses for agents that cannot choose a port themselves, or that come back at the one they had.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ephemeral ports (from 32768 on Linux, from 49152 on others): an ephemeral port that was just released may be
/// assigned to a connection or an agent of another test.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

/// Returns an address whose port is free for TCP and UDP and was not returned before.
pub(crate) fn free_at(ip: IpAddr) -> SocketAddr {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Programs of tests that run at the same time begin at different ports.
    let start = std::process::id().wrapping_mul(997);
    for _ in 0..COUNT {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(given) % COUNT;
        let address = SocketAddr::new(ip, u16::try_from(port).expect("is below 32 000"));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free for both");
}

/// A free address of loopback, as an agent takes it.
pub(crate) fn free_address() -> String {
    free_at(Ipv4Addr::LOCALHOST.into()).to_string()
}
