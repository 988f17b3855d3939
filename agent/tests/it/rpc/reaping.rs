//! Reaping of members.

use std::time::Duration;

use serf_agent::rpc::{Client, EventRecord, Record};

use crate::process::{Agent, Directory, eventually};

/// The name and the status of the member in the next record.
fn next(client: &mut Client) -> (String, String) {
    match client.next_record(Some(Duration::from_secs(60))).expect("is connected").expect("comes in time").1 {
        Record::Event { event: Some(EventRecord::Members { event, mut members }), .. } => {
            assert_eq!((&*event, members.len()), ("member-reap", 1));
            let member = members.remove(0);
            (member.name, member.status)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reap_event_has_the_status_before_it() {
    let dir = Directory::new();
    let config = dir.file("c.json", "{\"reconnect_timeout\": \"1s\"}");
    let agent = Agent::start(&["-profile=local", "-config-file", &config]);
    let patient = Agent::start(&["-profile=local", "-node=patient", "-join", &agent.bound()]);
    let two = Agent::start(&["-profile=local", "-node=two", "-join", &agent.bound()]);
    let sees = |agent: &Agent, status: &str| {
        let members = agent.client().members().expect("answers");
        members.iter().any(|member| member.name == "two" && member.status == status).then_some(())
    };
    eventually("all are members", || sees(&patient, "alive").and_then(|()| sees(&agent, "alive")));
    let [mut quick, mut pruning] = [agent.client(), patient.client()];
    quick.stream("member-reap").expect("subscribes");
    pruning.stream("member-reap").expect("subscribes");
    drop(two);
    // Failed members are checked every 15 s.
    assert_eq!(next(&mut quick), ("two".into(), "failed".into()));
    eventually("it has failed for the other, too", || sees(&patient, "failed"));
    patient.client().force_leave("two", true).expect("works");
    assert_eq!(next(&mut pruning), ("two".into(), "left".into()));
}
