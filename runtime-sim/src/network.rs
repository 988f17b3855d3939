//! The handle of a test to its simulation.

use core::net::{IpAddr, SocketAddr};
use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serf_proto::Instant;
use serf_tokio::{NodeState, Options, Serf, Status};

use crate::links::{Effect, Rule};
use crate::lock;
use crate::timeline::Timeline;
use crate::world::{Boot, Order, Sleep, State, World};

/// The virtual network of a test: its hosts, its faults, its clock. Cloning it is cheap; all clones are the same network.
///
/// A fault takes effect at once. Each has a number, so that a failing run can be repeated without some of them; see
/// [`check`](crate::check()).
#[derive(Clone)]
pub struct Network {
    world: Arc<World>,
    settings: Arc<Settings>,
}

/// Settings of the driver, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Settings {
    quantum: AtomicU64,
    limit: AtomicU64,
}

impl Settings {
    /// Returns the quantum and the limit.
    pub(crate) fn read(&self) -> (Duration, Duration) {
        let [quantum, limit] = [&self.quantum, &self.limit].map(|it| Duration::from_nanos(it.load(Ordering::Relaxed)));
        (quantum, limit)
    }
}

/// A virtual host, as its application sees it at its start.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    ip: IpAddr,
    seeds: Vec<String>,
}

impl Host {
    /// Returns the name of the host. Other hosts resolve it to [its address](Self::ip).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address of the host.
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Returns an address of the host.
    pub const fn addr(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// Returns options for a node on this host: the LAN profile, the host's name and address, and the first three hosts
    /// as seeds. Change them as you like; files are on the host's virtual disk.
    pub fn options(&self) -> Options {
        Options::lan(self.name.clone()).with(|options| {
            options.bind = self.addr(serf_tokio::DEFAULT_PORT);
            options.join.clone_from(&self.seeds);
        })
    }
}

/// The applications of some hosts. A host that is down has none; a restarted one has a new one.
pub struct Apps<A>(Arc<Mutex<BTreeMap<String, Arc<A>>>>);

impl<A> Clone for Apps<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for Apps<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.0).keys()).finish()
    }
}

impl<A> Apps<A> {
    /// Returns the application of a host.
    ///
    /// # Panics
    ///
    /// Panics if the host is down or unknown.
    #[track_caller]
    pub fn of(&self, host: &str) -> Arc<A> {
        self.find(host).unwrap_or_else(|| panic!("no application runs on {host}"))
    }

    /// Returns the application of a host, if it runs.
    pub fn find(&self, host: &str) -> Option<Arc<A>> {
        lock(&self.0).get(host).cloned()
    }

    /// Returns the running applications in the order of their hosts' names.
    pub fn running(&self) -> Vec<Arc<A>> {
        lock(&self.0).values().cloned().collect()
    }

    /// Whether `view` of all running applications is the same.
    pub fn agree<V: PartialEq>(&self, view: impl Fn(&A) -> V) -> bool {
        let views: Vec<V> = self.running().iter().map(|app| view(app)).collect();
        views.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Whether `holds` is true of all running applications.
    pub fn all(&self, holds: impl Fn(&A) -> bool) -> bool {
        self.running().iter().all(|app| holds(app))
    }
}

impl Network {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let settings = Settings { quantum: AtomicU64::new(QUANTUM_NANOS), limit: AtomicU64::new(LIMIT_NANOS) };
        Self { world: Arc::clone(world), settings: Arc::new(settings) }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }
}

/// Links.
impl Network {
    /// Sets the one-way latency of all links; each packet draws its own. Default 0.5 to 2 ms.
    ///
    /// # Panics
    ///
    /// Panics if the range has no upper bound or is reversed.
    #[track_caller]
    pub fn latency(&self, range: impl RangeBounds<Duration>) -> &Self {
        let min = match range.start_bound() {
            Bound::Included(min) | Bound::Excluded(min) => *min,
            Bound::Unbounded => Duration::ZERO,
        };
        let (Bound::Included(max) | Bound::Excluded(max)) = range.end_bound() else {
            panic!("a latency needs an upper bound");
        };
        assert!(min <= *max, "the least latency {min:?} is above the greatest {max:?}");
        self.world.with(|state| state.links.latency = [min, *max]);
        self
    }

