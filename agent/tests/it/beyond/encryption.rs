//! Encryption turned on while a cluster runs, and what HashiCorp's agent does meanwhile, which lacks the settings.

use std::sync::atomic::Ordering;

use super::super::process::Directory;
use super::lab::{Agent, OURS, eventually, reference, serf};
use super::rolling::{Kind, Rolling, wait_alive};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";
const WITH_KEY: [&str; 2] = ["-encrypt", KEY];

/// The settings of each phase, as the content of a file.
const ACCEPTS: &str = r#"{"encrypt_verify_incoming": false, "encrypt_verify_outgoing": false}"#;
const SENDS: &str = r#"{"encrypt_verify_incoming": false}"#;

/// The flags for these settings: a file of its own, and the key.
fn flags(directory: &Directory, text: &str) -> [String; 3] {
    let name = if text == ACCEPTS { "accepts.json" } else { "sends.json" };
    [format!("-config-file={}", directory.file(name, text)), WITH_KEY[0].into(), WITH_KEY[1].into()]
}

fn log_has(agent: &Agent, event: &str) -> bool {
    agent.log().contains(&format!("Received event: user-event: {event}\n"))
}

fn send(agent: &Agent, event: &str) {
    assert_eq!(agent.ask(&["event", "-coalesce=false", event]).code, Some(0));
}

#[test]
fn encryption_is_turned_on_node_by_node_and_no_event_is_lost() {
    let directory = Directory::new();
    let (accepts, sends) = (flags(&directory, ACCEPTS), flags(&directory, SENDS));
    let [accepts, sends] = [&accepts, &sends].map(|flags| flags.each_ref().map(String::as_str));
    let ours = |flags| Kind { binary: OURS, flags };
    let mut rolling = Rolling::start(ours(&[]));
    for phase in [&accepts[..], &sends, &WITH_KEY] {
        rolling.change(ours(phase));
    }
    // Now a node without the key is a stranger.
    let stranger = ours(&[]).start("stranger", &[]);
    let refused = stranger.ask(&["join", &rolling.binds[0]]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let healthy = serf(&["doctor", "-encrypt", KEY, &rolling.binds[1]], &[]);
    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    assert!(rolling.events.load(Ordering::Relaxed) > 20, "events were sent");
}

#[test]
fn encryption_is_turned_off_node_by_node_and_no_event_is_lost() {
    let directory = Directory::new();
    let (accepts, sends) = (flags(&directory, ACCEPTS), flags(&directory, SENDS));
    let [accepts, sends] = [&accepts, &sends].map(|flags| flags.each_ref().map(String::as_str));
    let ours = |flags| Kind { binary: OURS, flags };
    let mut rolling = Rolling::start(ours(&WITH_KEY));
    for phase in [&sends[..], &accepts, &[]] {
        rolling.change(ours(phase));
    }
    assert!(rolling.events.load(Ordering::Relaxed) > 20, "events were sent");
}

#[test]
fn hashicorps_agent_takes_part_without_the_key_first_and_with_it_later() {
    let Some(reference) = reference() else { return };
    let directory = Directory::new();
    let (accepts, sends) = (flags(&directory, ACCEPTS), flags(&directory, SENDS));
    let [accepts, sends] = [&accepts, &sends].map(|flags| flags.each_ref().map(String::as_str));
    let cluster = |ours: &[&str], theirs: &[&str]| {
        let first = Kind { binary: OURS, flags: ours }.start("n0", &["-profile=lan"]);
        let join = format!("-join={}", first.bind);
        let second = Kind { binary: &reference, flags: theirs }.start("n1", &["-profile=lan", &join]);
        let agents = [first, second];
        wait_alive(&agents, 2);
        for (at, agent) in agents.iter().enumerate() {
            send(agent, &format!("from-{at}"));
            for agent in &agents {
                eventually("the event", || log_has(agent, &format!("from-{at}")).then_some(()));
            }
        }
        agents
    };
    cluster(&accepts, &[]);
    let [ours, theirs] = cluster(&sends, &WITH_KEY);
    // Both phases at once do not work: it has no setting to accept what is not encrypted, nor to send it so.
    let unencrypted = Kind { binary: OURS, flags: &accepts }.start("n2", &[]);
    assert_eq!(unencrypted.ask(&["join", &theirs.bind]).code, Some(1));
    assert_eq!(unencrypted.ask(&["join", &ours.bind]).code, Some(0));
    send(&unencrypted, "plain");
    eventually("the event", || log_has(&ours, "plain").then_some(()));
    eventually("the complaint", || theirs.log().contains("Decrypt packet failed").then_some(()));
}
