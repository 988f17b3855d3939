//! Runs a script once (`invokeEventScript` in `invoke.go`).

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use serf_tokio::{CommandError, RespondError};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Agent;
use super::reaper::BACKGROUND_MAX;
use super::scripts::Waiting;
use crate::config::secrets;
use crate::endpoint::go_words;
use crate::handler::{AgentEvent, OutputTail, answer, environment, stdin};
use crate::platform::{ScriptOutput, end_group, ending_signal, group_is_there, run_in_group, shell, write_input};
use crate::tags;

/// The output and the exit status of a script.
pub(super) struct Ended {
    tail: OutputTail,
    status: io::Result<ExitStatus>,
}

/// Runs a script. `waiting` is dropped when the script has its input. The error says why the script failed.
pub(super) async fn invoke(agent: &Agent, script: &str, event: &AgentEvent, waiting: Waiting) -> Result<Ended, String> {
    let started = start(agent, script, event).map_err(|error| go_words(&error))?;
    let Started { child, output, input: to } = started;
    // Before the script ends: after its answer by another script the query takes none.
    let answer_bytes_max = event.query.as_ref().and_then(|query| agent.serf.answer_bytes_max(query.id));
    // An answer that fits into a packet is the last 8192 bytes of the output, as HashiCorp's agent sends it.
    let packet_bytes_max = agent.size_limits.query_response_bytes_max as usize;
    let fetched_bytes_max = answer_bytes_max.filter(|bytes| *bytes > packet_bytes_max);
    let group = child.id();
    let _ours = agent.children.keep(group);
    let input = stdin(&event.data);
    // A script need not read its input, and may print before it reads; a separate task writes the input.
    tokio::spawn(async move {
        write_input(to, input).await;
        drop(waiting);
    });
    let mut run = Run { child, output, tail: OutputTail::new(fetched_bytes_max) };
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
    without_secrets(&mut command);
    command.envs(environment(&event.data, local.name(), &own));
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    if agent.scripts.timeout().is_some() {
        // A process group, so that the script and its children can be killed together. Without a timeout the script
        // stays in the agent's group, and on its terminal.
        run_in_group(&mut command);
    }
    // Dropping the command closes the parent's copies of the pipe ends.
    let child = command.spawn()?;
    Ok(Started { child, output, input })
}

/// Removes the agent's own variables. A script that connects to an agent with a token needs its own copy of the token.
pub(super) fn without_secrets(command: &mut Command) {
    secrets().chain(["NOTIFY_SOCKET".to_owned()]).for_each(|name| _ = command.env_remove(name));
}

/// A running script.
struct Run {
    child: Child,
    output: ScriptOutput,
    tail: OutputTail,
}

impl Run {
    /// Waits until the script exits, or kills it at the timeout.
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
        // SIGTERM first, which a script can trap to clean up. Its children may outlive it.
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

    /// Reads output until the script exits. Its children may go on and hold the output pipe open.
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

    /// Drains the pipe after the exit. A process that still holds the pipe runs in the background; its output is
    /// discarded but read, or it would block or get SIGPIPE at its next write.
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

/// Logs how a script ended, and answers the query.
pub(super) fn report(agent: &Agent, script: &str, event: &AgentEvent, ended: Ended) -> Result<(), String> {
    let Ended { tail, status } = ended;
    if tail.is_truncated() {
        let (all, kept) = (tail.bytes(), tail.bytes_max());
        let text = format_args!("Script '{script}' generated {all} bytes of output, the last {kept} are kept");
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
    /// Why an answer was refused, in the text that clients know.
    pub(super) fn respond_failure(&self, error: CommandError<RespondError>) -> String {
        let why = match error {
            CommandError::Stopped => "the agent is stopping".into(),
            // HashiCorp's names the configured limit, also if a packet has less room.
            CommandError::Refused(RespondError::TooLarge { limit, .. }) => {
                let limit = limit.max(self.size_limits.query_response_bytes_max as usize);
                format!("response exceeds limit of {limit} bytes")
            }
            CommandError::Refused(error @ RespondError::Full { .. }) => error.to_string(),
            CommandError::Refused(RespondError::Answered) => "response already sent".into(),
            CommandError::Refused(_) => "response is past the deadline".into(),
        };
        format!("failed to respond to key query: {why}")
    }
}

/// The shell's message about a command that it cannot run. Such failures have exit codes of their own.
fn complaint(status: ExitStatus, output: &str) -> String {
    let is_shells = status.code().is_some_and(|code| matches!(code, NOT_EXECUTABLE | NOT_FOUND));
    let line = if is_shells { last_line(output) } else { String::new() };
    if line.is_empty() { line } else { format!(": {line}") }
}

/// The last line of an output that is not blank, cut for the log.
pub(super) fn last_line(output: &str) -> String {
    let line = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().take(COMPLAINT_CHARS_MAX).collect()
}

/// How a script failed, in Go's wording.
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

/// How long output is read after the exit, when a background process still holds the pipe.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Limit on a program's message in a log record, in characters.
const COMPLAINT_CHARS_MAX: usize = 200;

/// Interval of the check whether the script's process group is empty.
const GROUP_PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// Time between SIGTERM and SIGKILL.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait for the exit after SIGKILL. A process that has left the group is not killed, and may hold the
/// output open.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
