//! Invariants under any messages in any order.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A random step. Names are `a` (ourselves) to `e`; `x` and `y` are unknown.
#[derive(Clone, Debug)]
enum Happening {
    Alive { name: char, incarnation: u32, moved: bool, meta: bool },
    Suspect { name: char, incarnation: u32, from: char },
    Dead { name: char, incarnation: u32, from: char },
    Merge(Vec<(char, State, u32)>),
    Ack,
    Nack,
    Pass(u64),
    Packet { bytes: u32 },
    Announce,
    Leave,
}

fn name() -> impl Strategy<Value = char> {
    prop::sample::select(vec!['a', 'b', 'c', 'd', 'e'])
}

fn incarnation() -> impl Strategy<Value = u32> {
    prop_oneof![20 => 0_u32..6, 1 => Just(1 << 31), 1 => 1020_u32..1030, 1 => Just(u32::MAX - 1), 1 => Just(u32::MAX)]
}

fn happening() -> impl Strategy<Value = Happening> {
    let state = (0_u8..4).prop_map(|n| State::from_u8(n).unwrap());
    let from = prop::sample::select(vec!['a', 'b', 'c', 'd', 'e', 'x', 'y']);
    prop_oneof![
        6 => (name(), incarnation(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(name, incarnation, moved, meta)| Happening::Alive { name, incarnation, moved, meta }),
        4 => (name(), incarnation(), from.clone())
            .prop_map(|(name, incarnation, from)| Happening::Suspect { name, incarnation, from }),
        4 => (name(), incarnation(), from)
            .prop_map(|(name, incarnation, from)| Happening::Dead { name, incarnation, from }),
        2 => prop::collection::vec((name(), state, incarnation()), 0..6).prop_map(Happening::Merge),
        1 => Just(Happening::Ack),
        1 => Just(Happening::Nack),
        4 => prop_oneof![0_u64..1500, Just(5_000), Just(31_000)].prop_map(Happening::Pass),
        4 => (60_u32..300).prop_map(|bytes| Happening::Packet { bytes }),
        1 => Just(Happening::Announce),
        1 => prop::bool::weighted(0.1).prop_map(|leave| if leave { Happening::Leave } else { Happening::Ack }),
    ]
}

fn peer(name: &str, moved: bool, meta: bool) -> PeerRef<'_> {
    let addr = if moved { "10.9.9.9:1".parse().unwrap() } else { addr(name) };
    PeerRef { addr, meta: if meta { b"\xff\x81\xa1k\xa1v" } else { NO_TAGS }, ..announcement(name) }
}

/// Handles an alive message as a node does: a known record takes the path without decoding, which must make no
/// difference.
fn hear_alive(lone: &mut Lone, incarnation: u32, peer: PeerRef<'_>) {
    let message = Message::Alive(Alive { incarnation, peer });
    let record = native::encode_record(peer);
    match lone.core.roster.find_record(peer.name.as_bytes(), &record) {
        Some((idx, true)) => {
            let mut clone = lone.clone();
            clone.hear(message);
            lone.swim.alive_as_known(&mut lone.core, Origin::Packet(addr("z")), idx, incarnation);
            assert_eq!(format!("{clone:?}"), format!("{lone:?}"), "decoding makes no difference");
        }
        _ => lone.hear(message),
    }
}

