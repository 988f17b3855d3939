//! Queries: gossiped to all members like user events. Each member that matches the filters responds directly to the
//! requester.

mod answer;
mod ask;
mod collect;
mod fetch;
mod offer;
mod receive;

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use self::answer::RespondError;
pub(super) use self::answer::response_limit;
pub use self::ask::{QueryError, Question};
use self::collect::PendingQuery;
pub(super) use self::collect::QueryPurpose;
use self::fetch::Fetches;
use self::receive::Open;
use super::conceal::change;
use super::filter::Patterns;
use super::lamport::LamportClock;
use super::message::MessageQueue;
use super::recent::{Recent, Remembered};
use crate::conceal::Concealer;
use crate::fingerprint::Fingerprint;
use crate::time::Instant;
use crate::types::QueryId;

/// The query state of a node. Only the files of this directory write it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Queries {
    /// Recent queries, for duplicate detection.
    recent: Recent<Number>,
    /// Queries that can be answered here, including our own.
    open: BTreeMap<QueryId, Open>,
    /// Running queries of this node.
    pending: BTreeMap<QueryId, PendingQuery>,
    /// Bytes of the answers that they have accepted.
    answers_bytes: usize,
    fetches: Fetches,
    pub(super) queue: MessageQueue,
    patterns: Patterns,
    /// The last search for a requester without a name.
    searched: Option<Search>,
    /// Queries before this Lamport time are ignored.
    time_min: u64,
    /// The greatest Lamport time of a handled query, for the snapshot; 0 if none.
    newest: u64,
}

/// Distinguishes queries of one Lamport time ([`QueryId::id`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Number(u32);

impl Remembered for Number {
    /// Limited by their number alone: at most 256 bytes per Lamport time of `query_buffer`.
    const BYTES_MAX: usize = usize::MAX;

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// The result of a search for an address among all members.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Search {
    at: Instant,
    addr: SocketAddr,
    found: bool,
}

impl Queries {
    /// Ignores queries before this Lamport time.
    pub(super) fn ignore_before(&mut self, ltime: u64) {
        self.time_min = ltime;
    }

    /// The last Lamport time of the queries that are ignored, if the clock shows none later; `None` if none is.
    pub(super) fn ignored(&self, clock: LamportClock) -> Option<u64> {
        self.time_min.checked_sub(1).filter(|last| *last > 0 && clock.time() <= self.time_min)
    }

    /// Replaces the keys that members have listed so far, and the large answers of this node.
    pub(super) fn conceal(&mut self, concealer: &mut Concealer<'_>) {
        self.held_mut().for_each(|payload| change(payload, |bytes| concealer.payload(bytes)));
        for query in self.pending.values_mut() {
            if let QueryPurpose::Keys(tally) = query.purpose_mut() {
                tally.conceal(concealer);
            }
        }
    }

    /// Number of queries that can be answered here.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Number of running queries of this node.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of the answers that the running queries have accepted.
    pub(super) const fn answers_bytes(&self) -> usize {
        self.answers_bytes
    }

    /// The purposes of the running queries of this node.
    pub(super) fn purposes(&self) -> impl Iterator<Item = &QueryPurpose> {
        self.pending.values().map(PendingQuery::purpose)
    }

    /// The greatest Lamport time of a handled query; 0 if none.
    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// Number of cached expressions, and its limit.
    pub(super) fn patterns_usage(&self) -> (usize, usize) {
        self.patterns.usage()
    }

    /// Clears the cache of expressions.
    #[cfg(test)]
    pub(super) fn forget_patterns(&mut self) {
        self.patterns = Patterns::default();
    }

    /// The compiled patterns and the last search are caches.
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { recent, open, pending, answers_bytes, fetches, queue, patterns: _, searched: _, time_min, newest } =
            self;
        recent.fingerprint(to, |Number(number), to| to.put(number));
        to.put((open.len(), pending.len(), time_min, newest));
        for (id, open) in open {
            to.put(id);
            open.fingerprint(to);
        }
        for (id, pending) in pending {
            to.put(id);
            pending.fingerprint(to);
        }
        to.put(answers_bytes);
        fetches.fingerprint(to);
        queue.fingerprint(to);
    }
}
