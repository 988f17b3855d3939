//! Asking: what a query says, whom it is for, and whether it fits.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::collect::{Asked, Purpose};
use super::{encode, size};
use crate::core::Core;
use crate::event::{QueryId, Status};
use crate::limits::QUERIES_ASKED_MAX;
use crate::roster::{MemberIdx, Peer};
use crate::serf::event::packet_room;
use crate::serf::{Filter, PatternError, Serf};
use crate::wire::serf::{self, List, Message};

/// Something to ask of every member, or of some.
///
/// ```
/// use serf_proto::Question;
///
/// let question = Question::new("uptime").of_tags(&[("role", "^web")]).with_acks().relayed(2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    name: &'a str,
    payload: &'a [u8],
    nodes: &'a [&'a str],
    tags: &'a [(&'a str, &'a str)],
    acks: bool,
    relay_factor: u8,
    timeout: Duration,
}

impl<'a> Question<'a> {
    /// For everybody, without a payload, with the default timeout.
    pub const fn new(name: &'a str) -> Self {
        let (nodes, tags, timeout) = (&[], &[], Duration::ZERO);
        Self { name, payload: &[], nodes, tags, acks: false, relay_factor: 0, timeout }
    }

    /// With a payload.
    #[must_use]
    pub const fn with_payload(self, payload: &'a [u8]) -> Self {
        Self { payload, ..self }
    }

    /// Only for members with one of these names. None: for all.
    #[must_use]
    pub const fn of_nodes(self, nodes: &'a [&'a str]) -> Self {
        Self { nodes, ..self }
    }

    /// Only for members of which all these tags match these regular expressions, in Go's dialect, anywhere in their values. A
    /// tag that is not set is empty.
    #[must_use]
    pub const fn of_tags(self, tags: &'a [(&'a str, &'a str)]) -> Self {
        Self { tags, ..self }
    }

    /// Members are to acknowledge that they have received it.
    #[must_use]
    pub const fn with_acks(self) -> Self {
        Self { acks: true, ..self }
    }

    /// Each answer is to come over so many other members too, in case the direct way loses it.
    #[must_use]
    pub const fn relayed(self, factor: u8) -> Self {
        Self { relay_factor: factor, ..self }
    }

    /// How long it may be answered. Zero: [`Node::default_query_timeout`](crate::Node::default_query_timeout).
    #[must_use]
    pub const fn for_at_most(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same conditions as they are checked.
    fn filters(&self) -> Result<Vec<Filter>, PatternError> {
        let nodes = (!self.nodes.is_empty()).then(|| Ok(Filter::nodes(self.nodes.iter().copied())));
        nodes.into_iter().chain(self.tags.iter().map(|(tag, expr)| Filter::tag(tag, expr))).collect()
    }

    /// The same conditions as they are sent: names first, as serf does.
    fn wire_filters(&self) -> Vec<serf::Filter<'a>> {
        let nodes = (!self.nodes.is_empty()).then(|| serf::Filter::Nodes(List::new(self.nodes)));
        nodes.into_iter().chain(self.tags.iter().map(|&(tag, expr)| serf::Filter::Tag { tag, expr })).collect()
    }
}

/// Why a query was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// The node has left, or has begun to leave and keys are to be changed.
    Leaving,
    /// As HashiCorp's nodes encode it, it exceeds the limit, or it fits into no packet of ours.
    TooLarge {
        /// The size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The expression for a tag cannot be used.
    Filter(PatternError),
    /// Too many queries of ours are under way.
    TooMany {
        /// How many there may be.
        limit: usize,
    },
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaving => f.write_str("the node has begun to leave the cluster"),
            Self::TooLarge { bytes, limit } => write!(f, "the query takes {bytes} bytes, the limit is {limit}"),
            Self::Filter(error) => write!(f, "the filter cannot be used: {error}"),
            Self::TooMany { limit } => write!(f, "{limit} queries are under way, which is the limit"),
        }
    }
}

impl core::error::Error for QueryError {}

impl Serf {
    /// Asks on behalf of the application.
    pub(crate) fn query(&mut self, core: &mut Core, question: &Question<'_>) -> Result<QueryId, QueryError> {
        self.ask(core, question, Purpose::Application)
    }

