//! Clusters with more than a few nodes.

use serf_tokio::Coalescing;

use crate::harness::{Agent, Ours, Sees, Watch, until_or};

pub(crate) fn eight_of_each_see_all_sixteen() {
    // Gossip may miss a member here; the local profile has the shortest push/pull interval.
    let theirs: Vec<Agent> = (0..8).map(|n| Agent::start(&format!("h{n}"), &["-profile=local"])).collect();
    let ours: Vec<Ours> = (0..8).map(|n| Ours::start_quick(&format!("o{n}"))).collect();
    // Each joins through a node of the other implementation.
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.join(&[theirs.addr]), 1);
    }
    for (ours, theirs) in ours.iter().zip(&theirs[1..]) {
        assert_eq!(theirs.join(&[ours.addr]), 1);
    }
    theirs.iter().for_each(|node| node.sees_alive(16));
    ours.iter().for_each(|node| node.sees_alive(16));
    let mut watches: Vec<Watch> = theirs.iter().map(Agent::watch).collect();
    ours[7].serf.user_event("from-ours", b"1", Coalescing::Forbid).unwrap();
    theirs[7].user_event("from-theirs", b"2", false).unwrap();
    let both = |names: Vec<String>| names.len() == 2 && names.iter().any(|name| name == "from-ours");
    for watch in &mut watches {
        let names = |watch: &mut Watch| watch.user_events().into_iter().map(|event| event.name).collect::<Vec<_>>();
        until_or("theirs hears both", || names(watch), |names| both(names.clone()));
    }
    for node in &ours {
        let names = || node.user_events().into_iter().map(|event| event.name).collect::<Vec<_>>();
        until_or("ours hears both", names, |names| both(names.clone()));
    }
}

pub(crate) fn a_cluster_of_theirs_is_replaced_by_ours_and_no_event_is_lost() {
    let mut theirs: Vec<Agent> = (0..5).map(|n| Agent::start(&format!("h{n}"), &[])).collect();
    let seed = theirs[0].addr;
    theirs[1..].iter().for_each(|agent| assert_eq!(agent.join(&[seed]), 1));
    theirs.iter().for_each(|agent| agent.sees_alive(5));
    let mut ours: Vec<Ours> = Vec::new();
    for step in 0..5 {
        let node = Ours::start(&format!("o{step}"));
        node.join(&[theirs.last().unwrap().addr]);
        ours.push(node);
        let gone = theirs.remove(0);
        let name = gone.name.clone();
        gone.leave();
        theirs.iter().for_each(|agent| agent.sees(&name, "left"));
        ours.iter().for_each(|node| node.sees(&name, "left"));
        for node in &ours {
            theirs.iter().for_each(|agent| agent.sees(&node.name, "alive"));
            ours.iter().for_each(|other| other.sees(&node.name, "alive"));
        }

        // Alternately from one of theirs and one of ours, to all current members.
        let mut watches: Vec<Watch> = theirs.iter().map(Agent::watch).collect();
        let event = format!("step-{step}");
        match theirs.first() {
            Some(agent) if step % 2 == 0 => agent.user_event(&event, b"", false).unwrap(),
            _ => ours[step / 2].serf.user_event(&event, b"", Coalescing::Forbid).unwrap(),
        }
        for watch in &mut watches {
            let names = |watch: &mut Watch| watch.user_events().into_iter().map(|event| event.name).collect::<Vec<_>>();
            until_or("theirs hears it", || names(watch), |names| *names == [event.clone()]);
        }
        for (n, node) in ours.iter().enumerate() {
            let names = || node.user_events().into_iter().map(|event| event.name).collect::<Vec<_>>();
            // Exactly once each, from the join of the node on.
            let expected: Vec<String> = (n..=step).map(|step| format!("step-{step}")).collect();
            until_or("ours hears it", names, |names| *names == expected);
        }
    }
    for node in &ours {
        let alive = node.view().into_values().filter(|member| member.status == "alive").count();
        assert_eq!(alive, 5);
    }
}
