//! A name moves to another address only if its last holder does not answer.

use proptest::prelude::*;

use super::*;

/// A member that left, or has been dead for longer than the reclaim time, and whose name another address claims.
fn claimed(state: State) -> Lone {
    let options = Options::lan().with(|options| options.swim.dead_node_reclaim_time = secs(10));
    let mut lone = Lone::still(options, &["b", "c"]);
    lone.hear(alive("b", 5));
    match state {
        State::Left => lone.hear(dead("b", 5, "b")),
        _ => lone.hear(dead("b", 5, "c")),
    }
    lone.run(secs(10) + ms(1));
    lone.notified();
    lone.hear(moved("b", 1, elsewhere()));
    lone
}

/// Sequence number of the latest ping to the holder; `None` if there was none.
fn asked(lone: &mut Lone) -> Option<u32> {
    let sent = lone.sent();
    let mut pings = sent.iter().filter_map(|unicast| match unicast.body {
        Body::BarePing { seq, target } if unicast.to == addr("b") && target == lone.idx("b") => Some(seq),
        _ => None,
    });
    pings.next()
}

fn holder(lone: &Lone) -> SocketAddr {
    lone.core.roster.peer(lone.idx("b")).unwrap().addr()
}

#[test]
fn a_holder_that_does_not_answer_loses_its_name_after_two_probe_timeouts() {
    for state in [State::Left, State::Dead] {
        let mut lone = claimed(state);
        let seq = asked(&mut lone).expect("its holder is asked at once");
        assert_eq!((lone.state("b"), holder(&lone)), (Some(state), addr("b")));
        lone.run(ms(500));
        assert_eq!(asked(&mut lone), Some(seq), "and again");
        let purpose = ExchangePurpose::Ping { seq, target: lone.idx("b"), codec: Codec::Native };
        assert_eq!(lone.wanted(), [(addr("b"), purpose, lone.core.now + ms(500))], "and over a stream");
        lone.run(ms(499));
        assert_eq!(holder(&lone), addr("b"));
        lone.run(ms(1));
        assert_eq!((lone.state("b"), lone.incarnation("b"), holder(&lone)), (Some(State::Alive), 1, elsewhere()));
        assert_eq!((lone.notified(), lone.queued()), (vec!["joined b".to_string()], vec!["alive b@1".to_string()]));
    }
}

#[test]
fn a_holder_that_answers_keeps_its_name_and_the_claim_is_a_conflict() {
    for (state, again, stream) in [(State::Left, false, false), (State::Left, true, false), (State::Dead, true, true)] {
        let mut lone = claimed(state);
        let seq = asked(&mut lone).unwrap();
        if again {
            lone.run(ms(999));
        }
        if stream {
            lone.swim.stream_acked(&mut lone.core, seq);
        } else {
            lone.hear_from(addr("b"), ack(seq));
        }
        let sent = lone.sent();
        let is_accusation =
            |unicast: &Unicast| unicast.to == addr("b") && matches!(unicast.body, Body::Ping { accusing: true, .. });
        assert!(sent.iter().any(is_accusation), "it can refute: {sent:?}");
        let existing = Arc::clone(lone.core.roster.peer(lone.idx("b")).unwrap());
        assert!(lone.core.events.contains(&Event::NameConflict { existing, other: elsewhere() }));
        lone.run(secs(5));
        assert_eq!((lone.state("b"), holder(&lone)), (Some(state), addr("b")));
        lone.hear_from(addr("b"), alive("b", 6));
        assert_eq!((lone.state("b"), holder(&lone)), (Some(State::Alive), addr("b")), "it refutes");
    }
}

#[test]
fn a_holder_that_refutes_in_the_meantime_keeps_its_name() {
    let mut lone = claimed(State::Left);
    lone.hear(alive("b", 6));
    lone.run(secs(2));
    assert_eq!((lone.state("b"), lone.incarnation("b"), holder(&lone)), (Some(State::Alive), 6, addr("b")));
    assert_eq!(lone.dropped(DropReason::NameConflict), 1);
}

#[test]
fn of_two_takeovers_the_first_is_pending_and_its_newer_record_replaces_it() {
    let mut lone = claimed(State::Left);
    lone.hear(moved("b", 9, addr("z")));
    let tagged = PeerRef { meta: b"\xff\x81\xa1k\xa1v", addr: elsewhere(), ..announcement("b") };
    lone.hear(Message::Alive(Alive { incarnation: 6, peer: tagged }));
    lone.hear(moved("b", 2, elsewhere()));
    lone.run(secs(1));
    assert_eq!((lone.incarnation("b"), holder(&lone)), (6, elsewhere()));
    assert_eq!(lone.core.roster.peer(lone.idx("b")).unwrap().meta(), tagged.meta);
}

#[test]
fn the_first_of_two_claims_at_one_incarnation_counts_and_the_other_is_a_repeat() {
    let mut lone = claimed(State::Left);
    let repeats = lone.core.stats.repeats_in;
    let peer = PeerRef { addr: elsewhere(), meta: b"other", ..announcement("b") };
    lone.hear(Message::Alive(Alive { incarnation: 1, peer }));
    assert_eq!(lone.core.stats.repeats_in, repeats + 1);
    lone.run(secs(1));
    assert_eq!(lone.core.roster.peer(lone.idx("b")).unwrap().meta(), NO_TAGS);
}

#[test]
fn a_claim_at_incarnation_zero_asks_nobody() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(dead("b", 1, "b"));
    lone.hear(moved("b", 0, elsewhere()));
    assert_eq!((asked(&mut lone), lone.swim.takeovers.len()), (None, 0));
}

