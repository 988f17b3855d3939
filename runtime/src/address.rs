//! Which address a node announces.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::StartError;

/// The address that others are told, given what was asked for and where the node is bound (`GetAdvertiseAddr` and
/// `FinalAdvertiseAddr` in memberlist's net_transport.go).
pub(crate) fn advertised(
    wanted: Option<SocketAddr>,
    bound: SocketAddr,
    of_host: impl FnOnce() -> Vec<IpAddr>,
) -> Result<SocketAddr, StartError> {
    if let Some(wanted) = wanted {
        if wanted.ip().is_unspecified() {
            return Err(StartError::AdvertiseUnspecified { addr: wanted });
        }
        let port = if wanted.port() == 0 { bound.port() } else { wanted.port() };
        return Ok(SocketAddr::new(wanted.ip(), port));
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let found = of_host();
    match first_private(&found, bound.is_ipv6()) {
        Some(ip) => Ok(SocketAddr::new(ip, bound.port())),
        None => Err(StartError::NoPrivateAddress { bind: bound, found }),
    }
}

/// The first private IPv4 address; or, if IPv6 is an option, the first unique local one.
fn first_private(found: &[IpAddr], or_ipv6: bool) -> Option<IpAddr> {
    let ipv4 = found.iter().find(|ip| matches!(ip, IpAddr::V4(ip) if is_private(*ip)));
    let ipv6 = || found.iter().find(|ip| or_ipv6 && matches!(ip, IpAddr::V6(ip) if ip.is_unique_local()));
    ipv4.or_else(ipv6).copied()
}

/// RFC 1918, and RFC 6598's shared space.
fn is_private(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    ip.is_private() || (first == 100 && (64..128).contains(&second))
}

/// The addresses of the host's interfaces that are up, without loopback.
pub(crate) fn of_host() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let up = interfaces.into_iter().filter(|interface| interface.is_oper_up() && !interface.is_loopback());
    up.map(|interface| interface.ip()).collect()
}

/// How a socket bound to an address of `local`'s kind writes `to`: a socket for both kinds knows IPv4 as mapped only.
pub(crate) fn for_socket(to: SocketAddr, is_dual: bool) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) if is_dual => SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()),
        _ => to,
    }
}

/// An address as the protocol writes it: mapped IPv4 in its plain form.
pub(crate) fn canonical(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

/// Whether a node bound to `bound` can send to `to` at all.
pub(crate) fn reaches(bound: SocketAddr, to: SocketAddr) -> bool {
    match (bound.ip(), canonical(to).ip()) {
        (IpAddr::V4(_), to) => to.is_ipv4(),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), _) => true,
        (IpAddr::V6(_), to) => to.is_ipv6(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &[&str]) -> Vec<IpAddr> {
        text.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn chosen(wanted: Option<&str>, bound: &str, host: &[&str]) -> Result<String, StartError> {
        let wanted = wanted.map(|addr| addr.parse().unwrap());
        advertised(wanted, bound.parse().unwrap(), || ips(host)).map(|addr| addr.to_string())
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
    fn of_every_address_the_first_private_one_is_announced() {
        let host = ["203.0.113.9", "fd00::1", "100.64.0.3", "10.0.0.1"];
        assert_eq!(chosen(None, "0.0.0.0:7946", &host).unwrap(), "100.64.0.3:7946");
        assert_eq!(chosen(None, "[::]:7946", &host).unwrap(), "100.64.0.3:7946");
        assert_eq!(chosen(None, "[::]:7946", &host[..2]).unwrap(), "[fd00::1]:7946");
    }

    #[test]
    fn nothing_is_announced_that_nobody_could_reach() {
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
