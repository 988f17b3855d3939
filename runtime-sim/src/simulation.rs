//! The driver of a simulation: moves the time from input to input and runs what each wakes.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use serf_proto::Instant;

use crate::faults::{Faults, Step};
use crate::host::HostEnv;
use crate::lock;
use crate::network::Network;
use crate::runtime::{CatchUp, HostRuntime};
use crate::timeline::Timeline;
use crate::world::{Order, World};

/// What came of a run that did not panic, and of one that did as far as it came.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) faults: Vec<Step>,
    pub(crate) trace: u64,
    pub(crate) virtual_time: Duration,
    pub(crate) timeline: Timeline,
}

/// Owner of the runtimes of all hosts.
struct Simulation {
    world: Arc<World>,
    runtimes: Vec<Option<HostRuntime>>,
    test: HostRuntime,
    quantum: Duration,
    limit: Duration,
}

/// The future of the test.
struct Body<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    woken: Arc<BodyWaker>,
    waker: Waker,
    is_over: bool,
}

/// Notes that the test was woken, and wakes the runtime that polls it.
struct BodyWaker {
    is_woken: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for BodyWaker {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Relaxed);
        let outer = lock(&self.outer).take();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

impl Body<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        *lock(&self.woken.outer) = Some(cx.waker().clone());
        while self.woken.is_woken.swap(false, Ordering::Relaxed) {
            if self.future.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
                self.is_over = true;
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// Runs a test once. `leave_out` are the faults without effect. `done` gets what came of it, also if the test panics.
pub(crate) fn run<F: AsyncFn(Network)>(seed: u64, leave_out: BTreeSet<usize>, test: &F, done: &mut impl FnMut(Ran)) {
    let world = Arc::new(World::new(seed, Faults::without(leave_out)));
    // Drops the hosts also when the test panics.
    let _closing = Closing { world: Arc::clone(&world), done };
    let network = Network::new(&world);
    let settings = network.settings();
    let test_runtime = HostRuntime::new(None, Instant::ZERO, Instant::ZERO);
    let woken = Arc::new(BodyWaker { is_woken: AtomicBool::new(true), outer: Mutex::default() });
    let waker = Waker::from(Arc::clone(&woken));
    let mut body = Body { future: Box::pin(test(network)), woken, waker, is_over: false };
    let (quantum, limit) = settings.read();
    let mut simulation = Simulation { world, runtimes: Vec::new(), test: test_runtime, quantum, limit };
    while !body.is_over {
        (simulation.quantum, simulation.limit) = settings.read();
        simulation.run_ready(&mut body);
        if !body.is_over {
            simulation.advance(&mut body);
        }
    }
    drop(body);
    for host in 0..simulation.runtimes.len() {
        simulation.kill(host);
    }
}

/// Ends a run.
struct Closing<'a, D: FnMut(Ran)> {
    world: Arc<World>,
    done: &'a mut D,
}

impl<D: FnMut(Ran)> Drop for Closing<'_, D> {
    fn drop(&mut self) {
        let ran = self.world.with(|state| Ran {
            faults: state.faults.injected(),
            trace: state.trace.value(),
            virtual_time: state.now - Instant::ZERO,
            timeline: Timeline(core::mem::take(&mut state.timeline)),
        });
        self.world.close();
        (self.done)(ran);
    }
}

impl Simulation {
    /// Handles everything that is due now.
    fn run_ready(&mut self, body: &mut Body<'_>) {
        let mut has_progressed = true;
        while has_progressed && !body.is_over {
            has_progressed = self.obey();
            while self.run_tasks() || self.world.with(|state| state.step()) {
                has_progressed = true;
            }
            let dirty = self.world.with(|state| core::mem::take(&mut state.dirty));
            for host in dirty {
                has_progressed |= self.run_host(host, CatchUp::Jump);
            }
            if body.woken.is_woken.load(Ordering::Relaxed) {
                has_progressed = true;
                self.run_test(body, CatchUp::Jump);
                for host in 0..self.runtimes.len() {
                    self.run_host(host, CatchUp::Nudge);
                }
            }
        }
    }

