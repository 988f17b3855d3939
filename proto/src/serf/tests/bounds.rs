//! Limits on what a hostile member can send: each tested one below and one above.

use super::*;
use crate::core::{Body, Origin, Requester, Unicast};
use crate::limits::{
    BROADCAST_QUEUE_BYTES_MAX, COALESCED_BYTES_MAX, EARLY_INTENTS_BYTES_MAX, EVENT_RING_BYTES_MAX, ITEM_BYTES,
    PUSH_PULL_EVENTS_MAX, PUSH_PULL_NODES_MAX, QUERY_FILTERS_MAX, QUERY_TIMEOUT_MAX, SERF_MESSAGE_BYTES_MAX,
    USER_EVENT_BYTES_MAX,
};
use crate::types::QueryId;
use crate::wire::hashicorp;
use crate::wire::serf::{Filter, List, Query, QueryResponse, Source};

impl Lone {
    fn usage(&self, name: &str) -> (u64, u64) {
        let usage = self.serf.usage(&self.core).into_iter().find(|usage| usage.name == name).unwrap();
        (usage.used, usage.limit)
    }

    fn sent_events(&self) -> Vec<u64> {
        let mut body = vec![];
        self.serf.write_state(&self.core, Codec::Native, 20 << 20, &mut body);
        native::SerfState::parse(&body).unwrap().events().map(|event| event.ltime).collect()
    }
}

fn query<'a>(name: &'a str, filters: &'a [Filter<'a>]) -> Query<'a> {
    Query {
        ltime: 5,
        id: 7,
        source: Source { addr: addr("b"), node: "b" },
        filters: List::new(filters),
        flags: Query::FLAG_ACK,
        relay_factor: 0,
        timeout: secs(3),
        name,
        payload: b"",
    }
}

#[test]
fn an_event_larger_than_any_node_can_send_is_refused_by_whatever_way_it_comes() {
    for (bytes, dropped) in [(USER_EVENT_BYTES_MAX - 1, 0), (USER_EVENT_BYTES_MAX, 0), (USER_EVENT_BYTES_MAX + 1, 1)] {
        for name_bytes in [1, bytes / 2, bytes] {
            let (name, payload) = ("n".repeat(name_bytes), vec![0; bytes - name_bytes]);
            let mut lone = Lone::lan(&["b"]);
            lone.hear_event(5, &name, &payload);
            assert_eq!((lone.events().len(), lone.dropped(DropReason::Limit)), (1 - dropped, dropped as u64));
            let mut lone = Lone::lan(&["b"]);
            let event = UserEvent { ltime: 5, name: &name, payload: &payload, coalesce: false };
            lone.merge(Clocks { member: 1, event: 6, query: 1 }, &[], &[event], false);
            assert_eq!((lone.events().len(), lone.dropped(DropReason::Limit)), (1 - dropped, dropped as u64));
        }
    }
}

#[test]
fn a_message_longer_than_any_packet_is_refused_unread() {
    for (bytes, dropped) in
        [(SERF_MESSAGE_BYTES_MAX, DropReason::Malformed), (SERF_MESSAGE_BYTES_MAX + 1, DropReason::Limit)]
    {
        let mut lone = Lone::lan(&["b"]);
        lone.serf.handle(&mut lone.core, Origin::Local, &vec![3; bytes]);
        assert_eq!(lone.dropped(dropped), 1);
    }
}

#[test]
fn of_a_full_ring_as_much_is_sent_as_a_node_of_our_configuration_can_hold() {
    let mut lone = Lone::lan(&["b"]);
    let payload = vec![0; USER_EVENT_BYTES_MAX - 1];
    for ltime in 1..=600 {
        lone.hear_event(ltime, "e", &payload);
    }
    let (used, limit) = lone.usage("event_ring_bytes");
    assert_eq!((used, limit), (EVENT_RING_BYTES_MAX as u64, EVENT_RING_BYTES_MAX as u64));
    let sent = 512 * 512 / USER_EVENT_BYTES_MAX as u64;
    assert_eq!(lone.sent_events(), (601 - sent..=600).collect::<Vec<_>>());
    let large = Options::lan().with(|options| {
        options.serf.user_event_bytes_max = 9 * 1024;
        options.transport.packet_bytes = 20_000;
    });
    let mut lone = Lone::with(large, &["b"]);
    for ltime in 1..=600 {
        lone.hear_event(ltime, "e", &payload);
    }
    assert!(lone.sent_events().len() > 500, "with its limit raised a node tells them all");
    assert!(lone.sent_events().contains(&600));
}

