use super::*;

#[test]
fn evidence_is_kept_for_the_latest_members_and_dropped_when_alive_again() {
    let names: Vec<String> = (0..70).map(|number| format!("m{number}")).collect();
    let mut lone = Lone::lan(&names.iter().map(String::as_str).collect::<Vec<_>>());
    names.iter().for_each(|name| lone.hear(suspect(name, 1, "m0")));
    let known = |lone: &Lone| names.iter().filter(|name| lone.swim.accused(lone.idx(name)).is_some()).count();
    assert_eq!(known(&lone), 32);
    assert!(lone.swim.accused(lone.idx("m37")).is_none() && lone.swim.accused(lone.idx("m38")).is_some());
    lone.hear(alive("m38", 2));
    assert_eq!(known(&lone), 31);
}

#[test]
fn a_suspicion_after_a_refutation_has_accusers_of_its_own() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    lone.hear(alive("b", 2));
    ["d", "e"].iter().for_each(|from| lone.hear(suspect("b", 2, from)));
    assert_eq!(*lone.swim.accused(lone.idx("b")).unwrap().accusers, ["d", "e"].map(Name::from));
}

#[test]
fn accusers_are_remembered_as_far_as_they_count_also_after_the_death() {
    let mut lone = Lone::lan(&["b", "c", "d", "e", "f", "g"]);
    ["c", "d", "e", "d"].iter().for_each(|from| lone.hear(suspect("b", 1, from)));
    let accusers = ["c", "d", "e"].map(Name::from);
    // Two confirmations reduce the timeout to its minimum, which has passed.
    lone.run(secs(4));
    let accused = lone.swim.accused(lone.idx("b")).unwrap();
    assert_eq!(*accused.accusers, accusers);
    let (evidence, said_by) = accused.gone.as_ref().unwrap();
    assert_eq!((&evidence.source, &**said_by), (&Source::OwnTimer, "a"));
}

const FIVE: [&str; 5] = ["b", "c", "d", "e", "f"];

/// How long after `from` a member is declared dead, in milliseconds.
fn dead_after(lone: &mut Lone, name: &str, from: Instant) -> u128 {
    while lone.state(name) != Some(State::Dead) {
        let at = lone.core.timers.next().expect("a suspicion has a timer");
        lone.fire(at);
    }
    (lone.core.now - from).as_millis()
}

#[test]
fn a_suspect_without_a_second_accuser_is_dead_after_the_longest_timeout() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    assert_eq!(lone.state("b"), Some(State::Suspect));
    assert_eq!(dead_after(&mut lone, "b", Instant::ZERO), 24_000);
    assert_eq!(lone.notified(), ["gone b"]);
    assert_eq!(lone.queued(), ["dead b@1 by a"], "we declare it");
    assert_eq!(lone.core.stats.deaths_declared, 1);
}

#[test]
fn each_confirmation_by_another_shortens_the_wait_counted_from_the_first_accusation() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    lone.run(secs(1));
    lone.hear(suspect("b", 1, "d"));
    assert_eq!(dead_after(&mut lone.clone(), "b", Instant::ZERO), 11_381);
    lone.run(secs(1));
    lone.hear(suspect("b", 1, "e"));
    assert_eq!(dead_after(&mut lone, "b", Instant::ZERO), 4000);
}

#[test]
fn a_confirmation_that_comes_when_the_shortened_wait_is_over_kills_at_once() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    lone.hear(suspect("b", 1, "d"));
    lone.run(secs(5));
    lone.hear(suspect("b", 1, "e"));
    assert_eq!(lone.state("b"), Some(State::Dead));
    assert_eq!(lone.queued(), ["dead b@1 by a"]);
}

#[test]
fn the_same_accuser_again_neither_counts_nor_is_passed_on() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    lone.hear(suspect("b", 1, "d"));
    while !lone.packet().is_empty() {}
    lone.hear(suspect("b", 1, "c"));
    lone.hear(suspect("b", 1, "d"));
    assert_eq!(lone.queued(), [""; 0]);
    assert_eq!(dead_after(&mut lone, "b", Instant::ZERO), 11_381);
}

#[test]
fn confirmations_are_passed_on_in_the_name_of_the_newest_accuser_up_to_the_limit() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    assert_eq!(lone.packet(), ["suspect b@1 by c"]);
    lone.hear(suspect("b", 1, "d"));
    assert_eq!(lone.packet(), ["suspect b@1 by d"]);
    lone.hear(suspect("b", 1, "e"));
    while !lone.packet().is_empty() {}
    lone.hear(suspect("b", 1, "f"));
    assert_eq!(lone.packet(), [""; 0], "two confirmations are all that lan wants");
}

#[test]
fn in_a_cluster_of_three_the_shortest_wait_holds_at_once() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear(suspect("b", 1, "c"));
    assert_eq!(dead_after(&mut lone, "b", Instant::ZERO), 4000);
}

#[test]
fn a_suspect_that_refutes_is_alive_without_an_event_and_its_timer_means_nothing() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    lone.run(secs(10));
    lone.hear(alive("b", 2));
    assert_eq!(lone.state("b"), Some(State::Alive));
    assert_eq!(lone.queued(), ["alive b@2"]);
    lone.run(secs(60));
    assert_eq!((lone.state("b"), lone.notified()), (Some(State::Alive), vec![]));
}

#[test]
fn a_suspicion_that_began_anew_runs_its_whole_time_whatever_timers_the_old_one_left() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    lone.run(secs(20));
    lone.hear(alive("b", 2));
    lone.hear(suspect("b", 2, "c"));
    let begun = lone.core.now;
    assert_eq!(dead_after(&mut lone, "b", begun), 24_000);
}

