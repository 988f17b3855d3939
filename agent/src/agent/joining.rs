//! Joins: by clients, at the start, and with retries.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serf_tokio::{JoinError, NodeState, OldEvents, SeedCause, SeedError, SeedFailure, SeedFailureCause};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::seeds::{Seeds, Watched, watch_files};
use super::{Agent, Stop};
use crate::config::{Settings, count, duration};
use crate::endpoint::go_words;
use crate::quote::{quote, shown};

impl Agent {
    /// Joins through any of `addrs`. Returns how many answered, or why none did, in the text that scripts know.
    pub(super) async fn join(&self, addrs: &[String], replay: bool) -> Result<u32, String> {
        if addrs.is_empty() {
            return Ok(0);
        }
        self.log.info("agent", format_args!("joining: [{}] replay: {replay}", addrs.join(" ")));
        let old = if replay { OldEvents::Deliver } else { OldEvents::Ignore };
        match self.serf.join_with(addrs, old).await {
            Ok(report) => {
                self.log.info("agent", format_args!("joined: {} nodes", report.contacted));
                Ok(report.contacted)
            }
            Err(error) => {
                let why = why(error, !self.serf.keys().is_empty());
                self.log.warn("agent", format_args!("error joining: {}", one_line(&why)));
                Err(why)
            }
        }
    }
}

/// Retries a join until a peer answers or the attempts are used up (`retryJoin` in `command.go`). Ours: later, whenever
/// no other member is left, joins again, since other hosts may then have these addresses.
async fn retry(agent: Arc<Agent>, retry: Retry, watched: watch::Sender<Watched>) {
    let mut seeds = Seeds::new(&retry.addrs);
    let mut failures = 0;
    loop {
        agent.log.info("agent", format_args!("Joining cluster...(replay: {})", retry.replay));
        let Err(missed) = attempt(&agent, &retry, &mut seeds).await else { break };
        failures += 1;
        if retry.failures_max > 0 && failures > retry.failures_max {
            agent.log.error("agent", "maximum retry join attempts made, exiting");
            return agent.stop(Stop::NoSeedAnswered);
        }
        log_missed(&agent, &retry, &missed, failures);
        if failures == 1 && try_soon(&agent, &retry, &mut seeds).await {
            break;
        }
        if failures > 1 {
            tokio::time::sleep(retry.interval).await;
        }
    }
    await_expected(&agent, &retry, &mut seeds).await;
    suspend(&watched, BTreeSet::new());
    let mut pause = retry.interval.max(ALONE_PAUSE_LEAST);
    loop {
        tokio::time::sleep(pause).await;
        if agent.serf.state() != NodeState::Alive {
            return;
        }
        let has_failed = agent.serf.is_alone() && join_through(&agent, &mut seeds, false).await.is_err();
        pause = if has_failed { (pause * 2).min(ALONE_PAUSE_MAX) } else { retry.interval.max(ALONE_PAUSE_LEAST) };
    }
}

fn log_missed(agent: &Agent, retry: &Retry, missed: &Missed, failures: u32) {
    let text = format_args!("Join failed: {}, retrying in {:?}", one_line(&missed.to_string()), retry.interval);
    match missed {
        // What each source lacks is logged when it changes.
        Missed::NoAddress if failures > 1 => agent.log.debug("agent", text),
        _ => agent.log.warn("agent", text),
    }
}

/// Why a try had no success.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum Missed {
    #[error("the sources give no address but that of this agent")]
    NoAddress,
    #[error("{0}")]
    NotJoined(String),
}

/// Tries once to join, with the addresses that the seeds have now.
async fn attempt(agent: &Agent, retry: &Retry, seeds: &mut Seeds) -> Result<(), Missed> {
    let count = join_through(agent, seeds, retry.replay).await?;
    agent.log.info("agent", format_args!("Join completed. Synced with {count} initial agents"));
    Ok(())
}

async fn join_through(agent: &Agent, seeds: &mut Seeds, replay: bool) -> Result<u32, Missed> {
    let addresses = seeds.addresses(agent).await;
    if addresses.is_empty() {
        return Err(Missed::NoAddress);
    }
    agent.join(&addresses, replay).await.map_err(Missed::NotJoined)
}

/// Joins again and again until the members that are expected at the first start are there. Agents that start together
/// may have joined in several groups: each is found through the addresses that appear meanwhile, and by all of its
/// members, so the groups do not remain.
async fn await_expected(agent: &Agent, retry: &Retry, seeds: &mut Seeds) {
    let mut pause = SOON_PAUSE;
    while let Some((alive, expected)) = agent.bootstrapping() {
        agent.log.debug("agent", format_args!("{alive} of {expected} expected members are alive"));
        tokio::time::sleep(pause).await;
        if agent.serf.state() != NodeState::Alive {
            return;
        }
        // A failure is logged by the join; the next try may find more addresses.
        _ = join_through(agent, seeds, false).await;
        pause = (pause * 2).min(retry.interval);
    }
}

