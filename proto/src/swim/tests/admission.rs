//! Which members have answered, and which go when the memory for members is used up.

use super::*;
use crate::wire::swim::{Ping, Source};

/// Knows `others`, of which `answered` have answered, and has no memory left for a member.
fn full(others: &[&str], answered: &[&str]) -> Lone {
    let mut lone = Lone::lan(others);
    for name in others {
        lone.core.roster.hold(lone.idx(name), Holder::Serf);
    }
    for name in answered {
        let idx = lone.idx(name);
        lone.swim.admission.note_ack(idx);
    }
    lone.core.roster.use_all();
    lone
}

/// Makes room for about one more member.
fn make_room(lone: &mut Lone) -> bool {
    let bytes = lone.core.roster.cost_of(announcement("b"));
    lone.swim.make_room(&mut lone.core, bytes, None)
}

#[test]
fn a_member_that_was_forgotten_has_not_answered_and_the_others_have() {
    let names: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    let mut lone = Lone::lan(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let all: Vec<MemberIdx> = names.iter().map(|name| lone.idx(name)).collect();
    all.iter().for_each(|&idx| lone.swim.admission.note_ack(idx));
    for gone in [0, 63, 64, 127, 199] {
        lone.swim.admission.forget_ack(all[gone]);
        let silent: Vec<_> = (0..200).filter(|&at| !lone.swim.admission.has_answered(all[at])).collect();
        assert_eq!(silent, [gone]);
        lone.swim.admission.note_ack(all[gone]);
    }
}

#[test]
fn a_live_member_that_has_answered_makes_room_for_nobody() {
    let mut lone = full(&["b", "c", "d"], &["b", "c", "d"]);
    assert!(!make_room(&mut lone));
    assert_eq!(["b", "c", "d"].map(|name| lone.state(name)), [Some(State::Alive); 3]);
}

#[test]
fn this_node_makes_room_for_nobody() {
    let mut lone = full(&["b"], &["b"]);
    let me = lone.swim.me();
    lone.core.roster.hold(me, Holder::Serf);
    assert!(!make_room(&mut lone));
    assert_eq!(lone.state("a"), Some(State::Alive));
}

#[test]
fn newcomers_of_packets_have_half_of_the_places_and_free_them_when_the_wait_is_over() {
    let mut lone = full(&["b"], &["b"]);
    let pinged = |lone: &mut Lone, letter: char| {
        (0..40).for_each(|number| lone.hear(alive(&format!("{letter}{number}"), 1)));
        lone.sent().len()
    };
    let places = pinged(&mut lone, 'm');
    assert!((1..40).contains(&places), "{places}");
    lone.core.now = lone.core.now + ms(499);
    assert_eq!(pinged(&mut lone, 'n'), 0);
    lone.core.now = lone.core.now + ms(1);
    assert_eq!(pinged(&mut lone, 'o'), places);
}

#[test]
fn a_dead_member_that_has_answered_makes_room_if_there_is_no_other() {
    let mut lone = full(&["b", "c"], &["b", "c"]);
    lone.hear(dead("b", 1, "c"));
    while !lone.packet().is_empty() {}
    assert!(make_room(&mut lone));
    assert_eq!((lone.state("b"), lone.state("c")), (None, Some(State::Alive)));
}

#[test]
fn a_member_that_never_answered_goes_before_the_dead_that_have() {
    for seed in 0..20 {
        let mut lone = full(&["b", "c"], &["b"]);
        lone.hear(dead("b", 1, "c"));
        while !lone.packet().is_empty() {}
        (0..seed).for_each(|_| _ = lone.core.rng.gossip.next_u32());
        assert!(make_room(&mut lone));
        assert_eq!((lone.state("b"), lone.state("c")), (Some(State::Dead), None));
    }
}

#[test]
fn a_newcomer_that_answers_when_the_wait_is_over_is_not_admitted() {
    for (wait, state) in [(ms(499), Some(State::Alive)), (ms(500), None)] {
        let mut lone = full(&["b", "c"], &["c"]);
        lone.hear(alive("d", 1));
        let Some(Body::NewcomerPing { seq, .. }) = lone.sent().pop().map(|unicast| unicast.body) else {
            panic!("no ping")
        };
        lone.core.now = lone.core.now + wait;
        lone.hear_from(addr("d"), ack(seq));
        assert_eq!(lone.state("d"), state, "{wait:?}");
    }
}

#[test]
fn the_sender_of_a_ping_is_a_member_only_if_it_comes_from_the_members_address() {
    let mut lone = Lone::lan(&["b"]);
    let other_port = SocketAddr::new(addr("b").ip(), 1);
    for (from, source, sender) in [
        (addr("b"), Some(Source { addr: addr("b"), node: "b" }), Some(lone.idx("b"))),
        (other_port, Some(Source { addr: addr("b"), node: "b" }), None),
        (addr("x"), Some(Source { addr: addr("x"), node: "x" }), None),
    ] {
        let ping = Ping { seq: 1, node: "a", source };
        assert_eq!(lone.swim.answer_ping(&mut lone.core, &mut Heard::new(from, 100), &ping), sender, "{from}");
    }
}
