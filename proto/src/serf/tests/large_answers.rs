//! Answers that exceed a packet: offered by the responder, fetched by the requester.

use super::queries::{ID, query};
use super::*;
use crate::core::Dial;
use crate::limits::{ANSWERS_BYTES_MAX, QUERY_ANSWERS_BYTES_MAX};
use crate::limits::{
    ANSWERS_HELD_BYTES_MAX, ANSWERS_HELD_FOR_ONE_BYTES_MAX, FETCH_PAUSE, FETCH_TRIES_MAX, FETCHES_MAX,
    FETCHES_PER_QUERY_MAX,
};
use crate::types::QueryId;
use crate::wire::serf::{Query, QueryResponse, Source};

/// The default limit of a large answer.
const LARGE: usize = 64 * 1024;

impl Lone {
    fn hear_offer(&mut self, to: QueryId, from: &str) {
        self.hear_answer(to, from, QueryResponse::FLAG_OFFER, b"");
    }

    /// The fetches that were started since the last call: number, and the letter of the address.
    fn fetches(&mut self) -> Vec<(u32, String)> {
        let dials = mem::take(&mut self.core.dials).into_iter().map(|Dial { to, purpose, .. }| {
            let ExchangePurpose::Fetch { number, bytes_max } = purpose else { panic!("{purpose:?}") };
            assert_eq!(bytes_max as usize, LARGE);
            let SocketAddr::V4(to) = to else { panic!("{to}") };
            (number, char::from(to.ip().octets()[3]).to_string())
        });
        dials.collect()
    }

    fn fetched(&mut self, number: u32, payload: &[u8]) {
        self.serf.fetched(&mut self.core, number, payload);
    }

    fn failed(&mut self, number: u32) {
        self.serf.fetch_failed(&mut self.core, number);
    }

    fn offered(&mut self, query: QueryId) -> Option<usize> {
        self.serf.offered(&self.core, query, addr("b").ip()).map(|payload| payload.len())
    }
}

/// Members `b` to `z`, and `A` to `Z`.
fn many() -> Vec<String> {
    (b'b'..=b'z').chain(b'A'..=b'Z').map(|letter| char::from(letter).to_string()).collect()
}

fn lan_of_many() -> Lone {
    let names = many();
    Lone::lan(&names.iter().map(|name| &**name).collect::<Vec<_>>())
}

#[test]
fn a_large_answer_is_offered_to_a_native_requester_and_held_until_the_deadline() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.hear_query(&Query { relay_factor: 1, ..query("dump", &[]) });
    assert_eq!(lone.serf.answer_bytes_max(&lone.core, ID), Some(LARGE));
    let refused = lone.respond(ID, &vec![1; LARGE + 1]);
    assert_eq!(refused, Err(RespondError::TooLarge { bytes: LARGE + 1, limit: LARGE }));
    assert_eq!(lone.unicasts(), [""; 0], "a refused response sends nothing");
    assert_eq!(lone.respond(ID, &vec![1; LARGE]), Ok(()));
    let sent = lone.unicasts();
    assert_eq!((sent.len(), &*sent[0]), (2, "b offer"), "the offer is relayed as any response: {sent:?}");
    assert_eq!(lone.respond(ID, b"again"), Err(RespondError::Answered));
    assert_eq!(lone.serf.answer_bytes_max(&lone.core, ID), None);
    assert_eq!(lone.offered(ID), Some(LARGE));
    assert_eq!(lone.offered(ID), Some(LARGE), "a stream may break");
    assert_eq!(lone.offered(QueryId { id: 8, ..ID }), None);
    lone.run(secs(3));
    assert_eq!((lone.offered(ID), lone.serf.queries.held_bytes()), (None, 0), "no memory is used after the deadline");
}

#[test]
fn a_query_is_over_at_its_deadline_itself() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_query(&query("dump", &[]));
    lone.hear_query(&Query { id: 8, ..query("dump", &[]) });
    assert_eq!(lone.respond(ID, &[1; LARGE]), Ok(()));
    // The timer that frees the answer is due, too, but an input may precede it.
    let begun = lone.core.now;
    for (after, open) in [(secs(3) - Duration::from_nanos(1), true), (secs(3), false)] {
        lone.core.now = begun + after;
        assert_eq!(lone.offered(ID).is_some(), open);
        assert_eq!(lone.serf.answer_bytes_max(&lone.core, QueryId { id: 8, ..ID }).is_some(), open);
    }
    lone.hear_query(&Query { id: 9, ..query("dump", &[]) });
    assert_eq!(lone.serf.queries.open(), 1, "the next query takes the place of both");
}

