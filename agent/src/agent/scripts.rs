//! Runs event handlers.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serf_tokio::{CommandError, RespondError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Agent, Happening};
use crate::budget::{Budget, Room};
use crate::config::SECRETS;
use crate::endpoint::go_words;
use crate::handler::{EventHandler, OutputTail, answer, environment, stdin};
use crate::log::Log;
use crate::tags;

/// The handlers, each with a queue and a worker of its own: a slow one delays its own events and nothing else.
pub(super) struct Scripts {
    state: Mutex<State>,
    agent: Weak<Agent>,
    log: Arc<Log>,
}

#[derive(Default)]
struct State {
    workers: Vec<Worker>,
    /// After how long a run is ended.
    timeout: Option<Duration>,
}

/// Handlers with the same script share a worker, so that a script sees its events in order.
struct Worker {
    handlers: Vec<EventHandler>,
    queue: mpsc::Sender<(Arc<Happening>, Room)>,
    /// What the queued events take.
    budget: Arc<Budget>,
    /// The queue was full when the last event came.
    is_dropping: bool,
}

impl Scripts {
    pub(super) fn new(agent: Weak<Agent>, log: Arc<Log>) -> Self {
        Self { state: Mutex::default(), agent, log }
    }

    /// Runs these handlers from the next event on, each run for no longer than `timeout`. Those before finish what they have begun
    /// and what is queued for them; a script that stays sees old and new events in order.
    pub(super) fn replace(&self, handlers: Vec<EventHandler>, timeout: Option<Duration>) {
        let mut state = self.lock();
        let mut before = core::mem::take(&mut state.workers);
        let mut workers: Vec<Worker> = Vec::new();
        for handler in handlers {
            if let Some(worker) = workers.iter_mut().find(|worker| worker.script() == handler.script) {
                worker.handlers.push(handler);
                continue;
            }
            if let Some(idx) = before.iter().position(|worker| worker.script() == handler.script) {
                workers.push(Worker { handlers: vec![handler], ..before.swap_remove(idx) });
                continue;
            }
            let (queue, events) = mpsc::channel(EVENTS_MAX);
            tokio::spawn(work(self.agent.clone(), handler.script.clone(), events));
            let budget = Budget::new(EVENTS_BYTES_MAX);
            workers.push(Worker { handlers: vec![handler], queue, budget, is_dropping: false });
        }
        *state = State { workers, timeout };
    }

    /// Queues an event for every handler that wants it.
    pub(super) fn dispatch(&self, happening: &Arc<Happening>) {
        for worker in &mut self.lock().workers {
            for _ in worker.handlers.iter().filter(|handler| handler.wants(&happening.event)) {
                let room = worker.budget.take(happening.event.bytes());
                let queued = room.is_some_and(|room| worker.queue.try_send((Arc::clone(happening), room)).is_ok());
                let is_full = !queued;
                if is_full && let Some(agent) = self.agent.upgrade() {
                    agent.tally.handler_events_dropped.bump();
                }
                if is_full && !worker.is_dropping {
                    let text = format_args!("Script '{}' is too slow, dropping its events", worker.script());
                    self.log.warn("agent", text);
                }
                worker.is_dropping = is_full;
            }
        }
    }

