//! `serf top`, without a terminal.

use super::lab::{Agent, OURS, Ran, eventually, reference, serf};
use crate::process::Directory;

/// Runs it once, 80 columns wide.
fn once(agent: &Agent, more: &[&str]) -> Ran {
    serf(&[&["top", "-once"], more].concat(), &[("SERF_RPC_ADDR", &agent.rpc), ("COLUMNS", "80")])
}

/// The line of a member in the table.
fn row<'o>(out: &'o str, name: &str) -> Vec<&'o str> {
    let line = out.lines().find(|line| line.split_whitespace().next() == Some(name) && line.contains("127.0.0.1:"));
    line.unwrap_or_default().split_whitespace().collect()
}

#[test]
fn one_frame_has_the_members_of_our_agents_and_of_hashicorps() {
    let one = Agent::start(OURS, "one", &["-tag", "zone=east", "-tag", "dc=x"]);
    let mut two = Agent::start(OURS, "two", &["-join", &one.bind, "-tag", "zone=west", "-tag", "dc=y"]);
    one.wait_status("two", "alive");
    // Coordinates are known after a probe.
    let out = eventually("a round-trip time", || {
        let ran = once(&one, &[]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        row(&ran.out, "two").contains(&"ms").then_some(ran.out)
    });
    assert!(out.starts_with("one  2 members:  2 alive  0 suspected  0 leaving  0 left  0 failed\n"), "{out}");
    assert!(out.contains("\nzones:  east 1/1 live  west 1/1 live\n"), "{out}");
    assert!(out.contains("  health 0 (good)  encrypted no  "), "{out}");
    assert_eq!(row(&out, "one")[..4], ["one", &one.bind, "alive", "east"]);
    assert_eq!(row(&out, "two")[..4], ["two", &two.bind, "alive", "west"]);
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let other = once(&one, &["-zone-tag=dc"]).out;
    assert!(other.contains("\nzones:  x 1/1 live  y 1/1 live\n"), "{other}");

    let theirs = reference().map(|reference| Agent::start(&reference, "three", &["-join", &one.bind]));
    two.kill();
    one.wait_status("two", "failed");
    let out = once(&one, &[]).out;
    assert_eq!((row(&out, "two")[2], out.contains("  1 failed")), ("failed", true), "{out}");
    let Some(theirs) = theirs else { return };
    theirs.wait_status("two", "failed");
    let ran = once(&theirs, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let expected = "three  3 members:  2 alive  - suspected  0 leaving  0 left  1 failed\n";
    assert!(ran.out.starts_with(expected), "{}", ran.out);
    assert_eq!(row(&ran.out, "one")[..4], ["one", &one.bind, "alive", "east"]);
    assert!(!theirs.log().contains("Unsupported"), "{}", theirs.log());
}

#[test]
fn without_a_terminal_or_an_agent_it_says_so() {
    let ran = serf(&["top"], &[]);
    assert_eq!(ran.out, "The output is not a terminal. Use -once to print the cluster as text\n");
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    let ran = serf(&["top", "-once"], &[("SERF_RPC_ADDR", "127.0.0.1:1")]);
    assert_eq!(ran.out, "Error connecting to Serf agent: dial tcp 127.0.0.1:1: connect: connection refused\n");
    assert_eq!(ran.code, Some(1));
    let directory = Directory::new();
    let file = directory.file("agent.json", r#"{"rpc_auth": "secret"}"#);
    let agent = Agent::start(OURS, "one", &["-config-file", &file]);
    let ran = once(&agent, &["-rpc-auth=wrong"]);
    assert!(ran.out.starts_with("Error connecting to Serf agent: ") && ran.code == Some(1), "{ran:?}");
    let ran = serf(&["top", "-interval=1ms"], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "Invalid interval: 1ms is below 100ms\n"));
}
