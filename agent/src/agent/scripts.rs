//! Queues events for the scripts of event handlers.

use core::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::{Agent, invoke};
use crate::budget::{Budget, Room};
use crate::config::{Settings, duration};
use crate::handler::{AgentEvent, Event, EventHandler};
use crate::log::Log;

/// The event handlers, and the queues of their scripts.
///
/// Member and user events have one order: the scripts for an event run one after the other as configured, and are over
/// before those for the next event begin, as with HashiCorp's agent. Handlers depend on it: several edit one file,
/// without locks. With `parallel_handlers` each script has a queue of its own instead.
///
/// Queries are outside of that order, so that a handler may query its own node: the scripts for a query run side by
/// side, and the query gets the answer of the first configured script that gives one. A script that handles both sees
/// events and queries in the order of their arrival.
pub(super) struct Scripts {
    state: Mutex<State>,
    agent: Weak<Agent>,
    log: Arc<Log>,
    /// Number of queued runs that have not started.
    waiting: watch::Sender<usize>,
    /// Whether the common lane waits for the run of a query to end.
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

/// A handler. Queued runs share its script.
struct Handler {
    handler: EventHandler,
    script: Arc<str>,
}

/// The order and the timeout of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// Each script has a queue of its own.
    pub(super) is_parallel: bool,
    /// After how long a run is killed.
    pub(super) timeout: Option<Duration>,
}

impl Order {
    pub(super) fn of(settings: &Settings) -> Self {
        let timeout = Some(duration(settings.handler_timeout)).filter(|timeout| !timeout.is_zero());
        Self { is_parallel: settings.parallel_handlers, timeout }
    }
}

/// A queue of member and user events with its worker.
struct Lane {
    /// `None` for all scripts.
    script: Option<Arc<str>>,
    queue: mpsc::Sender<Job>,
    /// Bytes of the queued events.
    budget: Arc<Budget>,
    /// Closed when the worker has ended.
    worker: watch::Receiver<()>,
    /// The queue was full at the last event.
    is_dropping: bool,
}

/// An event with the scripts configured at its arrival.
struct Job {
    event: Arc<AgentEvent>,
    runs: Vec<(Arc<str>, Ticket, Waiting)>,
    _room: Room,
}

/// Serialises the runs of one script, for events and queries.
struct Turn {
    script: Arc<str>,
    /// Closed when the last queued run has ended; and whether that run is for an event.
    last: Option<(oneshot::Receiver<()>, bool)>,
    places: Arc<Semaphore>,
    /// Bytes of the queued queries.
    budget: Arc<Budget>,
    is_dropping: bool,
}

/// A queued run of a script for a query.
struct Answer {
    script: Arc<str>,
    ticket: Ticket,
    place: (OwnedSemaphorePermit, Room),
    waiting: Waiting,
}

/// The place of a run in the order of its script. It must be awaited to its end, or the next run would begin too early.
struct Ticket {
    before: Option<oneshot::Receiver<()>>,
    is_behind_event: bool,
    _over: oneshot::Sender<()>,
}

impl Ticket {
    /// Waits until the previous run has ended.
    async fn turn(&mut self) {
        if let Some(before) = self.before.take() {
            _ = before.await;
        }
    }

    /// The same for a query. If the script's previous event waits for a query, that query may depend on this one; then
    /// this run goes first, or both would deadlock.
    async fn turn_of_query(&mut self, mut held: watch::Receiver<usize>) {
        let is_behind_event = self.is_behind_event;
        tokio::select! {
            () = self.turn() => {}
            _ = held.wait_for(|held| *held > 0), if is_behind_event => {}
        }
    }

    fn is_next(&mut self) -> bool {
        self.before.take_if(|before| before.try_recv() == Err(TryRecvError::Closed));
        self.before.is_none()
    }
}

