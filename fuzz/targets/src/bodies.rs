//! Message bodies in both codecs: a decoded message survives a round trip in either codec, and a truncated one is
//! rejected.

use serf_proto::internals::wire::native::AntiEntropy;
use serf_proto::internals::wire::serf::{self, Coordinate, Filter, MemberTime, UserEvent};
use serf_proto::internals::wire::swim::{Message, PeerRef, State};
use serf_proto::internals::wire::{Codec, DecodeError, Full, Writer, hashicorp, native};

/// Longest message that is truncated at every byte: the time grows with the square of the length.
const CUT_BYTES_MAX: usize = 400;

/// Decodes the input as each kind of body of HashiCorp's codec.
pub fn hashicorp_bodies(data: &[u8]) {
    message(hashicorp::decode, Codec::HashiCorp, data);
    serf_message(hashicorp::decode_serf, Codec::HashiCorp, data);
    coordinate(hashicorp::decode_coordinate, Codec::HashiCorp, data);
    if let (Some(read), Ok(Message::Alive(alive))) = (hashicorp::split_alive(data), hashicorp::decode(data)) {
        assert_eq!((read.incarnation, read.peer()), (alive.incarnation, Ok(alive.peer)));
    }
    scanner(data);
    stream_messages(data);
    hashicorp_push_pull(data);
    hashicorp_state(data);
}

/// Decodes the input as each kind of body of the native codec.
pub fn native_bodies(data: &[u8]) {
    message(native::decode, Codec::Native, data);
    serf_message(native::decode_serf, Codec::Native, data);
    coordinate(native::decode_coordinate, Codec::Native, data);
    if let Ok(peer) = native::decode_record(data) {
        assert_eq!(native::decode_record(&native::encode_record(peer)), Ok(peer));
        assert_eq!(native::name_of_record(data), Some(peer.name.as_bytes()));
    }
    partial_agrees(data);
    anti_entropy(data);
    native_push_pull(data);
    native_state(data);
    fetch(data);
}

/// Encodes into a buffer of sufficient size: HashiCorp's codec has keys where the native one has none.
fn written(data: &[u8], write: impl Fn(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut room = vec![0; 1024 + 64 * data.len()];
    let mut writer = Writer::new(&mut room);
    write(&mut writer).expect("there is room");
    let len = writer.len();
    room.truncate(len);
    let mut too_little = vec![0; len.saturating_sub(1)];
    assert!(len == 0 || write(&mut Writer::new(&mut too_little)).is_err(), "it is written whole or not at all");
    room
}

/// Checks that every strict prefix of a message is rejected.
fn check_cuts(whole: &[u8], is_read: impl Fn(&[u8]) -> bool) {
    if whole.len() <= CUT_BYTES_MAX {
        for cut in 0..whole.len() {
            assert!(!is_read(&whole[..cut]), "{cut} of {} bytes are read: {whole:x?}", whole.len());
        }
    }
}

fn message(decode: for<'a> fn(&'a [u8]) -> Result<Message<'a>, DecodeError>, codec: Codec, data: &[u8]) {
    let Ok(message) = decode(data) else { return };
    for other in [codec, another(codec)] {
        let frame = written(data, |w| other.encode(&message, w));
        assert_eq!(Codec::of(frame[0]), other);
        let again = Codec::decode(&frame);
        // HashiCorp's codec has no time of the join in an alive message.
        let message = match message {
            Message::Joined { alive, .. } if other == Codec::HashiCorp => Message::Alive(alive),
            message => message,
        };
        assert!(again == Ok(message) || other != codec && lacks_port(&message), "{message:?} is read as {again:?}");
        if !matches!(message, Message::User(_)) {
            check_cuts(&frame, |frame| Codec::decode(frame).is_ok());
        }
    }
}

