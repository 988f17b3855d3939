//! Code that needs Linux: `waitid`.

use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// Reaps exited children in a loop, except those for which `is_own` returns true: a task waits for them.
pub(crate) async fn reap_orphans(is_own: impl Fn(u32) -> bool) {
    let Ok(mut signals) = signal(SignalKind::child()) else { return };
    loop {
        if reap(&is_own) {
            signals.recv().await;
        } else {
            tokio::time::sleep(OWN_INTERVAL).await;
        }
    }
}

/// Reaps exited children. Returns false when the next one is our own, which blocks those behind it until its task has
/// reaped it.
fn reap(is_own: impl Fn(u32) -> bool) -> bool {
    let looking = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // Each iteration reaps one child.
    while let Ok(status) = waitid(Id::All, looking)
        && let Some(child) = status.pid()
    {
        if u32::try_from(child.as_raw()).is_ok_and(&is_own) {
            return false;
        }
        _ = waitpid(child, Some(WaitPidFlag::WNOHANG));
    }
    true
}

const OWN_INTERVAL: Duration = Duration::from_millis(20);
