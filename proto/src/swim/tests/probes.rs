use super::*;

const FIVE: [&str; 5] = ["b", "c", "d", "e", "f"];

/// A probe that has just begun, without other activity.
fn probed(options: Options, others: &[&str]) -> (Lone, String, u32) {
    let mut lone = Lone::probing(options, others);
    let (target, seq) = lone.next_probe();
    lone.wanted();
    (lone, target, seq)
}

fn versions_until(protocol_max: u8) -> Versions {
    Versions::from_bytes([1, protocol_max, 2, 2, 5, 5])
}

#[test]
fn an_ack_in_time_ends_the_probe_and_makes_us_better() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    lone.swim.awareness.apply(2);
    lone.hear_from(addr(&target), ack(seq));
    assert_eq!(lone.score(), 1);
    lone.run(ms(999));
    assert_eq!(lone.sent(), [], "nobody is asked for help, and the next probe is not due");
    assert_eq!(lone.state(&target), Some(State::Alive));
}

#[test]
fn an_unexpected_ack_changes_nothing() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    lone.swim.awareness.apply(2);
    lone.hear(ack(seq.wrapping_add(1)));
    assert_eq!(lone.score(), 2);
    lone.hear(ack(seq));
    lone.hear(ack(seq));
    assert_eq!(lone.score(), 1, "the second ack is of no probe");
    lone.run(ms(600));
    assert_eq!((lone.state(&target), lone.sent()), (Some(State::Alive), vec![]));
}

#[test]
fn without_an_ack_others_and_a_stream_try_at_the_probe_timeout() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    let begun = lone.core.now;
    lone.run(ms(499));
    assert_eq!(lone.sent(), []);
    lone.run(ms(1));
    let sent = lone.sent();
    assert_eq!(sent.len(), 3);
    for unicast in &sent {
        assert_eq!(unicast.body, Body::IndirectPing { seq, target: lone.idx(&target), nack: true });
        let helper = unicast.peer.expect("a helper is a member");
        assert!(helper != lone.swim.me() && helper != lone.idx(&target));
        assert_eq!(unicast.to, addr(lone.core.roster.name_ref(helper)));
    }
    let mut helpers: Vec<_> = sent.iter().map(|unicast| unicast.to).collect();
    helpers.sort_unstable();
    helpers.dedup();
    assert_eq!(helpers.len(), 3, "three different helpers");
    let purpose = ExchangePurpose::Ping { seq, target: lone.idx(&target), codec: Codec::Native };
    assert_eq!(lone.wanted(), [(addr(&target), purpose, begun + secs(1))]);
}

#[test]
fn neither_the_probed_nor_the_suspect_the_dead_and_the_left_are_asked_for_help() {
    let mut lone = Lone::probing(Options::lan(), &["b", "c", "d", "e", "f", "g"]);
    lone.hear(suspect("c", 1, "b"));
    lone.hear(dead("d", 1, "b"));
    lone.hear(dead("e", 1, "e"));
    for _ in 0..20 {
        let (target, seq) = lone.next_probe();
        lone.run(ms(500));
        let mut helpers: Vec<_> =
            lone.sent().iter().map(|unicast| lone.core.roster.name(unicast.peer.unwrap())).collect();
        helpers.sort_unstable();
        let expected: Vec<&str> = ["b", "f", "g"].into_iter().filter(|name| *name != target).collect();
        assert_eq!(helpers.iter().map(|name| &**name).collect::<Vec<_>>(), expected);
        lone.hear(ack(seq));
    }
}

#[test]
fn an_unanswered_probe_ends_in_a_suspicion_by_us() {
    let (mut lone, target, _) = probed(Options::lan(), &FIVE);
    lone.run(ms(999));
    assert_eq!(lone.state(&target), Some(State::Alive));
    lone.run(ms(1));
    assert_eq!(lone.state(&target), Some(State::Suspect));
    assert_eq!(lone.queued(), [format!("suspect {target}@1 by a")]);
    let member = Arc::clone(lone.core.roster.peer(lone.idx(&target)).unwrap());
    assert_eq!(lone.core.events, [Event::Suspected { member, accuser: "a".into() }]);
    assert_eq!((lone.core.stats.probes_failed, lone.core.stats.suspicions_raised), (1, 1));
}