/// HashiCorp's codec cannot express a source without a port.
fn lacks_port(message: &Message<'_>) -> bool {
    let source = match message {
        Message::Ping(ping) => ping.source,
        Message::IndirectPing(ping) => ping.source,
        _ => None,
    };
    source.is_some_and(|source| source.addr.port() == 0)
}

fn serf_message(decode: for<'a> fn(&'a [u8]) -> Result<serf::Message<'a>, DecodeError>, codec: Codec, data: &[u8]) {
    let Ok(message) = decode(data) else { return };
    for other in [codec, another(codec)] {
        let frame = written(data, |w| other.encode_serf(&message, w));
        assert_eq!(Codec::of(frame[0]), other);
        let again = Codec::decode_serf(&frame).expect("it was written");
        let is_same = means_the_same(&message, &again) || other != codec && has_unreadable_filter(&message);
        assert!(is_same, "{message:?} is read as {again:?}");
        if !matches!(message, serf::Message::Relay(_)) {
            check_cuts(&frame, |frame| Codec::decode_serf(frame).is_ok());
        }
    }
}

/// Compares messages up to unreadable filters: HashiCorp's codec never writes an empty one.
fn means_the_same(one: &serf::Message<'_>, other: &serf::Message<'_>) -> bool {
    let (serf::Message::Query(one), serf::Message::Query(other)) = (one, other) else { return one == other };
    let are_same = one.filters.len() == other.filters.len()
        && one.filters.iter().zip(other.filters.iter()).all(|pair| match pair {
            (Filter::Unreadable(_), Filter::Unreadable(_)) => true,
            (one, other) => one == other,
        });
    are_same && serf::Query { filters: other.filters, ..*one } == *other
}

/// A filter marked unreadable in one codec may be readable in the other.
fn has_unreadable_filter(message: &serf::Message<'_>) -> bool {
    let serf::Message::Query(query) = message else { return false };
    query.filters.iter().any(|filter| matches!(filter, Filter::Unreadable(_)))
}

const fn another(codec: Codec) -> Codec {
    match codec {
        Codec::Native => Codec::HashiCorp,
        _ => Codec::Native,
    }
}

/// Compares coordinates by their bytes: NaN does not equal itself.
fn coordinate(decode: for<'a> fn(&'a [u8]) -> Result<Coordinate<'a>, DecodeError>, codec: Codec, data: &[u8]) {
    let Ok(coordinate) = decode(data) else { return };
    let payload = written(data, |w| codec.encode_coordinate(&coordinate, w));
    let again = decode(&payload).expect("it was written");
    assert_eq!(written(data, |w| codec.encode_coordinate(&again, w)), payload);
    check_cuts(&payload, |payload| decode(payload).is_ok());
}

/// Checks that the scanner finds the end of a message for any chunking.
fn scanner(data: &[u8]) {
    let whole = hashicorp::Scanner::default().scan(data);
    let mut scanner = hashicorp::Scanner::default();
    let mut last = Ok(None);
    for come in 0..=data.len() {
        last = scanner.scan(&data[..come]);
        if last != Ok(None) {
            break;
        }
    }
    assert_eq!(last, whole);
    if let Ok(Some(end)) = whole {
        assert_eq!(hashicorp::Scanner::default().scan(&data[..end]), Ok(Some(end)));
    }
}

fn stream_messages(data: &[u8]) {
    if let Ok(payload) = hashicorp::decode_user(data) {
        let mut again = vec![];
        hashicorp::encode_user(payload, &mut again).expect("it is no longer than it was");
        assert_eq!(hashicorp::decode_user(&again[1..]), Ok(payload));
        check_cuts(&again[1..], |body| hashicorp::decode_user(body).is_ok());
    }
    if let Ok(Ok(text)) = hashicorp::decode_error(data).map(std::str::from_utf8) {
        let again = written(data, |w| hashicorp::encode_error(text, w));
        assert_eq!(hashicorp::decode_error(&again[1..]), Ok(text.as_bytes()));
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("no input has so much")
}

/// A valid member of a push/pull.
type Entry<'a> = (State, u32, PeerRef<'a>);

