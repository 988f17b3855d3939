//! Applications on the nodes: the logic of a service, without IO, that the simulator runs beside each node.

use core::fmt;
use core::time::Duration;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use serf_proto::{
    Coalescing, Event, Input, Instant, Node, Outbox, QueryError, QueryId, Question, RespondError, Rng, SetTagsError,
    Tags, UserEventError,
};

use crate::digest::Digest;
use crate::host::{Host, Process};
use crate::recorder::Recorder;
use crate::shard::{fold_input, watching};

/// The logic of a service on one node, without IO: events and timers go in, commands to the node come out.
///
/// [`World::with_apps`](crate::World::with_apps) starts one with each node's process. It ends with the process, so that a
/// crash loses its state, and a restart begins with a new one. The same seed gives the same run for any number of threads
/// as long as the application reads no clock but [`AppHandle::now`] and no randomness but [`AppHandle::rng`], and iterates
/// over no hash table of the standard library.
///
/// ```
/// use std::time::Duration;
///
/// use serf_proto::{Config, Event, Options};
/// use sim::{App, AppHandle, Fault, LinkModel, World, WorldOptions};
///
/// /// Counts the rumours that it hears, and starts one of its own every ten seconds.
/// #[derive(Debug, Default)]
/// struct Rumours { heard: u32 }
///
/// impl App for Rumours {
///     fn on_start(&mut self, node: &mut AppHandle<'_>) {
///         node.set_timer(0, Duration::from_secs(10));
///     }
///
///     fn on_event(&mut self, event: &Event, _: &mut AppHandle<'_>) {
///         self.heard += u32::from(matches!(event, Event::User(event) if &*event.name == "rumour"));
///     }
///
///     fn on_timer(&mut self, _: u64, node: &mut AppHandle<'_>) {
///         // Events of equal names, payloads and Lamport times are one event.
///         node.user_event("rumour", &node.index().to_le_bytes()).expect("it is small");
///         node.set_timer(0, Duration::from_secs(10));
///     }
/// }
///
/// let options = WorldOptions {
///     nodes: 20,
///     seed: 7,
///     threads: 1,
///     config: Config::new(Options::lan())?,
///     mixed_codecs: false,
///     model: LinkModel::new(Duration::from_millis(1), Duration::from_millis(20))?.with_loss_ppm(10_000),
///     has_checks: true,
///     has_hostile: false,
/// };
/// let mut world = World::with_apps(options, |_| Rumours::default());
/// world.start_converged();
/// world.run_for(Duration::from_secs(15));
/// assert_eq!(world.app::<Rumours>(3).map(|app| app.heard), Some(20));
/// world.inject(Fault::Crash(3));
/// world.run_for(Duration::from_secs(1));
/// assert!(world.app::<Rumours>(3).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait App: Any + fmt::Debug + Send {
    /// The process has started. The node knows itself only, unless the start is converged.
    fn on_start(&mut self, node: &mut AppHandle<'_>) {
        _ = node;
    }

    /// The node reports an event.
    fn on_event(&mut self, event: &Event, node: &mut AppHandle<'_>);

    /// A timer is due. Timers of a stalled process are late, and those of a clock that stands still wait.
    fn on_timer(&mut self, timer: u64, node: &mut AppHandle<'_>) {
        _ = (timer, node);
    }
}

/// What an application sees of its node, and its commands.
///
/// Commands take effect at once; what they cause at the node itself, such as the delivery of its own user event, is
/// reported after the call.
#[derive(Debug)]
pub struct AppHandle<'a> {
    at: Instant,
    now: Instant,
    id: u32,
    node: &'a mut Node,
    out: &'a mut Outbox,
    timers: &'a mut BTreeMap<u64, Instant>,
    commands: &'a mut u32,
    rng: &'a mut Rng,
    digest: &'a mut Digest,
    recorder: Option<&'a mut Recorder>,
}