#[test]
fn what_was_forgotten_to_make_room_is_not_delivered_again() {
    let mut lone = Lone::lan(&["b"]);
    let payload = vec![0; USER_EVENT_BYTES_MAX - 1];
    for _ in 0..2 {
        for ltime in 1..=600 {
            lone.hear_event(ltime, "e", &payload);
            if ltime % 2 == 0 {
                lone.hear_event(ltime, "f", &payload);
            }
        }
    }
    assert_eq!(lone.events().len(), 900);
    lone.serf.user_event(&mut lone.core, "own", b"", false).unwrap();
    assert_eq!(lone.events(), ["user own"], "our own is always newer than what fills the ring");
}

#[test]
fn a_state_has_no_more_members_than_fit_and_then_no_events() {
    let names: Vec<String> = (0..26).map(|n| char::from(b'a' + n).to_string()).collect();
    let names: Vec<&str> = names[1..].iter().map(|name| &**name).collect();
    let mut lone = Lone::lan(&names);
    lone.hear_event(5, "e", b"");
    for codec in [Codec::Native, Codec::HashiCorp] {
        let mut all = usize::MAX;
        for room in (0..30_000).rev().step_by(97) {
            let mut body = vec![];
            lone.serf.write_state(&lone.core, codec, room, &mut body);
            assert!(body.len() <= room.max(128), "{} of {room}", body.len());
            let (members, events) = if codec == Codec::Native {
                let state = native::SerfState::parse(&body).unwrap();
                (state.members().count(), state.events().count())
            } else {
                let state = hashicorp::SerfState::parse(&body).unwrap();
                (state.members().count(), state.events().count())
            };
            assert!(members <= all && (members == 26 || events == 0), "{members} members and {events} events");
            all = members;
        }
        assert_eq!(all, 0);
    }
}

#[test]
fn a_state_that_names_more_than_a_cluster_can_have_is_malformed() {
    for (count, dropped) in [(PUSH_PULL_NODES_MAX, 0), (PUSH_PULL_NODES_MAX + 1, 1)] {
        let mut body = vec![];
        hashicorp::begin_serf_state(&mut body, 1, 0);
        hashicorp::begin_left(&mut body, 1, u32::try_from(count).unwrap());
        (0..count).for_each(|_| hashicorp::push_left(&mut body, b"x"));
        hashicorp::begin_times(&mut body, 1, 0);
        let mut lone = Lone::lan(&["b"]);
        lone.serf.merge(&mut lone.core, Codec::HashiCorp, &body, false, None);
        assert_eq!(lone.dropped(DropReason::Malformed), dropped);
    }
    for (count, dropped) in [(PUSH_PULL_EVENTS_MAX, 0), (PUSH_PULL_EVENTS_MAX + 1, 1)] {
        let events = vec![UserEvent { ltime: 1, name: "x", payload: b"", coalesce: false }; count];
        let mut lone = Lone::lan(&["b"]);
        lone.merge(Clocks { member: 1, event: 1, query: 1 }, &[], &events, false);
        let mut body = vec![];
        hashicorp::push_serf_state(&mut body, Clocks { member: 1, event: 1, query: 1 }, &events, core::iter::empty());
        lone.serf.merge(&mut lone.core, Codec::HashiCorp, &body, false, None);
        assert_eq!(lone.dropped(DropReason::Malformed), 2 * dropped);
    }
}

