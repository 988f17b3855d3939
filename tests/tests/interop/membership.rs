//! Join, tags, leave and failure, each in both directions.

use serf_tokio::serf_proto::DropReason;
use serf_tokio::{Tags, Tombstone};

use crate::harness::{Agent, Ours, Sees, until, until_or};

/// Starts two nodes of each implementation in one cluster, so that each has peers for indirect probes and
/// confirmations.
fn two_of_each() -> ([Ours; 2], [Agent; 2]) {
    joined(["o1", "o2"].map(Ours::start_quick), ["h1", "h2"].map(|name| Agent::start(name, &["-profile=local"])))
}

fn joined(ours: [Ours; 2], theirs: [Agent; 2]) -> ([Ours; 2], [Agent; 2]) {
    assert_eq!(theirs[1].join(&[theirs[0].addr]), 1);
    for ours in &ours {
        assert_eq!(ours.join(&[theirs[0].addr]), 1);
    }
    ours.iter().for_each(|ours| ours.sees_alive(4));
    theirs.iter().for_each(|theirs| theirs.sees_alive(4));
    (ours, theirs)
}

pub(crate) fn ours_joins_theirs() {
    let theirs = Agent::start("theirs", &[]);
    let ours = Ours::start("ours");
    assert_eq!(ours.join(&[theirs.addr]), 1);
    theirs.sees_alive(2);
    ours.sees_alive(2);
    assert_eq!((theirs.view()["ours"].addr, ours.view()["theirs"].addr), (ours.addr, theirs.addr));
    let mut watch = theirs.watch();
    let third = Agent::start("third", &[&format!("-join={}", theirs.addr)]);
    third.sees_alive(3);
    ours.sees_alive(3);
    until_or(
        "the agent tells of it",
        || watch.member_events(),
        |events| events.contains(&"member-join third".to_owned()),
    );
}

pub(crate) fn theirs_joins_ours() {
    let ours = Ours::start("ours");
    let first = Agent::start("first", &[&format!("-join={}", ours.addr)]);
    let second = Agent::start("second", &[]);
    assert_eq!(second.join(&[ours.addr]), 1);
    ours.sees_alive(3);
    first.sees_alive(3);
    second.sees_alive(3);
    until("ours tells of them", || {
        let events = ours.member_events();
        ["member-join first", "member-join second"].iter().all(|event| events.contains(&(*event).to_owned()))
    });
}

pub(crate) fn tags_from_the_start_and_changed_later_are_seen_by_both() {
    let long = "x".repeat(300);
    let of = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<Tags>();
    let theirs =
        Agent::start("theirs", &["-tag=role=db", "-tag=zone=Zürich", "-tag=empty=", &format!("-tag=long={long}")]);
    let ours_tags = of(&[("role", "web"), ("zone", "Genève"), ("empty", ""), ("long", &long)]);
    let ours = Ours::start_with("ours", |options| options.tags = ours_tags.clone());
    ours.join(&[theirs.addr]);
    theirs.sees_alive(2);
    let theirs_tags = of(&[("role", "db"), ("zone", "Zürich"), ("empty", ""), ("long", &long)]);
    assert_eq!((&theirs.view()["ours"].tags, &ours.view()["theirs"].tags), (&ours_tags, &theirs_tags));

    let mut watch = theirs.watch();
    let changed = of(&[("role", "cache"), ("new", "1")]);
    ours.serf.set_tags(&changed).unwrap();
    theirs.set_tags(&[("role", "queue"), ("new", "2")], &["long", "zone", "empty"]);
    until_or("theirs sees the change", || theirs.view()["ours"].tags.clone(), |tags| *tags == changed);
    let changed = of(&[("role", "queue"), ("new", "2")]);
    until_or("ours sees the change", || ours.view()["theirs"].tags.clone(), |tags| *tags == changed);
    let update = "member-update ours".to_owned();
    until_or("theirs tells of it", || watch.member_events(), |events| events.contains(&update));
    let update = "member-update theirs".to_owned();
    until_or("ours tells of it", || ours.member_events(), |events| events.contains(&update));

    ours.serf.set_tags(&Tags::default()).unwrap();
    until_or("no tags are no tags", || theirs.view()["ours"].tags.clone(), |tags| tags.is_empty());
}

pub(crate) fn a_leave_is_seen_by_both() {
    // Not the local profile: it gossips an intent to two members only, and the others see a failure first.
    let ([o1, o2], [h1, h2]) = joined(["o1", "o2"].map(Ours::start), ["h1", "h2"].map(|name| Agent::start(name, &[])));
    o2.leave();
    h1.sees("o2", "left");
    h2.sees("o2", "left");
    o1.sees("o2", "left");
    h2.leave();
    h1.sees("h2", "left");
    o1.sees("h2", "left");
    assert!(
        !h1.said("EventMemberFailed") && !o1.member_events().iter().any(|event| event.starts_with("member-failed"))
    );
}

