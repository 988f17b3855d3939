//! Tests our codec on bytes that HashiCorp's agent and its clients sent.

use crate::support::{text, unhex, vectors};
use rmpv::Value;
use serf_agent::rpc::{
    Decoder, Encoder, EventRecord, Framer, KeyReport, QueryRecord, ReplyHeader, Request, RequestHeader,
    decode_coordinate, decode_join_count, decode_log, decode_members, decode_stats, encode_coordinate,
    encode_join_count, encode_log, encode_members, encode_stats,
};

/// Splits a stream into its objects.
fn objects(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut framer = Framer::new(1 << 20);
    let mut objects = Vec::new();
    while !bytes.is_empty() {
        let length = framer.next(bytes).expect("is msgpack").expect("is whole");
        objects.push(&bytes[..length]);
        bytes = &bytes[length..];
    }
    objects
}

/// Reads requests as an agent does.
fn requests(bytes: &[u8]) -> Result<Vec<(u64, Request)>, String> {
    let mut from = objects(bytes).into_iter();
    let mut requests = Vec::new();
    while let Some(header) = from.next() {
        let header = RequestHeader::decode(&mut Decoder::new(header)).map_err(|error| error.to_string())?;
        let has_body = Request::has_body(&header.command).ok_or("unknown command")?;
        let body = if has_body { from.next().ok_or("no body")? } else { &[] };
        let request = Request::decode(&header.command, &mut Decoder::new(body)).map_err(|error| error.to_string())?;
        requests.push((header.seq, request));
    }
    Ok(requests)
}