fn hashicorp_push_pull(data: &[u8]) {
    fn read(data: &[u8]) -> Option<(bool, Vec<Entry<'_>>, &[u8])> {
        let parsed = hashicorp::PushPull::parse(data).ok()?;
        let states = parsed.states().filter_map(|entry| Some((entry.state?, entry.incarnation, entry.peer().ok()?)));
        Some((parsed.join, states.collect(), parsed.user))
    }
    let Some((join, states, user)) = read(data) else { return };
    let mut message = vec![];
    hashicorp::begin_push_pull(&mut message, join, count(states.len()), count(user.len()));
    for &(state, incarnation, peer) in &states {
        hashicorp::push_state(&mut message, state, incarnation, peer);
    }
    message.extend_from_slice(user);
    assert_eq!(read(&message[1..]), Some((join, states, user)));
    assert_eq!(hashicorp::Scanner::default().scan(&message), Ok(Some(message.len())));
    check_cuts(&message[1..], |body| read(body).is_some());
}

fn native_push_pull(data: &[u8]) {
    fn read(data: &[u8]) -> Option<(bool, Vec<Entry<'_>>, &[u8])> {
        let parsed = native::PushPull::parse(data).ok()?;
        let states = parsed.states().filter_map(|entry| {
            let peer = native::decode_record(entry.partial.record).ok()?;
            assert_eq!((peer.name.as_bytes(), peer.versions), (entry.partial.name, entry.versions));
            Some((entry.state?, entry.partial.incarnation, peer))
        });
        Some((parsed.join, states.collect(), parsed.user))
    }
    let Some((join, states, user)) = read(data) else { return };
    let mut body = vec![];
    native::begin_push_pull(&mut body, join, count(states.len()));
    for &(state, incarnation, peer) in &states {
        native::push_state(&mut body, state, incarnation, &native::encode_record(peer));
    }
    check_cuts(&body, |body| read(body).is_some());
    body.extend_from_slice(user);
    assert_eq!(read(&body), Some((join, states, user)));
}

/// Clocks, members and events of Serf's part of a push/pull.
type SerfPart<'a> = (serf::Clocks, Vec<MemberTime<'a>>, Vec<UserEvent<'a>>);

fn hashicorp_state(data: &[u8]) {
    fn read(data: &[u8]) -> Option<SerfPart<'_>> {
        let state = hashicorp::SerfState::parse(data).ok()?;
        Some((state.clocks, state.members().collect(), state.events().collect()))
    }
    let Some((clocks, members, events)) = read(data) else { return };
    let mut body = vec![];
    hashicorp::push_serf_state(&mut body, clocks, &events, members.iter().copied());
    assert_eq!(read(&body), Some((clocks, members, events)));
    check_cuts(&body, |body| read(body).is_some());
}

fn native_state(data: &[u8]) {
    fn read(data: &[u8]) -> Option<SerfPart<'_>> {
        let state = native::SerfState::parse(data).ok()?;
        Some((state.clocks, state.members().collect(), state.events().collect()))
    }
    let Some((clocks, members, events)) = read(data) else { return };
    let mut body = vec![];
    native::begin_serf_state(&mut body, clocks, count(members.len()));
    for &member in &members {
        native::push_member_time(&mut body, member);
    }
    native::begin_events(&mut body, count(events.len()));
    for event in &events {
        native::push_event(&mut body, event);
    }
    assert_eq!(read(&body), Some((clocks, members, events)));
    check_cuts(&body, |body| read(body).is_some());
}

