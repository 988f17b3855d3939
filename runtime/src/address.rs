//! Selection of the address that a node advertises.

use core::cmp::Reverse;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::net::UdpSocket;

use serf_proto::canonical;

use crate::error::StartError;
use crate::interfaces::HostAddress;

/// The advertised address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertised {
    pub(crate) addr: SocketAddr,
    /// Set when the address was selected from the host's interfaces instead of configured.
    pub(crate) chosen: Option<Chosen>,
}

/// The interface and the candidates that an address was selected from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The interface that has the address.
    pub(crate) interface: String,
    /// All addresses of the host at the time of the selection.
    pub(crate) known: Vec<IpAddr>,
}

/// Returns the address to advertise, from the configured address and the bound one (`GetAdvertiseAddr` and
/// `FinalAdvertiseAddr` in memberlist's net_transport.go).
pub(crate) fn advertised(
    wanted: Option<SocketAddr>,
    bound: SocketAddr,
    of_host: impl FnOnce() -> Vec<HostAddress>,
) -> Result<Advertised, StartError> {
    if let Some(wanted) = wanted {
        if wanted.ip().is_unspecified() {
            return Err(StartError::AdvertiseUnspecified { addr: wanted });
        }
        let port = if wanted.port() == 0 { bound.port() } else { wanted.port() };
        return Ok(Advertised { addr: SocketAddr::new(wanted.ip(), port), chosen: None });
    }
    if !bound.ip().is_unspecified() {
        return Ok(Advertised { addr: bound, chosen: None });
    }
    let found = of_host();
    let candidates = candidates(&found, bound.is_ipv6());
    let Some(taken) = candidates.first() else {
        return Err(StartError::NoPrivateAddress {
            bind: bound,
            found: found.iter().map(|address| address.ip).collect(),
        });
    };
    if candidates.len() > 1 {
        let others: Vec<String> = candidates[1..].iter().map(|it| format!("{} ({})", it.ip, it.interface)).collect();
        tracing::info!(
            taken = %taken.ip, interface = %taken.interface, others = %others.join(", "),
            "the host has several private addresses; advertise or bind to one to choose another"
        );
    }
    let known = found.iter().map(|address| address.ip).collect();
    let chosen = Chosen { interface: taken.interface.clone(), known };
    Ok(Advertised { addr: SocketAddr::new(taken.ip, bound.port()), chosen: Some(chosen) })
}

/// Returns the private addresses, best first: the interface of the default route, then IPv4 before IPv6, then larger
/// networks before smaller ones, then interface order (`GetPrivateInterfaces` of HashiCorp's go-sockaddr).
fn candidates(found: &[HostAddress], or_ipv6: bool) -> Vec<&HostAddress> {
    let usable = |address: &&HostAddress| is_private(address.ip) && (or_ipv6 || address.ip.is_ipv4());
    let mut candidates: Vec<&HostAddress> = found.iter().filter(usable).collect();
    candidates.sort_by_key(|address| address.preference());
    candidates
}

/// Returns the address that replaces a missing one. Immediately: only an address of the same family that is new on the
/// same interface, because then the host was renumbered. After a long absence also any other address of that interface
/// or of the default route's interface, because a host that is being reconfigured may have had it before. Addresses of
/// other interfaces, for example a container bridge, are never successors.
pub(crate) fn successor(
    found: &[HostAddress],
    gone: IpAddr,
    chosen: &Chosen,
    is_gone_for_long: bool,
    or_ipv6: bool,
) -> Option<IpAddr> {
    let is_its_interface = |address: &HostAddress| address.interface == chosen.interface;
    let is_new = |ip: IpAddr| ip.is_ipv4() == gone.is_ipv4() && !chosen.known.contains(&ip);
    let succeeds = |address: &&&HostAddress| {
        let at_once = is_its_interface(address) && is_new(address.ip);
        at_once || is_gone_for_long && (is_its_interface(address) || address.is_default)
    };
    candidates(found, or_ipv6).iter().find(succeeds).map(|address| address.ip)
}

impl HostAddress {
    /// Key to sort addresses by, best first: the interface of the default route, then IPv4 before IPv6, then larger
    /// networks before smaller ones (the order `default,type,size` of HashiCorp's go-sockaddr).
    pub fn preference(&self) -> impl Ord + use<> {
        (Reverse(self.is_default), self.ip.is_ipv6(), self.prefix_bits)
    }

    /// Whether the address is private, as HashiCorp's go-sockaddr defines it: the networks of RFC 6890 that may be
    /// forwarded, without those for documentation.
    pub fn is_private(&self) -> bool {
        is_private(self.ip)
    }

    /// Whether packets to the address may be forwarded (`ForwardingBlacklist` in go-sockaddr's rfc.go).
    pub fn is_forwardable(&self) -> bool {
        match self.ip {
            IpAddr::V4(ip) => !matches!(
                ip.octets(),
                [0 | 127 | 240.., ..] | [169, 254, ..] | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _]
            ),
            IpAddr::V6(ip) => match ip.segments() {
                [0x2001, 0x0db8, ..] => false,
                [0x2001, second, ..] if second & 0xfff0 == 0x0010 => false,
                _ => {
                    let is_mapped = ip.to_ipv4_mapped().is_some();
                    !ip.is_loopback() && !ip.is_unspecified() && !is_mapped && !ip.is_unicast_link_local()
                }
            },
        }
    }
}

