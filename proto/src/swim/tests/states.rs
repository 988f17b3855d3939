use super::*;

/// The body of a push/pull with these states.
fn body(states: &[(State, u32, PeerRef<'_>)]) -> Vec<u8> {
    let mut body = vec![];
    native::begin_push_pull(&mut body, false, u32::try_from(states.len()).unwrap());
    for &(state, incarnation, peer) in states {
        native::push_state(&mut body, state, incarnation, &native::encode_record(peer));
    }
    body
}

impl Lone {
    fn merge(&mut self, states: &[(State, u32, PeerRef<'_>)]) -> Result<(), sync::Refused> {
        self.merge_from(Origin::Local, states)
    }

    fn merge_from(&mut self, origin: Origin, states: &[(State, u32, PeerRef<'_>)]) -> Result<(), sync::Refused> {
        let body = body(states);
        self.swim.merge(&mut self.core, origin, &PushPull::parse(Codec::Native, &body).unwrap())
    }

    fn own_states(&self) -> Vec<u8> {
        let mut body = vec![];
        native::begin_push_pull(&mut body, true, self.swim.members_known());
        self.swim.write_states(&self.core, Codec::Native, &mut body);
        body
    }
}

#[test]
fn live_members_of_a_push_pull_are_adopted_and_gossiped() {
    let mut lone = Lone::lan(&["b"]);
    let result = lone.merge(&[(State::Alive, 4, announcement("b")), (State::Alive, 2, announcement("c"))]);
    assert_eq!(result, Ok(()));
    assert_eq!((lone.incarnation("b"), lone.incarnation("c")), (4, 2));
    assert_eq!(lone.notified(), ["joined c"]);
    assert_eq!(lone.queued(), ["alive c@2", "alive b@4"]);
}

#[test]
fn the_dead_of_another_are_only_suspected_and_by_us() {
    let mut lone = Lone::lan(&["b", "c"]);
    assert_eq!(lone.merge(&[(State::Dead, 1, announcement("b")), (State::Suspect, 1, announcement("c"))]), Ok(()));
    assert_eq!((lone.state("b"), lone.state("c")), (Some(State::Suspect), Some(State::Suspect)));
    assert_eq!(lone.queued(), ["suspect c@1 by a", "suspect b@1 by a"]);
    assert_eq!(lone.notified(), [""; 0]);
}

#[test]
fn evidence_from_a_push_pull_names_the_other_side() {
    let mut lone = Lone::lan(&["b", "c"]);
    assert_eq!(lone.merge_from(Origin::Exchange(addr("c")), &[(State::Dead, 1, announcement("b"))]), Ok(()));
    let accused = lone.swim.accused(lone.idx("b")).unwrap();
    let source = Source::PushPull { with: addr("c"), member: None };
    assert_eq!(accused.suspected, Some(Evidence { at: lone.core.now, source }));
    assert_eq!((accused.incarnation, &*accused.accusers, accused.gone.is_none()), (1, &[Name::from("a")][..], true));
}

#[test]
fn the_left_of_another_left() {
    let mut lone = Lone::lan(&["b"]);
    assert_eq!(lone.merge(&[(State::Left, 1, announcement("b"))]), Ok(()));
    assert_eq!((lone.state("b"), lone.notified()), (Some(State::Left), vec!["gone b".to_string()]));
    assert_eq!(lone.queued(), ["left b@1"]);
}

#[test]
fn a_newcomer_learns_of_no_tombstones() {
    let mut lone = Lone::lan(&[]);
    let states = [State::Dead, State::Left, State::Suspect].map(|state| (state, 3, announcement("b")));
    assert_eq!(lone.merge(&states), Ok(()));
    assert_eq!((lone.state("b"), lone.notified(), lone.core.roster.find("b")), (None, vec![], None));
}

#[test]
fn state_about_us_of_an_earlier_run_is_refuted() {
    for (state, incarnation) in [(State::Dead, 100), (State::Suspect, 100), (State::Left, 100), (State::Alive, 100)] {
        let mut lone = Lone::lan(&["b"]);
        assert_eq!(lone.merge(&[(state, incarnation, announcement("a"))]), Ok(()));
        assert_eq!((lone.state("a"), lone.swim.incarnation()), (Some(State::Alive), 101), "{state:?}");
    }
}

#[test]
fn versions_that_do_not_go_with_ours_change_nothing() {
    let mut lone = Lone::lan(&["b"]);
    let future = PeerRef { versions: Versions::from_bytes([3, 9, 9, 2, 5, 5]), ..announcement("d") };
    let before = format!("{:?} {:?}", lone.swim, lone.core.roster);
    let states = [(State::Alive, 9, announcement("c")), (State::Left, 1, announcement("b")), (State::Alive, 1, future)];
    assert_eq!(lone.merge(&states), Err(sync::Refused));
    assert_eq!(format!("{:?} {:?}", lone.swim, lone.core.roster), before);
    assert_eq!((lone.notified(), lone.dropped(DropReason::Versions)), (vec![], 1));
    let states = [(State::Alive, 9, announcement("c")), (State::Dead, 1, future)];
    assert_eq!(lone.merge(&states), Ok(()), "the dead are not asked");
}

#[test]
fn one_state_that_cannot_be_read_does_not_keep_the_others_out() {
    let mut lone = Lone::lan(&["b"]);
    let mut damaged = native::encode_record(announcement("c")).into_vec();
    damaged.pop();
    let mut body = vec![];
    native::begin_push_pull(&mut body, false, 2);
    native::push_state(&mut body, State::Alive, 1, &damaged);
    native::push_state(&mut body, State::Alive, 1, &native::encode_record(announcement("d")));
    assert_eq!(lone.swim.merge(&mut lone.core, Origin::Local, &PushPull::parse(Codec::Native, &body).unwrap()), Ok(()));
    assert_eq!((lone.state("c"), lone.state("d")), (None, Some(State::Alive)));
    assert_eq!(lone.dropped(DropReason::Malformed), 1);
}

#[test]
fn every_member_is_written_in_its_state_and_a_second_merge_changes_nothing() {
    let mut lone = Lone::lan(&["b", "c", "d", "e"]);
    lone.hear(suspect("b", 1, "e"));
    lone.hear(dead("c", 1, "e"));
    lone.hear(dead("d", 1, "d"));
    let body = lone.own_states();
    let parsed = PushPull::parse(Codec::Native, &body).unwrap();
    let PushPull::Native(written) = &parsed else { panic!("as it was parsed") };
    let mut states: Vec<_> =
        written.states().map(|entry| (entry.partial.name, entry.state.unwrap(), entry.partial.incarnation)).collect();
    states.sort_unstable();
    let expected =
        [(b"a", State::Alive), (b"b", State::Suspect), (b"c", State::Dead), (b"d", State::Left), (b"e", State::Alive)];
    assert_eq!(states, expected.map(|(name, state)| (&name[..], state, 1)));
    assert!(parsed.join() && parsed.user().is_empty());

    let mut other = Lone::lan(&["b", "c", "d", "e"]);
    other.swim.merge(&mut other.core, Origin::Local, &parsed).unwrap();
    other.notified();
    while !other.packet().is_empty() {}
    other.core.events.clear();
    other.swim.merge(&mut other.core, Origin::Local, &parsed).unwrap();
    assert_eq!((other.notified(), other.queued(), other.core.events.len()), (vec![], vec![], 0));
}

#[test]
fn the_room_reserved_for_the_states_is_about_what_they_take() {
    let lone = Lone::lan(&["b", "c", "d", "e"]);
    let (written, reserved) = (lone.own_states().len(), lone.swim.states_bytes(&lone.core, Codec::Native));
    assert!((written..2 * written).contains(&reserved), "{reserved} for {written}");
    let mut written = vec![];
    lone.swim.write_states(&lone.core, Codec::HashiCorp, &mut written);
    let (written, reserved) = (written.len(), lone.swim.states_bytes(&lone.core, Codec::HashiCorp));
    assert!((written..2 * written).contains(&reserved), "{reserved} for {written}");
}

#[test]
fn one_live_member_at_a_time_is_asked_for_its_state_and_not_before_a_whole_interval() {
    let mut lone = Lone::probing(Options::lan(), &["b", "c", "d"]);
    lone.core.timers.clear(SwimTimer::Probe);
    lone.hear(dead("c", 1, "b"));
    lone.hear(suspect("d", 1, "b"));
    lone.notified();
    lone.run(secs(30));
    assert_eq!(lone.wanted(), [], "the first wait is random, and a whole interval follows it");
    lone.run(secs(30));
    let wanted = lone.wanted();
    let [(with, ExchangePurpose::PushPull { join: false, .. }, _)] = wanted[..] else { panic!("{wanted:?}") };
    assert_eq!(with, addr("b"), "the only one that is alive");
    lone.run(secs(300));
    assert_eq!(lone.wanted().len(), 10);
}

#[test]
fn our_state_takes_precedence_at_a_higher_incarnation_and_at_the_same_if_the_member_is_gone() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.hear(alive("b", 5));
    lone.hear(dead("c", 1, "d"));
    lone.hear(suspect("d", 1, "b"));
    _ = lone.core.roster.intern("e");
    let precedes = |name: &str, state, incarnation| {
        let record = native::encode_record(announcement(name));
        let alive = native::PartialAlive { incarnation, name: name.as_bytes(), record: &record };
        lone.swim.takes_precedence(lone.idx(name), &native::StateEntry { state, alive, ltime: 0, leaving: false })
    };
    for (incarnation, expected) in [(4, true), (5, false), (6, false)] {
        assert_eq!(precedes("b", State::Alive, incarnation), expected, "b@5 against {incarnation}");
    }
    assert!(precedes("c", State::Alive, 1) && !precedes("c", State::Alive, 2) && precedes("c", State::Alive, 0));
    assert!(!precedes("c", State::Dead, 1), "both hold it as gone");
    assert!(!precedes("d", State::Alive, 1) && !precedes("b", State::Dead, 5));
    assert!(!precedes("e", State::Alive, 0), "it is no member here");
}

#[test]
fn a_push_pull_with_a_member_whose_digest_was_equal_lately_is_left_out() {
    let asks = |versions, agreed: Option<u64>, disagreed: Option<u64>, now| {
        let mut lone = Lone::lan(&[]);
        lone.hear(Message::Alive(Alive { incarnation: 1, peer: PeerRef { versions, ..announcement("b") } }));
        for (at, agree) in [(agreed, true), (disagreed, false)] {
            if let Some(at) = at {
                lone.core.now = Instant::ZERO + secs(at);
                if agree { lone.swim.agreed(lone.core.now) } else { lone.swim.disagreed(lone.core.now) }
            }
        }
        lone.core.now = Instant::ZERO + secs(now);
        lone.wanted();
        lone.swim.push_pull_with_any(&mut lone.core, secs(30));
        !lone.wanted().is_empty()
    };
    let ours = Versions::OURS;
    assert!(asks(ours, None, None, 5), "no digest was compared yet");
    assert!(!asks(ours, Some(100), None, 130) && asks(ours, Some(100), None, 131));
    assert!(!asks(ours, Some(5), None, 10), "none has differed yet");
    assert!(asks(ours, Some(100), Some(105), 110), "another differed");
    assert!(!asks(ours, Some(140), Some(105), 150), "that was long ago");
    assert!(asks(Versions::HASHICORP, Some(100), None, 110), "it compares none");
}
