//! The table of statuses and stimuli, row by row.

use super::*;

/// An input about a member.
#[derive(Clone, Copy, Debug)]
enum Stimulus {
    /// Membership: the member is alive.
    Alive,
    /// Membership: the member is gone.
    Gone,
    /// Membership: the member is gone, by its own leave broadcast.
    LeaveBroadcast,
    /// Membership: the member changed its tags.
    Updated,
    /// A join intent at this time, by gossip.
    Join(u64),
    /// A leave intent at this time, by gossip.
    Leave(u64),
    /// A leave intent with prune at this time, by gossip.
    Prune(u64),
    /// A join and a leave intent at this time, by push/pull.
    PulledJoin(u64),
    PulledLeave(u64),
}

impl Stimulus {
    fn ltime(self) -> u64 {
        match self {
            Join(ltime) | Leave(ltime) | Prune(ltime) | PulledJoin(ltime) | PulledLeave(ltime) => ltime,
            Self::Alive | Gone | LeaveBroadcast | Updated => 0,
        }
    }
}

use Status::{Alive, Failed, Leaving, Left};
use Stimulus::{Gone, Join, Leave, LeaveBroadcast, Prune, PulledJoin, PulledLeave, Updated};

/// The outcome: status, time of the newest intent, gossip, and event.
type Outcome<'a> = (Option<Status>, u64, &'a str, &'a str);

/// `b` in this status, with its newest intent at time 5 and no queued broadcasts.
fn lone_with_b(status: Option<Status>) -> Lone {
    let mut lone = Lone::lan(&["c"]);
    if let Some(status) = status {
        lone.alive("b");
        match status {
            Alive | Failed => lone.hear_join("b", 5),
            Leaving | Left => lone.hear_leave("b", 5),
        }
        if matches!(status, Failed | Left) {
            lone.run(secs(1));
            lone.gone("b");
        }
        assert_eq!((lone.status("b"), lone.ltime("b")), (Some(status), 5));
    }
    lone.talk();
    lone.events();
    lone
}

fn apply(lone: &mut Lone, stimulus: Stimulus) {
    match stimulus {
        Stimulus::Alive => lone.alive("b"),
        Gone | LeaveBroadcast if lone.core.roster.find("b").is_none() => {}
        Gone => lone.gone("b"),
        LeaveBroadcast => {
            let idx = lone.idx("b");
            lone.serf.notified(&mut lone.core, Notification::Left(idx));
        }
        Updated => {
            let Some(idx) = lone.core.roster.find("b") else { return };
            lone.serf.notified(&mut lone.core, Notification::Updated(idx));
        }
        Join(ltime) => lone.hear_join("b", ltime),
        Leave(ltime) => lone.hear_leave("b", ltime),
        Prune(ltime) => lone.hear_prune("b", ltime),
        PulledJoin(ltime) => lone.merge_members(&[("b", ltime, false)]),
        // A tombstone at a time implies a leave one later.
        PulledLeave(ltime) => lone.merge_members(&[("b", ltime - 1, true)]),
    }
}

fn check(status: Option<Status>, stimulus: Stimulus, expected: Outcome<'_>) {
    let mut lone = lone_with_b(status);
    apply(&mut lone, stimulus);
    let (sent, events) = (lone.packet().join(", "), lone.events().join(", "));
    assert_eq!((lone.status("b"), lone.ltime("b"), &*sent, &*events), expected, "{status:?} and {stimulus:?}");
}

