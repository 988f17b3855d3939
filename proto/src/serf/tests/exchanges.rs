use super::*;
use crate::limits::{
    EVENT_RING_BYTES_MAX, LAMPORT_BURST_MAX, LAMPORT_JOIN_MAX, LAMPORT_TIME_MAX, USER_EVENT_BYTES_MAX,
};
use crate::types::JoinId;
use crate::wire::hashicorp;

const fn clocks(member: u64, event: u64, query: u64) -> Clocks {
    Clocks { member, event, query }
}

const fn event(ltime: u64, name: &str) -> UserEvent<'_> {
    UserEvent { ltime, name, payload: b"", coalesce: true }
}

impl Lone {
    fn state(&self) -> Vec<u8> {
        let mut body = vec![];
        self.serf.write_state(&self.core, Codec::Native, usize::MAX, &mut body);
        body
    }
}

/// Merges both states into each other, each written before the merge.
fn exchange(one: &mut Lone, other: &mut Lone) {
    let (from_one, from_other) = (one.state(), other.state());
    one.serf.merge(&mut one.core, Codec::Native, &from_other, false, None);
    other.serf.merge(&mut other.core, Codec::Native, &from_one, false, None);
}

#[test]
fn each_clock_takes_the_others_time_as_its_own_and_none_goes_back() {
    let mut lone = Lone::lan(&["b"]);
    lone.merge(clocks(7, 8, 9), &[], &[], false);
    assert_eq!(lone.serf.times(), times(7, 8, 9));
    lone.merge(clocks(3, 0, 1), &[], &[], false);
    assert_eq!(lone.serf.times(), times(7, 8, 9));
}

#[test]
fn a_clock_out_of_range_costs_neither_other_clocks_nor_members_nor_events() {
    for absurd in [u64::MAX, LAMPORT_TIME_MAX + 1, 1 << 60] {
        let mut lone = Lone::lan(&["b"]);
        lone.merge(clocks(7, absurd, 9), &[("b", 5, true)], &[event(1, "x"), event(absurd, "y")], false);
        assert_eq!((lone.serf.times(), lone.status("b")), (times(7, 2, 9), Some(Status::Leaving)));
        assert_eq!((lone.events(), lone.dropped(DropReason::OutOfRange)), (vec!["user x".to_string()], 2));
    }
}

#[test]
fn a_member_that_left_at_an_out_of_range_time_has_left_all_the_same() {
    let mut lone = Lone::lan(&["b"]);
    lone.gone("b");
    lone.merge(clocks(7, 1, 1), &[("b", 1 << 51, true), ("c", LAMPORT_TIME_MAX, false)], &[], false);
    assert_eq!((lone.status("b"), lone.dropped(DropReason::OutOfRange)), (Some(Status::Left), 2));
    assert_eq!(lone.ltime("b"), 1 + LAMPORT_BURST_MAX, "as far as our clock goes");
}

#[test]
fn a_node_that_ignores_old_events_of_a_clock_out_of_range_delivers_the_next() {
    let mut lone = Lone::lan(&["b"]);
    lone.merge(clocks(1, u64::MAX, 1), &[], &[], true);
    lone.serf.user_event(&mut lone.core, "own", b"", false).unwrap();
    lone.hear_event(2, "other", b"");
    assert_eq!(lone.events(), ["user own", "user other"]);
}

#[test]
fn a_clock_beyond_the_budget_is_followed_over_several_exchanges_with_its_events() {
    let mut lone = Lone::lan(&["b"]);
    let far = 3 * LAMPORT_BURST_MAX;
    let mut delivered = vec![];
    for round in 0..20 {
        lone.merge(clocks(far, far, far), &[], &[event(far - 2, "late")], false);
        delivered.extend(lone.events().into_iter().map(|event| (round, event)));
        lone.run(secs(30));
    }
    // Two budgets are missing, and each takes 256 s to refill.
    assert_eq!((lone.serf.times(), delivered), (times(far, far, far), vec![(18, "user late".to_string())]));
}

