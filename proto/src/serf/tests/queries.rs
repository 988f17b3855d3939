use bytes::Bytes;

use super::*;
use crate::core::{Body, Unicast};
use crate::limits::{LAMPORT_BURST_MAX, LAMPORT_TIME_MAX, QUERIES_ASKED_MAX, QUERIES_OPEN_MAX};
use crate::serf::{PatternError, QueryError, Question, RespondError};
use crate::types::{QueryId, Record, Snapshot};
use crate::wire::serf::{Filter, List, Query, QueryResponse, Relay, Source};

pub(super) const ID: QueryId = QueryId { ltime: 5, id: 7 };

/// A query of `b`.
pub(super) fn query<'a>(name: &'a str, filters: &'a [Filter<'a>]) -> Query<'a> {
    Query {
        ltime: ID.ltime,
        id: ID.id,
        source: Source { addr: addr("b"), node: "b" },
        filters: List::new(filters),
        flags: 0,
        relay_factor: 0,
        timeout: secs(3),
        name,
        payload: b"payload",
    }
}

impl Lone {
    pub(super) fn hear_query(&mut self, query: &Query<'_>) {
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::Query(*query)));
    }

    pub(super) fn hear_answer(&mut self, to: QueryId, from: &str, flags: u32, payload: &[u8]) {
        let response = QueryResponse { ltime: to.ltime, id: to.id, from, flags, payload };
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::QueryResponse(response)));
    }

    pub(super) fn ask(&mut self, question: &Question<'_>) -> QueryId {
        self.serf.query(&mut self.core, question).unwrap()
    }

    pub(super) fn respond(&mut self, to: QueryId, payload: &[u8]) -> Result<(), RespondError> {
        self.serf.respond(&mut self.core, to, payload)
    }

    /// The unicasts since the last call, with the letter of the receiver's address: `b ack`, `c relay to b`.
    pub(super) fn unicasts(&mut self) -> Vec<String> {
        let name = |addr: SocketAddr| (b'a'..=b'z').map(|c| char::from(c).to_string()).find(|n| super::addr(n) == addr);
        let sent = mem::take(&mut self.core.unicasts).into_iter().map(|Unicast { to, body, .. }| {
            let Body::User(message) = body else { panic!("the Serf layer sends its own messages only") };
            let what = match Codec::decode_serf(&message).unwrap() {
                Message::QueryResponse(response) if response.is_ack() => "ack".to_string(),
                Message::QueryResponse(response) if response.is_offer() => "offer".to_string(),
                Message::QueryResponse(response) => format!("answer {}", String::from_utf8_lossy(response.payload)),
                Message::Relay(relay) => format!("relay to {}", relay.node),
                other => panic!("{other:?} is not sent to one member"),
            };
            format!("{} {what}", name(to).unwrap())
        });
        sent.collect()
    }
}

#[test]
fn a_query_is_delivered_and_passed_on_once_however_often_it_comes() {
    let mut lone = Lone::lan(&["b", "c"]);
    for _ in 0..3 {
        lone.hear_query(&query("uptime", &[]));
    }
    assert_eq!(lone.events(), ["query uptime"]);
    assert_eq!(lone.packet(), ["query uptime@5"]);
    assert_eq!(lone.serf.queue_depths(), QueueDepths { queries: 1, ..QueueDepths::default() });
    lone.hear_query(&Query { id: 8, ..query("uptime", &[]) });
    assert_eq!(lone.events(), ["query uptime"], "another query of the same time");
    assert_eq!((lone.core.stats.queries, lone.core.stats.query_repeats), (2, 2));
}

#[test]
fn a_query_is_passed_on_byte_for_byte() {
    let mut lone = Lone::lan(&["b", "c"]);
    let frame = encode(&Message::Query(query("uptime", &[Filter::Unreadable(b"\x09later")])));
    lone.serf.handle(&mut lone.core, Origin::Local, &frame);
    assert_eq!(lone.serf.queries.queue.next(), Some(&Bytes::from(frame)));
    assert_eq!(lone.events(), [""; 0], "nobody meets a filter that it cannot read");
}