    /// Sets the probability that a datagram is lost on any link. A lost segment of a stream comes later. Default 0.
    pub fn loss(&self, probability: f64) -> &Self {
        self.world.with(|state| state.links.loss_ppm = ppm(probability));
        self
    }

    /// Sets the probability that a datagram arrives twice. Default 0.
    pub fn duplicate(&self, probability: f64) -> &Self {
        self.world.with(|state| state.links.duplicate_ppm = ppm(probability));
        self
    }

    /// Sets the probability that a segment of a stream, of up to 16 KiB, resets the stream on both sides. Default 0.
    pub fn stream_resets(&self, probability: f64) -> &Self {
        self.world.with(|state| state.links.reset_ppm = ppm(probability));
        self
    }

    /// Sets the longest distance of the ticks at which timers of the application are looked for. Default 100 ms. A timer
    /// fires at its own time of its host's clock; what it sends is on the network up to a tick later. Smaller is more
    /// exact and slower.
    pub fn quantum(&self, quantum: Duration) -> &Self {
        self.settings.quantum.store(nanos(quantum).max(1_000_000), Ordering::Relaxed);
        self
    }

    /// Sets the longest virtual time of the test, after which it fails: one that waits for something that does not happen
    /// would run for ever. Default 6 hours.
    pub fn limit(&self, limit: Duration) -> &Self {
        self.settings.limit.store(nanos(limit), Ordering::Relaxed);
        self
    }

    /// Cuts all links between two sets of hosts, in both directions, until the result is dropped or
    /// [healed](Fault::heal). Streams between them stall.
    pub fn partition<S: AsRef<str>, T: AsRef<str>>(
        &self,
        some: impl IntoIterator<Item = S>,
        others: impl IntoIterator<Item = T>,
    ) -> Fault {
        let some: Vec<String> = some.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let others: Vec<String> = others.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let text = format!("partition {} | {}", some.join(" "), others.join(" "));
        self.rules(text, Effect::Cut, &some, &others, false)
    }

    /// Cuts all links of some hosts to all others; as [`partition`](Self::partition).
    pub fn isolate<S: AsRef<str>>(&self, some: impl IntoIterator<Item = S>) -> Fault {
        let some: Vec<String> = some.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let names = self.host_names();
        let others: Vec<String> = names.into_iter().filter(|name| !some.contains(name)).collect();
        self.partition(some, others)
    }

    /// Selects the link between two hosts, to make it worse. Both directions, unless [`one_way`](Link::one_way).
    pub fn link(&self, from: &str, to: &str) -> Link {
        Link { network: self.clone(), from: from.to_owned(), to: to.to_owned(), is_one_way: false }
    }

    /// Ends all partitions and all changes of single links.
    pub fn heal(&self) {
        self.world.with(|state| {
            state.links.clear();
            state.log(None, "all links are healed".to_owned());
        });
    }

    pub(crate) fn cut_one_way(&self, from: &str, to: &str) -> Fault {
        let text = format!("link {from} -> {to}: cut");
        self.rules(text, Effect::Cut, &[from.to_owned()], &[to.to_owned()], true)
    }

    pub(crate) fn lose_between(&self, from: &str, to: &str, probability: f64) -> Fault {
        let (text, effect) =
            (format!("link {from} <-> {to}: loss of {probability}"), Effect::Loss { ppm: ppm(probability) });
        self.rules(text, effect, &[from.to_owned()], &[to.to_owned()], false)
    }