impl AppHandle<'_> {
    /// Sets a timer to `after` from now, at least a millisecond. A timer that is set again moves.
    pub fn set_timer(&mut self, timer: u64, after: Duration) {
        self.timers.insert(timer, self.now + after.max(TIMER_MIN));
    }

    /// Cancels a timer. Returns false if it is not set.
    pub fn cancel_timer(&mut self, timer: u64) -> bool {
        self.timers.remove(&timer).is_some()
    }

    /// Broadcasts a user event.
    ///
    /// # Errors
    ///
    /// As [`Node::user_event`].
    ///
    /// # Panics
    ///
    /// Panics after ten thousand commands at one moment, as do the other commands: an application that answers each of
    /// its own events with another one would keep the time from advancing.
    pub fn user_event(&mut self, name: &str, payload: &[u8]) -> Result<(), UserEventError> {
        let coalescing = Coalescing::Forbid;
        self.record(Input::UserEvent { name: name.to_owned(), payload: payload.to_vec(), coalescing });
        self.node.user_event(self.now, name, payload, coalescing, self.out)
    }

    /// Asks all members. The answers are events.
    ///
    /// # Errors
    ///
    /// As [`Node::query`].
    pub fn query(&mut self, name: &str, payload: &[u8]) -> Result<QueryId, QueryError> {
        self.record(Input::Query {
            name: name.to_owned(),
            payload: payload.to_vec(),
            nodes: Vec::new(),
            tags: Vec::new(),
            acks: false,
            relay_factor: 0,
            timeout: Duration::ZERO,
        });
        self.node.query(self.now, &Question::new(name).with_payload(payload), self.out)
    }

    /// Answers a query.
    ///
    /// # Errors
    ///
    /// As [`Node::respond`].
    pub fn respond(&mut self, to: QueryId, payload: &[u8]) -> Result<(), RespondError> {
        self.record(Input::Respond { to, payload: payload.to_vec() });
        self.node.respond(self.now, to, payload, self.out)
    }

    /// Replaces the node's tags.
    ///
    /// # Errors
    ///
    /// As [`Node::set_tags`].
    pub fn set_tags(&mut self, tags: &BTreeMap<String, String>) -> Result<(), SetTagsError> {
        self.record(Input::SetTags(tags.clone()));
        self.node.set_tags(self.now, &tags.clone().into_iter().collect::<Tags>(), self.out)
    }

    /// Returns the RNG of this application, for nothing else.
    pub const fn rng(&mut self) -> &mut Rng {
        self.rng
    }

    /// Returns the time of the host's clock.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Returns the number of the node, which [`World`](crate::World) counts from 0.
    pub const fn index(&self) -> u32 {
        self.id
    }

    /// Returns the node, to read its members and its state.
    pub const fn node(&self) -> &Node {
        self.node
    }

    /// Records a command as an input of the node, whose trace it is part of.
    fn record(&mut self, input: Input) {
        *self.commands += 1;
        assert!(
            *self.commands <= COMMANDS_MAX,
            "the application of {} gave {COMMANDS_MAX} commands at one moment: does it answer its own events?",
            self.node.local().name()
        );
        self.digest.fold(self.at.as_nanos());
        fold_input(self.digest, &input);
        if let Some(recorder) = &mut self.recorder {
            recorder.input(self.now, input);
        }
    }
}

/// The application of a running process.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) app: Box<dyn App>,
    /// Pending timers by their numbers; times are those of the host's clock.
    timers: BTreeMap<u64, Instant>,
    /// Commands since the last input.
    pub(crate) commands: u32,
    rng: Rng,
}

impl Slot {
    pub(crate) fn new(app: Box<dyn App>, rng: Rng) -> Self {
        Self { app, timers: BTreeMap::new(), commands: 0, rng }
    }

    /// Returns when the first timer is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.timers.values().min().copied()
    }

    /// Takes the first timer that is due at `now`; of equal times that of the smallest number.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<u64> {
        let (&timer, _) =
            self.timers.iter().filter(|(_, due)| **due <= now).min_by_key(|(timer, due)| (**due, **timer))?;
        self.timers.remove(&timer);
        Some(timer)
    }
}

/// Starts the application of each node.
#[derive(Clone)]
pub(crate) struct Apps(Arc<dyn Fn(u32) -> Box<dyn App> + Send + Sync>);

impl Apps {
    pub(crate) fn new<A: App>(start: impl Fn(u32) -> A + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |node| Box::new(start(node))))
    }

    pub(crate) fn start(&self, node: u32) -> Box<dyn App> {
        (self.0)(node)
    }
}

impl fmt::Debug for Apps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apps").finish_non_exhaustive()
    }
}

/// Calls the application of a host, if one runs. Outputs of its commands are in `out` afterwards.
pub(crate) fn call<R>(
    host: &mut Host,
    recorder: &mut Option<Recorder>,
    out: &mut Outbox,
    (id, at): (u32, Instant),
    call: impl FnOnce(&mut dyn App, &mut AppHandle<'_>) -> R,
) -> Option<R> {
    let now = host.clock.read(at);
    let Process { node: Some(node), app: Some(slot), digest, .. } = &mut host.process else { return None };
    let Slot { app, timers, commands, rng } = &mut **slot;
    let recorder = watching(recorder, id);
    let mut handle = AppHandle { at, now, id, node, out, timers, commands, rng, digest, recorder };
    Some(call(&mut **app, &mut handle))
}

/// The shortest timer, as that of tokio. Without a minimum an application could keep the time from advancing.
const TIMER_MIN: Duration = Duration::from_millis(1);

/// Commands of one application between two inputs of its node.
const COMMANDS_MAX: u32 = 10_000;
