//! Queues events for the scripts of event handlers.

use core::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::{Agent, Happening, invoke};
use crate::budget::{Budget, Room};
use crate::handler::EventHandler;
use crate::log::Log;

/// The event handlers, and what waits for their scripts.
///
/// Member and user events have one order: the scripts for an event run one after the other as configured, and are over before
/// those for the next event begin, as with HashiCorp's agent. Handlers rely on it: several edit one file, without locks. With
/// `parallel_handlers` each script has a queue of its own instead.
///
/// Queries are outside of that order, so that a handler may query its own node: a query waits for no other script. The scripts for
/// one query run one after the other as configured, so the first that answers is the first configured; a script runs for one query
/// at a time. A single script sees events and queries in the order in which they came, unless one is late by [`PATIENCE`].
pub(super) struct Scripts {
    state: Mutex<State>,
    agent: Weak<Agent>,
    log: Arc<Log>,
    /// How many runs have not been started yet.
    waiting: watch::Sender<usize>,
    /// How many lanes wait for a query to be over.
    held: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    handlers: Vec<Handler>,
    /// One for all scripts, or one for each.
    lanes: Vec<Lane>,
    /// One for each script.
    turns: Vec<Turn>,
    order: Order,
}

/// A handler whose script is shared with those that wait for it.
struct Handler {
    handler: EventHandler,
    script: Arc<str>,
}

/// Which events a script waits for, and how long a run may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// Each script has a queue of its own.
    pub(super) is_parallel: bool,
    /// After how long a run is ended.
    pub(super) timeout: Option<Duration>,
}

/// A queue of member and user events with a worker.
struct Lane {
    /// `None` for all scripts.
    script: Option<Arc<str>>,
    queue: mpsc::Sender<Job>,
    /// What the queued events take.
    budget: Arc<Budget>,
    /// Closed when the worker has ended.
    worker: watch::Receiver<()>,
    /// The queue was full when the last event came.
    is_dropping: bool,
}

/// An event with the scripts that were configured for it when it came.
struct Job {
    happening: Arc<Happening>,
    runs: Vec<Run>,
    _room: Room,
}

/// A script that is to run for a member or user event.
struct Run {
    script: Arc<str>,
    waiting: Waiting,
    /// The queries that the script gets before.
    queries: Earlier,
    over: Over,
}

/// Lets a script run for one query at a time, and knows what it got before.
struct Turn {
    script: Arc<str>,
    events: Count,
    queries: Count,
    /// Fair: queries get it in the order in which they came.
    turn: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// What the waiting queries take.
    budget: Arc<Budget>,
    is_dropping: bool,
}

/// A script that is to run for a query.
struct Answer {
    script: Arc<str>,
    turn: Arc<Semaphore>,
    place: (OwnedSemaphorePermit, Room),
    waiting: Waiting,
    /// The member and user events that the script gets before.
    events: Earlier,
    over: Over,
}

/// The runs of one script, for events or for queries.
#[derive(Default)]
struct Count {
    queued: u64,
    over: watch::Sender<u64>,
}

impl Count {
    /// One more run, which is over when what is returned is dropped.
    fn queue(&mut self) -> Over {
        self.queued += 1;
        Over(self.over.clone())
    }

    /// All that have been queued.
    fn so_far(&self) -> Earlier {
        Earlier { queued: self.queued, over: self.over.subscribe() }
    }
}

/// Runs that were queued before another.
struct Earlier {
    queued: u64,
    over: watch::Receiver<u64>,
}

impl Earlier {
    fn are_over(&self) -> bool {
        *self.over.borrow() >= self.queued
    }

    async fn over(&mut self) {
        // An error is as good: none is left.
        _ = self.over.wait_for(|over| *over >= self.queued).await;
    }
}

/// Counts a run that is over.
struct Over(watch::Sender<u64>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.send_modify(|over| *over += 1);
    }
}

/// Counts a run that has not been started yet, or a lane that waits.
pub(super) struct Waiting(watch::Sender<usize>);

impl Waiting {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Scripts {
    pub(super) fn new(agent: Weak<Agent>, log: Arc<Log>) -> Self {
        Self { state: Mutex::default(), agent, log, waiting: watch::Sender::new(0), held: watch::Sender::new(0) }
    }

