//! Runs a test over many seeds; makes the report of a failure.

use core::any::Any;
use core::fmt::Write as _;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic;
use std::sync::{Mutex, Once};

use crate::faults::Step;
use crate::lock;
use crate::network::Network;
use crate::simulation::{self, Ran};
use crate::timeline::Timeline;

/// Runs a test once for each seed, on all processors. A seed stands for everything that chance decides: latencies, losses,
/// the draws of the nodes and of [`Network::random_below`]. The same seed gives the same run on any machine.
///
/// The environment overrides the seeds: `SERF_SIM_SEED=17` runs one, `SERF_SIM_SEEDS=1..=1000` a range.
///
/// ```
/// use std::time::Duration;
///
/// use serf_sim::{Network, check};
/// use serf_tokio::Serf;
///
/// // #[test]
/// fn members_find_one_another() {
///     check(1..=5, async |net: Network| {
///         net.loss(0.05);
///         let nodes = net.hosts(3, async |host| Serf::start(host.options()).expect("the host is free")).await;
///         net.settle(Duration::from_secs(60)).await;
///         assert!(nodes.agree(|serf| serf.members().len()));
///     });
/// }
/// # members_find_one_another();
/// ```
///
/// # Panics
///
/// Panics if the test panics with any seed, or a task of an application does. The message has the seed, the command that
/// repeats it, and the faults without which the test passes: the run is repeated with ever fewer of them.
///
/// Also panics if two runs of the first seed differ, because a failure could then not be repeated. The usual causes are
/// `tokio::select!` without `biased`, the iteration over a hash table of the standard library, the real clock, and
/// threads.
pub fn check<F: AsyncFn(Network) + Sync>(seeds: impl IntoIterator<Item = u64>, test: F) {
    let seeds = seeds_of_environment().unwrap_or_else(|| seeds.into_iter().collect());
    if let Some(failure) = explore(&seeds, &test) {
        panic!("{failure}");
    }
}

/// Runs a test with one seed and returns its trace hash and its timeline, to compare or to print.
///
/// # Panics
///
/// Panics if the test does.
pub fn run<F: AsyncFn(Network) + Sync>(seed: u64, test: F) -> Run {
    match attempt(seed, BTreeSet::new(), &test) {
        (Ok(()), ran) => Run { trace_hash: ran.trace, virtual_time: ran.virtual_time, timeline: ran.timeline },
        (Err(failure), _) => panic!("{} ({})", failure.message, failure.place),
    }
}

/// The result of [`run`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// Hash of all inputs that the hosts got.
    pub trace_hash: u64,
    /// How long the test took by its own clock.
    pub virtual_time: Duration,
    /// What happened.
    pub timeline: Timeline,
}

/// A panic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    message: String,
    place: String,
}

