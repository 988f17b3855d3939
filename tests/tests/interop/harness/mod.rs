//! Nodes of both kinds, and how to wait for what they should come to.

mod agent;
mod ours;
mod rpc;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serf_tokio::Tags;

pub(crate) use self::agent::{Agent, Heard, Watch, binary};
pub(crate) use self::ours::{Ours, runtime};

/// The members that a node knows, by name, in words that both kinds of nodes share.
pub(crate) type View = BTreeMap<String, Seen>;

/// A member as another sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: String,
    pub(crate) tags: Tags,
    pub(crate) addr: SocketAddr,
}

/// What came of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Who acknowledged it, in the order of the names.
    pub(crate) acks: Vec<String>,
    /// Who answered what.
    pub(crate) responses: BTreeMap<String, Vec<u8>>,
    /// Who should have answered and did not; only our nodes tell.
    pub(crate) silent: Vec<String>,
}

/// What nodes of either kind answer to queries: to `reverse` the payload backwards, else nothing.
pub(crate) fn answer(name: &str, payload: &[u8]) -> Option<Vec<u8>> {
    (name == "reverse").then(|| payload.iter().rev().copied().collect())
}

/// A node of either kind.
pub(crate) trait Sees {
    fn name(&self) -> &str;
    fn view(&self) -> View;

    /// Waits until this node sees a member in a status.
    fn sees(&self, name: &str, status: &str) {
        let what = format!("{} sees {name} {status}", self.name());
        until_or(&what, || self.view(), |view| view.get(name).is_some_and(|member| member.status == status));
    }

    /// Waits until this node sees so many members, all of them alive.
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

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_or(what, || (), |()| is_so());
}

/// Waits until `look` shows what it should; what it shows instead is in the complaint.
pub(crate) fn until_or<T: core::fmt::Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    mut is_so: impl FnMut(&T) -> bool,
) {
    // What gossip misses comes with an exchange of states: the first within a minute, by the lan profile.
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

/// How long to wait between two looks.
const PATIENCE: Duration = Duration::from_millis(25);
