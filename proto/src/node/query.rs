//! Asking the cluster something, and answering what it asks.

use core::time::Duration;

use super::Node;
use crate::event::KeyOperation;
use crate::outbox::Outbox;
use crate::serf::{KeysError, QueryError, Question, RespondError};
use crate::time::Instant;
use crate::types::QueryId;

impl Node {
    /// Asks every member something, or those that meet the question's filters, ourselves included.
    ///
    /// Members are told by gossip. As they come, their acknowledgements and answers are
    /// [`Event::QueryAck`](crate::Event::QueryAck) and [`Event::QueryResponse`](crate::Event::QueryResponse);
    /// [`Event::QueryEnded`](crate::Event::QueryEnded) follows when everybody who can has answered, at the latest at the
    /// deadline. Datagrams get lost: who did not answer may not have been reached, or has been and its answer was lost. A node that
    /// leaves or has left still asks, as long as it runs, as serf's does.
    ///
    /// # Errors
    ///
    /// When the query or its timeout is too large, it has too many filters or one that cannot be used, too many queries are under
    /// way, or the node's clock is at its end.
    pub fn query(&mut self, now: Instant, question: &Question<'_>, out: &mut Outbox) -> Result<QueryId, QueryError> {
        self.command(now, out, |node, _| node.serf.query(&mut node.core, question))
    }

    /// Ends a query of ours before its time, because its answers are no longer wanted. [`Event::QueryEnded`](crate::Event::QueryEnded)
    /// follows. False when there is no such query, or it is over.
    pub fn end_query(&mut self, now: Instant, id: QueryId, out: &mut Outbox) -> bool {
        self.command(now, out, |node, _| node.serf.cancel_query(&mut node.core, id))
    }

    /// The largest payload that this question may have, whatever its own is, in bytes; `None` when not even an empty one may. The
    /// query's Lamport time is part of it, and takes a few bytes more as it grows.
    pub fn query_payload_max(&self, question: &Question<'_>) -> Option<usize> {
        self.serf.query_payload_max(&self.core, question)
    }

    /// Answers a query that was delivered as [`Event::Query`](crate::Event::Query), once.
    ///
    /// # Errors
    ///
    /// When the answer is too large, the query has been answered, its time is over, or there is no such query.
    pub fn respond(&mut self, now: Instant, to: QueryId, payload: &[u8], out: &mut Outbox) -> Result<(), RespondError> {
        self.command(now, out, |node, _| node.serf.respond(&mut node.core, to, payload))
    }

    /// Has every member install, use or remove a key, or list its keys. [`Event::Keys`](crate::Event::Keys) tells what each
    /// did. `key` is the key itself, and empty for a list. Each answer goes over `relay_factor` other members too.
    ///
    /// # Errors
    ///
    /// When the key has a length that no key has, keys are being changed already, or the query cannot be asked.
    pub fn change_all_keys(
        &mut self,
        now: Instant,
        operation: KeyOperation,
        key: &[u8],
        relay_factor: u8,
        out: &mut Outbox,
    ) -> Result<QueryId, KeysError> {
        self.command(now, out, |node, _| node.serf.ask_keys(&mut node.core, operation, key, relay_factor))
    }

    /// How long a query may be answered that does not say: it grows with the logarithm of the number of members.
    pub fn default_query_timeout(&self) -> Duration {
        self.serf.query_timeout(&self.core)
    }
}
