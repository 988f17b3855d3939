//! Event handlers by kind and name, in the manner of Serfer.

use core::fmt;
use core::future::Future;
use core::pin::Pin;

use serf_proto::{Event, MemberEvent, MemberEventKind, Query, UserEvent};
use tracing::Instrument as _;

use crate::end::panic_message;
use crate::events::{Events, Lagged};
use crate::responder::Responder;
use crate::span;
use crate::unwind::catch_unwind;

/// Callbacks by event kind and name.
///
/// For an event, the handlers registered for its kind and name run in the order of registration; if there are none, the
/// handlers for all events of its kind; if there are none either, those for [any other event](Self::otherwise). Each
/// handler is awaited before the next, and all handlers of one event before the next event, so handlers see events in
/// order. Spawn a task for long work. If handlers fall behind by more than [`subscriber_events_max`](crate::Options::subscriber_events_max)
/// events, the oldest are lost and [`on_lagged`](Self::on_lagged) is called.
///
/// A panic in a handler ends that call only: it is logged as a `tracing` error and counted in
/// [`Stats::handler_panics`](crate::Stats::handler_panics), and the next handler runs. State that the handler shares
/// with others stays as the panic left it.
///
/// ```
/// use serf_runtime::{Handlers, MemberEventKind};
///
/// let handlers = Handlers::new()
///     .on_member(MemberEventKind::Failed, |event| async move { println!("{event}") })
///     .on_user("deploy", |event| async move { println!("deploy {:?}", event.payload) })
///     .on_any_user(|event| async move { println!("what is {}?", event.name) })
///     .on_query("uptime", |_query| async move { Some(b"three days".to_vec()) });
/// ```
#[derive(Default)]
pub struct Handlers {
    routes: Vec<(Key, Handler)>,
    lagged: Vec<Box<dyn FnMut(Lagged) -> Work + Send>>,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler = Box<dyn FnMut(&Event, Option<&Responder>) -> Option<Work> + Send>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Member(MemberEventKind),
    AnyMember,
    User(Box<str>),
    AnyUser,
    Query(Box<str>),
    AnyQuery,
    Otherwise,
}

impl Handlers {
    /// Creates an empty set of handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler for member events of one kind.
    #[must_use]
    pub fn on_member<F>(self, kind: MemberEventKind, handler: impl FnMut(MemberEvent) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.member(Key::Member(kind), handler)
    }

    /// Adds a handler for member events of every kind without its own handler.
    #[must_use]
    pub fn on_any_member<F>(self, handler: impl FnMut(MemberEvent) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.member(Key::AnyMember, handler)
    }

    /// Adds a handler for user events of one name.
    #[must_use]
    pub fn on_user<F>(self, name: &str, handler: impl FnMut(UserEvent) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.user(Key::User(name.into()), handler)
    }

    /// Adds a handler for user events of every name without its own handler.
    #[must_use]
    pub fn on_any_user<F>(self, handler: impl FnMut(UserEvent) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.user(Key::AnyUser, handler)
    }

    /// Adds a handler for queries of one name. Its return value is the answer; `None` means no answer from here, or a
    /// later one by [`Serf::respond`](crate::Serf::respond). Of several handlers of a query, the first `Some` is sent.
    #[must_use]
    pub fn on_query<F>(self, name: &str, handler: impl FnMut(Query) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<Vec<u8>>> + Send + 'static,
    {
        self.query(Key::Query(name.into()), handler)
    }

    /// Adds a handler for queries of every name without its own handler.
    #[must_use]
    pub fn on_any_query<F>(self, handler: impl FnMut(Query) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<Vec<u8>>> + Send + 'static,
    {
        self.query(Key::AnyQuery, handler)
    }

    /// Adds a handler for every event without another handler.
    #[must_use]
    pub fn otherwise<F>(self, mut handler: impl FnMut(Event) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.add(Key::Otherwise, move |event, _| Some(Box::pin(handler(event.clone()))))
    }

    /// Adds a handler that is called when events were lost because the handlers were too slow.
    #[must_use]
    pub fn on_lagged<F>(mut self, mut handler: impl FnMut(Lagged) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.lagged.push(Box::new(move |lagged| Box::pin(handler(lagged))));
        self
    }

    /// Runs the handlers until `events` ends. [`Serf::handle`](crate::Serf::handle) does this in a background task;
    /// call this function to choose the task or the subscription.
    pub async fn run(mut self, mut events: Events) {
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.dispatch(&event, events.responder()).await,
                Err(lagged) => {
                    for handler in &mut self.lagged {
                        _ = guarded("lagged", events.responder(), async { handler(lagged).await }).await;
                    }
                }
            }
        }
    }

    async fn dispatch(&mut self, event: &Event, responder: Option<&Responder>) {
        let keys = match event {
            Event::Member(event) => [Key::Member(event.kind), Key::AnyMember, Key::Otherwise],
            Event::User(user) => [Key::User(user.name.clone()), Key::AnyUser, Key::Otherwise],
            Event::Query(query) => [Key::Query(query.name.clone()), Key::AnyQuery, Key::Otherwise],
            _ => [Key::Otherwise, Key::Otherwise, Key::Otherwise],
        };
        let Some(key) = keys.iter().find(|key| self.routes.iter().any(|(route, _)| route == *key)) else { return };
        for (_, handler) in self.routes.iter_mut().filter(|(route, _)| route == key) {
            let work = async {
                if let Some(work) = handler(event, responder) {
                    work.await;
                }
            };
            let span = span::handler(event);
            let has_panicked = guarded(key, responder, work).instrument(span.clone()).await;
            span::handler_ended(&span, has_panicked);
        }
    }