    fn rules(&self, text: String, effect: Effect, some: &[String], others: &[String], is_one_way: bool) -> Fault {
        let [from, to] = [some, others].map(|names| names.iter().map(|name| self.index(name)).collect());
        let (from, to): (BTreeSet<usize>, BTreeSet<usize>) = (from, to);
        let rules = self.world.with(|state| {
            if !admit(state, text.clone()) {
                return Vec::new();
            }
            let mut rules = vec![state.links.add(Rule { from: from.clone(), to: to.clone(), effect })];
            if !is_one_way {
                rules.push(state.links.add(Rule { from: to, to: from, effect }));
            }
            rules
        });
        Fault { network: self.clone(), rules, text }
    }
}

/// A fault of links, which ends when this is dropped.
#[must_use = "the fault ends when this is dropped; `forget` keeps it until the end of the test"]
#[derive(Debug)]
pub struct Fault {
    network: Network,
    rules: Vec<u64>,
    text: String,
}

impl Fault {
    /// Ends the fault. The same as dropping it.
    pub fn heal(self) {}

    /// Keeps the fault until [`Network::heal`] or the end of the test.
    pub fn forget(mut self) {
        self.rules.clear();
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        if self.rules.is_empty() {
            return;
        }
        self.network.world.with(|state| {
            self.rules.iter().for_each(|rule| state.links.remove(*rule));
            state.log(None, format!("end of: {}", self.text));
        });
    }
}

/// A link between two hosts, from [`Network::link`]. Its faults last until [`Network::heal`] or the end of the test.
#[derive(Clone, Debug)]
#[must_use = "a link is unchanged until a fault of it is chosen"]
pub struct Link {
    network: Network,
    from: String,
    to: String,
    is_one_way: bool,
}

impl Link {
    /// Only packets of the first host to the second.
    pub fn one_way(self) -> Self {
        Self { is_one_way: true, ..self }
    }

    /// Loses datagrams with this probability, besides those that all links lose.
    pub fn loss(&self, probability: f64) -> &Self {
        self.fault(format!("loss of {probability}"), Effect::Loss { ppm: ppm(probability) })
    }

    /// Delays packets, in addition to the latency.
    pub fn delay(&self, delay: Duration) -> &Self {
        self.fault(format!("delay of {delay:?}"), Effect::Delay(delay))
    }

    /// Loses all packets.
    pub fn cut(&self) -> &Self {
        self.fault("cut".to_owned(), Effect::Cut)
    }

    fn fault(&self, what: String, effect: Effect) -> &Self {
        let arrow = if self.is_one_way { "->" } else { "<->" };
        let text = format!("link {} {arrow} {}: {what}", self.from, self.to);
        let [from, to] = [&self.from, &self.to].map(|name| [name.clone()]);
        self.network.rules(text, effect, &from, &to, self.is_one_way).forget();
        self
    }
}

/// Hosts.
impl Network {
    /// Starts `count` hosts of the names `n0`, `n1` and so on, all at once, and runs `start` on each. Returns when all
    /// applications have started.
    ///
    /// `start` runs on a tokio runtime of the host, as do all tasks that it spawns. They end when the host crashes; a
    /// restart calls `start` again. Its future is all that an application does to start: nodes that it starts are on this
    /// network, files are on the host's disk, tokio's time is virtual.
    ///
    /// # Panics
    ///
    /// Panics if `start` does.
    pub async fn hosts<A, F, S>(&self, count: usize, start: S) -> Apps<A>
    where
        A: Send + Sync + 'static,
        F: Future<Output = A> + Send + 'static,
        S: Fn(Host) -> F + Send + Sync + 'static,
    {
        let first = self.host_names().len();
        let names: Vec<String> = (first..first + count).map(|n| format!("n{n}")).collect();
        self.named_hosts(&names, start).await
    }

