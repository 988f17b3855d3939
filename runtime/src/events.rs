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

    pub(crate) fn inbox(&self) -> &Inbox {
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
    events_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Event>,
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
        if let Some(event) = state.queue.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn push(&self, event: &Event) {
        if !(self.wanted)(event) {
            return;
        }
        let mut state = lock(&self.state);
        if state.queue.len() >= self.events_max {
            state.queue.pop_front();
            state.lost += 1;
        }
        state.queue.push_back(event.clone());
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
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
    pub(crate) fn subscribe(
        &mut self,
        events_max: usize,
        wanted: impl Fn(&Event) -> bool + Send + Sync + 'static,
    ) -> Events {
        let inbox = Arc::new(Inbox { wanted: Box::new(wanted), events_max, state: Mutex::default() });
        if self.closed {
            inbox.close();
        } else {
            // Drops the entries of ended subscriptions, so that repeated subscribing does not leak.
            self.inboxes.retain(|inbox| inbox.strong_count() > 0);
            self.inboxes.push(Arc::downgrade(&inbox));
        }
        Events { inbox, responder: None }
    }

    pub(crate) fn publish(&mut self, event: &Event) {
        self.inboxes.retain(|inbox| {
            let Some(inbox) = inbox.upgrade() else { return false };
            inbox.push(event);
            true
        });
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
            subscribers.publish(&event(name));
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
        subscribers.publish(&event("a"));
        subscribers.publish(&event("b"));
        assert_eq!(next(&mut events), Some(Some(Ok(event("b")))));
        assert_eq!(next(&mut events), None);
    }

    #[test]
    fn a_stream_ends_after_what_was_queued_when_the_node_stops() {
        let mut subscribers = Subscribers::default();
        let mut events = subscribers.subscribe(9, |_| true);
        subscribers.publish(&event("a"));
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
        subscribers.publish(&event("a"));
        assert_eq!(subscribers.inboxes.len(), 0);
    }
}