/// Checks that the fast path over a frame agrees with the full decoder.
fn partial_agrees(data: &[u8]) {
    let (Some(partial), Ok(message)) = (native::decode_partial(data), native::decode(data)) else { return };
    match (partial, message) {
        (native::PartialFrame::Alive { alive: read, ltime: 0 }, Message::Alive(alive)) => {
            assert_eq!((read.incarnation, read.name), (alive.incarnation, alive.peer.name.as_bytes()));
            assert_eq!(native::decode_record(read.record), Ok(alive.peer));
        }
        (native::PartialFrame::Alive { alive: read, ltime: time }, Message::Joined { alive, ltime }) => {
            assert_eq!((read.incarnation, read.name), (alive.incarnation, alive.peer.name.as_bytes()));
            assert_eq!((time, native::decode_record(read.record)), (ltime, Ok(alive.peer)));
        }
        (native::PartialFrame::Intent { ltime, name }, Message::User(body)) => {
            if let Ok(serf::Message::Join(join)) = native::decode_serf(body) {
                assert_eq!((ltime, name), (join.ltime, join.node.as_bytes()));
            }
        }
        (partial, message) => panic!("{partial:?} but {message:?}"),
    }
}

/// Checks that a message of anti-entropy is read again as it was, and that none of its parts is lost.
fn fetch(data: &[u8]) {
    if let Ok(fetch) = native::Fetch::decode(data) {
        let mut body = vec![];
        fetch.encode(&mut body);
        assert_eq!(native::Fetch::decode(&body), Ok(fetch));
        check_cuts(&body, |body| native::Fetch::decode(body).is_ok());
    }
    if let Ok(payload) = native::decode_answer(data) {
        let mut body = vec![];
        native::push_answer(&mut body, payload);
        assert_eq!(body, data);
    }
}

fn anti_entropy(data: &[u8]) {
    let Some(Ok(message)) = native::decode_anti_entropy(data) else { return };
    let mut buf = vec![0; data.len() + 64];
    let mut writer = Writer::new(&mut buf);
    let written = match message {
        AntiEntropy::Probe(digest, ping) => native::encode_probe(&digest, &ping, &mut writer),
        AntiEntropy::Buckets(buckets) => {
            let sums: Vec<u32> = buckets.sums.iter().collect();
            native::encode_buckets(buckets.salt, &sums, &mut writer)
        }
        AntiEntropy::Rows(rows) => {
            let buckets: Vec<(u16, Vec<u32>)> =
                rows.buckets().map(|(bucket, rows)| (bucket, rows.iter().collect())).collect();
            let buckets: Vec<(u16, &[u32])> = buckets.iter().map(|(bucket, rows)| (*bucket, rows.as_slice())).collect();
            native::encode_rows(rows.salt, rows.much, &buckets, &mut writer).map(drop)
        }
        AntiEntropy::Wanted(wanted) => {
            let rows: Vec<u32> = wanted.rows.iter().collect();
            native::encode_wanted(wanted.salt, &rows, &mut writer)
        }
        AntiEntropy::States(states) => native::begin_states(states.ask, &mut writer).and_then(|()| {
            states.iter().try_for_each(|entry| {
                let native::StateEntry { state, alive, ltime, leaving } = entry;
                native::put_state(state, alive.incarnation, ltime, leaving, alive.record, &mut writer)
            })
        }),
        AntiEntropy::Events(events) => {
            let hashes: Vec<u32> = events.events.iter().collect();
            native::encode_events(events.ask, events.last, events.times, &hashes, &mut writer)
        }
    };
    assert_eq!(written, Ok(()), "no message grows by more than its numbers");
    let len = writer.len();
    let again = native::decode_anti_entropy(&buf[..len]).expect("the kind is known").expect("it was written by us");
    match (again, message) {
        (AntiEntropy::States(again), AntiEntropy::States(states)) => assert!(again.iter().eq(states.iter())),
        (AntiEntropy::Rows(again), AntiEntropy::Rows(rows)) => {
            assert!(
                again
                    .buckets()
                    .map(|(at, rows)| (at, rows.iter().collect::<Vec<_>>()))
                    .eq(rows.buckets().map(|(at, rows)| (at, rows.iter().collect::<Vec<_>>())))
            );
        }
        (again, message) => assert_eq!(again, message),
    }
}
