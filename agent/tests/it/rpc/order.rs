//! The order of one client's replies, and of several clients' side by side.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::thread;

use serf_agent::rpc::Request;

use super::{connect, field, header, object, user_event};
use crate::process::Agent;

#[test]
fn a_client_is_served_in_order_and_others_meanwhile() {
    let agent = Agent::start(&[]);
    // It accepts connections and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = silent.local_addr().expect("is bound").to_string();
    let mut requests = Vec::new();
    Request::Handshake { version: 1 }.encode(1, &mut requests);
    Request::Join { existing: vec![addr.clone()], replay: false }.encode(2, &mut requests);
    Request::Members.encode(3, &mut requests);
    let mut waiting = connect(&agent);
    waiting.write_all(&requests).expect("takes it");
    assert_eq!(header(&object(&mut waiting)), (1, ""));
    agent.wait(&format!("joining: [{addr}]"));
    for _ in 0..10 {
        assert_eq!(agent.client().members().expect("answers").len(), 1);
    }
    waiting.set_nonblocking(true).expect("is open");
    let early = waiting.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "the join is under way, and the members come after it");
    waiting.set_nonblocking(false).expect("is open");
    drop(silent);
    let joined = object(&mut waiting);
    assert!(header(&joined).0 == 2 && !header(&joined).1.is_empty(), "{joined}");
    assert_eq!(field(&object(&mut waiting), "Num").as_u64(), Some(0));
    assert_eq!(header(&object(&mut waiting)), (3, ""));
    assert_eq!(field(&object(&mut waiting), "Members").as_array().map(Vec::len), Some(1));
}

#[test]
fn answers_and_records_of_one_connection_are_never_mixed() {
    const EACH: u64 = 400;
    let agent = Agent::start(&[]);
    let mut requests = Vec::new();
    Request::Handshake { version: 1 }.encode(1, &mut requests);
    Request::Stream { filter: "*".into() }.encode(2, &mut requests);
    Request::Stream { filter: "user".into() }.encode(3, &mut requests);
    Request::Monitor { level: "debug".into() }.encode(4, &mut requests);
    for n in 0..EACH {
        Request::Members.encode(100 + 2 * n, &mut requests);
        Request::Event(user_event(&format!("e{n}"))).encode(101 + 2 * n, &mut requests);
    }
    let socket = connect(&agent);
    let mut writing = socket.try_clone().expect("can be cloned");
    let writer = thread::spawn(move || writing.write_all(&requests).expect("takes it"));
    let mut reading = BufReader::new(socket);
    // The number of replies so far; the first of each kind precedes its records.
    let (mut begun, mut answers, mut records) = ([false; 5], 0, [0; 5]);
    while answers < 2 * EACH {
        let head = object(&mut reading);
        assert_eq!(head.as_map().map(Vec::len), Some(2), "{head} is a header");
        let (seq, error) = header(&head);
        assert_eq!(error, "");
        match usize::try_from(seq).expect("is small") {
            at @ 0..5 if !begun[at] => begun[at] = true,
            at @ 2..4 => {
                field(&object(&mut reading), "Event");
                records[at] += 1;
            }
            4 => {
                field(&object(&mut reading), "Log");
                records[4] += 1;
            }
            _ => {
                assert_eq!(seq, 100 + answers, "in the order of the requests");
                if seq % 2 == 0 {
                    field(&object(&mut reading), "Members");
                }
                answers += 1;
            }
        }
    }
    writer.join().expect("no panic");
    assert!(records[2..].iter().all(|count| *count > 0), "{records:?}");
}