#[test]
fn ill_health_stretches_the_probe_but_not_the_wait_for_the_direct_ack() {
    let mut lone = Lone::probing(Options::lan(), &FIVE);
    lone.swim.awareness.apply(2);
    let (target, _) = lone.next_probe();
    lone.run(ms(499));
    assert_eq!(lone.sent(), []);
    lone.run(ms(1));
    assert_eq!(lone.sent().len(), 3, "500 ms, whatever the score");
    lone.run(ms(2499));
    assert_eq!(lone.sent(), [], "one probe at a time: the ticks in between begin none");
    assert_eq!(lone.state(&target), Some(State::Alive));
    lone.run(ms(1));
    assert_eq!(lone.state(&target), Some(State::Suspect), "three intervals after it began");
    let next = lone.sent();
    assert!(matches!(next[..], [Unicast { body: Body::Ping { .. }, .. }]), "and the next begins at once: {next:?}");
}

#[test]
fn a_relayed_ack_ends_the_probe_however_late() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    lone.run(ms(999));
    lone.hear_from(addr("c"), ack(seq));
    lone.run(ms(500));
    assert_eq!(lone.state(&target), Some(State::Alive));
    assert_eq!(lone.core.stats.probes_failed, 0);
}

#[test]
fn an_ack_after_the_end_of_the_probe_does_not_save_the_member() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    lone.run(ms(1000));
    lone.hear_from(addr(&target), ack(seq));
    assert_eq!(lone.state(&target), Some(State::Suspect));
}

/// Fails a probe for which `nacks` helpers send a nack. Returns the change of the health score.
fn ill_after(options: Options, others: &[&str], nacks: u32) -> u32 {
    let (mut lone, _, seq) = probed(options, others);
    lone.run(ms(600));
    for _ in 0..nacks {
        lone.hear(Message::Nack { seq });
        lone.hear(Message::Nack { seq: seq.wrapping_add(1) });
    }
    lone.run(ms(400));
    assert_eq!(lone.core.stats.probes_failed, 1);
    lone.score()
}

#[test]
fn every_nack_that_is_missing_makes_us_more_ill() {
    assert_eq!([0, 1, 2, 3, 4].map(|nacks| ill_after(Options::lan(), &FIVE, nacks)), [3, 2, 1, 0, 0]);
    let one_helper = Options::lan().with(|options| options.swim.indirect_probes = 1);
    assert_eq!(ill_after(one_helper, &FIVE, 0), 1);
}

#[test]
fn a_failed_probe_without_anybody_who_could_nack_makes_us_more_ill_by_one() {
    assert_eq!(ill_after(Options::lan(), &["b"], 0), 1, "no member to ask");
    assert_eq!(ill_after(Options::lan().with(|options| options.swim.indirect_probes = 0), &FIVE, 0), 1);
}

#[test]
fn helpers_that_are_too_old_for_nacks_are_not_expected_to_send_any() {
    let mut lone = Lone::probing(Options::lan(), &[]);
    for name in FIVE {
        let peer = PeerRef { versions: versions_until(3), ..announcement(name) };
        lone.hear(Message::Alive(Alive { incarnation: 1, peer }));
    }
    let (target, seq) = lone.next_probe();
    lone.wanted();
    lone.run(ms(500));
    for unicast in lone.sent() {
        assert_eq!(unicast.body, Body::IndirectPing { seq, target: lone.idx(&target), nack: false });
    }
    assert_eq!(lone.wanted().len(), 1, "version 3 answers stream pings");
    lone.run(ms(500));
    assert_eq!(lone.score(), 1);
}

#[test]
fn old_members_get_no_stream_pings_and_no_member_does_when_they_are_off() {
    let mut lone = Lone::probing(Options::lan(), &[]);
    let peer = PeerRef { versions: versions_until(2), ..announcement("b") };
    lone.hear(Message::Alive(Alive { incarnation: 1, peer }));
    lone.next_probe();
    lone.wanted();
    lone.run(ms(500));
    assert_eq!(lone.wanted(), []);
    let (mut lone, ..) = probed(Options::lan().with(|options| options.swim.stream_pings = false), &FIVE);
    lone.run(ms(500));
    assert_eq!(lone.sent().len(), 3);
    assert_eq!(lone.wanted(), []);
}

#[test]
fn an_ack_on_a_stream_keeps_a_member_alive_and_improves_our_health() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    lone.swim.awareness.apply(2);
    lone.run(ms(600));
    lone.swim.stream_acked(&mut lone.core, seq);
    assert_eq!(lone.score(), 2, "a stream alone does not end the wait");
    lone.run(ms(400));
    assert_eq!((lone.state(&target), lone.score()), (Some(State::Alive), 1));
    assert_eq!((lone.core.stats.probes_saved_by_stream, lone.core.stats.probes_failed), (1, 0));
}

