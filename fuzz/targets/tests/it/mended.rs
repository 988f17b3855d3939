//! Inputs that crashed memberlist or exhausted its memory until July 2026: each is rejected as early as possible, with
//! the right drop reason.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serf_proto::{
    Config, DropReason, Identity, Input, Instant, Node, Options, Outbox, Output, Seed, Start, StreamInput, Tags,
};

/// Returns the inputs of a target with this prefix and suffix, by name.
fn inputs(target: &str, suffix: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut inputs: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.starts_with("mended_") && name.ends_with(suffix))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Returns the number of memberlist's pull request with the fix.
fn number(name: &str) -> u32 {
    name.split('_').nth(1).unwrap().parse().unwrap()
}

fn node(out: &mut Outbox) -> Node {
    let addr: SocketAddr = ([10, 0, 0, 1], 7946).into();
    let identity = Identity::new("me", addr, &Tags::default()).unwrap();
    let config = Arc::new(Config::new(Options::lan()).unwrap());
    let node = Node::new(config, &identity, &Seed::from_u64(1), Instant::ZERO, Start::new(), out);
    out.drain().for_each(drop);
    node
}

fn peer() -> SocketAddr {
    ([10, 0, 0, 2], 7946).into()
}

fn dropped(node: &Node) -> Vec<(DropReason, u64)> {
    assert_eq!(node.members().count(), 1, "no member was added");
    let counts = DropReason::ALL.into_iter().map(|reason| (reason, node.stats().dropped(reason)));
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_datagram_is_refused_for_the_right_reason() {
    let mut numbers = BTreeSet::new();
    for (name, bytes) in inputs("datagram_hashicorp", "") {
        let mut out = Outbox::new();
        let mut node = node(&mut out);
        node.apply(Instant::ZERO, &Input::Datagram { from: peer(), bytes }, &mut out);
        assert!(out.is_empty(), "{name} is answered");
        let reason = match number(&name) {
            362 | 369 => DropReason::Inflate,
            368 => DropReason::Malformed,
            other => panic!("{name} is about {other}"),
        };
        assert_eq!(dropped(&node), [(reason, 1)], "{name}");
        numbers.insert(number(&name));
    }
    assert_eq!(numbers, [362, 368, 369].into());
}

#[test]
fn a_bad_stream_is_closed_at_once_and_counted_for_the_right_reason() {
    let mut numbers = BTreeSet::new();
    for (name, bytes) in inputs("stream", ".request") {
        let mut out = Outbox::new();
        let mut node = node(&mut out);
        let stream = node.accept(Instant::ZERO, peer(), &mut out);
        // Skip the fuzz target's header of four bytes.
        node.handle_stream(Instant::ZERO, stream, StreamInput::Data(&bytes[4..]), &mut out);
        assert!(out.drain().any(|output| matches!(output, Output::Close { .. })), "{name} is waited for");
        assert_eq!(node.streams_live(), 0, "{name}");
        let reason = match number(&name) {
            363 | 369 => DropReason::Inflate,
            // A mebibyte of zeros is within a stream's limit, but decodes as an invalid ping.
            357 | 361 | 362 | 368 => DropReason::Malformed,
            other => panic!("{name} is about {other}"),
        };
        assert_eq!(dropped(&node), [(reason, 1)], "{name}");
        numbers.insert(number(&name));
    }
    assert_eq!(numbers, [357, 361, 362, 363, 368, 369].into());
}