/// Whether go-sockaddr counts the address as private: the networks of RFC 6890 that may be forwarded, without those for
/// documentation.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [10, ..] | [192, 168, ..] | [192, 88, 99, _] => true,
            [100, second, ..] => second & 0xc0 == 64,
            [172, second, ..] => second & 0xf0 == 16,
            [198, second, ..] => second & 0xfe == 18,
            _ => false,
        },
        IpAddr::V6(ip) => match ip.segments() {
            [0x2001, 0x0db8, ..] => false,
            [0x2001, second, ..] if second & 0xfff0 == 0x0010 => false,
            [0x2001 | 0x2002, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x100, 0, 0, 0, ..] => true,
            _ => ip.is_unique_local(),
        },
    }
}

/// Whether the system has this address, for [`Net::has_address`](crate::net::Net::has_address). Tests it by binding a
/// socket.
pub fn is_of_host(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).map_or_else(|error| error.kind() != std::io::ErrorKind::AddrNotAvailable, |_| true)
}

/// Converts `to` to the address family of the socket: a dual-stack socket takes IPv4 addresses in mapped form only.
pub(crate) fn for_socket(to: SocketAddr, is_dual: bool) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) if is_dual => SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()),
        _ => to,
    }
}

/// Whether a node bound to `bound` can send to `to`.
pub(crate) fn reaches(bound: SocketAddr, to: SocketAddr) -> bool {
    match (bound.ip(), canonical(to).ip()) {
        (IpAddr::V4(_), to) => to.is_ipv4(),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), _) => true,
        (IpAddr::V6(_), to) => to.is_ipv6(),
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    /// Test notation of an address: interface name before it, a star after the name if the default route uses the
    /// interface.
    fn host(text: &[&str]) -> Vec<HostAddress> {
        let address = |text: &&str| {
            let (interface, rest) = text.split_once(' ').unwrap_or(("eth0", text));
            let (ip, prefix_bits) = rest.split_once('/').unwrap_or((rest, "24"));
            HostAddress {
                ip: ip.parse().unwrap(),
                interface: interface.trim_end_matches('*').to_owned(),
                prefix_bits: prefix_bits.parse().unwrap(),
                is_default: interface.ends_with('*'),
            }
        };
        text.iter().map(address).collect()
    }

    fn chosen(wanted: Option<&str>, bound: &str, has: &[&str]) -> Result<String, StartError> {
        let wanted = wanted.map(|addr| addr.parse().unwrap());
        advertised(wanted, bound.parse().unwrap(), || host(has)).map(|it| it.addr.to_string())
    }

    #[test]
    fn an_address_that_was_asked_for_is_taken_with_the_bound_port_for_port_0() {
        assert_eq!(chosen(Some("198.51.100.7:0"), "0.0.0.0:7000", &[]).unwrap(), "198.51.100.7:7000");
        assert_eq!(chosen(Some("198.51.100.7:99"), "10.0.0.1:7000", &[]).unwrap(), "198.51.100.7:99");
    }

    #[test]
    fn a_bound_address_is_announced_as_it_is() {
        assert_eq!(chosen(None, "203.0.113.9:7946", &["10.0.0.1"]).unwrap(), "203.0.113.9:7946");
        assert_eq!(chosen(None, "[::1]:7946", &[]).unwrap(), "[::1]:7946");
    }

    #[test]
    fn the_first_private_address_is_announced() {
        let host = ["203.0.113.9", "fd00::1", "100.64.0.3", "10.0.0.1"];
        assert_eq!(chosen(None, "0.0.0.0:7946", &host).unwrap(), "100.64.0.3:7946");
        assert_eq!(chosen(None, "[::]:7946", &host).unwrap(), "100.64.0.3:7946");
        assert_eq!(chosen(None, "[::]:7946", &host[..2]).unwrap(), "[fd00::1]:7946");
    }

    #[test]
    fn candidates_are_ordered_by_default_route_family_network_and_interface() {
        for (host, best) in [
            (&["docker0 172.17.0.1/16", "eth0* 10.20.0.1/24"][..], "10.20.0.1"),
            (&["eth0 10.20.0.1/8", "eth1* fd00::2/64"], "fd00::2"),
            (&["eth0* fd00::1/64", "eth0* 192.168.0.1/24"], "192.168.0.1"),
            (&["eth0 192.168.0.1/24", "eth1 10.0.0.1/8"], "10.0.0.1"),
            (&["eth0 192.168.0.1/24", "eth1 10.0.0.1/24"], "192.168.0.1"),
            (&["wan* 203.0.113.9/24", "lan 10.0.0.1/24", "vpn 10.8.0.1/24"], "10.0.0.1"),
            (&["wan* 198.51.100.1/24", "wan* 10.0.0.7/32", "lan 10.0.0.1/8"], "10.0.0.7"),
        ] {
            let ip: IpAddr = best.parse().unwrap();
            assert_eq!(chosen(None, "[::]:7", host).unwrap(), SocketAddr::new(ip, 7).to_string(), "{host:?}");
        }
    }

    #[test]
    fn a_successor_is_on_the_same_interface_or_the_default_routes() {
        let known = ["10.31.0.3", "10.31.0.100", "fd00::3", "172.17.0.1"].map(|ip| ip.parse().unwrap()).into();
        let chosen = Chosen { interface: "eth0".into(), known };
        let next = |has: &[&str]| {
            let after = |long| successor(&host(has), chosen.known[0], &chosen, long, true).map(|ip| ip.to_string());
            (after(false), after(true))
        };
        let some = |ip: &str| Some(ip.to_owned());
        let (new, old) = (["docker0 172.17.0.1/16", "eth0 10.31.0.33/24"], ["eth0 10.31.0.100/24", "eth0 fd00::3/64"]);
        assert_eq!(next(&new), (some("10.31.0.33"), some("10.31.0.33")), "the host was renumbered");
        assert_eq!(next(&old), (None, some("10.31.0.100")), "the host may be in the middle of a reconfiguration");
        assert_eq!(next(&["eth0 fd00::33/64"]), (None, some("fd00::33")));
        assert_eq!(next(&["docker0 172.17.0.1/16", "wlan0* 10.31.0.33/24"]), (None, some("10.31.0.33")));
        assert_eq!(next(&["docker0 172.17.0.1/16", "docker1 172.18.0.1/16", "eth0 169.254.3.4/16"]), (None, None));
        assert_eq!(next(&[]), (None, None));
    }

    #[test]
    fn private_is_what_go_sockaddr_takes_for_it() {
        let is = |text: &str| is_private(text.parse().unwrap());
        for yes in [
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "192.88.99.1",
            "198.18.0.0",
            "198.19.255.255",
            "fc00::1",
            "fdff::1",
            "2001::1",
            "2001:4860::1",
            "2002::1",
            "64:ff9b::1",
            "100::1",
        ] {
            assert!(is(yes), "{yes}");
        }
        for no in [
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "169.254.0.1",
            "192.0.2.1",
            "203.0.113.1",
            "127.0.0.1",
            "::1",
            "fe80::1",
            "2001:db8::1",
            "2001:10::1",
            "2001:1f::1",
            "2a00::1",
            "fe00::1",
        ] {
            assert!(!is(no), "{no}");
        }
    }

    #[test]
    fn forwardable_is_what_go_sockaddr_takes_for_it() {
        let is = |text: &str| host(&[text])[0].is_forwardable();
        for yes in ["1.0.0.0", "239.255.255.255", "169.253.0.1", "192.0.1.1", "198.51.101.1", "2a00::1", "fec0::1"] {
            assert!(is(yes), "{yes}");
        }
        for no in ["0.1.2.3", "127.0.0.2", "240.0.0.1", "255.255.255.255", "169.254.0.1", "192.0.0.1", "192.0.2.1"] {
            assert!(!is(no), "{no}");
        }
        for no in
            ["198.51.100.1", "203.0.113.1", "::1", "::", "::ffff:10.0.0.1", "fe80::1", "2001:db8::1", "2001:1f::1"]
        {
            assert!(!is(no), "{no}");
        }
    }

    #[test]
    fn the_host_has_its_loopback_and_not_the_addresses_of_documentation() {
        assert!(is_of_host(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_of_host("192.0.2.77".parse().unwrap()));
    }

    #[test]
    fn no_unreachable_address_is_announced() {
        assert!(matches!(
            chosen(Some("0.0.0.0:7946"), "0.0.0.0:7946", &[]),
            Err(StartError::AdvertiseUnspecified { .. })
        ));
        let none = chosen(None, "0.0.0.0:7946", &["203.0.113.9", "fd00::1"]);
        assert!(matches!(none, Err(StartError::NoPrivateAddress { found, .. }) if found.len() == 2));
    }

    #[test]
    fn a_socket_for_both_kinds_sees_ipv4_as_mapped_and_the_protocol_does_not() {
        let plain: SocketAddr = "10.0.0.1:7".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:7".parse().unwrap();
        assert_eq!(for_socket(plain, true), mapped);
        assert_eq!(for_socket(plain, false), plain);
        assert_eq!(canonical(mapped), plain);
    }

    #[test]
    fn a_socket_of_one_kind_does_not_reach_the_other() {
        let [v4, v6]: [SocketAddr; 2] = ["10.0.0.1:7".parse().unwrap(), "[2001:db8::1]:7".parse().unwrap()];
        assert!(reaches("0.0.0.0:1".parse().unwrap(), v4) && !reaches("0.0.0.0:1".parse().unwrap(), v6));
        assert!(reaches("[::]:1".parse().unwrap(), v4) && reaches("[::]:1".parse().unwrap(), v6));
        assert!(!reaches("[::1]:1".parse().unwrap(), v4) && reaches("[::1]:1".parse().unwrap(), v6));
    }
}
