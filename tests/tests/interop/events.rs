//! User events, in all packet formats.

use serf_tokio::Coalescing;

use crate::harness::{Agent, Heard, Ours, Sees, until_or};

fn heard(name: &str, payload: &[u8], coalesce: bool) -> Heard {
    Heard { name: name.to_owned(), payload: payload.to_vec(), coalesce }
}

/// Returns every byte value, which is not valid text in any encoding.
fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

pub(crate) fn user_events_arrive_with_every_byte_and_the_coalesce_flag() {
    let theirs = Agent::start("theirs", &[]);
    let ours = Ours::start("ours");
    ours.join(&[theirs.addr]);
    theirs.sees_alive(2);
    let mut watch = theirs.watch();
    let all = every_byte();
    let events = [("bytes", &all[..], false), ("bytes", &all[..], true), ("déjà vu", b"", false), ("\n", b"\0", true)];
    for (name, payload, coalesce) in events {
        ours.serf.user_event(name, payload, coalesce).unwrap();
    }
    // Coalesced events arrive after the quiescent period.
    let expected = events.map(|(name, payload, coalesce)| heard(name, payload, coalesce));
    let all_in = |found: &Vec<Heard>| found.len() == 4 && expected.iter().all(|event| found.contains(event));
    until_or("theirs hears all", || watch.user_events(), all_in);
    for (name, payload, coalesce) in events {
        theirs.user_event(name, payload, coalesce).unwrap();
    }
    let both = |found: &Vec<Heard>| {
        found.len() == 8 && expected.iter().all(|event| found.iter().filter(|other| *other == event).count() == 2)
    };
    until_or("ours hears its own and theirs", || ours.user_events(), both);
}

pub(crate) fn the_largest_user_event_is_the_same_for_both() {
    let mut theirs = Agent::start("theirs", &[]);
    let ours = Ours::start("ours");
    ours.join(&[theirs.addr]);
    theirs.sees_alive(2);
    let mut watch = theirs.watch();
    let largest = vec![0xc1; 481];
    ours.serf.user_event("o", &largest, Coalescing::Forbid).unwrap();
    until_or("theirs hears it", || watch.user_events(), |found| *found == [heard("o", &largest, false)]);
    theirs.user_event("t", &largest, false).unwrap();
    until_or("ours hears it", || ours.user_events(), |found| found.contains(&heard("t", &largest, false)));
    theirs.may_say("encoded user event exceeds configured limit of 512 bytes");
    let larger = vec![0xc1; 482];
    assert!(ours.serf.user_event("o", &larger, Coalescing::Forbid).is_err());
    assert!(theirs.user_event("t", &larger, false).is_err());
}

pub(crate) fn compressed_and_plain_nodes_understand_each_other() {
    let tag = "compressible ".repeat(30);
    let theirs = [
        Agent::start("packs", &[&format!("-tag=long={tag}")]),
        Agent::start("plain", &["-disable-compression", &format!("-tag=long={tag}")]),
    ];
    let ours = [true, false].map(|compression| {
        Ours::start_with(&format!("ours-{compression}"), |options| {
            options.protocol.transport.compression = compression;
            options.tags.set("long", &tag);
        })
    });
    ours[0].join(&[theirs[0].addr]);
    ours[1].join(&[theirs[1].addr]);
    theirs[0].join(&[ours[1].addr]);
    theirs[1].join(&[ours[0].addr]);
    let payload = [&*b"compressible ".repeat(30), &[0xff]].concat();
    let mut watches = [theirs[0].watch(), theirs[1].watch()];
    for node in &ours {
        node.sees_alive(4);
    }
    for node in &theirs {
        node.sees_alive(4);
        assert!(node.view().values().all(|member| member.tags.get("long") == Some(&tag)));
    }
    let names = ["ours-true", "ours-false", "packs", "plain"];
    ours.iter().zip(names).for_each(|(node, name)| node.serf.user_event(name, &payload, Coalescing::Forbid).unwrap());
    theirs.iter().zip(&names[2..]).for_each(|(node, name)| node.user_event(name, &payload, false).unwrap());
    let expected = names.map(|name| heard(name, &payload, false));
    let all_in = |found: &Vec<Heard>| found.len() == 4 && expected.iter().all(|event| found.contains(event));
    for node in &ours {
        until_or("ours hears all", || node.user_events(), all_in);
    }
    for watch in &mut watches {
        until_or("theirs hears all", || watch.user_events(), all_in);
    }
}

pub(crate) fn a_joiner_of_ours_gets_old_events_on_request() {
    let ours = Ours::start("ours");
    let payload = every_byte();
    for n in 0..5 {
        ours.serf.user_event(&format!("old-{n}"), &payload, Coalescing::Forbid).unwrap();
    }
    let theirs = Agent::start("theirs", &[]);
    let mut watch = theirs.watch();
    assert_eq!(theirs.join_for_all(&[ours.addr]), 1);
    let expected: Vec<Heard> = (0..5).map(|n| heard(&format!("old-{n}"), &payload, false)).collect();
    until_or("theirs hears them in order", || watch.user_events(), |found| *found == expected);

    // And the reverse; HashiCorp's node passes on what it received from ours.
    let late = Ours::start("late");
    late.join_for_all(&[theirs.addr]);
    until_or("ours hears them in order", || late.user_events(), |found| *found == expected);
    let indifferent = Ours::start("indifferent");
    indifferent.join(&[theirs.addr]);
    ours.serf.user_event("new", b"", Coalescing::Forbid).unwrap();
    until_or("nothing old", || indifferent.user_events(), |found| *found == [heard("new", b"", false)]);
}
