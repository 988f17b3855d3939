//! Operations on failed members.

use crate::process::{Agent, eventually};

#[test]
fn a_member_that_failed_is_made_to_leave_and_forgotten_on_demand() {
    let agent = Agent::start(&["-profile=local"]);
    let join = format!("-join={}", agent.bound());
    drop(Agent::start(&["-node=gone", "-profile=local", &join]));
    agent.wait("(0 peer confirmations)");
    agent.wait("[INFO] serf: EventMemberFailed: gone 127.0.0.1");
    agent.client().force_leave("gone", false).expect("works");
    agent.wait("[INFO] serf: EventMemberLeave (forced): gone 127.0.0.1");
    agent.client().force_leave("gone", true).expect("works");
    agent.wait("[INFO] serf: EventMemberReap (forced): gone 127.0.0.1");
    eventually("one member", || (agent.client().members().expect("answers").len() == 1).then_some(()));
}