#[test]
fn a_query_that_is_not_for_broadcast_is_delivered_and_not_passed_on() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_query(&Query { flags: Query::FLAG_NO_BROADCAST, ..query("uptime", &[]) });
    assert_eq!((lone.events(), lone.packet()), (vec!["query uptime".to_string()], vec![]));
}

#[test]
fn in_a_packet_intents_go_first_then_queries_then_events() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_event(3, "deploy", b"");
    lone.hear_query(&query("uptime", &[]));
    lone.hear_join("b", 4);
    assert_eq!(lone.packet(), ["join b@4", "query uptime@5", "user deploy@3"]);
}

#[test]
fn a_node_that_fails_a_filter_only_gossips_the_query() {
    let names = ["b", "a"];
    let others = ["b", "c"];
    let by_name = Filter::Nodes(List::new(&names));
    let for_others = Filter::Nodes(List::new(&others));
    let no_role = Filter::Tag { tag: "role", expr: "^$" };
    let web = Filter::Tag { tag: "role", expr: "web" };
    let broken = Filter::Tag { tag: "role", expr: "(" };
    let empty = Filter::Unreadable(&[]);
    for (filters, passes) in [
        (&[by_name, no_role][..], true),
        (&[for_others], false),
        (&[by_name, web], false),
        (&[broken], false),
        (&[empty], false),
    ] {
        let mut lone = Lone::lan(&["b", "c"]);
        lone.hear_query(&Query { flags: Query::FLAG_ACK, ..query("q", filters) });
        assert_eq!(lone.events().len(), usize::from(passes), "{filters:?}");
        assert_eq!(lone.unicasts().len(), usize::from(passes), "{filters:?}");
        assert_eq!(lone.packet(), ["query q@5"], "{filters:?}");
    }
}

#[test]
fn an_answer_goes_straight_to_the_asker_once_and_in_time() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_query(&Query { flags: Query::FLAG_ACK, ..query("uptime", &[]) });
    assert_eq!(lone.unicasts(), ["b ack"]);
    assert_eq!(lone.respond(QueryId { id: 8, ..ID }, b"1h"), Err(RespondError::Unknown));
    assert_eq!(lone.respond(ID, b"1h"), Ok(()));
    assert_eq!(lone.unicasts(), ["b answer 1h"]);
    assert_eq!(lone.respond(ID, b"1h"), Err(RespondError::Answered));
    lone.hear_query(&Query { id: 9, ..query("uptime", &[]) });
    lone.run(secs(3));
    assert_eq!(lone.respond(QueryId { id: 9, ..ID }, b"1h"), Err(RespondError::Late));
    lone.hear_query(&Query { id: 10, ..query("uptime", &[]) });
    assert_eq!(lone.respond(QueryId { id: 9, ..ID }, b"1h"), Err(RespondError::Late), "also once it is forgotten");
    assert_eq!(lone.unicasts(), [""; 0]);
}

#[test]
fn a_too_large_answer_is_refused_before_sending_and_a_smaller_one_still_goes() {
    let mut lone = Lone::lan(&[]);
    lone.alive_with("b", Versions::HASHICORP);
    lone.hear_query(&query("uptime", &[]));
    // 30 for the keys, 1 for each of three numbers, 2 for the name, 3 for the length.
    let most = 1024 - 30 - 3 - 2 - 3;
    let refused = lone.respond(ID, &vec![b'x'; most + 1]);
    assert_eq!(refused, Err(RespondError::TooLarge { bytes: 1025, limit: 1024 }));
    assert_eq!(lone.unicasts(), [""; 0]);
    assert_eq!(lone.respond(ID, &vec![b'x'; most]), Ok(()));
    assert_eq!(lone.unicasts().len(), 1);
}

