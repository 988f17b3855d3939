//! HashiCorp's codec against bytes recorded from HashiCorp's programs: every message body decodes to the recorded
//! meaning and encodes to the recorded bytes, and our decoders accept and reject the same inputs as theirs.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use serf_proto::Tags;
use serf_proto::internals::wire::hashicorp::{self, PushPull, Scanner, SerfState};
use serf_proto::internals::wire::serf::{self, Filter, List};
use serf_proto::internals::wire::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source, State};
use serf_proto::internals::wire::{Codec, DecodeError, Full, Versions, Writer};

/// Entries of `memberlist.json` about the layers around messages, not about bodies.
const OTHER_LAYERS: &[&str] = &[
    "compound_ping_suspect",
    "compress_stress",
    "compress_user",
    "compress_zeros600",
    "neg_compound_last_truncated",
    "neg_compound_len_table_short",
    "neg_compound_trailing",
    "neg_compound_zero_len_part",
    "neg_compress_algo",
    "neg_compress_no_eoi",
    "neg_crc_mismatch",
    "neg_label_empty",
    "neg_label_short",
    "pkt_compress_small_not_used",
    "pkt_crc",
    "pkt_crc_compress",
    "pkt_enc_v0",
    "pkt_enc_v1",
    "pkt_enc_v1_aes256",
    "pkt_full_stack",
    "pkt_label_crc_enc_v1",
    "pkt_label_full_stack",
    "pkt_label_plain",
    "pushpull_compressed",
    "pushpull_encrypted_v0",
    "pushpull_encrypted_v1",
    "pushpull_label_encrypted_v1",
    "stream_label_ping_enc_v1",
    "stream_label_ping_plain",
    "stream_ping_compressed",
    "stream_ping_compressed_enc_v1",
];

/// Sections of `serf.json` that do not concern the wire format.
const OTHER_SECTIONS: &[&str] = &["about", "coordinate_trace", "keyring_file", "snapshot"];

/// Entries with an empty but non-nil payload. Go distinguishes them on the wire and nowhere else; we write nil.
const EMPTY_NOT_NIL: &[&str] = &["ack_empty_payload", "query_nobroadcast", "user_event_empty_payload"];

/// Entries of go-msgpack 2 with signed lengths; we write the unsigned form of the older version, which all versions
/// read.
const SIGNED_LENGTHS: &str = "__go_msgpack_2.1";

/// Inputs that HashiCorp's decoders accept and ours reject, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("payload_array_of_ints", "no program writes bytes so, and they cannot be borrowed"),
    ("relay_ip_text", "an address of eight bytes leads nowhere"),
    ("timeout_neg", "a query without an address cannot be answered"),
    ("timeout_u64_max", "a query without an address cannot be answered"),
];

fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    let nibbles: Vec<_> = hex.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Encodes bytes in base64, as Go's JSON encoder does.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().chain(&[0; 2]).take(3).fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        for at in 0..4 {
            let letter = ALPHABET[bits >> (18 - 6 * at) & 63];
            out.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut room = vec![0; 16 * 1024];
    let mut writer = Writer::new(&mut room);
    write(&mut writer).unwrap();
    let len = writer.len();
    room.truncate(len);
    room
}

fn ip(hex: &Value) -> IpAddr {
    let bytes = unhex(hex.as_str().unwrap());
    match <[u8; 4]>::try_from(&*bytes) {
        Ok(four) => four.into(),
        Err(_) => <[u8; 16]>::try_from(&*bytes).unwrap().into(),
    }
}

fn addr(fields: &Value, ip_key: &str, port_key: &str) -> SocketAddr {
    (ip(&fields[ip_key]), number(&fields[port_key])).into()
}

fn bytes(hex: &Value) -> Vec<u8> {
    hex.as_str().map(unhex).unwrap_or_default()
}

/// Parses an integer of any width, also from a string.
fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> T {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap()).try_into().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn versions(hex: &Value) -> Versions {
    Versions::from_bytes(bytes(hex).try_into().unwrap())
}

