//! Sending queries: builds a query, checks its size, and selects the members that are expected to respond.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::collect::{PendingQuery, QueryPurpose};
use crate::core::{Core, Origin};
use crate::event::Member;
use crate::limits::{QUERIES_ASKED_MAX, QUERY_FILTERS_MAX, QUERY_TIMEOUT_MAX};
use crate::msgpack::write::{longest_raw, raw_bytes};
use crate::roster::{MemberIdx, Peer};
use crate::serf::lamport::Exhausted;
use crate::serf::message::encode;
use crate::serf::{Filter, PatternError, Serf};
use crate::types::QueryId;
use crate::wire::hashicorp::shortest_query_bytes;
use crate::wire::serf::{self, List, Message};

/// A query to send: name, payload, filters and options.
///
/// ```
/// use serf_proto::Question;
///
/// let question = Question::new("uptime").of_tags(&[("role", "^web")]).with_acks().relayed(2);
/// ```
///
/// Borrows or owns its parts, as they are passed: a question that is built from local variables, or stored, takes
/// `String`s.
///
/// ```
/// # use serf_proto::Question;
/// fn load_of(roles: &[String]) -> Question<'static> {
///     let role = format!("^({})$", roles.join("|"));
///     Question::new("load").with_tag("role", role).with_payload(vec![1, 2])
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) payload: Cow<'a, [u8]>,
    pub(crate) nodes: Vec<Cow<'a, str>>,
    pub(crate) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(crate) acks: bool,
    pub(crate) relay_factor: u8,
    pub(crate) timeout: Duration,
}

impl<'a> Question<'a> {
    /// A question to all members, with an empty payload and the default timeout.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Self {
        let (payload, timeout) = (Cow::Borrowed(&[][..]), Duration::ZERO);
        Self { name: name.into(), payload, nodes: Vec::new(), tags: Vec::new(), acks: false, relay_factor: 0, timeout }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets the payload.
    #[must_use]
    pub fn with_payload(self, payload: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { payload: payload.into(), ..self }
    }

    /// Restricts the query to members with this name, or another given name. Without names: all members.
    #[must_use]
    pub fn with_node(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.nodes.push(name.into());
        self
    }

    /// Restricts the query to members with one of these names, or another given name. Without names: all members.
    #[must_use]
    pub fn of_nodes(self, names: &[impl Clone + Into<Cow<'a, str>>]) -> Self {
        names.iter().cloned().fold(self, Self::with_node)
    }

    /// Restricts the query to members whose value of `tag` matches a regular expression, in Go's dialect, at any
    /// position. Given several times, all must match. A missing tag counts as empty.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<Cow<'a, str>>, expr: impl Into<Cow<'a, str>>) -> Self {
        self.tags.push((tag.into(), expr.into()));
        self
    }

    /// Restricts the query to members that match all these tags, as with [`with_tag`](Self::with_tag).
    #[must_use]
    pub fn of_tags(self, tags: &[(impl Clone + Into<Cow<'a, str>>, impl Clone + Into<Cow<'a, str>>)]) -> Self {
        tags.iter().cloned().fold(self, |question, (tag, expr)| question.with_tag(tag, expr))
    }

    /// Requests an ack from each member that receives the query.
    #[must_use]
    pub fn with_acks(self) -> Self {
        Self { acks: true, ..self }
    }

    /// Requests that each response is also sent through this many relays, in case the direct packet is lost.
    #[must_use]
    pub fn relayed(self, factor: u8) -> Self {
        Self { relay_factor: factor, ..self }
    }