#[test]
fn intents_for_unknown_members_take_a_bounded_number_of_bytes() {
    let mut lone = Lone::lan(&["b"]);
    let each = 255 + ITEM_BYTES;
    let fit = EARLY_INTENTS_BYTES_MAX / each;
    for n in 0..=fit {
        lone.hear_join(&format!("{n:0>255}"), 5);
    }
    assert_eq!(lone.usage("early_intents_bytes").0, (fit * each) as u64);
    assert_eq!(lone.dropped(DropReason::Limit), 1);
    lone.run(secs(1000));
    assert_eq!(lone.usage("early_intents_bytes").0, 0);
}

#[test]
fn queues_of_large_messages_take_a_bounded_number_of_bytes() {
    let mut lone = Lone::with(Options::lan().with(|options| options.transport.packet_bytes = 60_000), &["b"]);
    let payload = vec![0; 9000];
    let fit = BROADCAST_QUEUE_BYTES_MAX / (9000 + ITEM_BYTES);
    for ltime in 1..=1100 {
        lone.hear_event(ltime, "e", &payload);
        let (used, limit) = lone.usage("event_queue_bytes");
        assert!(used <= limit, "{used}");
    }
    let queued = usize::try_from(lone.usage("event_queue").0).unwrap();
    assert!((fit - 5..=fit).contains(&queued), "{queued} of {fit}");
    assert_eq!(lone.core.stats.events_pruned.full, 1100 - queued as u64);
}

#[test]
fn the_bytes_of_an_event_are_counted_where_it_is_queued_and_where_it_is_held_back() {
    let options = Options::lan().with(|options| {
        options.serf.user_coalesce_period = secs(3);
        options.serf.user_quiescent_period = secs(1);
    });
    let mut lone = Lone::with(options, &["b"]);
    let event = encode(&Message::UserEvent(UserEvent { ltime: 5, name: "name", payload: &[0; 100], coalesce: true }));
    lone.serf.handle(&mut lone.core, Origin::Local, &event);
    lone.serf.deliver(&mut lone.core, |delivered| panic!("{delivered:?}"));
    let used = |lone: &Lone| (lone.usage("event_queue_bytes").0, lone.usage("coalesced_events_bytes").0);
    let (queued, held) = ((event.len() + ITEM_BYTES) as u64, (4 + 100 + ITEM_BYTES) as u64);
    assert_eq!(used(&lone), (queued, held));
    lone.core.now = lone.core.now + secs(1);
    lone.fire(lone.core.now, |_| {});
    assert_eq!(used(&lone), (queued, 0));
    lone.talk();
    assert_eq!(used(&lone), (0, 0));
}

#[test]
fn a_coalescer_that_holds_too_many_bytes_closes_its_window() {
    let period = secs(60);
    let options = Options::lan().with(|options| {
        options.serf.user_coalesce_period = period;
        options.serf.user_quiescent_period = period;
    });
    let mut lone = Lone::with(options, &["b"]);
    let payload = vec![0; 9000];
    let mut delivered = 0;
    for ltime in 1..=500_u64 {
        let event = UserEvent { ltime, name: &format!("e{ltime}"), payload: &payload, coalesce: true };
        lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::UserEvent(event)));
        lone.serf.deliver(&mut lone.core, |_| {});
        let (used, limit) = lone.usage("coalesced_events_bytes");
        assert!(used < limit + 9100 && limit == COALESCED_BYTES_MAX as u64, "{used}");
        if lone.core.timers.next().is_some_and(|at| at <= lone.core.now) {
            lone.serf.deliver_due(&lone.core, |_| delivered += 1);
            lone.core.timers.clear(SerfTimer::Deliver);
        }
    }
    assert!(delivered > 400, "{delivered}");
}

#[test]
fn a_query_with_more_filters_than_the_limit_matches_no_node_and_is_gossiped() {
    let tag = Filter::Tag { tag: "x", expr: "" };
    for (count, dropped) in [(QUERY_FILTERS_MAX - 1, 0), (QUERY_FILTERS_MAX, 0), (QUERY_FILTERS_MAX + 1, 1)] {
        let mut lone = Lone::lan(&["b"]);
        lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::Query(query("q", &vec![tag; count]))));
        assert_eq!((lone.events().len(), lone.dropped(DropReason::Limit)), (1 - dropped, dropped as u64));
        assert_eq!(lone.packet(), ["query q@5"]);
    }
}

