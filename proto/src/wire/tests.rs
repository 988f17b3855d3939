//! Round trips, truncation, and arbitrary input: encoded messages decode, truncated ones do not, and no input panics a
//! decoder.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
mod hashicorp;
mod samples;

use proptest::prelude::*;

use self::samples::*;
use super::native::{self, PushPull, SerfState};
use super::swim::{Accusation, Alive, IndirectPing, Message, PeerRef, Ping, Source, State};
use super::{DecodeError, Full, Versions, Writer, serf};
use crate::limits::{META_BYTES_MAX, NAME_BYTES_MAX};

fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut buf = vec![0; 8 * 1024];
    let mut writer = Writer::new(&mut buf);
    write(&mut writer).unwrap();
    let len = writer.len();
    buf.truncate(len);
    buf
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    written(|w| native::encode(message, w))
}

fn encode_serf(message: &serf::Message<'_>) -> Vec<u8> {
    written(|w| native::encode_serf(message, w))
}

/// Every strict prefix of `whole`, and `whole` with something after it, must be refused.
fn check_ends<T>(whole: &[u8], read: impl Fn(&[u8]) -> Result<T, DecodeError>) -> Result<(), TestCaseError> {
    for cut in 0..whole.len() {
        prop_assert!(read(&whole[..cut]).is_err(), "cut to {} of {}", cut, whole.len());
    }
    for tail in [0, 1, 0xff] {
        let mut longer = whole.to_vec();
        longer.push(tail);
        prop_assert!(read(&longer).is_err(), "with {tail:#x} after it");
    }
    Ok(())
}

fn push_pull(join: bool, states: &States, user: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    native::begin_push_pull(&mut body, join, u32::try_from(states.len()).unwrap());
    for (state, incarnation, peer) in states {
        let state = State::from_u8(*state).unwrap();
        native::push_state(&mut body, state, *incarnation, &native::encode_record(peer.borrow()));
    }
    body.extend_from_slice(user);
    body
}

fn serf_state(clocks: serf::Clocks, members: &[(String, u64, bool)], events: &[OwnedEvent]) -> Vec<u8> {
    let mut body = vec![];
    native::begin_serf_state(&mut body, clocks, u32::try_from(members.len()).unwrap());
    for &(ref node, ltime, left) in members {
        native::push_member_time(&mut body, serf::MemberTime { node: node.as_bytes(), ltime, left });
    }
    native::begin_events(&mut body, u32::try_from(events.len()).unwrap());
    for event in events {
        native::push_event(&mut body, &event.borrow());
    }
    body
}

