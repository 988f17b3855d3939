use super::*;
use crate::core::{Body, KeyOutcome, Requester};
use crate::event::{KeyOperation, KeyReport};
use crate::serf::KeysError;
use crate::types::QueryId;
use crate::wire::serf::{KeyRequest, KeyResponse, List, Query, QueryResponse, Source};

fn requester(node: &str) -> Requester {
    Requester { id: QueryId { ltime: 5, id: 1 << 30 }, addr: addr(node), node: node.into(), relay_factor: 0 }
}

/// `count` keys of `bytes` bytes, in base64.
fn keys(count: u8, bytes: usize) -> Vec<Box<str>> {
    (0..count).map(|n| format!("{n:0>width$}", width = bytes.div_ceil(3) * 4).into()).collect()
}

impl Lone {
    /// A layer with this name; the length of names affects the size of its responses.
    pub(super) fn named(name: &str) -> Self {
        let mut lone = Self::new(Options::lan());
        let me = lone.core.roster.intern(name).unwrap();
        lone.serf = Serf::new(me, &lone.core.cfg);
        lone.alive(name);
        lone.alive("b");
        lone.events();
        lone
    }

    fn hear_request(&mut self, name: &str, payload: &[u8]) {
        let query = Query {
            ltime: 5,
            id: 1 << 30,
            source: Source { addr: addr("b"), node: "b" },
            filters: List::EMPTY,
            flags: 0,
            relay_factor: 0,
            timeout: secs(3),
            name,
            payload,
        };
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::Query(query)));
    }

    /// The last response to a key request: done, message, number of keys, primary key.
    fn key_response(&mut self) -> (bool, String, usize, String) {
        let unicast = self.core.unicasts.pop().expect("an answer was sent");
        let Body::User(message) = unicast.body else { panic!("a message of this layer") };
        let Ok(Message::QueryResponse(response)) = Codec::decode_serf(&message) else { panic!("an answer") };
        let Ok(Message::KeyResponse(response)) = Codec::decode_serf(response.payload) else { panic!("about keys") };
        (response.result, response.message.into(), response.keys.len(), response.primary_key.into())
    }

    fn receive_keys(&mut self, to: QueryId, from: &str, response: KeyResponse<'_>) {
        let payload = encode(&Message::KeyResponse(response));
        let response = QueryResponse { ltime: to.ltime, id: to.id, from, flags: 0, payload: &payload };
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::QueryResponse(response)));
    }

    fn report(&mut self) -> KeyReport {
        let mut reports = mem::take(&mut self.core.events).into_iter().filter_map(|event| match event {
            Event::Keys(report) => Some(report),
            _ => None,
        });
        reports.next().expect("the operation is over")
    }
}

#[test]
fn a_list_of_keys_that_is_too_long_is_cut_where_serf_cuts_it() {
    for (bytes, fit) in [(16, 34), (32, 17)] {
        let mut lone = Lone::named("node-a");
        let outcome = KeyOutcome { done: true, message: "".into(), keys: keys(60, bytes) };
        lone.serf.answer_key(&mut lone.core, &requester("b"), &outcome);
        let text = format!("truncated key list response, showing first {fit} of 60 keys");
        assert_eq!(lone.key_response(), (true, text, fit, outcome.keys[0].to_string()), "{bytes}");
    }
}

#[test]
fn a_list_of_keys_that_fits_is_sent_whole() {
    let mut lone = Lone::named("node-a");
    let outcome = KeyOutcome { done: true, message: "".into(), keys: keys(3, 32) };
    lone.serf.answer_key(&mut lone.core, &requester("b"), &outcome);
    assert_eq!(lone.key_response(), (true, String::new(), 3, outcome.keys[0].to_string()));
}

#[test]
fn a_list_of_keys_is_sent_whole_up_to_the_last_byte_of_the_limit() {
    let mut whole_bytes = 0;
    for last in 0..=44 {
        let mut lone = Lone::named("node-a");
        let mut keys = keys(35, 16);
        keys.push("x".repeat(last).into());
        let count = keys.len();
        lone.serf.answer_key(
            &mut lone.core,
            &requester("b"),
            &KeyOutcome { done: true, message: "".into(), keys: keys.clone() },
        );
        let names: Vec<&str> = keys.iter().map(|key| &**key).collect();
        let response = KeyResponse { result: true, message: "", keys: List::new(&names), primary_key: names[0] };
        let payload = encode_in(Codec::HashiCorp, &Message::KeyResponse(response));
        let response = QueryResponse { ltime: 5, id: 1 << 30, from: "node-a", flags: 0, payload: &payload };
        let bytes = encode_in(Codec::HashiCorp, &Message::QueryResponse(response)).len();
        assert_eq!(lone.key_response().2 == count, bytes <= 1024, "{bytes}");
        whole_bytes = whole_bytes.max(if bytes <= 1024 { bytes } else { 0 });
    }
    assert_eq!(whole_bytes, 1024);
}

#[test]
fn a_request_without_a_key_is_refused_and_harms_nobody() {
    for name in ["_serf_install-key", "_serf_use-key", "_serf_remove-key"] {
        let empty_key = encode(&Message::KeyRequest(KeyRequest { key: &[] }));
        for payload in [&b""[..], b"\x07", &empty_key, b"nonsense"] {
            let mut lone = Lone::lan(&["b"]);
            lone.hear_request(name, payload);
            assert_eq!(lone.key_response(), (false, String::new(), 0, String::new()), "{name} {payload:?}");
            assert!(!lone.core.key_requests.has_new());
        }
    }
}

