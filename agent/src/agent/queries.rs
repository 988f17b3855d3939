//! Queries sent by clients.

use std::sync::Arc;
use std::time::Duration;

use serf_tokio::{CommandError, QueryError, QueryStream, Question, Reply};
use tokio::time::{Instant, timeout_at};

use super::Agent;
use super::commands::PAYLOAD_SHOWN_BYTES_MAX;
use crate::quote::quote;
use crate::rpc::server::{ASKED_MAX, REPLY_BYTES_MAX, ReplyQueue};
use crate::rpc::{Query, QueryRecord};

impl Agent {
    /// Sends a query. The client first gets the reply whether the query was sent, then acks and answers, and at the
    /// deadline the end record.
    pub(super) fn ask(self: &Arc<Self>, replies: &Arc<ReplyQueue>, seq: u64, query: &Query) {
        let payload = query.payload.as_deref().unwrap_or_default();
        let timeout = match u64::try_from(query.timeout_ns) {
            Ok(0) => self.serf.default_query_timeout(),
            Ok(nanos) => Duration::from_nanos(nanos),
            Err(_) => Duration::ZERO,
        };
        if !replies.may_ask() {
            let why = format!("Too many queries whose answers are still collected, at most {ASKED_MAX} a client");
            return replies.reply(seq, &why, |_| {});
        }
        match self.begin_query(query, payload, timeout) {
            Ok(answers) => {
                replies.reply(seq, "", |_| {});
                let deadline = Instant::now() + timeout.min(TIMEOUT_MAX);
                replies.collect(collect(Arc::downgrade(replies), seq, answers, deadline));
            }
            Err(why) => replies.reply(seq, &why, |_| {}),
        }
    }

    /// Sends the query; `None` when no member can answer.
    fn begin_query(&self, query: &Query, payload: &[u8], timeout: Duration) -> Result<Option<QueryStream>, String> {
        if query.name.starts_with(INTERNAL) && !(query.name == PING && payload.is_empty()) {
            return Err(format!("Queries cannot contain the '{INTERNAL}' prefix"));
        }
        let shown = quote(&payload[..payload.len().min(PAYLOAD_SHOWN_BYTES_MAX)]);
        self.log.debug("agent", format_args!("Requesting query send: {}. Payload: {shown}", query.name));
        let asked = self.send_query(query, payload, timeout);
        asked.inspect_err(|why| self.log.warn("agent", format_args!("failed to start user query: {why}")))
    }

    fn send_query(&self, query: &Query, payload: &[u8], timeout: Duration) -> Result<Option<QueryStream>, String> {
        if self.protocol < PROTOCOL_QUERIES {
            return Err("Feature not supported".into());
        }
        // Checked before any pattern is compiled. The encoded query is longer than this.
        let limit = self.size_limits.query_bytes_max;
        if least_bytes(query) > limit as usize {
            return Err(format!("query exceeds limit of {limit} bytes"));
        }
        let question = Question::new(&query.name).with_payload(payload).of_nodes(&query.filter_nodes);
        let tags = query.filter_tags.iter().flatten();
        let question = tags.fold(question, |question, (tag, expr)| question.with_tag(tag, expr));
        let question = question.relayed(query.relay_factor).for_at_most(timeout.clamp(TIMEOUT_LEAST, TIMEOUT_MAX));
        let question = if query.request_ack { question.with_acks() } else { question };
        match self.serf.query(&question) {
            Ok(answers) => Ok(Some(answers)),
            // HashiCorp's agent sends such a query, and every node finds that its filter does not match.
            Err(CommandError::Refused(QueryError::Filter(error))) => {
                self.log.warn("serf", format_args!("A query has an invalid filter: {error}"));
                Ok(None)
            }
            Err(CommandError::Refused(QueryError::TooLarge { .. })) => {
                Err(format!("query exceeds limit of {limit} bytes"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A lower bound on the encoded size of a query.
fn least_bytes(query: &Query) -> usize {
    let tags = query.filter_tags.iter().flatten().map(|(tag, pattern)| tag.len() + pattern.len());
    let filters = query.filter_nodes.iter().map(String::len).chain(tags).sum::<usize>();
    query.name.len() + query.payload.as_ref().map_or(0, Vec::len) + filters
}

/// Forwards acks and answers until the deadline, at the rate at which the client reads.
async fn collect(replies: std::sync::Weak<ReplyQueue>, seq: u64, mut answers: Option<QueryStream>, deadline: Instant) {
    let send = |record: &QueryRecord| {
        let Some(replies) = replies.upgrade() else { return false };
        replies.reply(seq, "", |to| record.encode(to));
        true
    };
    let has_room = async || {
        let Some(replies) = replies.upgrade() else { return };
        _ = timeout_at(deadline, replies.below(REPLY_BYTES_MAX)).await;
    };
    while let Some(stream) = &mut answers {
        let record = match timeout_at(deadline, stream.next()).await {
            Ok(Some(Ok(Reply::Ack(from)))) => QueryRecord::Ack { from: from.to_string() },
            Ok(Some(Ok(Reply::Response { from, payload }))) => {
                let payload = (!payload.is_empty()).then(|| payload.to_vec());
                QueryRecord::Response { from: from.to_string(), payload }
            }
            Ok(Some(Ok(Reply::Ended(_)))) | Ok(None) | Err(_) => break,
            Ok(Some(_)) => continue,
        };
        has_room().await;
        if Instant::now() >= deadline {
            break;
        }
        if !send(&record) {
            return;
        }
    }
    // Answers that no client can receive are not collected.
    drop(answers);
    // Clients expect the end record at the deadline, not before it.
    tokio::time::sleep_until(deadline).await;
    send(&QueryRecord::Done);
}

/// Prefix of the names of internal queries.
const INTERNAL: &str = "_serf_";

/// The internal query that users may send.
const PING: &str = "_serf_ping";

/// The first Serf protocol version with queries.
pub(super) const PROTOCOL_QUERIES: u8 = 4;

/// Zero would mean the default.
const TIMEOUT_LEAST: Duration = Duration::from_nanos(1);

/// Limit on the time in which answers are collected; a longer timeout is cut. A node keeps 1024 open queries, and
/// refuses new ones while they are open.
const TIMEOUT_MAX: Duration = serf_tokio::serf_proto::limits::QUERY_TIMEOUT_MAX;
