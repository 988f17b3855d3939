//! The tokio runtime of one host, with a paused clock that the driver moves.

use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use serf_proto::Instant;
use tokio::runtime::Runtime;

use crate::host::{HostEnv, set_local_clock};
use crate::lock;

/// A runtime, whose tasks are those of one application.
///
/// tokio has no API for the time of its next timer. So a runtime with tasks is run at ticks, whose distance doubles while
/// nothing happens, from one millisecond to the `quantum`. A timer fires at its own time of the runtime's clock; the other
/// hosts see what it caused up to a tick later.
pub(crate) struct HostRuntime {
    /// The host; `None` for the test itself.
    pub(crate) env: Option<Arc<HostEnv>>,
    pub(crate) runtime: Runtime,
    parked: Arc<Parked>,
    /// The clock of the runtime when it was made, and what the clock of the host showed then.
    origin: tokio::time::Instant,
    base: Instant,
    /// How far that clock has come. tokio's timers have a resolution of a millisecond.
    position_ms: u64,
    pause: Duration,
    next_tick: Instant,
    has_tasks: bool,
}

/// Reports when the runtime has no task left to run, before its clock would advance.
#[derive(Default)]
struct Parked {
    is_armed: AtomicBool,
    is_parked: AtomicBool,
    times: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Parked {
    fn note(&self) {
        self.times.fetch_add(1, Ordering::Relaxed);
        if self.is_armed.load(Ordering::Relaxed) {
            self.is_parked.store(true, Ordering::Relaxed);
            let waker = lock(&self.waker).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn arm(&self) {
        self.is_armed.store(true, Ordering::Relaxed);
        self.is_parked.store(false, Ordering::Relaxed);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_parked.swap(false, Ordering::Relaxed) {
            self.is_armed.store(false, Ordering::Relaxed);
            return Poll::Ready(());
        }
        *lock(&self.waker) = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// How the clock of a runtime gets to the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    /// From timer to timer: each fires at its own time.
    Step,
    /// At once: overdue timers fire late. For a runtime with tasks that an input has woken, and after a stall.
    Jump,
    /// At once, in case that the test has woken a task.
    Nudge,
}

impl HostRuntime {
    /// `shown` is what the clock of the host shows at the virtual time `now`.
    pub(crate) fn new(env: Option<Arc<HostEnv>>, now: Instant, shown: Instant) -> Self {
        let parked = Arc::new(Parked::default());
        let noted = Arc::clone(&parked);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).on_thread_park(move || noted.note());
        let runtime = builder.build().expect("a runtime without IO needs nothing of the system");
        let origin = runtime.block_on(async { tokio::time::Instant::now() });
        Self {
            env,
            runtime,
            parked,
            origin,
            base: shown,
            position_ms: 0,
            pause: TICK_MIN,
            next_tick: now,
            has_tasks: true,
        }
    }

    /// When the runtime is to be run next, though nothing woke it. `None`: never, since it has no task and so no timer.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.has_tasks.then_some(self.next_tick)
    }

    /// Like [`next_tick`](Self::next_tick), for the runtime of the test, which may wait for a timer itself.
    pub(crate) const fn next_tick_of_test(&self) -> Instant {
        self.next_tick
    }

    /// Brings the clock to `shown`, at the virtual time `now`, and runs all tasks that are ready. `main` is polled beside
    /// them.
    pub(crate) fn run(
        &mut self,
        now: Instant,
        shown: Instant,
        catch_up: CatchUp,
        quantum: Duration,
        mut main: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) {
        let _inside = self.env.as_ref().map(HostEnv::enter);
        let target_ms = u64::try_from((shown - self.base).as_millis()).unwrap_or(u64::MAX);
        let behind = Duration::from_millis(target_ms.saturating_sub(self.position_ms));
        let deadline = self.origin + Duration::from_millis(target_ms);
        let before = self.parked.times.load(Ordering::Relaxed);
        let (parked, clock) = (&self.parked, (self.origin, self.base));
        let is_over = self.runtime.block_on(async {
            if behind.is_zero() {
            } else if catch_up != CatchUp::Step {
                tokio::time::advance(behind).await;
            } else {
                set_local_clock(Some(clock));
                let mut arrived = pin!(tokio::time::sleep_until(deadline));
                let over = poll_fn(|cx| match main(cx) {
                    Poll::Ready(()) => Poll::Ready(true),
                    Poll::Pending => arrived.as_mut().poll(cx).map(|()| false),
                });
                let is_over = over.await;
                set_local_clock(None);
                if is_over {
                    return true;
                }
            }
            parked.arm();
            poll_fn(|cx| match main(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => parked.poll(cx).map(|()| false),
            })
            .await
        });
        set_local_clock(None);
        if is_over {
            return;
        }
        self.position_ms = self.position_ms.max(target_ms);
        // One park to get to the present, one to report that nothing is ready: more means that a timer has fired.
        let parks = self.parked.times.load(Ordering::Relaxed) - before;
        self.pause = match catch_up {
            CatchUp::Step if parks <= 2 => (self.pause * 2).min(quantum),
            CatchUp::Nudge => self.pause,
            CatchUp::Step | CatchUp::Jump => TICK_MIN,
        };
        self.next_tick = now + self.pause;
        self.has_tasks = self.runtime.metrics().num_alive_tasks() > 0;
    }
}

/// The least distance of two ticks.
const TICK_MIN: Duration = Duration::from_millis(1);