#[test]
fn relays_of_an_answer_exclude_the_requester_ourselves_and_gone_members() {
    for round in 0..20 {
        let mut lone = Lone::lan(&["b", "c", "d", "e", "f"]);
        lone.gone("f");
        lone.core.rng.query = crate::rng::Rng::stream(&Seed::from_u64(round), 5);
        lone.events();
        lone.hear_query(&Query { relay_factor: 2, ..query("uptime", &[]) });
        lone.respond(ID, b"1h").unwrap();
        let sent = lone.unicasts();
        assert_eq!((sent.len(), &*sent[0]), (3, "b answer 1h"));
        assert!(sent[1..].iter().all(|s| ["c relay to b", "d relay to b", "e relay to b"].contains(&&**s)), "{sent:?}");
        assert_ne!(sent[1], sent[2]);
    }
}

#[test]
fn an_answer_is_written_for_the_asker_and_what_is_around_it_for_each_relay() {
    for (asker, theirs) in [("b", Codec::Native), ("d", Codec::HashiCorp)] {
        let mut lone = Lone::lan(&["b", "c"]);
        lone.alive_with("d", Versions::HASHICORP);
        lone.alive_with("e", Versions::HASHICORP);
        let source = Source { addr: addr(asker), node: asker };
        lone.hear_query(&Query { relay_factor: 3, source, ..query("uptime", &[]) });
        lone.respond(ID, b"1h").unwrap();
        for Unicast { to, body, .. } in mem::take(&mut lone.core.unicasts) {
            let Body::User(message) = body else { panic!("the Serf layer sends its own messages only") };
            let codec = if [addr("b"), addr("c")].contains(&to) { Codec::Native } else { Codec::HashiCorp };
            assert_eq!(Codec::of(message[0]), codec, "to {to}");
            if let Ok(Message::Relay(relay)) = Codec::decode_serf(&message) {
                assert_eq!(Codec::of(relay.inner[0]), theirs, "over {to}");
            }
        }
    }
}

#[test]
fn a_relay_that_would_be_too_large_is_left_out_and_the_answer_counts_as_given() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.hear_query(&Query { relay_factor: 2, ..query("uptime", &[]) });
    assert_eq!(lone.respond(ID, &[b'x'; 960]), Ok(()));
    assert_eq!(lone.unicasts().len(), 1, "the direct way only");
    assert_eq!(lone.respond(ID, b""), Err(RespondError::Answered));
    lone.hear_query(&Query { id: 8, relay_factor: 2, ..query("uptime", &[]) });
    assert_eq!(lone.respond(QueryId { id: 8, ..ID }, &[b'x'; 900]), Ok(()));
    assert_eq!(lone.unicasts().len(), 3, "its head takes less than 100 bytes");
}

#[test]
fn a_relayed_answer_is_passed_on_up_to_the_room_of_a_packet() {
    for (more, sent) in [(0, 1), (1, 0)] {
        let mut lone = Lone::lan(&["b", "c"]);
        let room = lone.core.cfg.message_room();
        let response =
            |payload| encode(&Message::QueryResponse(QueryResponse { ltime: 1, id: 1, from: "c", flags: 0, payload }));
        let head = response(&[0; 1000]).len() - 1000;
        let inner = response(&vec![0; room - head + more]);
        assert_eq!(inner.len(), room + more);
        let relay = Relay { addr: addr("b"), node: "b", inner: &inner };
        lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::Relay(relay)));
        assert_eq!((lone.unicasts().len(), lone.dropped(DropReason::Limit)), (sent, more as u64));
    }
}

#[test]
fn only_answers_are_passed_on_and_only_to_members() {
    let mut lone = Lone::lan(&["b", "c"]);
    let answer = encode(&Message::QueryResponse(QueryResponse { ltime: 1, id: 1, from: "c", flags: 0, payload: b"x" }));
    let intent = encode(&Message::Leave(Leave { ltime: 9, node: "c", prune: false }));
    let mut hear = |addr, node, inner: &[u8]| {
        lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::Relay(Relay { addr, node, inner })));
        lone.unicasts()
    };
    assert_eq!(hear(addr("b"), "b", &answer), ["b answer x"]);
    assert_eq!(hear(addr("b"), "", &answer), ["b answer x"], "members of old versions do not give their name");
    assert_eq!(hear(addr("b"), "b", &intent), [""; 0]);
    assert_eq!(hear(addr("b"), "b", b""), [""; 0]);
    assert_eq!(hear(addr("z"), "z", &answer), [""; 0], "a stranger");
    assert_eq!(hear(addr("z"), "", &answer), [""; 0]);
    assert_eq!(hear(addr("z"), "b", &answer), [""; 0], "not where the member is");
    assert_eq!(lone.dropped(DropReason::Unexpected), 5);
    assert_eq!(lone.core.stats.query_relays, 2);
}

