//! Queries that come, our own included.

use alloc::boxed::Box;

use bytes::Bytes;

use super::INTERNAL_PREFIX;
use super::ring::Novelty;
use crate::core::{Core, Origin, Requester};
use crate::event::{self, Event};
use crate::limits::{QUERIES_OPEN_MAX, QUERY_FILTERS_MAX, QUERY_TIMEOUT_MAX};
use crate::serf::event::packet_room;
use crate::serf::{PatternError, Serf};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::QueryId;
use crate::wire::hashicorp::shortest_query_bytes;
use crate::wire::serf::{Filter, Query};

/// A query that the application may answer.
#[derive(Clone, Debug)]
pub(in crate::serf) struct Open {
    pub(super) requester: Requester,
    pub(super) deadline: Instant,
    pub(super) answered: bool,
}

impl Serf {
    /// Takes a query from gossip, or our own (`handleQuery` in serf). `frame` is what others are told: the bytes as they came.
    pub(in crate::serf) fn query_in(&mut self, core: &mut Core, origin: Origin, query: &Query<'_>, frame: &[u8]) {
        if !self.is_news(core, query) {
            return;
        }
        self.queries.newest = self.queries.newest.max(query.ltime);
        if !query.is_not_for_broadcast() {
            self.spread_query(core, query, frame);
        }
        if !self.is_for_us(core, query) {
            return;
        }
        let id = QueryId { ltime: query.ltime, id: query.id };
        let (addr, node) = (query.source.addr, query.source.node.into());
        let requester = Requester { id, addr, node, relay_factor: query.relay_factor };
        if query.wants_acks() {
            self.acknowledge(core, &requester);
        }
        match query.name.strip_prefix(INTERNAL_PREFIX) {
            Some(name) => self.internal_query(core, origin, requester, name, query.payload),
            None => self.deliver_query(core, requester, query),
        }
    }

    /// Whether a query is new and not too old to know.
    fn is_news(&mut self, core: &mut Core, query: &Query<'_>) -> bool {
        if self.query_clock.witness(core.now, query.ltime).is_err() {
            core.stats.drop(DropReason::Absurd);
            return false;
        }
        let size = core.cfg.query_buffer;
        if query.ltime < self.queries.time_min {
            return false;
        }
        if query.ltime < self.query_clock.time().saturating_sub(u64::from(size)) {
            core.stats.drop_expected(DropReason::OldEvent);
            return false;
        }
        let id = QueryId { ltime: query.ltime, id: query.id };
        match self.queries.ring.note(size, id) {
            Novelty::New => true,
            Novelty::Repeat => {
                core.stats.query_repeats += 1;
                false
            }
            Novelty::Crowded => {
                core.stats.drop(DropReason::Limit);
                false
            }
        }
    }

    fn spread_query(&mut self, core: &mut Core, query: &Query<'_>, frame: &[u8]) {
        // A peer may send larger packets than we do, or in the shorter codec. What fits into none of ours would stand in the way
        // of all the rest.
        if frame.len().max(shortest_query_bytes(query)) > packet_room(core) {
            core.stats.queries_pruned.too_large += 1;
            return;
        }
        self.queries.queue.push(Bytes::copy_from_slice(frame));
        core.stats.queries_pruned.full += self.queries.queue.limit(core.cfg.queue_depth_max, packet_room(core));
    }

    /// Whether we meet every filter (`shouldProcessQuery` in serf). A filter that cannot be read or used is met by nobody.
    fn is_for_us(&mut self, core: &mut Core, query: &Query<'_>) -> bool {
        if query.filters.is_empty() {
            return true;
        }
        if query.filters.len() > QUERY_FILTERS_MAX {
            core.stats.drop(DropReason::Limit);
            return false;
        }
        let Some(me) = self.member(core, self.me) else { return false };
        // Expressions are compiled only when the other filters pass.
        let may_be = query.filters.iter().all(|filter| match filter {
            Filter::Nodes(nodes) => nodes.iter().any(|node| node == me.name()),
            Filter::Tag { .. } => true,
            Filter::Unreadable(_) => false,
        });
        let wanted = || {
            query.filters.iter().filter_map(|filter| match filter {
                Filter::Tag { tag, expr } => Some((tag, expr)),
                Filter::Nodes(_) | Filter::Unreadable(_) => None,
            })
        };
        if !may_be {
            return false;
        }
        let heard_at = Some(core.now);
        match self.patterns.of_query(heard_at, wanted().map(|(_, expr)| expr)) {
            Ok(patterns) => {
                let tags = me.tags();
                let values = wanted().map(|(tag, _)| tags.get(tag).unwrap_or_default());
                values.zip(&patterns).all(|(value, pattern)| pattern.is_match(value))
            }
            Err(PatternError::Syntax) => false,
            Err(PatternError::TooLong { .. } | PatternError::TooComplex { .. }) => {
                core.stats.drop(DropReason::Limit);
                false
            }
        }
    }

    fn deliver_query(&mut self, core: &mut Core, requester: Requester, query: &Query<'_>) {
        // Bounds how long the node and the application hold a query that can be answered.
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
        open.retain(|_, open| open.deadline > core.now);
        if open.len() >= QUERIES_OPEN_MAX {
            open.pop_first();
            core.stats.drop(DropReason::Limit);
        }
        open.insert(requester.id, Open { requester, deadline, answered: false });
    }
}