#[test]
fn membership_decides_alive_or_gone_and_intents_decide_failed_or_left() {
    for (status, stimulus, expected) in [
        (None, Stimulus::Alive, (Some(Alive), 0, "", "join b")),
        (None, Gone, (None, 0, "", "")),
        (None, Updated, (None, 0, "", "")),
        (Some(Alive), Stimulus::Alive, (Some(Alive), 5, "", "join b")),
        (Some(Alive), Gone, (Some(Failed), 5, "", "failed b")),
        (Some(Alive), LeaveBroadcast, (Some(Left), 5, "", "leave b")),
        (Some(Alive), Updated, (Some(Alive), 5, "", "update b")),
        (Some(Leaving), Stimulus::Alive, (Some(Alive), 5, "", "join b")),
        (Some(Leaving), Gone, (Some(Left), 5, "", "leave b")),
        (Some(Leaving), LeaveBroadcast, (Some(Left), 5, "", "leave b")),
        (Some(Leaving), Updated, (Some(Leaving), 5, "", "update b")),
        (Some(Failed), Stimulus::Alive, (Some(Alive), 5, "", "join b")),
        (Some(Failed), Gone, (Some(Failed), 5, "", "")),
        (Some(Failed), LeaveBroadcast, (Some(Failed), 5, "", "")),
        (Some(Failed), Updated, (Some(Failed), 5, "", "update b")),
        (Some(Left), Stimulus::Alive, (Some(Alive), 5, "", "join b")),
        (Some(Left), Gone, (Some(Left), 5, "", "")),
        (Some(Left), LeaveBroadcast, (Some(Left), 5, "", "")),
        (Some(Left), Updated, (Some(Left), 5, "", "update b")),
    ] {
        check(status, stimulus, expected);
    }
}

#[test]
fn a_newer_intent_moves_a_member_and_is_passed_on() {
    for (status, stimulus, expected) in [
        (None, Join(6), (None, 6, "join b@6", "")),
        (None, Leave(6), (None, 6, "leave b@6", "")),
        (Some(Alive), Join(6), (Some(Alive), 6, "join b@6", "")),
        (Some(Alive), Leave(6), (Some(Leaving), 6, "leave b@6", "")),
        (Some(Leaving), Join(6), (Some(Alive), 6, "join b@6", "")),
        (Some(Leaving), Leave(6), (Some(Leaving), 6, "leave b@6", "")),
        (Some(Failed), Join(6), (Some(Failed), 6, "join b@6", "")),
        (Some(Failed), Leave(6), (Some(Left), 6, "leave b@6", "leave b")),
        (Some(Left), Join(6), (Some(Left), 6, "join b@6", "")),
        (Some(Left), Leave(6), (Some(Left), 6, "leave b@6", "")),
    ] {
        check(status, stimulus, expected);
    }
}

#[test]
fn an_intent_that_is_not_newer_means_nothing_in_any_status() {
    for status in [Alive, Leaving, Failed, Left] {
        for stimulus in [Join(5), Leave(5), Prune(5), Join(4), Leave(4), Prune(4), Join(0), Leave(0), Prune(0)] {
            check(Some(status), stimulus, (Some(status), 5, "", ""));
        }
        for stimulus in [PulledJoin(5), PulledLeave(5), PulledJoin(4), PulledLeave(4), PulledLeave(1)] {
            check(Some(status), stimulus, (Some(status), 5, "", ""));
        }
    }
}

#[test]
fn a_newer_prune_is_gossiped_and_forgets_only_members_that_are_gone() {
    for (status, expected) in [
        (None, (None, 6, "prune b@6", "")),
        (Some(Alive), (Some(Leaving), 6, "prune b@6", "")),
        (Some(Leaving), (Some(Leaving), 6, "prune b@6", "")),
        (Some(Failed), (None, 6, "prune b@6", "leave b, reap b")),
        (Some(Left), (None, 6, "prune b@6", "reap b")),
    ] {
        check(status, Prune(6), expected);
    }
}

/// Two stimuli: an early intent at time 5 about a member that is not known yet, and then another.
#[test]
fn the_newest_early_intent_about_an_unknown_member_is_kept_whatever_its_kind() {
    const WAITING: [Stimulus; 3] = [Join(5), Leave(5), Prune(5)];
    for first in WAITING {
        for (second, sent) in [(Join(6), "join b@6"), (Leave(6), "leave b@6"), (Prune(6), "prune b@6")] {
            check_early(first, second, (None, 6, sent, ""));
        }
        for second in [PulledJoin(6), PulledLeave(7)] {
            check_early(first, second, (None, second.ltime(), "", ""));
        }
        let tombstone_of_the_same = if matches!(first, Join(_)) { 6 } else { 5 };
        check_early(first, PulledLeave(6), (None, tombstone_of_the_same, "", ""));
        for second in [Join(5), Leave(5), Prune(5), Join(4), Leave(4), Prune(4), PulledJoin(5), PulledLeave(5)] {
            check_early(first, second, (None, 5, "", ""));
        }
        for second in [Gone, Updated] {
            check_early(first, second, (None, 5, "", ""));
        }
    }
}