#[test]
fn our_query_is_delivered_here_too_and_ends_when_all_have_answered() {
    let mut lone = Lone::lan(&["b", "c"]);
    let id = lone.ask(&Question::new("uptime").with_acks());
    assert_eq!(lone.events(), ["ack a", "query uptime"]);
    assert_eq!(lone.unicasts(), [""; 0], "nothing is sent to ourselves");
    lone.respond(id, b"1h").unwrap();
    lone.hear_answer(id, "b", 1, b"");
    lone.hear_answer(id, "b", 0, b"2h");
    assert_eq!(lone.events(), ["answer a 1h", "ack b", "answer b 2h"]);
    lone.hear_answer(id, "c", 0, b"3h");
    assert_eq!(lone.events(), ["ack c", "answer c 3h", "ended 3/3 true []"], "an answer is an acknowledgement too");
    lone.hear_answer(id, "c", 1, b"");
    lone.run(secs(60));
    assert_eq!((lone.events(), lone.core.stats.query_late), (vec![], 1));
    assert_eq!(lone.core.timers.next(), None);
}

#[test]
fn a_response_that_arrived_by_another_path_is_dropped() {
    let mut lone = Lone::lan(&["b", "c"]);
    let id = lone.ask(&Question::new("uptime").with_acks());
    lone.events();
    for _ in 0..3 {
        lone.hear_answer(id, "b", 1, b"");
        lone.hear_answer(id, "b", 0, b"2h");
    }
    assert_eq!(lone.events(), ["ack b", "answer b 2h"]);
    let stats = &lone.core.stats;
    assert_eq!((stats.query_duplicate_acks, stats.query_duplicate_responses), (2, 2));
    assert_eq!((stats.queries_asked, stats.query_acks, stats.query_responses), (1, 2, 1), "with our own ack");
}

#[test]
fn a_query_ends_at_its_deadline_and_names_those_who_did_not_answer() {
    let mut lone = Lone::lan(&["b", "c"]);
    let id = lone.ask(&Question::new("uptime"));
    lone.respond(id, b"").unwrap();
    lone.hear_answer(id, "b", 0, b"");
    lone.events();
    lone.run(Duration::from_millis(3199));
    assert_eq!(lone.events(), [""; 0]);
    lone.run(Duration::from_millis(1));
    assert_eq!(lone.events(), ["ended 0/2 false [c]"], "200 ms, times 16, times one digit");
    lone.hear_answer(id, "c", 0, b"");
    assert_eq!(lone.events(), [""; 0]);
}

#[test]
fn a_query_does_not_wait_for_members_that_are_gone_or_that_it_is_not_for() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.gone("d");
    lone.events();
    let all = lone.ask(&Question::new("uptime"));
    let one = lone.ask(&Question::new("uptime").of_nodes(&["b"]));
    lone.respond(all, b"").unwrap();
    lone.hear_answer(all, "b", 0, b"");
    lone.hear_answer(one, "b", 0, b"");
    assert_eq!(lone.events(), ["query uptime", "answer a ", "answer b ", "answer b ", "ended 0/1 true []"]);
    lone.gone("c");
    assert_eq!(lone.events(), ["ended 0/2 true []", "failed c"]);
}

#[test]
fn a_query_by_tags_ends_when_the_members_that_have_them_have_answered() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.retag("b", "web");
    lone.events();
    let id = lone.ask(&Question::new("uptime").with_tag("role", "^web$"));
    lone.hear_answer(id, "b", 0, b"");
    assert_eq!(lone.events(), ["answer b ", "ended 0/1 true []"]);
}

#[test]
fn a_query_for_no_known_member_waits_for_its_deadline() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.ask(&Question::new("uptime").of_nodes(&["z"]));
    assert_eq!(lone.events(), [""; 0]);
    lone.hear_answer(id, "z", 0, b"here");
    lone.run(secs(4));
    assert_eq!(lone.events(), ["answer z here", "ended 0/1 false []"]);
}