    /// Asks (`Query` in serf). Members are told by gossip; we ourselves take the query at once.
    pub(in crate::serf) fn ask(
        &mut self,
        core: &mut Core,
        question: &Question<'_>,
        purpose: Purpose,
    ) -> Result<QueryId, QueryError> {
        let filters = question.filters().map_err(QueryError::Filter)?;
        if self.queries.asked.len() >= QUERIES_ASKED_MAX {
            return Err(QueryError::TooMany { limit: QUERIES_ASKED_MAX });
        }
        let me = Arc::clone(core.roster.peer(self.me).expect("we hold our own place in the roster"));
        let wire_filters = question.wire_filters();
        let mut query = self.composed(core, &me, question, &wire_filters);
        let timeout = query.timeout;
        check_size(core, &query)?;
        query.id = core.rng.query.next_u32() & QUERY_NUMBER_MAX;
        self.query_clock.tick();
        core.stats.queries_asked += 1;
        let id = QueryId { ltime: query.ltime, id: query.id };
        let waiting = self.expected(core, &filters, &purpose);
        self.queries.asked.insert(id, Asked::new(core.now + timeout, question.acks, waiting, purpose));
        self.arm_queries(core);
        let frame = encode(core.codec_kept(), &Message::Query(query));
        self.query_in(core, &query, &frame);
        Ok(id)
    }

    /// The query that a question makes, but for its number.
    fn composed<'a>(
        &self,
        core: &Core,
        me: &'a Peer,
        question: &Question<'a>,
        filters: &'a [serf::Filter<'a>],
    ) -> serf::Query<'a> {
        serf::Query {
            ltime: self.query_clock.time(),
            id: QUERY_NUMBER_MAX,
            source: serf::Source { addr: me.announced_addr(), node: me.name() },
            filters: List::new(filters),
            flags: if question.acks { serf::Query::FLAG_ACK } else { 0 },
            relay_factor: question.relay_factor,
            timeout: if question.timeout.is_zero() { self.query_timeout(core) } else { question.timeout },
            name: question.name,
            payload: question.payload,
        }
    }

    /// The largest payload that a question may have now, whatever its own is; `None` when not even an empty one may.
    pub(crate) fn query_payload_max(&self, core: &Core, question: &Question<'_>) -> Option<usize> {
        let me = Arc::clone(core.roster.peer(self.me)?);
        let question = question.with_payload(&[]);
        let filters = question.wire_filters();
        let query = self.composed(core, &me, &question, &filters);
        // An empty payload takes one byte.
        let head = size::query_bytes(&query) - 1;
        query_limit(core).checked_sub(head).and_then(size::longest)
    }

    /// How long a query may be answered that does not say (`DefaultQueryTimeout` in serf).
    pub(crate) fn query_timeout(&self, core: &Core) -> Duration {
        let live = self.members.saturating_sub(u32::try_from(self.failed.len() + self.left.len()).unwrap_or(u32::MAX));
        let digits = live.checked_ilog10().map_or(1, |log| log + 1);
        core.cfg.gossip_interval.saturating_mul(core.cfg.query_timeout_mult.saturating_mul(digits))
    }

    /// Whose answers are waited for: of all who can answer, as far as we know.
    fn expected(&self, core: &Core, filters: &[Filter], purpose: &Purpose) -> BTreeSet<MemberIdx> {
        if !purpose.ends_early() {
            return BTreeSet::new();
        }
        let live = (0..)
            .map(MemberIdx)
            .zip(&self.rows)
            .filter_map(|(idx, row)| matches!(row.status(), Some(Status::Alive | Status::Leaving)).then_some(idx));
        live.filter(|&idx| filters.is_empty() || self.meets(core, idx, filters)).collect()
    }

    fn meets(&self, core: &Core, idx: MemberIdx, filters: &[Filter]) -> bool {
        let Some(member) = self.member(core, idx) else { return false };
        let tags = member.tags();
        filters.iter().all(|filter| filter.passes(member.name(), &tags))
    }
}

fn check_size(core: &Core, query: &serf::Query<'_>) -> Result<(), QueryError> {
    let (bytes, limit) = (size::query_bytes(query), query_limit(core));
    if bytes > limit { Err(QueryError::TooLarge { bytes, limit }) } else { Ok(()) }
}

fn query_limit(core: &Core) -> usize {
    (core.cfg.query_bytes_max as usize).min(packet_room(core))
}

/// Numbers have 31 bits, as serf's.
const QUERY_NUMBER_MAX: u32 = u32::MAX >> 1;
