//! Invalid packets: errors are counted, and valid parts are still processed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serf_proto::internals::wire::serf::{self, List};
use serf_proto::internals::wire::swim::{Alive, Message, PeerRef, Ping};
use serf_proto::internals::wire::{Codec, Full, Versions, Writer, hashicorp};
use serf_proto::{Config, DropReason, Identity, Instant, Node, Options, Outbox, Output, Seed, Start, Stats, Tags};

/// A negative entry: its name, the number of accepted messages, and the drop counters.
type Expected = (&'static str, u64, &'static [(DropReason, u64)]);

/// All negative entries: the number of accepted messages, and the reason for the rest. The recorded messages are user
/// messages that Serf's layer cannot decode, so each that reaches it counts as malformed.
const EXPECTED: &[Expected] = &[
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

fn addr(host: u8) -> SocketAddr {
    ([10, 0, 0, host], 7946).into()
}

fn node(label: &str, out: &mut Outbox) -> Node {
    let config =
        Arc::new(Config::new(Options::lan().with(|options| options.transport.label = label.to_owned())).unwrap());
    let identity = Identity::new("node-b", addr(1), &Tags::default()).unwrap();
    let node = Node::new(config, &identity, &Seed::from_u64(1), Instant::ZERO, Start::new(), out);
    out.drain().for_each(drop);
    node
}

/// Returns the counters of a node after this datagram, and the number of datagrams that it sent in reply.
fn receive(datagram: &[u8], label: &str) -> (Stats, usize) {
    let mut out = Outbox::new();
    let mut node = node(label, &mut out);
    node.handle_datagram(Instant::ZERO, addr(2), datagram, &mut out);
    assert_eq!(node.members().count(), 1, "no member was added");
    let answers = out.drain().filter(|output| matches!(output, Output::Datagram { .. })).count();
    (node.stats().clone(), answers)
}

fn dropped(stats: &Stats) -> Vec<(DropReason, u64)> {
    let counts = DropReason::ALL.into_iter().map(|reason| (reason, stats.dropped(reason)));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut room = vec![0; 4096];
    let mut w = Writer::new(&mut room);
    write(&mut w).unwrap();
    let len = w.len();
    room.truncate(len);
    room
}

/// Encodes a ping that the node answers.
fn ping() -> Vec<u8> {
    written(|w| hashicorp::encode(&Message::Ping(Ping { seq: 1, node: "node-b", source: None }), w))
}

/// Encodes a compound with these lengths in its table, followed by these bytes.
fn compound(lengths: &[usize], frames: &[u8]) -> Vec<u8> {
    let mut packet = vec![7, u8::try_from(lengths.len()).unwrap()];
    for length in lengths {
        packet.extend_from_slice(&u16::try_from(*length).unwrap().to_be_bytes());
    }
    packet.extend_from_slice(frames);
    packet
}

#[test]
fn every_packet_that_no_node_sends_is_counted_for_the_right_reason() {
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
    // A non-member's packet is answered once.
    let and_one_too_many = [(DropReason::Compound, 1), (DropReason::Limit, 1)];
    for (what, packet, survivors, reasons) in [
        ("the last is cut short", compound(&[len, len, 99], &twice), 2, &and_one_too_many[..]),
        ("the first is cut short", compound(&[2 * len + 1, len], &twice), 0, &compound_damaged),
        ("bytes after the last", compound(&[len], &[&ping[..], b"\xff\xff"].concat()), 1, &nothing),
        ("the first is empty", compound(&[0, len], &ping), 1, &compound_damaged),
        ("all are empty", compound(&[0, 0, 0], &[]), 0, &compound_damaged),
        ("there are none", compound(&[], &ping), 0, &nothing),
        ("the table is cut short", compound(&[len, len], &[])[..5].to_vec(), 0, &compound_damaged),
    ] {
        let (stats, answers) = receive(&packet, "");
        assert_eq!((stats.messages_in, answers), (survivors, usize::from(survivors > 0)), "{what}");
        assert_eq!(dropped(&stats), reasons, "{what}");
    }
}

#[test]
fn a_query_that_fits_into_no_packet_in_the_other_codec_holds_up_no_later_one() {
    let mut out = Outbox::new();
    let mut node = node("", &mut out);
    // A member that reads HashiCorp's codec only.
    let peer = PeerRef { name: "node-a", addr: addr(2), meta: b"\xff\x80", versions: Versions::HASHICORP };
    let alive = written(|w| hashicorp::encode(&Message::Alive(Alive { incarnation: 1, peer }), w));
    node.handle_datagram(Instant::ZERO, addr(2), &alive, &mut out);
    // A query in the native codec; HashiCorp's encoding is longer by its keys.
    let query = serf::Query {
        ltime: 1,
        id: 1,
        source: serf::Source { addr: addr(3), node: "node-c" },
        filters: List::EMPTY,
        flags: 0,
        relay_factor: 0,
        timeout: Duration::from_secs(5),
        name: "q",
        payload: &[0; 1300],
    };
    let frame = written(|w| {
        Codec::Native.begin_user(w)?;
        Codec::Native.encode_serf(&serf::Message::Query(query), w)
    });
    assert!(frame.len() < 1380, "it comes in one packet");
    node.handle_datagram(Instant::ZERO, addr(3), &frame, &mut out);
    assert_eq!(node.stats().queries, 1, "it is delivered");
    assert_eq!(node.queue_depths().queries, 0, "it is not passed on");
    assert_eq!(node.stats().broadcasts_pruned(), 1);
}
