//! Queries: asking, and what comes back.

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
use crate::events::{Events, Lagged, replied_to};
use crate::net::Net;
use crate::serf::Serf;

/// What comes back of a query, as it comes; the report is the last.
///
/// A [`Stream`] which ends after [`Reply::Ended`], or when the node stops. It may be dropped at any time: the query is over then, and what
/// still comes back is lost. A reader that falls behind by more than [`subscriber_events_max`](crate::NodeOptions::subscriber_events_max) replies
/// loses the oldest, but never the report, and is told how many; nobody else is held up.
#[derive(Debug)]
pub struct QueryStream {
    id: QueryId,
    events: Events,
    is_over: bool,
    ender: Ender,
}

/// Ends a query at the node, without a handle that keeps it running.
struct Ender(Box<dyn Fn(QueryId) + Send + Sync>);

impl Ender {
    fn of<N: Net>(serf: &Serf<N>) -> Self {
        let weak = serf.downgrade();
        Self(Box::new(move |id| {
            if let Some(serf) = weak.upgrade() {
                serf.shared().call(|engine, now, out| engine.node.end_query(now, id, out));
            }
        }))
    }
}

impl fmt::Debug for Ender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ender").finish_non_exhaustive()
    }
}

impl Drop for QueryStream {
    /// The answers are no longer wanted: abandoned queries would use up the node's places.
    fn drop(&mut self) {
        if !self.is_over {
            (self.ender.0)(self.id);
        }
    }
}

/// One thing that came back of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// A member has received the query. Each is told of once, if acknowledgements were asked for.
    Ack(Name),
    /// A member answered. Each answers once.
    Response {
        /// The member.
        from: Name,
        /// Its answer.
        payload: Bytes,
    },
    /// Everybody has answered or the time is up: nothing follows.
    Ended(QueryReport),
}

/// Everything that came back of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answers {
    /// Who acknowledged it, in the order in which they did. None if no acknowledgements were asked for.
    pub acks: Vec<Name>,
    /// Who answered what.
    pub responses: BTreeMap<Name, Bytes>,
    /// How it ended, and who was silent.
    pub report: QueryReport,
    /// How many replies came too quickly for us and are not among these; see [`QueryStream`].
    pub lost: u64,
}

impl QueryStream {
    /// Which query.
    pub const fn id(&self) -> QueryId {
        self.id
    }

    /// The next reply; `None` after the report, or when the node has stopped. The same as [`Stream`]'s, without a trait to import.
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Reply, Lagged>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Waits for the end of the query, and gives everything that came back and was not taken before.
    ///
    /// # Errors
    ///
    /// When the node was shut down meanwhile, or the report was taken before.
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

    /// Waits for the end of the query, whatever comes before.
    ///
    /// # Errors
    ///
    /// When the node was shut down meanwhile, or the report was taken before.
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

/// Asking and answering.
impl<N: Net> Serf<N> {
    /// Asks every member something, or those that meet the question's filters, ourselves included.
    ///
    /// Members are told by gossip, and their answers come as they give them. The query ends when everybody who can has answered,
    /// at the latest when its time is up. Datagrams get lost: who did not answer may not have been reached, or has been and its
    /// answer was lost.
    ///
    /// # Errors
    ///
    /// When the query is too large, a filter cannot be used, too many queries are under way, or the node is stopped.
    pub fn query(&self, question: &Question<'_>) -> Result<QueryStream, CommandError<QueryError>> {
        let shared = self.shared();
        let ender = Ender::of(self);
        let asked = shared.call(|engine, now, out| {
            let id = engine.node.query(now, question, out)?;
            // Before the first replies, which are our own, leave the outbox.
            let mine = move |event: &Event| replied_to(event) == Some(id);
            let events = engine.subscribers.subscribe(shared.subscriber_events_max, mine);
            Ok(QueryStream { id, events, is_over: false, ender })
        });
        asked.ok_or(CommandError::Stopped)?.map_err(CommandError::Refused)
    }

    /// Answers a query that came as [`Event::Query`], once.
    ///
    /// # Errors
    ///
    /// When the answer is too large, the query has been answered, its time is over, there is no such query, or the node was stopped.
    pub fn respond(&self, to: QueryId, payload: &[u8]) -> Result<(), CommandError<RespondError>> {
        self.command(|engine, now, out| engine.node.respond(now, to, payload, out))
    }

    /// How long a query may be answered that does not say: it grows with the logarithm of the number of members.
    pub fn default_query_timeout(&self) -> Duration {
        self.shared().lock().node.default_query_timeout()
    }

    /// How much of a query's time is left; zero when it is over.
    pub fn time_left(&self, query: &serf_proto::Query) -> Duration {
        query.deadline - self.shared().net.now()
    }
}
