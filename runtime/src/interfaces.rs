//! Addresses of the host's interfaces, as listed by the kernel. Reads files and may block: call it before the node
//! runs, or on a separate thread.

use core::net::IpAddr;

/// An address of an interface that is administratively up, whether it has a carrier or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The address.
    pub ip: IpAddr,
    /// Name of the interface.
    pub interface: String,
    /// Prefix length of the network, in bits.
    pub prefix_bits: u32,
    /// Whether the default route uses this interface.
    pub is_default: bool,
}

/// Returns the system's addresses in the order of its interfaces, without loopback, for
/// [`Net::addresses`](crate::net::Net::addresses).
pub fn of_host() -> Vec<HostAddress> {
    let mut found = listed();
    found.retain(|address| !address.ip.is_loopback());
    let default = default_interface(&found);
    for address in &mut found {
        address.is_default = default.as_ref() == Some(&address.interface);
    }
    found
}

#[cfg(unix)]
fn listed() -> Vec<HostAddress> {
    use nix::net::if_::InterfaceFlags;
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let up = all.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let ip = ip_of(interface.address.as_ref()?)?;
        let prefix_bits = interface.netmask.as_ref().and_then(ip_of).map_or(0, ones);
        Some(HostAddress { ip, interface: interface.interface_name, prefix_bits, is_default: false })
    };
    up.filter_map(address).collect()
}

#[cfg(unix)]
fn ip_of(addr: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = addr.as_sockaddr_in().map(|addr| IpAddr::from(addr.ip()));
    v4.or_else(|| addr.as_sockaddr_in6().map(|addr| IpAddr::from(addr.ip())))
}

#[cfg(unix)]
const fn ones(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => mask.to_bits().count_ones(),
        IpAddr::V6(mask) => mask.to_bits().count_ones(),
    }
}

#[cfg(not(unix))]
fn listed() -> Vec<HostAddress> {
    let up = if_addrs::get_if_addrs().unwrap_or_default().into_iter().filter(if_addrs::Interface::is_oper_up);
    let address = |interface: if_addrs::Interface| HostAddress {
        ip: interface.ip(),
        prefix_bits: match &interface.addr {
            if_addrs::IfAddr::V4(addr) => u32::from(addr.prefixlen),
            if_addrs::IfAddr::V6(addr) => u32::from(addr.prefixlen),
        },
        interface: interface.name,
        is_default: false,
    };
    up.map(address).collect()
}

/// Returns the interface of the default route: that of IPv4, as HashiCorp's (`GetDefaultInterfaceName` of go-sockaddr),
/// or else that of IPv6.
fn default_interface(found: &[HostAddress]) -> Option<String> {
    if cfg!(target_os = "linux")
        && let Ok(routes) = std::fs::read_to_string("/proc/net/route")
    {
        let of_ipv6 =
            || std::fs::read_to_string("/proc/net/ipv6_route").ok().and_then(|routes| default_of_ipv6(&routes));
        return default_of_ipv4(&routes).or_else(of_ipv6);
    }
    // Without a readable routing table, asks the kernel for the source address of a connected UDP socket. Sends
    // nothing.
    let towards = |bind: &str, to: &str| {
        let socket = std::net::UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        let from = socket.local_addr().ok()?.ip();
        found.iter().find(|address| address.ip == from).map(|address| address.interface.clone())
    };
    towards("0.0.0.0:0", "192.0.2.1:9").or_else(|| towards("[::]:0", "[2001:db8::1]:9"))
}

/// Returns the interface of the default route with the lowest metric in `/proc/net/route`.
fn default_of_ipv4(routes: &str) -> Option<String> {
    let default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[interface, "00000000", _, flags, _, _, metric, "00000000", ..] = &fields[..] else { return None };
        let is_up = u32::from_str_radix(flags, 16).ok()? & ROUTE_UP != 0;
        is_up.then_some((metric.parse::<u32>().ok()?, interface.to_owned()))
    };
    routes.lines().filter_map(default).min_by_key(|(metric, _)| *metric).map(|(_, interface)| interface)
}

/// Same for `/proc/net/ipv6_route`, which also lists the reject route over loopback.
fn default_of_ipv6(routes: &str) -> Option<String> {
    let default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[to, "00", _, _, _, metric, _, _, flags, interface] = &fields[..] else { return None };
        let is_up = u32::from_str_radix(flags, 16).ok()? & ROUTE_UP != 0;
        let is_everywhere = to.bytes().all(|digit| digit == b'0');
        (is_up && is_everywhere && interface != "lo")
            .then_some((u32::from_str_radix(metric, 16).ok()?, interface.to_owned()))
    };
    routes.lines().filter_map(default).min_by_key(|(metric, _)| *metric).map(|(_, interface)| interface)
}

/// `RTF_UP`.
const ROUTE_UP: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_of_ipv4_is_that_with_the_least_metric() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\tFE00140A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
        assert_eq!(default_of_ipv4(routes).as_deref(), Some("eth0"), "half of everything is no default");
        assert_eq!(default_of_ipv4("Iface\tDestination\n"), None);
        assert_eq!(default_of_ipv4("eth0 00000000 x 0003 0 0 nonsense 00000000"), None);
    }

    #[test]
    fn the_default_route_of_ipv6_does_not_lead_over_loopback() {
        let line = |to: &str, bits: &str, metric: &str, interface: &str| {
            let zeros = "0".repeat(32);
            format!("{to:0<32} {bits} {zeros} 00 {zeros} {metric} 00000001 00000000 00000003 {interface}\n")
        };
        let routes = line("fd00", "40", "00000100", "eth1")
            + &line("0", "00", "00000400", "eth1")
            + &line("0", "00", "00000064", "eth0")
            + &line("0", "00", "00000001", "lo");
        assert_eq!(default_of_ipv6(&routes).as_deref(), Some("eth0"));
        assert_eq!(default_of_ipv6(&line("0", "00", "ffffffff", "lo")), None);
    }

    #[test]
    fn loopback_is_left_out() {
        assert!(of_host().iter().all(|address| !address.ip.is_loopback()));
    }
}