#[test]
fn two_queries_of_one_time_are_distinguished() {
    let mut lone = Lone::lan(&["b"]);
    let first = lone.ask(&Question::new("one"));
    let second = lone.ask(&Question::new("two"));
    assert_ne!(first.ltime, second.ltime, "our own never share a time");
    assert_ne!(first.id, second.id, "they are drawn");
    let other = QueryId { id: first.id ^ 1, ..first };
    lone.events();
    lone.hear_answer(other, "b", 0, b"");
    assert_eq!((lone.events(), lone.core.stats.query_late), (vec![], 1), "another asker's query of the same time");
}

#[test]
fn queries_that_cannot_be_asked_change_nothing() {
    let mut lone = Lone::lan(&["b"]);
    let before = format!("{:?}", lone.serf);
    let luck = lone.core.rng.query.clone();
    let mut refused = |question: &Question<'_>| lone.serf.query(&mut lone.core, question).unwrap_err();
    let large = vec![0; 917];
    assert_eq!(refused(&Question::new("q").with_payload(&large)), QueryError::TooLarge { bytes: 1025, limit: 1024 });
    assert_eq!(refused(&Question::new("q").of_tags(&[("role", "(")])), QueryError::Filter(PatternError::Syntax));
    lone.serf.queries.forget_patterns();
    assert_eq!(format!("{:?}", lone.serf), before);
    assert_eq!(lone.core.rng.query.clone().next_u64(), luck.clone().next_u64());
    assert!(lone.serf.query(&mut lone.core, &Question::new("q").with_payload(&large[..916])).is_ok());
}

#[test]
fn the_reported_largest_payload_of_a_question_is_accepted_and_none_larger() {
    let lone = Lone::lan(&["b"]);
    let tags = [("role", "^web")];
    for question in [Question::new("q"), Question::new("q").of_nodes(&["b", "c"]).of_tags(&tags).with_acks().relayed(3)]
    {
        let most = lone.serf.query_payload_max(&lone.core, &question).unwrap();
        let ask = |bytes| {
            let payload = vec![0; bytes];
            lone.clone().serf.query(&mut lone.clone().core, &question.clone().with_payload(&payload)).is_ok()
        };
        assert!(ask(most) && !ask(most + 1), "{most}");
        assert_eq!(lone.serf.query_payload_max(&lone.core, &question.clone().with_payload(b"x")), Some(most));
    }
    let long = "q".repeat(1000);
    assert_eq!(lone.serf.query_payload_max(&lone.core, &Question::new(&long)), None);
}

#[test]
fn there_is_a_bound_on_our_own_queries_and_on_those_that_can_be_answered() {
    let mut lone = Lone::lan(&["b"]);
    for _ in 0..QUERIES_ASKED_MAX {
        lone.ask(&Question::new("q"));
    }
    let error = lone.serf.query(&mut lone.core, &Question::new("q")).unwrap_err();
    assert_eq!(error, QueryError::TooMany { limit: 1024 });
    assert_eq!(lone.serf.queries.open(), QUERIES_OPEN_MAX);
    let now = lone.serf.times().query;
    lone.hear_query(&Query { ltime: now, timeout: Duration::MAX, ..query("q", &[]) });
    assert_eq!(lone.serf.queries.open(), QUERIES_OPEN_MAX);
    assert_eq!(lone.respond(QueryId { ltime: now, id: ID.id }, b""), Ok(()));
}

#[test]
fn times_out_of_all_proportion_are_dropped_and_old_queries_too() {
    let mut lone = Lone::lan(&["b"]);
    for ltime in [u64::MAX, LAMPORT_TIME_MAX, LAMPORT_BURST_MAX + 2] {
        lone.hear_query(&Query { ltime, ..query("q", &[]) });
    }
    assert_eq!((lone.dropped(DropReason::OutOfRange), lone.serf.times().query), (3, 1));
    lone.hear_query(&Query { ltime: 1000, ..query("q", &[]) });
    lone.hear_query(&Query { ltime: 488, ..query("older", &[]) });
    lone.hear_query(&Query { ltime: 489, ..query("old", &[]) });
    assert_eq!(lone.events(), ["query q", "query old"]);
    assert_eq!(lone.dropped(DropReason::OldEvent), 1);
}

