//! Initial corpus: bytes recorded from HashiCorp's programs, and the inputs that crashed them or exhausted their
//! memory.
//!
//! `WRITE_SEEDS=1 cargo test -p serf-fuzz --test it seeds` writes missing files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use serf_agent::internals::Service;
use serf_fuzz::{LABEL, compressed_message, encode_steps};
use serf_proto::internals::wire::hashicorp::encode_user;
use serf_proto::internals::wire::serf::{self, Clocks, List, MemberTime};
use serf_proto::internals::wire::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source, State};
use serf_proto::internals::wire::{Codec, Versions, Writer, native};
use serf_proto::{Coalescing, Input, JoinId, KeyOperation, OldEvents, QueryId, StreamId, Tombstone};
use weezl::BitOrder;

/// Inputs by target and name.
#[derive(Default)]
struct Seeds(BTreeMap<(&'static str, String), Vec<u8>>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: &str, data: impl AsRef<[u8]>) {
        let replaced = self.0.insert((target, name.to_owned()), data.as_ref().to_vec());
        assert!(replaced.is_none(), "{target} has two inputs named {name}");
    }

    /// Adds a frame of HashiCorp's codec to all targets that take one.
    fn add_frame(&mut self, name: &str, frame: &[u8]) {
        self.add("hashicorp_bodies", name, frame);
        self.add("datagram_hashicorp", name, frame);
        self.add("datagram_sealed", &format!("{name}.sealed"), [&[1], frame].concat());
    }

    /// Adds a stream message of HashiCorp's codec: plain and sealed, as a request and as a reply.
    fn add_stream(&mut self, name: &str, message: &[u8]) {
        for (way, how) in [("request", 0), ("reply", 1), ("request.sealed", 0b0110), ("reply.sealed", 0b0111)] {
            self.add("stream", &format!("{name}.{way}"), [&[how, 0, 6, 90], message].concat());
        }
    }
}

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn vectors(file: &str) -> Value {
    let path = fuzz_dir().join("../tests/vectors").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn recorded_by_memberlist(seeds: &mut Seeds) {
    for entry in vectors("memberlist.json")["vectors"].as_array().unwrap() {
        let id = entry["id"].as_str().unwrap();
        let Some(bytes) = entry["hex"].as_str().map(unhex) else { continue };
        match entry["kind"].as_str().unwrap() {
            "packet_message" => seeds.add_frame(id, &bytes),
            "packet" | "negative_packet" => {
                seeds.add("datagram_hashicorp", id, &bytes);
                seeds.add("datagram_sealed", &format!("{id}.as_it_is"), [&[3], &bytes[..]].concat());
                seeds.add("compression", id, &bytes);
            }
            "stream_message" => seeds.add("hashicorp_bodies", id, &bytes),
            "stream" => {
                seeds.add("hashicorp_bodies", id, &bytes);
                // The complete request, with its layers, to a node with the same label and key, and to one without.
                for (way, how) in [("sealed", 0b1110), ("plain", 0)] {
                    seeds.add("stream", &format!("{id}.{way}"), [&[how, 0, 6, 90], &bytes[..]].concat());
                }
            }
            other => panic!("{id} is of kind {other}"),
        }
    }
}

fn recorded_by_serf(seeds: &mut Seeds) {
    let file = vectors("serf.json");
    for entry in file["vectors"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let bytes = unhex(entry["hex"].as_str().unwrap());
        match entry["kind"].as_str().unwrap() {
            "tags" => seeds.add("filters", name, [&[0], &bytes[..]].concat()),
            "push_pull" | "filter_node" | "filter_tag" | "ping_payload" => seeds.add("hashicorp_bodies", name, &bytes),
            _ => {
                seeds.add("hashicorp_bodies", name, &bytes);
                seeds.add("datagram_hashicorp", name, [&[8], &bytes[..]].concat());
            }
        }
    }
    let kinds =
        [("ue", 3), ("leave", 0), ("resp", 5), ("query", 4), ("relayhdr", 9), ("coord", 1), ("member", 6), ("pp", 2)];
    for probe in file["decoder_tolerance"].as_array().unwrap() {
        let name = probe["name"].as_str().unwrap();
        let body = unhex(probe["msgpack_hex"].as_str().unwrap());
        match kinds.iter().find(|(structure, _)| probe["struct"] == *structure) {
            Some((_, kind)) => seeds.add("hashicorp_bodies", &format!("odd_{name}"), [&[*kind], &body[..]].concat()),
            None => seeds.add("filters", &format!("odd_{name}"), [&[0, 0xff], &body[..]].concat()),
        }
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let lzw = weezl::encode::Encoder::new(BitOrder::Lsb, 8).encode(bytes).unwrap();
    compressed_message(&lzw)
}

/// The five kinds of packets and streams that crashed memberlist or exhausted its memory until July 2026.
fn what_memberlist_mended(seeds: &mut Seeds) {
    // A push/pull whose header announces too many members, or a negative number.
    let header =
        |nodes: &[u8], user: &[u8]| [b"\x06\x83\xa4Join\xc3\xa5Nodes", nodes, b"\xacUserStateLen", user].concat();
    let (most, negative) = (&b"\xce\x7f\xff\xff\xff"[..], &b"\xd2\x80\x00\x00\x00"[..]);
    for (name, nodes, user) in [
        ("nodes_most", most, &b"\x00"[..]),
        ("nodes_negative", negative, b"\x00"),
        ("nodes_wrapping", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\x00"),
        ("nodes_one_too_many", b"\xce\x00\x10\x00\x01", b"\x00"),
        ("user_most", b"\x00", most),
        ("user_negative", b"\x00", negative),
        ("user_one_too_many", b"\x00", b"\xce\x01\x40\x00\x01"),
    ] {
        let message = header(nodes, user);
        seeds.add_stream(&format!("mended_357_push_pull_{name}"), &message);
        seeds.add("hashicorp_bodies", &format!("mended_357_push_pull_{name}"), &message);
    }
    // A user message that announces more than the maximum length.
    for (name, len) in [
        ("most", most),
        ("negative", negative),
        ("wrapping", b"\xcf\x80\0\0\0\0\0\0\0"),
        ("one_too_many", b"\xce\x01\x40\x00\x01"),
    ] {
        let message = [b"\x08\x81\xaaUserMsgLen", len].concat();
        seeds.add_stream(&format!("mended_361_user_{name}"), &message);
        seeds.add("hashicorp_bodies", &format!("mended_361_user_{name}"), &message);
    }
    // Decompression bombs: above the packet limit, above the stream limit, and nested.
    let bomb = compressed(&vec![0; 1 << 20]);
    seeds.add("compression", "mended_362_bomb", &bomb);
    seeds.add("compression", "mended_362_bomb_in_a_bomb", compressed(&bomb));
    seeds.add("datagram_hashicorp", "mended_362_bomb", &bomb);
    seeds.add("datagram_sealed", "mended_362_bomb.sealed", [&[1], &bomb[..]].concat());
    seeds.add_stream("mended_362_bomb", &bomb);
    seeds.add(
        "stream",
        "mended_363_bomb_beyond_40_mib.request",
        [&[0, 255, 255, 255], &compressed(&vec![0; (40 << 20) + 1])[..]].concat(),
    );
    // An empty compressed message.
    let nothing = compressed(&[]);
    seeds.add("compression", "mended_369_nothing", &nothing);
    seeds.add("compression", "mended_369_nothing_twice", compressed(&nothing));
    seeds.add("datagram_hashicorp", "mended_369_nothing", &nothing);
    seeds.add("datagram_sealed", "mended_369_nothing.sealed", [&[1], &nothing[..]].concat());
    seeds.add_stream("mended_369_nothing", &nothing);
    // Fewer than six versions.
    let tail = |versions: &[u8]| [b"\xa4Port\xcd\x1f\x0a\xa3Vsn", versions].concat();
    for (name, versions) in
        [("none", &b"\xc0"[..]), ("empty", b"\xa0"), ("one", b"\xa1\x01"), ("five", b"\xa5\x01\x05\x02\x02\x05")]
    {
        let alive =
            [b"\x04\x86\xa4Addr\xa4\x0a\0\0\x05\xabIncarnation\x01\xa4Meta\xc0\xa4Node\xa1n", &tail(versions)[..]]
                .concat();
        seeds.add_frame(&format!("mended_368_versions_{name}"), &alive);
        let state = [
            b"\x87\xa4Addr\xa4\x0a\0\0\x05\xabIncarnation\x01\xa4Meta\xc0\xa4Name\xa1n\xa5State\x00",
            &tail(versions)[..],
        ]
        .concat();
        seeds.add_stream(&format!("mended_368_versions_{name}"), &[header(b"\x01", b"\x00"), state].concat());
    }
}

/// Further hostile inputs.
fn other_hostile_inputs(seeds: &mut Seeds) {
    let mut nested = b"\x00\x81\xa5SeqNo\x01".to_vec();
    for _ in 0..8 {
        let len = u16::try_from(nested.len()).unwrap().to_be_bytes();
        nested = [&[7, 1][..], &len, &nested].concat();
    }
    seeds.add("datagram_hashicorp", "compounds_in_compounds", &nested);
    seeds.add("datagram_native", "compounds_in_compounds", &nested);
    let mut pings = vec![7, 255];
    let ping = b"\x00\x82\xa4Node\xa2me\xa5SeqNo\x01";
    (0..255).for_each(|_| pings.extend_from_slice(&u16::try_from(ping.len()).unwrap().to_be_bytes()));
    (0..255).for_each(|_| pings.extend_from_slice(ping));
    seeds.add("datagram_hashicorp", "pings_in_a_compound", &pings);
    seeds.add("hashicorp_bodies", "maps_in_maps", [&[3][..], &[0x81; 300]].concat());
    seeds.add("hashicorp_bodies", "array_of_four_billion", b"\x01\x81\xa1x\xdd\xff\xff\xff\xff");
    seeds.add("datagram_sealed", "padding_of_nothing", [&[0][..], &[16; 16]].concat());
    seeds.add("datagram_sealed", "padding_too_long", [&[0][..], &[17; 16]].concat());
    seeds.add("datagram_sealed", "label_and_nothing", [2]);
    seeds.add("datagram_sealed", "another_label", [&[3, 244, 3][..], b"dc2"].concat());
    assert_eq!(LABEL, "dc1");
    let mut user = vec![];
    encode_user(b"\x03\x84\xa2CC\xc3\xa5LTime\x05\xa4Name\xa1e\xa7Payload\xc0", &mut user).unwrap();
    seeds.add_stream("user_event", &user);
}

fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), serf_proto::internals::wire::Full>) -> Vec<u8> {
    let mut room = [0; 4096];
    let mut w = Writer::new(&mut room);
    write(&mut w).unwrap();
    let len = w.len();
    room[..len].to_vec()
}

fn native_messages(seeds: &mut Seeds) {
    let addr = ([10, 0, 0, 7], 7946).into();
    let source = Some(Source { addr, node: "node-a" });
    let peer = PeerRef { name: "node-c", addr, meta: b"\xff\x81\xa4role\xa3web", versions: Versions::OURS };
    let accusation = Accusation { incarnation: 1, node: "me", from: "node-a" };
    for (name, message) in [
        ("ping", Message::Ping(Ping { seq: 1, node: "me", source })),
        (
            "indirect_ping",
            Message::IndirectPing(IndirectPing { seq: 2, target: addr, node: "node-b", nack: true, source }),
        ),
        ("ack", Message::Ack(Ack { seq: 1, payload: b"" })),
        ("nack", Message::Nack { seq: 1 }),
        ("alive", Message::Alive(Alive { incarnation: 1, peer })),
        ("joined", Message::Joined { alive: Alive { incarnation: 1, peer }, ltime: 300 }),
        ("suspect", Message::Suspect(accusation)),
        ("dead", Message::Dead(Accusation { node: "node-b", ..accusation })),
    ] {
        add_native(seeds, name, &written(|w| native::encode(&message, w)));
    }
    let names = ["me", "node-b"];
    let filters = [serf::Filter::Nodes(List::new(&names)), serf::Filter::Tag { tag: "role", expr: "web|db" }];
    let query = serf::Query {
        ltime: 3,
        id: 7,
        source: serf::Source { addr, node: "node-a" },
        filters: List::new(&filters),
        flags: 1,
        relay_factor: 1,
        timeout: Duration::from_secs(5),
        name: "uptime",
        payload: b"now",
    };
    let answer = serf::QueryResponse { ltime: 1, id: 1, from: "node-a", flags: 0, payload: b"yes" };
    let offer = serf::QueryResponse { flags: serf::QueryResponse::FLAG_OFFER, payload: b"", ..answer };
    let inner = written(|w| native::encode_serf(&serf::Message::QueryResponse(answer), w));
    for (name, message) in [
        ("join", serf::Message::Join(serf::Join { ltime: 5, node: "node-a" })),
        ("leave", serf::Message::Leave(serf::Leave { ltime: 6, node: "node-b", prune: true })),
        (
            "user_event",
            serf::Message::UserEvent(serf::UserEvent { ltime: 4, name: "e", payload: b"p", coalesce: true }),
        ),
        ("query", serf::Message::Query(query)),
        ("conflict_query", serf::Message::Query(serf::Query { name: "_serf_conflict", payload: b"me", ..query })),
        ("keys_query", serf::Message::Query(serf::Query { name: "_serf_list-keys", payload: b"", ..query })),
        ("response", serf::Message::QueryResponse(answer)),
        ("offer", serf::Message::QueryResponse(offer)),
        ("relay", serf::Message::Relay(serf::Relay { addr, node: "node-b", inner: &inner })),
    ] {
        let body = written(|w| native::encode_serf(&message, w));
        seeds.add("native_bodies", &format!("serf_{name}"), &body);
        let frame = written(|w| Codec::Native.begin_user(w).and_then(|()| w.put(&body)));
        add_native(seeds, &format!("user_{name}"), &frame);
    }
    let vec = [0.1, -0.2, f64::NAN];
    let coordinate = serf::Coordinate { vec: List::new(&vec), error: 1.5, adjustment: 0.0, height: 1e-5 };
    seeds.add("native_bodies", "coordinate", written(|w| native::encode_coordinate(&coordinate, w)));
    seeds.add("native_bodies", "record", native::encode_record(peer));
    add_anti_entropy(seeds, peer);
    let (state, push_pull) = native_push_pull(peer);
    seeds.add("native_bodies", "state", state);
    seeds.add("native_bodies", "push_pull", &push_pull[5..]);
    seeds.add_stream("native_push_pull", &push_pull);
    let mut fetch = vec![];
    native::Fetch { ltime: 300, id: u32::MAX >> 1 }.encode(&mut fetch);
    seeds.add("native_bodies", "fetch", &fetch);
    seeds.add_stream("native_fetch", &stream_message(native::STREAM_FETCH, &fetch));
    let mut answer = vec![];
    native::push_answer(&mut answer, &[b'x'; 2000]);
    seeds.add_stream("native_answer", &stream_message(native::STREAM_ANSWER, &answer));
}

fn add_anti_entropy(seeds: &mut Seeds, peer: PeerRef<'_>) {
    let events = Some(native::EventWindow { last: 300, times: 64, digest: 7 });
    let ping = Ping { seq: 7, node: "b", source: None };
    let quiet = native::Digest { quiet: true, salt: 0, view: 5, events: None, queries: None };
    let salted = native::Digest { quiet: false, salt: 9, view: 5, events, queries: Some(300) };
    let record = native::encode_record(peer);
    let states = written(|w| {
        native::begin_states(true, w)?;
        native::put_state(State::Alive, 1, 300, false, &record, w)?;
        native::put_state(State::Left, 2, 301, true, &record, w)
    });
    for (name, frame) in [
        ("probe", written(|w| native::encode_probe(&quiet, &ping, w))),
        ("probe_salted", written(|w| native::encode_probe(&salted, &ping, w))),
        ("buckets", written(|w| native::encode_buckets(9, &[1, 2, 3, 4], w))),
        ("rows", written(|w| native::encode_rows(9, false, &[(1, &[5, 6]), (3, &[])], w).map(drop))),
        ("rows_much", written(|w| native::encode_rows(9, true, &[], w).map(drop))),
        ("wanted", written(|w| native::encode_wanted(9, &[5, 6], w))),
        ("states", states),
        ("event_hashes", written(|w| native::encode_events(true, 300, 64, &[5, 6], w))),
    ] {
        add_native(seeds, name, &frame);
    }
}

fn add_native(seeds: &mut Seeds, name: &str, frame: &[u8]) {
    seeds.add("native_bodies", name, frame);
    seeds.add("datagram_native", name, frame);
    seeds.add("datagram_sealed", &format!("native_{name}.sealed"), [&[1], frame].concat());
}

fn native_push_pull(peer: PeerRef<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut state = vec![];
    native::begin_serf_state(&mut state, Clocks { member: 9, event: 9, query: 9 }, 2);
    native::push_member_time(&mut state, MemberTime { node: b"node-c", ltime: 4, left: false });
    native::push_member_time(&mut state, MemberTime { node: b"node-b", ltime: 5, left: true });
    native::begin_events(&mut state, 1);
    native::push_event(&mut state, &serf::UserEvent { ltime: 4, name: "e", payload: b"p", coalesce: false });
    let mut body = vec![];
    native::begin_push_pull(&mut body, true, 1);
    native::push_state(&mut body, State::Alive, 1, &native::encode_record(peer));
    body.extend_from_slice(&state);
    (state, stream_message(native::STREAM_PUSH_PULL, &body))
}

fn stream_message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn expressions(seeds: &mut Seeds) {
    for (name, expression) in [
        ("plain", &b"web\0web-1"[..]),
        ("classes", br"^[[:alpha:]\d_-]+$"),
        ("quoted", br"\Qa.b\E|c{2,3}?"),
        ("octal", br"\101\x{10FFFF}\pL\P{Greek}"),
        ("counts_of_counts", b"((a{100}){100}){100}"),
        ("stars", b"(a*)*(a*)*b\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("groups_in_groups", b"((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))"),
        ("flags", b"(?i:A)(?P<name>b)(?-s).\0abc"),
        ("broken", b"([a-"),
    ] {
        seeds.add("filters", &format!("expression_{name}"), [&[1], expression].concat());
    }
}

fn snapshots(seeds: &mut Seeds) {
    let whole = "alive: node-a 10.0.0.1:7946\nalive: a b [2001:db8::1]:7946\nnot-alive: node-a\n#failed: node-a 10.0.0.1:7946\n\
                 clock: 5\nevent-clock: 6\nquery-clock: 7\ncoordinate: {}\n# comment\n";
    seeds.add("snapshot", "whole", whole);
    seeds.add("snapshot", "left", format!("{whole}leave\n"));
    seeds.add("snapshot", "back", format!("leave\n{whole}"));
    seeds.add("snapshot", "torn", "clock: 5\nalive: node-a 10.0.0.1:79");
    seeds.add(
        "snapshot",
        "clock_at_zero",
        "clock: 18446744073709551615\nevent-clock: -1\nquery-clock: \nclock: 4503599627370495\n",
    );
    seeds.add("snapshot", "not_text", b"alive: \xff\xfe 10.0.0.1:1\n\0\n\r\nalive: \x07 10.0.0.1:1\n");
    for entry in vectors("serf.json")["snapshot"].as_array().unwrap() {
        seeds.add("snapshot", entry["name"].as_str().unwrap(), entry["text"].as_str().unwrap());
    }
}

fn lives(seeds: &mut Seeds) {
    let stream = |number: u64| -> StreamId { postcard::from_bytes(&postcard::to_allocvec(&number).unwrap()).unwrap() };
    // Query ID zero stands for the node's own running query.
    let query_id = |id: (u64, u32)| -> QueryId { postcard::from_bytes(&postcard::to_allocvec(&id).unwrap()).unwrap() };
    let join_id = |id: u32| -> JoinId { postcard::from_bytes(&postcard::to_allocvec(&id).unwrap()).unwrap() };
    let addr = |host| ([10, 0, 0, host], 7946).into();
    let frame = |message: &Message<'_>| written(|w| native::encode(message, w));
    let packet = |bytes: Vec<u8>| Input::Datagram { from: addr(2), bytes };
    let suspect = frame(&Message::Suspect(Accusation { incarnation: 1, node: "node-b", from: "node-a" }));
    let accused = frame(&Message::Dead(Accusation { incarnation: 1, node: "me", from: "node-a" }));
    let (_, push_pull) =
        native_push_pull(PeerRef { name: "node-c", addr: addr(7), meta: b"", versions: Versions::OURS });
    let join = Input::Join { seeds: vec![addr(2), addr(3)], old: OldEvents::Ignore };
    let query = |timeout| Input::Query {
        name: "q".into(),
        payload: b"p".to_vec(),
        nodes: vec!["node-a".into()],
        tags: vec![("role".into(), "web".into())],
        acks: true,
        relay_factor: 2,
        timeout,
    };
    let event = Input::UserEvent { name: "e".into(), payload: b"p".to_vec(), coalescing: Coalescing::Allow };
    let lives: &[(&str, Vec<(u16, Input)>)] = &[
        ("refutes", vec![(0, packet(accused)), (1000, packet(suspect)), (60_000, Input::Timeout)]),
        (
            "joins",
            vec![
                (0, join),
                (10, Input::StreamOpened(stream(1))),
                (10, Input::StreamData(stream(1), push_pull.clone())),
                (0, Input::StreamFailed(stream(2))),
            ],
        ),
        (
            "serves",
            vec![
                (0, Input::Accept { from: addr(9) }),
                (5, Input::StreamData(stream(1), push_pull)),
                (1, Input::StreamClosed(stream(1))),
            ],
        ),
        (
            "asks",
            vec![
                (0, query(Duration::ZERO)),
                (0, query(Duration::MAX)),
                (1, event),
                (500, Input::SetTags([("k".into(), "v".into())].into())),
            ],
        ),
        (
            "leaves",
            vec![
                (0, Input::ForceLeave { name: "node-b".into(), tombstone: Tombstone::Erase }),
                (100, Input::Leave),
                (20_000, Input::Rejoin { old: OldEvents::Deliver }),
            ],
        ),
        (
            "cancels",
            vec![
                (0, Input::Join { seeds: (8..40).map(addr).collect(), old: OldEvents::Deliver }),
                (1, Input::StreamFailed(stream(1))),
                (1, Input::CancelJoin(join_id(1))),
                (1, Input::CancelJoin(join_id(1))),
                (9_999, Input::Timeout),
            ],
        ),
        (
            "ends_its_query",
            vec![
                (0, Input::EndQuery(query_id((1, 7)))),
                (1, Input::EndQuery(query_id((0, 0)))),
                (1, Input::EndQuery(query_id((0, 0)))),
                (60_000, Input::Timeout),
            ],
        ),
        (
            "holds_answers",
            vec![
                (0, Input::HoldAnswers { query: query_id((0, 0)), is_held: true }),
                (1, Input::HoldAnswers { query: query_id((1, 7)), is_held: true }),
                (1, Input::HoldAnswers { query: query_id((0, 0)), is_held: false }),
                (60_000, Input::Timeout),
            ],
        ),
        (
            "changes_keys",
            vec![
                (0, Input::ChangeAllKeys { operation: KeyOperation::Install, key: vec![7; 16], relay_factor: 1 }),
                (9, Input::ChangeAllKeys { operation: KeyOperation::Use, key: vec![7; 16], relay_factor: 0 }),
            ],
        ),
    ];
    for (name, steps) in lives {
        seeds.add("node_inputs", name, encode_steps(false, steps));
        seeds.add("node_inputs", &format!("{name}.sealed"), encode_steps(true, steps));
    }
}

/// Faults and commands for two nodes: see the target for the codes.
fn pairs(seeds: &mut Seeds) {
    const PAUSE: u8 = 0;
    const FATE: u8 = 1;
    const RELEASE: u8 = 2;
    const CUT: u8 = 3;
    const HURRY: u8 = 4;
    const PROCESS: u8 = 5;
    const COMMAND: u8 = 6;
    let event = [COMMAND, 0, 0];
    let second = [PAUSE, 7, 0];
    for (name, steps) in [
        ("rest", vec![second]),
        ("loses", vec![[FATE, 1 + 7 * 3, 0], event, second]),
        ("repeats_an_event", vec![[FATE, 3, 0], event, second, [RELEASE, 0, 0], second]),
        ("reorders", vec![[FATE, 2, 0], event, event, second, [RELEASE, 0, 1], [RELEASE, 0, 0]]),
        ("cuts_datagrams", vec![[FATE, 4 + 7, 100], event, second]),
        ("corrupts", vec![[FATE, 5 + 7 * 2, 77], event, second]),
        ("splits_streams", vec![[FATE, 6 + 7 * 7, 30], [COMMAND, 6 << 1, 0], second]),
        ("parts", vec![[CUT, 1, 0], [PAUSE, 10, 0], [CUT, 0, 0], [PAUSE, 10, 0]]),
        ("runs_ahead", vec![[HURRY, 0, 0], [HURRY, 0, 0], [HURRY, 1, 0], second]),
        ("leaves", vec![[COMMAND, 4 << 1, 0], [PAUSE, 9, 0], [PROCESS, 2, 0], [PAUSE, 9, 0]]),
        ("crashes_and_returns", vec![event, second, [PROCESS, 1, 0], second, [PROCESS, 3, 1], [PAUSE, 10, 0]]),
        ("crashes_and_rejoins", vec![event, second, [PROCESS, 1, 0], second, [PROCESS, 3, 3], [PAUSE, 10, 0]]),
        ("asks", vec![[COMMAND, 1 << 1, 0x7f], second, [COMMAND, 2 << 1 | 1, 200], second]),
        ("changes_tags", vec![[COMMAND, 3 << 1, 1], second, [COMMAND, 3 << 1 | 1, 2]]),
        (
            "forces_a_leave",
            vec![[CUT, 1, 0], [PAUSE, 10, 0], [PAUSE, 10, 0], [COMMAND, 5 << 1, 0], [CUT, 0, 0], second],
        ),
        (
            "changes_keys",
            vec![[COMMAND, 7 << 1, 4], second, [COMMAND, 7 << 1, 5], second, [COMMAND, 7 << 1, 2], second],
        ),
        ("has_other_keys", vec![[COMMAND, 8 << 1, 4], [COMMAND, 8 << 1, 5], second, [PAUSE, 10, 0]]),
    ] {
        for (codecs, code) in [("native", 0), ("hashicorp", 1), ("mixed", 2), ("native.sealed", 4), ("mixed.sealed", 6)]
        {
            seeds.add("two_nodes", &format!("{name}.{codecs}"), [&[code], &steps.concat()[..]].concat());
        }
    }
}

/// Messages between clients and HashiCorp's agent.
fn rpc(seeds: &mut Seeds) {
    let path = fuzz_dir().join("../agent/tests/vectors/rpc.json");
    let recorded: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut seen = BTreeSet::new();
    for vector in recorded["vectors"].as_array().unwrap() {
        let name: String =
            vector["name"].as_str().unwrap().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        for (target, field) in [("rpc_requests", "request"), ("rpc_replies", "response")] {
            let parts = vector[field].as_array().map_or(&[][..], Vec::as_slice);
            let bytes: Vec<u8> = parts.iter().filter_map(Value::as_str).flat_map(unhex).collect();
            if !bytes.is_empty() && bytes.len() <= 2000 && seen.insert((target, bytes.clone())) {
                seeds.add(target, &format!("{name}_{}", seen.len()), [&[7], &bytes[..]].concat());
            }
        }
    }
    // Go's decoder accepts a struct as the list of its fields, and so does ours.
    for (name, request) in [
        ("event", &b"\x92\xa5event\x01\x93\xa1n\xa1p\xc3"[..]),
        ("event_cut_short", b"\x92\xa5event\x01\x91\xa1n"),
        ("event_too_long", b"\x93\xa5event\x01\xc0\x95\xa1n\xc0\xc2\x81\xa1x\x01\xa1y"),
        ("event_mistyped", b"\x92\xa5event\x01\x91\xc3"),
        ("handshake_and_auth", b"\x92\xa9handshake\x00\x91\x01\x92\xa4auth\x01\x91\xa1k"),
        ("join", b"\x92\xa4join\x02\x92\x91\xa1a\xc3"),
        ("members_filtered", b"\x92\xb0members-filtered\x03\x93\x81\xa1t\xa1v\xa1s\xa1n"),
        ("query", b"\x92\xa5query\x04\x97\x91\xa1f\x81\xa1t\xa1v\xc3\x02\x03\xa1n\xa1p"),
        ("tags", b"\x92\xa4tags\x05\x92\x81\xa1t\xa1v\x91\xa1d"),
        ("nothing", b"\x90\x90"),
    ] {
        seeds.add("rpc_requests", &format!("list_{name}"), [&[7], request].concat());
    }
    // Lists and maps that announce more than there is, and nested objects.
    seeds.add("rpc_requests", "announces_much", [1, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xa3]);
    seeds.add("rpc_replies", "nested", [&[255], &[0x91; 3000][..]].concat());
}

/// Files that the programs ship, and what is wrong with others.
fn files(seeds: &mut Seeds) {
    let root = fuzz_dir().join("..");
    for entry in fs::read_dir(root.join("sim/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().replace('-', "_");
        seeds.add("scenario", &name, fs::read(&path).unwrap());
    }
    for (name, text) in [
        ("axes", "nodes = [3, 5]\nseeds = 3\nphases = [\"crash\"]\n[network]\nloss = [0, \"10%\"]\n"),
        ("unknown_key", "nods = 3\n"),
        ("wrong_type", "nodes = \"many\"\n"),
        ("not_toml", "nodes = = 3\n"),
    ] {
        seeds.add("scenario", name, text);
    }
    let header = |format, cell| {
        format!(
            "{{\"record\":\"header\",\"format\":{format},\"simulator\":\"0\",\"scenario\":\"crash\",\
             \"configuration\":\"0a\",\"cell\":\"{cell}\",\"parameters\":{{\"network.loss\":0.1,\"as\":\"<b>\"}},\
             \"varied\":[\"network.loss\"],\"seed\":1,\"nodes_count\":3,\"virtual_s\":12.5,\"trace_hash\":\"0b\"}}\n"
        )
    };
    let phase = "{\"record\":\"phase\",\"phase\":\"crash\",\"goal\":\"\",\"outcome\":\"done\",\"started_at_s\":0,\"took_s\":12.5}\n";
    let metric = "{\"record\":\"metric\",\"phase\":\"crash\",\"name\":\"detect_p99_s\",\"value\":3.25}\n";
    let series = "{\"record\":\"series\",\"phase\":\"\",\"name\":\"datagrams_count\",\"labels\":{\"kind\":\"ping\"},\"start_s\":0,\"values\":[1,null,2]}\n";
    let distribution = "{\"record\":\"distribution\",\"phase\":\"crash\",\"name\":\"detect_s\",\"total_count\":2,\"points\":[[1,0.5],[2,1]]}\n";
    let subject = "{\"record\":\"subject\",\"phase\":\"crash\",\"node\":\"n1\",\"first_observer\":\"n2\",\"first_s\":1,\"last_s\":2,\"observers_count\":2}\n";
    let verdicts = "{\"record\":\"finding\",\"finding\":\"an event twice\"}\n{\"record\":\"assertion\",\"assertion\":\"x\",\"holds\":false,\"found\":\"y\"}\n";
    let end = |count| format!("{{\"record\":\"end\",\"records_count\":{count}}}\n");
    let whole = [&header(1, "0c"), phase, metric, series, distribution, subject, verdicts, &end(7)].concat();
    let other = [&header(1, "0d"), metric, &end(1)].concat();
    for (name, text) in [
        ("whole", whole.clone()),
        ("merged", whole.clone() + &other),
        ("without_records", header(1, "0c") + &end(0)),
        ("other_format", header(2, "0c") + &end(0)),
        ("wrong_count", header(1, "0c") + metric + &end(2)),
        ("torn", header(1, "0c") + metric),
        (
            "not_finite",
            [header(1, "0c"), metric.replace("3.25", "1e308"), series.replace("[1,", "[1e308,-1e308,"), end(2)]
                .concat(),
        ),
        ("foreign", "{}\n".into()),
    ] {
        seeds.add("results", name, text);
    }
    configurations(seeds);
}

fn configurations(seeds: &mut Seeds) {
    let all = r#"{"node_name":"a","bind":"10.0.0.1:7946","advertise":"{{ GetPrivateIP }}","tags":{"role":"web"},"role":"db",
        "encrypt_key":"MDEyMzQ1Njc4OWFiY2RlZg==","profile":"wan","protocol":5,"start_join":["10.0.0.2"],"retry_join":["srv:serf.example"],
        "retry_interval":"30s","event_handlers":["user:deploy=foo.sh","query:load=uptime"],"log_level":"DEBUG","rejoin_after_leave":true,
        "snapshot_path":"s","discover":"c","mdns":{"iface":"eth0","disable_ipv6":true},"user_event_size_limit":256}"#;
    for (name, text) in [
        ("all", all.to_owned()),
        (
            "two_files",
            format!("{all}\0{}", r#"{"node_name":"b","profile":"lan","start_join":["10.0.0.3"],"tags":{"role":"c"}}"#),
        ),
        ("null", "null".into()),
        ("unknown_key", r#"{"nod":1,"tags":{"a":1}}"#.into()),
        ("wrong_types", r#"{"protocol":"5","retry_interval":5,"tags":[],"start_join":"a"}"#.into()),
        ("torn", r#"{"node_name":"a"#.into()),
        ("durations", r#"{"retry_interval":"-1h1.5ms","reconnect_timeout":"2562047h47m16.854775807s"}"#.into()),
    ] {
        seeds.add("agent_config", name, text);
    }
    for (name, text) in [
        ("two", r#"["MDEyMzQ1Njc4OWFiY2RlZg==","AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="]"#),
        ("null", "null"),
        ("none", "[]"),
        ("short", r#"["AAAA"]"#),
        ("not_base64", r#"["!!"]"#),
        ("with_line_ends", "[\"MDEyMzQ1\\nNjc4OWFiY2RlZh==\"]"),
        ("not_texts", "[1,null]"),
    ] {
        seeds.add("keyring", name, text);
    }
}

/// mDNS packets, and names that members choose.
fn monitoring(seeds: &mut Seeds) {
    let service = |node, host| Service::new("c", node, "host.example", ([10, 0, 0, host], 7946).into()).unwrap();
    let (one, two) = (service("node", 1), service("two", 2));
    let question = one.question();
    let answer = two.answer(&question).unwrap();
    let mut many = question.clone();
    many[4..6].copy_from_slice(&[255, 255]);
    for (name, packet) in [("question", question), ("answer", answer), ("announces_many", many)] {
        seeds.add("mdns", name, [&[0], &packet[..]].concat());
    }
    for (name, names) in [
        ("names", "c\0node\0host"),
        ("names_with_dots", "a.b\0c.d\0e..f"),
        ("names_with_blanks", "my cluster\0a node\0a host"),
        ("names_of_no_letters", "\0\0"),
        ("names_as_labels", "\\\0\u{c0}\0\u{e4}"),
    ] {
        seeds.add("mdns", name, [&[1], names.as_bytes()].concat());
    }
    for (name, metric) in
        [("name", "serf.events.deploy"), ("injects", "x\nevil:1|c\u{2028}\x1b[2J"), ("long", &"n".repeat(300))]
    {
        seeds.add("metrics_text", name, [&[1, 1, 2, 3, 4], metric.as_bytes()].concat());
    }
    let peer = PeerRef {
        name: "a\"}\nevil 1",
        addr: ([10, 0, 0, 9], 7946).into(),
        meta: b"\xff\x81\xa4role\xa5\"} 1\n",
        versions: Versions::OURS,
    };
    let alive = written(|w| native::encode(&Message::Alive(Alive { incarnation: 1, peer }), w));
    seeds.add("metrics_text", "hostile_member", [&[0], &alive[..]].concat());
    seeds.add("metrics_text", "nothing", [0]);
}

#[test]
fn the_corpus_has_what_was_recorded_and_what_was_mended() {
    let mut seeds = Seeds::default();
    recorded_by_memberlist(&mut seeds);
    recorded_by_serf(&mut seeds);
    what_memberlist_mended(&mut seeds);
    other_hostile_inputs(&mut seeds);
    native_messages(&mut seeds);
    expressions(&mut seeds);
    snapshots(&mut seeds);
    lives(&mut seeds);
    pairs(&mut seeds);
    rpc(&mut seeds);
    files(&mut seeds);
    monitoring(&mut seeds);
    seeds.add("compression", "text", b"the quick brown fox, the quick brown fox, the quick brown fox");
    for ((target, name), data) in &seeds.0 {
        let path = fuzz_dir().join("corpus").join(target).join(name);
        if std::env::var_os("WRITE_SEEDS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, data).unwrap();
        }
        assert!(fs::read(&path).ok().as_ref() == Some(data), "{target}/{name} is missing or another");
    }
}
