//! Runs a program that prints addresses.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::TEXT_BYTES_MAX;
use crate::agent::Agent;
use crate::agent::invoke::{last_line, without_secrets};
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
    without_secrets(&mut command);
    run_in_group(&mut command);
    // A reload drops the future of a retried join.
    command.kill_on_drop(true);
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
            let line = last_line(&complaint);
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
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The program of go-discover, searched in `PATH`.
const DISCOVER: &str = "discover";