#[test]
fn an_ack_on_a_stream_of_an_earlier_probe_saves_no_member() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    lone.swim.stream_acked(&mut lone.core, seq.wrapping_sub(1));
    lone.run(secs(1));
    assert_eq!(lone.state(&target), Some(State::Suspect));
}

#[test]
fn the_ping_of_a_suspect_carries_the_accusation_and_that_of_a_live_member_does_not() {
    let mut lone = Lone::probing(Options::lan(), &["b", "c", "d", "e"]);
    lone.hear(suspect("c", 1, "d"));
    let mut seen = vec![];
    while seen.len() < 8 {
        let at = lone.core.timers.next().unwrap();
        lone.fire(at);
        for unicast in lone.sent() {
            let Body::Ping { seq, target: idx, accusing } = unicast.body else { continue };
            let name = lone.core.roster.name_ref(idx).to_string();
            assert_eq!(accusing, name == "c", "{name}");
            lone.hear(ack(seq));
            seen.push(name);
        }
    }
    assert!(seen.iter().any(|name| name == "c"), "{seen:?}");
}

#[test]
fn a_member_that_refutes_during_the_probe_is_not_suspected_by_it() {
    let (mut lone, target, _) = probed(Options::lan(), &FIVE);
    lone.hear(suspect(&target, 1, "f"));
    lone.hear(alive(&target, 2));
    lone.run(secs(1));
    assert_eq!((lone.state(&target), lone.incarnation(&target)), (Some(State::Alive), 2));
}

#[test]
fn the_dead_and_the_left_are_not_probed_and_all_others_once_a_round() {
    let mut lone = Lone::probing(Options::lan(), &FIVE);
    lone.hear(dead("c", 1, "b"));
    lone.hear(dead("e", 1, "e"));
    // Before the first round the order is empty; the first probe starts a round.
    for _ in 0..5 {
        let mut round: Vec<String> = (0..3)
            .map(|_| {
                let (target, seq) = lone.next_probe();
                lone.hear(ack(seq));
                target
            })
            .collect();
        round.sort_unstable();
        assert_eq!(round, ["b", "d", "f"]);
    }
}

#[test]
fn a_lone_node_probes_no_member() {
    let mut lone = Lone::probing(Options::lan(), &[]);
    lone.run(secs(60));
    assert_eq!((lone.sent(), lone.core.stats.probes), (vec![], 0));
}

#[test]
fn a_member_that_is_forgotten_while_it_is_probed_is_not_suspected() {
    let (mut lone, target, _) = probed(Options::lan(), &["b"]);
    let idx = lone.idx(&target);
    lone.swim.members.forget(&lone.core, idx);
    lone.run(secs(1));
    assert_eq!(lone.core.stats.suspicions_raised, 0);
    assert_eq!(lone.core.stats.probes_failed, 1);
}

#[test]
fn only_a_timely_ack_of_the_direct_ping_measures_the_round_trip() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    lone.run(ms(20));
    assert_eq!(lone.swim.acked(&mut lone.core, Origin::Local, seq), Some((lone.idx(&target), ms(20))));
    assert_eq!(lone.swim.acked(&mut lone.core, Origin::Local, seq), None, "it is of no probe any more");
    let (mut lone, _, seq) = probed(Options::lan(), &FIVE);
    lone.run(ms(600));
    assert_eq!(lone.swim.acked(&mut lone.core, Origin::Local, seq), None, "it may have come through another member");
}

#[test]
fn the_round_trip_of_an_ack_within_the_probe_timeout_is_recorded_and_of_a_later_one_not() {
    let (mut lone, target, seq) = probed(Options::lan(), &FIVE);
    lone.run(ms(30));
    lone.hear_from(addr(&target), ack(seq));
    let recorded = |lone: &Lone| {
        let trips = &lone.core.stats.probe_round_trips;
        (trips.count(), trips.sum())
    };
    assert_eq!(recorded(&lone), (1, ms(30)));
    let (target, seq) = lone.next_probe();
    lone.run(ms(600));
    lone.hear_from(addr(&target), ack(seq));
    assert_eq!(recorded(&lone), (1, ms(30)), "it may have come through a helper");
}
