//! Handlers that take too long, and reloads while handlers run.

use std::fs;

use serf_agent::rpc::UserEvent;

use crate::process::{Agent, Directory, eventually};

fn event(name: &str) -> UserEvent {
    UserEvent { name: name.into(), payload: None, coalesce: false }
}

/// Whether a process of this number is there, other than as what its parent has not yet asked for.
fn runs(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn a_handler_that_takes_too_long_is_ended_with_its_children_and_the_next_event_is_handled() {
    if !fs::exists("/proc/self/stat").unwrap_or(false) {
        return eprintln!("NOT RUN: this system has no /proc");
    }
    let dir = Directory::new("timeout");
    let pids = dir.0.join("pids").display().to_string();
    let script = format!("trap '' TERM; sleep 1000 & echo $! $$ >> {pids}; sleep 1000; sleep 1000");
    let agent = Agent::start(&["-handler-timeout=300ms", &format!("-event-handler=user:stuck={script}")]);
    let mut client = agent.client();
    client.event(event("stuck")).expect("is sent");
    agent.wait("it took longer than 300ms and was ended");
    let first = fs::read_to_string(&pids).expect("was written");
    for pid in first.split_whitespace() {
        eventually("the end of all that it started", || (!runs(pid)).then_some(()));
    }
    client.event(event("stuck")).expect("is sent");
    eventually("the next run", || (fs::read_to_string(&pids).expect("was written").lines().count() == 2).then_some(()));
}

#[test]
fn a_handler_may_clean_up_before_it_is_ended_and_its_answer_does_not_count() {
    let dir = Directory::new("cleanup");
    let page = dir.0.join("page").display().to_string();
    let script = format!("trap 'echo cleaned >> {page}; exit 0' TERM; echo answer; sleep 1000 & wait");
    let agent = Agent::start(&["-handler-timeout=300ms", &format!("-event-handler=query:q={script}")]);
    let mut client = agent.client();
    let query = serf_agent::rpc::Query { name: "q".into(), timeout_ns: 2_000_000_000, ..Default::default() };
    client.query(query).expect("is asked");
    agent.wait("was ended");
    assert_eq!(fs::read_to_string(&page).expect("was written"), "cleaned\n");
    let mut answers = 0;
    while let Some((_, record)) = client.next_record(Some(std::time::Duration::from_secs(10))).expect("is connected") {
        match record {
            serf_agent::rpc::Record::Query(serf_agent::rpc::QueryRecord::Response { .. }) => answers += 1,
            serf_agent::rpc::Record::Query(serf_agent::rpc::QueryRecord::Done) => break,
            _ => {}
        }
    }
    assert_eq!(answers, 0);
}

#[test]
fn a_reload_loses_no_event_and_keeps_their_order() {
    let dir = Directory::new("in-flight");
    let (page, gate) = (dir.0.join("page").display().to_string(), dir.0.join("gate").display().to_string());
    let script = format!("until [ -e {gate} ]; do sleep 0.05; done; sleep 0.3; echo $SERF_USER_EVENT >> {page}");
    let config = |handlers: &str| dir.file("c.json", &format!("{{\"event_handlers\": [{handlers}]}}"));
    let path = config(&format!("\"user={script}\", \"user:gone=echo gone >> {page}\""));
    let agent = Agent::start(&["-config-file", &path]);
    let mut client = agent.client();
    client.event(event("a")).expect("is sent");
    client.event(event("b")).expect("is sent");
    agent.wait("user-event: b");
    config(&format!("\"user={script}\", \"user=true\""));
    agent.signal("HUP");
    eventually("the new handlers", || (client.stats().expect("answers")["event_handlers"].len() == 1).then_some(()));
    client.event(event("gone")).expect("is sent");
    agent.wait("user-event: gone");
    fs::write(&gate, "").expect("can be written");
    let lines = || fs::read_to_string(&page).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    eventually("all three", || (lines().len() == 3).then_some(()));
    assert_eq!(lines(), ["a", "b", "gone"]);
}
