//! Clusters whose agents are restarted one after the other, with other flags or as another binary, while events are
//! sent.

use core::ops::Range;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::super::process::Directory;
use super::lab::{Agent, OURS, eventually, free_address};

/// How to run an agent: the binary, and flags.
#[derive(Clone, Copy)]
pub(super) struct Kind<'k> {
    pub(super) binary: &'k str,
    pub(super) flags: &'k [&'k str],
}

impl Kind<'_> {
    pub(super) fn start(self, name: &str, more: &[&str]) -> Agent {
        Agent::start(self.binary, name, &[self.flags, more].concat())
    }
}

/// Waits until each agent reports `count` members as alive.
pub(super) fn wait_alive(agents: &[Agent], count: usize) {
    for agent in agents {
        let alive = || agent.ask(&["members", "-status=alive"]).out.lines().count();
        eventually("all alive", || (alive() == count).then_some(()));
    }
}

/// A cluster whose agents are restarted as another kind, one after the other, while events are sent.
pub(super) struct Rolling {
    directory: Directory,
    /// The running agents, and their addresses.
    pub(super) agents: Vec<Agent>,
    pub(super) binds: Vec<String>,
    /// The agents that ended, with the number of each.
    ended: Vec<(usize, Agent)>,
    pub(super) events: AtomicU32,
    /// Events that were sent while HashiCorp's agent was restarted as this member: its snapshot loses some of them,
    /// whatever the others are.
    excused: Vec<(usize, Range<u32>)>,
}

impl Rolling {
    pub(super) fn start(kind: Kind<'_>) -> Self {
        let binds = (0..MEMBERS).map(|_| free_address()).collect();
        let mut rolling = Self {
            directory: Directory::new(),
            agents: Vec::new(),
            binds,
            ended: Vec::new(),
            events: AtomicU32::new(0),
            excused: Vec::new(),
        };
        for at in 0..MEMBERS {
            let agent = rolling.start_one(at, kind);
            rolling.agents.push(agent);
        }
        wait_alive(&rolling.agents, MEMBERS);
        rolling
    }

    /// Starts an agent with its address and its snapshot, from which it joins again.
    fn start_one(&self, at: usize, kind: Kind<'_>) -> Agent {
        let path = self.directory.path().join(at.to_string());
        let (snapshot, join) = (path.display().to_string(), format!("-join={}", self.binds[0]));
        let more = ["-bind", &self.binds[at], "-snapshot", &snapshot, "-rejoin"];
        // A join through an address skips the events from before it; a rejoin from the snapshot does not.
        let others: &[&str] = if at == 0 || path.exists() { &[] } else { &[&join] };
        kind.start(&format!("n{at}"), &[&more[..], others].concat())
    }

    /// Restarts each agent as `kind`, with events sent through another one meanwhile.
    pub(super) fn change(&mut self, kind: Kind<'_>) {
        for at in 0..MEMBERS {
            let is_done = AtomicBool::new(false);
            let first = self.events.load(Ordering::Relaxed);
            let mut goes = self.agents.remove(at);
            // Before the first event: what arrives while an agent ends may be in its snapshot and not in its log.
            goes.interrupt();
            let comes = thread::scope(|scope| {
                let sender = &self.agents[at % self.agents.len()];
                let (events, is_done) = (&self.events, &is_done);
                scope.spawn(move || {
                    while !is_done.load(Ordering::Relaxed) {
                        let event = format!("e{}", events.fetch_add(1, Ordering::Relaxed));
                        assert_eq!(sender.ask(&["event", "-coalesce=false", &event]).code, Some(0));
                        thread::sleep(Duration::from_millis(100));
                    }
                });
                // The first events are sent while the member is away.
                thread::sleep(Duration::from_millis(300));
                let comes = self.start_one(at, kind);
                let alive = || comes.ask(&["members", "-status=alive"]).out.lines().count();
                eventually("its return", || (alive() == MEMBERS).then_some(()));
                is_done.store(true, Ordering::Relaxed);
                comes
            });
            self.ended.push((at, goes));
            if kind.binary != OURS {
                self.excused.push((at, first..self.events.load(Ordering::Relaxed)));
            }
            self.agents.insert(at, comes);
            wait_alive(&self.agents, MEMBERS);
            // A member that gossip missed gets the event by a push/pull or a digest. Restarted before, it would skip it.
            self.wait_events();
        }
    }

    /// Waits until each member, over its restarts, has reported each event.
    fn wait_events(&self) {
        let count = self.events.load(Ordering::Relaxed);
        for (at, agent) in self.agents.iter().enumerate() {
            let ended = self.ended.iter().filter(|(of, _)| *of == at).map(|(_, agent)| agent.log());
            let before: String = ended.collect();
            let excused: Vec<_> = self.excused.iter().filter(|(of, _)| *of == at).map(|(_, events)| events).collect();
            let due: Vec<u32> =
                (0..count).filter(|event| !excused.iter().any(|events| events.contains(event))).collect();
            eventually(&format!("{count} events at n{at}"), || {
                let log = before.clone() + &agent.log();
                let heard: BTreeSet<&str> =
                    log.lines().filter_map(|line| Some(line.split_once("Received event: user-event: e")?.1)).collect();
                due.iter().all(|event| heard.contains(event.to_string().as_str())).then_some(())
            });
        }
    }
}

pub(super) const MEMBERS: usize = 4;
