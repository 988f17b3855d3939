//! Queries: gossiped to all members like user events, and answered by each member that meets the filters, straight to the requester.

mod answer;
mod ask;
mod collect;
mod receive;

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

pub use self::answer::RespondError;
pub(super) use self::answer::response_limit;
pub use self::ask::{QueryError, Question};
use self::collect::Asked;
pub(super) use self::collect::Purpose;
use self::receive::Open;
use super::filter::Patterns;
use super::message::MessageQueue;
use super::recent::{Recent, Remembered};
use crate::time::Instant;
use crate::types::QueryId;

/// The queries that a node has to do with. Only the files of this folder write them.
#[derive(Clone, Debug, Default)]
pub(super) struct Queries {
    /// All that came in recent times.
    recent: Recent<Number>,
    /// Those that can be answered here, our own included.
    open: BTreeMap<QueryId, Open>,
    /// Our own that are under way.
    asked: BTreeMap<QueryId, Asked>,
    pub(super) queue: MessageQueue,
    patterns: Patterns,
    /// The last search for a requester without a name.
    searched: Option<Search>,
    /// Queries before this time are not taken.
    time_min: u64,
    /// The greatest time of a query taken, for the snapshot; 0 when none.
    newest: u64,
}

/// What tells queries of one time apart ([`QueryId::id`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number(u32);

impl Remembered for Number {
    /// Their count alone bounds them: at most 256 bytes for each time of `query_buffer`.
    const BYTES_MAX: usize = usize::MAX;

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// A search for an address among all members.
#[derive(Clone, Copy, Debug)]
struct Search {
    at: Instant,
    addr: SocketAddr,
    found: bool,
}

impl Queries {
    /// Has queries before this time not taken.
    pub(super) fn ignore_before(&mut self, ltime: u64) {
        self.time_min = ltime;
    }

    /// How many can be answered here.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// How many of our own are under way.
    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    /// Why those of our own were asked that are under way.
    pub(super) fn purposes(&self) -> impl Iterator<Item = &Purpose> {
        self.asked.values().map(Asked::purpose)
    }

    /// The greatest time of a query taken; 0 when none.
    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// How many compiled expressions are kept, and how many may be.
    pub(super) fn patterns_usage(&self) -> (usize, usize) {
        self.patterns.usage()
    }

    /// Forgets the compiled expressions.
    #[cfg(test)]
    pub(super) fn forget_patterns(&mut self) {
        self.patterns = Patterns::default();
    }
}

/// Names of queries that members ask of each other and that the application never sees begin so (`InternalQueryPrefix`).
const INTERNAL_PREFIX: &str = "_serf_";