    /// As [`hosts`](Self::hosts), with names of your choice.
    ///
    /// # Panics
    ///
    /// Panics if `start` does, or a name is taken.
    pub async fn named_hosts<A, F, S>(&self, names: &[impl AsRef<str>], start: S) -> Apps<A>
    where
        A: Send + Sync + 'static,
        F: Future<Output = A> + Send + 'static,
        S: Fn(Host) -> F + Send + Sync + 'static,
    {
        let apps = Apps(Arc::default());
        let start = Arc::new(start);
        let indices: Vec<usize> = names.iter().map(|name| self.add_host(name.as_ref())).collect();
        let seeds: Vec<String> = self.host_names().into_iter().take(SEEDS).collect();
        let mut started = Vec::new();
        for index in indices {
            let (name, ip) = self.world.with(|state| (state.hosts[index].name.clone(), state.hosts[index].ip));
            let host = Host { name: name.clone(), ip, seeds: seeds.clone() };
            let (running, at) = (apps.clone(), name);
            let forget = move || drop(lock(&running.0).remove(&at));
            let (running, start) = (apps.clone(), Arc::clone(&start));
            let boot = move || boot(host.clone(), Arc::clone(&start), running.clone());
            self.world.with(|state| {
                state.hosts[index].forget = Some(Arc::new(forget));
                state.hosts[index].boot = Some(Arc::new(boot));
            });
            started.push(self.boot(index));
        }
        for started in started {
            started.await;
        }
        apps
    }

    /// Ends all processes of a host, as `kill -9` does: its tasks are dropped, its streams are reset, its disk keeps what
    /// was written.
    ///
    /// # Panics
    ///
    /// Panics if the host is unknown.
    #[track_caller]
    pub fn crash(&self, host: &str) {
        self.take_down(host, "crash", false);
    }

    /// Turns off the power of a host: as [`crash`](Self::crash), but its streams end without a sign, and a random part of
    /// what was written and not synced is lost from its disk.
    ///
    /// # Panics
    ///
    /// Panics if the host is unknown.
    #[track_caller]
    pub fn power_off(&self, host: &str) {
        self.take_down(host, "power off", true);
    }

    #[track_caller]
    fn take_down(&self, host: &str, what: &str, is_power_failure: bool) {
        let index = self.index(host);
        self.world.with(|state| {
            if admit(state, format!("{what} {host}")) {
                state.take_down(index, is_power_failure);
            }
        });
    }

    /// Starts the application of a host that is down again, with the host's disk. Returns when it has started; at once if
    /// the host is up.
    ///
    /// # Panics
    ///
    /// Panics if the application panics, or the host is unknown.
    pub async fn restart(&self, host: &str) {
        let index = self.index(host);
        if self.world.with(|state| state.hosts[index].is_up) {
            return;
        }
        self.note(&format!("restart {host}"));
        self.boot(index).await;
    }

    /// Whether a host is up. A stalled host is.
    ///
    /// # Panics
    ///
    /// Panics if the host is unknown.
    #[track_caller]
    pub fn is_up(&self, host: &str) -> bool {
        let index = self.index(host);
        self.world.with(|state| state.hosts[index].is_up)
    }

    /// Stalls a host for a time, as SIGSTOP or a long pause of a virtual machine does: none of its tasks runs and no timer
    /// fires; what arrives waits. Afterwards its clocks show the present.
    ///
    /// # Panics
    ///
    /// Panics if the host is unknown.
    #[track_caller]
    pub fn pause(&self, host: &str, time: Duration) {
        let index = self.index(host);
        self.world.with(|state| {
            if state.hosts[index].is_up && admit(state, format!("pause {host} for {time:?}")) {
                let until = state.now + time;
                state.hosts[index].paused_until = Some(until);
                state.push(until, crate::world::Payload::Resume(index));
            }
        });
    }

