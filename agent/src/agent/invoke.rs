//! Runs a script once (`invokeEventScript` in `invoke.go`).

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use serf_tokio::{CommandError, RespondError};
use tokio::process::Child;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Agent;
use super::reaper::BACKGROUND_MAX;
use super::scripts::Waiting;
use crate::config::secrets;
use crate::endpoint::go_words;
use crate::handler::{AgentEvent, OutputTail, answer, environment, stdin};
use crate::platform::{ScriptOutput, end_group, ending_signal, group_is_there, run_in_group, shell, write_input};
use crate::tags;

/// What a script said, and how it ended.
pub(super) struct Ended {
    tail: OutputTail,
    status: io::Result<ExitStatus>,
}

/// Runs a script. `waiting` is dropped when it has its input. The error is why it failed.
pub(super) async fn invoke(agent: &Agent, script: &str, event: &AgentEvent, waiting: Waiting) -> Result<Ended, String> {
    let started = start(agent, script, event).map_err(|error| go_words(&error))?;
    let Started { child, output, input: to } = started;
    let group = child.id();
    let _ours = agent.children.keep(group);
    let input = stdin(&event.data);
    // A script need not read. It is fed on the side, since it may print before it reads.
    tokio::spawn(async move {
        write_input(to, input).await;
        drop(waiting);
    });
    let mut run = Run { child, output, tail: OutputTail::new() };
    let status = run.attend(agent, script, group).await?;
    run.rest(agent).await;
    Ok(Ended { tail: run.tail, status })
}

/// A script that was just started.
struct Started {
    child: Child,
    output: ScriptOutput,
    input: io::PipeWriter,
}

fn start(agent: &Agent, script: &str, event: &AgentEvent) -> io::Result<Started> {
    let local = agent.serf.local();
    let own = tags::of_node(&serf_tokio::Tags::decode(local.meta()));
    let (output, stdout) = io::pipe()?;
    let (stdin, input) = io::pipe()?;
    let (output, stderr) = (ScriptOutput::new(output)?, stdout.try_clone()?);
    let mut command = shell(script, agent.files.before());
    // What is for us alone; a script that asks an agent with a token has its own copy of it.
    secrets().chain(["NOTIFY_SOCKET".to_owned()]).for_each(|name| _ = command.env_remove(name));
    command.envs(environment(&event.data, local.name(), &own));
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    if agent.scripts.timeout().is_some() {
        // So that all that it starts can be ended with it. Without a timeout it stays with us, and with the terminal.
        run_in_group(&mut command);
    }
    // Its ends of the pipes are closed here with the command.
    let child = command.spawn()?;
    Ok(Started { child, output, input })
}

/// A script that runs.
struct Run {
    child: Child,
    output: ScriptOutput,
    tail: OutputTail,
}

impl Run {
    /// Waits for the end of the script, or ends it when it takes too long.
    async fn attend(
        &mut self,
        agent: &Agent,
        script: &str,
        group: Option<u32>,
    ) -> Result<io::Result<ExitStatus>, String> {
        let limit = agent.scripts.timeout();
        let ended = self.ended();
        tokio::pin!(ended);
        let slow = async {
            sleep_until(Instant::now() + SLOW_AFTER).await;
            agent.log.warn("agent", format_args!("Script '{script}' slow, execution exceeding {SLOW_AFTER:?}"));
            core::future::pending().await
        };
        let late = async {
            match limit {
                Some(limit) => sleep(limit).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            status = &mut ended => return Ok(status),
            never = slow => never,
            () = late => {}
        }
        agent.tally.handler_timeouts.bump();
        let end = |force| group.into_iter().for_each(|group| end_group(group, force));
        // The first is a request, which a script can trap to clean up. What it has started may outlive it.
        end(false);
        let mut is_over = false;
        let all_gone = async {
            _ = (&mut ended).await;
            is_over = true;
            while group.is_some_and(group_is_there) {
                sleep(GROUP_PROBE_INTERVAL).await;
            }
        };
        if timeout(END_TIMEOUT, all_gone).await.is_err() {
            end(true);
            if !is_over {
                _ = timeout(KILL_TIMEOUT, &mut ended).await;
            }
        }
        Err(format!("it took longer than {:?} and was ended", limit.unwrap_or_default()))
    }

    /// Reads until the script has ended. What it has started may go on, and hold its output.
    async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status,
                is_open = self.output.read(|bytes| self.tail.push(bytes)) => if !is_open {
                    return self.child.wait().await;
                }
            }
        }
    }

    /// Reads what the script has left in the pipe. Who still holds its output then is a process in the background, whose output
    /// counts no more; it is read all the same, or the process would stop or die at its next word.
    async fn rest(&mut self, agent: &Agent) {
        let all = async { while self.output.read(|bytes| self.tail.push(bytes)).await {} };
        if timeout(OUTPUT_GRACE, all).await.is_ok() {
            return;
        }
        let Ok(place) = agent.children.background.clone().try_acquire_owned() else {
            let text = format_args!(
                "{BACKGROUND_MAX} processes that scripts have left write to their output; that of one more is closed"
            );
            return agent.log.warn("agent", text);
        };
        let mut output = core::mem::replace(&mut self.output, ScriptOutput::closed());
        tokio::spawn(async move {
            while output.read(|_| {}).await {}
            drop(place);
        });
    }
}

/// Says how a script ended, and answers the query.
pub(super) fn report(agent: &Agent, script: &str, event: &AgentEvent, ended: Ended) -> Result<(), String> {
    let Ended { tail, status } = ended;
    if tail.is_truncated() {
        let text = format_args!("Script '{script}' generated {} bytes of output, the last 8192 are kept", tail.bytes());
        agent.log.warn("agent", text);
    }
    let output = tail.into_bytes();
    let shown = String::from_utf8_lossy(&output);
    let shown = shown.strip_suffix('\n').unwrap_or(&shown);
    agent.log.debug("agent", format_args!("Event '{}' script output: {shown}", event.data.kind()));
    let status = status.map_err(|error| go_words(&error))?;
    if let Some(query) = &event.query
        && let Some(payload) = answer(status.success(), &output)
        && let Err(error) = agent.serf.respond(query.id, payload)
    {
        let why = agent.respond_failure(error);
        let text = format_args!("Failed to respond to query '{}': {why}", event.data.description());
        agent.log.warn("agent", text);
    }
    if status.success() { Ok(()) } else { Err(ending(status) + &complaint(status, shown)) }
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

/// What the shell says about a command that it cannot run, for which it has codes of its own.
fn complaint(status: ExitStatus, output: &str) -> String {
    let is_shells = status.code().is_some_and(|code| matches!(code, NOT_EXECUTABLE | NOT_FOUND));
    let line = output.lines().rev().find(|line| is_shells && !line.trim().is_empty());
    line.map(|line| format!(": {}", line.chars().take(COMPLAINT_CHARS_MAX).collect::<String>())).unwrap_or_default()
}

/// How a script failed, in Go's words.
fn ending(status: ExitStatus) -> String {
    if let Some(signal) = ending_signal(status) {
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

const SLOW_AFTER: Duration = Duration::from_secs(1);

/// How long output is read after the script has ended, when a process in the background still holds it.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Shown of what the shell says.
const COMPLAINT_CHARS_MAX: usize = 200;

/// How often it is looked whether all that a script has started is gone.
const GROUP_PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// How long a script may take to end when it is asked to, before it is made to.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the end is waited for then. Who holds the script's output and has left its group is not.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