/// Counts a queued run, or a lane that is held, while it exists.
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

    /// Replaces the handlers from the next event on. Queued runs still run, before the new ones.
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

    /// Queues an event for every handler that matches.
    pub(super) fn dispatch(&self, event: &Arc<AgentEvent>) {
        let mut state = self.lock();
        let wanting = state.handlers.iter().filter(|handler| handler.handler.wants(&event.data));
        let scripts: Vec<Arc<str>> = wanting.map(|handler| Arc::clone(&handler.script)).collect();
        if scripts.is_empty() {
            return;
        }
        if event.query.is_some() {
            self.ask(&mut state, event, scripts)
        } else {
            self.queue(&mut state, event, &scripts)
        }
    }

    /// Queues a member or user event.
    fn queue(&self, state: &mut State, event: &Arc<AgentEvent>, scripts: &[Arc<str>]) {
        let State { lanes, turns, .. } = state;
        for lane in lanes {
            let its = scripts.iter().filter(|script| lane.script.as_ref().is_none_or(|its| its == *script));
            let its: Vec<_> = its.collect();
            if its.is_empty() {
                continue;
            }
            // Both are reserved before any ticket is taken: a dropped ticket lets the next run begin too early.
            let place = lane.budget.take(event.data.bytes()).zip(lane.queue.try_reserve().ok());
            let is_full = place.is_none();
            match place {
                Some((_room, place)) => {
                    let ticket = |script: &Arc<str>| {
                        let turn = turns.iter_mut().find(|turn| turn.script == *script)?;
                        Some((Arc::clone(script), turn.ticket(true), Waiting::new(&self.waiting)))
                    };
                    let runs = its.into_iter().filter_map(ticket).collect();
                    place.send(Job { event: Arc::clone(event), runs, _room });
                }
                None => self.dropped(its.len(), lane.script.as_deref(), lane.is_dropping),
            }
            lane.is_dropping = is_full;
        }
    }

    /// Starts the scripts for a query, outside of the order of events.
    fn ask(&self, state: &mut State, event: &Arc<AgentEvent>, scripts: Vec<Arc<str>>) {
        let mut answers = Vec::new();
        for script in scripts {
            let Some(turn) = state.turns.iter_mut().find(|turn| turn.script == script) else { continue };
            let place = Arc::clone(&turn.places).try_acquire_owned().ok();
            let place = place.zip(turn.budget.take(event.data.bytes()));
            let is_full = place.is_none();
            if is_full {
                self.dropped(1, Some(&script), turn.is_dropping);
            }
            turn.is_dropping = is_full;
            if let Some(place) = place {
                let waiting = Waiting::new(&self.waiting);
                answers.push(Answer { ticket: turn.ticket(false), script, place, waiting });
            }
        }
        let mut before = None;
        for it in answers {
            let (over, next) = oneshot::channel();
            let answered =
                answer(self.agent.clone(), self.held.subscribe(), Arc::clone(event), it, before.replace(next));
            tokio::spawn(async move {
                answered.await;
                drop(over);
            });
        }
    }

    fn dropped(&self, runs: usize, script: Option<&str>, is_logged: bool) {
        if let Some(agent) = self.agent.upgrade() {
            agent.tally.handler_events_dropped.add(runs as u64);
        }
        match script {
            _ if is_logged => {}
            Some(script) => {
                self.log.warn("agent", format_args!("Script '{script}' is too slow, dropping its events"));
            }
            None => {
                let text = format_args!("Scripts are too slow and their queue is full; dropping new events");
                self.log.warn("agent", text);
            }
        }
    }

    /// Waits until every due run has started, for at most [`END_TIMEOUT`]. A node that leaves runs the handlers of that
    /// event last.
    pub(super) async fn start_due_runs(&self) {
        let mut waiting = self.waiting.subscribe();
        _ = timeout(END_TIMEOUT, waiting.wait_for(|count| *count == 0)).await;
    }

    /// After how long a run is killed.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.lock().order.timeout
    }

    /// Lists the handlers: filter and script.
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
    /// Starts a worker. Its first event waits until the workers in `before` have ended.
    fn begin(
        script: Option<Arc<str>>,
        agent: Weak<Agent>,
        held: watch::Sender<usize>,
        before: Vec<watch::Receiver<()>>,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(EVENTS_MAX);
        let (alive, worker) = watch::channel(());
        // The lane of one script delays no other.
        let held = script.is_none().then_some(held);
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
        let (places, budget) = (Arc::new(Semaphore::new(EVENTS_MAX)), Budget::new(EVENTS_BYTES_MAX));
        Self { script, last: None, places, budget, is_dropping: false }
    }

    /// Takes the next place in the order.
    fn ticket(&mut self, is_event: bool) -> Ticket {
        let (over, last) = oneshot::channel();
        let (before, is_behind_event) = self.last.replace((last, is_event)).unzip();
        Ticket { before, is_behind_event: is_behind_event.unwrap_or_default(), _over: over }
    }
}

/// Runs the scripts for each queued event, one after the other.
async fn work(agent: Weak<Agent>, held: Option<watch::Sender<usize>>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(Job { event, runs, _room }) = jobs.recv().await {
        for (script, mut ticket, waiting) in runs {
            // Its earlier events have ended, so the previous run is for a query.
            let holds = !ticket.is_next();
            let held = held.as_ref().filter(|_| holds).map(Waiting::new);
            ticket.turn().await;
            drop(held);
            let Some(agent) = agent.upgrade() else { return };
            run(&agent, &script, &event, ticket, waiting, None).await;
        }
    }
}

