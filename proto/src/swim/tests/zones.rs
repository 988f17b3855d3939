//! Zones: most targets and all helpers are near.

use super::*;

/// This node is in zone `east`, with `near` others `n0`, …; `far` members `f0`, … are in zone `west`.
fn zoned(near: usize, far: usize) -> Lone {
    zoned_with(3, near, far)
}

fn zoned_with(bridges: u32, near: usize, far: usize) -> Lone {
    let options = Options::lan().with(|options| {
        options.swim.zone_tag = "zone".into();
        options.swim.zone_bridges = bridges;
    });
    let mut lone = Lone::still(options, &[]);
    for (letter, count, zone) in [("n", near, "east"), ("f", far, "west")] {
        for number in 0..count {
            hear_of(&mut lone, &format!("{letter}{number}"), zone);
        }
    }
    let (me, own) = (lone.swim.me(), meta("east"));
    let peer = PeerRef { meta: &own, ..announcement("a") };
    lone.swim.members.set_peer(&mut lone.core, me, peer);
    lone
}

/// Metadata with the tag `zone`.
fn meta(zone: &str) -> Vec<u8> {
    Identity::new("x", addr("x"), &[("zone", zone)].into()).unwrap().peer().meta().to_vec()
}

fn hear_of(lone: &mut Lone, name: &str, zone: &str) {
    let meta = meta(zone);
    // All letters have their own network.
    let number: u8 = name[1..].parse().unwrap();
    let at = SocketAddr::from(([10, name.as_bytes()[0], 0, number], 7946));
    lone.hear(Message::Alive(Alive { incarnation: 1, peer: PeerRef { meta: &meta, addr: at, ..announcement(name) } }));
}

/// The names of the targets of `times` ticks of gossip.
fn targets(lone: &mut Lone, times: usize) -> Vec<Vec<String>> {
    let ticks = (0..times).map(|_| lone.swim.gossip_targets(&mut lone.core));
    let ticks: Vec<_> = ticks.collect();
    let name = |idx: MemberIdx| lone.core.roster.name_ref(idx).to_string();
    ticks.into_iter().map(|tick| tick.into_iter().map(name).collect()).collect()
}

#[test]
fn gossip_goes_to_three_others_of_which_few_are_far() {
    let mut lone = zoned(20, 20);
    let ticks = targets(&mut lone, 400);
    for tick in &ticks {
        let mut distinct = tick.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 3, "{tick:?}");
    }
    let far = ticks.iter().flatten().filter(|name| name.starts_with('f')).count();
    // A member sends 1/64 of 1200 to other zones, a bridge half.
    let is_bridge = far > 300;
    assert!(if is_bridge { (500..700).contains(&far) } else { (1..60).contains(&far) }, "{far}");
}

#[test]
fn where_there_are_too_few_near_members_or_too_few_far_ones_the_others_take_their_places() {
    for (near, far) in [(1, 5), (5, 1), (2, 1)] {
        // All are bridges, which send half of theirs to other zones, and none is.
        for bridges in [1000, 0] {
            let mut lone = zoned_with(bridges, near, far);
            for mut tick in targets(&mut lone, 50) {
                tick.sort_unstable();
                tick.dedup();
                assert_eq!(tick.len(), 3, "{bridges} bridges, {near} near, {far} far: {tick:?}");
            }
        }
    }
}

#[test]
fn a_changed_own_zone_changes_who_is_near() {
    let mut lone = zoned(3, 3);
    let near = |lone: &Lone, name: &str| lone.swim.members.zones().is_near(lone.idx(name));
    assert_eq!((near(&lone, "n0"), near(&lone, "f0")), (true, false));
    let (me, own) = (lone.swim.me(), meta("west"));
    lone.swim.members.set_peer(&mut lone.core, me, PeerRef { meta: &own, ..announcement("a") });
    assert_eq!((near(&lone, "n0"), near(&lone, "f0")), (false, true));
}

#[test]
fn helpers_of_a_near_target_are_near_if_there_are_enough_and_of_a_far_one_anybody() {
    let helpers = |lone: &mut Lone, target: &str| {
        let target = lone.idx(target);
        let chosen: Vec<_> =
            (0..50).flat_map(|_| lone.swim.choose_helpers(&mut lone.core, target, 3, |_, idx| idx != target)).collect();
        assert_eq!(chosen.len(), 150);
        chosen.into_iter().filter(|&idx| lone.core.roster.name_ref(idx).starts_with('f')).count()
    };
    let mut lone = zoned(6, 20);
    assert_eq!(helpers(&mut lone, "n0"), 0);
    assert!((80..145).contains(&helpers(&mut lone, "f0")), "any of 25");
    let mut lone = zoned(3, 20);
    assert!(helpers(&mut lone, "n0") > 0, "two near ones are too few");
    let mut lone = zoned(6, 0);
    assert_eq!(helpers(&mut lone, "n0"), 0);
}
