use super::*;
use crate::limits::{LAMPORT_BURST_MAX, LAMPORT_TIME_MAX};

#[test]
fn every_time_that_is_heard_is_witnessed_even_if_the_intent_means_nothing() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_join("b", 7);
    lone.hear_join("stranger", 9);
    assert_eq!(lone.serf.times(), times(10, 1, 1));
    lone.hear_leave("stranger", 3);
    assert_eq!(lone.serf.times(), times(10, 1, 1));
}

#[test]
fn a_time_far_ahead_is_dropped_counted_and_not_passed_on() {
    let mut lone = Lone::lan(&["b"]);
    for ltime in [u64::MAX, 1 << 52, LAMPORT_BURST_MAX + 2] {
        lone.hear_leave("b", ltime);
        lone.hear_join("stranger", ltime);
        lone.hear_event(ltime, "x", b"");
    }
    assert_eq!((lone.dropped(DropReason::OutOfRange), lone.serf.times()), (9, times(1, 1, 1)));
    assert_eq!((lone.status("b"), lone.packet(), lone.events()), (Some(Status::Alive), vec![], vec![]));
}

#[test]
fn the_newest_early_intent_wins_and_of_equal_ones_the_first() {
    let mut lone = Lone::lan(&[]);
    lone.hear_join("b", 5);
    lone.hear_leave("b", 5);
    assert_eq!(lone.packet(), ["join b@5"]);
    lone.hear_leave("b", 6);
    assert_eq!(lone.packet(), ["leave b@6"]);
    lone.hear_join("b", 4);
    lone.alive("b");
    assert_eq!((lone.status("b"), lone.ltime("b")), (Some(Status::Leaving), 6));
    assert_eq!(lone.events(), ["join b"]);
}

#[test]
fn an_early_join_gives_its_time_to_the_newcomer() {
    let mut lone = Lone::lan(&[]);
    lone.hear_join("b", 5);
    lone.alive("b");
    assert_eq!((lone.status("b"), lone.ltime("b")), (Some(Status::Alive), 5));
}

#[test]
fn an_early_intent_expires_after_its_timeout_and_its_name_is_free_again() {
    let mut lone = Lone::lan(&[]);
    lone.hear_leave("b", 5);
    lone.talk();
    lone.run(secs(5 * 60));
    assert!(lone.core.roster.find("b").is_some(), "not older than the timeout yet");
    lone.run(secs(15));
    assert_eq!((lone.core.roster.find("b"), lone.serf.intents.early()), (None, 0));
    lone.alive("b");
    assert_eq!((lone.status("b"), lone.ltime("b")), (Some(Status::Alive), 0));
    assert_eq!(lone.core.timers.next(), None, "nobody is left to be reaped");
}

#[test]
fn an_expired_intent_is_not_gossiped() {
    let mut lone = Lone::lan(&["c"]);
    lone.hear_leave("b", 5);
    lone.run(secs(6 * 60));
    assert_eq!((lone.packet(), lone.serf.queue_depths()), (vec![], QueueDepths::default()));
}

#[test]
fn a_member_that_came_in_time_outlives_its_early_intent() {
    let mut lone = Lone::lan(&[]);
    lone.hear_join("b", 5);
    lone.alive("b");
    lone.forgotten_by_swim("b");
    lone.run(secs(6 * 60));
    assert_eq!((lone.status("b"), lone.ltime("b")), (Some(Status::Alive), 5));
}

#[test]
fn an_intent_is_sent_as_often_as_the_transmit_limit_says() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_leave("b", 5);
    for _ in 0..4 {
        assert_eq!(lone.packet(), ["leave b@5"]);
    }
    assert_eq!(lone.packet(), [""; 0]);
}

#[test]
fn a_newer_intent_takes_the_place_of_the_older_and_stands_once_in_a_packet() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_leave("b", 5);
    assert_eq!(lone.packet(), ["leave b@5"]);
    lone.hear_join("b", 6);
    for _ in 0..4 {
        assert_eq!(lone.packet(), ["join b@6"]);
    }
    assert_eq!(lone.packet(), [""; 0]);
}

#[test]
fn a_full_queue_of_intents_evicts_the_most_sent_and_counts_them() {
    let mut lone = Lone::with(Options::lan().with(|options| options.serf.queue_depth_max = 3), &[]);
    lone.hear_join("b", 5);
    lone.hear_join("c", 5);
    assert_eq!(lone.packet(), ["join c@5", "join b@5"]);
    for name in ["d", "e", "f"] {
        lone.hear_join(name, 5);
        assert!(lone.serf.queue_depths().intents <= 3);
    }
    assert_eq!(lone.packet(), ["join f@5", "join e@5", "join d@5"]);
    assert_eq!(lone.core.stats.intents_pruned.full, 2);
}

