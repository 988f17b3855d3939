//! HashiCorp's codec has the semantics of the native one, decodes leniently, and fails cheaply.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::samples::*;
use super::written;
use crate::limits::{NAME_BYTES_MAX, PUSH_PULL_NODES_MAX, STREAM_MESSAGE_BYTES_MAX};
use crate::wire::hashicorp::{self, PushPull, Scanner, SerfState};
use crate::wire::swim::{Message, Source, State};
use crate::wire::{Codec, DecodeError, Full, Versions, Writer, native, serf};

fn encode(codec: Codec, message: &Message<'_>) -> Vec<u8> {
    written(|w| codec.encode(message, w))
}

fn encode_serf(codec: Codec, message: &serf::Message<'_>) -> Vec<u8> {
    written(|w| codec.encode_serf(message, w))
}

/// Every strict prefix of `whole` must be rejected, and trailing bytes ignored.
fn check_ends<T: PartialEq + core::fmt::Debug>(
    whole: &[u8],
    longer: &[u8],
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<(), TestCaseError> {
    for cut in 0..whole.len() {
        prop_assert!(read(&whole[..cut]).is_none(), "cut to {} of {}", cut, whole.len());
    }
    prop_assert!(read(longer).is_some());
    Ok(())
}

fn longer(whole: &[u8]) -> Vec<u8> {
    [whole, b"\xc1 more"].concat()
}

/// A source without a port decodes as none: the ack goes to the packet's source.
fn with_port<'a>(source: &mut Option<Source<'a>>) {
    *source = source.filter(|source| source.addr.port() != 0);
}

