//! Event subscriptions. Each subscriber has its own bounded queue, so a slow subscriber never blocks the protocol.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use futures_lite::Stream;
use serf_proto::{Event, QueryId};
use thiserror::Error;

use crate::lock;
use crate::responder::Responder;

/// Stream of a node's events, in the order in which they occurred at this node, from the subscription on. User events
/// and queries come in the order of their arrival, see [`Serf::user_event`](crate::Serf::user_event).
///
/// This is a [`Stream`] that ends when the node stops. A subscriber that falls behind loses its oldest events and
/// receives [`Lagged`] with their number; [`Serf::resync`](crate::Serf::resync) then returns the current members. A
/// slow subscriber blocks neither the node nor other subscribers.
#[derive(Debug)]
pub struct Events {
    inbox: Arc<Inbox>,
    responder: Option<Responder>,
}

/// Number of events that a slow subscriber lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the subscriber was too slow and lost {0} events; call resync to get the current members")]
pub struct Lagged(pub u64);

impl Events {
    /// Returns the next event; `None` after the node has stopped and all earlier events were taken.
    ///
    /// The same as [`Stream`]'s `next`, without a trait to import. Cancel safe: dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Event, Lagged>> {
        poll_fn(|cx| self.inbox.poll(cx)).await
    }

    /// Attaches a responder, so that handlers can answer the queries.
    pub(crate) fn with_responder(self, responder: Responder) -> Self {
        Self { responder: Some(responder), ..self }
    }

    pub(crate) const fn responder(&self) -> Option<&Responder> {
        self.responder.as_ref()
    }

    pub(crate) const fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }
}

impl Stream for Events {
    type Item = Result<Event, Lagged>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inbox.poll(cx)
    }
}

/// The queue of one subscriber.
pub(crate) struct Inbox {
    wanted: Box<dyn Fn(&Event) -> bool + Send + Sync>,
    /// The query whose replies are read here. Only its reader controls whether its large answers are held: another
    /// subscriber that receives the replies never releases them.
    query: Option<QueryId>,
    events_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Event>,
    /// Bytes of the answers in the queue to the query of this inbox.
    answers_bytes: usize,
    /// Whether the node holds the large answers to the query of this inbox, because the reader is behind. Set under the
    /// node's lock only.
    is_held: bool,
    lost: u64,
    closed: bool,
    waiting: Option<Waker>,
}

