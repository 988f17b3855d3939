//! Harness: nodes of both implementations, and waiting for conditions.

mod agent;
mod ours;
#[expect(dead_code, reason = "the tests of the agent use more of it")]
#[path = "../../../../agent/tests/it/ports.rs"]
mod ports;
mod rpc;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serf_tokio::Tags;

pub(crate) use self::agent::{Agent, Heard, Watch, binary};
pub(crate) use self::ours::{Ours, runtime};

/// Members known to a node, by name, in a common representation.
pub(crate) type View = BTreeMap<String, Seen>;

/// A member as seen by another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: String,
    pub(crate) tags: Tags,
    pub(crate) addr: SocketAddr,
}

/// Results of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Members that acknowledged, sorted.
    pub(crate) acks: Vec<String>,
    /// Answers by member.
    pub(crate) responses: BTreeMap<String, Vec<u8>>,
    /// Members that did not answer; reported by our nodes only.
    pub(crate) silent: Vec<String>,
}

/// Answers a query, the same in both implementations: `reverse` with the reversed payload, others not at all.
pub(crate) fn answer(name: &str, payload: &[u8]) -> Option<Vec<u8>> {
    (name == "reverse").then(|| payload.iter().rev().copied().collect())
}

/// A node of either implementation.
pub(crate) trait Sees {
    fn name(&self) -> &str;
    fn view(&self) -> View;

    /// Waits until this node sees a member in a status.
    fn sees(&self, name: &str, status: &str) {
        let what = format!("{} sees {name} {status}", self.name());
        until_or(&what, || self.view(), |view| view.get(name).is_some_and(|member| member.status == status));
    }

    /// Waits until this node sees exactly `count` members, all alive.
    fn sees_alive(&self, count: usize) {
        let what = format!("{} sees {count} members alive", self.name());
        until_or(
            &what,
            || self.view(),
            |view| view.len() == count && view.values().all(|member| member.status == "alive"),
        );
    }
}

impl Sees for Agent {
    fn name(&self) -> &str {
        &self.name
    }

    fn view(&self) -> View {
        self.view()
    }
}

impl Sees for Ours {
    fn name(&self) -> &str {
        &self.name
    }

    fn view(&self) -> View {
        self.view()
    }
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_or(what, || (), |()| is_so());
}

/// Waits until the result of `look` satisfies a condition; the panic message contains the last result.
pub(crate) fn until_or<T: core::fmt::Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    mut is_so: impl FnMut(&T) -> bool,
) {
    // Anti-entropy repairs what gossip misses: within a minute, by the lan profile.
    let deadline = Instant::now() + Duration::from_secs(75);
    loop {
        let found = look();
        if is_so(&found) {
            return;
        }
        assert!(Instant::now() < deadline, "it never came to this: {what}; but to this: {found:#?}");
        std::thread::sleep(PATIENCE);
    }
}

/// Pause between two checks.
const PATIENCE: Duration = Duration::from_millis(25);