    /// Stops the clock of a host for a time, while its tasks go on handling what arrives: no timer fires, of its nodes and
    /// of `tokio::time`. Afterwards the clock goes on from where it stood, and stays behind those of others. It belongs to
    /// the host and not to its processes: a restart does not end the fault.
    ///
    /// # Panics
    ///
    /// Panics if the host is unknown.
    #[track_caller]
    pub fn stop_clock(&self, host: &str, time: Duration) {
        let index = self.index(host);
        self.world.with(|state| {
            if admit(state, format!("stop the clock of {host} for {time:?}")) {
                state.stop_clock(index, state.now + time);
            }
        });
    }

    /// Returns the disk of a host.
    ///
    /// # Panics
    ///
    /// Panics if the host is unknown.
    #[track_caller]
    pub fn disk(&self, host: &str) -> HostFiles {
        HostFiles { network: self.clone(), name: host.to_owned(), index: self.index(host) }
    }

    fn add_host(&self, name: &str) -> usize {
        assert!(self.world.with(|state| state.find_host(name)).is_none(), "there is a host {name} already");
        self.world.add_host(name)
    }

    #[track_caller]
    fn index(&self, host: &str) -> usize {
        let index = self.world.with(|state| state.find_host(host));
        index.unwrap_or_else(|| panic!("there is no host {host}"))
    }

    /// Returns the names of all hosts, up or down.
    pub fn host_names(&self) -> Vec<String> {
        self.world.with(|state| state.hosts.iter().map(|host| host.name.clone()).collect())
    }

    fn boot(&self, index: usize) -> impl Future<Output = ()> + use<> {
        let boot = self.world.with(|state| {
            let host = &mut state.hosts[index];
            (host.is_up, host.life) = (true, host.life + 1);
            host.boot.clone()
        });
        let (order, started) = boot.map(|boot| boot()).expect("a host is started with an application");
        self.world.with(|state| state.orders.push(Order::Boot(index, order)));
        let waiting = Waiting::new(&self.world);
        async move {
            let _waiting = waiting;
            started.await.expect("the application of a host panicked, or its host crashed, while it started");
        }
    }
}

type Started = tokio::sync::oneshot::Receiver<()>;

/// Returns the order that runs the application, and the receiver of its start.
fn boot<A, F, S>(host: Host, start: Arc<S>, apps: Apps<A>) -> (Boot, Started)
where
    A: Send + Sync + 'static,
    F: Future<Output = A> + Send + 'static,
    S: Fn(Host) -> F + Send + Sync + 'static,
{
    let (done, started) = tokio::sync::oneshot::channel();
    let order = move |runtime: &tokio::runtime::Runtime| {
        drop(runtime.spawn(async move {
            let name = host.name.clone();
            let app = start(host).await;
            lock(&apps.0).insert(name, Arc::new(app));
            // The test may have stopped waiting.
            _ = done.send(());
        }));
    };
    (Box::new(order), started)
}

/// The disk of a host, from [`Network::disk`]. It outlives the host's processes.
#[derive(Clone, Debug)]
pub struct HostFiles {
    network: Network,
    name: String,
    index: usize,
}

impl HostFiles {
    /// Returns the content of a file, synced or not; `None` if there is none.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.files().read(path.as_ref())
    }

    /// Writes a file.
    pub fn write(&self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        self.files().write(path.into(), bytes.into());
    }

    /// Removes all files: the host's next life begins with a new disk.
    pub fn wipe(&self) {
        self.fault("is new", crate::disk::Files::wipe);
    }

    /// Lets writes fail for want of room, or succeed again.
    pub fn set_full(&self, is_full: bool) {
        let what = if is_full { "is full" } else { "has room" };
        self.fault(what, |files| files.set_full(is_full));
    }

    /// Lets syncs fail, or succeed again.
    pub fn set_sync_fails(&self, sync_fails: bool) {
        let what = if sync_fails { "cannot sync" } else { "can sync" };
        self.fault(what, |files| files.set_sync_fails(sync_fails));
    }

    /// Delays all writes of nodes. Zero, the default, ends that.
    pub fn set_delay(&self, delay: Duration) {
        self.fault(&format!("takes {delay:?}"), |files| files.set_delay(delay));
    }

    fn files(&self) -> Arc<crate::disk::Files> {
        self.network.world.with(|state| Arc::clone(&state.hosts[self.index].files))
    }

    fn fault(&self, what: &str, change: impl FnOnce(&crate::disk::Files)) {
        if self.network.world.with(|state| admit(state, format!("disk of {} {what}", self.name))) {
            change(&self.files());
        }
    }
}