#[test]
fn a_query_whose_expressions_exceed_the_budget_matches_no_node_and_is_counted() {
    for exprs in [
        &[r"|\pL", r"|\pN", r"|\pS"][..],
        &[r"|(?i)\p{Greek}", r"|(?i)\p{Latin}", r"|(?i)\p{Han}"],
        &[&"a?".repeat(500)],
    ] {
        let filters: Vec<_> = exprs.iter().map(|expr| Filter::Tag { tag: "x", expr }).collect();
        let mut lone = Lone::lan(&["b"]);
        lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::Query(query("q", &filters))));
        assert_eq!((lone.events(), lone.dropped(DropReason::Limit)), (vec![], 1), "{exprs:?}");
    }
}

#[test]
fn too_many_filters_or_too_long_a_timeout_are_refused_before_compiling() {
    let mut lone = Lone::lan(&["b"]);
    let tags = [("x", "("); QUERY_FILTERS_MAX + 1];
    let asked = lone.serf.query(&mut lone.core, &Question::new("q").of_tags(&tags));
    let error = QueryError::TooManyFilters { filters: QUERY_FILTERS_MAX + 1, limit: QUERY_FILTERS_MAX };
    assert_eq!(asked, Err(error));
    let asked = lone.serf.query(&mut lone.core, &Question::new("q").of_tags(&tags[1..]).of_nodes(&["b"]));
    assert_eq!(asked, Err(error), "the filter of names is one");
    let large = "|x".repeat(600);
    let asked = lone.serf.query(&mut lone.core, &Question::new("q").of_tags(&[("x", &*large), ("x", "(")]));
    assert!(matches!(asked, Err(QueryError::TooLarge { .. })), "{asked:?}");
    let timeout = QUERY_TIMEOUT_MAX + Duration::from_nanos(1);
    let asked = lone.serf.query(&mut lone.core, &Question::new("q").for_at_most(timeout));
    assert_eq!(asked, Err(QueryError::TooLong { timeout, limit: QUERY_TIMEOUT_MAX }));
    assert_eq!(lone.serf.queries.patterns_usage().0, 0);
    assert_eq!(lone.serf.times().query, 1, "nothing was asked");
    assert!(lone.serf.query(&mut lone.core, &Question::new("q").for_at_most(QUERY_TIMEOUT_MAX)).is_ok());
    let tags = [("x", ""); QUERY_FILTERS_MAX];
    assert!(lone.serf.query(&mut lone.core, &Question::new("q").of_tags(&tags)).is_ok());
}

#[test]
fn usage_counts_queries_answers_and_expressions() {
    let mut lone = Lone::lan(&["b"]);
    let question = Question::new("q").of_tags(&[("x", "^$"), ("x", "")]);
    let id = lone.serf.query(&mut lone.core, &question).unwrap();
    let response = QueryResponse { ltime: id.ltime, id: id.id, from: "b", flags: 0, payload: b"12345" };
    lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::QueryResponse(response)));
    let used = |lone: &Lone| ["queries_asked", "answers_bytes", "patterns"].map(|name| lone.usage(name).0);
    assert_eq!(used(&lone), [1, 5, 2]);
    lone.serf.cancel_query(&mut lone.core, id);
    assert_eq!(used(&lone), [0, 0, 2]);
}

#[test]
fn a_query_of_a_year_can_be_answered_for_as_long_as_any() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.handle(
        &mut lone.core,
        Origin::Local,
        &encode(&Message::Query(Query { timeout: secs(86_400 * 365), ..query("q", &[]) })),
    );
    let Some(Event::Query(heard)) = lone.core.events.pop() else { panic!("it was delivered") };
    assert_eq!(heard.deadline, lone.core.now + QUERY_TIMEOUT_MAX);
}

#[test]
fn a_query_that_is_ended_makes_room_and_takes_no_more_answers() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.serf.query(&mut lone.core, &Question::new("q").for_at_most(QUERY_TIMEOUT_MAX)).unwrap();
    lone.events();
    assert!(lone.serf.cancel_query(&mut lone.core, id));
    assert_eq!(lone.events(), ["ended 0/0 false [a b]"]);
    assert!(!lone.serf.cancel_query(&mut lone.core, id));
    assert_eq!(lone.usage("queries_asked").0, 0);
    let response = QueryResponse { ltime: id.ltime, id: id.id, from: "b", flags: 0, payload: b"" };
    lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::QueryResponse(response)));
    assert_eq!((lone.events(), lone.core.stats.query_late), (vec![], 1));
}

