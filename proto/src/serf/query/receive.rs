//! Queries that come, our own included.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{INTERNAL_PREFIX, Number};
use crate::core::{Core, Origin, Requester};
use crate::event::{self, Event, KeyOperation};
use crate::limits::{QUERIES_OPEN_MAX, QUERY_FILTERS_MAX, QUERY_TIMEOUT_MAX};
use crate::serf::recent::Novelty;
use crate::serf::{Filter, PatternError, Serf};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::QueryId;
use crate::wire::hashicorp::shortest_query_bytes;
use crate::wire::serf::{self as wire, Query};

/// A query that the application may answer.
#[derive(Clone, Debug)]
pub(super) struct Open {
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
            self.queries.queue.push(&core.cfg, &mut core.stats.queries_pruned, frame, shortest_query_bytes(query));
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

    /// Takes a query that the application never sees, by the rest of its name.
    fn internal_query(&mut self, core: &mut Core, origin: Origin, requester: Requester, name: &str, payload: &[u8]) {
        let operation = match name {
            // The acknowledgement is the answer.
            "ping" => return,
            "conflict" => return self.say_who(core, origin, &requester, payload),
            "install-key" => KeyOperation::Install,
            "use-key" => KeyOperation::Use,
            "remove-key" => KeyOperation::Remove,
            "list-keys" => KeyOperation::List,
            _ => return core.stats.drop(DropReason::Unexpected),
        };
        self.request_key(core, requester, operation, payload);
    }

    /// Whether a query is new and not too old to know.
    fn is_news(&mut self, core: &mut Core, query: &Query<'_>) -> bool {
        if self.clocks.query.witness(core.now, query.ltime).is_err() {
            core.stats.drop(DropReason::Absurd);
            return false;
        }
        // A query from before our start is not counted as dropped: it is never meant to come.
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

    /// Whether we meet every filter (`shouldProcessQuery` in serf). No member meets a filter that cannot be read or used.
    fn is_for_us(&mut self, core: &mut Core, query: &Query<'_>) -> bool {
        if query.filters.is_empty() {
            return true;
        }
        if query.filters.len() > QUERY_FILTERS_MAX {
            core.stats.drop(DropReason::Limit);
            return false;
        }
        let Some(me) = self.members.member(core, self.members.me()) else { return false };
        // Expressions cost far more than names: they are compiled only when the names pass.
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
