//! The log as lines of JSON.

use serde_json::Value;

use crate::process::{ANY_PORT, Agent, eventually};

fn lines(agent: &Agent) -> Vec<Value> {
    let output = agent.output();
    output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("is no JSON: {line}"))).collect()
}

#[test]
fn every_line_is_an_object_from_the_first_to_the_last() {
    let mut agent = Agent::spawn(ANY_PORT, &["-log-format=json", "-join=127.0.0.1:1"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("Shutdown without a Leave");
    let lines = lines(&agent);
    let find = |text: &str| lines.iter().find(|line| line["message"].as_str().is_some_and(|it| it.contains(text)));
    let start = find("Serf agent starting").expect("was logged");
    assert_eq!((start["level"].as_str(), start["component"].as_str()), (Some("INFO"), Some("agent")));
    let time = start["time"].as_str().expect("is text");
    assert!(time.len() == "2026-11-21T02:20:12.345+00:00".len() && time.as_bytes()[10] == b'T', "{time}");
    assert_eq!(find("Serf agent running!").expect("is output")["component"], "agent");
    assert!(lines.iter().all(|line| line["node"] == "one"), "each says whose it is");
    assert_eq!(find("Node name: 'one'").expect("is output")["level"], "INFO");
    let joined = find("EventMemberJoin: one").expect("was logged");
    assert_eq!(joined["fields"]["member"], "one");
    let error = find("1 error occurred:").expect("was logged");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("connection refused")), "all its lines are one");
}

#[test]
fn clients_that_follow_the_log_get_text_all_the_same() {
    let agent = Agent::spawn("127.0.0.1:0", &["-log-format=json"]);
    eventually("the banner", || agent.output().contains("Log data will now stream").then_some(()));
    let banner = lines(&agent);
    let rpc = banner.iter().find_map(|line| line["message"].as_str()?.strip_prefix("RPC addr: '")?.strip_suffix('\''));
    let address = rpc.expect("is in the banner").into();
    let options = serf_agent::rpc::ClientOptions { address, ..Default::default() };
    let mut client = serf_agent::rpc::Client::connect(&options).expect("lets us in");
    client.monitor("info").expect("subscribes");
    let record = client.next_record(Some(std::time::Duration::from_secs(10))).expect("is connected").expect("comes").1;
    let serf_agent::rpc::Record::Log(text) = record else { panic!("is no log record: {record:?}") };
    assert!(text.contains("[INFO] agent: Serf agent starting"), "{text}");
}

#[test]
fn an_unknown_format_is_refused() {
    let mut agent = Agent::spawn(ANY_PORT, &["-log-format=xml"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("==> Invalid log format: xml. Valid log formats are: [text json]");
}
