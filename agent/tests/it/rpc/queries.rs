//! Queries: valid requests, valid answers, and answers of scripts that are late or too long.

use std::time::{Duration, Instant};

use serf_agent::rpc::{Client, ClientError, EventRecord, Query, QueryRecord, Record};

use crate::process::Agent;

fn question(name: &str) -> Query {
    Query { name: name.into(), timeout_ns: 5_000_000_000, ..Query::default() }
}

fn next(client: &mut Client) -> Record {
    client.next_record(Some(Duration::from_secs(20))).expect("is connected").expect("comes in time").1
}

/// The number of the next query on a stream.
fn next_id(client: &mut Client, wanted: &str) -> u64 {
    match next(client) {
        Record::Event { event: Some(EventRecord::Query { id, name, .. }), .. } if name == wanted => id,
        other => panic!("{other:?}"),
    }
}

fn refused(why: &str) -> Result<(), ClientError> {
    Err(ClientError::Refused(why.into()))
}

#[test]
fn queries_are_numbered_from_one_for_each_client_and_answered_once() {
    let agent = Agent::start(&[]);
    let [mut first, mut late, mut asker] = [agent.client(), agent.client(), agent.client()];
    first.stream("query").expect("subscribes");
    asker.query(question("one")).expect("is asked");
    assert_eq!(next_id(&mut first, "one"), 1);
    late.stream("query").expect("subscribes");
    asker.query(question("two")).expect("is asked");
    assert_eq!((next_id(&mut first, "two"), next_id(&mut late, "two")), (2, 1));

    let too_large = "failed to respond to key query: response exceeds limit of 1024 bytes";
    assert_eq!(first.respond(2, vec![0; 1100]), refused(too_large));
    assert_eq!(first.respond(2, b"yes".to_vec()), Ok(()));
    let sent = "failed to respond to key query: response already sent";
    assert_eq!(late.respond(1, b"me too".to_vec()), refused(sent));
    assert_eq!(late.respond(2, b"that is another's".to_vec()), refused("No pending queries matching ID"));
    match next(&mut asker) {
        Record::Query(QueryRecord::Response { from, payload }) => {
            assert_eq!((&*from, payload), ("one", Some(b"yes".to_vec())));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_prefix_of_internal_queries_is_refused_but_for_an_empty_ping() {
    let agent = Agent::start(&[]);
    let mut client = agent.client();
    let mut ask = |name: &str, payload: Option<Vec<u8>>| client.query(Query { payload, ..question(name) }).map(drop);
    let prefix = "Queries cannot contain the '_serf_' prefix";
    assert_eq!(ask("_serf_conflict", Some(b"one".to_vec())), refused(prefix));
    assert_eq!(ask("_serf_ping", Some(b"x".to_vec())), refused(prefix));
    assert_eq!(ask("_serf_ping", None), Ok(()));
}

#[test]
fn a_negative_time_is_over_at_once() {
    let agent = Agent::start(&[]);
    let mut client = agent.client();
    let begun = Instant::now();
    client.query(Query { timeout_ns: -1, ..question("q") }).expect("is asked");
    assert!(matches!(next(&mut client), Record::Query(QueryRecord::Done)));
    assert!(begun.elapsed() < Duration::from_secs(3), "the default would be longer");
}

#[test]
fn below_protocol_four_there_are_no_queries_and_no_changes_of_keys() {
    let agent = Agent::start(&["-protocol=3", "-encrypt=AQEBAQEBAQEBAQEBAQEBAQ=="]);
    let mut client = agent.client();
    assert_eq!(client.query(question("q")).map(drop), refused("Feature not supported"));
    let keys = client.list_keys();
    assert!(matches!(&keys, Err(ClientError::Keys(why, _)) if why == "Feature not supported"), "{keys:?}");
}

#[test]
fn an_answer_of_a_script_that_is_late_or_too_long_is_logged_and_not_sent() {
    let agent = Agent::start(&[
        "-event-handler=query:late=sleep 1; echo late",
        "-event-handler=query:long=head -c 2000 /dev/zero",
    ]);
    let mut client = agent.client();
    for (name, why) in [("late", "response is past the deadline"), ("long", "response exceeds limit of 1024 bytes")] {
        client.query(Query { timeout_ns: 400_000_000, ..question(name) }).expect("is asked");
        assert!(matches!(next(&mut client), Record::Query(QueryRecord::Done)), "{name}");
        agent.wait(&format!(
            "[WARN] agent: Failed to respond to query 'query: {name}': failed to respond to key query: {why}"
        ));
    }
}