#[test]
fn a_key_request_is_passed_to_the_node() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_request("_serf_use-key", &encode(&Message::KeyRequest(KeyRequest { key: &[7; 16] })));
    let requests = lone.core.key_requests.take_new();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((request.operation, &*request.key), (KeyOperation::Use, &[7; 16][..]));
    assert_eq!(&*request.requester.node, "b");
    assert!(!format!("{request:?}").contains("[7, 7"), "no key in a log");
}

#[test]
fn an_operation_tells_what_each_member_did_and_who_did_not_answer() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    let id = lone.serf.ask_keys(&mut lone.core, KeyOperation::Install, &[7; 16], 0).unwrap();
    let request = lone.core.key_requests.take_new().pop().expect("we are asked too");
    let done = KeyOutcome { done: true, ..KeyOutcome::default() };
    lone.serf.answer_key(&mut lone.core, &request.requester, &done);
    let refusal = KeyResponse { result: false, message: "no room", keys: List::EMPTY, primary_key: "" };
    lone.receive_keys(id, "b", refusal);
    let response = QueryResponse { ltime: id.ltime, id: id.id, from: "c", flags: 0, payload: b"nonsense" };
    lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::QueryResponse(response)));
    lone.run(secs(4));
    let report = lone.report();
    let answers: Vec<_> = report.answers.iter().map(|answer| (&*answer.from, answer.done, &*answer.message)).collect();
    assert_eq!(answers, [("a", true, ""), ("b", false, "no room"), ("c", false, "malformed answer")]);
    assert_eq!(report.silent.iter().map(|name| &**name).collect::<Vec<_>>(), ["d"]);
    assert!(!report.is_done());
    assert!(report.answers.iter().all(|answer| answer.primary.is_none()), "an empty primary key is none");
}

#[test]
fn a_list_names_members_without_a_key_and_members_of_which_it_is_unknown() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    let id = lone.serf.ask_keys(&mut lone.core, KeyOperation::List, &[], 0).unwrap();
    lone.receive_keys(
        id,
        "a",
        KeyResponse { result: true, message: "", keys: List::new(&["new", "old"]), primary_key: "new" },
    );
    lone.receive_keys(
        id,
        "b",
        KeyResponse { result: true, message: "", keys: List::new(&["old"]), primary_key: "old" },
    );
    let cut = "truncated key list response, showing first 1 of 9 keys";
    lone.receive_keys(
        id,
        "c",
        KeyResponse { result: true, message: cut, keys: List::new(&["old"]), primary_key: "old" },
    );
    lone.run(secs(4));
    let report = lone.report();
    let names = |names: Vec<&crate::Name>| names.into_iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(report.keys(), ["new", "old"]);
    assert_eq!(names(report.holders("new").collect()), ["a"]);
    assert_eq!(names(report.lacking("new").collect()), ["b"]);
    assert_eq!(names(report.uncertain("new").collect()), ["c", "d"]);
    assert_eq!(names(report.users("old").collect()), ["b", "c"]);
    assert_eq!(report.answers[2].cut_from, Some(9));
}

#[test]
fn keys_are_changed_by_one_operation_at_a_time_and_listed_at_any() {
    let mut lone = Lone::lan(&["b"]);
    let mut ask = |operation, key: &[u8]| lone.serf.ask_keys(&mut lone.core, operation, key, 0);
    assert_eq!(ask(KeyOperation::Install, &[7; 15]), Err(KeysError::Length { bytes: 15 }));
    assert_eq!(ask(KeyOperation::Use, &[]), Err(KeysError::Length { bytes: 0 }));
    assert_eq!(ask(KeyOperation::List, &[7; 16]), Err(KeysError::Length { bytes: 16 }));
    assert!(ask(KeyOperation::Install, &[7; 16]).is_ok());
    assert_eq!(ask(KeyOperation::Use, &[7; 16]), Err(KeysError::Busy));
    assert!(ask(KeyOperation::List, &[]).is_ok());
    lone.run(secs(4));
    assert!(lone.serf.ask_keys(&mut lone.core, KeyOperation::Use, &[7; 16], 0).is_ok());
}

#[test]
fn listed_texts_that_are_longer_than_any_key_are_left_out() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.serf.ask_keys(&mut lone.core, KeyOperation::List, &[], 0).unwrap();
    let (long, longer) = ("x".repeat(44), "x".repeat(45));
    let keys = [&*long, &longer];
    lone.receive_keys(id, "b", KeyResponse { result: true, message: "", keys: List::new(&keys), primary_key: &long });
    lone.run(secs(4));
    assert_eq!(lone.report().keys(), [long]);
}

#[test]
fn the_keys_of_a_running_list_can_be_concealed() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.serf.ask_keys(&mut lone.core, KeyOperation::List, &[], 0).unwrap();
    let [old, new] = [1, 7].map(|byte| crate::types::Key::new(&[byte; 16]).unwrap().to_base64());
    let keys = [&*old];
    lone.receive_keys(id, "b", KeyResponse { result: true, message: "", keys: List::new(&keys), primary_key: &old });
    let mut key = |bytes: &mut [u8]| bytes.fill(7);
    lone.serf.conceal(&mut crate::conceal::Concealer::keys(&mut key));
    lone.run(secs(4));
    let report = lone.report();
    assert_eq!((report.keys(), report.answers[0].primary.as_deref()), (vec![&*new], Some(&*new)));
}
