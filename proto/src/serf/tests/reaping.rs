use super::*;

#[test]
fn failed_and_left_members_are_forgotten_after_their_timeouts() {
    let options = Options::lan().with(|options| {
        options.serf.reconnect_timeout = secs(100);
        options.serf.tombstone_timeout = secs(50);
    });
    let mut lone = Lone::with(options, &["b", "c", "d"]);
    lone.gone("b");
    lone.hear_leave("c", 5);
    lone.gone("c");
    lone.events();
    // The reaper runs every 15 s; a member whose age equals the timeout is kept.
    lone.run(secs(45));
    assert_eq!(lone.events(), [""; 0]);
    lone.run(secs(15));
    assert_eq!(lone.events(), ["reap c"]);
    lone.run(secs(40));
    assert_eq!(lone.events(), [""; 0]);
    lone.run(secs(5));
    assert_eq!(lone.events(), ["reap b"]);
    let counts = MemberCounts { known: 2, live: 2, ..MemberCounts::default() };
    assert_eq!(lone.serf.counts(), counts);
    lone.forgotten_by_swim("b");
    assert_eq!(lone.core.roster.find("b"), None, "both layers have let go");
}

#[test]
fn exactly_at_the_timeout_no_member_is_reaped() {
    let options = Options::lan().with(|options| options.serf.reconnect_timeout = secs(30));
    let mut lone = Lone::with(options, &["b"]);
    lone.gone("b");
    lone.run(secs(30));
    assert_eq!(lone.status("b"), Some(Status::Failed));
    lone.run(secs(15));
    assert_eq!(lone.status("b"), None);
}

#[test]
fn a_member_that_is_back_is_not_forgotten() {
    let options = Options::lan().with(|options| {
        options.serf.reconnect_timeout = secs(50);
        options.serf.tombstone_timeout = secs(50);
    });
    let mut lone = Lone::with(options, &["b", "c"]);
    lone.gone("b");
    lone.hear_leave("c", 5);
    lone.gone("c");
    lone.run(secs(40));
    lone.alive("b");
    lone.alive("c");
    lone.run(secs(600));
    assert_eq!((lone.status("b"), lone.status("c")), (Some(Status::Alive), Some(Status::Alive)));
}

#[test]
fn the_reaper_is_idle_without_members_to_reap() {
    let mut lone = Lone::lan(&["b"]);
    assert_eq!(lone.core.timers.next(), None);
    lone.gone("b");
    assert_eq!(lone.core.timers.next(), Some(lone.core.now + secs(15)));
    lone.alive("b");
    lone.run(secs(31));
    assert_eq!(lone.core.timers.next(), None);
}

/// The addresses of the reconnect attempts in `rounds` intervals, in a cluster of `members` (this node included) of
/// which `failed` have failed.
fn tries(members: u8, failed: u8, rounds: u64) -> Vec<SocketAddr> {
    let names: Vec<String> = (1..members).map(|n| char::from(b'a' + n).to_string()).collect();
    let mut lone = Lone::lan(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names[..usize::from(failed)] {
        lone.gone(name);
    }
    let mut tried = vec![];
    for _ in 0..rounds {
        lone.run(secs(30));
        for dial in mem::take(&mut lone.core.dials) {
            assert!(matches!(dial.purpose, ExchangePurpose::Reconnect { .. }), "{dial:?}");
            // Some time in the last interval, plus the stream timeout.
            assert!(dial.until + secs(20) >= lone.core.now && dial.until <= lone.core.now + secs(10));
            tried.push(dial.to);
        }
    }
    tried
}

#[test]
fn a_failed_member_is_tried_about_once_an_interval_by_the_whole_cluster() {
    let tried = tries(11, 1, 1000).len();
    assert!((60..140).contains(&tried), "1 of 10 each time, not {tried} of 1000");
    let tried = tries(11, 2, 1000).len();
    assert!((180..270).contains(&tried), "2 of 9 each time, not {tried} of 1000");
}

#[test]
fn with_as_many_failed_as_live_members_one_is_tried_every_time_and_each_as_often() {
    let tried = tries(6, 3, 300);
    assert_eq!(tried.len(), 300);
    for name in ["b", "c", "d"] {
        let count = tried.iter().filter(|&&to| to == addr(name)).count();
        assert!((70..130).contains(&count), "{name} {count}");
    }
}

#[test]
fn no_reconnect_is_tried_without_a_failed_member() {
    let mut lone = Lone::lan(&["b"]);
    lone.gone("b");
    lone.alive("b");
    lone.run(secs(600));
    assert_eq!((lone.core.notifications.len(), lone.core.timers.next()), (0, None));
}

#[test]
fn an_erased_member_leaves_no_bytes_of_its_early_intent() {
    let mut lone = Lone::lan(&[]);
    lone.hear_join("b", 5);
    let bytes = lone.serf.intents.early_bytes();
    assert!(bytes > 0);
    lone.alive("b");
    lone.gone("b");
    // Erases the member, and is then an early intent itself.
    lone.hear_prune("b", 6);
    assert_eq!((lone.serf.intents.early(), lone.serf.intents.early_bytes()), (1, bytes));
    lone.run(secs(350));
    assert_eq!((lone.serf.intents.early(), lone.serf.intents.early_bytes()), (0, 0));
}

#[test]
fn a_second_early_intent_of_a_name_waits_its_whole_time() {
    let mut lone = Lone::lan(&[]);
    lone.hear_join("b", 5);
    lone.alive("b");
    lone.gone("b");
    lone.run(secs(200));
    // Both layers removed the member; then it is announced again.
    lone.hear_prune("b", 6);
    lone.run(secs(200));
    assert_eq!(lone.ltime("b"), 6, "the second intent is 200 s old, the first 400 s");
    lone.run(secs(150));
    assert_eq!(lone.ltime("b"), 0);
}

#[test]
fn a_leaving_member_that_is_still_alive_after_the_longest_leave_is_alive_again() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.hear_leave("b", 5);
    lone.hear_leave("c", 5);
    lone.hear_leave("d", 5);
    lone.run(secs(2));
    lone.gone("c");
    lone.events();
    // 5 s for the leave, 1 s until the node stops, 30 s until a push/pull; the reaper runs every 15 s.
    lone.run(secs(34));
    assert_eq!(lone.status("b"), Some(Status::Leaving));
    lone.hear_join("d", 6);
    lone.hear_leave("d", 7);
    lone.run(secs(24));
    assert_eq!((lone.status("b"), lone.ltime("b"), lone.events()), (Some(Status::Alive), 5, vec![]));
    assert_eq!(lone.status("c"), Some(Status::Left));
    assert_eq!(lone.status("d"), Some(Status::Leaving), "it began to leave anew");
    lone.run(secs(60));
    assert_eq!((lone.status("d"), lone.serf.members.leaving()), (Some(Status::Alive), 0));
}

