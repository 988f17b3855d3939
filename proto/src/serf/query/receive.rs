//! Handling of received queries, including our own.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Number;
use super::offer::Held;
use crate::core::{Core, Origin, Requester};
use crate::event::{self, Event, KeyOperation};
use crate::fingerprint::Fingerprint;
use crate::limits::{QUERIES_OPEN_MAX, QUERY_FILTERS_MAX, QUERY_TIMEOUT_MAX};
use crate::serf::recent::Novelty;
use crate::serf::{Filter, PatternError, Serf};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::QueryId;
use crate::wire::hashicorp::shortest_query_bytes;
use crate::wire::serf::{self as wire, INTERNAL_PREFIX, Query};

/// A query that the application may respond to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) requester: Requester,
    pub(super) deadline: Instant,
    pub(super) answered: bool,
    /// Our answer, if it is large.
    pub(super) held: Option<Held>,
}

impl Open {
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { requester, deadline, answered, held } = self;
        to.text(requester);
        to.deadline(*deadline);
        to.put((answered, held.as_ref().map(|held| (&held.payload, held.is_fetched))));
    }
}

impl Serf {
    /// Handles a query from gossip or of this node (`handleQuery` in serf.go). `frame` is gossiped on, in the encoding
    /// in which it arrived.
    pub(in crate::serf) fn query_in(&mut self, core: &mut Core, origin: Origin, query: &Query<'_>, frame: &[u8]) {
        if !self.is_news(core, query) {
            return;
        }
        self.queries.newest = self.queries.newest.max(query.ltime);
        // Before the filters: a query is gossiped on by every member, also by those that it is not for.
        if !query.is_not_for_broadcast() {
            let (bytes, timed_at) = (shortest_query_bytes(query), self.members.timed_at(core));
            self.queries.queue.push(&core.cfg, &mut core.stats.queries_pruned, frame, bytes, timed_at);
        }
        if !self.is_for_us(core, query) {
            return;
        }
        let id = QueryId { ltime: query.ltime, id: query.id };
        let (addr, node) = (query.source.addr, query.source.node.into());
        let requester = Requester { id, addr, node, relay_factor: query.relay_factor };
        // The ack confirms the receipt, so it precedes the response of any handler.
        if query.wants_acks() {
            self.acknowledge(core, &requester);
        }
        match query.name.strip_prefix(INTERNAL_PREFIX) {
            Some(name) => self.internal_query(core, origin, requester, name, query.payload),
            None => self.deliver_query(core, requester, query),
        }
    }

    /// Handles an internal query, by its name without the prefix.
    fn internal_query(&mut self, core: &mut Core, origin: Origin, requester: Requester, name: &str, payload: &[u8]) {
        let operation = match name {
            // The ack is the response.
            "ping" => return,
            "conflict" => return self.answer_conflict(core, origin, &requester, payload),
            "install-key" => KeyOperation::Install,
            "use-key" => KeyOperation::Use,
            "remove-key" => KeyOperation::Remove,
            "list-keys" => KeyOperation::List,
            _ => return core.stats.drop(DropReason::Unexpected),
        };
        self.request_key(core, requester, operation, payload);
    }

    /// Whether a query is neither a duplicate nor too old. Witnesses its Lamport time.
    fn is_news(&mut self, core: &mut Core, query: &Query<'_>) -> bool {
        if self.clocks.query.witness(core.now, query.ltime).is_err() {
            core.stats.drop(DropReason::OutOfRange);
            return false;
        }
        // A query from before our start is not a loss, so it is not counted as dropped.
        if query.ltime < self.queries.time_min {
            return false;
        }
        let oldest = self.clocks.query.time().saturating_sub(u64::from(core.cfg.serf().query_buffer));
        if query.ltime < oldest {
            core.stats.drop_expected(DropReason::OldEvent);
            return false;
        }
        let number = Number(query.id);
        let novelty = self.queries.recent.note(oldest, query.ltime, |&known| known == number, || number);
        match novelty {
            Novelty::New => {}
            Novelty::Repeat => core.stats.query_repeats += 1,
            Novelty::Crowded => core.stats.drop(DropReason::Limit),
            Novelty::Old => core.stats.drop_expected(DropReason::OldEvent),
        }
        novelty == Novelty::New
    }

    /// Whether this node matches every filter (`shouldProcessQuery` in serf's query.go). A malformed or rejected filter
    /// matches no member.
    fn is_for_us(&mut self, core: &mut Core, query: &Query<'_>) -> bool {
        if query.filters.is_empty() {
            return true;
        }
        if query.filters.len() > QUERY_FILTERS_MAX {
            core.stats.drop(DropReason::Limit);
            return false;
        }
        let Some(me) = self.members.member(core, self.members.me()) else { return false };
        // Compiling expressions costs far more than comparing names, so it happens only if the names match.
        let mut conditions = Vec::new();
        for filter in query.filters.iter() {
            match filter {
                wire::Filter::Nodes(nodes) if Filter::lists(nodes.iter(), me.name()) => {}
                wire::Filter::Tag { tag, expr } => conditions.push((tag, expr)),
                wire::Filter::Nodes(_) | wire::Filter::Unreadable(_) => return false,
            }
        }
        match self.queries.patterns.tag_filters(Some(core.now), conditions.iter().copied()) {
            Ok(filters) => {
                let tags = me.to_tags();
                filters.iter().all(|filter| filter.passes(me.name(), &tags))
            }
            Err(PatternError::Syntax) => false,
            Err(PatternError::TooLong { .. } | PatternError::TooComplex { .. } | PatternError::Unsupported) => {
                core.stats.drop(DropReason::Limit);
                false
            }
        }
    }

    fn deliver_query(&mut self, core: &mut Core, requester: Requester, query: &Query<'_>) {
        // Limits how long the node and the application keep an open query.
        let deadline = core.now + query.timeout.min(QUERY_TIMEOUT_MAX);
        core.stats.queries += 1;
        core.events.push(Event::Query(event::Query {
            id: requester.id,
            name: query.name.into(),
            payload: Bytes::copy_from_slice(query.payload),
            source: Box::clone(&requester.node),
            source_addr: requester.addr,
            deadline,
        }));
        let open = &mut self.queries.open;
        // Lazily: expired entries are removed only when a query arrives, so they need no timer.
        open.retain(|_, open| open.deadline > core.now);
        if open.len() >= QUERIES_OPEN_MAX {
            // The one with the lowest Lamport time, hence roughly the oldest.
            open.pop_first();
            core.stats.drop(DropReason::Limit);
        }
        open.insert(requester.id, Open { requester, deadline, answered: false, held: None });
    }
}
