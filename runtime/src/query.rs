//! Queries: sending them and receiving the replies.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use futures_lite::Stream;
use serf_proto::{Event, Name, QueryError, QueryId, QueryReport, Question, RespondError};

use crate::error::{CommandError, Stopped};
use crate::events::{Events, Inbox, Lagged};
use crate::net::Net;
use crate::serf::Serf;
use crate::span;

/// Stream of the replies to a query; the report is the last item.
///
/// This is a [`Stream`] that ends after [`Reply::Ended`], or when the node stops. Dropping it ends the query and
/// discards later replies. A reader that falls behind by more than
/// [`subscriber_events_max`](crate::Options::subscriber_events_max) replies loses the oldest, but never the report,
/// and receives [`Lagged`] with their number. It blocks no other part of the node.
///
/// Large answers wait at their members while more than 512 KiB of answers are unread, and are fetched when the reader has
/// caught up, until the query's deadline. So a reader needs little memory however many members answer.
#[derive(Debug)]
pub struct QueryStream {
    id: QueryId,
    events: Events,
    is_over: bool,
    control: QueryControl,
}

/// Controls a query at the node, without a handle that keeps the node running.
struct QueryControl(Box<Control>);

type Control = dyn Fn(QueryId, Action<'_>) + Send + Sync;

enum Action<'a> {
    /// Ends the query.
    End,
    /// Releases the large answers, if the reader of this inbox is still not behind.
    Release(&'a Inbox),
}

impl QueryControl {
    fn of<N: Net>(serf: &Serf<N>) -> Self {
        let weak = serf.downgrade();
        Self(Box::new(move |id, action| {
            let Some(serf) = weak.upgrade() else { return };
            serf.shared().call(|engine, now, out| match action {
                Action::End => {
                    if let Some(span) = engine.spans.remove(&id) {
                        span::abandoned(&span);
                    }
                    _ = engine.node.end_query(now, id, out);
                }
                Action::Release(inbox) if inbox.release() => _ = engine.node.hold_answers(now, id, false, out),
                Action::Release(_) => {}
            });
        }))
    }
}

impl fmt::Debug for QueryControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryControl").finish_non_exhaustive()
    }
}

impl Drop for QueryStream {
    /// Replies are no longer wanted; abandoned queries would occupy the node's limited slots.
    fn drop(&mut self) {
        if !self.is_over {
            (self.control.0)(self.id, Action::End);
        }
    }
}

/// One reply to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// A member acknowledged the query. Reported once per member, if acknowledgements were requested.
    Ack(Name),
    /// A member answered. Reported once per member.
    Response {
        /// The member.
        from: Name,
        /// Its answer.
        payload: Bytes,
    },
    /// The query has ended: all members have answered or the timeout has passed. Last item.
    Ended(QueryReport),
}

/// All replies to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answers {
    /// Members that acknowledged the query, in order. Empty if no acknowledgements were requested.
    pub acks: Vec<Name>,
    /// Answers by member.
    pub responses: BTreeMap<Name, Bytes>,
    /// The report: how the query ended, and which members were silent.
    pub report: QueryReport,
    /// Number of replies lost because the reader was too slow; see [`QueryStream`].
    pub lost: u64,
}

impl QueryStream {
    /// Returns the ID of the query.
    pub const fn id(&self) -> QueryId {
        self.id
    }

    /// Returns the next reply; `None` after the report, or when the node has stopped. The same as [`Stream`]'s `next`,
    /// without a trait to import. Cancel safe: dropping the future loses no reply.
    pub async fn next(&mut self) -> Option<Result<Reply, Lagged>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Waits for the end of the query and returns all replies that were not taken before.
    ///
    /// # Errors
    ///
    /// Returns an error if the node was shut down meanwhile, or the report was taken before.
    pub async fn answers(mut self) -> Result<Answers, Stopped> {
        let (mut acks, mut responses, mut lost) = (Vec::new(), BTreeMap::new(), 0);
        while let Some(reply) = self.next().await {
            match reply {
                Ok(Reply::Ack(from)) => acks.push(from),
                Ok(Reply::Response { from, payload }) => _ = responses.insert(from, payload),
                Ok(Reply::Ended(report)) => return Ok(Answers { acks, responses, report, lost }),
                Err(Lagged(missed)) => lost += missed,
            }
        }
        Err(Stopped)
    }