#[test]
fn a_member_that_leaves_in_time_is_not_reverted_to_alive() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_leave("b", 5);
    lone.run(secs(2));
    lone.gone("b");
    lone.run(secs(600));
    assert_eq!((lone.status("b"), lone.serf.members.leaving()), (Some(Status::Left), 0));
}

#[test]
fn an_infinite_reconnect_timeout_forgets_no_member() {
    let options = Options::lan().with(|options| options.serf.reconnect_timeout = Duration::MAX);
    let mut lone = Lone::with(options, &["b"]);
    lone.gone("b");
    lone.run(secs(40 * 24 * 3600));
    assert_eq!(lone.status("b"), Some(Status::Failed));
}

#[test]
fn every_change_of_a_member_is_counted_and_a_quick_return_as_a_flap() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.gone("b");
    lone.run(secs(59));
    lone.alive("b");
    lone.gone("c");
    lone.run(secs(61));
    lone.alive("c");
    lone.hear_leave("b", 9);
    lone.gone("b");
    let idx = lone.idx("b");
    lone.serf.notified(&mut lone.core, Notification::Updated(idx));
    lone.serf.erase(&mut lone.core, idx);
    let stats = &lone.core.stats;
    assert_eq!((stats.member_joins, stats.member_failures, stats.member_flaps), (5, 2, 1));
    assert_eq!((stats.member_leaves, stats.member_updates, stats.member_reaps), (1, 1, 1));
}

#[test]
fn repeated_leave_intents_about_a_member_are_noted_once() {
    let mut lone = Lone::lan(&["b"]);
    for ltime in 0..50 {
        lone.hear_leave("b", 2 * ltime + 5);
        lone.hear_join("b", 2 * ltime + 6);
    }
    assert_eq!(lone.serf.members.leaving(), 1);
}

#[test]
fn a_leaving_member_reverts_to_alive_even_without_push_pulls() {
    let options = Options::lan().with(|options| options.swim.push_pull_interval = Duration::MAX);
    let mut lone = Lone::with(options, &["b"]);
    lone.hear_leave("b", 5);
    lone.run(secs(60));
    assert_eq!(lone.status("b"), Some(Status::Alive));
}

#[test]
fn a_return_is_a_flap_only_within_the_flap_timeout() {
    for (gone_for, flaps) in [(59, 1), (60, 0), (61, 0)] {
        let mut lone = Lone::lan(&["b", "c"]);
        lone.gone("c");
        lone.gone("b");
        lone.run(secs(gone_for));
        lone.alive("b");
        assert_eq!(lone.core.stats.member_flaps, flaps, "{gone_for} s");
    }
}

#[test]
fn the_members_that_left_are_listed_until_they_are_back() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.gone("b");
    lone.hear_leave("c", 5);
    lone.gone("c");
    let listed = |lone: &Lone| (lone.serf.failed().collect::<Vec<_>>(), lone.serf.left().collect::<Vec<_>>());
    assert_eq!(listed(&lone), (vec![lone.idx("b")], vec![lone.idx("c")]));
    lone.alive("c");
    assert_eq!(listed(&lone), (vec![lone.idx("b")], vec![]));
}

impl Lone {
    /// Notifies that a member which membership removed has pinged us. Returns the addresses of the reconnects.
    fn pinged_by_forgotten(&mut self, name: &str) -> Vec<SocketAddr> {
        let idx = self.idx(name);
        self.serf.notified(&mut self.core, Notification::Forgotten(idx));
        mem::take(&mut self.core.dials).into_iter().map(|dial| dial.to).collect()
    }
}

#[test]
fn a_ping_of_a_member_that_left_causes_a_reconnect_at_most_once_a_probe_interval() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_leave("b", 5);
    lone.gone("b");
    assert_eq!(lone.pinged_by_forgotten("b"), [addr("b")]);
    lone.core.now = lone.core.now + Duration::from_millis(999);
    assert_eq!(lone.pinged_by_forgotten("b"), []);
    lone.core.now = lone.core.now + Duration::from_millis(1);
    assert_eq!(lone.pinged_by_forgotten("b"), [addr("b")]);
}

#[test]
fn a_ping_causes_no_reconnect_if_its_sender_failed_or_is_alive_or_we_leave() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.gone("b");
    lone.hear_leave("d", 5);
    lone.gone("d");
    assert_eq!((lone.pinged_by_forgotten("b"), lone.pinged_by_forgotten("c")), (vec![], vec![]));
    lone.serf.leave(&mut lone.core);
    assert_eq!(lone.pinged_by_forgotten("d"), []);
}