#[test]
fn answers_from_strangers_are_taken_up_to_a_bound() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.ask(&Question::new("uptime"));
    for n in 0..200 {
        lone.hear_answer(id, &format!("stranger-{n}"), 0, b"");
    }
    assert_eq!(lone.core.stats.query_responses, 64);
    lone.hear_answer(id, "b", 0, b"");
    assert_eq!(lone.core.stats.query_responses, 65, "they take no room from members");
    lone.hear_answer(id, "", 0, b"");
    assert_eq!(lone.dropped(DropReason::Limit), 136);
}

#[test]
fn an_answer_is_not_sent_to_an_unusable_address() {
    for nowhere in ["0.0.0.0:7946", "10.0.0.1:0", "224.0.0.1:7946"] {
        let mut lone = Lone::lan(&["b"]);
        let source = Source { addr: nowhere.parse().unwrap(), node: "b" };
        lone.hear_query(&Query { source, flags: Query::FLAG_ACK, ..query("q", &[]) });
        lone.respond(ID, b"").unwrap();
        assert_eq!((lone.unicasts(), lone.dropped(DropReason::Malformed)), (vec![], 2), "{nowhere}");
    }
}

#[test]
fn internal_queries_are_answered_here_and_never_delivered() {
    let mut lone = Lone::lan(&["b"]);
    for (id, name) in (20..).zip(["_serf_ping", "_serf_conflict", "_serf_list-keys", "_serf_nonsense"]) {
        lone.hear_query(&Query { id, flags: Query::FLAG_ACK, ..query(name, &[]) });
    }
    assert_eq!(lone.events(), [""; 0]);
    // The payload is not a member's name, so the response is that the name is unknown.
    let nil = encode_in(Codec::HashiCorp, &Message::ConflictResponse(None));
    let nil = format!("b answer {}", String::from_utf8_lossy(&nil));
    assert_eq!(lone.unicasts(), ["b ack", "b ack", &nil, "b ack", "b ack"]);
    assert_eq!(lone.core.key_requests.take_new().len(), 1);
    assert_eq!(lone.dropped(DropReason::Unexpected), 1, "nonsense only");
}

#[test]
fn a_conflict_is_answered_with_what_we_know_and_about_our_own_name_not_at_all() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_query(&Query { payload: b"c", ..query("_serf_conflict", &[]) });
    let sent = mem::take(&mut lone.core.unicasts);
    let Body::User(message) = &sent[0].body else { panic!("{sent:?}") };
    let Ok(Message::QueryResponse(response)) = Codec::decode_serf(message) else { panic!("{message:?}") };
    let Ok(Message::ConflictResponse(Some(record))) = Codec::decode_serf(response.payload) else { panic!() };
    assert_eq!((record.name, record.addr, record.status), ("c", Some(addr("c")), 1));
    lone.hear_query(&Query { id: 8, payload: b"a", ..query("_serf_conflict", &[]) });
    assert_eq!(lone.unicasts(), [""; 0]);
}

impl Lone {
    /// Claims this node's name from elsewhere. Returns the members that are asked to vote.
    fn claim(&mut self) -> Vec<String> {
        self.serf.name_conflict(&mut self.core);
        let sent = mem::take(&mut self.core.unicasts).into_iter();
        sent.map(|unicast| self.core.roster.name(unicast.peer.unwrap()).to_string()).collect()
    }
}

#[test]
fn after_a_vote_on_our_name_claims_are_ignored_for_a_pause_that_doubles() {
    let mut lone = Lone::lan(&["b"]);
    for pause in [10, 20, 40] {
        assert_eq!(lone.claim(), ["b"]);
        assert_eq!(lone.claim(), [""; 0], "one vote at a time");
        lone.core.now = lone.core.timers.next().unwrap();
        lone.run(secs(0));
        assert!(matches!(lone.core.events[..], [Event::NameVote(_)]));
        lone.core.events.clear();
        lone.run(secs(pause) - Duration::from_nanos(1));
        assert_eq!(lone.claim(), [""; 0], "{pause} s are not over");
        lone.run(Duration::from_nanos(1));
    }
}