    /// Waits for the end of the query and discards the other replies.
    ///
    /// # Errors
    ///
    /// Returns an error if the node was shut down meanwhile, or the report was taken before.
    pub async fn report(mut self) -> Result<QueryReport, Stopped> {
        while let Some(reply) = self.next().await {
            if let Ok(Reply::Ended(report)) = reply {
                return Ok(report);
            }
        }
        Err(Stopped)
    }
}

impl Stream for QueryStream {
    type Item = Result<Reply, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over {
            let event = match core::task::ready!(Pin::new(&mut self.events).poll_next(cx)) {
                Some(Ok(event)) => event,
                Some(Err(lagged)) => return Poll::Ready(Some(Err(lagged))),
                None => break,
            };
            if self.events.inbox().may_release() {
                (self.control.0)(self.id, Action::Release(self.events.inbox()));
            }
            let reply = match event {
                Event::QueryAck { from, .. } => Reply::Ack(from),
                Event::QueryResponse { from, payload, .. } => Reply::Response { from, payload },
                Event::QueryEnded(report) => Reply::Ended(report),
                _ => continue,
            };
            self.is_over = matches!(reply, Reply::Ended(_));
            return Poll::Ready(Some(Ok(reply)));
        }
        self.is_over = true;
        Poll::Ready(None)
    }
}

/// Queries.
impl<N: Net> Serf<N> {
    /// Sends a query to every member, or to those that match its filters, this node included.
    ///
    /// Gossip spreads the query, and members answer directly. The query ends when all addressed members have answered,
    /// at the latest at its timeout. Datagrams get lost: a member without an answer may not have received the query, or
    /// its answer was lost.
    ///
    /// # Errors
    ///
    /// Returns an error if the query is too large, a filter is invalid, too many queries are running, or the node is
    /// stopped.
    pub fn query(&self, question: &Question<'_>) -> Result<QueryStream, CommandError<QueryError>> {
        let shared = self.shared();
        let control = QueryControl::of(self);
        let asked = shared.call(|engine, now, out| {
            let id = engine.node.query(now, question, out)?;
            engine.trace(id, span::query(question.name()));
            // Subscribes before the first replies, our own, leave the outbox.
            let events = engine.subscribers.subscribe_to_replies(shared.subscriber_events_max, id);
            Ok(QueryStream { id, events, is_over: false, control })
        });
        asked.ok_or(CommandError::Stopped)?.map_err(CommandError::Refused)
    }

    /// Answers a query received as [`Event::Query`]. At most once per query.
    ///
    /// An answer that exceeds a packet is kept until the query's deadline, and fetched over a stream by a requester that is a
    /// member of this project's; see
    /// [`query_answer_bytes_max`](serf_proto::SerfOptions::query_answer_bytes_max).
    ///
    /// # Errors
    ///
    /// Returns an error if the answer is too large, other large answers use up the memory for them, the query was answered
    /// already, has expired or is unknown, or the node was stopped.
    pub fn respond(&self, to: QueryId, payload: &[u8]) -> Result<(), CommandError<RespondError>> {
        self.command(|engine, now, out| engine.node.respond(now, to, payload, out))
    }

    /// Returns the largest answer that this node sends to a query, in bytes: the limit of a packet, or
    /// [`query_answer_bytes_max`](serf_proto::SerfOptions::query_answer_bytes_max) of this node if the requester can fetch
    /// large answers. A requester whose own limit is lower refuses a larger one. `None` if the query was answered, has
    /// expired or is unknown.
    pub fn answer_bytes_max(&self, to: QueryId) -> Option<usize> {
        self.shared().lock().node.answer_bytes_max(to)
    }

    /// Returns the timeout of queries without their own. It grows with the logarithm of the number of members.
    pub fn default_query_timeout(&self) -> Duration {
        self.shared().lock().node.default_query_timeout()
    }

    /// Returns the remaining time of a query; zero after its end.
    pub fn time_left(&self, query: &serf_proto::Query) -> Duration {
        query.deadline - self.shared().net.now()
    }
}