/// Time.
impl Network {
    /// Returns the virtual time since the start of the test.
    pub fn elapsed(&self) -> Duration {
        self.world.now() - Instant::ZERO
    }

    /// Lets a virtual time pass.
    pub async fn advance(&self, time: Duration) {
        let _waiting = Waiting::new(&self.world);
        Sleep::new(&self.world, None, self.world.now(), time).await;
    }

    /// Waits until all running nodes see exactly one another as alive.
    ///
    /// # Panics
    ///
    /// Panics after `limit`, and says which views differ.
    #[track_caller]
    pub fn settle(&self, limit: Duration) -> impl Future<Output = ()> + use<> {
        let (this, at) = (self.clone(), Location::caller());
        async move {
            let end = this.world.now() + limit;
            loop {
                let differences = this.differences();
                if differences.is_empty() {
                    return;
                }
                assert!(
                    this.world.now() < end,
                    "{at}: the members do not agree after {limit:?}:\n  {}",
                    differences.join("\n  ")
                );
                this.advance(POLL_INTERVAL).await;
            }
        }
    }

    /// Waits until `holds` is true. It is called every 50 ms of virtual time.
    ///
    /// # Panics
    ///
    /// Panics after `limit`.
    #[track_caller]
    pub fn eventually<H: FnMut() -> bool>(&self, limit: Duration, mut holds: H) -> impl Future<Output = ()> + use<H> {
        let (this, at) = (self.clone(), Location::caller());
        async move {
            let end = this.world.now() + limit;
            while !holds() {
                assert!(this.world.now() < end, "{at}: still false after {limit:?}");
                this.advance(POLL_INTERVAL).await;
            }
        }
    }

    /// Checks every 50 ms of virtual time that `holds` is true.
    ///
    /// # Panics
    ///
    /// Panics when it is false.
    #[track_caller]
    pub fn always<H: FnMut() -> bool>(&self, time: Duration, mut holds: H) -> impl Future<Output = ()> + use<H> {
        let (this, at) = (self.clone(), Location::caller());
        async move {
            let (begun, end) = (this.world.now(), this.world.now() + time);
            while this.world.now() < end {
                assert!(holds(), "{at}: false after {:?}", this.world.now() - begun);
                this.advance(POLL_INTERVAL).await;
            }
        }
    }
}

/// Results.
impl Network {
    /// Returns the seed of this run.
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// Draws a number below `bound` from the seed; 0 if `bound` is 0.
    pub fn random_below(&self, bound: u32) -> u32 {
        self.world.with(|state| state.rng.below(bound))
    }

    /// Draws a duration below `bound` from the seed.
    pub fn random_time(&self, bound: Duration) -> Duration {
        self.world.with(|state| state.rng.duration_below(bound))
    }

    /// Adds a line to the timeline.
    pub fn note(&self, text: &str) {
        self.world.with(|state| state.log(None, text.to_owned()));
    }

    /// Returns what has happened so far.
    pub fn timeline(&self) -> Timeline {
        self.world.with(|state| Timeline(state.timeline.clone()))
    }

    /// Returns a hash of all inputs that the hosts got. Equal runs have equal hashes.
    pub fn trace_hash(&self) -> u64 {
        self.world.with(|state| state.trace.value())
    }