#[test]
fn the_first_join_is_believed_whatever_its_clocks_and_no_later_one() {
    let mut lone = Lone::lan(&["b"]);
    let far = 1 << 50;
    let state = |time| {
        let mut body = vec![];
        native::begin_serf_state(&mut body, clocks(time, time, time), 0);
        native::begin_events(&mut body, 0);
        body
    };
    let merge = |lone: &mut Lone, time, join| {
        lone.serf.merge(&mut lone.core, Codec::Native, &state(time), false, join);
    };
    merge(&mut lone, 9, Some(JoinId(1)));
    merge(&mut lone, far, Some(JoinId(1)));
    assert_eq!(lone.serf.times(), times(far, far, far), "another seed of the same join");
    merge(&mut lone, far + (1 << 49), Some(JoinId(2)));
    let followed = far + LAMPORT_BURST_MAX;
    assert_eq!(lone.serf.times(), times(followed, followed, followed));
    let mut fresh = Lone::lan(&["b"]);
    merge(&mut fresh, LAMPORT_JOIN_MAX + 1, Some(JoinId(1)));
    assert_eq!(fresh.serf.times().member, LAMPORT_BURST_MAX + 1, "no join is believed beyond the bound");
    assert_eq!(fresh.dropped(DropReason::OutOfRange), 3);
}

#[test]
fn at_the_end_of_time_an_event_or_query_is_refused_and_not_lost() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.clocks.event.resume(LAMPORT_TIME_MAX - 2);
    lone.serf.clocks.query.resume(LAMPORT_TIME_MAX - 2);
    lone.serf.user_event(&mut lone.core, "last", b"", false).unwrap();
    lone.serf.query(&mut lone.core, &Question::new("last")).unwrap();
    assert_eq!(lone.events(), ["user last", "query last"]);
    let sent = lone.serf.user_event(&mut lone.core, "lost", b"", false);
    assert_eq!(sent, Err(SendError::Exhausted));
    let asked = lone.serf.query(&mut lone.core, &Question::new("lost"));
    assert_eq!((asked, lone.events()), (Err(QueryError::ClockExhausted), vec![]));
}

#[test]
fn a_damaged_state_changes_nothing() {
    let mut lone = Lone::lan(&["b"]);
    let mut sender = Lone::lan(&["b"]);
    sender.hear_leave("b", 5);
    sender.gone("b");
    sender.hear_event(5, "x", b"");
    let whole = sender.state();
    for cut in 0..whole.len() {
        lone.serf.merge(&mut lone.core, Codec::Native, &whole[..cut], false, None);
    }
    assert_eq!((lone.serf.times(), lone.status("b"), lone.events()), (times(1, 1, 1), Some(Status::Alive), vec![]));
    assert_eq!(lone.dropped(DropReason::Malformed), whole.len() as u64);
    lone.serf.merge(&mut lone.core, Codec::Native, &whole, false, None);
    assert_eq!((lone.serf.times(), lone.status("b")), (times(7, 6, 1), Some(Status::Leaving)));
}

#[test]
fn a_state_names_every_member_and_replays_events_in_order_of_time() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear_leave("b", 5);
    lone.gone("b");
    lone.hear_join("c", 6);
    lone.hear_join("stranger", 7);
    for (ltime, name) in [(9, "late"), (3, "early"), (500, "latest")] {
        lone.hear_event(ltime, name, b"");
    }
    let body = lone.state();
    let state = native::SerfState::parse(&body).unwrap();
    assert_eq!(state.clocks, clocks(8, 501, 1));
    let members: Vec<_> = state.members().map(|m| (m.node, m.ltime, m.left)).collect();
    assert_eq!(members, [(&b"a"[..], 0, false), (b"b", 5, true), (b"c", 6, false)], "of a stranger nothing is said");
    let times: Vec<u64> = state.events().map(|event| event.ltime).collect();
    assert_eq!(times, [3, 9, 500]);
}

#[test]
fn two_nodes_with_a_tombstone_do_not_raise_it_however_often_they_exchange() {
    let (mut one, mut other) = (Lone::lan(&["b"]), Lone::lan(&["b"]));
    for (lone, ltime) in [(&mut one, 5), (&mut other, 6)] {
        lone.hear_leave("b", ltime);
        lone.gone("b");
    }
    // Each adopts the other's time.
    exchange(&mut one, &mut other);
    exchange(&mut one, &mut other);
    let before = (one.ltime("b"), other.ltime("b"), one.serf.times(), other.serf.times());
    for _ in 0..100 {
        exchange(&mut one, &mut other);
    }
    let after = (one.ltime("b"), other.ltime("b"), one.serf.times(), other.serf.times());
    assert_eq!(after, before);
    assert!(one.serf.times().member <= 8, "{:?}", one.serf.times());
}