#[test]
fn making_room_does_not_void_an_intent_that_has_become_newer() {
    let mut lone = Lone::with(Options::lan().with(|options| options.serf.queue_depth_max = 2), &[]);
    lone.hear_join("b", 5);
    lone.hear_join("c", 5);
    assert_eq!(lone.packet(), ["join c@5", "join b@5"]);
    // Now `b` has an entry with zero transmits, and a stale one with more.
    lone.hear_join("b", 6);
    lone.hear_join("d", 5);
    assert_eq!(lone.packet(), ["join d@5", "join b@6"], "the one that has been sent makes room");
}

#[test]
fn no_more_strangers_than_the_limit_are_remembered() {
    let mut lone = Lone::lan(&[]);
    for n in 0..1 << 16 {
        lone.hear_join(&format!("name-{n}"), 5);
    }
    assert_eq!(lone.dropped(DropReason::Limit), 0);
    lone.hear_join("one too many", 5);
    assert_eq!((lone.dropped(DropReason::Limit), lone.core.roster.find("one too many")), (1, None));
}

#[test]
fn forcing_a_failed_member_out_makes_it_left_and_is_gossiped() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.gone("b");
    lone.events();
    lone.serf.force_leave(&mut lone.core, "b", false).unwrap();
    assert_eq!((lone.status("b"), lone.events()), (Some(Status::Left), vec!["leave b".to_string()]));
    assert_eq!(lone.packet(), ["leave b@1"]);
    assert_eq!(lone.serf.times().member, 2);
}

#[test]
fn pruning_the_failed_and_the_left_removes_them_at_once_and_is_gossiped() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.gone("b");
    lone.hear_leave("c", 3);
    lone.gone("c");
    lone.talk();
    lone.events();
    lone.hear_prune("b", 5);
    lone.hear_prune("c", 6);
    assert_eq!(lone.events(), ["leave b", "reap b", "reap c"]);
    assert_eq!((lone.status("b"), lone.status("c"), lone.serf.members.known()), (None, None, 2));
    assert_eq!(lone.packet(), ["prune c@6", "prune b@5"]);
    lone.hear_prune("b", 5);
    assert_eq!(lone.events(), [""; 0], "the echo finds nobody, and is known");
}

#[test]
fn a_pruned_member_that_is_back_is_alive() {
    let mut lone = Lone::lan(&["b"]);
    lone.gone("b");
    lone.hear_prune("b", 5);
    lone.events();
    lone.alive("b");
    assert_eq!((lone.status("b"), lone.events()), (Some(Status::Alive), vec!["join b".to_string()]));
    lone.run(secs(3600));
    assert_eq!(lone.status("b"), Some(Status::Alive));
}

#[test]
fn pruning_a_live_member_forgets_it_only_if_it_does_not_refute() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_prune("b", 5);
    assert_eq!(lone.status("b"), Some(Status::Leaving));
    lone.run(secs(1));
    lone.gone("b");
    assert_eq!(lone.status("b"), Some(Status::Left));
    lone.run(secs(5));
    assert_eq!((lone.status("b"), lone.events()), (None, vec!["leave b".to_string(), "reap b".to_string()]));

    lone.hear_prune("c", 7);
    lone.hear_join("c", 8);
    lone.run(secs(60));
    assert_eq!(lone.status("c"), Some(Status::Alive));
}

#[test]
fn a_member_that_refuted_a_prune_and_then_goes_is_not_forgotten_by_it() {
    for pulled in [false, true] {
        let mut lone = Lone::lan(&["b", "c"]);
        lone.hear_prune("b", 5);
        if pulled {
            lone.merge_members(&[("b", 6, false)]);
        } else {
            lone.hear_join("b", 6);
        }
        lone.run(secs(1));
        lone.gone("b");
        assert_eq!(lone.status("b"), Some(Status::Failed));
        lone.run(secs(60));
        assert_eq!(lone.status("b"), Some(Status::Failed), "it may come back");
    }
}

#[test]
fn our_own_leave_intent_is_sent_and_its_copies_counted() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.announce_join(&mut lone.core);
    assert_eq!(lone.packet(), ["join a@1"]);
    assert!(lone.serf.leave(&mut lone.core));
    assert!(!lone.serf.leave_is_sent());
    lone.talk();
    assert_eq!((lone.serf.leave_is_sent(), lone.serf.leaves_sent()), (true, 4));
}

