//! Many clients at once, and clients that do not read.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serf_agent::rpc::{Client, EventRecord, Record, UserEvent};

use super::user_event;
use crate::process::Agent;

/// The resident memory of an agent, in KiB. `None` where the system does not report it.
fn resident_kib(agent: &Agent) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn hears_last(client: &mut Client) -> bool {
    match client.next_record(Some(Duration::from_secs(60))).expect("is connected").expect("comes in time").1 {
        Record::Event { event: Some(EventRecord::User { name, .. }), .. } => name == "last",
        other => panic!("{other:?}"),
    }
}

#[test]
fn three_hundred_clients_are_served_and_those_that_do_not_read_block_no_other() {
    const CLIENTS: usize = 300;
    let agent = Agent::start(&["-log-level=warn"]);
    let mut stalled = [agent.client(), agent.client()];
    stalled[0].stream("*").expect("subscribes");
    stalled[1].monitor("debug").expect("subscribes");
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| agent.client()).collect();
    for client in &mut clients {
        client.stream("user").expect("subscribes");
    }
    let waiting = Arc::new(AtomicUsize::new(CLIENTS));
    let threads: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(n, mut client)| {
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || {
                for round in 0..3 {
                    assert_eq!(client.members().expect("answers").len(), 1);
                    client.event(user_event(&format!("client-{n}-{round}"))).expect("is sent");
                    assert_eq!(client.stats().expect("answers")["agent"]["name"], "one");
                }
                while !hears_last(&mut client) {}
                waiting.fetch_sub(1, Ordering::Relaxed);
            })
        })
        .collect();
    let mut sender = agent.client();
    // A thread that was slow and lost the first event receives another one.
    while waiting.load(Ordering::Relaxed) > 0 && threads.iter().any(|thread| !thread.is_finished()) {
        sender.event(user_event("last")).expect("is sent");
        thread::sleep(Duration::from_millis(100));
    }
    threads.into_iter().for_each(|thread| thread.join().expect("is served"));
}

#[test]
fn what_clients_do_not_read_is_bounded() {
    const EVENTS: usize = 40_000;
    let agent = Agent::start(&["-log-level=warn"]);
    let mut stalled = [agent.client(), agent.client()];
    stalled[0].stream("*").expect("subscribes");
    stalled[1].monitor("debug").expect("subscribes");
    let mut sender = agent.client();
    let event = || UserEvent { name: "flood".into(), payload: Some(vec![b'x'; 400]), coalesce: false };
    let mut flood = |events: usize| {
        (0..events).for_each(|_| sender.event(event()).expect("is sent"));
        resident_kib(&agent)
    };
    let first = flood(EVENTS / 4);
    let last = flood(EVENTS);
    // The stream's records alone would take 20 MiB.
    let (Some(first), Some(last)) = (first, last) else {
        eprintln!("NOT RUN: this system does not say how much memory a process has");
        return;
    };
    eprintln!("{first} KiB after {} events, {last} KiB after {EVENTS} more", EVENTS / 4);
    assert!(last < first + 8 * 1024, "{first} KiB, then {last} KiB");
    let mut reading = agent.client();
    reading.stream("user").expect("subscribes");
    sender.event(user_event("last")).expect("is sent");
    assert!(hears_last(&mut reading));
}