#[test]
fn an_answer_that_fits_into_a_packet_is_sent_as_before() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_query(&query("uptime", &[]));
    assert_eq!(lone.respond(ID, &[b'x'; 986]), Ok(()));
    assert_eq!(lone.unicasts(), [format!("b answer {}", "x".repeat(986))]);
    lone.hear_query(&Query { id: 8, ..query("uptime", &[]) });
    assert_eq!(lone.respond(QueryId { id: 8, ..ID }, &[b'x'; 987]), Ok(()));
    assert_eq!(lone.unicasts(), ["b offer"]);
}

#[test]
fn a_large_answer_is_refused_for_hashicorps_strangers_forged_sources_and_if_it_is_off() {
    let small = |bytes| Err(RespondError::TooLarge { bytes, limit: 1024 });
    let respond = |lone: &mut Lone, query: &Query<'_>| {
        lone.hear_query(query);
        let bytes = lone.serf.answer_bytes_max(&lone.core, ID).unwrap();
        assert_eq!(bytes, 986, "the largest payload of a packet");
        lone.respond(ID, &[0; 2000])
    };
    let bytes = 2000 + 38;
    let mut lone = Lone::lan(&["c"]);
    lone.alive_with("b", Versions::HASHICORP);
    assert_eq!(respond(&mut lone, &query("dump", &[])), small(bytes), "HashiCorp's node");
    let mut lone = Lone::lan(&["c"]);
    assert_eq!(respond(&mut lone, &query("dump", &[])), small(bytes), "no member");
    for source in [Source { addr: addr("c"), node: "b" }, Source { addr: addr("b"), node: "" }] {
        let mut lone = Lone::lan(&["b", "c"]);
        assert_eq!(respond(&mut lone, &Query { source, ..query("dump", &[]) }), small(bytes), "{source:?}");
    }
    let mut lone = Lone::lan(&["b"]);
    lone.gone("b");
    assert_eq!(respond(&mut lone, &query("dump", &[])), small(bytes), "a failed member");
    for options in [
        Options::lan().with(|options| options.serf.query_answer_bytes_max = 0),
        Options::lan().with(|options| options.transport.codec = crate::CodecChoice::HashiCorp),
    ] {
        let mut lone = Lone::with(options, &["b"]);
        lone.serf.query_in(&mut lone.core, Origin::Local, &query("dump", &[]), &[]);
        assert_eq!(lone.respond(ID, &[0; 2000]), small(bytes));
    }
}

#[test]
fn a_nodes_own_query_gets_its_large_answer_without_a_stream_unless_it_speaks_hashicorps_codec_only() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.ask(&Question::new("dump"));
    lone.events();
    assert_eq!(lone.respond(id, &[b'x'; 2000]), Ok(()));
    assert_eq!(lone.events(), [format!("answer a {}", "x".repeat(2000))]);
    assert_eq!((lone.unicasts(), lone.fetches()), (vec![], vec![]));
    let theirs = Options::lan().with(|options| options.transport.codec = crate::CodecChoice::HashiCorp);
    let mut lone = Lone::with(theirs, &["b"]);
    let id = lone.ask(&Question::new("dump"));
    assert!(matches!(lone.respond(id, &[b'x'; 2000]), Err(RespondError::TooLarge { limit: 1024, .. })));
}

