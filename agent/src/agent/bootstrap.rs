//! The first start of a cluster: which members must be there before this one is ready.

use std::sync::atomic::{AtomicBool, Ordering};

use serf_tokio::{Serf, Status};

use super::Agent;

/// How many members are expected at the first start, and whether they were there once.
#[derive(Debug)]
pub(super) struct Bootstrap {
    expected: usize,
    is_over: AtomicBool,
}

impl Bootstrap {
    /// `is_first` is false for an agent whose snapshot has members: it rejoins a cluster, which may have shrunk.
    pub(super) fn new(expected: u32, is_first: bool) -> Self {
        Self { expected: expected as usize, is_over: AtomicBool::new(expected == 0 || !is_first) }
    }
}

impl Agent {
    /// How many members are alive and how many are expected, until there were enough once. A cluster that shrinks later
    /// stays ready: its members must not be taken out of service for the failure of others.
    pub(super) fn bootstrapping(&self) -> Option<(usize, usize)> {
        let Bootstrap { expected, is_over } = &self.bootstrap;
        if is_over.load(Ordering::Relaxed) {
            return None;
        }
        let alive = alive(&self.serf);
        if alive >= *expected {
            is_over.store(true, Ordering::Relaxed);
            return None;
        }
        Some((alive, *expected))
    }
}

/// Number of members that are alive, this one included.
pub(super) fn alive(serf: &Serf) -> usize {
    serf.members().iter().filter(|member| member.status() == Status::Alive).count()
}
