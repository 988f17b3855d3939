//! Node names and addresses, computed from node numbers, so that neither direction needs a table.

use core::net::{IpAddr, SocketAddr};

/// The port that every node listens on; Serf's default.
const PORT: u16 = 7946;

/// Source ports of connections are in Linux's ephemeral range.
const EPHEMERAL_FIRST: u16 = 32_768;
const EPHEMERAL_COUNT: u16 = 28_232;

/// Returns the listen address of a node: 10.0.0.1 for node 0, then upwards through 10.0.0.0/8.
pub(crate) fn addr_of(node: u32) -> SocketAddr {
    let [_, a, b, c] = (node + 1).to_be_bytes();
    SocketAddr::from(([10, a, b, c], PORT))
}

/// Returns the source address of the node's connection with the internal number `port`.
pub(crate) fn connection_addr(node: u32, port: u32) -> SocketAddr {
    let offset = u16::try_from(port % u32::from(EPHEMERAL_COUNT)).expect("the remainder is below 2^16");
    SocketAddr::new(addr_of(node).ip(), EPHEMERAL_FIRST + offset)
}

/// Returns the node that listens at `addr`, out of `nodes`.
pub(crate) fn node_at(addr: SocketAddr, nodes: u32) -> Option<u32> {
    let IpAddr::V4(ip) = addr.ip() else { return None };
    let [10, a, b, c] = ip.octets() else { return None };
    let node = u32::from_be_bytes([0, a, b, c]).checked_sub(1)?;
    (node < nodes && addr.port() == PORT).then_some(node)
}

/// Returns the name of a node.
pub(crate) fn name_of(node: u32) -> String {
    format!("node-{node:05}")
}

/// Parses a node's name into its number.
pub(crate) fn node_of(name: &str) -> Option<u32> {
    name.strip_prefix("node-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_found_at_its_address() {
        for node in [0, 1, 254, 255, 65_535, 65_536, 1 << 20] {
            assert_eq!(node_at(addr_of(node), u32::MAX), Some(node));
        }
        assert_eq!(addr_of(0), "10.0.0.1:7946".parse().unwrap());
    }

    #[test]
    fn every_node_is_found_by_its_name() {
        for node in [0, 7, 99_999, 100_000] {
            assert_eq!(node_of(&name_of(node)), Some(node));
        }
        assert_eq!(node_of("elsewhere"), None);
    }

    #[test]
    fn foreign_addresses_belong_to_no_host() {
        for addr in ["10.0.0.0:7946", "10.0.0.9:7946", "10.0.0.1:80", "11.0.0.1:7946", "[::1]:7946"] {
            assert_eq!(node_at(addr.parse().unwrap(), 8), None, "{addr}");
        }
    }
}
