//! If an accusation is accepted, its refutation is accepted everywhere.

use proptest::prelude::*;

use super::*;
use crate::limits::INCARNATION_AHEAD_MAX as AHEAD;

const MAX: u32 = u32::MAX;

/// `a`, which has reached an incarnation by its own refutations.
fn victim(incarnation: u32) -> Lone {
    let mut lone = Lone::lan(&["b", "m1", "m2"]);
    lone.swim.own = Own::new(incarnation);
    let me = lone.swim.me();
    lone.swim.members.raise(&lone.core, me, incarnation);
    lone
}

/// Another member, whose last alive message of `b` had this incarnation.
fn other(incarnation: u32) -> Lone {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear(alive("b", incarnation));
    while !lone.packet().is_empty() {}
    lone
}

fn tagged(name: &str, incarnation: u32) -> Message<'_> {
    Message::Alive(Alive { incarnation, peer: PeerRef { meta: b"\xff\x81\xa1k\xa1v", ..announcement(name) } })
}

impl Lone {
    /// Merges one member's state, as encoded in a push/pull.
    fn merge_one(&mut self, origin: Origin, name: &str, state: State, incarnation: u32) {
        let mut body = vec![];
        native::begin_push_pull(&mut body, false, 1);
        native::push_state(&mut body, state, incarnation, &native::encode_record(announcement(name)));
        self.swim.merge(&mut self.core, origin, &PushPull::parse(Codec::Native, &body).unwrap()).unwrap();
    }

    fn tick(&mut self) {
        self.core.now = self.core.now + secs(1);
        self.swim.start_probe_interval(&mut self.core);
    }

    fn exchanges_wanted_with(&mut self) -> Vec<SocketAddr> {
        self.wanted().into_iter().map(|(with, ..)| with).collect()
    }
}

/// How an accusation reaches another member.
#[derive(Clone, Copy, Debug)]
enum By {
    Suspect,
    Dead,
    OwnLeave,
    State(u8),
    OwnProbe,
}

fn accuse(other: &mut Lone, by: By, incarnation: u32) {
    match by {
        By::Suspect => other.hear(suspect("b", incarnation, "c")),
        By::Dead => other.hear(dead("b", incarnation, "c")),
        By::OwnLeave => other.hear(dead("b", incarnation, "b")),
        By::State(state) => {
            let state = State::from_u8(state).unwrap();
            other.merge_one(Origin::Exchange(addr("z")), "b", state, incarnation);
        }
        By::OwnProbe => {
            let incarnation = other.incarnation("b");
            other.swim.suspect(&mut other.core, Origin::Local, &Accusation { incarnation, node: "b", from: "a" });
        }
    }
}

/// Delivers the other member's claims to the victim, by packet or stream, and the victim's to the other.
fn meet(victim: &mut Lone, other: &mut Lone, at: &str) {
    let row = other.swim.members.row(other.idx("b"));
    let message = match row.state.unwrap() {
        State::Alive => alive("a", row.incarnation),
        State::Suspect => suspect("a", row.incarnation, "c"),
        State::Dead => dead("a", row.incarnation, "c"),
        State::Left => dead("a", row.incarnation, "a"),
    };
    victim.hear_from(addr(at), message);
    victim.tick();
    if victim.exchanges_wanted_with().contains(&addr(at)) {
        victim.merge_one(Origin::Reply(addr(at)), "a", row.state.unwrap(), row.incarnation);
        victim.tick();
    }
    other.hear_from(addr("b"), alive("b", victim.swim.incarnation()));
}

fn number() -> impl Strategy<Value = u32> {
    let edges = vec![1, 2, AHEAD - 1, AHEAD, AHEAD + 1, AHEAD + 2, (1 << 31) - 1, 1 << 31, (1 << 31) + 1];
    let near_the_end = (0_u32..2 * AHEAD).prop_map(|less| MAX - less);
    prop_oneof![4 => prop::sample::select(edges), 2 => 1_u32..3 * AHEAD, 2 => near_the_end, 1 => Just(MAX), 1 => 1_u32..]
}

fn by() -> impl Strategy<Value = By> {
    let state = (0_u8..4).prop_map(By::State);
    prop_oneof![3 => Just(By::Suspect), 2 => Just(By::Dead), 2 => Just(By::OwnLeave), 3 => state, 1 => Just(By::OwnProbe)]
}

