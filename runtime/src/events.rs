//! Subscriptions: every subscriber has a queue of its own, which never holds up the protocol.

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

/// Events of a node, in the order in which they happened here, from the moment of subscribing on. That is the order in which user events
/// and queries arrived, see [`Serf::user_event`](crate::Serf::user_event).
///
/// A [`Stream`] which ends when the node stops. A subscriber that falls behind loses its oldest events and is told how many by
/// [`Lagged`]; [`Serf::resync`](crate::Serf::resync) then gives it the members anew. It never holds up the node, nor other
/// subscribers.
#[derive(Debug)]
pub struct Events {
    inbox: Arc<Inbox>,
    responder: Option<Responder>,
}

/// How many events a subscriber was too slow for. They are lost to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the subscriber was too slow for {0} events, which are lost to it; resync to know the members again")]
pub struct Lagged(pub u64);

impl Events {
    /// The next event; `None` when the node has stopped and all events before that were taken.
    ///
    /// The same as [`Stream`]'s, without a trait to import. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Event, Lagged>> {
        poll_fn(|cx| self.inbox.poll(cx)).await
    }

    /// With a way to answer the queries among them.
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
    /// Forgets what was queued about members, because its subscriber is about to see them all.
    pub(crate) fn forget_members(&self) {
        let mut state = lock(&self.state);
        state.queue.retain(|event| event.members().is_none());
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
            // The places of those that are gone, so that subscribing again and again does not add up.
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

    /// Ends every stream, after what is queued.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for inbox in self.inboxes.drain(..).filter_map(|inbox| inbox.upgrade()) {
            inbox.close();
        }
    }
}

/// The query that an event is a reply to, if it is one.
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
    fn a_slow_subscriber_loses_its_oldest_events_and_is_told_how_many() {
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
