//! One snapshot, read by both implementations.

use std::fs;

use crate::harness::{Agent, Ours, Sees, runtime, until, until_or};

fn heard(agent: &Agent, event: &str) -> bool {
    agent.said(&format!("Received event: user-event: {event}"))
}

pub(crate) fn theirs_resumes_after_our_leave_and_gets_none_of_its_events_again() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("snapshot");
    let copy = file.with_extension("copy");
    let peer = Agent::start("peer", &[]);
    let ours = Ours::start_with("moves", |options| {
        (options.snapshot, options.rejoin_after_leave) = (Some(file.clone()), true);
    });
    ours.join(&[peer.addr]);
    peer.sees_alive(2);
    let hears = |event: &str| {
        peer.user_event(event, b"", false).unwrap();
        let names = || ours.user_events().into_iter().map(|heard| heard.name).collect::<Vec<_>>();
        until_or("ours hears it", names, |names| names.iter().any(|name| name == event));
    };
    hears("before");
    let addr = ours.addr;
    let leave = runtime().spawn({
        let serf = ours.serf.clone();
        async move { serf.leave().await }
    });
    until("the leave is in the file", || fs::read_to_string(&file).unwrap().ends_with("leave\n"));
    hears("farewell");
    let query = peer.query("uptime", b"", &[], &[], 0);
    assert_eq!(query.acks, ["moves", "peer"], "who leaves still acknowledges");
    assert!(runtime().block_on(leave).unwrap().unwrap().complete);
    ours.crash();
    peer.sees("moves", "left");
    peer.user_event("meanwhile", b"", false).unwrap();

    let lines = fs::read_to_string(&file).unwrap();
    let after = lines.split_once("leave\n").expect("the file says that it left").1;
    assert!(after.contains("event-clock: 2\n") && after.contains("query-clock: 1\n"), "{lines}");
    assert!(!after.contains("alive: "), "{lines}");
    fs::copy(&file, &copy).unwrap();
    let option = |file: &std::path::Path| format!("-snapshot={}", file.display());

    // With `-rejoin` it rejoins and receives exactly the events that it missed.
    let mut theirs = Agent::start_at("moves", addr, &[&option(&file), "-rejoin"]);
    // Ours ask a member that left for a while whether it did.
    theirs.may_say("Refuting a dead message (from: moves)").may_say("Refuting a suspect message");
    theirs.sees_alive(2);
    peer.sees("moves", "alive");
    peer.user_event("after", b"", false).unwrap();
    until("theirs hears the new event", || heard(&theirs, "after"));
    assert!(heard(&theirs, "meanwhile"), "{}", theirs.log());
    assert!(!heard(&theirs, "before") && !heard(&theirs, "farewell"), "{}", theirs.log());
    theirs.leave();

    // Without `-rejoin` it stays alone.
    let mut alone = Agent::start_at("moves", addr, &[&option(&copy)]);
    alone.may_say("Refuting a suspect message");
    alone.user_event("alone", b"", false).unwrap();
    until("it runs", || heard(&alone, "alone"));
    assert!(!alone.said("Attempting re-join") && alone.view().len() == 1, "{}", alone.log());
}
