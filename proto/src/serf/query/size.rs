//! How many bytes messages take in HashiCorp's encoding, whose limits are the network's: what one node accepts must be accepted
//! by all.
//!
//! Keys and heads have fixed sizes, integers and strings the shortest form.

use core::net::IpAddr;

use crate::wire::serf::{Filter, Query, QueryResponse, Relay};

/// A query: eleven keys, and their values.
pub(super) fn query_bytes(query: &Query<'_>) -> usize {
    let filters = match query.filters.len() {
        0 => 1,
        count => array(count) + query.filters.iter().map(|filter| raw(filter_bytes(filter))).sum::<usize>(),
    };
    let timeout = u64::try_from(query.timeout.as_nanos()).unwrap_or(u64::MAX);
    let numbers = [query.flags.into(), query.id.into(), query.ltime, u64::from(query.source.addr.port())];
    let numbers = numbers.into_iter().chain([query.relay_factor.into(), timeout]).map(uint).sum::<usize>();
    let texts = [query.name.len(), query.payload.len(), query.source.node.len()].map(raw).iter().sum::<usize>();
    79 + raw(ip_bytes(query.source.addr.ip())) + filters + numbers + texts
}

/// The answer to a query, or its acknowledgement.
pub(in crate::serf) fn response_bytes(response: &QueryResponse<'_>) -> usize {
    let QueryResponse { ltime, id, from, flags, payload } = *response;
    30 + uint(flags.into()) + raw(from.len()) + uint(id.into()) + uint(ltime) + raw(payload.len())
}

/// A relay of a message that takes `inner` bytes itself.
pub(super) fn relay_bytes(relay: &Relay<'_>, inner: usize) -> usize {
    let port = if relay.addr.port() >= 1 << 15 { 5 } else { uint(relay.addr.port().into()) };
    inner + 35 + raw(ip_bytes(relay.addr.ip())) + port + raw(relay.node.len())
}

/// What came of a key request: `keys` are the lengths of the keys as they are written.
pub(in crate::serf) fn key_response_bytes(keys: &[usize], message: usize, primary: usize) -> usize {
    let keys = if keys.is_empty() { 1 } else { array(keys.len()) + keys.iter().map(|&len| raw(len)).sum::<usize>() };
    1 + 1 + raw(4) + keys + raw(7) + raw(message) + raw(10) + raw(primary) + raw(6) + 1
}

fn filter_bytes(filter: Filter<'_>) -> usize {
    match filter {
        Filter::Nodes(nodes) => 1 + array(nodes.len()) + nodes.iter().map(|node| raw(node.len())).sum::<usize>(),
        Filter::Tag { tag, expr } => 1 + 1 + raw(4) + raw(expr.len()) + raw(3) + raw(tag.len()),
        // An empty one is written as one byte.
        Filter::Unreadable(bytes) => bytes.len().max(1),
    }
}

const fn ip_bytes(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }
}

const fn raw(len: usize) -> usize {
    match len {
        0..32 => len + 1,
        32..0x1_0000 => len + 3,
        _ => len + 5,
    }
}

/// The longest text or bytes that take no more than `bytes`; `None` when not even empty ones do.
pub(in crate::serf) const fn longest(bytes: usize) -> Option<usize> {
    match bytes {
        0 => None,
        1..35 => Some(if bytes - 1 < 31 { bytes - 1 } else { 31 }),
        35..0x1_0005 => Some(if bytes - 3 < 0xffff { bytes - 3 } else { 0xffff }),
        _ => Some(bytes - 5),
    }
}

const fn array(count: usize) -> usize {
    match count {
        0..16 => 1,
        16..0x1_0000 => 3,
        _ => 5,
    }
}

const fn uint(value: u64) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::time::Duration;

    use super::*;
    use crate::wire::serf::{List, Source};

    const ADDR: &str = "127.0.0.1:7946";

    fn query<'a>(payload: &'a [u8], filters: &'a [Filter<'a>]) -> Query<'a> {
        Query {
            ltime: 5,
            id: 1 << 30,
            source: Source { addr: ADDR.parse().unwrap(), node: "a" },
            filters: List::new(filters),
            flags: 0,
            relay_factor: 0,
            timeout: Duration::from_millis(3200),
            name: "q",
            payload,
        }
    }

    #[test]
    fn the_longest_text_takes_no_more_than_it_may_and_one_letter_more_does() {
        assert_eq!(longest(0), None);
        for bytes in (1..100).chain(0xffff..0x1_0010) {
            let len = longest(bytes).unwrap();
            assert!(raw(len) <= bytes && raw(len + 1) > bytes, "{bytes}");
        }
    }

    #[test]
    fn the_largest_query_and_response_are_those_that_were_observed() {
        assert_eq!(query_bytes(&query(&vec![0; 916], &[])), 1024);
        let payload = vec![0; 982];
        let response = QueryResponse { ltime: 5, id: 1 << 30, from: "a", flags: 0, payload: &payload };
        assert_eq!(response_bytes(&response), 1024);
    }

    #[test]
    fn a_relay_over_ipv4_adds_44_bytes_and_the_name() {
        let relay = Relay { addr: ADDR.parse().unwrap(), node: "node-a", inner: &[] };
        assert_eq!(relay_bytes(&relay, 100), 100 + 44 + 6);
    }

    #[test]
    fn filters_take_what_their_bytes_in_the_recorded_vectors_take() {
        let nodes = ["node-a", "node-b"];
        let by_name = [Filter::Nodes(List::new(&nodes))];
        let by_tag = [Filter::Tag { tag: "role", expr: "^web[0-9]+$" }];
        // 00 92 a66e6f64652d61 a66e6f64652d62, and 01 82 a445787072 ab… a3546167 a4726f6c65.
        let plain = query_bytes(&query(&[], &[]));
        assert_eq!(query_bytes(&query(&[], &by_name)) - plain, 1 + 16);
        assert_eq!(query_bytes(&query(&[], &by_tag)) - plain, 1 + 28);
        // a1 ff, which is what an empty filter is written as.
        assert_eq!(query_bytes(&query(&[], &[Filter::Unreadable(&[])])) - plain, 2);
    }
}