/// The value with the keys of all maps sorted, because Go's maps are unordered.
fn sorted(value: Value) -> Value {
    match value {
        Value::Map(pairs) => {
            let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by_key(|(key, _)| key.to_string());
            Value::Map(pairs)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Asserts equality except for the order of keys. Equal lengths imply that every value has the same encoding, too.
fn assert_same(ours: &[u8], recorded: &[u8], what: &str) {
    let read = |mut bytes: &[u8]| {
        let mut values = Vec::new();
        while !bytes.is_empty() {
            values.push(sorted(rmpv::decode::read_value(&mut bytes).expect(what)));
        }
        values
    };
    assert_eq!(read(ours), read(recorded), "{what}");
    assert_eq!(ours.len(), recorded.len(), "{what}: another form of the same values");
}

/// Decodes one object of an agent, whose type follows from its keys, and encodes it again.
fn rewritten(object: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (from, to) = (&mut Decoder::new(object), &mut Encoder::new(&mut out));
    let mut keys = Vec::new();
    from.clone()
        .fields(|key, _| {
            keys.push(String::from_utf8_lossy(key).into_owned());
            Ok(false)
        })
        .expect("is a map");
    let has = |key: &str| keys.iter().any(|known| known == key);
    if has("Seq") {
        ReplyHeader::decode(from).expect("is a header").encode(to);
    } else if has("Event") {
        EventRecord::decode(from).expect("is an event").expect("is known").encode(to);
    } else if has("Members") {
        encode_members(decode_members(from).expect("are members").iter(), to);
    } else if has("Num") {
        encode_join_count(decode_join_count(from).expect("is a count"), to);
    } else if has("NumNodes") {
        KeyReport::decode(from).expect("is a report").encode(to);
    } else if has("Coord") {
        encode_coordinate(decode_coordinate(from).expect("is a coordinate").as_ref(), to);
    } else if has("Log") {
        encode_log(&decode_log(from).expect("is a record"), to);
    } else if has("Type") {
        QueryRecord::decode(from).expect("is a record").expect("is known").encode(to);
    } else {
        encode_stats(&decode_stats(from).expect("are figures"), to);
    }
    out
}

#[test]
fn every_recorded_answer_of_an_agent_is_read_and_written_the_same() {
    let (recorded, mut count) = (vectors("rpc.json"), 0);
    for vector in recorded["vectors"].as_array().expect("is a list") {
        for object in vector["response"].as_array().expect("is a list") {
            let object = unhex(object.as_str().expect("is text"));
            assert_same(&rewritten(&object), &object, text(vector, "name"));
            count += 1;
        }
    }
    for trace in recorded["traces"].as_array().expect("is a list") {
        for object in objects(&unhex(text(trace, "agent"))) {
            assert_same(&rewritten(object), object, &trace["argv"].to_string());
            count += 1;
        }
    }
    assert!(count > 600, "only {count} objects");
}

#[test]
fn every_recorded_request_of_gos_command_line_is_read_and_written_the_same() {
    for trace in vectors("rpc.json")["traces"].as_array().expect("is a list") {
        let sent = unhex(text(trace, "client"));
        let mut ours = Vec::new();
        for (seq, request) in requests(&sent).expect("are requests") {
            request.encode(seq, &mut ours);
        }
        assert_same(&ours, &sent, &trace["argv"].to_string());
    }
}

#[test]
fn the_requests_of_other_clients_are_understood() {
    for client in vectors("rpc.json")["other_clients"].as_array().expect("is a list") {
        let sent = unhex(text(client, "sent"));
        // asyncserf writes this command with a leading blank; see the specification of the server.
        let found = requests(&sent);
        match text(client, "client") {
            name if name.starts_with("serfclient") => assert!(!found.expect(name).is_empty(), "{name}"),
            name => assert!(found.is_ok() || found == Err("unknown command".into()), "{name}: {found:?}"),
        }
    }
}

#[test]
fn requests_are_refused_where_both_releases_refuse_them_and_understood_otherwise() {
    // Valid requests besides those that the agent answers: closed without an answer for reasons other than their
    // encoding, or by 0.9 only.
    let understood = [
        "members-filtered-bad-regex",
        "header-bin-keys-and-values",
        "members-filtered-name-bin",
        "header-keys-strbin8",
        "command-value-strbin8",
        "command-value-strbin16",
        "stop-bin-key",
        "filternodes-bin-strings",
        "lowercase-keys",
    ];
    // Answered although a part of them is an unknown command.
    let unknown_commands = [
        "unknown-command",
        "unknown-command-before-handshake",
        "empty-command",
        "asyncserf-get-coordinate-typo",
        "header-nil",
        "auth:unknown-command-unauthenticated",
        "lowercase-keys",
        "members-with-unexpected-body",
        // Here 0.9 uses the command of the previous request.
        "command-missing-after-members",
        "empty-header-map",
    ];
    for vector in vectors("rpc.json")["vectors"].as_array().expect("is a list") {
        let name = text(vector, "name");
        let sent: Vec<u8> = vector["request"]
            .as_array()
            .expect("is a list")
            .iter()
            .flat_map(|object| unhex(object.as_str().expect("is text")))
            .collect();
        if sent.is_empty() || name == "header-invalid-byte" {
            continue;
        }
        let found = requests(&sent);
        let answered = vector["response"].as_array().is_some_and(|objects| !objects.is_empty());
        if unknown_commands.contains(&name) {
            assert_eq!(found, Err("unknown command".into()), "{name}");
        } else if answered || understood.contains(&name) {
            assert!(found.is_ok(), "{name}: {found:?}");
        } else {
            assert!(found.is_err(), "{name}: {found:?}");
        }
    }
}

#[test]
fn a_payload_of_text_that_is_no_utf8_keeps_its_bytes() {
    let recorded = vectors("rpc.json");
    let vector = recorded["vectors"]
        .as_array()
        .and_then(|all| all.iter().find(|vector| text(vector, "name") == "event-payload-raw-str-not-utf8"));
    let objects = vector.expect("was recorded")["request"].as_array().expect("is a list").clone();
    let body = unhex(objects[1].as_str().expect("is text"));
    let Ok(Request::Event(event)) = Request::decode("event", &mut Decoder::new(&body)) else { panic!("is an event") };
    assert_eq!(event.payload, Some(vec![0xff, 0xfe, 0]));
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let recorded = vectors("rpc.json");
    for trace in recorded["traces"].as_array().expect("is a list") {
        let sent = unhex(text(trace, "agent"));
        for object in objects(&sent).into_iter().take(4) {
            for at in 0..object.len().min(200) {
                for byte in [0x00, 0x81, 0xc1, 0xc6, 0xdd, 0xdf, 0xff, object[at].wrapping_add(1)] {
                    let mut broken = object.to_vec();
                    broken[at] = byte;
                    _ = ReplyHeader::decode(&mut Decoder::new(&broken));
                    _ = decode_members(&mut Decoder::new(&broken));
                    _ = decode_stats(&mut Decoder::new(&broken));
                    _ = EventRecord::decode(&mut Decoder::new(&broken));
                    _ = Framer::new(1 << 16).next(&broken);
                }
            }
        }
    }
}