/// Returns the report of a failing seed, if there is one.
pub(crate) fn explore<F: AsyncFn(Network) + Sync>(seeds: &[u64], test: &F) -> Option<String> {
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failures: Mutex<Vec<(usize, Failure, Ran)>> = Mutex::default();
    let unequal: Mutex<Option<u64>> = Mutex::default();
    let work = || {
        while !has_failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = seeds.get(at) else { return };
            let (result, ran) = attempt(*seed, BTreeSet::new(), test);
            if let Err(failure) = result {
                has_failed.store(true, Ordering::Relaxed);
                lock(&failures).push((at, failure, ran));
            } else if at == 0 && attempt(*seed, BTreeSet::new(), test).1.trace != ran.trace {
                has_failed.store(true, Ordering::Relaxed);
                *lock(&unequal) = Some(*seed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let first = lock(&failures).iter().min_by_key(|(at, ..)| *at).cloned();
    if let Some((at, failure, ran)) = first {
        return Some(report(seeds[at], &failure, ran, test));
    }
    lock(&unequal).map(|seed| {
        format!(
            "two runs of seed {seed} differ, so that failures could not be repeated: look for `tokio::select!` without \
             `biased`, iteration over a HashMap or HashSet of std, the real clock, threads"
        )
    })
}

/// Runs the seed again with ever fewer faults, and reports those that are needed.
fn report<F: AsyncFn(Network) + Sync>(seed: u64, failure: &Failure, ran: Ran, test: &F) -> String {
    let all = ran.faults.len();
    let (needed, ran, failure) = shrink(seed, failure, ran, test);
    let mut report = format!("seed {seed} fails after {:.3} virtual seconds: ", ran.virtual_time.as_secs_f64());
    _ = writeln!(report, "{}\nat {}\nrepeat it with: {}", failure.message, failure.place, command(seed));
    if all == 0 {
        report.push_str("no faults were injected");
    } else {
        _ = writeln!(report, "{} of {all} faults are needed:", needed.len());
        needed.iter().for_each(|step| _ = writeln!(report, "{step}"));
    }
    let last = ran.timeline.entries().iter().rev().take(TIMELINE_LINES).rev();
    report.push_str("\nthe last events:\n");
    last.for_each(|entry| _ = writeln!(report, "{entry}"));
    report
}

/// Leaves out one fault after the other as long as the test fails at the same place.
fn shrink<F: AsyncFn(Network) + Sync>(seed: u64, failure: &Failure, ran: Ran, test: &F) -> (Vec<Step>, Ran, Failure) {
    let (mut left_out, mut best) = (BTreeSet::new(), (ran.faults.clone(), ran, failure.clone()));
    let (mut runs, mut has_shrunk) = (0, true);
    while has_shrunk && runs < SHRINK_RUNS_MAX {
        has_shrunk = false;
        for step in best.0.clone() {
            if runs >= SHRINK_RUNS_MAX || left_out.contains(&step.number) {
                continue;
            }
            runs += 1;
            let mut fewer: BTreeSet<usize> = left_out.clone();
            fewer.insert(step.number);
            if let (Err(other), ran) = attempt(seed, fewer.clone(), test)
                && other.place == failure.place
            {
                (left_out, has_shrunk) = (fewer, true);
                best = (ran.faults.clone(), ran, other);
            }
        }
    }
    best
}

/// Runs the test once. Its panics are recorded and not printed.
fn attempt<F: AsyncFn(Network) + Sync>(seed: u64, left_out: BTreeSet<usize>, test: &F) -> (Result<(), Failure>, Ran) {
    record_panics();
    let outer = PANICS.replace(Some(Vec::new()));
    let mut ran = None;
    let mut done = |it| ran = Some(it);
    let result = panic::catch_unwind(AssertUnwindSafe(|| simulation::run(seed, left_out, test, &mut done)));
    let panics = PANICS.replace(outer).unwrap_or_default();
    let ran = ran.expect("a run reports what came of it also when it panics");
    // The first panic is the cause: that of a task comes before the one that notices its absence.
    let failure = panics.into_iter().next();
    let result = match (result, failure) {
        (Ok(()), None) => Ok(()),
        (_, Some(failure)) => Err(failure),
        (Err(payload), None) => Err(Failure { message: text_of(&*payload), place: "an unknown place".to_owned() }),
    };
    (result, ran)
}

thread_local! {
    /// The panics of the run on this thread; `None` outside of a run.
    static PANICS: RefCell<Option<Vec<Failure>>> = const { RefCell::new(None) };
}

/// Installs a hook that records the panics of runs, and leaves all others to the hook before it.
fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            let failure = Failure { message: text_of(info.payload()), place };
            let is_recorded = PANICS.with_borrow_mut(|panics| panics.as_mut().map(|panics| panics.push(failure)));
            if is_recorded.is_none() {
                previous(info);
            }
        }));
    });
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_owned()
}

/// Returns the command that repeats a seed. The test harness names its threads after the tests.
fn command(seed: u64) -> String {
    let thread = std::thread::current();
    let name = thread.name().filter(|name| *name != "main").unwrap_or("NAME_OF_THE_TEST");
    format!("SERF_SIM_SEED={seed} cargo test {name}")
}

fn seeds_of_environment() -> Option<Vec<u64>> {
    let number = |name: &str, text: &str| {
        text.trim().parse::<u64>().unwrap_or_else(|_| panic!("{name} has no number: {text:?}"))
    };
    if let Ok(text) = std::env::var("SERF_SIM_SEED") {
        return Some(vec![number("SERF_SIM_SEED", &text)]);
    }
    let text = std::env::var("SERF_SIM_SEEDS").ok()?;
    let (first, last) = text.split_once("..=").unwrap_or_else(|| panic!("SERF_SIM_SEEDS is not of the form 1..=100"));
    Some((number("SERF_SIM_SEEDS", first)..=number("SERF_SIM_SEEDS", last)).collect())
}

/// Lines of the timeline in a report.
const TIMELINE_LINES: usize = 20;

/// Runs to shrink a list of faults.
const SHRINK_RUNS_MAX: usize = 300;