proptest! {
    #[test]
    fn every_message_comes_back_as_it_was(message in message()) {
        let frame = encode(&message.borrow());
        prop_assert_eq!(native::decode(&frame), Ok(message.borrow()));
    }

    #[test]
    fn a_message_that_is_cut_short_or_goes_on_is_refused(message in message()) {
        check_ends(&encode(&message.borrow()), |frame| native::decode(frame).map(|_| ()))?;
    }

    #[test]
    fn a_message_is_written_whole_or_not_at_all(message in message()) {
        let whole = encode(&message.borrow());
        for room in [0, 1, 2, whole.len() / 2, whole.len() - 1] {
            let mut buf = vec![0; room];
            prop_assert_eq!(native::encode(&message.borrow(), &mut Writer::new(&mut buf)), Err(Full));
        }
        let mut buf = vec![0; whole.len()];
        prop_assert_eq!(native::encode(&message.borrow(), &mut Writer::new(&mut buf)), Ok(()));
    }

    #[test]
    fn a_user_message_is_whatever_comes_after_its_type(body in bytes(100)) {
        let frame = encode(&Message::User(&body));
        prop_assert_eq!(native::decode(&frame), Ok(Message::User(&body)));
    }

    #[test]
    fn every_message_of_the_layer_above_comes_back_and_is_refused_when_damaged(message in serf_message()) {
        message.with(|message| {
            let frame = encode_serf(&message);
            prop_assert_eq!(native::decode_serf(&frame), Ok(message));
            Ok(())
        })?;
        let frame = message.with(|message| encode_serf(&message));
        if message.open_end().is_none() {
            check_ends(&frame, |frame| native::decode_serf(frame).map(|_| ()))?;
        }
        for cut in 0..frame.len() - message.open_end().unwrap_or_default() {
            prop_assert!(native::decode_serf(&frame[..cut]).is_err(), "cut to {} of {}", cut, frame.len());
        }
    }

    #[test]
    fn a_coordinate_comes_back_as_it_was_and_is_refused_when_damaged(vec in prop::collection::vec(any::<f64>(), 0..12), [error, adjustment, height] in any::<[f64; 3]>()) {
        let coordinate = serf::Coordinate { vec: serf::List::new(&vec), error, adjustment, height };
        let payload = written(|w| native::encode_coordinate(&coordinate, w));
        prop_assert_eq!(native::decode_coordinate(&payload), Ok(coordinate));
        check_ends(&payload, |payload| native::decode_coordinate(payload).map(|_| ()))?;
    }

    #[test]
    fn a_look_at_an_alive_message_says_what_decoding_it_says(incarnation: u32, peer in peer()) {
        let frame = encode(&Message::Alive(Alive { incarnation, peer: peer.borrow() }));
        let partial = native::split_alive(&frame).unwrap();
        prop_assert_eq!((partial.incarnation, partial.name), (incarnation, peer.name.as_bytes()));
        prop_assert_eq!(partial.record, &*native::encode_record(peer.borrow()));
        prop_assert_eq!(native::decode_record(partial.record), Ok(peer.borrow()));
    }

    #[test]
    fn a_look_at_any_bytes_agrees_with_decoding_them(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), incarnation: u32, peer in peer()) {
        let mut frame = encode(&Message::Alive(Alive { incarnation, peer: peer.borrow() }));
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if let Ok(Message::Alive(alive)) = native::decode(&frame) {
            let partial = native::split_alive(&frame).unwrap();
            prop_assert_eq!((partial.incarnation, partial.name), (alive.incarnation, alive.peer.name.as_bytes()));
        }
    }

    #[test]
    fn a_push_pull_comes_back_as_it_was(join: bool, states in states(), user in bytes(40)) {
        let body = push_pull(join, &states, &user);
        let parsed = PushPull::parse(&body).unwrap();
        prop_assert_eq!((parsed.join, parsed.user), (join, &*user));
        let read: Vec<_> = parsed.states().collect();
        prop_assert_eq!(read.len(), states.len());
        for (entry, (state, incarnation, peer)) in read.iter().zip(&states) {
            prop_assert_eq!(entry.state, State::from_u8(*state));
            prop_assert_eq!(entry.versions, Versions(peer.versions));
            prop_assert_eq!((entry.partial.incarnation, entry.partial.name), (*incarnation, peer.name.as_bytes()));
            prop_assert_eq!(native::decode_record(entry.partial.record), Ok(peer.borrow()));
        }
    }

    #[test]
    fn a_push_pull_that_is_cut_short_within_its_states_is_refused(join: bool, states in states()) {
        let body = push_pull(join, &states, &[]);
        for cut in 0..body.len() {
            prop_assert!(PushPull::parse(&body[..cut]).is_err(), "cut to {} of {}", cut, body.len());
        }
    }

    #[test]
    fn the_state_of_the_layer_above_comes_back_and_is_refused_when_damaged(clocks in clocks(), members in members(), events in prop::collection::vec(event(), 0..4)) {
        let body = serf_state(clocks, &members, &events);
        let state = SerfState::parse(&body).unwrap();
        prop_assert_eq!(state.clocks, clocks);
        let read: Vec<_> = state.members().map(|m| (String::from_utf8(m.node.to_vec()).unwrap(), m.ltime, m.left)).collect();
        prop_assert_eq!(read, members);
        let read: Vec<_> = state.events().collect();
        prop_assert_eq!(read, events.iter().map(OwnedEvent::borrow).collect::<Vec<_>>());
        check_ends(&body, |body| SerfState::parse(body).map(|_| ()))?;
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in bytes(400), tag in 0x40_u8..0x50, schema in prop::bool::weighted(0.9)) {
        let mut frame = vec![tag, u8::from(schema)];
        frame.extend_from_slice(&bytes);
        for frame in [&bytes[..], &frame[..], &frame[1..]] {
            let _ = native::decode(frame);
            if let Ok(message) = native::decode_serf(frame) {
                // Walks every list.
                let mut room = [0; 1024];
                let _ = native::encode_serf(&message, &mut Writer::new(&mut room));
            }
            let _ = native::decode_coordinate(frame);
            let _ = native::decode_record(frame);
            let _ = native::split_alive(frame);
            if let Ok(parsed) = PushPull::parse(frame) {
                for entry in parsed.states() {
                    let _ = native::decode_record(entry.partial.record);
                }
            }
            if let Ok(state) = SerfState::parse(frame) {
                prop_assert!(state.members().count() + state.events().count() <= frame.len());
            }
        }
    }

    #[test]
    fn damaged_states_are_read_without_a_panic(states in states(), members in members(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let clocks = serf::Clocks { member: 1, event: 1, query: 1 };
        let mut body = push_pull(true, &states, &serf_state(clocks, &members, &[]));
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok(parsed) = PushPull::parse(&body) {
            prop_assert!(parsed.states().map(|entry| entry.partial.record.len()).sum::<usize>() <= body.len());
            let _ = SerfState::parse(parsed.user);
        }
    }
}