#[test]
fn a_new_member_takes_its_early_intent_and_only_a_plain_leave_makes_it_leaving() {
    for (early, status) in
        [(Join(5), Alive), (Leave(5), Leaving), (Prune(5), Alive), (PulledJoin(5), Alive), (PulledLeave(5), Leaving)]
    {
        check_early(early, Stimulus::Alive, (Some(status), 5, "", "join b"));
    }
}

fn check_early(early: Stimulus, stimulus: Stimulus, expected: Outcome<'_>) {
    let mut lone = lone_with_b(None);
    apply(&mut lone, early);
    lone.talk();
    apply(&mut lone, stimulus);
    let (sent, events) = (lone.packet().join(", "), lone.events().join(", "));
    let outcome = (lone.status("b"), lone.ltime("b"), &*sent, &*events);
    assert_eq!(outcome, expected, "{early:?} and then {stimulus:?}");
}

#[test]
fn an_intent_in_a_push_pull_changes_a_status_but_is_not_gossiped() {
    for (status, stimulus, expected) in [
        (None, PulledJoin(6), (None, 6, "", "")),
        (None, PulledLeave(6), (None, 6, "", "")),
        (Some(Alive), PulledJoin(6), (Some(Alive), 6, "", "")),
        (Some(Alive), PulledLeave(7), (Some(Leaving), 7, "", "")),
        (Some(Leaving), PulledJoin(6), (Some(Alive), 6, "", "")),
        (Some(Leaving), PulledLeave(7), (Some(Leaving), 7, "", "")),
        (Some(Failed), PulledJoin(6), (Some(Failed), 6, "", "")),
        (Some(Failed), PulledLeave(6), (Some(Left), 6, "", "leave b")),
        (Some(Left), PulledJoin(6), (Some(Left), 6, "", "")),
    ] {
        check(status, stimulus, expected);
    }
}

#[test]
fn a_tombstone_at_the_time_of_the_join_is_stale_and_does_not_raise_another() {
    check(Some(Alive), PulledLeave(6), (Some(Alive), 5, "", ""));
    check(Some(Leaving), PulledLeave(6), (Some(Leaving), 5, "", ""));
    check(Some(Left), PulledLeave(9), (Some(Left), 5, "", ""));
}

#[test]
fn a_tombstone_in_a_state_does_not_restart_the_broadcast_of_its_leave() {
    let mut lone = lone_with_b(Some(Alive));
    lone.hear_leave("b", 6);
    lone.merge_members(&[("b", 6, true)]);
    assert_eq!((lone.ltime("b"), lone.packet()), (6, vec!["leave b@6".to_string()]));
    // Nor that of an unknown member.
    lone.hear_leave("stranger", 7);
    lone.merge_members(&[("stranger", 7, true)]);
    assert_eq!(lone.packet(), ["leave stranger@7", "leave b@6"]);
    lone.hear_join("other", 8);
    lone.merge_members(&[("other", 8, true)]);
    assert_eq!(lone.packet(), ["leave stranger@7", "leave b@6"], "what waits to be sent of a join is void");
}

/// The numbers of failed and left members.
fn gone(lone: &Lone) -> (usize, usize) {
    (lone.serf.members.failed().len(), lone.serf.members.left().len())
}

#[test]
fn the_age_of_a_failed_member_that_turns_out_to_have_left_counts_from_its_failure() {
    let mut lone = lone_with_b(Some(Failed));
    let idx = lone.idx("b");
    let failed_at = lone.serf.members.gone_since(idx);
    lone.run(secs(100));
    lone.hear_leave("b", 6);
    assert_eq!((gone(&lone), lone.serf.members.gone_since(idx)), ((0, 1), failed_at));
}

#[test]
fn the_lists_of_the_failed_and_the_left_hold_exactly_those() {
    for (status, failed, left) in [(Alive, 0, 0), (Leaving, 0, 0), (Failed, 1, 0), (Left, 0, 1)] {
        let mut lone = lone_with_b(Some(status));
        assert_eq!(gone(&lone), (failed, left), "{status}");
        lone.alive("b");
        assert_eq!(gone(&lone), (0, 0), "{status}, then back");
    }
}

