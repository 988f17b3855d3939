//! Joins that fail, and joins that a reload brings.

use crate::process::{ANY_PORT, Agent, Directory, eventually};

fn bound(agent: &Agent) -> String {
    let output = agent.output();
    let (_, addr) = output.split_once("Bind addr: '").expect("is in the banner");
    addr.split('\'').next().expect("is quoted").into()
}

#[test]
fn a_join_that_fails_says_why_in_the_order_of_the_addresses() {
    let encrypted = Agent::start(&["-node=seed", "-encrypt=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]);
    let mut agent =
        Agent::spawn(ANY_PORT, &[&format!("-join={}", bound(&encrypted)), "-join=nobody.invalid", "-join=127.0.0.1:1"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait(
        "3 errors occurred:\n\t* Failed to join 127.0.0.1: Remote state is encrypted and encryption is not configured\n\
         \t* Failed to resolve nobody.invalid: lookup nobody.invalid: no such host\n\
         \t* Failed to join 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection refused\n",
    );
}

#[test]
fn a_reload_joins_through_addresses_that_are_new() {
    let dir = Directory::new("joins");
    let (one, two) = (Agent::start(&["-node=first"]), Agent::start(&["-node=second"]));
    let config = |text: &str| dir.file("c.json", text);
    let agent = Agent::start(&["-config-file", &config("{\"retry_join\": [\"127.0.0.1:1\"]}")]);
    agent.wait("Join failed: ");
    config(&format!("{{\"retry_join\": [\"{}\"]}}", bound(&one)));
    agent.signal("HUP");
    agent.wait("[INFO] agent: Join completed. Synced with 1 initial agents");
    config(&format!("{{\"retry_join\": [\"{}\"], \"start_join\": [\"{}\"]}}", bound(&one), bound(&two)));
    agent.signal("HUP");
    eventually("both", || (agent.client().members().expect("answers").len() == 3).then_some(()));
    let joins = agent.output().matches("Joining cluster...").count();
    assert_eq!(joins, 2, "the list that did not change is not joined again");
}