#[test]
fn held_answers_are_bounded_in_bytes_and_those_that_were_fetched_give_way() {
    let members = ["b", "c", "d", "e", "f"];
    let mut lone = Lone::lan(&members);
    let source = |id: u32| {
        let node = members[id as usize % members.len()];
        Source { addr: addr(node), node }
    };
    let ids = (0..=u32::try_from(ANSWERS_HELD_BYTES_MAX / LARGE).unwrap()).map(|id| QueryId { ltime: 5, id });
    let ids: Vec<QueryId> = ids.collect();
    let (last, first) = ids.split_last().unwrap();
    for id in &ids {
        let source = source(id.id);
        lone.hear_query(&Query { id: id.id, ltime: 5 + u64::from(id.id), source, ..query("dump", &[]) });
    }
    let at = |id: &QueryId| QueryId { ltime: 5 + u64::from(id.id), ..*id };
    for id in first {
        assert_eq!(lone.respond(at(id), &[0; LARGE]), Ok(()));
    }
    let full = RespondError::Full { bytes: LARGE, limit: ANSWERS_HELD_BYTES_MAX };
    assert_eq!(lone.respond(at(last), &[0; LARGE]), Err(full));
    assert!(lone.offered(at(&first[4])).is_some());
    assert_eq!(lone.respond(at(last), &[0; LARGE]), Err(full), "a third member's fetch does not count");
    assert!(lone.offered(at(&first[5])).is_some());
    assert_eq!(lone.respond(at(last), &[0; LARGE]), Ok(()), "a refused response may be tried again");
    assert_eq!(lone.serf.queries.held_bytes(), ANSWERS_HELD_BYTES_MAX);
    assert!(lone.offered(at(&first[5])).is_none() && lone.offered(at(&first[10])).is_some());
}

#[test]
fn of_fetched_answers_only_as_many_are_forgotten_as_there_must_be() {
    let mut lone = Lone::lan(&["b", "c", "d", "e", "f"]);
    let id = |n: u32| QueryId { ltime: 5 + u64::from(n), id: n };
    let respond = |lone: &mut Lone, n: u32, node, bytes| {
        let QueryId { ltime, id } = id(n);
        lone.hear_query(&Query { ltime, id, source: Source { addr: addr(node), node }, ..query("dump", &[]) });
        assert_eq!(lone.respond(QueryId { ltime, id }, &vec![0; bytes]), Ok(()));
    };
    // The first three are fetched, and before the last of the others the memory is not full.
    let others = u32::try_from(ANSWERS_HELD_BYTES_MAX / LARGE).unwrap() - 2;
    for (n, bytes) in [(0, LARGE / 2), (1, LARGE / 2), (2, LARGE)] {
        respond(&mut lone, n, "b", bytes);
        assert_eq!(lone.offered(id(n)), Some(bytes));
    }
    for n in 3..3 + others {
        respond(&mut lone, n, ["c", "d", "e", "f"][n as usize % 4], LARGE);
    }
    assert_eq!(lone.serf.queries.held_bytes(), ANSWERS_HELD_BYTES_MAX, "all fit");
    respond(&mut lone, 100, "b", LARGE);
    assert_eq!([0, 1, 2].map(|n| lone.offered(id(n))), [None, None, Some(LARGE)], "the oldest, until there is room");
    assert_eq!(lone.serf.queries.held_bytes(), ANSWERS_HELD_BYTES_MAX);
}

#[test]
fn a_requester_that_fetches_nothing_leaves_room_for_others() {
    let mut lone = Lone::lan(&["b", "c"]);
    let share = u32::try_from(ANSWERS_HELD_FOR_ONE_BYTES_MAX / LARGE).unwrap();
    let respond = |lone: &mut Lone, id: u32, node| {
        lone.hear_query(&Query { id, source: Source { addr: addr(node), node }, ..query("dump", &[]) });
        lone.respond(QueryId { id, ..ID }, &[0; LARGE])
    };
    for id in 100..100 + share {
        assert_eq!(respond(&mut lone, id, "b"), Ok(()));
    }
    let full = RespondError::Full { bytes: LARGE, limit: ANSWERS_HELD_FOR_ONE_BYTES_MAX };
    assert_eq!(respond(&mut lone, 98, "b"), Err(full));
    assert_eq!(respond(&mut lone, 99, "c"), Ok(()));
}

#[test]
fn an_offer_is_fetched_once_from_the_address_of_the_members_row_and_delivered() {
    let mut lone = Lone::lan(&["b", "c"]);
    let id = lone.ask(&Question::new("dump").with_acks());
    lone.events();
    lone.hear_offer(id, "b");
    assert_eq!(lone.events(), ["ack b"], "an offer implies the ack");
    lone.hear_offer(id, "b");
    let fetches = lone.fetches();
    assert_eq!(fetches.iter().map(|(_, to)| &**to).collect::<Vec<_>>(), ["b"]);
    assert_eq!(lone.serf.fetched_query(fetches[0].0), Some(id));
    lone.fetched(fetches[0].0, b"large");
    assert_eq!(lone.events(), ["answer b large"]);
    lone.fetched(fetches[0].0, b"large");
    lone.hear_offer(id, "b");
    lone.hear_answer(id, "b", 0, b"small");
    assert_eq!((lone.events(), lone.fetches()), (vec![], vec![]), "each member answers once");
    let stats = &lone.core.stats;
    assert_eq!((stats.query_offers, stats.query_fetches, stats.query_responses), (1, 1, 1));
    assert_eq!((stats.query_acks, stats.query_duplicate_responses), (2, 3), "with our own ack");
    lone.hear_answer(id, "c", 0, b"x");
    lone.respond(id, b"x").unwrap();
    assert_eq!(lone.events(), ["ack c", "answer c x", "answer a x", "ended 3/3 true []"]);
}

