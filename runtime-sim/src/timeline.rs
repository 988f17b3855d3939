//! What happened in a run: faults, and what each node noticed.

use std::fmt;

use serf_proto::Instant;
use serf_tokio::Event;

use crate::world::State;

/// The faults and the events of a run, in order. Its text has a line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline(pub(crate) Vec<Entry>);

/// A line of a [`Timeline`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(crate) at: Instant,
    pub(crate) host: Option<String>,
    pub(crate) text: String,
}

impl Timeline {
    /// Returns the lines.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }
}

impl Entry {
    /// Returns the virtual time since the start of the run.
    pub fn at(&self) -> core::time::Duration {
        self.at - Instant::ZERO
    }

    /// Returns the host that noticed it; `None` for a fault or a note of the test.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Returns what happened.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} s  {:<8} {}", self.at.as_secs_f64(), self.host.as_deref().unwrap_or("*"), self.text)
    }
}

/// Records an event of a node, and checks it. Called under the node's lock. A node whose host has crashed still has events
/// while its handles are dropped, which nothing sees.
pub(crate) fn observe(state: &mut State, host: usize, life: u64, event: &Event) {
    if !state.hosts.get(host).is_some_and(|host| host.is_up && host.life == life) {
        return;
    }
    state.dirty.insert(host);
    let now = state.now;
    state.hosts[host].checks.event(now, event);
    let text = match event {
        Event::Member(event) => event.to_string(),
        Event::User(event) => format!("user event {:?} {:?}, time {}", event.name, event.payload, event.ltime),
        Event::Query(query) => format!("query {:?} from {}", query.name, query.id),
        Event::Suspected { member, accuser } => format!("suspects {}, accused by {accuser}", member.name()),
        Event::NameConflict { existing, other } => format!("{} is also claimed by {other}", existing.name()),
        Event::LeftCluster(_) => "has left".to_owned(),
        _ => return,
    };
    state.log(Some(host), text);
}