#[test]
fn a_member_that_is_back_is_not_passed_on_as_what_it_was() {
    let mut lone = lone_with_b(Some(Alive));
    lone.hear_leave("b", 6);
    assert_eq!(lone.packet(), ["leave b@6"]);
    lone.merge_members(&[("b", 7, false)]);
    assert_eq!((lone.status("b"), lone.packet()), (Some(Alive), vec![]), "the queued leave is void");
}

// Stimuli about this node.

#[test]
fn a_leave_intent_about_us_is_answered_with_a_newer_join() {
    for via_gossip in [true, false] {
        let mut lone = Lone::lan(&["b"]);
        if via_gossip {
            lone.hear_leave("a", 9);
        } else {
            lone.merge_members(&[("a", 8, true)]);
        }
        assert_eq!((lone.status("a"), lone.ltime("a")), (Some(Alive), 10));
        assert_eq!((lone.packet(), lone.events()), (vec!["join a@10".to_string()], vec![]));
        lone.hear_leave("a", 10);
        assert_eq!(lone.ltime("a"), 10, "what is not newer is not even refuted");
        lone.hear_prune("a", 11);
        assert_eq!((lone.status("a"), lone.ltime("a")), (Some(Alive), 12));
    }
}

#[test]
fn while_we_leave_we_do_not_refute() {
    let mut lone = Lone::lan(&["b"]);
    assert!(lone.serf.leave(&mut lone.core));
    assert_eq!((lone.status("a"), lone.ltime("a"), lone.packet()), (Some(Leaving), 1, vec!["leave a@1".to_string()]));
    lone.hear_leave("a", 9);
    assert_eq!((lone.status("a"), lone.ltime("a"), lone.packet()), (Some(Leaving), 9, vec!["leave a@9".to_string()]));
    lone.gone("a");
    assert_eq!((lone.status("a"), lone.events()), (Some(Left), vec!["leave a".to_string()]));
}

#[test]
fn a_state_newer_than_ours_about_us_causes_a_newer_join_unless_we_leave() {
    let mut lone = Lone::lan(&["b"]);
    lone.merge_members(&[("a", 9, false)]);
    assert_eq!((lone.status("a"), lone.ltime("a"), lone.packet()), (Some(Alive), 10, vec!["join a@10".to_string()]));
    lone.talk();
    lone.merge_members(&[("a", 10, false)]);
    assert_eq!((lone.ltime("a"), lone.packet()), (10, vec![]), "that is what we said");
    assert!(lone.serf.leave(&mut lone.core));
    lone.talk();
    lone.merge_members(&[("a", 20, false)]);
    assert_eq!(lone.packet(), [""; 0]);
}

#[test]
fn a_join_intent_about_ourselves_only_raises_our_time() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_join("a", 9);
    assert_eq!((lone.status("a"), lone.ltime("a"), lone.packet()), (Some(Alive), 9, vec!["join a@9".to_string()]));
}

// What other layers ask about the table.

#[test]
fn the_hash_of_a_live_member_is_that_of_the_protocol() {
    let mut lone = Lone::lan(&["b"]);
    let hash = |lone: &Lone, salt| {
        let idx = lone.idx("b");
        lone.serf.row_hash(idx, lone.core.roster.hashes(idx), salt)
    };
    lone.hear_join("b", 5);
    assert_eq!((hash(&lone, 0), hash(&lone, 7)), (0xc16c_4d25_1e2c_10e2, 0xfc74_f101_b607_d594));
    lone.hear_join("b", 6);
    assert_eq!(hash(&lone, 7), 0x4550_cb72_69e5_a6d8);
    let mut lone = Lone::lan(&["b"]);
    lone.hear_leave("b", 5);
    assert_eq!(hash(&lone, 0), 0x8781_236c_18fe_4e46);
    lone.gone("b");
    assert_eq!(hash(&lone, 0), 0, "only live members count");
}

