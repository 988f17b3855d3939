//! Runs a script once (`invokeEventScript` in `invoke.go`).

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use serf_tokio::{CommandError, RespondError};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::reaper::BACKGROUND_MAX;
use super::scripts::Waiting;
use super::{Agent, Happening};
use crate::config::secrets;
use crate::endpoint::go_words;
use crate::handler::{OutputTail, answer, environment, stdin};
use crate::tags;

/// What a script said, and how it ended.
pub(super) struct Ended {
    tail: OutputTail,
    status: io::Result<ExitStatus>,
}

/// Runs a script. `waiting` is dropped when it has its input. The error is why it failed.
pub(super) async fn invoke(
    agent: &Agent,
    script: &str,
    happening: &Happening,
    waiting: Waiting,
) -> Result<Ended, String> {
    let started = start(agent, script, happening).map_err(|error| go_words(&error))?;
    let Started { child, output, input: to } = started;
    let group = child.id();
    let _ours = agent.children.keep(group);
    let input = stdin(&happening.event);
    // A script need not read. It is fed on the side, since it may print before it reads.
    tokio::spawn(async move {
        feed(to, input).await;
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
    output: Output,
    input: io::PipeWriter,
}

fn start(agent: &Agent, script: &str, happening: &Happening) -> io::Result<Started> {
    let local = agent.serf.local();
    let own = tags::of_node(&serf_tokio::Tags::decode(local.meta()));
    let (output, stdout) = io::pipe()?;
    let (stdin, input) = io::pipe()?;
    let (output, stderr) = (Output::new(output)?, stdout.try_clone()?);
    let mut command = shell(script, agent.files.before());
    // What is for us alone; a script that asks an agent with a token has its own copy of it.
    secrets().chain(["NOTIFY_SOCKET".to_owned()]).for_each(|name| _ = command.env_remove(name));
    command.envs(environment(&happening.event, local.name(), &own));
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let has_timeout = agent.scripts.timeout().is_some();
    #[cfg(unix)]
    if has_timeout {
        // So that all that it starts can be ended with it. Without a timeout it stays with us, and with the terminal.
        command.process_group(0);
    }
    #[cfg(not(unix))]
    command.kill_on_drop(has_timeout);
    // Its ends of the pipes are closed here with the command.
    let child = command.spawn()?;
    Ok(Started { child, output, input })
}

/// Writes what a script reads.
async fn feed(input: io::PipeWriter, bytes: Vec<u8>) {
    #[cfg(unix)]
    if let Ok(mut input) = tokio::net::unix::pipe::Sender::from_owned_fd(input.into()) {
        _ = tokio::io::AsyncWriteExt::write_all(&mut input, &bytes).await;
    }
    #[cfg(not(unix))]
    {
        let mut input = input;
        _ = tokio::task::spawn_blocking(move || io::Write::write_all(&mut input, &bytes)).await;
    }
}

/// A script that runs.
struct Run {
    child: Child,
    output: Output,
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
        if timeout(END_TIMEOUT, all_gone).await.is_err() {
            end(group, true);
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
                is_open = self.output.read(&mut self.tail) => if !is_open {
                    return self.child.wait().await;
                }
            }
        }
    }

    /// Reads what the script has left in the pipe. Who still holds its output then is a process in the background, whose output
    /// counts no more; it is read all the same, or the process would stop or die at its next word.
    async fn rest(&mut self, agent: &Agent) {
        let all = async { while self.output.read(&mut self.tail).await {} };
        if timeout(OUTPUT_GRACE, all).await.is_ok() {
            return;
        }
        let Ok(place) = agent.children.background.clone().try_acquire_owned() else {
            let text = format_args!(
                "{BACKGROUND_MAX} processes that scripts have left write to their output; that of one more is closed"
            );
            return agent.log.warn("agent", text);
        };
        let mut output = core::mem::replace(&mut self.output, Output::closed());
        tokio::spawn(async move {
            while output.read(&mut OutputTail::new()).await {}
            drop(place);
        });
    }
}

/// The reading end of a script's output.
struct Output {
    #[cfg(unix)]
    pipe: Option<tokio::net::unix::pipe::Receiver>,
    #[cfg(not(unix))]
    chunks: tokio::sync::mpsc::Receiver<Vec<u8>>,
}

#[cfg(unix)]
impl Output {
    fn new(pipe: io::PipeReader) -> io::Result<Self> {
        Ok(Self { pipe: Some(tokio::net::unix::pipe::Receiver::from_owned_fd(pipe.into())?) })
    }

    const fn closed() -> Self {
        Self { pipe: None }
    }

    /// Reads once; false when all who could write have closed it.
    async fn read(&mut self, tail: &mut OutputTail) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let mut chunk = [0; READ_BYTES];
        match tokio::io::AsyncReadExt::read(pipe, &mut chunk).await {
            Ok(read) if read > 0 => tail.push(&chunk[..read]),
            _ => self.pipe = None,
        }
        self.pipe.is_some()
    }
}

#[cfg(not(unix))]
impl Output {
    /// Pipes block here: a thread reads.
    fn new(mut pipe: io::PipeReader) -> io::Result<Self> {
        let (chunk, chunks) = tokio::sync::mpsc::channel(1);
        let read = move || {
            let mut bytes = [0; READ_BYTES];
            while let Ok(read) = io::Read::read(&mut pipe, &mut bytes)
                && read > 0
                && chunk.blocking_send(bytes[..read].to_vec()).is_ok()
            {}
        };
        std::thread::Builder::new().name("output".into()).spawn(read)?;
        Ok(Self { chunks })
    }

    fn closed() -> Self {
        Self { chunks: tokio::sync::mpsc::channel(1).1 }
    }

    async fn read(&mut self, tail: &mut OutputTail) -> bool {
        let chunk = self.chunks.recv().await;
        chunk.inspect(|chunk| tail.push(chunk)).is_some()
    }
}

/// Whether the script's process group still has a process. The kernel does not reuse the group's number while it has.
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

/// Says how a script ended, and answers the query.
pub(super) fn report(agent: &Agent, script: &str, happening: &Happening, ended: Ended) -> Result<(), String> {
    let Ended { tail, status } = ended;
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

/// A shell with a script. With a limit of open files that another shell sets first: nothing is left of that one.
fn shell(script: &str, files_max: Option<u64>) -> Command {
    #[cfg(unix)]
    {
        let mut command = Command::new("/bin/sh");
        match files_max {
            Some(max) => command.arg("-c").arg(format!("ulimit -S -n {max}; exec /bin/sh -c \"$0\"")).arg(script),
            None => command.arg("-c").arg(script),
        };
        command
    }
    #[cfg(not(unix))]
    {
        _ = files_max;
        let mut command = Command::new("cmd");
        command.arg("/C").arg(script);
        command
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

const SLOW_AFTER: Duration = Duration::from_secs(1);

/// How long output is read after the script has ended, when a process in the background still holds it.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

const READ_BYTES: usize = 4096;

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
