//! IPv4 and IPv6 addresses, and the address that an agent announces.

use std::io::Write;
use std::net::{Ipv6Addr, UdpSocket};

use rmpv::Value;
use serf_agent::rpc::Request;

use super::{connect, field, header, object};
use crate::process::{Agent, Directory, eventually};

#[test]
fn agents_on_ipv6_are_members_with_addresses_of_sixteen_bytes() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("NOT RUN: this host has no IPv6");
        return;
    }
    let start = |args: &[&str]| Agent::start_at("[::1]:0", &[&["-bind=[::1]:0", "-profile=local"], args].concat());
    let one = start(&[]);
    assert!(one.rpc.starts_with("[::1]:") && one.bound().starts_with("[::1]:"), "{}", one.output());
    let two = start(&["-node=two", "-join", &one.bound()]);
    eventually("both are members", || (two.client().members().expect("answers").len() == 2).then_some(()));
    let mut requests = Vec::new();
    Request::Handshake { version: 1 }.encode(1, &mut requests);
    Request::Members.encode(2, &mut requests);
    let mut socket = connect(&two);
    socket.write_all(&requests).expect("takes it");
    assert_eq!(header(&object(&mut socket)), (1, ""));
    assert_eq!(header(&object(&mut socket)), (2, ""));
    let members = object(&mut socket);
    for member in field(&members, "Members").as_array().expect("is a list") {
        let addr = match field(member, "Addr") {
            Value::Binary(addr) => addr.clone(),
            Value::String(addr) => addr.as_bytes().to_vec(),
            other => panic!("{other}"),
        };
        assert_eq!(addr, Ipv6Addr::LOCALHOST.octets());
    }
}

#[test]
fn an_advertised_address_is_in_the_banner_and_among_the_members() {
    let agent = Agent::start(&["-advertise=127.0.0.9:7999"]);
    assert!(agent.output().contains("\n    Advertise addr: '127.0.0.9:7999'\n"), "{}", agent.output());
    let members = agent.client().members().expect("answers");
    assert_eq!((members[0].addr, members[0].port), (Some([127, 0, 0, 9].into()), 7999));
}

#[test]
fn a_node_with_coordinates_disabled_has_none_and_sends_none() {
    let dir = Directory::new();
    let config = dir.file("c.json", "{\"disable_coordinates\": true}");
    let without = Agent::start(&["-profile=local", "-node=without", "-config-file", &config]);
    let join = ["-profile=local", "-join", &without.bound()];
    let one = Agent::start(&join);
    let two = Agent::start(&[&join[..], &["-node=two"]].concat());
    let known = |agent: &Agent, node: &str| agent.client().coordinate(node).expect("answers").is_some();
    for (agent, other) in [(&one, "two"), (&two, "one")] {
        eventually("they find where the others are", || known(agent, other).then_some(()));
        assert!(!known(agent, "without"));
        assert!(!known(&without, other));
    }
    assert!(!known(&without, "without"));
    let resets = |agent: &Agent| agent.client().stats().expect("answers")["serf"].contains_key("coordinate_resets");
    assert!(resets(&one) && !resets(&without));
}
