//! Members that left are asked whether they did.

use super::*;
use crate::wire::swim::{Ping, Source};

/// Knows `b`, `c` and `d`, and that `b` left.
fn left() -> Lone {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.hear(dead("b", 1, "b"));
    while !lone.packet().is_empty() {}
    lone.notified();
    lone
}

/// A ping from the member's own address, as it sends them while it lives. Returns whether it was told that it left.
fn pinged_by(lone: &mut Lone, name: &str) -> bool {
    let source = Some(Source { addr: addr(name), node: name });
    let ping = Ping { seq: 1, node: "a", source };
    lone.swim.answer_ping(&mut lone.core, &mut Heard::new(addr(name), 100), &ping);
    lone.sent().iter().any(|unicast| matches!(unicast.body, Body::Challenge { .. }))
}

/// Whether `b` was pinged with the accusation when its leave was to be verified.
fn verified(lone: &mut Lone) -> bool {
    let idx = lone.idx("b");
    lone.swim.verify_left(&mut lone.core, idx);
    lone.sent().iter().any(|unicast| matches!(unicast.body, Body::Ping { accusing: true, .. }))
}

#[test]
fn a_member_that_pings_after_its_leave_is_told_so_once_a_probe_interval_when_it_has_stopped_for_long() {
    let mut lone = left();
    // It leaves for 1 s, and has a probe interval of 1 s.
    for (wait, told) in [(ms(1999), false), (ms(1), true), (ms(999), false), (ms(1), true)] {
        lone.core.now = lone.core.now + wait;
        assert_eq!(pinged_by(&mut lone, "b"), told, "{:?}", lone.core.now);
    }
    lone.core.now = lone.core.now + secs(9);
    assert!(!pinged_by(&mut lone, "c"), "it lives");
    let ping = Ping { seq: 1, node: "a", source: Some(Source { addr: addr("x"), node: "b" }) };
    lone.swim.answer_ping(&mut lone.core, &mut Heard::new(addr("x"), 100), &ping);
    assert!(lone.sent().iter().all(|unicast| !matches!(unicast.body, Body::Challenge { .. })), "it is not its address");
}

#[test]
fn only_other_members_that_left_have_left() {
    let mut lone = left();
    lone.hear(dead("c", 1, "d"));
    lone.hear(suspect("d", 1, "b"));
    let me = lone.swim.me();
    lone.swim.leave(&mut lone.core);
    assert_eq!(lone.state("a"), Some(State::Left));
    assert_eq!(lone.swim.left().collect::<Vec<_>>(), [lone.idx("b")], "and not {me:?}");
}

#[test]
fn a_leave_is_verified_unless_the_member_lives_or_its_address_does_or_we_left() {
    assert!(verified(&mut left()));
    let mut lone = left();
    lone.hear(alive("b", 2));
    assert!(!verified(&mut lone), "it lives");
    let mut lone = left();
    lone.hear(Message::Alive(Alive { incarnation: 1, peer: PeerRef { addr: addr("b"), ..announcement("x") } }));
    assert!(!verified(&mut lone), "another has its address");
    let mut lone = left();
    lone.swim.leave(&mut lone.core);
    assert!(!verified(&mut lone), "we left");
}