#[test]
fn offers_of_strangers_for_other_queries_and_to_internal_ones_open_no_stream() {
    let mut lone = Lone::lan(&["b"]);
    lone.alive_with("h", Versions::HASHICORP);
    let id = lone.ask(&Question::new("dump"));
    for from in ["a", "h", "x"] {
        lone.hear_offer(id, from);
    }
    assert_eq!((lone.fetches(), lone.dropped(DropReason::Unexpected)), (vec![], 3));
    lone.hear_offer(QueryId { ltime: 5, id: 9 }, "b");
    assert_eq!((lone.fetches(), lone.dropped(DropReason::Unexpected)), (vec![], 4), "such a query was never sent");
    let keys = lone.serf.ask_keys(&mut lone.core, crate::KeyOperation::List, b"", 0).unwrap();
    lone.hear_offer(keys, "b");
    assert_eq!((lone.fetches(), lone.dropped(DropReason::Unexpected)), (vec![], 5), "keys fit into a packet");
    lone.serf.cancel_query(&mut lone.core, id);
    lone.hear_offer(id, "b");
    assert_eq!((lone.fetches(), lone.core.stats.query_late), (vec![], 1), "an honest member may be late");
    assert_eq!(lone.dropped(DropReason::Unexpected), 5);
}

#[test]
fn a_node_whose_limit_is_zero_fetches_nothing() {
    let mut lone = Lone::with(Options::lan().with(|options| options.serf.query_answer_bytes_max = 0), &["b"]);
    let id = lone.ask(&Question::new("dump"));
    lone.hear_offer(id, "b");
    assert_eq!((lone.fetches(), lone.dropped(DropReason::Limit)), (vec![], 1));
}

#[test]
fn fetches_are_bounded_for_a_query_and_in_all_and_the_others_wait_their_turn() {
    let mut lone = lan_of_many();
    let [first, second, third] = ["1", "2", "3"].map(|name| lone.ask(&Question::new(name)));
    for id in [first, second, third] {
        many().iter().for_each(|from| lone.hear_offer(id, from));
    }
    let running = lone.fetches();
    assert_eq!(running.len(), FETCHES_MAX);
    let of =
        |lone: &Lone, id| running.iter().filter(|(number, _)| lone.serf.fetched_query(*number) == Some(id)).count();
    assert_eq!([first, second, third].map(|id| of(&lone, id)), [FETCHES_PER_QUERY_MAX, FETCHES_PER_QUERY_MAX, 0]);
    lone.fetched(running[0].0, b"x");
    let next = lone.fetches();
    assert_eq!(next.len(), 1);
    assert_eq!(lone.serf.fetched_query(next[0].0), Some(third), "the query with the fewest fetches goes next");
    // All of them are fetched in the end, each once.
    let mut running: Vec<u32> = running[1..].iter().chain(&next).map(|(number, _)| *number).collect();
    while let Some(number) = running.pop() {
        lone.fetched(number, b"x");
        running.extend(lone.fetches().iter().map(|(number, _)| *number));
    }
    assert_eq!(lone.core.stats.query_fetches, 3 * many().len() as u64);
}

#[test]
fn a_fetch_that_fails_is_tried_after_pauses_that_double_and_then_the_member_is_silent() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.ask(&Question::new("dump").for_at_most(secs(3600)));
    lone.events();
    lone.hear_offer(id, "b");
    let mut pause = FETCH_PAUSE;
    for nth in 1..=FETCH_TRIES_MAX {
        let fetches = lone.fetches();
        assert_eq!(fetches.len(), 1, "try {nth}");
        lone.failed(fetches[0].0);
        lone.run(pause - Duration::from_millis(1));
        assert_eq!(lone.fetches(), [], "pause {nth}");
        lone.run(Duration::from_millis(1));
        pause *= 2;
    }
    lone.hear_offer(id, "b");
    assert_eq!((lone.fetches(), lone.core.stats.query_fetches_failed), (vec![], 1));
    lone.respond(id, b"x").unwrap();
    lone.run(secs(3600));
    assert_eq!(lone.events(), ["answer a x", "ended 0/1 false [b]"]);
}

