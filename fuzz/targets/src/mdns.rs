//! Packets of the agent's discovery by mDNS.

use std::net::SocketAddr;

use serf_agent::internals::Service;

use crate::subject::addr;

/// Addresses taken from one packet.
const ADDRS_MAX: usize = 16;
/// Most bytes of an answer: eight questions, each with its records.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Reads a packet as a question and as an answer. With an odd first byte the rest is the names of cluster, node and host,
/// divided by zero bytes, and two agents with these names must find each other.
pub fn mdns(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    if how & 1 == 0 {
        let service = Service::new("c", "node", "host.example", addr(1)).expect("short names");
        packet(&service, data);
    } else if let Ok(names) = std::str::from_utf8(data) {
        find_each_other(names);
    }
}

fn packet(service: &Service, packet: &[u8]) {
    let found = service.found(packet);
    assert!(found.len() <= ADDRS_MAX, "{} addresses", found.len());
    assert!(found.iter().all(|addr| addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast()));
    if let Some(answer) = service.answer(packet) {
        assert!(found.is_empty(), "it is a question and an answer");
        assert!(answer.len() <= ANSWER_BYTES_MAX, "an answer of {} bytes", answer.len());
        assert_eq!(service.answer(&answer), None, "an answer is answered");
    }
}

fn find_each_other(names: &str) {
    let mut names = names.splitn(3, '\0');
    let mut name = || names.next().unwrap_or_default();
    let (cluster, node, host) = (name(), name(), name());
    let at: [SocketAddr; 2] = [addr(1), ([0xfd, 0, 0, 0, 0, 0, 0, 2], 7946).into()];
    let [Ok(one), Ok(two)] = at.map(|addr| Service::new(cluster, node, host, addr)) else { return };
    let answer = two.answer(&one.question());
    let answer = answer.unwrap_or_else(|| panic!("{cluster:?} is not answered"));
    assert_eq!(one.found(&answer), [at[1]], "{cluster:?} {node:?} {host:?}");
    packet(&one, &answer);
}