#[test]
fn without_a_live_member_our_leave_intent_counts_as_sent() {
    let mut lone = Lone::lan(&["b"]);
    lone.gone("b");
    assert!(!lone.serf.leave(&mut lone.core));
    assert_eq!((lone.serf.leave_is_sent(), lone.packet()), (true, vec![]));
}

#[test]
fn each_announcement_of_our_join_is_later_than_the_last_and_than_all_we_heard() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.announce_join(&mut lone.core);
    assert_eq!(lone.ltime("a"), 1);
    lone.hear_join("b", 40);
    lone.serf.announce_join(&mut lone.core);
    assert_eq!(lone.ltime("a"), 41);
}

#[test]
fn a_message_that_cannot_be_read_is_counted() {
    let mut lone = Lone::lan(&["b"]);
    for body in [&b""[..], b"\x41", b"\x41\x01", b"\x7f\x01\x00"] {
        lone.serf.handle(&mut lone.core, Origin::Local, body);
    }
    lone.hear_join("", 5);
    lone.hear_join(&"x".repeat(256), 5);
    assert_eq!((lone.dropped(DropReason::Malformed), lone.packet()), (6, vec![]));
}

#[test]
fn nothing_that_ends_or_comes_while_we_leave_revokes_the_leave() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.leave(&mut lone.core);
    let ltime = lone.ltime("a");
    lone.serf.announce_join(&mut lone.core);
    lone.merge_members(&[("a", ltime + 5, false)]);
    assert_eq!((lone.status("a"), lone.ltime("a")), (Some(Status::Leaving), ltime));
    assert_eq!(lone.packet(), [format!("leave a@{ltime}")]);
}

#[test]
fn a_leave_is_urgent_even_if_our_join_still_waits_unsent() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.announce_join(&mut lone.core);
    lone.hear_join("b", 7);
    lone.serf.leave(&mut lone.core);
    let packet = lone.packet();
    assert!(packet[0].starts_with("leave a@"), "{packet:?}");
}

#[test]
fn at_the_greatest_time_forced_leaves_fail_and_our_leave_is_not_broadcast() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.clocks.member.resume(LAMPORT_TIME_MAX);
    assert!(lone.serf.force_leave(&mut lone.core, "b", false).is_err());
    lone.serf.leave(&mut lone.core);
    assert_eq!((lone.status("b"), lone.packet()), (Some(Status::Alive), vec![]));
    assert!(!lone.serf.leave_is_sent());
}

#[test]
fn a_pruned_member_has_the_time_of_a_whole_leave_to_refute() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_prune("b", 5);
    lone.gone("b");
    lone.run(Duration::from_millis(5999));
    assert_eq!(lone.status("b"), Some(Status::Left));
    lone.run(Duration::from_millis(1));
    assert_eq!(lone.status("b"), None);
}

#[test]
fn intents_are_written_in_the_codec_of_the_receiver() {
    for codec in [Codec::Native, Codec::HashiCorp] {
        let mut lone = Lone::lan(&["b", "c"]);
        lone.hear_join("b", 5);
        lone.hear_leave("c", 6);
        let mut buffers = PacketBuffers::new();
        let mut packer = Packer::new(&mut buffers, 1400);
        lone.serf.fill(&lone.core, codec, &mut packer);
        let packed = packer.finish();
        let bytes = seal(packed, Caps { checksum: false }, &mut buffers);
        let kinds: Vec<_> = split(&bytes).unwrap().map(|frame| Codec::of(frame[0])).collect();
        assert_eq!(kinds, [codec; 2]);
    }
}

#[test]
fn under_backlog_copies_of_an_intent_that_others_send_count_unless_it_is_ours() {
    let names: Vec<String> = (0..500).map(|n| format!("member-{n}")).collect();
    let mut lone = Lone::lan(&[]);
    lone.serf.announce_join(&mut lone.core);
    names.iter().for_each(|name| lone.hear_join(name, 5));
    let sends = |lone: &Lone, name: &str| lone.serf.members.row(lone.idx(name)).sends();
    let duplicate = |lone: &mut Lone, name: &str, ltime| {
        let idx = lone.idx(name);
        lone.serf.note_duplicate(idx, ltime);
        sends(lone, name)
    };
    assert_eq!(duplicate(&mut lone, "member-0", 5), Some(0), "there is no backlog yet");
    lone.serf.begin_round();
    lone.packet();
    lone.serf.end_round();
    assert_eq!(duplicate(&mut lone, "member-0", 4), Some(0));
    assert_eq!(duplicate(&mut lone, "member-0", 6), Some(0));
    assert!(duplicate(&mut lone, "member-0", 5) > Some(0));
    assert_eq!(duplicate(&mut lone, "a", 1), Some(0), "only we know who has heard it");
}
