use super::*;
use crate::swim::members::live_hash;

#[test]
fn a_newcomer_joins_and_is_gossiped() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(alive("c", 3));
    assert_eq!((lone.state("c"), lone.incarnation("c")), (Some(State::Alive), 3));
    assert_eq!(lone.notified(), ["joined c"]);
    assert_eq!(lone.queued(), ["alive c@3"]);
    lone.hear(alive("c", 3));
    lone.hear(alive("c", 2));
    assert_eq!((lone.notified(), lone.core.stats.repeats_in), (vec![], 2));
}

#[test]
fn a_newcomer_with_incarnation_zero_leaves_no_trace() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(alive("c", 0));
    assert_eq!((lone.state("c"), lone.core.roster.find("c")), (None, None));
    assert_eq!((lone.notified(), lone.swim.members_known()), (vec![], 2));
}

#[test]
fn versions_that_cannot_be_are_dropped_and_counted() {
    let mut lone = Lone::lan(&["b"]);
    for versions in [[0, 5, 2, 2, 5, 5], [1, 0, 2, 2, 5, 5], [3, 2, 2, 2, 5, 5]] {
        let peer = PeerRef { versions: Versions::from_bytes(versions), ..announcement("c") };
        lone.hear(Message::Alive(Alive { incarnation: 1, peer }));
    }
    assert_eq!((lone.state("c"), lone.dropped(DropReason::Versions)), (None, 3));
}

#[test]
fn other_metadata_is_an_update_and_only_a_newer_incarnation_brings_it() {
    let mut lone = Lone::lan(&["b"]);
    let tagged = PeerRef { meta: b"\xff\x81\xa1k\xa1v", ..announcement("b") };
    lone.hear(Message::Alive(Alive { incarnation: 1, peer: tagged }));
    assert_eq!(lone.notified(), [""; 0]);
    lone.hear(Message::Alive(Alive { incarnation: 2, peer: tagged }));
    assert_eq!(lone.notified(), ["updated b"]);
    lone.hear(Message::Alive(Alive { incarnation: 3, peer: tagged }));
    assert_eq!(lone.notified(), [""; 0], "only the incarnation is new");
    lone.hear(suspect("b", 3, "c"));
    lone.hear(alive("b", 4));
    assert_eq!(lone.notified(), ["updated b"], "a refutation may bring other tags");
}

#[test]
fn the_same_member_dead_and_back_joins_again() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear(dead("b", 1, "c"));
    lone.hear(dead("c", 1, "c"));
    lone.notified();
    lone.hear(alive("b", 2));
    lone.hear(alive("c", 1));
    lone.hear(alive("c", 2));
    assert_eq!(lone.notified(), ["joined b", "joined c"]);
}

#[test]
fn another_address_for_a_live_name_is_a_conflict_whatever_the_incarnation() {
    let mut lone = Lone::lan(&["b"]);
    for (incarnation, prepare) in [(1, None), (9, None), (9, Some(suspect("b", 1, "c")))] {
        if let Some(message) = prepare {
            lone.hear(message);
        }
        lone.core.events.clear();
        lone.hear(moved("b", incarnation, elsewhere()));
        let existing = Arc::clone(lone.core.roster.peer(lone.idx("b")).unwrap());
        assert_eq!(existing.addr(), addr("b"));
        assert_eq!(lone.core.events, [Event::NameConflict { existing, other: elsewhere() }]);
        assert_eq!((lone.incarnation("b"), lone.notified()), (1, vec![]));
    }
    assert_eq!(lone.dropped(DropReason::NameConflict), 3);
}

#[test]
fn another_address_for_our_own_name_is_a_conflict_until_we_have_left() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(moved("a", 9, elsewhere()));
    assert!(matches!(lone.core.events[..], [Event::NameConflict { .. }]));
    assert_eq!(lone.swim.incarnation(), 1);
    lone.core.events.clear();
    lone.swim.leave(&mut lone.core);
    lone.hear(moved("a", 9, elsewhere()));
    assert_eq!((lone.core.events.len(), lone.state("a")), (0, Some(State::Left)));
}

#[test]
fn an_ipv4_address_and_its_mapped_form_are_one() {
    let mut lone = Lone::lan(&["b"]);
    let SocketAddr::V4(v4) = addr("b") else { panic!("it is IPv4") };
    lone.hear(moved("b", 2, SocketAddr::from((v4.ip().to_ipv6_mapped(), 7946))));
    assert_eq!((lone.incarnation("b"), lone.core.events.len()), (2, 0));
    assert_eq!(lone.core.roster.peer(lone.idx("b")).unwrap().addr(), addr("b"));
}

#[test]
fn the_dead_and_left_are_forgotten_at_the_end_of_a_round_once_they_are_old_enough() {
    let mut lone = Lone::probing(Options::lan(), &["b", "c", "d"]);
    let dies = lone.core.now;
    lone.hear(dead("b", 1, "d"));
    lone.hear(dead("c", 1, "c"));
    while !lone.packet().is_empty() {}
    while lone.state("b").is_some() {
        let (_, seq) = lone.next_probe();
        lone.hear(ack(seq));
    }
    let age = lone.core.now - dies;
    assert!(age > secs(30) && age <= secs(32), "after {age:?}");
    assert_eq!((lone.state("c"), lone.swim.members_known()), (None, 2));
    assert_eq!((lone.core.roster.find("b"), lone.core.roster.find("c")), (None, None));
    lone.hear(alive("b", 1));
    assert_eq!(lone.state("b"), Some(State::Alive), "nothing is remembered of it");
}