#[test]
fn neither_acks_nor_answers_go_to_an_address_that_is_no_members() {
    let named = |addr, node| Query { source: Source { addr, node }, ..query("q", &[]) };
    let stranger: SocketAddr = "10.9.9.9:53".parse().unwrap();
    for (addr, node, sent) in [
        (addr("b"), "b", 2),
        (addr("b"), "", 2),
        (stranger, "b", 0),
        (stranger, "", 0),
        (stranger, "x", 0),
        (addr("b"), "c", 0),
        (SocketAddr::from(([10, 0, 0, b'b'], 53)), "b", 0),
    ] {
        let mut lone = Lone::lan(&["b", "c"]);
        lone.serf.handle(&mut lone.core, Origin::Packet(addr), &encode(&Message::Query(named(addr, node))));
        _ = lone.serf.respond(&mut lone.core, QueryId { ltime: 5, id: 7 }, b"x");
        assert_eq!(lone.core.unicasts.len(), sent, "{addr} {node}");
        assert_eq!(lone.dropped(DropReason::Unexpected), 2 - sent as u64);
    }
}

#[test]
fn a_claimant_of_a_name_learns_its_holder_once_and_only_if_it_asks_itself() {
    let elsewhere: SocketAddr = "10.9.9.9:7946".parse().unwrap();
    let question =
        Query { source: Source { addr: elsewhere, node: "c" }, payload: b"c", ..query("_serf_conflict", &[]) };
    for (from, answers) in [(elsewhere, 1), (addr("b"), 0)] {
        let mut lone = Lone::lan(&["b", "c"]);
        for _ in 0..2 {
            lone.serf.handle(&mut lone.core, Origin::Packet(from), &encode(&Message::Query(question)));
        }
        let sent: Vec<_> = lone.core.unicasts.iter().map(|unicast| unicast.to).collect();
        assert_eq!(sent, vec![elsewhere; answers]);
        let bytes = |unicast: &Unicast| if let Body::User(message) = &unicast.body { message.len() } else { 0 };
        assert!(lone.core.unicasts.iter().all(|unicast| bytes(unicast) < 200));
    }
}

#[test]
fn a_claimant_that_gives_its_address_in_the_form_of_version_6_learns_the_holder() {
    let (plain, mapped) = ("10.9.9.9:7946".parse().unwrap(), "[::ffff:10.9.9.9]:7946".parse().unwrap());
    let source = Source { addr: mapped, node: "c" };
    for from in [plain, mapped] {
        let mut lone = Lone::lan(&["b", "c"]);
        let question = Query { source, payload: b"c", ..query("_serf_conflict", &[]) };
        lone.serf.query_in(&mut lone.core, Origin::Packet(from), &question, &[]);
        assert_eq!(lone.core.unicasts.iter().map(|unicast| unicast.to).collect::<Vec<_>>(), [plain]);
    }
}

#[test]
fn keys_are_changed_for_members_only() {
    let mut lone = Lone::new(Options::lan());
    let key = encode(&Message::KeyRequest(crate::wire::serf::KeyRequest { key: &[7; 16] }));
    let asked = Query { payload: &key, ..query("_serf_remove-key", &[]) };
    lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::Query(asked)));
    assert_eq!(lone.core.key_requests.take_new().len(), 0, "an old packet, sent again to a node that has just started");
    lone.alive("b");
    lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::Query(Query { id: 8, ..asked })));
    assert_eq!(lone.core.key_requests.take_new().len(), 1);
}

