//! Asking: what a query says, whom it is for, and whether it fits.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::collect::{Asked, Purpose};
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

/// Something to ask of every member, or of some.
///
/// ```
/// use serf_proto::Question;
///
/// let question = Question::new("uptime").of_tags(&[("role", "^web")]).with_acks().relayed(2);
/// ```
///
/// What it is made of is borrowed or owned, as it is given: a question that is built of variables, or kept, takes `String`s.
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
    name: Cow<'a, str>,
    payload: Cow<'a, [u8]>,
    nodes: Vec<Cow<'a, str>>,
    tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    acks: bool,
    relay_factor: u8,
    timeout: Duration,
}

impl<'a> Question<'a> {
    /// For everybody, without a payload, with the default timeout.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Self {
        let (payload, timeout) = (Cow::Borrowed(&[][..]), Duration::ZERO);
        Self { name: name.into(), payload, nodes: Vec::new(), tags: Vec::new(), acks: false, relay_factor: 0, timeout }
    }

    /// With a payload.
    #[must_use]
    pub fn with_payload(self, payload: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { payload: payload.into(), ..self }
    }

    /// Only for members with this name, or one of the others that are given. None: for all.
    #[must_use]
    pub fn with_node(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.nodes.push(name.into());
        self
    }

    /// Only for members with one of these names, or one of the others that are given. None: for all.
    #[must_use]
    pub fn of_nodes(self, names: &[impl Clone + Into<Cow<'a, str>>]) -> Self {
        names.iter().cloned().fold(self, Self::with_node)
    }

    /// Only for members of which this tag, and the others that are given, matches this regular expression, in Go's dialect, anywhere
    /// in its value. A tag that is not set is empty.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<Cow<'a, str>>, expr: impl Into<Cow<'a, str>>) -> Self {
        self.tags.push((tag.into(), expr.into()));
        self
    }

    /// Only for members of which all these tags, and the others that are given, match these regular expressions, as with
    /// [`with_tag`](Self::with_tag).
    #[must_use]
    pub fn of_tags(self, tags: &[(impl Clone + Into<Cow<'a, str>>, impl Clone + Into<Cow<'a, str>>)]) -> Self {
        tags.iter().cloned().fold(self, |question, (tag, expr)| question.with_tag(tag, expr))
    }

    /// Members are to acknowledge that they have received it.
    #[must_use]
    pub fn with_acks(self) -> Self {
        Self { acks: true, ..self }
    }

    /// Each answer is to come over so many other members too, in case the direct way loses it.
    #[must_use]
    pub fn relayed(self, factor: u8) -> Self {
        Self { relay_factor: factor, ..self }
    }

    /// How long it may be answered, at most [`limits::QUERY_TIMEOUT_MAX`](crate::limits::QUERY_TIMEOUT_MAX). Zero: [`Node::default_query_timeout`](crate::Node::default_query_timeout).
    #[must_use]
    pub fn for_at_most(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Whether there is too much of anything that can be counted.
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

    /// The names of `of_nodes`, as they are sent.
    fn names(&self) -> Vec<&str> {
        self.nodes.iter().map(|name| &**name).collect()
    }

    /// The conditions as they are sent: names first, as serf does. `names` are [ours](Self::names).
    fn wire_filters<'b>(&'b self, names: &'b [&'b str]) -> Vec<serf::Filter<'b>> {
        let nodes = (!names.is_empty()).then(|| serf::Filter::Nodes(List::new(names)));
        nodes.into_iter().chain(self.tags.iter().map(|(tag, expr)| serf::Filter::Tag { tag, expr })).collect()
    }
}

/// Why a query was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// As HashiCorp's nodes encode it, it exceeds the limit, or it fits into no packet of ours.
    #[error("the query takes {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The expression for a tag cannot be used.
    #[error("the filter cannot be used: {0}")]
    Filter(PatternError),
    /// It has more filters than a query may have: one for names, and one for each tag.
    #[error("the query has {filters} filters, the limit is {limit}")]
    TooManyFilters {
        /// How many it has.
        filters: usize,
        /// How many it may have.
        limit: usize,
    },
    /// It could be answered for too long.
    #[error("the timeout is {timeout:?}, the limit is {limit:?}")]
    TooLong {
        /// How long.
        timeout: Duration,
        /// How long it may be.
        limit: Duration,
    },
    /// Too many queries of ours are under way.
    #[error("{limit} queries are under way, which is the limit")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// Our clock of queries is at its end ([`limits::LAMPORT_TIME_MAX`](crate::limits::LAMPORT_TIME_MAX)): every node would refuse
    /// the query.
    #[error("the Lamport clock of queries is at its end")]
    ClockExhausted,
}

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
        self.ask_in_frame(core, question, purpose).map(|(id, _)| id)
    }

    /// Asks, and returns also what members are told. What is cheap to judge is judged first, and patterns are compiled last.
    pub(in crate::serf) fn ask_in_frame(
        &mut self,
        core: &mut Core,
        question: &Question<'_>,
        purpose: Purpose,
    ) -> Result<(QueryId, Bytes), QueryError> {
        question.check()?;
        if self.queries.asked.len() >= QUERIES_ASKED_MAX {
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
        query.id = core.rng.query.next_u32() & QUERY_NUMBER_MAX;
        _ = self.clocks.query.tick();
        core.stats.queries_asked += 1;
        let id = QueryId { ltime: query.ltime, id: query.id };
        let waiting = if purpose.ends_early() { self.expected(core, question, &filters) } else { BTreeSet::new() };
        self.queries.asked.insert(id, Asked::new(core.now + timeout, question.acks, waiting, purpose));
        self.arm_queries(core);
        let frame = encode(core.codec_kept(), &Message::Query(query));
        self.query_in(core, Origin::Local, &query, &frame);
        Ok((id, frame))
    }

    /// The query that a question makes, but for its number.
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

    /// The largest payload that a question may have now, whatever its own is; `None` when not even an empty one may.
    pub(crate) fn query_payload_max(&self, core: &Core, question: &Question<'_>) -> Option<usize> {
        let me = Arc::clone(core.roster.peer(self.members.me())?);
        let names = question.names();
        let filters = question.wire_filters(&names);
        let query = self.composed(core, &me, question, &[], &filters);
        let head = shortest_query_bytes(&query) - raw_bytes(0);
        query_limit(core).checked_sub(head).and_then(longest_raw)
    }

    /// How long a query may be answered that does not say (`DefaultQueryTimeout` in serf).
    pub(crate) fn query_timeout(&self, core: &Core) -> Duration {
        let digits = self.members.live().checked_ilog10().map_or(1, |log| log + 1);
        core.cfg.swim().gossip_interval.saturating_mul(core.cfg.serf().query_timeout_mult.saturating_mul(digits))
    }

    /// Whose answers are waited for: those of all members that meet the question, as far as we know. `filters` are those of its tags.
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
        // Each name is looked up: names times members would be too many to compare.
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

/// Numbers have 31 bits, as serf's.
const QUERY_NUMBER_MAX: u32 = u32::MAX >> 1;