#[test]
fn two_nodes_of_which_one_missed_the_leave_agree_and_then_rest() {
    let (mut one, mut other) = (Lone::lan(&["b"]), Lone::lan(&["b"]));
    one.hear_leave("b", 5);
    one.gone("b");
    other.gone("b");
    assert_eq!(other.status("b"), Some(Status::Failed));
    exchange(&mut one, &mut other);
    assert_eq!(other.status("b"), Some(Status::Left));
    for _ in 0..100 {
        exchange(&mut one, &mut other);
    }
    assert!(one.ltime("b") <= 6 && other.ltime("b") <= 6, "{} {}", one.ltime("b"), other.ltime("b"));
    assert!(one.serf.times().member <= 8);
}

#[test]
fn a_stale_tombstone_does_not_make_a_live_member_leave() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_leave("b", 5);
    lone.gone("b");
    lone.alive("b");
    lone.merge_members(&[("b", 5, true)]);
    assert_eq!(lone.status("b"), Some(Status::Alive), "that is the leave we know of");
    lone.merge_members(&[("b", 6, true)]);
    assert_eq!(lone.status("b"), Some(Status::Leaving), "and that is a later one");
}

#[test]
fn a_member_that_leaves_here_and_has_joined_later_there_is_alive() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_leave("b", 5);
    lone.merge_members(&[("b", 6, false)]);
    assert_eq!((lone.status("b"), lone.ltime("b")), (Some(Status::Alive), 6));
}

#[test]
fn members_at_time_zero_say_nothing() {
    let mut lone = Lone::lan(&[]);
    lone.merge_members(&[("stranger", 0, false)]);
    assert_eq!(lone.core.roster.find("stranger"), None);
}

#[test]
fn replayed_events_are_delivered_once_and_not_gossiped() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_event(3, "known", b"");
    lone.talk();
    lone.events();
    lone.merge(clocks(1, 9, 1), &[], &[event(3, "known"), event(8, "new")], false);
    lone.merge(clocks(1, 9, 1), &[], &[event(3, "known"), event(8, "new")], false);
    assert_eq!((lone.events(), lone.packet()), (vec!["user new".to_string()], vec![]));
}

#[test]
fn events_in_the_order_of_a_ring_are_delivered_in_the_order_of_their_times() {
    let mut lone = Lone::lan(&["b"]);
    // The contents of a ring with four slots after six events, in order of arrival within one time.
    let ring = [event(4, "d"), event(5, "e"), event(5, "a"), event(6, "f"), event(3, "c")];
    lone.merge(clocks(1, 7, 1), &[], &ring, false);
    assert_eq!(lone.events(), ["user c", "user d", "user e", "user a", "user f"]);
}

#[test]
fn a_node_that_ignores_old_events_gets_none_by_any_path_and_all_later_ones() {
    let mut lone = Lone::lan(&["b"]);
    lone.merge(clocks(1, 9, 1), &[], &[event(7, "old"), event(8, "older")], true);
    lone.hear_event(6, "old by gossip", b"");
    lone.merge(clocks(1, 10, 1), &[], &[event(5, "old again"), event(9, "new")], false);
    assert_eq!(lone.events(), ["user new"]);
    lone.merge(clocks(1, 4, 1), &[], &[], true);
    lone.hear_event(8, "still old", b"");
    assert_eq!(lone.events(), [""; 0], "the bound never goes back");
}

#[test]
fn the_coalesce_flag_survives_the_ring() {
    let mut lone = Lone::lan(&["b"]);
    lone.serf.user_event(&mut lone.core, "x", b"p", true).unwrap();
    lone.serf.user_event(&mut lone.core, "y", b"p", false).unwrap();
    let body = lone.state();
    let flags: Vec<bool> = native::SerfState::parse(&body).unwrap().events().map(|event| event.coalesce).collect();
    assert_eq!(flags, [true, false]);
}

#[test]
fn the_room_reserved_for_a_state_is_about_what_it_takes() {
    let lone = Lone::lan(&["b", "c", "d"]);
    let (written, reserved) = (lone.state().len(), lone.serf.state_bytes(&lone.core));
    assert!((written..written + 128).contains(&reserved), "{reserved} for {written}");
}

