//! Handling of panics.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::log::Log;

/// Installs a panic hook: from now on a panic in any thread or task aborts the process (SIGABRT), after a last log
/// record.
///
/// The runtime would end only the panicking task: a node without its receiving task receives nothing, while `/healthz`
/// reports it healthy. A supervisor restarts a process that ended. `panic = "abort"` in the profile would do the same
/// without a log record; the profile is also the simulator's, which catches panics to report their seeds.
///
/// With `is_captured` the process ends a little later, so that the capture has the input that caused the panic.
pub(super) fn end_the_process(log: &Arc<Log>, is_captured: bool) {
    let log = Arc::clone(log);
    let is_ending = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |panic| {
        if is_ending.swap(true, Ordering::Relaxed) {
            // Another thread is already aborting.
            thread::sleep(LAST_WORDS_TIMEOUT);
            std::process::abort();
        }
        // The panicking thread may hold the lock of the log.
        let late = thread::Builder::new().spawn(|| {
            thread::sleep(LAST_WORDS_TIMEOUT);
            std::process::abort();
        });
        if late.is_ok() {
            log.error("agent", format_args!("The agent stops because of a bug: {panic}"));
            log.flush();
        }
        if is_captured {
            thread::sleep(CAPTURE_PAUSE);
        }
        std::process::abort();
    }));
}

/// Longer than inputs wait to be written.
const CAPTURE_PAUSE: Duration = Duration::from_millis(400);

/// How long writing the last record may take.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::log::Level;

    const CHILD: &str = "SERF_TEST_PANICS";

    /// Panics, in a process of its own.
    #[test]
    fn panics_when_told_to() {
        let Some(how) = std::env::var_os(CHILD) else { return };
        let log = Arc::new(Log::new(Level::Info, Box::new(std::io::stderr())).expect("starts"));
        log.release();
        end_the_process(&log, false);
        if how == "task" {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
            runtime.block_on(async { _ = tokio::spawn(async { panic!("a task\nof two lines") }).await });
        } else {
            _ = thread::spawn(|| panic!("a thread")).join();
        }
        std::process::exit(3);
    }

    #[test]
    fn a_panic_of_a_task_or_a_thread_ends_the_process_and_is_logged() {
        for (how, words) in [("task", "a task\\nof two lines"), ("thread", "a thread")] {
            let test = std::env::current_exe().expect("is known");
            let mut child = Command::new(test);
            child.args(["agent::panics::tests::panics_when_told_to", "--exact", "--nocapture"]).env(CHILD, how);
            let output = child.stdout(Stdio::null()).output().expect("runs");
            assert!(output.status.code().is_none_or(|code| code != 0 && code != 3), "{:?}", output.status);
            #[cfg(unix)]
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("[ERR] agent: The agent stops because of a bug") && said.contains(words), "{said}");
        }
    }
}