impl Inbox {
    /// Discards the queued member events, because the subscriber is about to get the full list.
    pub(crate) fn forget_members(&self) {
        let mut state = lock(&self.state);
        state.queue.retain(|event| !matches!(event, Event::Member(_)));
        state.lost = 0;
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Event, Lagged>>> {
        let mut state = lock(&self.state);
        if state.lost > 0 {
            return Poll::Ready(Some(Err(Lagged(core::mem::take(&mut state.lost)))));
        }
        if let Some(event) = self.pop(&mut state) {
            return Poll::Ready(Some(Ok(event)));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Queues an event if it is wanted. Returns whether large answers to the query of this inbox must be held from now on.
    fn push(&self, event: &Event) -> bool {
        if !(self.wanted)(event) {
            return false;
        }
        let mut state = lock(&self.state);
        if state.queue.len() >= self.events_max {
            self.pop(&mut state);
            state.lost += 1;
        }
        state.answers_bytes += self.answer_bytes(event);
        state.queue.push_back(event.clone());
        let must_hold = !state.is_held && state.answers_bytes >= ANSWERS_HELD_FROM_BYTES;
        state.is_held |= must_hold;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
        must_hold
    }

    /// Whether the node must be told to release the answers: they are held, and the reader has caught up.
    pub(crate) fn may_release(&self) -> bool {
        lock(&self.state).may_release()
    }

    /// Notes that the answers are released, if they [may](Self::may_release) be. Under the node's lock.
    pub(crate) fn release(&self) -> bool {
        let mut state = lock(&self.state);
        let may = state.may_release();
        state.is_held &= !may;
        may
    }

    fn pop(&self, state: &mut State) -> Option<Event> {
        let event = state.queue.pop_front()?;
        state.answers_bytes -= self.answer_bytes(&event);
        Some(event)
    }

    /// The size of an answer to the query of this inbox; 0 for another event.
    fn answer_bytes(&self, event: &Event) -> usize {
        match event {
            Event::QueryResponse { id, payload, .. } if self.query == Some(*id) => payload.len(),
            _ => 0,
        }
    }

    fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl State {
    const fn may_release(&self) -> bool {
        self.is_held && self.answers_bytes < ANSWERS_RELEASED_BELOW_BYTES
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

/// All subscribers of a node.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    inboxes: Vec<Weak<Inbox>>,
    closed: bool,
}

impl Subscribers {
    /// Subscribes to the events that `wanted` accepts.
    pub(crate) fn subscribe(
        &mut self,
        events_max: usize,
        wanted: impl Fn(&Event) -> bool + Send + Sync + 'static,
    ) -> Events {
        self.add(Inbox { wanted: Box::new(wanted), query: None, events_max, state: Mutex::default() })
    }

    /// Subscribes to the replies to a query of this node. Its large answers are held while this subscriber is behind.
    pub(crate) fn subscribe_to_replies(&mut self, events_max: usize, query: QueryId) -> Events {
        let wanted = move |event: &Event| replied_to(event) == Some(query);
        self.add(Inbox { wanted: Box::new(wanted), query: Some(query), events_max, state: Mutex::default() })
    }

    fn add(&mut self, inbox: Inbox) -> Events {
        let inbox = Arc::new(inbox);
        if self.closed {
            inbox.close();
        } else {
            // Drops the entries of ended subscriptions, so that repeated subscribing does not leak.
            self.inboxes.retain(|inbox| inbox.strong_count() > 0);
            self.inboxes.push(Arc::downgrade(&inbox));
        }
        Events { inbox, responder: None }
    }

    /// Queues an event for all that want it. Returns the query whose large answers must be held from now on, if any.
    pub(crate) fn publish(&mut self, event: &Event) -> Option<QueryId> {
        let mut must_hold = false;
        self.inboxes.retain(|inbox| {
            let Some(inbox) = inbox.upgrade() else { return false };
            must_hold |= inbox.push(event);
            true
        });
        replied_to(event).filter(|_| must_hold)
    }

    /// Ends every stream after its queued events.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for inbox in self.inboxes.drain(..).filter_map(|inbox| inbox.upgrade()) {
            inbox.close();
        }
    }
}

/// Returns the query that an event is a reply to, if any.
pub(crate) const fn replied_to(event: &Event) -> Option<QueryId> {
    match event {
        Event::QueryAck { id, .. } | Event::QueryResponse { id, .. } => Some(*id),
        Event::QueryEnded(report) => Some(report.id),
        _ => None,
    }
}

/// Unread answers to a query, in bytes, from which on its large answers are held at their members. Up to
/// `FETCHES_PER_QUERY_MAX` running fetches still arrive.
const ANSWERS_HELD_FROM_BYTES: usize = 512 * 1024;

/// Unread answers, in bytes, below which they are released. Ours: so many that the reader is busy until the next arrive.
const ANSWERS_RELEASED_BELOW_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};
    use serf_proto::UserEvent;

    use super::*;

    fn event(name: &str) -> Event {
        Event::User(UserEvent { ltime: 1, name: name.into(), payload: bytes::Bytes::new(), coalesce: false })
    }

    fn next(events: &mut Events) -> Option<Option<Result<Event, Lagged>>> {
        block_on(poll_once(events.next()))
    }

    #[test]
    fn a_slow_subscriber_loses_its_oldest_events_and_gets_their_number() {
        let mut subscribers = Subscribers::default();
        let mut slow = subscribers.subscribe(2, |_| true);
        let mut quick = subscribers.subscribe(9, |_| true);
        for name in ["a", "b", "c", "d", "e"] {
            _ = subscribers.publish(&event(name));
        }
        assert_eq!(next(&mut slow), Some(Some(Err(Lagged(3)))));
        assert_eq!(next(&mut slow), Some(Some(Ok(event("d")))));
        assert_eq!(next(&mut slow), Some(Some(Ok(event("e")))));
        assert_eq!(next(&mut slow), None, "waits for more");
        assert_eq!(next(&mut quick), Some(Some(Ok(event("a")))));
    }

    #[test]
    fn a_subscriber_hears_only_what_it_asked_for() {
        let mut subscribers = Subscribers::default();
        let mut events = subscribers.subscribe(9, |event| matches!(event, Event::User(user) if &*user.name == "b"));
        _ = subscribers.publish(&event("a"));
        _ = subscribers.publish(&event("b"));
        assert_eq!(next(&mut events), Some(Some(Ok(event("b")))));
        assert_eq!(next(&mut events), None);
    }

    #[test]
    fn a_stream_ends_after_what_was_queued_when_the_node_stops() {
        let mut subscribers = Subscribers::default();
        let mut events = subscribers.subscribe(9, |_| true);
        _ = subscribers.publish(&event("a"));
        subscribers.close();
        assert_eq!(next(&mut events), Some(Some(Ok(event("a")))));
        assert_eq!(next(&mut events), Some(None));
        assert_eq!(next(&mut subscribers.subscribe(9, |_| true)), Some(None), "nothing will come");
    }

    #[test]
    fn a_dropped_subscriber_leaves_no_place_behind() {
        let mut subscribers = Subscribers::default();
        for _ in 0..3 {
            drop(subscribers.subscribe(9, |_| true));
        }
        assert_eq!(subscribers.inboxes.len(), 1);
        _ = subscribers.publish(&event("a"));
        assert_eq!(subscribers.inboxes.len(), 0);
    }

    fn query() -> QueryId {
        serde_json::from_str(r#"{"ltime":1,"id":1}"#).expect("it is an id")
    }

    fn answer(bytes: usize) -> Event {
        Event::QueryResponse { id: query(), from: "a".into(), payload: vec![0; bytes].into() }
    }

    #[test]
    fn unread_answers_beyond_the_bound_are_held_once_and_released_when_the_reader_has_caught_up() {
        let mut subscribers = Subscribers::default();
        let mut events = subscribers.subscribe_to_replies(100, query());
        let large = 64 * 1024;
        for _ in 0..7 {
            assert_eq!(subscribers.publish(&answer(large)), None);
        }
        assert!(subscribers.publish(&answer(large)).is_some(), "the eighth reaches the bound");
        assert_eq!(subscribers.publish(&answer(large)), None, "once");
        for _ in 0..5 {
            assert!(!events.inbox().may_release());
            assert!(!events.inbox().release());
            assert!(matches!(next(&mut events), Some(Some(Ok(_)))));
        }
        assert!(!events.inbox().may_release(), "256 KiB are unread");
        assert!(matches!(next(&mut events), Some(Some(Ok(_)))));
        assert!(events.inbox().may_release() && events.inbox().release());
        assert!(!events.inbox().may_release(), "it was released");
    }

    #[test]
    fn a_subscriber_of_all_events_that_is_behind_holds_no_answers() {
        let mut subscribers = Subscribers::default();
        let mut behind = subscribers.subscribe(100, |_| true);
        let mut reader = subscribers.subscribe_to_replies(100, query());
        for _ in 0..50 {
            assert_eq!(subscribers.publish(&answer(64 * 1024)), None);
            assert!(matches!(next(&mut reader), Some(Some(Ok(_)))));
        }
        assert_eq!(next(&mut reader), None, "the reader of the query is idle");
        assert!(!behind.inbox().may_release(), "this subscriber cannot release answers");
        for _ in 0..8 {
            _ = subscribers.publish(&answer(64 * 1024));
        }
        for _ in 0..5 {
            assert!(!reader.inbox().may_release());
            assert!(matches!(next(&mut reader), Some(Some(Ok(_)))));
        }
        assert!(matches!(next(&mut reader), Some(Some(Ok(_)))));
        assert!(reader.inbox().may_release(), "the reader of the query holds and releases them by itself");
        assert!(matches!(next(&mut behind), Some(Some(Ok(_)))), "all events are queued");
    }

    #[test]
    fn answers_that_a_slow_reader_lost_count_no_longer() {
        let mut subscribers = Subscribers::default();
        let events = subscribers.subscribe_to_replies(2, query());
        for _ in 0..100 {
            assert_eq!(subscribers.publish(&answer(64 * 1024)), None);
        }
        assert!(!events.inbox().may_release());
    }
}
