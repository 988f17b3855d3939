//! Reaps the orphaned processes of scripts.
//!
//! An orphaned process becomes a child of process 1, which in a container is the agent. Unreaped, each would stay in
//! the process table for as long as the agent runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Excludes a child from reaping until the result is dropped, because a task waits for it. To be called before the
    /// first await after its start: the reaper runs on the same thread.
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
    pub(super) fn reap_orphans(&self) {
        let own = Arc::clone(&self.own);
        let is_own = move |child| own.lock().unwrap_or_else(PoisonError::into_inner).contains(&child);
        tokio::spawn(platform::reap_orphans(is_own));
    }
}

/// Limit on the outputs read for processes that outlive their scripts: each uses a file. The output of one more is
/// closed.
pub(super) const BACKGROUND_MAX: usize = 64;
