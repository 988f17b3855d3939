//! Runs the tasks of the nodes, in the order in which they were woken.

use core::task::{Context, Poll};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use serf_tokio::sim::BoxFuture;

use crate::lock;

/// The tasks of all nodes. Single-threaded: the locks are never contended.
#[derive(Default)]
pub(crate) struct Executor {
    tasks: Mutex<Tasks>,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct Tasks {
    spawned: u64,
    by_id: BTreeMap<u64, Slot>,
}

struct Slot {
    host: usize,
    /// `None` while the task runs.
    future: Option<BoxFuture<()>>,
    waker: Waker,
}

/// Identifiers of the tasks that were woken.
#[derive(Default)]
struct Ready(Mutex<VecDeque<u64>>);

struct TaskWaker {
    id: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = lock(&self.ready.0);
        // Few tasks are ready at a time.
        if !ready.contains(&self.id) {
            ready.push_back(self.id);
        }
    }
}

impl Executor {
    pub(crate) fn spawn(&self, host: usize, future: BoxFuture<()>) -> u64 {
        let mut tasks = lock(&self.tasks);
        let id = tasks.spawned;
        tasks.spawned += 1;
        let waker = Waker::from(Arc::new(TaskWaker { id, ready: Arc::clone(&self.ready) }));
        tasks.by_id.insert(id, Slot { host, future: Some(future), waker: waker.clone() });
        drop(tasks);
        waker.wake();
        id
    }

    /// Drops a task at once, or as soon as it is not running.
    pub(crate) fn cancel(&self, id: u64) {
        let slot = lock(&self.tasks).by_id.remove(&id);
        drop(slot);
    }

    /// Drops all tasks of a host.
    pub(crate) fn kill(&self, host: usize) {
        let mut tasks = lock(&self.tasks);
        let ids: Vec<u64> = tasks.by_id.iter().filter(|(_, slot)| slot.host == host).map(|(id, _)| *id).collect();
        let killed: Vec<Option<Slot>> = ids.into_iter().map(|id| tasks.by_id.remove(&id)).collect();
        drop(tasks);
        // Without the lock: a destructor may spawn or cancel a task.
        drop(killed);
    }

    /// Runs the next ready task of a host that is not `stalled`; stalled tasks stay ready. Returns the host, and whether
    /// the task has ended.
    pub(crate) fn run_next(&self, stalled: impl Fn(usize) -> bool) -> Option<(usize, bool)> {
        let (id, host, mut future, waker) = self.take_next(stalled)?;
        let is_over = matches!(future.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(()));
        if is_over {
            self.cancel(id);
        } else if let Some(slot) = lock(&self.tasks).by_id.get_mut(&id) {
            slot.future = Some(future);
            return Some((host, false));
        }
        drop(future);
        Some((host, is_over))
    }

    fn take_next(&self, stalled: impl Fn(usize) -> bool) -> Option<(u64, usize, BoxFuture<()>, Waker)> {
        let mut tasks = lock(&self.tasks);
        let mut ready = lock(&self.ready.0);
        let mut at = 0;
        while at < ready.len() {
            let id = ready[at];
            match tasks.by_id.get_mut(&id) {
                Some(slot) if stalled(slot.host) => at += 1,
                found => {
                    ready.remove(at);
                    if let Some(slot) = found
                        && let Some(future) = slot.future.take()
                    {
                        return Some((id, slot.host, future, slot.waker.clone()));
                    }
                }
            }
        }
        None
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").finish_non_exhaustive()
    }
}