/// Retries with growing pauses within the first interval: when agents start together, no peer listens yet. These
/// attempts are not counted. Returns whether a peer answered.
async fn try_soon(agent: &Agent, retry: &Retry, seeds: &mut Seeds) -> bool {
    let end = tokio::time::Instant::now() + retry.interval;
    let mut pause = SOON_PAUSE;
    while tokio::time::Instant::now() + pause < end {
        tokio::time::sleep(pause).await;
        if attempt(agent, retry, seeds).await.is_ok() {
            return true;
        }
        pause *= 2;
    }
    tokio::time::sleep_until(end).await;
    false
}

/// Parameters of a retried join.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Retry {
    addrs: Vec<String>,
    replay: bool,
    interval: Duration,
    failures_max: u32,
}

impl Retry {
    fn of(settings: &Settings) -> Self {
        Self {
            addrs: settings.retry_join.clone(),
            replay: settings.replay_on_join,
            interval: duration(settings.retry_interval),
            failures_max: count(settings.retry_max_attempts),
        }
    }
}

/// The configured addresses to join.
pub(super) struct Joins {
    start: Vec<String>,
    retry: Retry,
    /// The task that retries `retry_join`.
    task: Option<JoinHandle<()>>,
    /// The files of `file:` sources, for the task that watches them.
    watched: watch::Sender<Watched>,
}

impl Joins {
    /// Begins to watch the files. They are first polled after the joins at the start.
    pub(super) fn new(agent: &Arc<Agent>, settings: &Settings) -> Self {
        let watched = Watched { suspended: Watched::paths_of(settings), ..Watched::default() };
        let (start, retry) = (settings.start_join.clone(), Retry::of(settings));
        let joins = Self { start, retry, task: None, watched: watch::Sender::new(watched) };
        joins.watch(agent, settings);
        joins
    }

    /// Starts the retried joins, after the joins at the start.
    pub(super) fn begin(&mut self, agent: &Arc<Agent>) {
        self.task = self.spawn(agent);
    }

    /// Joins through addresses that are new in the settings. A `start_join` address that does not answer is logged and
    /// not retried, unless it comes from a file, which is watched.
    pub(super) fn reload(&mut self, agent: &Arc<Agent>, settings: &Settings) {
        self.watch(agent, settings);
        let before = core::mem::replace(&mut self.start, settings.start_join.clone());
        let new: Vec<String> = self.start.iter().filter(|addr| !before.contains(addr)).cloned().collect();
        if !new.is_empty() {
            let (agent, replay) = (Arc::clone(agent), settings.replay_on_join);
            tokio::spawn(async move {
                // A failure is logged.
                _ = join_through(&agent, &mut Seeds::new(&new), replay).await;
            });
        }
        let retry = Retry::of(settings);
        if retry != self.retry {
            if let Some(task) = self.task.take() {
                task.abort();
            }
            self.retry = retry;
            self.task = self.spawn(agent);
        }
    }

    /// Sets the watched files. Starts the task when there is a first one.
    fn watch(&self, agent: &Arc<Agent>, settings: &Settings) {
        let paths = Watched::paths_of(settings);
        if self.watched.receiver_count() == 0 && !paths.is_empty() {
            tokio::spawn(watch_files(Arc::clone(agent), self.watched.subscribe()));
        }
        self.watched.send_if_modified(|watched| replace(&mut watched.paths, paths));
    }

    /// Starts to retry `retry_join`. Its attempts read its files themselves; those of `start_join` are watched meanwhile.
    fn spawn(&self, agent: &Arc<Agent>) -> Option<JoinHandle<()>> {
        suspend(&self.watched, Watched::paths_in(&self.retry.addrs));
        let is_joining = !self.retry.addrs.is_empty();
        is_joining.then(|| tokio::spawn(retry(Arc::clone(agent), self.retry.clone(), self.watched.clone())))
    }
}

/// Sets the files that are not polled.
fn suspend(watched: &watch::Sender<Watched>, paths: BTreeSet<PathBuf>) {
    watched.send_if_modified(|watched| replace(&mut watched.suspended, paths));
}

/// Replaces a set. Returns whether the new one differs.
fn replace(set: &mut BTreeSet<PathBuf>, by: BTreeSet<PathBuf>) -> bool {
    let differs = *set != by;
    *set = by;
    differs
}