#[test]
fn a_count_that_promises_more_than_there_is_is_refused_at_once() {
    let mut body = vec![1, 0];
    body.extend_from_slice(&[0xff, 0xff, 0x3f]);
    assert!(PushPull::parse(&body).is_err());
    let mut body = vec![1, 1, 1, 1];
    body.extend_from_slice(&[0xff; 9]);
    body.push(1);
    assert!(SerfState::parse(&body).is_err());
}

#[test]
fn a_number_beyond_64_bits_is_refused() {
    let state = |last: u8| {
        let mut body = vec![1];
        body.extend_from_slice(&[0xff; 9]);
        body.extend_from_slice(&[last, 1, 1, 0, 0]);
        SerfState::parse(&body).map(|state| state.clocks.member)
    };
    assert_eq!(state(1), Ok(u64::MAX));
    for last in [2, 3, 0x7f, 0x81] {
        assert_eq!(state(last), Err(DecodeError::Malformed));
    }
}

#[test]
fn names_and_metadata_beyond_their_limits_are_refused() {
    let addr = "10.0.0.1:1".parse().unwrap();
    let longest = "n".repeat(NAME_BYTES_MAX);
    let too_long = "n".repeat(NAME_BYTES_MAX + 1);
    let alive = |name, meta| {
        let peer = PeerRef { name, addr, meta, versions: Versions::OURS };
        encode(&Message::Alive(Alive { incarnation: 1, peer }))
    };
    assert!(native::decode(&alive(&longest, &[0; META_BYTES_MAX])).is_ok());
    assert!(native::decode(&alive(&too_long, &[])).is_err());
    assert!(native::decode(&alive("", &[])).is_err());
    assert!(native::decode(&alive("a", &[0; META_BYTES_MAX + 1])).is_err());
    for (node, readable) in [(&longest, true), (&too_long, false)] {
        let source = Some(Source { addr, node });
        for message in [
            Message::Ping(Ping { seq: 1, node, source: None }),
            Message::Ping(Ping { seq: 1, node: "a", source }),
            Message::IndirectPing(IndirectPing { seq: 1, target: addr, node, nack: true, source: None }),
            Message::Suspect(Accusation { incarnation: 1, node, from: "a" }),
            Message::Suspect(Accusation { incarnation: 1, node: "a", from: node }),
            Message::Dead(Accusation { incarnation: 1, node: "a", from: node }),
        ] {
            assert_eq!(native::decode(&encode(&message)).is_ok(), readable, "{message:?}");
        }
        for message in [
            serf::Message::Join(serf::Join { ltime: 1, node }),
            serf::Message::Leave(serf::Leave { ltime: 1, node, prune: false }),
        ] {
            assert_eq!(native::decode_serf(&encode_serf(&message)).is_ok(), readable, "{message:?}");
        }
        let clocks = serf::Clocks { member: 1, event: 1, query: 1 };
        assert_eq!(SerfState::parse(&serf_state(clocks, &[(node.clone(), 1, false)], &[])).is_ok(), readable);
    }
}