    /// Checks the rules of the protocol that hold under any fault: a node delivers a user event and a query at most once,
    /// reports one answer for each member and query, and its Lamport clocks do not go back. Call it at the end.
    ///
    /// # Panics
    ///
    /// Panics if a node has broken a rule.
    #[track_caller]
    pub fn assert_protocol(&self) {
        let now = self.world.now();
        for (host, serf) in self.nodes() {
            let clocks = serf.stats().clocks;
            self.world.with(|state| state.hosts[host].checks.clocks(now, clocks));
        }
        let broken: Vec<String> = self.world.with(|state| {
            let of = |host: &crate::world::HostState| {
                host.checks.violations.iter().map(|text| format!("{} {text}", host.name)).collect::<Vec<_>>()
            };
            state.hosts.iter().flat_map(of).collect()
        });
        assert!(broken.is_empty(), "the protocol was violated:\n  {}", broken.join("\n  "));
    }

    /// Returns a handle of each running node with the number of its host.
    fn nodes(&self) -> Vec<(usize, Serf)> {
        let slots: Vec<(usize, crate::world::NodeSlot)> = self.world.with(|state| {
            let hosts = state.hosts.iter().enumerate().filter(|(_, host)| host.is_up);
            hosts.flat_map(|(index, host)| host.nodes.iter().map(move |slot| (index, slot.clone()))).collect()
        });
        // Not under the lock: a handle may be the last.
        slots.into_iter().filter_map(|(index, slot)| Some((index, slot.weak.upgrade()?))).collect()
    }

    /// Returns what the running nodes see differently from the truth.
    fn differences(&self) -> Vec<String> {
        let nodes: Vec<Serf> = self.nodes().into_iter().map(|(_, serf)| serf).collect();
        let running: Vec<&Serf> = nodes.iter().filter(|serf| serf.state() == NodeState::Alive).collect();
        let names: BTreeSet<String> = running.iter().map(|serf| serf.local().name().to_string()).collect();
        let mut differences = Vec::new();
        for serf in running {
            let local = serf.local();
            let seen: BTreeMap<String, Status> =
                serf.members().iter().map(|member| (member.name().to_string(), member.status())).collect();
            for name in &names {
                match seen.get(name) {
                    Some(Status::Alive) => {}
                    Some(status) => differences.push(format!("{} sees {name} as {status}", local.name())),
                    None => differences.push(format!("{} does not know {name}", local.name())),
                }
            }
            let ghosts = seen.iter().filter(|(name, status)| **status == Status::Alive && !names.contains(*name));
            differences
                .extend(ghosts.map(|(name, _)| format!("{} sees {name} as alive, it does not run", local.name())));
        }
        differences
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("seed", &self.world.seed).finish_non_exhaustive()
    }
}

/// Set while the test waits for nothing but the simulation, so that its runtime needs no ticks.
struct Waiting(Arc<World>);

impl Waiting {
    fn new(world: &Arc<World>) -> Self {
        world.waits.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(world))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waits.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the test waits for the simulation.
pub(crate) fn is_waiting(world: &World) -> bool {
    world.waits.load(Ordering::Relaxed) > 0
}

fn admit(state: &mut State, text: String) -> bool {
    let is_admitted = state.faults.admit(state.now, || text.clone());
    if is_admitted {
        state.log(None, text);
    }
    is_admitted
}

/// Converts a probability to parts per million.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped before")]
fn ppm(probability: f64) -> u32 {
    (probability.clamp(0.0, 1.0) * 1e6).round() as u32
}

/// How often conditions are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Default of [`Network::limit`].
const LIMIT_NANOS: u64 = 6 * 3600 * 1_000_000_000;

/// Default of [`Network::quantum`].
const QUANTUM_NANOS: u64 = 100_000_000;

/// Number of hosts that the options of a host name as seeds.
const SEEDS: usize = 3;