    fn query<F>(self, key: Key, mut handler: impl FnMut(Query) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<Vec<u8>>> + Send + 'static,
    {
        self.add(key, move |event, responder| match event {
            Event::Query(query) => {
                let (to, answer, responder) = (query.id, handler(query.clone()), responder.cloned());
                Some(Box::pin(async move {
                    if let (Some(answer), Some(responder)) = (answer.await, responder) {
                        responder.respond(to, &answer);
                        span::handler_answered();
                    }
                }))
            }
            _ => None,
        })
    }

    fn member<F>(self, key: Key, mut handler: impl FnMut(MemberEvent) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.add(key, move |event, _| match event {
            Event::Member(event) => Some(Box::pin(handler(event.clone()))),
            _ => None,
        })
    }

    fn user<F>(self, key: Key, mut handler: impl FnMut(UserEvent) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.add(key, move |event, _| match event {
            Event::User(event) => Some(Box::pin(handler(event.clone()))),
            _ => None,
        })
    }

    fn add(
        mut self,
        key: Key,
        handler: impl FnMut(&Event, Option<&Responder>) -> Option<Work> + Send + 'static,
    ) -> Self {
        self.routes.push((key, Box::new(handler)));
        self
    }
}

/// Runs one call of a handler; catches and records a panic. Returns whether it panicked.
async fn guarded(of: impl fmt::Debug, responder: Option<&Responder>, call: impl Future<Output = ()>) -> bool {
    let Err(panic) = catch_unwind(call).await else { return false };
    tracing::error!(handler = ?of, message = %panic_message(&*panic), "a handler panicked; the next one runs");
    if let Some(responder) = responder {
        responder.note_panic();
    }
    true
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|(key, _)| key)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_lite::future::block_on;

    use super::*;
    use crate::events::Subscribers;

    fn user(name: &str) -> Event {
        Event::User(UserEvent { ltime: 1, name: name.into(), payload: bytes::Bytes::new(), coalesce: false })
    }

    /// Runs handlers that record their letter and the event's name; returns the record.
    fn calls(events: &[&str], handlers: impl FnOnce(Note) -> Handlers) -> String {
        let note = Note::default();
        let mut subscribers = Subscribers::default();
        let stream = subscribers.subscribe(3, |_| true);
        events.iter().for_each(|name| _ = subscribers.publish(&user(name)));
        subscribers.close();
        block_on(handlers(note.clone()).run(stream));
        note.0.lock().unwrap().join(" ")
    }

    #[derive(Clone, Default)]
    struct Note(Arc<Mutex<Vec<String>>>);

    impl Note {
        fn user(&self, letter: char) -> impl FnMut(UserEvent) -> Work + Send + 'static {
            let notes = Arc::clone(&self.0);
            move |event| {
                let notes = Arc::clone(&notes);
                Box::pin(async move {
                    futures_lite::future::yield_now().await;
                    notes.lock().unwrap().push(format!("{letter}:{}", event.name));
                })
            }
        }
    }

    #[test]
    fn handlers_of_a_name_run_in_their_order_and_before_those_for_all() {
        let called = calls(&["x", "y", "x"], |note| {
            Handlers::new().on_any_user(note.user('a')).on_user("x", note.user('b')).on_user("x", note.user('c'))
        });
        assert_eq!(called, "b:x c:x a:y b:x c:x");
    }

    #[test]
    fn an_event_without_a_handler_goes_to_otherwise() {
        let called = calls(&["x", "y"], |note| {
            let rest = Arc::clone(&note.0);
            Handlers::new().on_user("x", note.user('a')).otherwise(move |event| {
                let rest = Arc::clone(&rest);
                async move {
                    let Event::User(event) = event else { panic!("only user events were sent") };
                    rest.lock().unwrap().push(format!("rest:{}", event.name));
                }
            })
        });
        assert_eq!(called, "a:x rest:y");
        assert_eq!(calls(&["z"], |note| Handlers::new().on_user("x", note.user('a'))), "");
    }

    #[test]
    fn a_panic_ends_one_call_of_a_handler_only() {
        let called = calls(&["x", "y"], |note| {
            Handlers::new()
                .on_user("x", |_| -> Work { panic!("before its future") })
                .on_user("x", |_| async { panic!("in its future: {}", 1) })
                .on_user("x", note.user('a'))
                .on_user("y", note.user('b'))
        });
        assert_eq!(called, "a:x b:y");
    }

    #[test]
    fn slow_handlers_get_the_number_of_missed_events() {
        let called = calls(&["1", "2", "3", "4", "5"], |note| {
            let lagged = Arc::clone(&note.0);
            Handlers::new().on_any_user(note.user('a')).on_lagged(move |Lagged(missed)| {
                lagged.lock().unwrap().push(format!("missed {missed}"));
                async {}
            })
        });
        assert_eq!(called, "missed 2 a:3 a:4 a:5");
    }
}