    /// Runs these handlers from the next event on. What is queued still runs, and before what comes now.
    pub(super) fn replace(&self, handlers: Vec<EventHandler>, order: Order) {
        let mut state = self.lock();
        let mut scripts: Vec<Arc<str>> = Vec::new();
        state.handlers = Vec::new();
        for handler in handlers {
            let known = scripts.iter().find(|script| ***script == handler.script).cloned();
            let script = known.unwrap_or_else(|| {
                scripts.push(handler.script.as_str().into());
                scripts[scripts.len() - 1].clone()
            });
            state.handlers.push(Handler { handler, script });
        }
        let mut lanes = mem::take(&mut state.lanes);
        let before = if order.is_parallel == state.order.is_parallel { Vec::new() } else { mem::take(&mut lanes) };
        let before: Vec<_> = before.into_iter().map(|lane| lane.worker).collect();
        let mut lane = |script: Option<Arc<str>>| match lanes.iter().position(|lane| lane.script == script) {
            Some(idx) => lanes.swap_remove(idx),
            None => Lane::begin(script, self.agent.clone(), self.held.clone(), before.clone()),
        };
        state.lanes =
            if order.is_parallel { scripts.iter().cloned().map(Some).map(lane).collect() } else { vec![lane(None)] };
        let mut turns = mem::take(&mut state.turns);
        let turn = |script: Arc<str>| match turns.iter().position(|turn| turn.script == script) {
            Some(idx) => turns.swap_remove(idx),
            None => Turn::new(script),
        };
        state.turns = scripts.into_iter().map(turn).collect();
        state.order = order;
    }

    /// Queues an event for every handler that wants it.
    pub(super) fn dispatch(&self, happening: &Arc<Happening>) {
        let mut state = self.lock();
        let wanting = state.handlers.iter().filter(|handler| handler.handler.wants(&happening.event));
        let scripts: Vec<Arc<str>> = wanting.map(|handler| Arc::clone(&handler.script)).collect();
        if scripts.is_empty() {
            return;
        }
        if happening.query.is_some() {
            self.ask(&mut state, happening, scripts)
        } else {
            self.queue(&mut state, happening, &scripts)
        }
    }

    /// Queues a member or user event.
    fn queue(&self, state: &mut State, happening: &Arc<Happening>, scripts: &[Arc<str>]) {
        for lane in &mut state.lanes {
            let its = scripts.iter().filter(|script| lane.script.as_ref().is_none_or(|its| its == *script));
            let turns = &mut state.turns;
            let runs = its.filter_map(|script| {
                let turn = turns.iter_mut().find(|turn| turn.script == *script)?;
                let (queries, over) = (turn.queries.so_far(), turn.events.queue());
                Some(Run { script: Arc::clone(script), waiting: Waiting::new(&self.waiting), queries, over })
            });
            let runs: Vec<_> = runs.collect();
            if runs.is_empty() {
                continue;
            }
            let count = runs.len();
            let room = lane.budget.take(happening.event.bytes());
            let job = room.map(|_room| Job { happening: Arc::clone(happening), runs, _room });
            let is_full = job.is_none_or(|job| lane.queue.try_send(job).is_err());
            if is_full {
                self.dropped(count, lane.script.as_deref(), lane.is_dropping);
            }
            lane.is_dropping = is_full;
        }
    }

    /// Has the scripts answer a query, beside everything else.
    fn ask(&self, state: &mut State, happening: &Arc<Happening>, scripts: Vec<Arc<str>>) {
        let mut answers = Vec::new();
        for script in scripts {
            let Some(turn) = state.turns.iter_mut().find(|turn| turn.script == script) else { continue };
            let place = Arc::clone(&turn.places).try_acquire_owned().ok();
            let place = place.zip(turn.budget.take(happening.event.bytes()));
            let is_full = place.is_none();
            if is_full {
                self.dropped(1, Some(&script), turn.is_dropping);
            }
            turn.is_dropping = is_full;
            if let Some(place) = place {
                let waiting = Waiting::new(&self.waiting);
                let (events, over) = (turn.events.so_far(), turn.queries.queue());
                answers.push(Answer { script, turn: Arc::clone(&turn.turn), place, waiting, events, over });
            }
        }
        tokio::spawn(answer(self.agent.clone(), self.held.subscribe(), Arc::clone(happening), answers));
    }