    /// Runs the tasks of the nodes that are ready.
    fn run_tasks(&self) -> bool {
        let mut has_run = false;
        while let Some((host, is_over)) = self.world.executor.run_next(|host| self.is_paused(host)) {
            has_run = true;
            if is_over {
                self.world.with(|state| state.dirty.insert(host));
            }
        }
        has_run
    }

    fn is_paused(&self, host: usize) -> bool {
        self.world.with(|state| state.is_paused(host))
    }

    /// Moves the time to the next input or tick.
    fn advance(&mut self, body: &mut Body<'_>) {
        let runtimes = &self.runtimes;
        let (input, tick) = self.world.with(|state| {
            let ticks = runtimes.iter().enumerate().filter(|(host, _)| state.runs(*host));
            let tick = ticks.filter_map(|(_, runtime)| runtime.as_ref()?.next_tick()).min();
            (state.next_at(), tick)
        });
        let test = (!crate::network::is_waiting(&self.world) || self.test.next_tick().is_some())
            .then(|| self.test.next_tick_of_test());
        let tick = tick.into_iter().chain(test).min();
        let Some(next) = input.into_iter().chain(tick).min() else {
            panic!("the test waits for something that will never happen: no host has anything to do");
        };
        let limit = self.limit;
        assert!(next - Instant::ZERO <= limit, "the test has not ended after {limit:?} of virtual time");
        let now = self.world.with(|state| {
            state.now = state.now.max(next);
            state.now
        });
        if tick.is_some_and(|tick| tick <= now) {
            for host in 0..self.runtimes.len() {
                let tick = self.runtimes[host].as_ref().and_then(HostRuntime::next_tick);
                if tick.is_some_and(|tick| tick <= now) {
                    self.run_host(host, CatchUp::Step);
                }
            }
        }
        if test.is_some_and(|at| at <= now) {
            self.run_test(body, CatchUp::Step);
        }
    }

    fn run_host(&mut self, host: usize, catch_up: CatchUp) -> bool {
        // A host that the test has just taken down does not run, although its runtime still exists.
        if !self.world.with(|state| state.runs(host)) {
            return false;
        }
        let (now, shown) = self.times(host);
        let quantum = self.quantum;
        let Some(Some(runtime)) = self.runtimes.get_mut(host) else { return false };
        runtime.run(now, shown, catch_up, quantum, |_| Poll::Pending);
        true
    }

    /// Returns the virtual time, and what the clock of a host shows.
    fn times(&self, host: usize) -> (Instant, Instant) {
        self.world.with(|state| (state.now, state.hosts[host].clock.read(state.now)))
    }

    fn run_test(&mut self, body: &mut Body<'_>, catch_up: CatchUp) {
        let now = self.world.now();
        self.test.run(now, now, catch_up, self.quantum, |cx| body.poll(cx));
    }

    /// Carries out the orders of the test.
    fn obey(&mut self) -> bool {
        let orders = self.world.with(|state| core::mem::take(&mut state.orders));
        let has_some = !orders.is_empty();
        for order in orders {
            match order {
                Order::Kill(host) => self.kill(host),
                Order::Boot(host, boot) => {
                    let life = self.world.with(|state| state.hosts[host].life);
                    let env = HostEnv::new(&self.world, host, life);
                    let (now, shown) = self.times(host);
                    let runtime = HostRuntime::new(Some(Arc::clone(&env)), now, shown);
                    {
                        let _inside = env.enter();
                        boot(&runtime.runtime);
                    }
                    while self.runtimes.len() <= host {
                        self.runtimes.push(None);
                    }
                    self.runtimes[host] = Some(runtime);
                    self.world.with(|state| state.dirty.insert(host));
                }
            }
        }
        has_some
    }

    /// Ends the processes of a host: drops all its tasks and the handle of its application.
    fn kill(&mut self, host: usize) {
        if let Some(runtime) = self.runtimes.get_mut(host).and_then(Option::take) {
            let _inside = runtime.env.as_ref().map(HostEnv::enter);
            runtime.runtime.shutdown_background();
        }
        self.world.executor.kill(host);
        let (forget, nodes) = self.world.with(|state| {
            let host = &mut state.hosts[host];
            (host.forget.clone(), core::mem::take(&mut host.nodes))
        });
        if let Some(forget) = forget {
            forget();
        }
        drop(nodes);
    }
}