    /// Sets the time for responses, at most [`limits::QUERY_TIMEOUT_MAX`](crate::limits::QUERY_TIMEOUT_MAX). Zero:
    /// [`Node::default_query_timeout`](crate::Node::default_query_timeout).
    #[must_use]
    pub fn for_at_most(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Checks the number of filters and the timeout.
    fn check(&self) -> Result<(), QueryError> {
        let filters = self.tags.len() + usize::from(!self.nodes.is_empty());
        if filters > QUERY_FILTERS_MAX {
            return Err(QueryError::TooManyFilters { filters, limit: QUERY_FILTERS_MAX });
        }
        if self.timeout > QUERY_TIMEOUT_MAX {
            return Err(QueryError::TooLong { timeout: self.timeout, limit: QUERY_TIMEOUT_MAX });
        }
        Ok(())
    }

    /// The names in wire form.
    fn names(&self) -> Vec<&str> {
        self.nodes.iter().map(|name| &**name).collect()
    }

    /// The filters in wire form: names first, as in serf. `names` is the result of [`names`](Self::names).
    fn wire_filters<'b>(&'b self, names: &'b [&'b str]) -> Vec<serf::Filter<'b>> {
        let nodes = (!names.is_empty()).then(|| serf::Filter::Nodes(List::new(names)));
        nodes.into_iter().chain(self.tags.iter().map(|(tag, expr)| serf::Filter::Tag { tag, expr })).collect()
    }
}

/// Why a query was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Its size in HashiCorp's encoding exceeds the limit, or it fits into no packet.
    #[error("the query takes {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The encoded size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A tag's expression is invalid or too large.
    #[error("invalid filter: {0}")]
    Filter(PatternError),
    /// Too many filters: one for all names, and one per tag.
    #[error("the query has {filters} filters, the limit is {limit}")]
    TooManyFilters {
        /// The number of filters.
        filters: usize,
        /// The limit.
        limit: usize,
    },
    /// The timeout is too long.
    #[error("the timeout is {timeout:?}, the limit is {limit:?}")]
    TooLong {
        /// The timeout.
        timeout: Duration,
        /// The limit.
        limit: Duration,
    },
    /// Too many of our own queries are running.
    #[error("{limit} queries are running, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The query clock is exhausted ([`limits::LAMPORT_TIME_MAX`](crate::limits::LAMPORT_TIME_MAX)): every node would
    /// refuse the query.
    #[error("the Lamport clock of queries has reached its maximum")]
    ClockExhausted,
}

impl Serf {
    /// Sends a query of the application.
    pub(crate) fn query(&mut self, core: &mut Core, question: &Question<'_>) -> Result<QueryId, QueryError> {
        self.ask(core, question, QueryPurpose::Application)
    }

    /// Sends a query (`Query` in serf.go): to the other members by gossip, and to this node at once.
    pub(in crate::serf) fn ask(
        &mut self,
        core: &mut Core,
        question: &Question<'_>,
        purpose: QueryPurpose,
    ) -> Result<QueryId, QueryError> {
        self.ask_in_frame(core, question, purpose).map(|(id, _)| id)
    }

    /// Sends a query, and also returns its encoding. Cheap checks come first, and patterns are compiled last.
    pub(in crate::serf) fn ask_in_frame(
        &mut self,
        core: &mut Core,
        question: &Question<'_>,
        purpose: QueryPurpose,
    ) -> Result<(QueryId, Bytes), QueryError> {
        question.check()?;
        if self.queries.pending.len() >= QUERIES_ASKED_MAX {
            return Err(QueryError::TooMany { limit: QUERIES_ASKED_MAX });
        }
        self.clocks.query.check().map_err(|Exhausted| QueryError::ClockExhausted)?;
        let me = Arc::clone(core.roster.peer(self.members.me()).expect("we hold our own place in the roster"));
        let names = question.names();
        let wire_filters = question.wire_filters(&names);
        let mut query = self.composed(core, &me, question, &question.payload, &wire_filters);
        let timeout = query.timeout;
        check_size(core, &query)?;
        let conditions = question.tags.iter().map(|(tag, expr)| (&**tag, &**expr));
        let filters = self.queries.patterns.tag_filters(None, conditions).map_err(QueryError::Filter)?;
        // Nothing fails from here on, so an error has consumed no Lamport time.
        query.id = core.rng.query.next_u32() & QUERY_NUMBER_MAX;
        _ = self.clocks.query.tick();
        core.stats.queries_asked += 1;
        let id = QueryId { ltime: query.ltime, id: query.id };
        let waiting = if purpose.ends_early() { self.expected(core, question, &filters) } else { BTreeSet::new() };
        // Registered before the local delivery below, which may respond at once.
        let (now, me) = (core.now, self.members.me());
        let pending = PendingQuery::new(now, now + timeout, question.acks, waiting, purpose, me);
        self.queries.pending.insert(id, pending);
        self.arm_queries(core);
        let frame = encode(core.codec_kept(), &Message::Query(query));
        self.query_in(core, Origin::Local, &query, &frame);
        Ok((id, frame))
    }

