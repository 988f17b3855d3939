//! Rules of HashiCorp's agent that clients and operators rely on.

use std::time::Duration;

use serf_agent::rpc::{Client, ClientError, Query, QueryRecord, Record};

use crate::process::{Agent, Directory, eventually};

fn query(name: &str, timeout_ns: i64) -> Query {
    Query { name: name.into(), timeout_ns, ..Query::default() }
}

/// What comes back until the deadline.
fn answers(client: &mut Client, asked: Query) -> Vec<Option<Vec<u8>>> {
    client.query(asked).expect("is asked");
    let mut answers = Vec::new();
    loop {
        match client.next_record(Some(Duration::from_secs(20))).expect("is connected").expect("comes in time").1 {
            Record::Query(QueryRecord::Response { payload, .. }) => answers.push(payload),
            Record::Query(QueryRecord::Done) => return answers,
            _ => {}
        }
    }
}

#[test]
fn queries_of_our_own_are_refused_but_for_the_ping_and_a_negative_time_is_over_at_once() {
    let agent = Agent::start(&[]);
    let mut client = agent.client();
    let refused = client.query(query("_serf_conflict", 0));
    assert_eq!(refused, Err(ClientError::Refused("Queries cannot contain the '_serf_' prefix".into())));
    let asked = Query { request_ack: true, ..query("_serf_ping", 300_000_000) };
    assert_eq!(answers(&mut client, asked), Vec::<Option<Vec<u8>>>::new());
    assert_eq!(answers(&mut client, query("q", -1)), Vec::<Option<Vec<u8>>>::new());
}

#[test]
fn below_protocol_4_there_are_no_queries_and_no_keys() {
    let agent = Agent::start(&["-protocol=3"]);
    let refused = ClientError::Refused("Feature not supported".into());
    assert_eq!(agent.client().query(query("q", 0)), Err(refused));
    assert!(agent.client().list_keys().is_err_and(|error| error.to_string() == "Feature not supported"));
}

#[test]
fn without_coordinates_nobody_has_one() {
    let dir = Directory::new("coordinates");
    let config = dir.file("c.json", "{\"disable_coordinates\": true}");
    let agent = Agent::start(&["-config-file", &config]);
    assert_eq!(agent.client().coordinate("one"), Ok(None));
    assert!(!agent.client().stats().expect("answers")["serf"].contains_key("coordinate_resets"));
    assert!(Agent::start(&[]).client().coordinate("one").expect("answers").is_some());
}

#[test]
fn an_answer_that_is_too_long_or_too_late_is_told_and_not_sent() {
    let agent = Agent::start(&[
        "-event-handler=query:long=head -c 2000 /dev/zero",
        "-event-handler=query:late=sleep 1; echo late",
        "-event-handler=query:twice=echo first",
        "-event-handler=query:twice=echo second",
    ]);
    let mut client = agent.client();
    assert_eq!(answers(&mut client, query("long", 1_000_000_000)), []);
    let failed = |name: &str, why: &str| {
        format!("[WARN] agent: Failed to respond to query 'query: {name}': failed to respond to key query: {why}")
    };
    agent.wait(&failed("long", "response exceeds limit of 1024 bytes"));
    assert_eq!(answers(&mut client, query("late", 100_000_000)), []);
    agent.wait(&failed("late", "response is past the deadline"));
    assert_eq!(answers(&mut client, query("twice", 2_000_000_000)).len(), 1);
    agent.wait(&failed("twice", "response already sent"));
}

#[test]
fn an_advertised_address_is_in_the_banner_and_in_the_list() {
    let agent = Agent::start(&["-advertise=127.0.0.9"]);
    assert!(agent.output().contains("\n    Advertise addr: '127.0.0.9:7946'\n"));
    let member = agent.client().members().expect("answers").remove(0);
    assert_eq!((member.addr, member.port), ("127.0.0.9".parse().ok(), 7946));
}

#[test]
fn an_agent_lives_on_ipv6_alone() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("NOT RUN: this host has no IPv6");
    }
    let agent = Agent::start_at("[::1]:0", &["-bind=[::1]:0"]);
    assert!(agent.output().contains("Bind addr: '[::1]:") && agent.rpc.starts_with("[::1]:"));
    let member = agent.client().members().expect("answers").remove(0);
    assert_eq!(member.addr, "::1".parse().ok());
}

#[test]
fn a_member_that_failed_is_made_to_leave_and_forgotten_on_demand() {
    let agent = Agent::start(&["-profile=local"]);
    let output = agent.output();
    let (_, addr) = output.split_once("Bind addr: '").expect("is in the banner");
    let join = format!("-join={}", addr.split('\'').next().expect("is quoted"));
    drop(Agent::start(&["-node=gone", "-profile=local", &join]));
    agent.wait("(0 peer confirmations)");
    agent.wait("[INFO] serf: EventMemberFailed: gone 127.0.0.1");
    agent.client().force_leave("gone", false).expect("works");
    agent.wait("[INFO] serf: EventMemberLeave (forced): gone 127.0.0.1");
    agent.client().force_leave("gone", true).expect("works");
    agent.wait("[INFO] serf: EventMemberReap (forced): gone 127.0.0.1");
    eventually("one member", || (agent.client().members().expect("answers").len() == 1).then_some(()));
}
