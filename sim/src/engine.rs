//! Runs shards window by window, on one or several threads, with the same result.
//!
//! A window `[T, T + L)` starts at the first pending payload; its length L is the minimum latency. A packet sent within
//! a window cannot arrive within it, so shards are independent until its end. The bounds of windows depend on the
//! pending payloads only, never on threads.

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serf_proto::Instant;

use crate::barrier::SpinBarrier;
use crate::scheduled::Scheduled;
use crate::shard::Shard;
use crate::shared::Shared;

/// Reason for which a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The goal was reached.
    Reached,
    /// The deadline has passed.
    TimeOver,
    /// The monitor stopped the run.
    Halted,
}

/// Progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The virtual time.
    pub now: Instant,
    /// Completed part of the goal.
    pub done: i64,
}

/// Runs until the goal is reached, the virtual time is `until`, or `on_progress` returns true, which is called
/// periodically. Returns the end of the last window.
pub(crate) fn run(
    shards: &mut [Shard],
    shared: &Shared,
    start: Instant,
    until: Instant,
    goal: Option<i64>,
    on_progress: &mut dyn FnMut(Progress) -> bool,
) -> (Instant, Stop) {
    let meeting = Meeting::new(shards.len());
    let plan = Plan { shared, meeting: &meeting, start, until, goal, window: shared.network.latency_min() };
    let Some((first, others)) = shards.split_first_mut() else { return (until, Stop::TimeOver) };
    std::thread::scope(|scope| {
        for shard in others {
            let plan = &plan;
            scope.spawn(move || work(shard, plan, &mut |_| false));
        }
        work(first, &plan, on_progress)
    })
}

struct Plan<'a> {
    shared: &'a Shared,
    meeting: &'a Meeting,
    start: Instant,
    until: Instant,
    goal: Option<i64>,
    window: Duration,
}

/// Main loop of one thread. All threads read the same numbers after each barrier, so all make the same decision.
fn work(shard: &mut Shard, plan: &Plan<'_>, on_progress: &mut dyn FnMut(Progress) -> bool) -> (Instant, Stop) {
    let _guard = plan.meeting.barrier.guard();
    let mut now = plan.start;
    let mut is_halted = false;
    let mut round = 0;
    loop {
        let seen = plan.meeting.meet(round, shard, is_halted);
        if plan.goal.is_some_and(|goal| seen.done >= goal) {
            return (now, Stop::Reached);
        }
        if seen.is_halted {
            return (now, Stop::Halted);
        }
        let from = seen.least.max(now);
        if from >= plan.until {
            return (plan.until, Stop::TimeOver);
        }
        now = (from + plan.window).min(plan.until);
        shard.run_window(plan.shared, now);
        round += 1;
        if round % PROGRESS_WINDOWS == 0 {
            is_halted = on_progress(Progress { now, done: seen.done });
        }
    }
}

/// Exchange of mail and counters between threads. Double-buffered, so that one barrier per round suffices: a thread
/// that is already in the next round writes to the other half.
#[derive(Debug)]
struct Meeting {
    barrier: SpinBarrier,
    halves: [Half; 2],
}

#[derive(Debug)]
struct Half {
    slots: Vec<Slot>,
    /// Mailbox per pair of shards, in rows by sender.
    mailboxes: Vec<Mutex<Vec<Scheduled>>>,
}

/// Published counters of one shard. On its own cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    least: AtomicU64,
    done: AtomicI64,
    is_halted: AtomicBool,
}

/// Combined counters of all shards.
struct Seen {
    least: Instant,
    done: i64,
    is_halted: bool,
}

impl Meeting {
    fn new(shards: usize) -> Self {
        let half = || Half {
            slots: (0..shards).map(|_| Slot::default()).collect(),
            mailboxes: (0..shards * shards).map(|_| Mutex::default()).collect(),
        };
        let parties = u32::try_from(shards).expect("there are few threads");
        Self { barrier: SpinBarrier::new(parties), halves: [half(), half()] }
    }

    /// Publishes the shard's mail and counters, waits at the barrier, and takes those of the others.
    fn meet(&self, round: u32, shard: &mut Shard, is_halted: bool) -> Seen {
        let half = &self.halves[(round % 2) as usize];
        let (me, shards) = (shard.index as usize, half.slots.len());
        let slot = &half.slots[me];
        slot.least.store(shard.queues.least().as_nanos(), Ordering::Relaxed);
        slot.done.store(shard.tally.done, Ordering::Relaxed);
        slot.is_halted.store(is_halted, Ordering::Relaxed);
        for to in (0..shards).filter(|to| *to != me) {
            shard.queues.hand_over(to, &mut locked(&half.mailboxes[me * shards + to]));
        }
        shard.queues.all_handed_over();
        self.barrier.wait();
        for from in (0..shards).filter(|from| *from != me) {
            for scheduled in locked(&half.mailboxes[from * shards + me]).drain(..) {
                shard.queues.queue.push(scheduled);
            }
        }
        let mut seen = Seen { least: Instant::MAX, done: 0, is_halted: false };
        for slot in &half.slots {
            seen.least = seen.least.min(Instant::from_nanos(slot.least.load(Ordering::Relaxed)));
            seen.done += slot.done.load(Ordering::Relaxed);
            seen.is_halted |= slot.is_halted.load(Ordering::Relaxed);
        }
        seen
    }
}

/// Never contended: the barrier separates writers and readers.
fn locked(mailbox: &Mutex<Vec<Scheduled>>) -> std::sync::MutexGuard<'_, Vec<Scheduled>> {
    mailbox.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Windows between two progress reports: some milliseconds of work.
const PROGRESS_WINDOWS: u32 = 64;
