//! `serf why`

use std::process::Command;

use super::lab::{Agent, OURS, eventually, reference};

#[test]
fn the_remaining_members_know_the_accuser_of_a_failed_member_and_the_time() {
    let one = Agent::start(OURS, "one", &[]);
    let two = Agent::start(OURS, "two", &["-join", &one.bind]);
    let mut three = Agent::start(OURS, "three", &["-join", &one.bind]);
    for agent in [&one, &two, &three] {
        for name in ["one", "two", "three"] {
            agent.wait_status(name, "alive");
        }
    }
    let ran = one.ask(&["why", "three"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let expected = format!("three ({}) is alive, as one sees it.\nNobody suspects it.\n", three.bind);
    assert_eq!(ran.out, expected);

    three.kill();
    let mut accused_by_probe = 0;
    for (agent, name) in [(&one, "one"), (&two, "two")] {
        agent.wait_status("three", "failed");
        let why = agent.ask(&["why", "-format=json", "three"]).json();
        assert_eq!((&why["agent"], &why["status"]), (&name.into(), &"failed".into()), "{why:#}");
        assert_eq!((&why["node"], &why["addr"]), (&"three".into(), &three.bind.as_str().into()));
        let accusers = why["accusers"].as_array().expect("is a list");
        assert!(!accusers.is_empty() && accusers.iter().all(|by| by == "one" || by == "two"), "{why:#}");
        assert!(why["said_by"] == "one" || why["said_by"] == "two", "{why:#}");
        let ago = |key: &str| why[key]["seconds_ago"].as_f64();
        let (suspected, gone) = (ago("suspected").expect("it was suspected first"), ago("gone").expect("is gone"));
        assert!((0.0..60.0).contains(&gone) && gone <= suspected, "{why:#}");
        accused_by_probe += i32::from(why["suspected"]["how"] == "own-probe");

        let text = agent.ask(&["why", "three"]).out;
        assert!(text.starts_with(&format!("three ({}) is failed, as {name} sees it.\n", three.bind)), "{text}");
        assert!(text.contains("Who suspected it: ") && text.contains(" ago  declared failed by "), "{text}");
        assert!(text.ends_with(&format!("serf doctor {}\n", three.bind)), "{text}");
    }
    assert!(accused_by_probe > 0, "somebody saw it for itself");

    // The doctor finds no fault with a node that lost another one, and names the next step.
    let ran = one.ask(&["doctor", "-format=json", &one.bind]);
    let checks = ran.json()["checks"].clone();
    let members = checks.as_array().and_then(|all| all.iter().find(|it| it["check"] == "members")).expect("is checked");
    assert_eq!((ran.code, &members["result"]), (Some(0), &"note".into()));
    assert_eq!(members["advice"], "Ask its agent why: 'serf why NAME', for three.");
}

#[test]
fn a_member_that_left_is_distinguished_from_one_that_failed() {
    let one = Agent::start(OURS, "one", &[]);
    let two = Agent::start(OURS, "two", &["-join", &one.bind]);
    one.wait_status("two", "alive");
    assert_eq!(two.ask(&["leave"]).code, Some(0));
    one.wait_status("two", "left");
    let why = one.ask(&["why", "-format=json", "two"]).json();
    assert_eq!((&why["status"], &why["said_by"], &why["suspected"]), (&"left".into(), &"two".into(), &().into()));
    assert!(one.ask(&["why", "two"]).out.contains("left: it said so itself"));
}

#[test]
fn unknown_names_and_agents_without_the_command_are_reported() {
    let ours = Agent::start(OURS, "one", &[]);
    let ran = ours.ask(&["why", "nobody"]);
    assert_eq!(ran.out, "The agent one knows no member with the name \"nobody\"\n");
    assert_eq!(ran.code, Some(1));
    assert!(ours.ask(&["why"]).out.starts_with("A node name must be specified.\n\nUsage: serf why"));
    let Some(reference) = reference() else { return };
    let theirs = Agent::start(&reference, "two", &[]);
    let ran = theirs.ask(&["why", "two"]);
    assert!(ran.out.starts_with("This agent does not know the command 'why'"), "{ran:?}");
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    let ran = theirs.ask(&["why", "-format=json", "two"]);
    assert!(ran.json()["error"].is_string() && ran.code == Some(1), "{ran:?}");
    // HashiCorp's agent survives the command. Its own command line has no `why`, so no client depends on it.
    assert_eq!(theirs.ask(&["members"]).code, Some(0));
    let status = Command::new(reference).arg("why").output().expect("can be run").status;
    assert_eq!(status.code(), Some(127));
    eventually("its log", || theirs.log().contains("Accepted client").then_some(()));
}