/// Every message type that contains another message.
#[test]
fn a_codec_that_is_not_read_is_not_read_inside_of_anything() {
    use crate::CodecChoice;
    for (choice, own, other) in [
        (CodecChoice::HashiCorp, Codec::HashiCorp, Codec::Native),
        (CodecChoice::Native, Codec::Native, Codec::HashiCorp),
    ] {
        let mut lone = Lone::with(Options::lan().with(|options| options.transport.codec = choice), &["b"]);
        let join = Join { ltime: 9, node: "b" };
        lone.serf.handle(&mut lone.core, Origin::Local, &encode_in(other, &Message::Join(join)));
        assert_eq!((lone.ltime("b"), lone.dropped(DropReason::Codec)), (0, 1));
        lone.serf.handle(&mut lone.core, Origin::Local, &encode_in(own, &Message::Join(join)));
        assert_eq!(lone.ltime("b"), 9);
        let response = QueryResponse { ltime: 1, id: 1, from: "b", flags: 0, payload: b"" };
        let inner = encode_in(other, &Message::QueryResponse(response));
        let relay = crate::wire::serf::Relay { addr: addr("b"), node: "b", inner: &inner };
        lone.serf.handle(&mut lone.core, Origin::Local, &encode_in(own, &Message::Relay(relay)));
        assert_eq!((lone.core.unicasts.len(), lone.dropped(DropReason::Codec)), (0, 2));
        let key = encode_in(other, &Message::KeyRequest(crate::wire::serf::KeyRequest { key: &[7; 16] }));
        lone.serf.handle(
            &mut lone.core,
            Origin::Local,
            &encode_in(own, &Message::Query(Query { payload: &key, flags: 0, ..query("_serf_use-key", &[]) })),
        );
        assert_eq!(lone.core.key_requests.take_new().len(), 0);
        let idx = lone.idx("b");
        let coordinate = if other == Codec::Native { &[0x41_u8, 0][..] } else { &[1, 0x80] };
        lone.serf.pinged(&mut lone.core, idx, Duration::from_millis(1), coordinate);
        assert_eq!(lone.dropped(DropReason::Codec), 3);
        let requester =
            Requester { id: QueryId { ltime: 1, id: 1 }, addr: addr("b"), node: "b".into(), relay_factor: 0 };
        lone.core.unicasts.clear();
        lone.serf.answer_key(&mut lone.core, &requester, &crate::core::KeyOutcome::default());
        let Body::User(answer) = &lone.core.unicasts[0].body else { panic!("an answer") };
        assert_eq!(Codec::of(answer[0]), own);
    }
}

#[test]
fn askers_without_a_name_are_looked_for_one_at_a_time() {
    let mut lone = Lone::lan(&["b", "c"]);
    let ask = |lone: &mut Lone, id, addr| {
        let source = Source { addr, node: "" };
        lone.serf.handle(
            &mut lone.core,
            Origin::Local,
            &encode(&Message::Query(Query { id, source, ..query("q", &[]) })),
        );
        mem::take(&mut lone.core.unicasts).len()
    };
    assert_eq!([ask(&mut lone, 1, addr("b")), ask(&mut lone, 2, addr("b")), ask(&mut lone, 3, addr("c"))], [1, 1, 0]);
    lone.run(Duration::from_millis(10));
    assert_eq!(ask(&mut lone, 4, addr("c")), 1);
}

#[test]
fn an_answer_goes_over_a_bounded_number_of_others() {
    let names: Vec<String> = (0..60).map(|n| format!("m{n}")).collect();
    let mut lone = Lone::lan(&["b"]);
    for (name, n) in names.iter().zip(1..) {
        let idx = lone.core.roster.intern(name).unwrap();
        lone.core.roster.hold(idx, Holder::Swim);
        let addr = SocketAddr::from(([10, 1, 0, n], 7946));
        lone.core.roster.set_peer(idx, PeerRef { name, addr, meta: b"\xff\x80", versions: Versions::OURS });
        lone.serf.notified(&mut lone.core, Notification::Joined(idx));
    }
    for (factor, sent) in [(15, 16), (16, 17), (17, 17), (50, 17)] {
        let asked = Query { id: factor.into(), relay_factor: factor, ..query("q", &[]) };
        lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::Query(asked)));
        assert_eq!(mem::take(&mut lone.core.unicasts).len(), sent, "{factor}");
    }
}