/// Runs a script for a query. Its answer waits for those of the scripts configured before it.
async fn answer(
    agent: Weak<Agent>,
    held: watch::Receiver<usize>,
    event: Arc<AgentEvent>,
    mut answer: Answer,
    before: Option<oneshot::Receiver<()>>,
) {
    answer.ticket.turn_of_query(held).await;
    let Some(agent) = agent.upgrade() else { return };
    run(&agent, &answer.script, &event, answer.ticket, answer.waiting, before).await;
    drop(answer.place);
}

/// Runs a script once, and logs the outcome.
async fn run(
    agent: &Agent,
    script: &str,
    event: &AgentEvent,
    ticket: Ticket,
    waiting: Waiting,
    answers_after: Option<oneshot::Receiver<()>>,
) {
    let begun = Instant::now();
    let span = span_of(script, &event.data);
    let ended = invoke::invoke(agent, script, event, waiting).instrument(span.clone()).await;
    let took = begun.elapsed();
    drop(ticket);
    if let Some(before) = answers_after {
        _ = before.await;
    }
    let reported = ended.and_then(|ended| invoke::report(agent, script, event, ended));
    note_outcome(&span, &reported);
    if let Err(why) = reported {
        agent.tally.handler_failures.bump();
        agent.log.error("agent", format_args!("Error invoking script '{script}': {why}"));
    }
    agent.tally.handler_runs.add(took);
    agent.metrics.sample(&format!("agent.invoke.{script}"), took);
}

/// The span of a script's run, with the fields of a handler's run in an embedded node.
fn span_of(script: &str, event: &Event) -> Span {
    info_span!(
        "serf.handler",
        script,
        event = event.kind(),
        name = event.name(),
        outcome = Empty,
        otel.kind = "consumer",
        otel.status_code = Empty,
    )
}

fn note_outcome(span: &Span, reported: &Result<(), String>) {
    match reported {
        Ok(()) => span.record("outcome", "done"),
        Err(why) => span.record("outcome", why.as_str()).record("otel.status_code", "ERROR"),
    };
}

/// Limit on the events queued for scripts, and on the queries queued for one script. Newer ones are dropped.
pub(super) const EVENTS_MAX: usize = 1024;

/// Limit on the bytes of the events queued for scripts, and of the queries queued for one script. Newer ones are
/// dropped.
const EVENTS_BYTES_MAX: usize = 4 << 20;

/// How long the end of the agent waits for queued runs to start.
const END_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsString;
    use std::io;

    use serf_tests::spans::Recorder;
    use serf_tokio::Serf;
    use tokio::time::sleep;

    use super::*;
    use crate::agent::bootstrap::Bootstrap;
    use crate::agent::setup::{self, Files};
    use crate::config::{Config, Draft};
    use crate::log::Level;

    /// An agent without clients.
    fn agent(handlers: &[&str]) -> Arc<Agent> {
        let args = ["-node=one", "-bind=127.0.0.1:0", "-rpc-addr=none"].iter().chain(handlers);
        let args: Vec<OsString> = args.map(OsString::from).collect();
        let (config, _) = Config::resolve(Draft::read(&args).expect("is a draft")).expect("is valid");
        let log = Arc::new(Log::new(Level::Err, Box::new(io::sink())).expect("starts"));
        let files = Files::read(&config, &log).expect("names none");
        let serf = Serf::start(setup::options(&config, files).expect("are valid")).expect("starts");
        Agent::new(&config, serf, Bootstrap::new(0, true), log).0
    }

    #[tokio::test]
    async fn the_run_of_a_script_is_a_span_with_its_event_and_how_it_ended() {
        let recorder = Recorder::default();
        let _here = tracing::subscriber::set_default(recorder.subscriber());
        let agent = agent(&["-event-handler=user:good=true", "-event-handler=user:bad=exit 3"]);
        for name in ["good", "bad"] {
            let data = Event::User { name: name.into(), lamport: 1, payload: Vec::new(), coalesce: false };
            agent.scripts.dispatch(&Arc::new(AgentEvent { data, query: None }));
        }
        let runs = async {
            while recorder.ended("serf.handler").len() < 2 {
                sleep(Duration::from_millis(10)).await;
            }
            recorder.ended("serf.handler")
        };
        let runs = timeout(Duration::from_secs(20), runs).await.expect("both run");
        let fields = ["script", "event", "name", "outcome", "otel.status_code"];
        let said: Vec<_> = runs.iter().map(|run| fields.map(|field| run.field(field))).collect();
        assert_eq!(said, [["true", "user", "good", "done", ""], ["exit 3", "user", "bad", "exit status 3", "ERROR"]]);
    }
}