fn answerable(mut message: Message<'_>) -> Message<'_> {
    match &mut message {
        Message::Ping(ping) => with_port(&mut ping.source),
        Message::IndirectPing(ping) => with_port(&mut ping.source),
        _ => {}
    }
    message
}

fn push_pull(join: bool, states: &States, user: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    let count = |len: usize| u32::try_from(len).unwrap();
    hashicorp::begin_push_pull(&mut out, join, count(states.len()), count(user.len()));
    for (state, incarnation, peer) in states {
        hashicorp::push_state(&mut out, State::from_u8(*state).unwrap(), *incarnation, peer.borrow());
    }
    out.extend_from_slice(user);
    out
}

/// The end of a message that arrives in chunks of these lengths, repeated.
fn scan_in_pieces(message: &[u8], pieces: &[usize]) -> Result<Option<usize>, DecodeError> {
    let mut scanner = Scanner::default();
    let mut come = 0;
    for piece in pieces.iter().cycle() {
        if let Some(end) = scanner.scan(&message[..come])? {
            return Ok(Some(end));
        }
        if come == message.len() {
            break;
        }
        come = message.len().min(come + piece);
    }
    Ok(None)
}

proptest! {
    #[test]
    fn both_codecs_mean_the_same_and_differ_in_the_first_byte(message in message()) {
        let message = message.borrow();
        let (ours, theirs) = (encode(Codec::Native, &message), encode(Codec::HashiCorp, &message));
        prop_assert_eq!((Codec::of(ours[0]), Codec::of(theirs[0])), (Codec::Native, Codec::HashiCorp));
        prop_assert_eq!(Codec::decode(&ours), Ok(message));
        prop_assert_eq!(Codec::decode(&theirs), Ok(answerable(message)));
        check_ends(&theirs, &longer(&theirs), |frame| hashicorp::decode(frame).ok().map(drop))?;
    }

    #[test]
    fn both_codecs_mean_the_same_in_the_layer_above(message in serf_message()) {
        let (ours, theirs) = message.with(|message| {
            let (ours, theirs) = (encode_serf(Codec::Native, &message), encode_serf(Codec::HashiCorp, &message));
            let read = (Codec::decode_serf(&ours), Codec::decode_serf(&theirs));
            prop_assert_eq!(read, (Ok(message), Ok(message)));
            // A message decoded in one codec can be encoded in the other.
            prop_assert_eq!(&encode_serf(Codec::HashiCorp, &Codec::decode_serf(&ours).unwrap()), &theirs);
            prop_assert_eq!(&encode_serf(Codec::Native, &Codec::decode_serf(&theirs).unwrap()), &ours);
            Ok((ours, theirs))
        })?;
        prop_assert_eq!((Codec::of(ours[0]), Codec::of(theirs[0])), (Codec::Native, Codec::HashiCorp));
        let whole = &theirs[..theirs.len() - message.open_end().unwrap_or_default()];
        check_ends(whole, &longer(&theirs), |frame| hashicorp::decode_serf(frame).ok().map(drop))?;
    }

    #[test]
    fn a_message_is_written_whole_or_not_at_all(message in message(), above in serf_message()) {
        let check = |whole: &[u8], write: &dyn Fn(&mut Writer<'_>) -> Result<(), Full>| {
            for room in [0, 1, whole.len() / 2, whole.len() - 1] {
                prop_assert_eq!(write(&mut Writer::new(&mut vec![0; room])), Err(Full));
            }
            prop_assert_eq!(write(&mut Writer::new(&mut vec![0; whole.len()])), Ok(()));
            Ok(())
        };
        let message = message.borrow();
        check(&encode(Codec::HashiCorp, &message), &|w| hashicorp::encode(&message, w))?;
        above.with(|message| check(&encode_serf(Codec::HashiCorp, &message), &|w| hashicorp::encode_serf(&message, w)))?;
    }

    #[test]
    fn both_codecs_mean_the_same_coordinate(vec in prop::collection::vec(any::<f64>(), 0..20), [error, adjustment, height] in any::<[f64; 3]>()) {
        let coordinate = serf::Coordinate { vec: serf::List::new(&vec), error, adjustment, height };
        for codec in [Codec::Native, Codec::HashiCorp] {
            let payload = written(|w| codec.encode_coordinate(&coordinate, w));
            prop_assert_eq!(Codec::of(payload[0]), codec);
            prop_assert_eq!(Codec::decode_coordinate(&payload), Ok(coordinate));
            for cut in 0..payload.len() {
                prop_assert!(Codec::decode_coordinate(&payload[..cut]).is_err());
            }
        }
    }

    #[test]
    fn a_look_at_an_alive_message_says_what_decoding_it_says(incarnation: u32, peer in peer()) {
        let frame = written(|w| hashicorp::encode_alive(incarnation, peer.borrow(), w));
        let read = hashicorp::split_alive(&frame).unwrap();
        prop_assert_eq!((read.incarnation, read.name), (incarnation, peer.name.as_bytes()));
        prop_assert_eq!(read.peer(), Ok(peer.borrow()));
    }

    #[test]
    fn a_push_pull_comes_back_as_it_was_and_is_refused_when_cut_short(join: bool, states in states(), user in bytes(40)) {
        let message = push_pull(join, &states, &user);
        let parsed = PushPull::parse(&message[1..]).unwrap();
        prop_assert_eq!((parsed.join, parsed.user), (join, &*user));
        let read: Vec<_> = parsed.states().collect();
        prop_assert_eq!(read.len(), states.len());
        for (entry, (state, incarnation, peer)) in read.iter().zip(&states) {
            prop_assert_eq!((entry.state, entry.incarnation), (State::from_u8(*state), *incarnation));
            prop_assert_eq!(entry.versions, Some(Versions(peer.versions)));
            prop_assert_eq!(entry.peer(), Ok(peer.borrow()));
        }
        check_ends(&message[1..], &longer(&message[1..]), |body| PushPull::parse(body).ok().map(drop))?;
    }

    #[test]
    fn the_end_of_a_message_is_found_however_it_is_cut(join: bool, states in states(), user in bytes(40), pieces in prop::collection::vec(1_usize..40, 1..20), which in 0..4) {
        let message = match which {
            0 => push_pull(join, &states, &user),
            1 => written(|w| hashicorp::encode_error("boom", w)),
            2 => {
                let mut out = vec![];
                hashicorp::encode_user(&user, &mut out).unwrap();
                out
            }
            _ => [b"\x09\x82\xa4Algo\x00\xa3Buf\xc4", &[u8::try_from(user.len()).unwrap()][..], &user].concat(),
        };
        prop_assert_eq!(scan_in_pieces(&longer(&message), &pieces), Ok(Some(message.len())));
        for cut in 0..message.len() {
            prop_assert_eq!(scan_in_pieces(&message[..cut], &pieces), Ok(None));
        }
    }

    #[test]
    fn the_state_of_the_layer_above_comes_back_and_is_refused_when_cut_short(clocks in clocks(), members in members(), mut events in prop::collection::vec(event(), 0..6)) {
        events.sort_by_key(OwnedEvent::ltime);
        let events: Vec<_> = events.iter().map(|event| serf::UserEvent { coalesce: false, ..event.borrow() }).collect();
        let mut body = vec![];
        let rows = members.iter().map(|(node, ltime, left)| serf::MemberTime { node: node.as_bytes(), ltime: *ltime, left: *left });
        hashicorp::push_serf_state(&mut body, clocks, &events, rows);
        let state = SerfState::parse(&body).unwrap();
        prop_assert_eq!(state.clocks, clocks);
        prop_assert_eq!(state.events().collect::<Vec<_>>(), events);
        // Duplicate names get the last time, and count as left if either entry has left.
        let mut meant = alloc::collections::BTreeMap::new();
        for (node, ltime, left) in &members {
            let known: &mut (u64, bool) = meant.entry(node.clone()).or_default();
            *known = (*ltime, *left || known.1);
        }
        let mut read = alloc::collections::BTreeMap::new();
        for member in state.members() {
            read.insert(String::from_utf8(member.node.to_vec()).unwrap(), (member.ltime, member.left));
        }
        prop_assert_eq!(read, meant);
        check_ends(&body, &longer(&body), |body| SerfState::parse(body).ok().map(drop))?;
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop_oneof![bytes(400), msgpack()], kind in 0_u8..16) {
        let mut frame = vec![kind];
        frame.extend_from_slice(&bytes);
        let _ = Codec::decode(&frame);
        let _ = hashicorp::split_alive(&frame);
        let _ = hashicorp::decode_coordinate(&frame);
        let _ = (hashicorp::decode_user(&bytes), hashicorp::decode_error(&bytes));
        if let Ok(message) = Codec::decode_serf(&frame) {
            // Iterates every list; decoded messages can be encoded in either codec.
            let mut room = vec![0; 8 * 1024];
            for codec in [Codec::Native, Codec::HashiCorp] {
                prop_assert_eq!(codec.encode_serf(&message, &mut Writer::new(&mut room)), Ok(()));
            }
        }
        if let Ok(parsed) = PushPull::parse(&bytes) {
            prop_assert!(parsed.states().filter(|entry| entry.peer().is_ok()).count() <= bytes.len());
        }
        if let Ok(state) = SerfState::parse(&frame) {
            prop_assert!(state.members().count() + state.events().count() <= frame.len());
        }
        if let Some(tags) = hashicorp::tags(&bytes) {
            prop_assert!(tags.count() <= bytes.len());
        }
        let whole = Scanner::default().scan(&frame);
        prop_assert!(whole.is_err() || scan_in_pieces(&frame, &[1]) == whole);
    }

    #[test]
    fn a_message_whose_bytes_are_damaged_is_read_without_a_panic(message in serf_message(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut frame = message.with(|message| encode_serf(Codec::HashiCorp, &message));
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if let Ok(message) = Codec::decode_serf(&frame) {
            let _ = native::encode_serf(&message, &mut Writer::new(&mut vec![0; 8 * 1024]));
        }
    }
}

/// Random msgpack-like bytes, with known keys.
fn msgpack() -> impl Strategy<Value = Vec<u8>> {
    const KEYS: &[&str] = &[
        "Node",
        "Name",
        "Addr",
        "Port",
        "Meta",
        "Vsn",
        "LTime",
        "Payload",
        "Filters",
        "Events",
        "LeftMembers",
        "StatusLTimes",
        "Keys",
        "Tags",
        "DestAddr",
        "IP",
        "Vec",
        "Nodes",
        "UserStateLen",
        "Incarnation",
        "Timeout",
    ];
    let head = prop_oneof![0x80_u8..0x85, 0x90_u8..0x95, Just(0xc0), 0xc0_u8..=0xff, 0_u8..4];
    let piece = prop_oneof![
        prop::sample::select(KEYS).prop_map(|key| {
            let mut raw = vec![0xa0 | u8::try_from(key.len()).unwrap()];
            raw.extend_from_slice(key.as_bytes());
            raw
        }),
        head.prop_map(|head| vec![head]),
        bytes(4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

#[test]
fn nesting_of_any_depth_is_stepped_over_without_a_stack() {
    let deep = vec![0x91; 1 << 20];
    let mut frame = b"\x04\x81\xa3Zed".to_vec();
    frame.extend_from_slice(&deep);
    assert_eq!(Codec::decode(&frame), Err(DecodeError::Malformed), "it never ends");
    frame.push(0xc0);
    assert_eq!(Codec::decode(&frame), Err(DecodeError::Malformed), "it ends, and there is no name");
    let mut ping = b"\x00\x82\xa5SeqNo\x07\xa3Zed".to_vec();
    ping.extend_from_slice(&deep);
    ping.push(0xc0);
    assert!(matches!(Codec::decode(&ping), Ok(Message::Ping(ping)) if ping.seq == 7));
    assert_eq!(Scanner::default().scan(&ping), Ok(Some(ping.len())));
}

#[test]
fn counts_and_lengths_that_promise_more_than_there_can_be_are_refused_at_once() {
    const HUGE: &[u8] = b"\xff\xff\xff\xff";
    for (kind, head) in [(3, &b"\xdf"[..]), (3, b"\xdd"), (3, b"\x81\xdb"), (4, b"\x81\xa7Filters\xdd")] {
        let frame = [&[kind], head, HUGE].concat();
        assert_eq!(hashicorp::decode_serf(&frame), Err(DecodeError::Malformed), "{frame:x?}");
    }
    for head in [&b"\x81\xa1Z\xdd"[..], b"\x81\xa1Z\xdf", b"\x81\xa1Z\xc9", b"\x81\xa1Z\xdb", b"\xdf"] {
        let message = [b"\x06", head, HUGE].concat();
        assert_eq!(Scanner::default().scan(&message), Err(DecodeError::Malformed), "{message:x?}");
    }
    let header = |nodes: usize, user_bytes: usize| {
        let (nodes, user_bytes) = (u32::try_from(nodes).unwrap(), u32::try_from(user_bytes).unwrap());
        let mut message = vec![];
        hashicorp::begin_push_pull(&mut message, true, nodes, user_bytes);
        Scanner::default().scan(&message)
    };
    assert_eq!(header(PUSH_PULL_NODES_MAX, 0), Ok(None));
    assert_eq!(header(PUSH_PULL_NODES_MAX + 1, 0), Err(DecodeError::Malformed));
    assert_eq!(header(0, STREAM_MESSAGE_BYTES_MAX - 100), Ok(None));
    assert_eq!(header(0, STREAM_MESSAGE_BYTES_MAX), Err(DecodeError::Malformed), "with its header it is too long");
    assert_eq!(header(0, STREAM_MESSAGE_BYTES_MAX + 1), Err(DecodeError::Malformed));
    let negative = b"\x06\x83\xa4Join\xc2\xa5Nodes\xff\xacUserStateLen\x00";
    assert_eq!(Scanner::default().scan(negative), Err(DecodeError::Malformed));
    assert_eq!(Scanner::default().scan(b"\x04"), Err(DecodeError::Unknown), "an alive message on a stream");
    assert_eq!(Scanner::default().scan(b"\x46"), Err(DecodeError::Unknown), "a native message");
}

#[test]
fn what_memberlists_decoders_take_so_does_ours() {
    let seq = |body: &[u8]| match hashicorp::decode_body(hashicorp::PING, body) {
        Ok(Message::Ping(ping)) => Ok(ping.seq),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    for (body, meant) in [
        (&b"\xc0"[..], 0),
        (b"\x80", 0),
        (b"\xde\0\x01\xa5SeqNo\x07", 7),
        (b"\xdf\0\0\0\x01\xa5SeqNo\x07", 7),
        (b"\x81\xc4\x05SeqNo\x07", 7),
        (b"\x81\xd9\x05SeqNo\xd3\0\0\0\0\0\0\0\x07", 7),
        (b"\x81\xa5SeqNo\xc0", 0),
        (b"\x81\xa5seqno\x07", 0),
        (b"\x82\xa5SeqNo\x07\xa5SeqNo\x08", 8),
        (b"\x82\xa1Z\xd8\0 sixteen bytes  \xa5SeqNo\x09", 9),
        (b"\x92\x07\xa6node-b", 7),
        (b"\x96\x07\xc0\xc0\xc0\xc0\x81\x01\x02", 7),
    ] {
        assert_eq!(seq(body), Ok(meant), "{body:x?}");
    }
    for body in
        [&b""[..], b"\x81", b"\x81\xa5SeqNo\xff", b"\x81\xa5SeqNo\xca\0\0\0\0", b"\x81\xa5SeqNo\xcf\0\0\0\x01\0\0\0\0"]
    {
        assert_eq!(seq(body), Err(DecodeError::Malformed), "{body:x?}");
    }
    let alive = |addr: &[u8], port: &[u8]| {
        let frame =
            [b"\x04\x84\xa4Addr", addr, b"\xa4Node\xa1a\xa4Port", port, b"\xa3Vsn\x96\x01\x05\x02\0\0\0"].concat();
        hashicorp::decode(&frame).map(|message| match message {
            Message::Alive(alive) => alive.peer.addr,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(alive(b"\xa4\x0a\0\0\x01", b"\x07"), Ok("10.0.0.1:7".parse().unwrap()));
    assert_eq!(alive(b"\x94\x0a\0\0\xcc\xff", b"\x07"), Ok("10.0.0.255:7".parse().unwrap()), "an array");
    let mapped = "[::ffff:10.0.0.1]:7".parse().unwrap();
    assert_eq!(alive(b"\xb0\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01", b"\x07"), Ok(mapped), "as it was announced");
    assert!(alive(b"\xa5\x0a\0\0\x01\x01", b"\x07").is_err(), "five bytes");
    assert!(alive(b"\xa4\x0a\0\0\x01", b"\xce\0\x01\0\0").is_err(), "a port of 65536");
}

#[test]
fn names_that_fit_into_no_packet_are_refused_and_do_not_harm_a_push_pull() {
    let too_long = "n".repeat(NAME_BYTES_MAX + 1);
    for (node, ltime) in [("", 1), (&*too_long, 1)] {
        let message = serf::Message::Join(serf::Join { ltime, node });
        assert!(hashicorp::decode_serf(&encode_serf(Codec::HashiCorp, &message)).is_err());
        let rows = [node, "a"].map(|node| serf::MemberTime { node: node.as_bytes(), ltime, left: false });
        let mut body = vec![];
        let clocks = serf::Clocks { member: 1, event: 1, query: 1 };
        hashicorp::push_serf_state(&mut body, clocks, &[], rows.iter().copied());
        let read: Vec<_> = SerfState::parse(&body).unwrap().members().map(|member| member.node).collect();
        assert_eq!(read, [b"a"]);
    }
}

#[test]
fn no_filter_is_ever_written_empty() {
    // Go programs panic on it.
    let filters = [serf::Filter::Unreadable(&[])];
    let source = serf::Source { addr: "10.0.0.1:1".parse().unwrap(), node: "a" };
    let query = serf::Query {
        ltime: 1,
        id: 1,
        source,
        filters: serf::List::new(&filters),
        flags: 0,
        relay_factor: 0,
        timeout: core::time::Duration::ZERO,
        name: "q",
        payload: &[],
    };
    let frame = encode_serf(Codec::HashiCorp, &serf::Message::Query(query));
    let Ok(serf::Message::Query(read)) = hashicorp::decode_serf(&frame) else { panic!("a query was written") };
    assert_eq!(read.filters.iter().collect::<Vec<_>>(), [serf::Filter::Unreadable(&[0xff])]);
}

fn query<'a>(payload: &'a [u8], filters: &'a [serf::Filter<'a>]) -> serf::Query<'a> {
    serf::Query {
        ltime: 5,
        id: 1 << 30,
        source: serf::Source { addr: "127.0.0.1:7946".parse().unwrap(), node: "a" },
        flags: 0,
        relay_factor: 0,
        timeout: core::time::Duration::from_millis(3200),
        name: "q",
        payload,
        filters: serf::List::new(filters),
    }
}

#[test]
fn the_largest_query_and_response_are_those_that_were_observed() {
    assert_eq!(hashicorp::shortest_query_bytes(&query(&vec![0; 916], &[])), 1024);
    let payload = vec![0; 982];
    let response = serf::QueryResponse { ltime: 5, id: 1 << 30, from: "a", flags: 0, payload: &payload };
    assert_eq!(hashicorp::serf_bytes(&serf::Message::QueryResponse(response)), 1024);
}

#[test]
fn a_relay_over_ipv4_adds_44_bytes_and_the_name() {
    let relay = serf::Relay { addr: "127.0.0.1:7946".parse().unwrap(), node: "node-a", inner: &[0; 100] };
    assert_eq!(hashicorp::serf_bytes(&serf::Message::Relay(relay)), 100 + 44 + 6);
}

#[test]
fn filters_take_what_their_bytes_in_the_recorded_vectors_take() {
    let nodes = ["node-a", "node-b"];
    let by_name = [serf::Filter::Nodes(serf::List::new(&nodes))];
    let by_tag = [serf::Filter::Tag { tag: "role", expr: "^web[0-9]+$" }];
    // 00 92 a66e6f64652d61 a66e6f64652d62, and 01 82 a445787072 ab... a3546167 a4726f6c65.
    let bytes = |filters| hashicorp::shortest_query_bytes(&query(&[], filters));
    assert_eq!(bytes(&by_name) - bytes(&[]), 1 + 16);
    assert_eq!(bytes(&by_tag) - bytes(&[]), 1 + 28);
    // a1 ff: the encoding of an empty filter.
    assert_eq!(bytes(&[serf::Filter::Unreadable(&[])]) - bytes(&[]), 2);
}
