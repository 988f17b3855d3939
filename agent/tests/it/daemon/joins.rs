//! Joins that fail, and joins that a reload starts.

use crate::process::{ANY_PORT, Agent, Directory, eventually};

#[test]
fn a_join_that_fails_says_why_in_the_order_of_the_addresses() {
    let encrypted = Agent::start(&["-node=seed", "-encrypt=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]);
    let mut agent =
        Agent::spawn(ANY_PORT, &[&format!("-join={}", encrypted.bound()), "-join=nobody.invalid", "-join=127.0.0.1:1"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait(
        "3 errors occurred:\n\t* Failed to join 127.0.0.1: Remote state is encrypted and encryption is not configured\n\
         \t* Failed to resolve nobody.invalid: lookup nobody.invalid: no such host\n\
         \t* Failed to join 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection refused\n",
    );
}

#[test]
fn a_join_distinguishes_other_keys_from_none() {
    let key = |letter: &str| format!("-encrypt=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA{letter}A=");
    let (encrypted, plain) = (Agent::start(&["-node=seed", &key("A")]), Agent::start(&["-node=plain"]));
    for (seed, why) in [
        (&encrypted, "No installed keys could decrypt the message"),
        (&plain, "Encryption is configured but remote state is not encrypted"),
    ] {
        let mut agent = Agent::spawn(ANY_PORT, &[&key("B"), &format!("-join={}", seed.bound())]);
        assert_eq!(agent.exit_code(), 1);
        agent.wait(&format!("\t* Failed to join 127.0.0.1: {why}\n"));
    }
}

#[test]
fn a_reload_joins_through_addresses_that_are_new() {
    let dir = Directory::new();
    let (one, two) = (Agent::start(&["-node=first"]), Agent::start(&["-node=second"]));
    let config = |text: &str| dir.file("c.json", text);
    let agent = Agent::start(&["-config-file", &config("{\"retry_join\": [\"127.0.0.1:1\"]}")]);
    agent.wait("Join failed: ");
    config(&format!("{{\"retry_join\": [\"{}\"]}}", one.bound()));
    agent.signal("HUP");
    agent.wait("[INFO] agent: Join completed. Synced with 1 initial agents");
    config(&format!("{{\"retry_join\": [\"{}\"], \"start_join\": [\"{}\"]}}", one.bound(), two.bound()));
    agent.signal("HUP");
    eventually("both", || (agent.client().members().expect("answers").len() == 3).then_some(()));
    let joins = agent.output().matches("Joining cluster...").count();
    assert_eq!(joins, 2, "the list that did not change is not joined again");
}

#[test]
fn where_every_address_is_meant_those_of_ipv6_are_meant_as_well() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("NOT RUN: this host has no IPv6");
    }
    let everywhere = Agent::start(&["-node=everywhere", "-bind=0.0.0.0:0", "-advertise=127.0.0.1"]);
    let addr = everywhere.bound();
    let port = addr.strip_prefix("0.0.0.0:").expect("is shown as it was given");
    let agent = Agent::start(&["-bind=[::1]:0", &format!("-join=[::1]:{port}")]);
    assert!(agent.output().contains("Join completed. Synced with 1 initial agents"));
    let agent = Agent::start(&["-node=two", &format!("-join=127.0.0.1:{port}")]);
    assert!(agent.output().contains("Join completed. Synced with 1 initial agents"));
}

#[test]
fn unreadable_lines_of_a_snapshot_are_logged() {
    let dir = Directory::new();
    let path = dir.file("s", "bogus line\nalive: gone 127.0.0.1:1\nclock: x\nleave\n");
    let agent = Agent::start(&["-rejoin", "-snapshot", &path]);
    agent.wait("[WARN] serf: Unrecognized snapshot line: bogus line\n");
    agent.wait("[WARN] serf: 1 lines of the snapshot are unreadable\n");
    agent.wait("[INFO] serf: Ignoring previous leave in snapshot\n");
    agent.wait("[INFO] serf: Attempting re-join to previously known node: gone: 127.0.0.1:1\n");
    agent.wait("[WARN] serf: Failed to re-join any previously known node\n");
}

#[test]
fn a_node_of_protocol_two_announces_no_tag_but_the_role() {
    for (protocol, before, after) in [("2", "role=web", "role=web"), ("3", "a=b,role=web", "a=b,c=d,role=web")] {
        let agent = Agent::start(&[&format!("-protocol={protocol}"), "-tag=role=web", "-tag=a=b"]);
        assert_eq!(agent.tags(), before);
        agent.client().update_tags([("c".into(), "d".into())].into(), vec![]).expect("works");
        assert_eq!(agent.tags(), after);
    }
}

#[test]
fn a_retry_join_that_was_refused_is_tried_again_soon_and_that_is_no_attempt() {
    use std::time::{Duration, Instant};
    // No other test takes it before the second agent does.
    let [.., high, low] = std::process::id().to_be_bytes();
    let addr = format!("127.{high}.{low}.92:7946");
    let begun = Instant::now();
    let early = Agent::start(&["-node=early", &format!("-retry-join={addr}"), "-retry-interval=15s", "-retry-max=1"]);
    early.wait("connection refused");
    let _late = Agent::start(&["-node=late", &format!("-bind={addr}")]);
    early.wait("Join completed. Synced with 1 initial agents");
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());

    let mut alone = Agent::start(&["-retry-join=127.0.0.1:1", "-retry-interval=3s", "-retry-max=1"]);
    assert_eq!(alone.exit_code(), 1);
    let output = alone.output();
    assert_eq!(output.matches("retrying in 3s").count(), 1, "as many attempts as with HashiCorp's");
    assert!(output.contains("maximum retry join attempts made, exiting"));
}

#[test]
fn an_agent_that_leaves_still_sends_events_and_queries() {
    let stays = Agent::start(&["-node=stays", "-event-handler=query:who=echo me"]);
    let bound = stays.output();
    let bound = bound.split("Bind addr: '").nth(1).and_then(|rest| rest.split('\'').next()).expect("is shown");
    let goes = Agent::start(&["-node=goes", "-join", bound]);
    let mut client = goes.client();
    goes.signal("INT");
    goes.wait("Gracefully shutting down agent");
    let event = serf_agent::rpc::UserEvent { name: "late".into(), payload: None, coalesce: false };
    client.event(event).expect("is sent");
    let query = serf_agent::rpc::Query { name: "who".into(), timeout_ns: 1_000_000_000, ..Default::default() };
    client.query(query).expect("is asked");
    stays.wait("Received event: user-event: late");
    stays.wait("Received event: query: who");
}

#[test]
fn a_forced_leave_of_oneself_is_refused_with_advice() {
    let error = Agent::start(&[]).client().force_leave("one", false).expect_err("is refused");
    assert!(error.to_string().ends_with("use 'serf leave'"), "{error}");
}

#[test]
fn tags_that_change_and_change_back_at_once_are_an_update() {
    let agent = Agent::start(&["-tag=dc=east"]);
    agent.wait("Received event: member-join");
    let mut client = agent.client();
    for dc in ["west", "east"] {
        client.update_tags([("dc".into(), dc.into())].into(), vec![]).expect("works");
    }
    agent.wait("Received event: member-update");
}
