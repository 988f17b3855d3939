//! Runs a program that prints addresses.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::TEXT_BYTES_MAX;
use crate::agent::Agent;
use crate::config::secrets;
use crate::endpoint::go_words;
use crate::platform::{end_group, run_in_group, shell};

/// A command of the shell.
pub(super) fn of_shell(agent: &Agent, script: &str) -> Command {
    shell(script, agent.files.before())
}

/// The program of go-discover, with the text of the setting as its arguments, which are in its own grammar.
pub(super) fn discover(arguments: &str) -> Command {
    let mut command = Command::new(DISCOVER);
    command.args(["-q", "addrs", arguments]);
    command
}

/// Runs the program to its end and returns its standard output. Like handlers, it gets no secret of the agent.
///
/// # Errors
///
/// It cannot be started, fails, or takes longer than [`TIMEOUT`] and is killed, with the processes that it started.
pub(super) async fn run(agent: &Agent, mut command: Command) -> Result<String, String> {
    secrets().chain(["NOTIFY_SOCKET".to_owned()]).for_each(|name| _ = command.env_remove(name));
    run_in_group(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| {
        let hint =
            if program == DISCOVER { "; install HashiCorp's go-discover, which looks for providers" } else { "" };
        format!("cannot run {program}: {}{hint}", go_words(&error))
    })?;
    let group = child.id();
    let _ours = agent.children.keep(group);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ran = timeout(TIMEOUT, async {
        let (printed, complaint) = tokio::join!(text_of(stdout), text_of(stderr));
        (child.wait().await, printed, complaint)
    });
    let Ok((status, printed, complaint)) = ran.await else {
        group.into_iter().for_each(|group| end_group(group, true));
        _ = timeout(TIMEOUT, child.wait()).await;
        return Err(format!("it took longer than {TIMEOUT:?} and was ended"));
    };
    match status {
        Ok(status) if status.success() => Ok(printed),
        Ok(status) => {
            let line = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let line: String = line.chars().take(COMPLAINT_CHARS_MAX).collect();
            let code = status.code().map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
            Err(format!("it ended with {code}: {line}").trim_end_matches([':', ' ']).to_owned())
        }
        Err(error) => Err(go_words(&error)),
    }
}

/// All that a program writes to a pipe, up to the limit.
async fn text_of(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error counts.
        _ = pipe.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How long a program may run.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Limit on the program's message in a log record, in characters.
const COMPLAINT_CHARS_MAX: usize = 200;

/// The program of go-discover, searched in `PATH`.
const DISCOVER: &str = "discover";
