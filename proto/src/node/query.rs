//! Commands for queries: ask one, and answer those of other members.

use core::time::Duration;

use super::Node;
use crate::event::KeyOperation;
use crate::input::Input;
use crate::outbox::Outbox;
use crate::serf::{KeysError, QueryError, Question, RespondError};
use crate::time::Instant;
use crate::types::QueryId;

impl Node {
    /// Broadcasts a query to every member, or to those that match its filters, including this node.
    ///
    /// Acks and responses arrive as [`Event::QueryAck`](crate::Event::QueryAck) and
    /// [`Event::QueryResponse`](crate::Event::QueryResponse). [`Event::QueryEnded`](crate::Event::QueryEnded) follows
    /// when all expected responses have arrived, or at the deadline. Datagrams get lost: a missing response means that
    /// either the query or the response was lost, or that the member did not answer. Allowed in every state of the
    /// node, as in HashiCorp's `Query`.
    ///
    /// # Errors
    ///
    /// If the query or its timeout is too large, a filter is invalid or there are too many, too many queries are open,
    /// or the query clock is exhausted.
    pub fn query(&mut self, now: Instant, question: &Question<'_>, out: &mut Outbox) -> Result<QueryId, QueryError> {
        self.command(now, out, || recorded(question), |node, _| node.serf.query(&mut node.core, question))
    }

    /// Ends a query of this node before its deadline. [`Event::QueryEnded`](crate::Event::QueryEnded) follows. False if
    /// there is no such query, or it has ended.
    pub fn end_query(&mut self, now: Instant, id: QueryId, out: &mut Outbox) -> bool {
        self.command(now, out, || Input::EndQuery(id), |node, _| node.serf.cancel_query(&mut node.core, id))
    }

    /// The largest payload of this question, in bytes, whatever payload it has now; `None` if not even an empty one
    /// fits. The encoded Lamport time counts too, so the limit shrinks by a few bytes as the clock grows.
    pub fn query_payload_max(&self, question: &Question<'_>) -> Option<usize> {
        self.serf.query_payload_max(&self.core, question)
    }

    /// Holds back the large answers to a query of this node, or releases them: while they are held, members keep theirs, and
    /// answers that fit into a packet still arrive. Those that are being fetched arrive too, at most
    /// [`FETCHES_PER_QUERY_MAX`](crate::limits::FETCHES_PER_QUERY_MAX). For an application that reads answers more slowly
    /// than they arrive. False if there is no such query, or it has ended.
    pub fn hold_answers(&mut self, now: Instant, query: QueryId, is_held: bool, out: &mut Outbox) -> bool {
        let input = || Input::HoldAnswers { query, is_held };
        self.command(now, out, input, |node, _| node.serf.hold_answers(&mut node.core, query, is_held))
    }

    /// The largest payload of a response to this query, in bytes: that of a large answer, if the requester can fetch one.
    /// `None` if the query was answered, has expired or is unknown.
    pub fn answer_bytes_max(&self, to: QueryId) -> Option<usize> {
        self.serf.answer_bytes_max(&self.core, to)
    }

    /// Responds to a query that was delivered as [`Event::Query`](crate::Event::Query), once.
    ///
    /// A response that exceeds a packet is offered to the requester, which fetches it over a stream, if the requester reads
    /// the native codec and the payload is within
    /// [`query_answer_bytes_max`](crate::SerfOptions::query_answer_bytes_max). It is held in memory until the deadline of
    /// the query.
    ///
    /// # Errors
    ///
    /// If the response is too large, other large responses use up the memory for them, the query was already responded to
    /// or has expired, or there is no such query.
    pub fn respond(&mut self, now: Instant, to: QueryId, payload: &[u8], out: &mut Outbox) -> Result<(), RespondError> {
        let input = || Input::Respond { to, payload: payload.into() };
        self.command(now, out, input, |node, _| node.serf.respond(&mut node.core, to, payload))
    }

    /// Asks every member to install, use, remove or list keys. [`Event::Keys`](crate::Event::Keys) reports the results.
    /// `key` is the raw key, and empty for a list. Each response is also relayed through `relay_factor` other members.
    ///
    /// # Errors
    ///
    /// If the key's length is invalid, another key operation is in progress, or the query is refused.
    pub fn change_all_keys(
        &mut self,
        now: Instant,
        operation: KeyOperation,
        key: &[u8],
        relay_factor: u8,
        out: &mut Outbox,
    ) -> Result<QueryId, KeysError> {
        let input = || Input::ChangeAllKeys { operation, key: key.into(), relay_factor };
        self.command(now, out, input, |node, _| node.serf.ask_keys(&mut node.core, operation, key, relay_factor))
    }

    /// The default timeout of a query. Grows with the logarithm of the number of members (`DefaultQueryTimeout` in
    /// serf's query.go).
    pub fn default_query_timeout(&self) -> Duration {
        self.serf.query_timeout(&self.core)
    }
}

fn recorded(question: &Question<'_>) -> Input {
    let Question { name, payload, nodes, tags, acks, relay_factor, timeout } = question;
    Input::Query {
        name: name.as_ref().into(),
        payload: payload.as_ref().into(),
        nodes: nodes.iter().map(|node| node.as_ref().into()).collect(),
        tags: tags.iter().map(|(tag, expr)| (tag.as_ref().into(), expr.as_ref().into())).collect(),
        acks: *acks,
        relay_factor: *relay_factor,
        timeout: *timeout,
    }
}