#[test]
fn a_fetch_is_not_tried_again_at_the_deadline() {
    for (more, is_tried) in [(Duration::ZERO, false), (Duration::from_nanos(1), true)] {
        let mut lone = Lone::lan(&["b"]);
        let id = lone.ask(&Question::new("dump").for_at_most(FETCH_PAUSE + more));
        lone.hear_offer(id, "b");
        let number = lone.fetches()[0].0;
        lone.failed(number);
        assert_eq!(lone.core.stats.query_fetches_failed, u64::from(!is_tried));
        lone.run(FETCH_PAUSE);
        assert_eq!(lone.fetches().len(), usize::from(is_tried));
    }
}

#[test]
fn an_answer_fetched_at_the_deadline_is_in_time_and_one_after_it_is_late() {
    for (more, late) in [(Duration::ZERO, 0), (Duration::from_nanos(1), 1)] {
        let mut lone = Lone::lan(&["b"]);
        let id = lone.ask(&Question::new("dump").for_at_most(secs(4)));
        lone.events();
        lone.hear_offer(id, "b");
        let number = lone.fetches()[0].0;
        // As a stream's last bytes that precede the timer.
        lone.core.now = lone.core.now + secs(4) + more;
        lone.fetched(number, b"x");
        assert_eq!((lone.events().len(), lone.core.stats.query_late), (1 - late, late as u64));
    }
}

#[test]
fn a_small_answer_makes_an_offer_of_the_same_member_a_duplicate() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.ask(&Question::new("dump"));
    lone.hear_answer(id, "b", 0, b"small");
    lone.hear_offer(id, "b");
    assert_eq!((lone.fetches(), lone.core.stats.query_duplicate_responses), (vec![], 1));
}

#[test]
fn offers_that_wait_for_their_turn_arm_no_timer() {
    let mut lone = lan_of_many();
    let id = lone.ask(&Question::new("dump").for_at_most(secs(4)));
    let deadline = lone.core.now + secs(4);
    many().iter().for_each(|from| lone.hear_offer(id, from));
    lone.serf.hold_answers(&mut lone.core, id, false);
    assert_eq!(lone.core.timers.next(), Some(deadline));
    let number = lone.fetches()[0].0;
    lone.failed(number);
    assert_eq!(lone.core.timers.next(), Some(lone.core.now + FETCH_PAUSE));
    lone.serf.hold_answers(&mut lone.core, id, true);
    assert_eq!(lone.core.timers.next(), Some(deadline), "nor a failed one, while the application is behind");
}

#[test]
fn an_offer_whose_member_has_failed_meanwhile_is_a_failed_fetch() {
    let mut lone = lan_of_many();
    let id = lone.ask(&Question::new("dump"));
    many().iter().for_each(|from| lone.hear_offer(id, from));
    let running = lone.fetches();
    lone.gone(&many()[FETCHES_PER_QUERY_MAX]);
    lone.fetched(running[0].0, b"x");
    let next: Vec<_> = lone.fetches().into_iter().map(|(_, to)| to).collect();
    assert_eq!((next, lone.core.stats.query_fetches_failed), (vec![many()[FETCHES_PER_QUERY_MAX + 1].clone()], 1));
}

#[test]
fn a_member_that_is_forgotten_takes_its_offers_along() {
    let mut lone = lan_of_many();
    let id = lone.ask(&Question::new("dump"));
    lone.events();
    many().iter().for_each(|from| lone.hear_offer(id, from));
    let running = lone.fetches();
    let waits = many().into_iter().rfind(|name| running.iter().all(|(_, to)| to != name)).unwrap();
    for name in [&running[0].1, &waits] {
        let idx = lone.core.roster.find(name).unwrap();
        lone.serf.evicted(&mut lone.core, idx);
    }
    assert_eq!(lone.core.abandoned, [running[0].0], "its stream is closed");
    let mut running: Vec<u32> = running[1..].iter().map(|(number, _)| *number).collect();
    let freed = lone.fetches();
    assert_eq!(freed.len(), 1, "its place is taken");
    running.extend(freed.iter().map(|(number, _)| *number));
    while let Some(number) = running.pop() {
        lone.fetched(number, b"x");
        running.extend(lone.fetches().iter().map(|(number, _)| *number));
    }
    assert_eq!(lone.core.stats.query_fetches, many().len() as u64 - 2);
}