#[test]
fn a_recent_event_of_a_push_pull_is_not_counted_as_old() {
    let mut lone = Lone::lan(&["b"]);
    lone.merge(clocks(1, 1, 1), &[], &[event(1, "x")], false);
    assert_eq!(lone.events(), ["user x"]);
    assert_eq!(lone.dropped(DropReason::OldEvent), 0);
}

#[test]
fn a_push_pull_with_more_events_than_the_ring_holds_is_read_no_further() {
    let mut lone = Lone::lan(&["b"]);
    let events = vec![event(1, "x"); 40_000];
    lone.merge(clocks(1, 1, 1), &[], &events, false);
    assert_eq!(lone.events(), ["user x"]);
    assert_eq!((lone.core.stats.user_event_repeats, lone.dropped(DropReason::Limit)), (512 * 64 - 1, 1));
}

#[test]
fn events_of_a_push_pull_that_are_too_old_are_counted_once_unless_they_are_ignored() {
    let mut lone = Lone::with(Options::lan().with(|options| options.serf.event_buffer = 8), &["b"]);
    lone.merge(clocks(1, 5, 1), &[], &[], true);
    lone.hear_event(19, "now", b"");
    let replayed = [event(4, "ignored"), event(5, "too old"), event(11, "too old"), event(12, "oldest")];
    lone.merge(clocks(1, 20, 1), &[], &replayed, false);
    assert_eq!((lone.events(), lone.dropped(DropReason::OldEvent)), (vec!["user now".into(), "user oldest".into()], 2));
}

#[test]
fn of_a_push_pull_larger_than_the_ring_only_the_newest_events_are_taken() {
    let mut lone = Lone::lan(&["b"]);
    let names: Vec<String> = (0..600).map(|n| format!("{n:0>9}")).collect();
    let payload = vec![0; USER_EVENT_BYTES_MAX - 9];
    let mut events = vec![];
    for (name, n) in names.iter().zip(1..) {
        events.push(UserEvent { ltime: n / 2 + 1, name, payload: &payload, coalesce: false });
    }
    lone.merge(clocks(1, 302, 1), &[], &events, false);
    let fit = EVENT_RING_BYTES_MAX / USER_EVENT_BYTES_MAX;
    let expected: Vec<String> = names[600 - fit..].iter().map(|name| format!("user {name}")).collect();
    assert_eq!(lone.events(), expected);
}

#[test]
fn the_members_that_fit_into_a_state_are_found_to_the_byte() {
    let names: Vec<String> = (b'b'..=b'g').map(|first| format!("{}{}", char::from(first), "x".repeat(254))).collect();
    let mut lone = Lone::new(Options::lan());
    let me = lone.idx("a");
    lone.serf.erase(&mut lone.core, me);
    names.iter().for_each(|name| lone.alive(name));
    for name in &names[..2] {
        lone.hear_leave(name, 5);
        lone.gone(name);
    }
    // At most 128 bytes beside the members. Each is its name with a head of 3 bytes, once more if it left, and its time of
    // at most 9 bytes.
    let each = [525, 525, 267, 267, 267, 267];
    for codec in [Codec::Native, Codec::HashiCorp] {
        let members = |room| {
            let mut body = vec![];
            lone.serf.write_state(&lone.core, codec, room, &mut body);
            assert!(body.len() <= room, "{} of {room}", body.len());
            match codec {
                Codec::Native => native::SerfState::parse(&body).unwrap().members().count(),
                Codec::HashiCorp => hashicorp::SerfState::parse(&body).unwrap().members().count(),
            }
        };
        for count in 1..=each.len() {
            let room = 128 + each[..count].iter().sum::<usize>();
            assert_eq!((members(room - 1), members(room)), (count - 1, count), "{codec:?} {room}");
        }
    }
}

#[test]
fn the_room_reserved_for_a_state_grows_with_its_members() {
    let mut lone = Lone::named("node-of-a-usual-name");
    (0..50).for_each(|n| lone.alive(&format!("node-{n:0>15}")));
    let (written, reserved) = (lone.state().len(), lone.serf.state_bytes(&lone.core));
    assert!((written..written + 200).contains(&reserved), "{reserved} for {written}");
}
