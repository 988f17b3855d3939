//! Reaps the processes that scripts leave behind.
//!
//! A process whose parent has ended becomes a child of process 1, which the agent is in a container. Without this each would stay
//! in the table of processes for as long as the agent runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// The processes of scripts.
#[derive(Debug)]
pub(super) struct Children {
    /// Scripts that run. Each has a task that waits for it.
    own: Arc<Mutex<HashSet<u32>>>,
    /// Lets that many outputs be read of which the script has ended.
    pub(super) background: Arc<Semaphore>,
}

impl Default for Children {
    fn default() -> Self {
        Self { own: Arc::default(), background: Arc::new(Semaphore::new(BACKGROUND_MAX)) }
    }
}

impl Children {
    /// Leaves a child to the task that waits for it, until the result is dropped.
    pub(super) fn keep(&self, child: Option<u32>) -> impl Drop + use<> {
        struct Kept(Option<u32>, Arc<Mutex<HashSet<u32>>>);
        impl Drop for Kept {
            fn drop(&mut self) {
                let mut own = self.1.lock().unwrap_or_else(PoisonError::into_inner);
                self.0.map(|child| own.remove(&child));
            }
        }
        self.own.lock().unwrap_or_else(PoisonError::into_inner).extend(child);
        Kept(child, Arc::clone(&self.own))
    }

    /// Reaps all other children, until the agent ends.
    #[cfg(target_os = "linux")]
    pub(super) fn reap_orphans(&self) {
        let own = Arc::clone(&self.own);
        tokio::spawn(async move {
            let Ok(mut signals) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child()) else { return };
            loop {
                let is_own = |child| own.lock().unwrap_or_else(PoisonError::into_inner).contains(&child);
                if reap(is_own) {
                    signals.recv().await;
                } else {
                    tokio::time::sleep(OWN_INTERVAL).await;
                }
            }
        });
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self, reason = "only Linux has waitid everywhere")]
    pub(super) const fn reap_orphans(&self) {}
}

/// Reaps ended children; false when the next is a script, which hides those behind it until its task has reaped it.
#[cfg(target_os = "linux")]
fn reap(is_own: impl Fn(u32) -> bool) -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
    let looking = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // Each round reaps one that has ended.
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

/// How many outputs are read at most for processes that outlive their scripts: each takes a file. The output of one more is closed.
pub(super) const BACKGROUND_MAX: usize = 64;

#[cfg(target_os = "linux")]
const OWN_INTERVAL: Duration = Duration::from_millis(20);
