//! Joins: of clients, at the start, and until somebody answers.

use std::sync::Arc;
use std::time::Duration;

use serf_tokio::{JoinError, OldEvents, SeedCause, SeedFailure, SeedFailureCause};

use super::{Agent, Stop};
use crate::config::Config;
use crate::endpoint::go_words;

impl Agent {
    /// Joins through any of `addrs`; how many answered, or why none did, in the words that scripts know.
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
                let why = why(error);
                self.log.warn("agent", format_args!("error joining: {why}"));
                Err(why)
            }
        }
    }
}

/// Joins until somebody answers, or it was tried often enough (`retryJoin` in `command.go`).
pub(super) async fn retry(agent: Arc<Agent>, retry: Retry) {
    let mut failures = 0;
    loop {
        agent.log.info("agent", format_args!("Joining cluster...(replay: {})", retry.replay));
        let why = match agent.join(&retry.addrs, retry.replay).await {
            Ok(count) => {
                return agent.log.info("agent", format_args!("Join completed. Synced with {count} initial agents"));
            }
            Err(why) => why,
        };
        failures += 1;
        if retry.failures_max > 0 && failures > retry.failures_max {
            agent.log.error("agent", "maximum retry join attempts made, exiting");
            return agent.stop(Stop::NobodyAnswers);
        }
        agent.log.warn("agent", format_args!("Join failed: {why}, retrying in {:?}", retry.interval));
        tokio::time::sleep(retry.interval).await;
    }
}

/// How to join until somebody answers.
pub(super) struct Retry {
    addrs: Vec<String>,
    replay: bool,
    interval: Duration,
    failures_max: u32,
}

impl Retry {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            addrs: config.retry_join.clone(),
            replay: config.replay_on_join,
            interval: config.retry_interval,
            failures_max: config.retry_attempts_max,
        }
    }
}

/// Why a join failed, as `multierror` of Go prints it.
fn why(error: JoinError) -> String {
    match error {
        JoinError::NobodyAnswered(report) => multiple(&report.failed),
        JoinError::Leaving | JoinError::Stopped => "Serf can't Join after Leave or Shutdown".into(),
        error => error.to_string(),
    }
}

fn multiple(failures: &[SeedFailure]) -> String {
    let count = failures.len();
    let mut text = format!("{count} error{} occurred:\n", if count == 1 { "" } else { "s" });
    for failure in failures {
        text.push_str(&format!("\t* {}\n", one(failure)));
    }
    text.push('\n');
    text
}

fn one(failure: &SeedFailure) -> String {
    let seed = &failure.seed;
    let addr = failure.addr.map_or_else(|| seed.clone(), |addr| addr.to_string());
    let ip = failure.addr.map_or_else(|| seed.clone(), |addr| addr.ip().to_string());
    match &failure.cause {
        SeedCause::Malformed(error) => format!("Failed to resolve {seed}: {error}"),
        SeedCause::Unresolved(error) if error.raw_os_error().is_some() => {
            format!("Failed to resolve {seed}: lookup {seed}: {}", go_words(error))
        }
        SeedCause::Unresolved(_) => format!("Failed to resolve {seed}: lookup {seed}: no such host"),
        SeedCause::Exchange(SeedFailureCause::Unreachable) => {
            format!("Failed to join {ip}: dial tcp {addr}: connect: connection refused")
        }
        SeedCause::Exchange(SeedFailureCause::TimedOut) => format!("Failed to join {ip}: dial tcp {addr}: i/o timeout"),
        SeedCause::Exchange(cause) => format!("Failed to join {ip}: {cause}"),
        SeedCause::OtherKind { bound } => {
            format!("Failed to join {seed}: cannot be reached from {bound}, one is IPv4 and the other IPv6")
        }
        _ => format!("Failed to join {seed}: {failure}"),
    }
}