#[test]
fn no_member_is_reaped_exactly_at_the_timeout_nor_while_it_is_queued() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(dead("b", 1, "c"));
    lone.run(secs(31));
    lone.swim.reap(&mut lone.core);
    assert_eq!(lone.state("b"), Some(State::Dead), "it is queued");
    while !lone.packet().is_empty() {}
    let mut exact = lone.clone();
    exact.core.now = Instant::ZERO + secs(30);
    exact.swim.reap(&mut exact.core);
    assert_eq!(exact.state("b"), Some(State::Dead));
    lone.swim.reap(&mut lone.core);
    assert_eq!(lone.state("b"), None);
}

#[test]
fn we_do_not_forget_ourselves_after_we_left() {
    let mut lone = Lone::lan(&["b"]);
    lone.swim.leave(&mut lone.core);
    while !lone.packet().is_empty() {}
    lone.run(secs(120));
    lone.swim.reap(&mut lone.core);
    assert_eq!(lone.state("a"), Some(State::Left));
}

#[test]
fn after_our_leave_no_accusation_of_us_is_refuted() {
    let mut lone = Lone::lan(&["b"]);
    lone.swim.leave(&mut lone.core);
    assert_eq!(lone.notified(), ["gone a"]);
    for message in [alive("a", 9), suspect("a", 9, "b"), dead("a", 9, "b")] {
        lone.hear(message);
    }
    assert_eq!((lone.state("a"), lone.swim.incarnation(), lone.score()), (Some(State::Left), 1, 0));
    assert_eq!((lone.notified(), lone.core.stats.refutations), (vec![], 0));
}

#[test]
fn the_leave_broadcast_is_sent_when_every_copy_is() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.swim.leave(&mut lone.core);
    lone.notified();
    for copy in 1..=4 {
        assert_eq!(lone.notified(), [""; 0], "{copy}");
        assert_eq!(lone.packet(), ["left a@1"]);
        assert_eq!(lone.swim.leave_broadcasts_sent(), copy);
    }
    assert_eq!(lone.notified(), ["leave broadcast sent a"]);
    assert_eq!(lone.packet(), [""; 0]);
}

#[test]
fn copies_of_our_alive_message_are_not_copies_of_the_leave() {
    let mut lone = Lone::lan(&["b"]);
    lone.swim.announce(&lone.core);
    assert_eq!(lone.packet(), ["alive a@2"]);
    lone.swim.leave(&mut lone.core);
    assert_eq!(lone.swim.leave_broadcasts_sent(), 0);
    while !lone.packet().is_empty() {}
    assert_eq!(lone.swim.leave_broadcasts_sent(), 4);
    assert_eq!(lone.notified(), ["gone a", "leave broadcast sent a"]);
}

#[test]
fn without_a_receiver_the_leave_broadcast_is_complete_at_once() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear(dead("b", 1, "c"));
    lone.notified();
    lone.swim.leave(&mut lone.core);
    assert_eq!(lone.notified(), ["gone a", "leave broadcast sent a"]);
    lone.swim.leave(&mut lone.core);
    assert_eq!(lone.notified(), [""; 0], "once");
}

#[test]
fn announcing_raises_our_incarnation() {
    let mut lone = Lone::lan(&["b"]);
    lone.swim.announce(&lone.core);
    assert_eq!((lone.swim.incarnation(), lone.incarnation("a"), lone.queued()), (2, 2, vec!["alive a@2".to_string()]));
}

#[test]
fn one_member_too_many_is_ignored_and_counted() {
    let mut lone = Lone::lan(&["b"]);
    for number in 0..crate::limits::MEMBERS_MAX {
        if lone.core.roster.intern(&format!("name-{number}")).is_none() {
            break;
        }
    }
    lone.hear(alive("c", 1));
    assert_eq!((lone.state("c"), lone.dropped(DropReason::Limit)), (None, 1));
}

#[test]
fn a_name_that_only_the_roster_knows_can_be_forgotten() {
    let mut lone = Lone::lan(&["b"]);
    let idx = lone.core.roster.intern("c").unwrap();
    assert_eq!(idx.at(), lone.swim.members.len());
    lone.swim.members.forget(&lone.core, idx);
    assert_eq!(lone.swim.members_known(), 2);
}

#[test]
fn the_hash_of_a_live_member_depends_on_all_bits_of_its_record_and_of_the_salt() {
    let lone = Lone::lan(&["b", "c"]);
    let hash = |name: &str, salt| {
        let idx = lone.idx(name);
        live_hash(lone.core.roster.hashes(idx), lone.swim.members.row(idx), salt)
    };
    for salt in [0, u64::MAX, 1 << 63, 1] {
        assert_ne!(hash("b", salt), hash("c", salt), "{salt:x}");
    }
    assert_ne!(hash("b", 0), hash("b", 1 << 63));
    assert_ne!(hash("b", 0), hash("b", 1));
}