#[test]
fn a_fetch_takes_half_of_the_time_that_is_left_at_most() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.ask(&Question::new("dump").for_at_most(secs(4)));
    lone.hear_offer(id, "b");
    let until: Vec<_> = lone.core.dials.iter().map(|dial| dial.until - lone.core.now).collect();
    assert_eq!(until, [secs(2)]);
}

#[test]
fn held_queries_start_no_fetches_until_they_are_released() {
    let mut lone = lan_of_many();
    let id = lone.ask(&Question::new("dump"));
    assert!(lone.serf.hold_answers(&mut lone.core, id, true));
    many().iter().for_each(|from| lone.hear_offer(id, from));
    assert_eq!(lone.fetches(), []);
    lone.hear_answer(id, "b", 0, b"small");
    assert_eq!(lone.core.stats.query_responses, 1, "what fits into a packet still arrives");
    lone.serf.hold_answers(&mut lone.core, id, false);
    assert_eq!(lone.fetches().len(), FETCHES_PER_QUERY_MAX);
    assert!(!lone.serf.hold_answers(&mut lone.core, QueryId { id: 9, ..id }, true));
}

#[test]
fn a_query_ends_while_its_answers_are_fetched_and_leaves_nothing_behind() {
    let mut lone = lan_of_many();
    let id = lone.ask(&Question::new("dump"));
    many().iter().for_each(|from| lone.hear_offer(id, from));
    let running = lone.fetches();
    lone.serf.cancel_query(&mut lone.core, id);
    lone.events();
    for (number, _) in &running[1..] {
        lone.fetched(*number, b"late");
    }
    lone.failed(running[0].0);
    assert_eq!((lone.events(), lone.fetches()), (vec![], vec![]));
    assert_eq!(lone.core.abandoned.len(), FETCHES_PER_QUERY_MAX, "their streams are closed");
    assert_eq!(lone.serf.fetched_query(running[0].0), None);
}

#[test]
fn the_answers_of_a_query_and_of_all_are_bounded_in_bytes() {
    let mut lone = lan_of_many();
    let (first, second, third) =
        (lone.ask(&Question::new("1")), lone.ask(&Question::new("2")), lone.ask(&Question::new("3")));
    let fill = |lone: &mut Lone, id: QueryId, bytes: usize| {
        lone.serf.queries.pretend_answers(id, bytes);
    };
    fill(&mut lone, first, QUERY_ANSWERS_BYTES_MAX - 1);
    lone.hear_offer(first, "b");
    assert_eq!((lone.fetches(), lone.dropped(DropReason::Limit)), (vec![], 1));
    lone.hear_answer(first, "b", 0, b"xx");
    assert_eq!(lone.dropped(DropReason::Limit), 2, "the bound holds for small answers, too");
    lone.hear_answer(first, "b", 0, b"x");
    assert_eq!(lone.core.stats.query_responses, 1);
    fill(&mut lone, second, ANSWERS_BYTES_MAX - QUERY_ANSWERS_BYTES_MAX - LARGE + 1);
    lone.hear_offer(third, "b");
    assert_eq!((lone.fetches(), lone.dropped(DropReason::Limit)), (vec![], 3));
    lone.serf.cancel_query(&mut lone.core, first);
    lone.hear_offer(third, "b");
    assert_eq!(lone.fetches().len(), 1, "an ended query makes room");
}

#[test]
fn an_answer_above_our_own_limit_is_dropped_however_it_was_fetched() {
    let mut lone = Lone::lan(&["b"]);
    let id = lone.ask(&Question::new("dump"));
    lone.events();
    lone.hear_offer(id, "b");
    let number = lone.fetches()[0].0;
    lone.fetched(number, &vec![0; LARGE + 1]);
    assert_eq!((lone.events(), lone.dropped(DropReason::Limit)), (vec![], 1));
    assert_eq!(lone.core.stats.query_fetches_failed, 1);
}