    fn dropped(&self, runs: usize, script: Option<&str>, is_told: bool) {
        if let Some(agent) = self.agent.upgrade() {
            agent.tally.handler_events_dropped.add(runs as u64);
        }
        match script {
            _ if is_told => {}
            Some(script) => {
                self.log.warn("agent", format_args!("Script '{script}' is too slow, dropping its events"));
            }
            None => {
                let text = format_args!("Scripts are too slow and too many events wait for them; dropping new ones");
                self.log.warn("agent", text);
            }
        }
    }

    /// Waits until every run that is due has been started, but not for long: a node that leaves runs the handlers of that last.
    pub(super) async fn start_what_waits(&self) {
        let mut waiting = self.waiting.subscribe();
        _ = timeout(END_TIMEOUT, waiting.wait_for(|count| *count == 0)).await;
    }

    /// After how long a run is ended.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.lock().order.timeout
    }

    /// The handlers: what for, and the script.
    pub(super) fn list(&self) -> Vec<(String, String)> {
        let state = self.lock();
        let handlers = state.handlers.iter().map(|handler| &handler.handler);
        handlers.map(|handler| (handler.filter.label(), handler.script.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Starts a worker, whose first event waits for the end of the workers `before`.
    fn begin(
        script: Option<Arc<str>>,
        agent: Weak<Agent>,
        held: watch::Sender<usize>,
        before: Vec<watch::Receiver<()>>,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(EVENTS_MAX);
        let (alive, worker) = watch::channel(());
        tokio::spawn(async move {
            for mut worker in before {
                _ = worker.changed().await;
            }
            work(agent, held, jobs).await;
            drop(alive);
        });
        Self { script, queue, budget: Budget::new(EVENTS_BYTES_MAX), worker, is_dropping: false }
    }
}

impl Turn {
    fn new(script: Arc<str>) -> Self {
        let (turn, places) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(EVENTS_MAX)));
        let (events, queries) = (Count::default(), Count::default());
        Self { script, events, queries, turn, places, budget: Budget::new(EVENTS_BYTES_MAX), is_dropping: false }
    }
}

/// Runs the scripts for one event after the other.
async fn work(agent: Weak<Agent>, held: watch::Sender<usize>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(Job { happening, runs, _room }) = jobs.recv().await {
        for Run { script, waiting, mut queries, over } in runs {
            if !queries.are_over() {
                let _held = Waiting::new(&held);
                _ = timeout(PATIENCE, queries.over()).await;
            }
            let Some(agent) = agent.upgrade() else { return };
            run(&agent, &script, &happening, waiting).await;
            drop(over);
        }
    }
}

/// Runs the scripts for a query.
async fn answer(agent: Weak<Agent>, mut held: watch::Receiver<usize>, happening: Arc<Happening>, answers: Vec<Answer>) {
    for Answer { script, turn, place, waiting, mut events, over } in answers {
        // It is never closed.
        let _turn = turn.acquire().await;
        tokio::select! {
            _ = timeout(PATIENCE, events.over()) => {}
            // What the events wait for may be the script that asks this.
            _ = held.wait_for(|lanes| *lanes > 0) => {}
        }
        let Some(agent) = agent.upgrade() else { return };
        run(&agent, &script, &happening, waiting).await;
        drop((over, place));
    }
}

/// Runs a script once, and tells how that went.
async fn run(agent: &Agent, script: &str, happening: &Happening, waiting: Waiting) {
    let begun = Instant::now();
    if let Err(why) = invoke::invoke(agent, script, happening, waiting).await {
        agent.tally.handler_failures.bump();
        agent.log.error("agent", format_args!("Error invoking script '{script}': {why}"));
    }
    let took = begun.elapsed();
    agent.tally.handler_runs.add(took);
    agent.metrics.sample(&format!("agent.invoke.{script}"), took);
}

/// Events that wait for scripts, and queries that wait for one script; newer ones are dropped beyond.
pub(super) const EVENTS_MAX: usize = 1024;

/// What the events take that wait for scripts, and the queries that wait for one script; newer ones are dropped beyond.
const EVENTS_BYTES_MAX: usize = 4 << 20;

/// How long a script for a query waits for the events before it, and the reverse. A script for an event that queries its own node
/// waits for itself: then the query is answered after this.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the end of the agent waits for handlers to be started.
const END_TIMEOUT: Duration = Duration::from_secs(1);