pub(crate) fn a_crashed_member_fails_for_both() {
    let ([o1, o2], [mut h1, mut h2]) = two_of_each();
    // Members probe the failed one indirectly and try to reconnect to it.
    for agent in [&mut h1, &mut h2] {
        agent.may_say("Failed fallback").may_say("connection refused").may_say("write udp");
    }
    o2.crash();
    h1.sees("o2", "failed");
    h2.sees("o2", "failed");
    o1.sees("o2", "failed");
    h2.crash();
    h1.sees("h2", "failed");
    o1.sees("h2", "failed");
    let failed = ["member-failed o2", "member-failed h2"].map(str::to_owned);
    assert!(failed.iter().all(|event| o1.member_events().contains(event)));
}

pub(crate) fn a_failed_member_can_be_forced_out_by_either() {
    let ([o1, o2], [mut h1, mut h2]) = two_of_each();
    for agent in [&mut h1, &mut h2] {
        agent.may_say("Failed fallback").may_say("connection refused");
    }
    o2.crash();
    h2.crash();
    for gone in ["o2", "h2"] {
        h1.sees(gone, "failed");
        o1.sees(gone, "failed");
    }
    h1.force_leave("o2");
    o1.sees("o2", "left");
    h1.sees("o2", "left");
    o1.serf.force_leave("h2", Tombstone::Keep).unwrap();
    h1.sees("h2", "left");
    o1.sees("h2", "left");
}

pub(crate) fn ours_that_comes_late_sees_what_theirs_that_comes_late_sees() {
    let ([o1, o2], [mut h1, mut h2]) = two_of_each();
    for agent in [&mut h1, &mut h2] {
        agent.may_say("Failed fallback").may_say("connection refused");
    }
    let h3 = Agent::start("h3", &[&format!("-join={}", h1.addr)]);
    o1.sees("h3", "alive");
    o2.leave();
    h3.leave();
    h2.crash();
    for (gone, status) in [("o2", "left"), ("h3", "left"), ("h2", "failed")] {
        h1.sees(gone, status);
        o1.sees(gone, status);
    }
    // One through theirs, one through ours.
    let late = [("late-1", h1.addr), ("late-2", o1.addr)];
    for (name, seed) in late {
        let ours = Ours::start(&format!("{name}-ours"));
        let mut theirs = Agent::start(&format!("{name}-theirs"), &[]);
        theirs.may_say("Failed fallback").may_say("connection refused");
        assert_eq!((ours.join(&[seed]), theirs.join(&[seed])), (1, 1));
        let of_the_gone = |mut view: crate::harness::View| {
            view.retain(|name, _| ["o2", "h3", "h2"].contains(&&**name));
            view
        };
        ours.sees(&theirs.name, "alive");
        theirs.sees(&ours.name, "alive");
        assert_eq!(of_the_gone(ours.view()), of_the_gone(theirs.view()), "{name}");
        ours.leave();
        theirs.leave();
    }
}

pub(crate) fn a_member_that_comes_back_is_alive_for_both() {
    let ([mut o1, o2], [mut h1, mut h2]) = two_of_each();
    // h2 may ask o1 to probe o2 when o1 holds h2 as left, or does not know of its return yet.
    o1.may_drop(DropReason::Unexpected);
    for agent in [&mut h1, &mut h2] {
        agent.may_say("Failed fallback").may_say("connection refused");
        // It returns under a name that the others remember as left.
        agent.may_say("Refuting a dead message (from: h2)");
    }
    let o2_addr = o2.addr;
    let h2_addr = h2.addr;
    o2.crash();
    h2.leave();
    h1.sees("o2", "failed");
    o1.sees("o2", "failed");
    h1.sees("h2", "left");
    o1.sees("h2", "left");
    // Each through a node of the other implementation.
    let o2 = Ours::start_with("o2", |options| options.bind = o2_addr);
    o2.join(&[h1.addr]);
    let mut h2 = Agent::start_at("h2", h2_addr, &[]);
    h2.may_say("Refuting a dead message (from: h2)").may_say("Failed fallback").may_say("connection refused");
    // Ours ask a member that left for a while whether it did.
    h2.may_say("Refuting a suspect message (from: o");
    // h2 gossips its leave twice, to members chosen at random, and o2 has just crashed. Where it did not arrive, probes found
    // that h2 is gone, and a push/pull turns that into a suspicion in the name of the receiver.
    h2.may_say("Refuting a suspect message (from: h2)");
    h2.join(&[o1.addr]);
    for name in ["o1", "o2", "h1", "h2"] {
        o1.sees(name, "alive");
        o2.sees(name, "alive");
        h1.sees(name, "alive");
        h2.sees(name, "alive");
    }
}