proptest! {
    #[test]
    fn the_refutation_of_an_accepted_accusation_is_adopted_by_all(
        own in number(), accuser in number(), third in number(), accused in number(), by in by(), both: bool,
    ) {
        let (mut victim, mut accuser, mut third) = (victim(own), other(accuser), other(third));
        accuse(&mut accuser, by, accused);
        if both {
            accuse(&mut third, by, accused);
        }
        meet(&mut victim, &mut accuser, "m1");
        meet(&mut victim, &mut third, "m2");
        accuser.hear_from(addr("b"), alive("b", victim.swim.incarnation()));
        prop_assert_eq!((accuser.state("b"), third.state("b")), (Some(State::Alive), Some(State::Alive)));
        prop_assert!(accuser.incarnation("b") >= own.min(victim.swim.incarnation()));
        // From then on its tags are gossiped again.
        victim.swim.announce(&victim.core);
        third.hear_from(addr("b"), alive("b", victim.swim.incarnation().saturating_sub(1)));
        third.hear_from(addr("b"), tagged("b", victim.swim.incarnation()));
        prop_assert_ne!(third.core.roster.peer(third.idx("b")).unwrap().meta(), NO_TAGS);
    }

    #[test]
    fn no_flood_raises_us_by_much_more_in_a_probe_interval_than_the_bound(
        own in number(), claims in prop::collection::vec((0_u32..=2 * AHEAD, 0_u8..3), 1..60),
    ) {
        let mut lone = victim(own);
        for (ahead, kind) in claims {
            let incarnation = lone.swim.incarnation().saturating_add(ahead);
            lone.hear(match kind {
                0 => suspect("a", incarnation, "b"),
                1 => dead("a", incarnation, "b"),
                _ => tagged("a", incarnation),
            });
        }
        prop_assert!(lone.swim.incarnation() <= own.saturating_add(AHEAD + 1));
        let before = lone.swim.incarnation();
        lone.tick();
        prop_assert!(lone.swim.incarnation() <= before.saturating_add(AHEAD + 1));
    }
}

#[test]
fn an_accusation_beyond_the_bound_is_refused_at_any_height() {
    for row in [1, AHEAD, (1 << 31) - 1, 1 << 31, MAX - 2 * AHEAD, MAX - AHEAD - 2] {
        for (ahead, accepted) in [(AHEAD - 1, true), (AHEAD, true), (AHEAD + 1, false)] {
            let mut lone = other(row);
            lone.hear(suspect("b", row + ahead, "c"));
            assert_eq!(lone.state("b") == Some(State::Suspect), accepted, "{row} and {ahead}");
            assert_eq!(lone.dropped(DropReason::OutOfRange), u64::from(!accepted));
            // The bound is relative to the last alive message, so that accusations cannot raise each other.
            lone.hear(dead("b", row + AHEAD + 1, "c"));
            assert_ne!(lone.state("b"), Some(State::Dead));
            lone.hear(alive("b", row + AHEAD + 1));
            assert_eq!((lone.state("b"), lone.incarnation("b")), (Some(State::Alive), row + AHEAD + 1));
        }
    }
}

#[test]
fn any_higher_alive_message_is_adopted_however_far_above() {
    for incarnation in [2, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, MAX - 1, MAX] {
        let mut lone = other(1);
        lone.hear(alive("b", incarnation));
        assert_eq!((lone.incarnation("b"), lone.dropped(DropReason::OutOfRange)), (incarnation, 0));
    }
}

#[test]
fn a_claim_about_us_far_ahead_is_believed_only_from_a_member_that_we_ask() {
    for claim in
        [suspect("a", 1 << 31, "b"), dead("a", 1 << 31, "b"), alive("a", 1 << 31), suspect("a", 2 + AHEAD, "b")]
    {
        let mut lone = victim(1);
        lone.hear(claim);
        lone.tick();
        assert_eq!((lone.swim.incarnation(), lone.exchanges_wanted_with()), (1, vec![]), "a stranger says so");
        lone.hear_from(addr("b"), claim);
        lone.hear_from(addr("b"), claim);
        lone.tick();
        assert_eq!((lone.swim.incarnation(), lone.exchanges_wanted_with()), (1, vec![addr("b")]), "once");
        lone.merge_one(Origin::Exchange(addr("b")), "a", State::Suspect, 1 << 31);
        assert_eq!(lone.swim.incarnation(), 1, "a stream that another opened proves nothing");
        lone.merge_one(Origin::Reply(addr("b")), "a", State::Suspect, 1 << 31);
        assert_eq!(
            (lone.swim.incarnation(), lone.queued()),
            ((1 << 31) + 1, vec![format!("alive a@{}", (1_u32 << 31) + 1)])
        );
    }
}