    /// The query of a question, except for its number.
    fn composed<'a>(
        &self,
        core: &Core,
        me: &'a Peer,
        question: &'a Question<'_>,
        payload: &'a [u8],
        filters: &'a [serf::Filter<'a>],
    ) -> serf::Query<'a> {
        serf::Query {
            ltime: self.clocks.query.time(),
            // The longest encoding of a number, so that the size check holds for every number drawn later.
            id: QUERY_NUMBER_MAX,
            source: serf::Source { addr: me.announced_addr(), node: me.name() },
            filters: List::new(filters),
            flags: if question.acks { serf::Query::FLAG_ACK } else { 0 },
            relay_factor: question.relay_factor,
            timeout: if question.timeout.is_zero() { self.query_timeout(core) } else { question.timeout },
            name: &question.name,
            payload,
        }
    }

    /// The largest payload, in bytes, of a question at the current Lamport time; its own payload is ignored. `None` if
    /// even an empty payload is too large.
    pub(crate) fn query_payload_max(&self, core: &Core, question: &Question<'_>) -> Option<usize> {
        let me = Arc::clone(core.roster.peer(self.members.me())?);
        let names = question.names();
        let filters = question.wire_filters(&names);
        let query = self.composed(core, &me, question, &[], &filters);
        let head = shortest_query_bytes(&query) - raw_bytes(0);
        query_limit(core).checked_sub(head).and_then(longest_raw)
    }

    /// The default query timeout (`DefaultQueryTimeout` in serf's query.go).
    pub(crate) fn query_timeout(&self, core: &Core) -> Duration {
        let digits = self.members.live().checked_ilog10().map_or(1, |log| log + 1);
        core.cfg.swim().gossip_interval.saturating_mul(core.cfg.serf().query_timeout_mult.saturating_mul(digits))
    }

    /// The live members that should respond, as far as we know. `filters` are the question's compiled tag filters.
    fn expected(&self, core: &Core, question: &Question<'_>, filters: &[Filter]) -> BTreeSet<MemberIdx> {
        let meets = |member: Member| {
            let tags = member.to_tags();
            filters.iter().all(|filter| filter.passes(member.name(), &tags))
        };
        let can_answer = |idx: &MemberIdx| {
            self.members.row(*idx).is_live()
                && (filters.is_empty() || self.members.member(core, *idx).is_some_and(meets))
        };
        if question.nodes.is_empty() {
            return self.members.rows().map(|(idx, _)| idx).filter(can_answer).collect();
        }
        // By lookup: comparing each name with each member would be quadratic.
        question.nodes.iter().filter_map(|node| core.roster.find(node)).filter(can_answer).collect()
    }
}

fn check_size(core: &Core, query: &serf::Query<'_>) -> Result<(), QueryError> {
    let (bytes, limit) = (shortest_query_bytes(query), query_limit(core));
    if bytes > limit { Err(QueryError::TooLarge { bytes, limit }) } else { Ok(()) }
}

fn query_limit(core: &Core) -> usize {
    (core.cfg.serf().query_bytes_max as usize).min(core.cfg.message_room())
}

/// Query numbers have 31 bits, as in serf.
const QUERY_NUMBER_MAX: u32 = u32::MAX >> 1;
