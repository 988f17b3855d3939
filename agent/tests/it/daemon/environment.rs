//! Settings and secrets from the environment.

use std::fs;

use serf_agent::rpc::{ClientError, UserEvent};

use crate::process::{ANY_PORT, Agent, Directory, eventually};

#[test]
fn secrets_come_from_the_environment_and_do_not_reach_handlers() {
    let dir = Directory::new();
    let page = dir.path().join("page").display().to_string();
    let handler = format!("-event-handler=user=env > {page}.new && mv {page}.new {page}");
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let secrets = [("SERF_RPC_AUTH", "s3cret"), ("SERF_ENCRYPT_KEY", key), ("SERF_RPC_ADDR", "192.0.2.1:1")];
    let agent = Agent::start_in(&[&secrets[..], &[("OTHER", "kept")]].concat(), &[&handler]);
    assert!(agent.output().contains("Encrypted: true"));
    assert!(matches!(agent.client_with("").map(|mut client| client.members()), Ok(Err(ClientError::Refused(_)))));
    let mut client = agent.client_with("s3cret").expect("lets us in");
    client.event(UserEvent { name: "e".into(), payload: None, coalesce: false }).expect("is sent");
    let seen = eventually("the handler", || fs::read_to_string(&page).ok());
    assert!(seen.contains("OTHER=kept\n") && seen.contains("SERF_USER_EVENT=e\n"));
    assert!(!seen.contains("s3cret") && !seen.contains(key), "{seen}");
}

#[test]
fn flags_win_over_the_environment_which_wins_over_files() {
    let dir = Directory::new();
    let file = dir.file("c.json", "{\"tags\": {\"from\": \"file\", \"f\": \"1\"}, \"profile\": \"wan\"}");
    let env = [("SERF_TAGS", "from=environment,e=1"), ("SERF_PROFILE", "local"), ("SERF_NODE_NAME", "other")];
    let agent = Agent::start_in(&env, &["-config-file", &file, "-tag", "t=1"]);
    assert!(agent.output().contains("Profile: local\n") && agent.output().contains("Node name: 'one'\n"));
    assert_eq!(agent.tags(), "e=1,f=1,from=environment,t=1");
    assert!(agent.output().starts_with("==> Settings from the environment: SERF_PROFILE, SERF_TAGS\n"));
}

#[test]
fn a_variable_that_makes_no_sense_is_named() {
    let mut agent = Agent::spawn_in(&[("SERF_REJOIN_AFTER_LEAVE", "maybe")], ANY_PORT, &[]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("==> Error reading SERF_REJOIN_AFTER_LEAVE from the environment: it is neither true nor false");
}