    /// The handlers: what for, and the script.
    pub(super) fn list(&self) -> Vec<(String, String)> {
        let state = self.lock();
        let handlers = state.workers.iter().flat_map(|worker| &worker.handlers);
        handlers.map(|handler| (handler.filter.label(), handler.script.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    fn script(&self) -> &str {
        self.handlers.first().map_or("", |handler| &handler.script)
    }
}

/// Runs a script for one event after the other.
async fn work(agent: Weak<Agent>, script: String, mut events: mpsc::Receiver<(Arc<Happening>, Room)>) {
    while let Some((happening, _room)) = events.recv().await {
        let Some(agent) = agent.upgrade() else { return };
        let begun = Instant::now();
        let timeout = agent.scripts.lock().timeout;
        if let Err(why) = run(&agent, &script, &happening, timeout).await {
            agent.tally.handler_failures.bump();
            agent.log.error("agent", format_args!("Error invoking script '{script}': {why}"));
        }
        let took = begun.elapsed();
        agent.tally.handler_runs.add(took);
        agent.metrics.sample(&format!("agent.invoke.{script}"), took);
    }
}

/// Runs a script once (`invokeEventScript` in `invoke.go`).
async fn run(agent: &Agent, script: &str, happening: &Happening, timeout: Option<Duration>) -> Result<(), String> {
    let local = agent.serf.local();
    let own = tags::of_node(&serf_tokio::Tags::decode(local.meta()));
    let (output, pipe) = io::pipe().map_err(|error| go_words(&error))?;
    let also = pipe.try_clone().map_err(|error| go_words(&error))?;
    let mut command = shell(script);
    // What is for us alone; a script that asks an agent with a token has its own copy of it.
    SECRETS.iter().chain(&["NOTIFY_SOCKET"]).for_each(|name| _ = command.env_remove(name));
    command.envs(environment(&happening.event, local.name(), &own));
    command.stdin(Stdio::piped()).stdout(pipe).stderr(also);
    #[cfg(unix)]
    if timeout.is_some() {
        // So that all that it starts can be ended with it. Without a timeout it stays with us, and with the terminal.
        command.process_group(0);
    }
    #[cfg(not(unix))]
    command.kill_on_drop(timeout.is_some());
    let mut child = command.spawn().map_err(|error| go_words(&error))?;
    // It holds our ends of the pipe.
    drop(command);
    if let Some(mut to) = child.stdin.take() {
        let input = stdin(&happening.event);
        // A script need not read. It is fed on the side, since it may print before it reads.
        tokio::spawn(async move { to.write_all(&input).await });
    }
    let slow = async {
        sleep_until(Instant::now() + SLOW_AFTER).await;
        agent.log.warn("agent", format_args!("Script '{script}' slow, execution exceeding {SLOW_AFTER:?}"));
        core::future::pending().await
    };
    let group = child.id();
    let ended = async {
        let tail = read_all(output).await;
        (tail, child.wait().await)
    };
    tokio::pin!(ended);
    let late = async {
        match timeout {
            Some(timeout) => sleep(timeout).await,
            None => core::future::pending().await,
        }
    };
    let (tail, status) = tokio::select! {
        ended = &mut ended => ended,
        never = slow => never,
        () = late => {
            agent.tally.handler_timeouts.bump();
            // The first is a request, which a script can trap to clean up. What it has started may outlive it.
            end(group, false);
            let mut is_over = false;
            let all_gone = async {
                _ = (&mut ended).await;
                is_over = true;
                while is_there(group) {
                    sleep(GROUP_PROBE_INTERVAL).await;
                }
            };
            if tokio::time::timeout(END_TIMEOUT, all_gone).await.is_err() {
                end(group, true);
                if !is_over {
                    _ = tokio::time::timeout(KILL_TIMEOUT, &mut ended).await;
                }
            }
            return Err(format!("it took longer than {:?} and was ended", timeout.unwrap_or_default()));
        }
    };
    report(agent, script, happening, tail, status)
}

/// Whether anything is left of a script or of what it has started. The number is nobody else's while there is.
fn is_there(group: Option<u32>) -> bool {
    #[cfg(unix)]
    if let Some(group) = group.and_then(|group| i32::try_from(group).ok()) {
        return nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), None).is_ok();
    }
    _ = group;
    false
}

/// Ends a script and all that it has started, unless that has gone its own way.
fn end(group: Option<u32>, force: bool) {
    #[cfg(unix)]
    if let Some(group) = group.and_then(|group| i32::try_from(group).ok()) {
        use nix::sys::signal::{Signal, killpg};
        let signal = if force { Signal::SIGKILL } else { Signal::SIGTERM };
        // It may be gone just now.
        _ = killpg(nix::unistd::Pid::from_raw(group), signal);
    }
    #[cfg(not(unix))]
    {
        _ = (group, force);
    }
}

fn report(
    agent: &Agent,
    script: &str,
    happening: &Happening,
    tail: OutputTail,
    status: io::Result<ExitStatus>,
) -> Result<(), String> {
    if tail.is_truncated() {
        let text = format_args!("Script '{script}' generated {} bytes of output, the last 8192 are kept", tail.bytes());
        agent.log.warn("agent", text);
    }
    let output = tail.into_bytes();
    let shown = String::from_utf8_lossy(&output);
    let shown = shown.strip_suffix('\n').unwrap_or(&shown);
    agent.log.debug("agent", format_args!("Event '{}' script output: {shown}", happening.event.kind()));
    let status = status.map_err(|error| go_words(&error))?;
    if let Some(query) = &happening.query
        && let Some(payload) = answer(status.success(), &output)
        && let Err(error) = agent.serf.respond(query.id, payload)
    {
        let why = agent.respond_failure(error);
        let text = format_args!("Failed to respond to query '{}': {why}", happening.event.description());
        agent.log.warn("agent", text);
    }
    if status.success() { Ok(()) } else { Err(ending(status)) }
}

impl Agent {
    /// Why an answer was refused, in the words that clients know.
    pub(super) fn respond_failure(&self, error: CommandError<RespondError>) -> String {
        let why = match error {
            CommandError::Stopped => "the agent is stopping".into(),
            CommandError::Refused(RespondError::TooLarge { .. }) => {
                format!("response exceeds limit of {} bytes", self.size_limits.query_response_bytes_max)
            }
            CommandError::Refused(RespondError::Answered) => "response already sent".into(),
            CommandError::Refused(_) => "response is past the deadline".into(),
        };
        format!("failed to respond to key query: {why}")
    }
}

/// Reads until the script and all that it has started have closed their output.
async fn read_all(output: io::PipeReader) -> OutputTail {
    let mut tail = OutputTail::new();
    #[cfg(unix)]
    {
        let Ok(mut output) = tokio::net::unix::pipe::Receiver::from_owned_fd(output.into()) else { return tail };
        let mut chunk = [0; 4096];
        while let Ok(read) = output.read(&mut chunk).await
            && read > 0
        {
            tail.push(&chunk[..read]);
        }
    }
    #[cfg(not(unix))]
    {
        let mut output = output;
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            _ = io::Read::read_to_end(&mut output, &mut all);
            all
        });
        tail.push(&read.await.unwrap_or_default());
    }
    tail
}

fn shell(script: &str) -> Command {
    #[cfg(unix)]
    let (shell, flag) = ("/bin/sh", "-c");
    #[cfg(not(unix))]
    let (shell, flag) = ("cmd", "/C");
    let mut command = Command::new(shell);
    command.arg(flag).arg(script);
    command
}

/// How a script failed, in Go's words.
fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            1 => "hangup",
            2 => "interrupt",
            3 => "quit",
            6 => "aborted",
            9 => "killed",
            11 => "segmentation fault",
            13 => "broken pipe",
            15 => "terminated",
            _ => return format!("signal: signal {signal}"),
        };
        return format!("signal: {name}");
    }
    format!("exit status {}", status.code().unwrap_or(-1))
}

/// Events that wait for a handler; newer ones are dropped beyond.
const EVENTS_MAX: usize = 1024;

/// What the events take that wait for a handler; newer ones are dropped beyond.
const EVENTS_BYTES_MAX: usize = 4 << 20;

const SLOW_AFTER: Duration = Duration::from_secs(1);

/// How often it is looked whether all that a script has started is gone.
const GROUP_PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// How long a script may take to end when it is asked to, before it is made to.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the end is waited for then. Who holds the script's output and has left its group is not.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
