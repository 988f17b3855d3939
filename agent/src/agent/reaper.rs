//! Reaps the orphaned processes of scripts.
//!
//! An orphaned process becomes a child of process 1, which in a container is the agent. Unreaped, each would stay in
//! the process table for as long as the agent runs.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::platform;

/// The processes of scripts.
#[derive(Debug)]
pub(super) struct Children {
    /// Running scripts. Each has a task that waits for it.
    own: Arc<Mutex<HashSet<u32>>>,
    /// Limits how many outputs are read after their scripts have exited.
    pub(super) background: Arc<Semaphore>,
}

impl Default for Children {
    fn default() -> Self {
        Self { own: Arc::default(), background: Arc::new(Semaphore::new(BACKGROUND_MAX)) }
    }
}

impl Children {
    /// Starts a program whose exit a task waits for: it is not reaped as an orphan until the second part of the result
    /// is dropped.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<(Child, impl Drop + use<>)> {
        struct Kept(Option<u32>, Arc<Mutex<HashSet<u32>>>);
        impl Drop for Kept {
            fn drop(&mut self) {
                let mut own = self.1.lock().unwrap_or_else(PoisonError::into_inner);
                self.0.map(|child| own.remove(&child));
            }
        }
        // Locked while it starts: it may exit before it is in the set, and would be reaped.
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        own.extend(child.id());
        let kept = Kept(child.id(), Arc::clone(&self.own));
        Ok((child, kept))
    }

    /// Reaps all other children, until the agent ends.
    pub(super) fn reap_orphans(&self) {
        let own = Arc::clone(&self.own);
        let is_own = move |child| own.lock().unwrap_or_else(PoisonError::into_inner).contains(&child);
        tokio::spawn(platform::reap_orphans(is_own));
    }
}

/// Limit on the outputs read for processes that outlive their scripts: each uses a file. The output of one more is
/// closed.
pub(super) const BACKGROUND_MAX: usize = 64;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const CHILD: &str = "SERF_TEST_REAPS";

    /// In a process of its own: it would reap the programs of other tests.
    #[test]
    fn reaps_when_told_to() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("starts").block_on(async {
            let children = Children::default();
            children.reap_orphans();
            for _ in 0..200 {
                // Another child ends in the meantime, so that the reaper is looking.
                let other = std::process::Command::new("true").spawn().expect("starts");
                let (mut child, _kept) = children.spawn(&mut Command::new("true")).expect("starts");
                assert!(child.wait().await.expect("is not reaped").success());
                drop(other);
            }
        });
    }

    #[test]
    fn no_program_is_reaped_before_its_exit_is_known_however_short_it_is() {
        let test = std::env::current_exe().expect("is known");
        let mut child = std::process::Command::new(test);
        child.args(["agent::reaper::tests::reaps_when_told_to", "--exact", "--nocapture"]).env(CHILD, "1");
        let output = child.output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