#[test]
fn an_alive_message_with_the_accused_incarnation_does_not_refute() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    lone.hear(alive("b", 1));
    assert_eq!(lone.state("b"), Some(State::Suspect));
    lone.hear(suspect("b", 5, "c"));
    lone.hear(alive("b", 5));
    assert_eq!((lone.state("b"), lone.incarnation("b")), (Some(State::Suspect), 5), "a repeated accusation counts too");
}

#[test]
fn old_accusations_and_those_of_strangers_mean_nothing() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear(alive("b", 5));
    while !lone.packet().is_empty() {}
    for message in [suspect("b", 4, "c"), dead("b", 4, "c"), suspect("x", 9, "c"), dead("x", 9, "x")] {
        lone.hear(message);
    }
    assert_eq!((lone.state("b"), lone.state("x")), (Some(State::Alive), None));
    assert_eq!((lone.queued(), lone.notified(), lone.core.events.len()), (vec![], vec![], 0));
}

#[test]
fn accused_ourselves_we_answer_with_a_higher_incarnation_and_doubt_our_health() {
    for accusation in [suspect("a", 1, "b"), dead("a", 1, "b"), dead("a", 1, "a")] {
        let mut lone = Lone::lan(&["b"]);
        lone.hear(accusation);
        assert_eq!((lone.state("a"), lone.swim.incarnation()), (Some(State::Alive), 2));
        assert_eq!((lone.score(), lone.core.stats.refutations), (1, 1));
        assert_eq!(lone.queued(), ["alive a@2"]);
        assert_eq!(lone.notified(), [""; 0]);
    }
}

#[test]
fn a_refutation_is_above_whatever_we_were_accused_at() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(suspect("a", 40, "b"));
    assert_eq!(lone.swim.incarnation(), 41);
    lone.hear(suspect("a", 40, "c"));
    assert_eq!((lone.swim.incarnation(), lone.score()), (41, 1), "that is refuted already");
    lone.hear(dead("a", 41, "b"));
    assert_eq!((lone.swim.incarnation(), lone.incarnation("a")), (42, 42));
}

#[test]
fn an_alive_message_of_an_earlier_run_is_refuted_and_our_own_echo_is_not() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(alive("a", 1));
    assert_eq!((lone.swim.incarnation(), lone.core.stats.refutations), (1, 0));
    lone.hear(alive("a", 7));
    assert_eq!((lone.swim.incarnation(), lone.core.stats.refutations), (8, 1));
    let other_tags = PeerRef { meta: b"\xff\x81\xa1k\xa1v", ..announcement("a") };
    lone.hear(Message::Alive(Alive { incarnation: 8, peer: other_tags }));
    assert_eq!(lone.swim.incarnation(), 9, "the same incarnation with other tags");
    assert_eq!(lone.core.roster.peer(lone.swim.me()).unwrap().meta(), NO_TAGS);
}

#[test]
fn a_member_accused_by_itself_left_and_one_accused_by_others_is_dead() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear(dead("b", 1, "c"));
    lone.hear(dead("c", 1, "c"));
    assert_eq!((lone.state("b"), lone.state("c")), (Some(State::Dead), Some(State::Left)));
    assert_eq!(lone.notified(), ["gone b", "gone c"]);
    assert_eq!(lone.queued(), ["left c@1", "dead b@1 by c"]);
    lone.hear(dead("b", 1, "b"));
    lone.hear(dead("c", 1, "b"));
    assert_eq!((lone.state("b"), lone.state("c")), (Some(State::Dead), Some(State::Left)), "and so it stays");
    assert_eq!(lone.notified(), [""; 0]);
}

#[test]
fn the_dead_stay_dead_until_they_are_newer_than_anything_said_of_them() {
    for later in [dead("b", 10, "c"), suspect("b", 10, "c"), dead("b", 10, "b")] {
        let mut lone = Lone::lan(&["b", "c"]);
        lone.hear(dead("b", 1, "c"));
        lone.hear(later);
        lone.notified();
        lone.hear(alive("b", 2));
        lone.hear(alive("b", 10));
        assert_eq!((lone.state("b"), lone.notified()), (Some(State::Dead), vec![]), "after {later:?}");
        lone.hear(alive("b", 11));
        assert_eq!((lone.state("b"), lone.notified()), (Some(State::Alive), vec!["joined b".to_string()]));
    }
}

#[test]
fn death_ends_a_suspicion() {
    let mut lone = Lone::lan(&FIVE);
    lone.hear(suspect("b", 1, "c"));
    lone.hear(dead("b", 1, "d"));
    lone.run(secs(60));
    assert_eq!((lone.notified(), lone.core.stats.deaths_declared), (vec!["gone b".to_string()], 0));
    assert_eq!(lone.queued(), ["dead b@1 by d"]);
}

#[test]
fn accusations_after_the_deadline_are_passed_on_until_there_are_enough() {
    let options = Options::lan().with(|options| options.swim.accusers_min = 4);
    let mut lone = Lone::still(options, &["b", "c", "d", "e", "f", "g", "h"]);
    lone.hear(suspect("b", 1, "c"));
    lone.run(secs(60));
    assert_eq!(lone.state("b"), Some(State::Suspect), "one accuser of four");
    for accuser in ["d", "e"] {
        while !lone.packet().is_empty() {}
        lone.hear(suspect("b", 1, accuser));
        assert_eq!(lone.queued(), [format!("suspect b@1 by {accuser}")], "others need it, too");
        assert_eq!(lone.state("b"), Some(State::Suspect));
    }
    lone.hear(suspect("b", 1, "f"));
    assert_eq!(lone.queued(), ["dead b@1 by a"]);
}