#[test]
fn a_claim_ends_with_the_member_whose_name_it_claims() {
    let mut lone = claimed(State::Left);
    lone.core.roster.hold(lone.idx("b"), Holder::Serf);
    lone.core.roster.use_all();
    let bytes = lone.core.roster.cost_of(announcement("b"));
    let keep = lone.idx("c");
    assert!(lone.swim.make_room(&mut lone.core, bytes, Some(keep)));
    assert_eq!((lone.state("b"), lone.state("c")), (None, Some(State::Alive)));
    assert_eq!(lone.swim.takeovers.len(), 0);
}

#[test]
fn no_more_claims_than_the_bound_wait_at_a_time() {
    let names: Vec<String> = (0..65).map(|number| format!("m{number}")).collect();
    let mut lone = Lone::lan(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        lone.hear(dead(name, 1, name));
        lone.hear(moved(name, 1, elsewhere()));
    }
    assert_eq!((lone.swim.takeovers.len(), lone.dropped(DropReason::Limit)), (64, 1));
    lone.run(secs(1));
    lone.hear(moved("m64", 1, elsewhere()));
    assert_eq!((lone.swim.takeovers.len(), lone.dropped(DropReason::Limit)), (1, 1), "there is room again");
}

#[test]
fn a_name_is_not_forgotten_while_its_holder_is_asked() {
    let mut lone = claimed(State::Left);
    while !lone.packet().is_empty() {}
    lone.core.now = lone.core.now + secs(60);
    lone.swim.reap(&mut lone.core);
    assert_eq!(lone.state("b"), Some(State::Left));
}

#[test]
fn the_holder_of_a_name_that_only_the_layer_above_remembers_is_asked_too() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.core.roster.hold(lone.idx("b"), Holder::Serf);
    lone.hear(dead("b", 1, "b"));
    while !lone.packet().is_empty() {}
    lone.core.now = lone.core.now + secs(60);
    lone.swim.reap(&mut lone.core);
    assert_eq!(lone.state("b"), None);
    lone.notified();
    lone.hear(moved("b", 1, elsewhere()));
    assert!(asked(&mut lone).is_some());
    assert_eq!((lone.state("b"), holder(&lone)), (None, addr("b")));
    lone.run(secs(1));
    assert_eq!((lone.notified(), holder(&lone)), (vec!["joined b".to_string()], elsewhere()), "nobody answers");
}

#[test]
fn a_dead_members_name_cannot_be_claimed_before_the_reclaim_time() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(dead("b", 1, "c"));
    lone.run(secs(3600));
    lone.hear(moved("b", 9, elsewhere()));
    assert_eq!((lone.sent(), lone.dropped(DropReason::NameConflict)), (vec![], 1));
    let options = Options::lan().with(|options| options.swim.dead_node_reclaim_time = secs(10));
    let mut lone = Lone::still(options, &["b"]);
    lone.hear(dead("b", 1, "c"));
    lone.run(secs(10));
    lone.hear(moved("b", 9, elsewhere()));
    assert_eq!((lone.sent(), lone.dropped(DropReason::NameConflict)), (vec![], 1), "older than the time, not as old");
}

/// Forged claims about `b`, whose holder acks every ping.
#[derive(Clone, Copy, Debug)]
enum Forged {
    OwnLeave(u32),
    Dead(u32),
    Claim(u32),
    ClaimInState(u8, u32),
    Wait(u64),
}

fn forged() -> impl Strategy<Value = Forged> {
    let number = 1_u32..8;
    prop_oneof![
        number.clone().prop_map(Forged::OwnLeave),
        number.clone().prop_map(Forged::Dead),
        number.clone().prop_map(Forged::Claim),
        (0_u8..4, number).prop_map(|(state, number)| Forged::ClaimInState(state, number)),
        prop_oneof![0_u64..700, Just(5000), Just(11_000)].prop_map(Forged::Wait),
    ]
}

proptest! {
    #[test]
    fn no_forged_message_moves_the_name_of_a_node_that_answers(
        script in prop::collection::vec(forged(), 1..40),
    ) {
        let options = Options::lan().with(|options| {
            options.swim.dead_node_reclaim_time = secs(10);
            options.swim.gossip_to_the_dead_time = secs(3600);
        });
        let mut lone = Lone::still(options, &["b", "c"]);
        for act in script {
            match act {
                Forged::OwnLeave(incarnation) => lone.hear(dead("b", incarnation, "b")),
                Forged::Dead(incarnation) => lone.hear(dead("b", incarnation, "c")),
                Forged::Claim(incarnation) => lone.hear(moved("b", incarnation, elsewhere())),
                Forged::ClaimInState(state, incarnation) => {
                    let mut body = vec![];
                    native::begin_push_pull(&mut body, true, 1);
                    let peer = PeerRef { addr: elsewhere(), ..announcement("b") };
                    let record = native::encode_record(peer);
                    native::push_state(&mut body, State::from_u8(state).unwrap(), incarnation, &record);
                    lone.swim.merge(&mut lone.core, Origin::Local, &PushPull::parse(Codec::Native, &body).unwrap()).unwrap();
                }
                Forged::Wait(millis) => lone.run(ms(millis)),
            }
            while let Some(seq) = asked(&mut lone) {
                lone.hear_from(addr("b"), ack(seq));
            }
            prop_assert_eq!(holder(&lone), addr("b"));
        }
    }
}