#[test]
fn no_more_members_than_the_bound_wait_to_be_asked_what_they_hold_of_us() {
    let names: Vec<String> = (0..9).map(|number| format!("m{number}")).collect();
    let mut lone = Lone::lan(&names.iter().map(String::as_str).collect::<Vec<_>>());
    names.iter().for_each(|name| lone.hear_from(addr(name), suspect("a", 1 << 31, "m0")));
    for _ in 0..20 {
        lone.tick();
    }
    let asked = lone.exchanges_wanted_with();
    assert_eq!(asked, names[..8].iter().map(|name| addr(name)).collect::<Vec<_>>());
}

#[test]
fn an_accusation_at_the_greatest_incarnation_is_hearsay_and_refused() {
    for row in [MAX - AHEAD, MAX - 1, MAX] {
        let mut lone = other(row);
        for message in [suspect("b", MAX, "c"), dead("b", MAX, "c"), dead("b", MAX, "b")] {
            lone.hear(message);
        }
        lone.merge_one(Origin::Reply(addr("c")), "b", State::Dead, MAX);
        assert_eq!((lone.state("b"), lone.dropped(DropReason::OutOfRange)), (Some(State::Alive), 4), "{row}");
    }
    let mut lone = victim(MAX - 1);
    lone.hear(suspect("a", MAX, "b"));
    assert_eq!((lone.swim.incarnation(), lone.dropped(DropReason::OutOfRange)), (MAX - 1, 1), "nor do we");
    let mut lone = other(MAX);
    lone.hear_from(addr("b"), dead("b", MAX, "b"));
    assert_eq!(lone.state("b"), Some(State::Left), "its own leave is no hearsay");
}

#[test]
fn a_member_accused_at_the_greatest_number_fails_by_our_own_probe_alone() {
    let mut lone = Lone::probing(Options::lan(), &["b", "m1", "m2", "m3", "m4", "m5"]);
    lone.hear(alive("b", MAX));
    for _ in 0..2 {
        lone.hear(suspect("b", MAX, "m1"));
        let two: Vec<String> = (0..2)
            .map(|_| {
                let (name, seq) = lone.next_probe();
                if name != "b" {
                    lone.hear(ack(seq));
                }
                name
            })
            .collect();
        assert!(two.contains(&"b".to_string()), "{two:?}");
    }
    assert_eq!(lone.state("b"), Some(State::Suspect));
    while lone.state("b") == Some(State::Suspect) {
        let (_, seq) = lone.next_probe();
        lone.hear(ack(seq.wrapping_add(u32::from(lone.state("b").is_none()))));
    }
    assert_eq!(lone.state("b"), Some(State::Dead));
    lone.hear(alive("b", MAX));
    assert_eq!(lone.state("b"), Some(State::Dead), "an echo raises nobody");
    lone.hear_from(addr("b"), alive("b", 1));
    assert_eq!(
        (lone.state("b"), lone.incarnation("b")),
        (Some(State::Alive), 1),
        "its own word does, in its next life too"
    );
}

#[test]
fn at_the_greatest_number_tags_come_from_the_members_own_address() {
    let mut lone = other(MAX);
    lone.hear_from(addr("c"), tagged("b", MAX));
    assert_eq!(lone.notified(), [""; 0]);
    lone.hear_from(addr("b"), tagged("b", MAX));
    assert_eq!(lone.notified(), ["updated b"]);
    let mut lone = victim(MAX);
    for _ in 0..3 {
        while !lone.packet().is_empty() {}
        lone.tick();
        assert_eq!(lone.queued(), [format!("alive a@{MAX}")]);
    }
    lone.hear(suspect("a", MAX, "b"));
    assert_eq!((lone.swim.incarnation(), lone.core.stats.refutations), (MAX, 1));
    lone.swim.announce(&lone.core);
    assert_eq!((lone.swim.incarnation(), lone.state("a")), (MAX, Some(State::Alive)));
}