/// Why a join failed, formatted as Go's `multierror`.
fn why(error: JoinError, encrypted: bool) -> String {
    match error {
        JoinError::NoSeedAnswered(report) => multiple(&report.failed, encrypted),
        JoinError::Leaving | JoinError::Stopped => "Serf can't Join after Leave or Shutdown".into(),
        error => error.to_string(),
    }
}

/// The same on one line, for the log.
pub(super) fn one_line(why: &str) -> String {
    why.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn multiple(failures: &[SeedFailure], encrypted: bool) -> String {
    let count = failures.len();
    let mut text = format!("{count} error{} occurred:\n", if count == 1 { "" } else { "s" });
    for failure in failures {
        text.push_str(&format!("\t* {}\n", one(failure, encrypted)));
    }
    text.push('\n');
    text
}

/// Why one seed failed. Whether the node has keys decides how a key mismatch is described.
fn one(failure: &SeedFailure, encrypted: bool) -> String {
    let seed = &failure.seed;
    let addr = failure.addr.map_or_else(|| seed.clone(), |addr| addr.to_string());
    let ip = failure.addr.map_or_else(|| seed.clone(), |addr| addr.ip().to_string());
    match &failure.cause {
        SeedCause::Malformed(SeedError::Port(port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!(
                "Failed to resolve {seed}: strconv.ParseUint: parsing {}: value out of range",
                quote(port.as_bytes())
            )
        }
        SeedCause::Malformed(_) => format!("Failed to resolve {seed}: lookup {seed}: no such host"),
        SeedCause::Unresolved(error) if error.raw_os_error().is_some() => {
            format!("Failed to resolve {seed}: lookup {seed}: {}", go_words(error))
        }
        SeedCause::Unresolved(_) => format!("Failed to resolve {seed}: lookup {seed}: no such host"),
        SeedCause::Unreachable(error) if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() => {
            format!("Failed to join {ip}: dial tcp {addr}: i/o timeout")
        }
        SeedCause::Unreachable(error) => format!("Failed to join {ip}: dial tcp {addr}: connect: {}", go_words(error)),
        SeedCause::Exchange(cause) => {
            let told = cause.to_string();
            let why: &str = match cause {
                SeedFailureCause::TimedOut => &format!("read tcp {addr}: i/o timeout"),
                SeedFailureCause::Key if encrypted => "No installed keys could decrypt the message",
                SeedFailureCause::Key => "Remote state is encrypted and encryption is not configured",
                SeedFailureCause::Unencrypted => "Encryption is configured but remote state is not encrypted",
                // The text may contain the other node's message.
                _ => &shown(&told),
            };
            format!("Failed to join {ip}: {why}")
        }
        SeedCause::Incompatible(what) => format!("Failed to join {ip}: {what}"),
        SeedCause::OtherKind { bound } => {
            format!("Failed to join {seed}: cannot be reached from {bound}, one is IPv4 and the other IPv6")
        }
        _ => format!("Failed to join {seed}: {failure}"),
    }
}

/// First pause before a `retry_join` is retried; doubled after each failure.
const SOON_PAUSE: Duration = Duration::from_secs(1);

/// How long the node is alone before the addresses are joined again.
const ALONE_PAUSE_LEAST: Duration = Duration::from_secs(30);
const ALONE_PAUSE_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_in_the_words_of_hashicorps_agent() {
        let text = |cause, encrypted| {
            let failure = SeedFailure { seed: "n".into(), addr: "10.0.0.1:7946".parse().ok(), cause };
            one(&failure, encrypted).replace("Failed to join 10.0.0.1: ", "")
        };
        let os = |code| SeedCause::Unreachable(io::Error::from_raw_os_error(code));
        assert_eq!(text(os(111), false), "dial tcp 10.0.0.1:7946: connect: connection refused");
        assert_eq!(text(os(113), false), "dial tcp 10.0.0.1:7946: connect: no route to host");
        let late = SeedCause::Unreachable(io::ErrorKind::TimedOut.into());
        assert_eq!(text(late, false), "dial tcp 10.0.0.1:7946: i/o timeout");
        let exchange = |cause, encrypted| text(SeedCause::Exchange(cause), encrypted);
        assert_eq!(exchange(SeedFailureCause::Key, true), "No installed keys could decrypt the message");
        assert_eq!(
            exchange(SeedFailureCause::Key, false),
            "Remote state is encrypted and encryption is not configured"
        );
        assert_eq!(
            exchange(SeedFailureCause::Unencrypted, true),
            "Encryption is configured but remote state is not encrypted"
        );
    }
}