#[test]
fn a_node_that_leaves_or_is_told_not_to_starts_no_vote_on_its_name() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.leave(&mut lone.core);
    assert_eq!(lone.claim(), [""; 0]);
    let options = Options::lan().with(|options| options.serf.name_conflict_resolution = false);
    assert_eq!(Lone::with(options, &["b"]).claim(), [""; 0]);
}

#[test]
fn the_voters_on_a_name_stay_the_same_until_an_hour_has_passed_without_a_claim() {
    let mut lone = Lone::lan(&["b"]);
    assert_eq!(lone.claim(), ["b"]);
    lone.alive("c");
    lone.run(secs(3600));
    assert_eq!(lone.claim(), ["b"]);
    lone.run(secs(3600) + Duration::from_nanos(1));
    assert_eq!(lone.claim(), ["b", "c"]);
}

#[test]
fn several_members_at_one_address_have_one_vote_on_a_name() {
    let mut lone = Lone::lan(&["b1", "b2", "c"]);
    assert_eq!(addr("b1"), addr("b2"));
    assert_eq!(lone.claim(), ["b1", "c"]);
}

#[test]
fn a_member_that_is_forgotten_does_not_pass_its_vote_to_the_next_with_its_index() {
    let mut lone = Lone::lan(&["b", "c"]);
    assert_eq!(lone.claim(), ["b", "c"]);
    lone.run(secs(60));
    let idx = lone.idx("b");
    lone.gone("b");
    lone.serf.erase(&mut lone.core, idx);
    lone.forgotten_by_swim("b");
    lone.alive("d");
    assert_eq!((lone.idx("d"), lone.claim()), (idx, vec!["c".to_string()]));
}

#[test]
fn queries_before_a_snapshots_time_are_not_taken_again() {
    let mut lone = Lone::lan(&["b"]);
    let mut snapshot = Snapshot::default();
    snapshot.apply(&Record::QueryClock(5));
    lone.serf.resume(&snapshot);
    lone.hear_query(&query("before", &[]));
    lone.hear_query(&Query { ltime: 6, ..query("after", &[]) });
    assert_eq!(lone.events(), ["query after"]);
}

#[test]
fn the_default_timeout_grows_with_the_digits_of_the_live_members() {
    let mut lone = Lone::lan(&["b", "c", "d", "e", "f", "g", "h", "i"]);
    assert_eq!(lone.serf.query_timeout(&lone.core), Duration::from_millis(3200), "nine members");
    lone.alive("j");
    assert_eq!(lone.serf.query_timeout(&lone.core), Duration::from_millis(6400), "ten");
    lone.gone("j");
    assert_eq!(lone.serf.query_timeout(&lone.core), Duration::from_millis(3200));
}

#[test]
fn an_acknowledgement_of_a_query_without_acks_is_dropped() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.ask(&Question::new("uptime"));
    lone.events();
    lone.hear_answer(id, "b", QueryResponse::FLAG_ACK, b"");
    assert_eq!((lone.events(), lone.dropped(DropReason::Unexpected)), (vec![], 1));
}

#[test]
fn numbers_of_queries_have_31_bits_as_hashicorps_have() {
    let mut lone = Lone::lan(&["b"]);
    let ids: Vec<u32> = (0..64).map(|_| lone.ask(&Question::new("uptime")).id).collect();
    assert!(ids.iter().all(|id| *id < 1 << 31), "{ids:?}");
    let all = |bits: fn(u32, u32) -> u32| ids.iter().copied().reduce(bits).unwrap();
    assert_eq!((all(|a, b| a | b), all(|a, b| a & b)), ((1 << 31) - 1, 0), "each bit is drawn");
}

#[test]
fn a_question_reads_its_name() {
    assert_eq!(Question::new("uptime").name(), "uptime");
}
