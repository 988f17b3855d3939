//! Limits on the requests of a client.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serf_agent::rpc::{Client, ClientError, MemberFilter, Query, Request};

use super::{connect, field, header, object};
use crate::process::Agent;

fn refusal<T: core::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused(why)) => why,
        other => panic!("is not refused: {other:?}"),
    }
}

fn patterns(count: usize, pattern: &str) -> BTreeMap<String, String> {
    (0..count).map(|n| (format!("t{n}"), pattern.to_owned())).collect()
}

#[test]
fn long_lists_are_refused_and_the_client_goes_on() {
    let agent = Agent::start(&["-log-level=warn"]);
    let mut client = agent.client();
    let filtered = |tags| MemberFilter { tags, ..MemberFilter::default() };
    let question = |tags| Query { name: "q".into(), filter_tags: Some(tags), ..Query::default() };
    for count in [65, 3000] {
        let why = refusal(client.members_filtered(filtered(patterns(count, "|\\pL{9}"))));
        assert_eq!(why, "too many tag filters, at most 64 a request");
        let why = refusal(client.query(question(patterns(count, "|\\pL{9}"))).map(drop));
        assert_eq!(why, "too many tag filters, at most 64 a request");
    }
    assert_eq!(client.members_filtered(filtered(patterns(64, ""))).expect("is served").len(), 1);
    let why = refusal(client.members_filtered(filtered(patterns(1, &"x".repeat(4097)))));
    assert_eq!(why, "The filters have 4097 bytes, at most 4096 a request");
    assert!(
        client
            .members_filtered(filtered(patterns(8, &format!("[{}]", "x".repeat(510)))))
            .expect("is served")
            .is_empty()
    );
    // A query that no packet has room for is refused before its patterns are compiled.
    let why = refusal(client.query(question(patterns(64, &"(".repeat(100)))).map(drop));
    assert_eq!(why, "query exceeds limit of 1024 bytes");
    let addresses: Vec<String> = (0..1025).map(|n| format!("127.0.0.1:{n}")).collect();
    assert_eq!(refusal(client.join(&addresses, false)), "too many addresses, at most 1024 a request");
    assert_eq!(client.members().expect("answers").len(), 1);
}

#[test]
fn a_client_has_sixty_four_streams() {
    let agent = Agent::start(&["-log-level=warn"]);
    let mut client = agent.client();
    for _ in 0..64 {
        client.stream("user").expect("subscribes");
    }
    assert_eq!(refusal(client.stream("user").map(drop)), "Too many streams, at most 64 a client");
    let mut other = agent.client();
    let list = |filters: usize| vec!["user:x"; filters].join(",");
    assert_eq!(refusal(other.stream(&list(65)).map(drop)), "Too many event filters, at most 64 a stream");
    other.stream(&list(64)).expect("subscribes");
    assert_eq!(client.members().expect("answers").len(), 1);
}

#[test]
fn queries_of_a_year_end_with_their_client_and_are_bounded_for_each() {
    let agent = Agent::start(&["-log-level=warn"]);
    let ask = |client: &mut Client| {
        let year = 366 * 24 * 3600 * 1_000_000_000;
        client.query(Query { name: "q".into(), timeout_ns: year, ..Query::default() }).map(drop)
    };
    let mut client = agent.client();
    for _ in 0..256 {
        ask(&mut client).expect("is asked");
    }
    let why = "Too many queries whose answers are still collected, at most 256 a client";
    assert_eq!(refusal(ask(&mut client)), why);
    assert!(ask(&mut agent.client()).is_ok(), "another one can ask");
    assert_eq!(client.members().expect("answers").len(), 1);
}

/// Sends a request, and returns the reply's error and the time it took.
fn call(socket: &mut TcpStream, seq: u64, request: &Request) -> (String, Duration) {
    let mut bytes = Vec::new();
    request.encode(seq, &mut bytes);
    let asked = Instant::now();
    socket.write_all(&bytes).expect("is open");
    let answer = object(socket);
    let (answered, error) = header(&answer);
    assert_eq!(answered, seq);
    (error.to_owned(), asked.elapsed())
}

#[test]
fn wrong_tokens_are_answered_slowly_and_the_right_one_at_once() {
    let agent = Agent::start_in(&[("SERF_RPC_AUTH", "s3cret")], &[]);
    let handshake = Request::Handshake { version: 1 };
    let auth = |key: &str| Request::Auth { key: key.into() };
    // An attacker who guesses tokens over many connections.
    let mut guessing: Vec<_> = (0..40)
        .map(|_| {
            let mut socket = connect(&agent);
            call(&mut socket, 0, &handshake);
            let mut bytes = Vec::new();
            (0..100).for_each(|seq| auth("guess").encode(seq, &mut bytes));
            socket.write_all(&bytes).expect("is open");
            socket
        })
        .collect();
    let mut socket = connect(&agent);
    call(&mut socket, 0, &handshake);
    let (error, took) = call(&mut socket, 1, &auth("s3cret"));
    assert_eq!(error, "");
    assert!(took < Duration::from_millis(200), "{took:?}");
    let (error, _) = call(&mut socket, 2, &Request::Stats);
    assert_eq!((error.as_str(), field(&object(&mut socket), "agent").is_map()), ("", true));
    // They are closed before they have received many replies.
    let answers: usize = guessing
        .iter_mut()
        .map(|socket| {
            let mut all = Vec::new();
            _ = socket.read_to_end(&mut all);
            all.windows(7).filter(|bytes| *bytes == b"Invalid").count()
        })
        .sum();
    assert!((1..=100).contains(&answers), "{answers} of 4000");
    agent.wait("sent a wrong token");
}

#[test]
fn a_client_that_says_nothing_is_closed() {
    let agent = Agent::start(&["-log-level=warn"]);
    let connected = Instant::now();
    let mut silent = connect(&agent);
    let mut known = agent.client();
    assert_eq!(silent.read(&mut [0]).expect("is closed"), 0);
    assert!((Duration::from_millis(1900)..Duration::from_secs(15)).contains(&connected.elapsed()));
    assert_eq!(known.members().expect("it has said something").len(), 1);
}
