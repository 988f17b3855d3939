//! Floods of members that do not exist: members that have answered are preferred.

use super::*;

const REAL: [&str; 4] = ["b", "c", "d", "e"];

/// Four members that ack probes, and 196 that do not exist.
fn flooded() -> Lone {
    let mut lone = Lone::probing(Options::lan(), &REAL);
    for number in 0..196 {
        let name = format!("m{number}");
        lone.hear(alive(&name, 1));
    }
    lone
}

/// Runs `probes` probes. Members that exist ack, also through helpers. Returns the targets.
fn live(lone: &mut Lone, probes: usize) -> Vec<String> {
    let mut probed = vec![];
    while probed.len() < probes {
        let (target, seq) = lone.next_probe();
        if REAL.contains(&&*target) {
            lone.hear_from(addr(&target), ack(seq));
        }
        probed.push(target);
    }
    probed
}

fn share_of_real(lone: &mut Lone) -> usize {
    let mut real = 0;
    for _ in 0..100 {
        let targets = lone.swim.gossip_targets(&mut lone.core);
        assert_eq!(targets.len(), 3);
        real += targets.iter().filter(|&&idx| REAL.contains(&lone.core.roster.name_ref(idx))).count();
    }
    real
}

#[test]
fn while_most_newcomers_do_not_exist_two_of_three_targets_have_answered() {
    let mut lone = flooded();
    assert!(share_of_real(&mut lone) < 30, "before anything is known of them all are alike");
    for name in REAL {
        let idx = lone.idx(name);
        lone.swim.admission.note_ack(idx);
    }
    live(&mut lone, 30);
    assert!(lone.swim.admission.is_flooded());
    assert!((200..230).contains(&share_of_real(&mut lone)), "and the third is anybody");
}

#[test]
fn members_that_have_answered_are_probed_in_time_though_hundreds_do_not_exist() {
    let mut lone = flooded();
    for name in REAL {
        let idx = lone.idx(name);
        lone.swim.admission.note_ack(idx);
    }
    live(&mut lone, 30);
    let probed = live(&mut lone, 80);
    for name in REAL {
        assert!(probed.iter().any(|target| target == name), "{name} is not among {probed:?}");
    }
}

#[test]
fn the_silence_of_members_that_do_not_exist_does_not_count_as_our_own_ill_health() {
    let mut lone = flooded();
    live(&mut lone, 40);
    assert!(lone.score() <= 7);
    let before = lone.score();
    let idx = lone.idx("b");
    lone.swim.admission.note_ack(idx);
    live(&mut lone, 20);
    assert!(lone.score() <= before, "{} after {before}", lone.score());
}

#[test]
fn a_few_members_that_never_answered_are_no_flood() {
    let mut lone = Lone::probing(Options::lan(), &REAL);
    for name in ["m1", "m2", "m3"] {
        lone.hear(alive(name, 1));
    }
    live(&mut lone, 60);
    assert!(!lone.swim.admission.is_flooded(), "three of seven");
}

#[test]
fn acks_end_a_flood() {
    let mut lone = flooded();
    live(&mut lone, 30);
    assert!(lone.swim.admission.is_flooded());
    let idx = lone.idx("b");
    for _ in 0..9 {
        lone.swim.admission.note_ack(idx);
    }
    assert!(!lone.swim.admission.is_flooded(), "however long it lasted");
}