#[test]
fn unknown_types_and_schemas_are_distinguished_from_damage() {
    assert_eq!(native::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(native::decode(&[native::NATIVE | 0x3f, 1]), Err(DecodeError::Unknown));
    assert_eq!(native::decode(&[native::NATIVE, 9, 0]), Err(DecodeError::Unknown), "another schema");
    assert_eq!(native::decode(&[native::NATIVE]), Err(DecodeError::Malformed));
    assert_eq!(native::decode(&[0, 1, 2]), Err(DecodeError::Unknown), "HashiCorp's codec");
    assert_eq!(native::decode_serf(&[]), Err(DecodeError::Empty));
    assert_eq!(native::decode_serf(&[native::NATIVE | 2, 1]), Err(DecodeError::Unknown));
}

/// What earlier releases write: a field that moves in a struct would change it.
#[test]
fn native_bodies_have_the_layout_of_schema_1() {
    let v4 = "10.0.0.1:7946".parse().unwrap();
    let v6 = "[2001:db8::1]:7946".parse().unwrap();
    let ping = Ping { seq: 300, node: "b", source: Some(Source { addr: v6, node: "a" }) };
    let expected = b"\x40\x01\xac\x02\x01b\x01\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x8a\x3e\x01a";
    assert_eq!(encode(&Message::Ping(ping)), expected);
    let peer = PeerRef { versions: Versions([1, 2, 3, 4, 5, 6]), name: "n", addr: v4, meta: &[7, 8] };
    let alive = encode(&Message::Alive(Alive { incarnation: 1, peer }));
    assert_eq!(alive, b"\x44\x01\x01\x01\x02\x03\x04\x05\x06\x01n\0\x0a\0\0\x01\x8a\x3e\x02\x07\x08");
    let names = ["x"];
    let filters = [serf::Filter::Nodes(serf::List::new(&names))];
    let query = serf::Query {
        ltime: 5,
        id: 7,
        source: serf::Source { addr: v4, node: "a" },
        flags: 1,
        relay_factor: 2,
        timeout: core::time::Duration::from_micros(1),
        name: "q",
        payload: &[9],
        filters: serf::List::new(&filters),
    };
    let expected = b"\x44\x01\x05\x07\0\x0a\0\0\x01\x8a\x3e\x01a\x01\x02\xe8\x07\x01q\x01\x09\x01\x04\0\x01\x01x";
    assert_eq!(encode_serf(&serf::Message::Query(query)), expected);
    let tags = serf::List::new(&[("k", "v")]);
    let member = serf::MemberRecord { versions: peer.versions, name: "m", addr: Some(v4), status: 3, tags };
    let expected = b"\x46\x01\x01\x01\x02\x03\x04\x05\x06\x01m\x01\0\x0a\0\0\x01\x8a\x3e\x03\x01\x01k\x01v";
    assert_eq!(encode_serf(&serf::Message::ConflictResponse(Some(member))), expected);
    assert_eq!(encode_serf(&serf::Message::ConflictResponse(None)), b"\x46\x01\0");
    let relay = serf::Relay { addr: v4, node: "r", inner: b"inner" };
    assert_eq!(encode_serf(&serf::Message::Relay(relay)), b"\x49\x01\0\x0a\0\0\x01\x8a\x3e\x01rinner");
    let keys = serf::List::new(&["k"]);
    let response = serf::KeyResponse { result: true, message: "m", keys, primary_key: "p" };
    assert_eq!(encode_serf(&serf::Message::KeyResponse(response)), b"\x48\x01\x01\x01m\x01p\x01\x01k");
}
