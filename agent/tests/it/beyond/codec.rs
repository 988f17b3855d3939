//! `-codec`: clusters of every codec with HashiCorp's agents, and the change from one codec to another while a cluster
//! runs.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::lab::{Agent, OURS, eventually, reference, serf};
use super::rolling::{Kind, MEMBERS, Rolling, wait_alive};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";
const NEW_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMA==";

const AUTO: Kind<'static> = Kind { binary: OURS, flags: &["-codec=auto"] };
const NATIVE: Kind<'static> = Kind { binary: OURS, flags: &["-codec=native"] };
const DEFAULT: Kind<'static> = Kind { binary: OURS, flags: &[] };

/// The group `serf` of an agent's figures.
fn figures(agent: &Agent) -> Value {
    agent.ask(&["info", "-format=json"]).json()["serf"].clone()
}

fn figure(agent: &Agent, name: &str) -> u64 {
    figures(agent)[name].as_str().unwrap_or_else(|| panic!("no {name}")).parse().expect("is a number")
}

/// Has a name answered by all members in one query. Gossip reaches all with high probability, so it is asked again.
fn wait_answers(agent: &Agent, names: &[&str]) {
    let mut names = names.to_vec();
    names.sort_unstable();
    eventually("answers of all", || {
        let answers = agent.ask(&["query", "-format=json", "-timeout=2s", "who"]).json();
        let answered: Vec<&str> = answers["Responses"].as_object()?.keys().map(String::as_str).collect();
        (answered == names).then_some(())
    });
}

#[test]
fn without_the_flag_the_figures_and_versions_are_hashicorps() {
    let (plain, auto) = (DEFAULT.start("plain", &[]), AUTO.start("auto", &[]));
    let keys =
        |agent: &Agent| -> Vec<String> { figures(agent).as_object().expect("is a map").keys().cloned().collect() };
    assert!(keys(&plain).iter().all(|key| !key.contains("digest") && !key.contains("codec")), "{:?}", keys(&plain));
    assert_eq!(figures(&auto)["codec"], "auto");
    assert!(!plain.log().contains("Codec:"));
    let ran = serf(&["agent", "-codec=hashi"], &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("Unknown codec: hashi. Valid codecs are: [auto native hashicorp]"), "{ran:?}");
}

#[test]
fn agents_of_either_codec_and_hashicorps_are_one_cluster() {
    let handler = "-event-handler=query:who=echo me";
    let reference = reference();
    let theirs = Kind { binary: reference.as_deref().unwrap_or(OURS), flags: &[] };
    let kinds = [theirs, AUTO, DEFAULT, AUTO, theirs];
    let names = ["n0", "n1", "n2", "n3", "n4"];
    let mut agents: Vec<Agent> = Vec::new();
    for (kind, name) in kinds.into_iter().zip(names) {
        let join = agents.first().map(|seed| format!("-join={}", seed.bind));
        // With the local profile a message is sent twice only, and HashiCorp's agents miss some of five members' news.
        let mut more = vec![handler, "-encrypt", KEY, "-profile=lan"];
        more.extend(join.as_deref());
        agents.push(kind.start(name, &more));
    }
    wait_alive(&agents, 5);

    for (at, agent) in agents.iter().enumerate() {
        wait_answers(agent, &names);
        assert_eq!(agent.ask(&["event", "-coalesce=false", &format!("from-{at}")]).code, Some(0));
        assert_eq!(agent.ask(&["tags", "-set", &format!("by=n{at}")]).code, Some(0));
    }
    for agent in &agents {
        for (at, name) in names.iter().enumerate() {
            let event = format!("Received event: user-event: from-{at}\n");
            eventually("the event", || agent.log().contains(&event).then_some(()));
            let (name, tag) = (format!("-name={name}"), format!("by=n{at}"));
            eventually("the tag", || agent.ask(&["members", &name]).out.contains(&tag).then_some(()));
        }
    }

    let done = json!({"messages": {}, "nodes": 5, "responses": 5, "errors": 0});
    for step in [["-install", NEW_KEY], ["-use", NEW_KEY], ["-remove", KEY]] {
        // A member that a query did not reach is not changed; the operator repeats the step.
        eventually(step[0], || {
            let ran = agents[1].ask(&["keys", "-format=json", step[0], step[1]]);
            (ran.json() == done || ran.json()["messages"].as_object().is_some_and(|it| it.len() == 5)).then_some(())
        });
    }
    wait_answers(&agents[0], &names);

    // Only the two of our codec compare digests.
    assert_eq!((figure(&agents[1], "native_members"), figure(&agents[3], "native_members")), (2, 2));
    eventually("digests", || (figure(&agents[1], "digests_compared") > 0).then_some(()));
    let [_, here, _, there, _] = &agents[..] else { unreachable!("five were started") };
    let ran = serf(&["doctor", "-format=json", "-encrypt", NEW_KEY, "-rpc-addr", &here.rpc, &there.bind], &[]);
    let report = ran.json();
    let checks = report["checks"].as_array().expect("is a list");
    let digests = checks.iter().find(|check| check["check"] == "digests").unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(digests["result"], "ok", "{report:#}");
    agents[3].interrupt();
    agents[2].interrupt();
    for agent in [&agents[0], &agents[1], &agents[4]] {
        agent.wait_status("n2", "left");
        agent.wait_status("n3", "left");
    }
}

#[test]
fn a_running_cluster_changes_its_codec_node_by_node_and_loses_no_event() {
    let mut rolling = Rolling::start(DEFAULT);
    rolling.change(AUTO);
    for agent in &rolling.agents {
        eventually("all native", || (figure(agent, "native_members") == MEMBERS as u64).then_some(()));
        eventually("digests", || (figure(agent, "digests_compared") > 0).then_some(()));
    }
    rolling.change(DEFAULT);
    assert!(figures(&rolling.agents[0])["native_members"].is_null());
    assert!(rolling.events.load(Ordering::Relaxed) > 20, "events were sent");
}

#[test]
fn an_agent_of_the_native_codec_alone_joins_others_and_is_joined_by_its_like() {
    let (native, auto) = (NATIVE.start("native", &[]), AUTO.start("auto", &[]));
    // Who joins does not know what the other reads, and writes HashiCorp's codec.
    assert_eq!(auto.ask(&["join", &native.bind]).code, Some(1));
    assert_eq!(native.ask(&["join", &auto.bind]).code, Some(0));
    let agents = [NATIVE.start("other", &["-join", &native.bind]), native, auto];
    wait_alive(&agents, 3);
    assert!(agents[1].ask(&["event", "-coalesce=false", "deploy"]).code == Some(0));
    for agent in &agents {
        eventually("the event", || agent.log().contains("Received event: user-event: deploy\n").then_some(()));
    }
}

#[test]
fn hashicorps_agents_are_replaced_with_native_ones_and_back_and_no_event_is_lost() {
    let Some(reference) = reference() else { return };
    let theirs = Kind { binary: &reference, flags: &[] };
    let mut rolling = Rolling::start(theirs);
    rolling.change(AUTO);
    rolling.change(theirs);
    assert!(rolling.events.load(Ordering::Relaxed) > 20, "events were sent");
}