fn happen(lone: &mut Lone, happening: &Happening) {
    let text = ToString::to_string;
    match happening {
        Happening::Alive { name, incarnation, moved, meta } => {
            hear_alive(lone, *incarnation, peer(&text(name), *moved, *meta));
        }
        Happening::Suspect { name, incarnation, from } => lone.hear(suspect(&text(name), *incarnation, &text(from))),
        Happening::Dead { name, incarnation, from } => lone.hear(dead(&text(name), *incarnation, &text(from))),
        Happening::Merge(states) => {
            let mut body = vec![];
            native::begin_push_pull(&mut body, false, u32::try_from(states.len()).unwrap());
            for (name, state, incarnation) in states {
                native::push_state(
                    &mut body,
                    *state,
                    *incarnation,
                    &native::encode_record(peer(&text(name), false, false)),
                );
            }
            lone.swim.merge(&mut lone.core, Origin::Local, &PushPull::parse(Codec::Native, &body).unwrap()).unwrap();
        }
        Happening::Ack => lone.hear(ack(lone.swim.probing.seq())),
        Happening::Nack => lone.hear(Message::Nack { seq: lone.swim.probing.seq() }),
        Happening::Pass(millis) => lone.run(ms(*millis)),
        Happening::Packet { bytes } => {
            let packet = lone.packet_of(*bytes);
            let mut names: Vec<_> = packet.iter().map(|word| word.split(['@', ' ']).nth(1)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), packet.len(), "a member stands once in a packet: {packet:?}");
        }
        Happening::Announce if !lone.swim.own.has_left() => lone.swim.announce(&lone.core),
        Happening::Leave => lone.swim.leave(&mut lone.core),
        Happening::Announce => {}
    }
}

/// The known members at one moment.
type View = BTreeMap<MemberIdx, (State, u32, SocketAddr)>;

fn view(lone: &Lone) -> View {
    let rows = lone.swim.members.rows().filter_map(|(idx, row)| {
        Some((idx, (row.state?, row.incarnation, lone.core.roster.peer(idx).unwrap().addr())))
    });
    rows.collect()
}

/// Incarnations never decrease, and no dead member returns without a higher one, unless another address took its name
/// or it was reaped in between.
fn check_step(before: &View, after: &View, forgotten: impl Fn(MemberIdx) -> bool) {
    for (idx, &(state, incarnation, addr)) in after {
        let Some(&(was, had, at)) = before.get(idx) else { continue };
        if at != addr || forgotten(*idx) {
            continue;
        }
        assert!(incarnation >= had, "{idx:?} went from incarnation {had} to {incarnation}");
        let gone = |state| matches!(state, State::Dead | State::Left);
        if gone(was) && !gone(state) {
            assert!(incarnation > had, "{idx:?} rose from {was:?}@{had} to {state:?}@{incarnation}");
        }
        if gone(was) && gone(state) && incarnation == had {
            assert_eq!(was, state, "the dead do not turn into the left");
        }
    }
}

fn check(lone: &Lone) {
    let swim = &lone.swim;
    swim.members.assert_consistent(&lone.core.roster);
    let (queued, places, rows) = (swim.broadcasts.len(), swim.broadcasts.places(), swim.members.len());
    assert_eq!(queued, swim.members.rows().filter(|(_, row)| row.sends.is_some()).count());
    assert!(places >= queued && places <= 2 * queued + 64 + rows);
    let expected = if swim.own.has_left() { State::Left } else { State::Alive };
    assert_eq!(swim.members.row(swim.me()).state, Some(expected));
    assert!(swim.own.has_left() || swim.members.row(swim.me()).incarnation == swim.incarnation());
    assert!(swim.health_score() < lone.core.cfg.swim().awareness_max_multiplier);
}

proptest! {
    #[test]
    fn the_table_stays_sound_whatever_happens(happenings in prop::collection::vec(happening(), 1..80), reclaim: bool) {
        let dead_node_reclaim_time = if reclaim { secs(3) } else { Duration::ZERO };
        let options = Options::lan().with(|options| {
            options.swim.dead_node_reclaim_time = dead_node_reclaim_time;
            // Some members announce this tag.
            options.swim.zone_tag = "k".into();
        });
        let mut lone = Lone::probing(options, &["b", "c"]);
        check(&lone);
        for happening in &happenings {
            let before = view(&lone);
            let now = lone.core.now;
            happen(&mut lone, happening);
            check(&lone);
            // A step that advances the time may reap a member, but delivers no message.
            check_step(&before, &view(&lone), |_| lone.core.now - now > secs(30));
            lone.core.events.clear();
            lone.core.notifications.clear();
            lone.core.unicasts.clear();
        }
    }
}