#[test]
fn the_live_members_are_listed_with_their_times_and_whether_they_leave() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.hear_join("b", 5);
    lone.hear_leave("c", 6);
    lone.gone("d");
    lone.hear_join("stranger", 7);
    let listed =
        lone.serf.live_intents().map(|(idx, ltime, leaves)| (lone.core.roster.name(idx).to_string(), ltime, leaves));
    let expected = [("a", 0, false), ("b", 5, false), ("c", 6, true)];
    assert_eq!(listed.collect::<Vec<_>>(), expected.map(|(name, ltime, leaves)| (name.to_string(), ltime, leaves)));
}

#[test]
fn in_a_converged_cluster_every_name_of_the_directory_is_a_member_without_an_event() {
    let identity = |name| crate::Identity::new(name, addr(name), &crate::Tags::default()).unwrap();
    let directory = Directory::new(["a", "b", "c"].map(identity));
    let cfg = Arc::new(Config::new(Options::lan()).unwrap());
    let core = Core::new(cfg, &Seed::from_u64(7), directory, Instant::ZERO);
    let me = core.roster.find("a").unwrap();
    let mut lone = Lone { serf: Serf::new(me, &core.cfg), core };
    lone.serf.assume_converged(&mut lone.core);
    assert_eq!((lone.status("a"), lone.status("b"), lone.status("c")), (None, Some(Alive), Some(Alive)));
    assert_eq!((lone.serf.members.known(), lone.events()), (2, vec![]), "this node joins like any other");
}

#[test]
fn a_repeat_is_an_intent_that_is_not_newer_than_the_known_one() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_join("b", 5);
    lone.hear_leave("stranger", 5);
    for name in ["b", "stranger"] {
        let idx = lone.idx(name);
        assert_eq!([4, 5, 6].map(|ltime| lone.serf.is_repeat(idx, ltime)), [true, true, false], "{name}");
    }
    let (quiet, unheard) = (lone.idx("c"), lone.core.roster.intern("unheard").unwrap());
    assert_eq!([0, 1].map(|ltime| lone.serf.is_repeat(quiet, ltime)), [true, false]);
    assert_eq!([0, 1].map(|ltime| lone.serf.is_repeat(unheard, ltime)), [false, false], "a time may be its first");
}

// Times that come with rows and announcements instead of intents.

#[test]
fn the_time_of_an_announcement_raises_that_of_an_early_intent_and_does_not_lower_it() {
    for (early, announced, ltime) in [(None, 5, 5), (Some(5), 4, 5), (Some(5), 5, 5), (Some(5), 6, 6)] {
        let mut lone = Lone::lan(&["c"]);
        if let Some(early) = early {
            lone.hear_join("b", early);
        }
        let idx = lone.core.roster.intern("b").unwrap();
        lone.core.roster.hold(idx, Holder::Swim);
        lone.serf.joined_at(&mut lone.core, idx, announced, true);
        lone.alive("b");
        assert_eq!((lone.status("b"), lone.ltime("b")), (Some(Alive), ltime), "{early:?} and then {announced}");
    }
}

#[test]
fn a_leave_in_a_reconciled_row_is_believed_and_passed_on_unless_it_is_far_ahead() {
    let mut lone = Lone::lan(&["b"]);
    let idx = lone.idx("b");
    lone.serf.leaving_at(&mut lone.core, idx, 1 << 60);
    assert_eq!((lone.status("b"), lone.dropped(DropReason::OutOfRange)), (Some(Alive), 1));
    lone.serf.leaving_at(&mut lone.core, idx, 9);
    assert_eq!((lone.status("b"), lone.ltime("b"), lone.packet()), (Some(Leaving), 9, vec!["leave b@9".to_string()]));
    assert_eq!(lone.serf.times().member, 10);
}

#[test]
fn a_join_that_our_alive_message_carries_is_dated_and_not_gossiped() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_join("b", 5);
    lone.talk();
    lone.serf.date_join(&mut lone.core);
    assert_eq!((lone.serf.join_time(lone.idx("a")), lone.packet()), (6, vec![]));
}

#[test]
fn a_queued_leave_is_sent_with_the_newer_time_of_a_push_pull() {
    let mut lone = lone_with_b(Some(Alive));
    lone.hear_leave("b", 6);
    lone.merge_members(&[("b", 8, true)]);
    assert_eq!((lone.ltime("b"), lone.packet()), (9, vec!["leave b@9".to_string()]));
}