/// Builds the message of an entry and passes it to `use_it`.
fn with_message(inputs: &Value, use_it: impl FnOnce(Message<'_>)) {
    let message = &inputs["message"];
    let f = &message["fields"];
    let source = || {
        f.get("SourceAddr").map(|_| Source { addr: addr(f, "SourceAddr", "SourcePort"), node: text(&f["SourceNode"]) })
    };
    let accusation =
        || Accusation { incarnation: number(&f["Incarnation"]), node: text(&f["Node"]), from: text(&f["From"]) };
    match text(&message["type"]) {
        "ping" => use_it(Message::Ping(Ping { seq: number(&f["SeqNo"]), node: text(&f["Node"]), source: source() })),
        "indirect_ping" => use_it(Message::IndirectPing(IndirectPing {
            seq: number(&f["SeqNo"]),
            target: addr(f, "Target", "Port"),
            node: text(&f["Node"]),
            nack: f["Nack"].as_bool().unwrap(),
            source: source(),
        })),
        "ack" => use_it(Message::Ack(Ack { seq: number(&f["SeqNo"]), payload: &bytes(&f["Payload"]) })),
        "nack" => use_it(Message::Nack { seq: number(&f["SeqNo"]) }),
        "suspect" => use_it(Message::Suspect(accusation())),
        "dead" => use_it(Message::Dead(accusation())),
        "alive" => with_peer(f, "Node", |peer| {
            use_it(Message::Alive(Alive { incarnation: number(&f["Incarnation"]), peer }));
        }),
        "user_packet" => use_it(Message::User(&bytes(&message["payload_hex"]))),
        other => panic!("a message of type {other}"),
    }
}

fn with_peer(fields: &Value, name: &str, use_it: impl FnOnce(PeerRef<'_>)) {
    let meta = bytes(&fields["Meta"]);
    let (addr, versions) = (addr(fields, "Addr", "Port"), versions(&fields["Vsn"]));
    use_it(PeerRef { name: text(&fields[name]), addr, meta: &meta, versions });
}

/// Returns the expected encoding of an entry.
fn rewritten(id: &str, recorded: &[u8]) -> Vec<u8> {
    if !EMPTY_NOT_NIL.contains(&id) {
        return recorded.to_vec();
    }
    let empty = recorded.windows(9).position(|at| at == b"\xa7Payload\xa0").unwrap();
    let mut with_nil = recorded.to_vec();
    with_nil[empty + 8] = 0xc0;
    with_nil
}

fn check_message(id: &str, inputs: &Value, recorded: &[u8]) {
    with_message(inputs, |message| {
        assert_eq!(Codec::decode(recorded), Ok(message), "{id}");
        assert_eq!(hex(&written(|w| hashicorp::encode(&message, w))), hex(&rewritten(id, recorded)), "{id}");
    });
}

fn check_push_pull(id: &str, inputs: &Value, recorded: &[u8]) {
    let message = &inputs["message"];
    let states = message["states"].as_array().unwrap();
    let user = bytes(&message["user_state_hex"]);
    let join = message["header"]["Join"].as_bool().unwrap();
    let parsed = PushPull::parse(&recorded[1..]).unwrap();
    assert_eq!((parsed.join, parsed.user), (join, &*user), "{id}");
    assert_eq!(parsed.states().count(), states.len(), "{id}");
    let mut again = vec![];
    let count = |len: usize| u32::try_from(len).unwrap();
    hashicorp::begin_push_pull(&mut again, join, count(states.len()), count(user.len()));
    for (read, state) in parsed.states().zip(states) {
        with_peer(state, "Name", |peer| {
            let state_number = State::from_u8(number(&state["State"])).unwrap();
            assert_eq!((read.state, read.incarnation), (Some(state_number), number(&state["Incarnation"])), "{id}");
            assert_eq!(read.peer(), Ok(peer), "{id}");
            hashicorp::push_state(&mut again, state_number, read.incarnation, peer);
        });
    }
    again.extend_from_slice(&user);
    check_stream(id, &again, recorded);
}

/// Checks that `again` equals `recorded`, and that the scanner finds the end of the recorded message for any chunking.
fn check_stream(id: &str, again: &[u8], recorded: &[u8]) {
    if let Some(older) = id.strip_suffix(SIGNED_LENGTHS) {
        let older = entries(&file("memberlist.json"), "vectors", "id")
            .into_iter()
            .find(|(id, _)| id.strip_prefix(older).is_some_and(|suffix| suffix == "__go_msgpack_0.5"));
        assert_eq!(hex(again), text(&older.unwrap().1["hex"]), "{id}");
    } else {
        assert_eq!(hex(again), hex(recorded), "{id}");
    }
    let mut scanner = Scanner::default();
    for some in 0..recorded.len() {
        assert_eq!(scanner.scan(&recorded[..some]), Ok(None), "{id}: {some} bytes");
    }
    let mut more = recorded.to_vec();
    more.extend_from_slice(b"more");
    assert_eq!(scanner.scan(&more), Ok(Some(recorded.len())), "{id}");
}

fn entries(file: &Value, section: &str, id: &str) -> Vec<(String, Value)> {
    let section = file[section].as_array().unwrap();
    section.iter().map(|entry| (text(&entry[id]).to_owned(), entry.clone())).collect()
}

#[test]
fn memberlists_bodies_are_read_as_they_were_meant_and_written_as_they_were() {
    let mut checked = BTreeSet::new();
    let mut left_out = BTreeSet::new();
    for (id, entry) in entries(&file("memberlist.json"), "vectors", "id") {
        if OTHER_LAYERS.contains(&&*id) {
            left_out.insert(id);
            continue;
        }
        let (inputs, recorded) = (&entry["inputs"], unhex(text(&entry["hex"])));
        let message = &inputs["message"];
        match (text(&entry["kind"]), text(&message["type"])) {
            ("packet_message", _) | ("stream", "ping") => check_message(&id, inputs, &recorded),
            ("stream", "pushpull") => check_push_pull(&id, inputs, &recorded),
            ("stream", "user_stream") => {
                let payload = bytes(&message["payload_hex"]);
                assert_eq!(hashicorp::decode_user(&recorded[1..]), Ok(&*payload), "{id}");
                let mut again = vec![];
                hashicorp::encode_user(&payload, &mut again).unwrap();
                check_stream(&id, &again, &recorded);
            }
            ("stream_message", "err") => {
                let error = text(&message["fields"]["Error"]);
                assert_eq!(hashicorp::decode_error(&recorded[1..]), Ok(error.as_bytes()), "{id}");
                check_stream(&id, &written(|w| hashicorp::encode_error(error, w)), &recorded);
            }
            other => panic!("{id} is of a kind that is not checked: {other:?}"),
        }
        checked.insert(id);
    }
    assert_eq!(left_out.len(), OTHER_LAYERS.len(), "every entry that is left out exists");
    assert_eq!((checked.len(), left_out.len()), (21, 31), "all 52 entries");
}

/// Builds the Serf message of an entry and passes it to `use_it`.
fn with_serf_message(kind: &str, f: &Value, others: &[(String, Value)], use_it: impl FnOnce(serf::Message<'_>)) {
    use serf::Message as M;
    let payload = bytes(&f["Payload_hex"]);
    let ltime = || number(&f["LTime"]);
    match kind {
        "leave" => {
            use_it(M::Leave(serf::Leave {
                ltime: ltime(),
                node: text(&f["Node"]),
                prune: f["Prune"].as_bool().unwrap(),
            }));
        }
        "join" => use_it(M::Join(serf::Join { ltime: ltime(), node: text(&f["Node"]) })),
        "user_event" => {
            let coalesce = f["CC"].as_bool().unwrap();
            use_it(M::UserEvent(serf::UserEvent {
                ltime: ltime(),
                name: text(&f["Name"]),
                payload: &payload,
                coalesce,
            }));
        }
        "query" => {
            let filters = f["Filters_hex"].as_array().map_or(vec![], |filters| filters.iter().map(bytes).collect());
            // Filters in raw form, as on the wire; decoding parses them.
            let unread: Vec<_> = filters.iter().map(|filter| Filter::Unreadable(filter)).collect();
            use_it(M::Query(serf::Query {
                ltime: ltime(),
                id: number(&f["ID"]),
                source: serf::Source { addr: addr(f, "Addr", "Port"), node: text(&f["SourceNode"]) },
                filters: List::new(&unread),
                flags: number(&f["Flags"]),
                relay_factor: number(&f["RelayFactor"]),
                timeout: Duration::from_nanos(number(&f["Timeout_ns"])),
                name: text(&f["Name"]),
                payload: &payload,
            }));
        }
        "query_response" => use_it(M::QueryResponse(serf::QueryResponse {
            ltime: ltime(),
            id: number(&f["ID"]),
            from: text(&f["From"]),
            flags: number(&f["Flags"]),
            payload: &payload,
        })),
        "conflict_response" if f.is_null() => use_it(M::ConflictResponse(None)),
        "conflict_response" => {
            let tags: Vec<_> =
                f["Tags"].as_object().unwrap().iter().map(|(key, value)| (&**key, text(value))).collect();
            let version = |key| number(&f[key]);
            let versions = ["ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur"];
            use_it(M::ConflictResponse(Some(serf::MemberRecord {
                name: text(&f["Name"]),
                addr: Some(addr(f, "Addr", "Port")),
                tags: List::new(&tags),
                status: number(&f["Status"]),
                versions: Versions::from_bytes(versions.map(version)),
            })));
        }
        "key_request" => use_it(M::KeyRequest(serf::KeyRequest { key: &bytes(&f["Key_hex"]) })),
        "key_response" => {
            let keys: Vec<_> = f["Keys"].as_array().map_or(vec![], |keys| keys.iter().map(text).collect());
            use_it(M::KeyResponse(serf::KeyResponse {
                result: f["Result"].as_bool().unwrap(),
                message: text(&f["Message"]),
                keys: List::new(&keys),
                primary_key: text(&f["PrimaryKey"]),
            }));
        }
        "relay" => {
            let inner = others.iter().find(|(name, _)| name == text(&f["inner"])).unwrap();
            let (addr, inner) = (addr(&f["DestAddr"], "IP", "Port"), unhex(text(&inner.1["hex"])));
            use_it(M::Relay(serf::Relay { addr, node: text(&f["DestName"]), inner: &inner }));
        }
        other => panic!("a message of type {other}"),
    }
}

fn check_serf_message(name: &str, entry: &Value, all: &[(String, Value)]) {
    let recorded = unhex(text(&entry["hex"]));
    with_serf_message(text(&entry["kind"]), &entry["inputs"], all, |message| {
        assert_eq!(hex(&written(|w| hashicorp::encode_serf(&message, w))), hex(&rewritten(name, &recorded)), "{name}");
        for form in ["hex", "hex_0_9_4"] {
            let Some(recorded) = entry.get(form).map(|form| unhex(text(form))) else { continue };
            let read = Codec::decode_serf(&recorded).unwrap();
            assert_eq!(
                format!("{:?}", without_filters(read)),
                format!("{:?}", without_filters(message)),
                "{name} {form}"
            );
            assert_eq!(without_filters(read), without_filters(message), "{name} {form}");
            // Filters are decoded and encoded too.
            let again = written(|w| hashicorp::encode_serf(&read, w));
            assert_eq!(hex(&again), hex(&rewritten(name, &unhex(text(&entry["hex"])))), "{name} {form}");
        }
    });
}

/// Removes the filters: they are raw in an entry's message and parsed in a decoded one.
fn without_filters(message: serf::Message<'_>) -> serf::Message<'_> {
    match message {
        serf::Message::Query(query) => serf::Message::Query(serf::Query { filters: List::EMPTY, ..query }),
        other => other,
    }
}

/// Decodes a query with one filter of these bytes and passes its filters to `use_it`.
fn filters_of<R>(bytes: &[u8], use_it: impl FnOnce(&[Filter<'_>]) -> R) -> R {
    let unread = [Filter::Unreadable(bytes)];
    let frame = query_with(List::new(&unread));
    let Ok(serf::Message::Query(query)) = hashicorp::decode_serf(&frame) else { panic!("a query was written") };
    let filters: Vec<_> = query.filters.iter().collect();
    use_it(&filters)
}

fn query_with(filters: List<'_, Filter<'_>>) -> Vec<u8> {
    let query = serf::Query {
        ltime: 1,
        id: 1,
        source: serf::Source { addr: "10.0.0.1:1".parse().unwrap(), node: "a" },
        filters,
        flags: 0,
        relay_factor: 0,
        timeout: Duration::from_secs(1),
        name: "q",
        payload: b"",
    };
    written(|w| hashicorp::encode_serf(&serf::Message::Query(query), w))
}

fn check_filter(name: &str, inputs: &Value, recorded: &[u8]) {
    let nodes: Vec<_> = inputs["nodes"].as_array().map_or(vec![], |nodes| nodes.iter().map(text).collect());
    let filter = match inputs.get("Expr") {
        Some(expr) => Filter::Tag { tag: text(&inputs["Tag"]), expr: text(expr) },
        None => Filter::Nodes(List::new(&nodes)),
    };
    filters_of(recorded, |read| assert_eq!(read, [filter], "{name}"));
    let again = query_with(List::new(&[filter]));
    assert_eq!(again, query_with(List::new(&[Filter::Unreadable(recorded)])), "{name}");
}

fn check_serf_state(name: &str, inputs: &Value, recorded: &[u8]) {
    let state = SerfState::parse(recorded).unwrap();
    let clocks = ["LTime", "EventLTime", "QueryLTime"].map(|key| number(&inputs[key]));
    let [member, event, query] = clocks;
    assert_eq!(state.clocks, serf::Clocks { member, event, query }, "{name}");
    let holes = vec![Value::Null; 512];
    let slots = inputs["Events"].as_array().unwrap_or(&holes);
    let left: Vec<_> = inputs["LeftMembers"].as_array().unwrap().iter().map(text).collect();
    let times = inputs["StatusLTimes"].as_object().unwrap();
    let members = left.iter().map(|node| (*node, times.get(*node).map_or(0, number::<u64>), true));
    let members = members.chain(times.iter().map(|(node, time)| (&**node, number(time), false)));
    let read = state.members().map(|member| (std::str::from_utf8(member.node).unwrap(), member.ltime, member.left));
    assert_eq!(read.collect::<Vec<_>>(), members.collect::<Vec<_>>(), "{name}");

    let mut again = vec![];
    let count = |len: usize| u32::try_from(len).unwrap();
    hashicorp::begin_serf_state(&mut again, event, count(slots.len()));
    let mut read = state.events();
    for slot in slots {
        if slot.is_null() {
            hashicorp::push_hole(&mut again);
            continue;
        }
        let inputs = slot["Events"].as_array().unwrap();
        let events: Vec<_> = read.by_ref().take(inputs.len()).collect();
        for (event, input) in events.iter().zip(inputs) {
            let meant = (number(&slot["LTime"]), text(&input["Name"]), bytes(&input["Payload_hex"]));
            assert_eq!((event.ltime, event.name, event.payload.to_vec()), meant, "{name}");
        }
        hashicorp::push_slot(&mut again, &events);
    }
    assert_eq!(read.count(), 0, "{name}");
    hashicorp::begin_left(&mut again, member, count(left.len()));
    left.iter().for_each(|node| hashicorp::push_left(&mut again, node.as_bytes()));
    hashicorp::begin_times(&mut again, query, count(times.len()));
    times.iter().for_each(|(node, time)| hashicorp::push_time(&mut again, node.as_bytes(), number(time)));
    assert_eq!(hex(&again), hex(recorded), "{name}");
}

fn check_tags(name: &str, entry: &Value) {
    let inputs = entry["inputs"].as_object();
    let tags: Tags = inputs.into_iter().flatten().map(|(key, value)| (key.clone(), text(value).to_owned())).collect();
    assert_eq!(Tags::decode(&unhex(text(&entry["hex"]))), tags, "{name}");
    match name {
        // Metadata from before tags, which we do not write.
        "tags_legacy" => {}
        "tags_nil" => assert_eq!(hex(&tags.encode()), text(&entry["hex_0_9_4"]), "{name}"),
        _ => assert_eq!(hex(&tags.encode()), text(&entry["hex"]), "{name}"),
    }
}

fn check_coordinate(name: &str, inputs: &Value, recorded: &[u8]) {
    let float = |key| inputs[key].as_f64().unwrap();
    let vec: Vec<_> = inputs["Vec"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    let (error, adjustment, height) = (float("Error"), float("Adjustment"), float("Height"));
    let coordinate = serf::Coordinate { vec: List::new(&vec), error, adjustment, height };
    assert_eq!(Codec::decode_coordinate(recorded), Ok(coordinate), "{name}");
    assert_eq!(hex(&written(|w| hashicorp::encode_coordinate(&coordinate, w))), hex(recorded), "{name}");
}

#[test]
fn serfs_bodies_are_read_as_they_were_meant_and_written_as_they_were() {
    let file = file("serf.json");
    let all = entries(&file, "vectors", "name");
    let mut kinds = BTreeSet::new();
    for (name, entry) in &all {
        let (kind, inputs, recorded) = (text(&entry["kind"]), &entry["inputs"], unhex(text(&entry["hex"])));
        match kind {
            "push_pull" => check_serf_state(name, inputs, &recorded),
            "filter_node" | "filter_tag" => check_filter(name, inputs, &recorded),
            "tags" => check_tags(name, entry),
            "ping_payload" => check_coordinate(name, inputs, &recorded),
            _ => check_serf_message(name, entry, &all),
        }
        kinds.insert(kind);
    }
    assert_eq!((all.len(), kinds.len()), (44, 14), "{kinds:?}");
    let sections: BTreeSet<_> = file.as_object().unwrap().keys().map(String::as_str).collect();
    let covered = OTHER_SECTIONS.iter().copied().chain(["vectors", "decoder_tolerance"]).collect();
    assert_eq!(sections, covered, "sections that are about the wire, and others");
}

/// Decodes a probe body and formats it like Go; `None` if it has too little content to compare.
fn read_probe(structure: &str, body: &[u8]) -> Result<Option<Value>, DecodeError> {
    let payload = |bytes: &[u8]| if bytes.is_empty() { Value::Null } else { json!(base64(bytes)) };
    let with_kind = |kind: u8| [&[kind], body].concat();
    Ok(Some(match structure {
        "ue" => {
            let frame = with_kind(3);
            let serf::Message::UserEvent(event) = hashicorp::decode_serf(&frame)? else { panic!("a user event") };
            json!({"LTime": event.ltime, "Name": event.name, "Payload": payload(event.payload), "CC": event.coalesce})
        }
        "leave" => {
            let frame = with_kind(0);
            let serf::Message::Leave(leave) = hashicorp::decode_serf(&frame)? else { panic!("a leave") };
            json!({"LTime": leave.ltime, "Node": leave.node, "Prune": leave.prune})
        }
        "resp" => return hashicorp::decode_serf(&with_kind(5)).map(|_| None),
        "query" => return hashicorp::decode_serf(&with_kind(4)).map(|_| None),
        "relayhdr" => return hashicorp::decode_serf(&with_kind(9)).map(|_| None),
        "coord" => {
            let payload = with_kind(1);
            let read = hashicorp::decode_coordinate(&payload)?;
            let vec: Vec<_> = read.vec.iter().collect();
            if vec.iter().any(|value| value.is_nan()) {
                return Ok(None);
            }
            let vec = if vec.is_empty() { Value::Null } else { json!(vec) };
            json!({"Vec": vec, "Error": read.error, "Adjustment": read.adjustment, "Height": read.height})
        }
        "tags" => {
            let tags = Tags::decode(&with_kind(0xff));
            if tags.is_empty() {
                // Damaged: the part before the damage is kept.
                return Err(DecodeError::Malformed);
            }
            tags.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()
        }
        "member" => {
            let frame = with_kind(6);
            let serf::Message::ConflictResponse(member) = hashicorp::decode_serf(&frame)? else { panic!("a member") };
            let addr = member.and_then(|member| member.addr);
            json!({
                "Name": member.map_or("", |member| member.name),
                "Addr": addr.map_or(String::new(), |addr| addr.ip().to_canonical().to_string()),
                "Port": addr.map_or(0, |addr| addr.port()),
            })
        }
        "pp" => {
            let frame = with_kind(2);
            let state = SerfState::parse(&frame)?;
            let clocks = state.clocks;
            let events = state.events().map(|event| json!([event.ltime, event.name, payload(event.payload)]));
            json!({
                "LTime": clocks.member,
                "EventLTime": clocks.event,
                "QueryLTime": clocks.query,
                "Times": state.members().map(|member| (String::from_utf8_lossy(member.node).into_owned(), json!(member.ltime)))
                    .collect::<serde_json::Map<_, _>>(),
                "Said": events.collect::<Vec<_>>(),
            })
        }
        other => panic!("a probe of {other}"),
    }))
}

/// Parses Go's output into the format of [`read_probe`].
fn printed(structure: &str, line: &str) -> Option<Value> {
    let read: Value = serde_json::from_str(line).ok()?;
    Some(match structure {
        "coord" => {
            let float = |key: &str| json!(read[key].as_f64().unwrap());
            let vec =
                read["Vec"].as_array().map(|vec| vec.iter().map(|value| json!(value.as_f64().unwrap())).collect());
            let vec = vec.map_or(Value::Null, Value::Array);
            json!({"Vec": vec, "Error": float("Error"), "Adjustment": float("Adjustment"), "Height": float("Height")})
        }
        "member" => json!({"Name": read["Name"], "Addr": read["Addr"], "Port": read["Port"]}),
        "pp" => {
            let slots = read["Events"].as_array().cloned().unwrap_or_default();
            let said = slots.iter().flat_map(|slot| {
                let events = slot["Events"].as_array().cloned().unwrap_or_default();
                events.into_iter().map(|event| json!([slot["LTime"], event["Name"], event["Payload"]]))
            });
            json!({
                "LTime": read["LTime"],
                "EventLTime": read["EventLTime"],
                "QueryLTime": read["QueryLTime"],
                "Times": read["StatusLTimes"].as_object().cloned().unwrap_or_default(),
                "Said": said.collect::<Vec<_>>(),
            })
        }
        _ => read,
    })
}

#[test]
fn what_serfs_decoder_takes_or_refuses_so_does_ours() {
    let probes = entries(&file("serf.json"), "decoder_tolerance", "name");
    let mut refused = BTreeSet::new();
    for (name, probe) in &probes {
        let (structure, go) = (text(&probe["struct"]), text(&probe["decoded_by_head"]));
        let ours = read_probe(structure, &unhex(text(&probe["msgpack_hex"])));
        if REFUSED.iter().any(|(refused, _)| refused == name) {
            assert!(ours.is_err() && !go.starts_with("ERR"), "{name}: {ours:?}");
            refused.insert(name);
        } else if go.starts_with("ERR") {
            assert!(ours.is_err(), "{name}: {ours:?} but {go}");
        } else if let Some(ours) = ours.unwrap_or_else(|error| panic!("{name}: {error:?} but {go}")) {
            assert_eq!(Some(ours), printed(structure, go), "{name}");
        }
    }
    assert_eq!((probes.len(), refused.len()), (48, REFUSED.len()));
}

#[test]
fn a_timeout_that_is_negative_or_wraps_is_over_at_once() {
    for timeout in
        [&b"\xfb"[..], b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd0\x80", b"\xd3\x80\0\0\0\0\0\0\0", b"\xc0"]
    {
        let frame = [b"\x04\x82\xa4Addr\xa4\x7f\0\0\x01\xa7Timeout", timeout].concat();
        let Ok(serf::Message::Query(query)) = hashicorp::decode_serf(&frame) else { panic!("{timeout:x?}") };
        assert_eq!(query.timeout, Duration::ZERO, "{timeout:x?}");
    }
}
