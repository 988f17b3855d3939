//! Packets that no node sends, given to a node: what is wrong is counted, and what is good in them is not lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its vectors has failed")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use serf_proto::wire::swim::{Message, Ping};
use serf_proto::wire::{Writer, hashicorp};
use serf_proto::{Config, DropReason, Identity, Instant, Node, Options, Outbox, Output, Seed, Start, Stats, Tags};

/// Why messages were dropped, and how many.
type Dropped = &'static [(DropReason, u64)];

/// Every negative entry: how many of its messages are taken, and why the rest is not. The recorded messages are user messages of
/// which the layer above can make nothing, so that each that gets there is counted as malformed.
const EXPECTED: &[(&str, u64, Dropped)] = &[
    ("neg_compound_last_truncated", 2, &[(DropReason::Compound, 1), (DropReason::Malformed, 2)]),
    ("neg_compound_len_table_short", 0, &[(DropReason::Compound, 1)]),
    ("neg_compound_trailing", 1, &[(DropReason::Malformed, 1)]),
    ("neg_compound_zero_len_part", 1, &[(DropReason::Compound, 1), (DropReason::Malformed, 1)]),
    ("neg_compress_algo", 0, &[(DropReason::Inflate, 1)]),
    ("neg_compress_no_eoi", 0, &[(DropReason::Inflate, 1)]),
    ("neg_crc_mismatch", 0, &[(DropReason::Checksum, 1)]),
    ("neg_label_empty", 0, &[(DropReason::Label, 1)]),
    ("neg_label_short", 0, &[(DropReason::Label, 1)]),
];

fn negative_packets() -> BTreeMap<String, Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/memberlist.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let entries = file["vectors"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "negative_packet");
    entries.map(|entry| (entry["id"].as_str().unwrap().to_owned(), unhex(entry["hex"].as_str().unwrap()))).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What a node that got this datagram has counted, and how many datagrams it answered with.
fn receive(datagram: &[u8], label: &str) -> (Stats, usize) {
    let mut out = Outbox::new();
    let config = Arc::new(Config::new(Options { label: label.to_owned(), ..Options::lan() }).unwrap());
    let addr: SocketAddr = "10.0.0.1:7946".parse().unwrap();
    let identity = Identity::new("node-b", addr, &Tags::default()).unwrap();
    let mut node = Node::new(config, &identity, &Seed::from_u64(1), Instant::ZERO, Start::new(), &mut out);
    out.drain().for_each(drop);
    node.handle_datagram(Instant::ZERO, "10.0.0.2:7946".parse().unwrap(), datagram, &mut out);
    assert_eq!(node.members().count(), 1, "nobody was believed");
    let answers = out.drain().filter(|output| matches!(output, Output::Datagram { .. })).count();
    (node.stats().clone(), answers)
}

fn dropped(stats: &Stats) -> Vec<(DropReason, u64)> {
    let counts = DropReason::ALL.into_iter().map(|reason| (reason, stats.dropped(reason)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// A ping for the node, which it answers.
fn ping() -> Vec<u8> {
    let mut room = [0; 64];
    let mut w = Writer::new(&mut room);
    hashicorp::encode(&Message::Ping(Ping { seq: 1, node: "node-b", source: None }), &mut w).unwrap();
    let len = w.len();
    room[..len].to_vec()
}

/// A compound whose table says these lengths, and these bytes after it.
fn compound(lengths: &[usize], frames: &[u8]) -> Vec<u8> {
    let mut packet = vec![7, u8::try_from(lengths.len()).unwrap()];
    for length in lengths {
        packet.extend_from_slice(&u16::try_from(*length).unwrap().to_be_bytes());
    }
    packet.extend_from_slice(frames);
    packet
}

#[test]
fn every_packet_that_no_node_sends_is_counted_for_what_is_wrong_with_it() {
    let packets = negative_packets();
    let expected: Vec<_> = EXPECTED.iter().map(|(id, ..)| *id).collect();
    assert_eq!(packets.keys().map(String::as_str).collect::<Vec<_>>(), expected, "every entry, and no other");
    for &(id, messages, reasons) in EXPECTED {
        let (stats, answers) = receive(&packets[id], "");
        assert_eq!((stats.datagrams_in, stats.messages_in, answers), (1, messages, 0), "{id}");
        assert_eq!(dropped(&stats), reasons, "{id}");
        let (labelled, answers) = receive(&packets[id], "dc1");
        assert_eq!((labelled.messages_in, answers), (0, 0), "{id} to a node with a label");
        assert_eq!(dropped(&labelled), [(DropReason::Label, 1)], "{id} to a node with a label");
    }
}

#[test]
fn good_messages_around_the_damage_are_answered() {
    let ping = ping();
    let (len, twice) = (ping.len(), [&ping[..], &ping].concat());
    let (compound_damaged, nothing) = ([(DropReason::Compound, 1)], []);
    for (what, packet, survivors, reasons) in [
        ("the last is cut short", compound(&[len, len, 99], &twice), 2, &compound_damaged[..]),
        ("the first is cut short", compound(&[2 * len + 1, len], &twice), 0, &compound_damaged),
        ("bytes after the last", compound(&[len], &[&ping[..], b"\xff\xff"].concat()), 1, &nothing),
        ("the first is empty", compound(&[0, len], &ping), 1, &compound_damaged),
        ("all are empty", compound(&[0, 0, 0], &[]), 0, &compound_damaged),
        ("there are none", compound(&[], &ping), 0, &nothing),
        ("the table is cut short", compound(&[len, len], &[])[..5].to_vec(), 0, &compound_damaged),
    ] {
        let (stats, answers) = receive(&packet, "");
        assert_eq!((stats.messages_in, answers), (survivors, usize::try_from(survivors).unwrap()), "{what}");
        assert_eq!(dropped(&stats), reasons, "{what}");
    }
}
