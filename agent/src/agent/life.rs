//! The running agent: signals, reloads and the end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serf_tokio::NodeState;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::joining::Joins;
use super::scripts::Order;
use super::supervisor::Supervisor;
use super::{Agent, Stop};
use crate::config::{Draft, DraftError, Settings, log_level};
use crate::platform::{Phase, Signal, Signals};

/// Which signals make the agent leave the cluster.
#[derive(Clone, Copy, Debug)]
struct Leaves {
    on_interrupt: bool,
    on_terminate: bool,
}

impl Leaves {
    const fn of(settings: &Settings) -> Self {
        Self { on_interrupt: !settings.skip_leave_on_interrupt, on_terminate: settings.leave_on_terminate }
    }
}

/// A running agent.
pub(super) struct Life<'a> {
    agent: Arc<Agent>,
    supervisor: &'a Supervisor,
    /// The arguments, which name the sources of the settings.
    args: &'a [OsString],
    /// The reload in progress. It runs on another thread, because the disk may be slow or hang.
    reading: Option<JoinHandle<Result<Draft, DraftError>>>,
    /// Another reload was requested meanwhile.
    reads_again: bool,
    stop: watch::Receiver<Option<Stop>>,
    leaves: Leaves,
    /// The tags of the settings.
    tags: BTreeMap<String, String>,
    joins: Joins,
}

impl<'a> Life<'a> {
    /// Begins to serve, after the start.
    pub(super) fn begin(
        agent: Arc<Agent>,
        supervisor: &'a Supervisor,
        args: &'a [OsString],
        stop: watch::Receiver<Option<Stop>>,
        settings: &Settings,
        mut joins: Joins,
    ) -> Self {
        joins.begin(&agent);
        let (leaves, tags) = (Leaves::of(settings), settings.tags.clone());
        Self { agent, supervisor, args, reading: None, reads_again: false, stop, leaves, tags, joins }
    }

    /// Runs until the end. Returns whether the agent ended well.
    pub(super) async fn run(&mut self, signals: &mut Signals) -> bool {
        loop {
            let signal = tokio::select! {
                signal = signals.next() => Ok(signal),
                read = finished(&mut self.reading) => Err(read),
                stop = self.stop.wait_for(Option::is_some) => {
                    let ended_well = stop.is_ok_and(|stop| *stop == Some(Stop::Left));
                    self.supervisor.notify(Phase::Stopping);
                    return ended_well;
                }
            };
            let signal = match signal {
                Ok(signal) => signal,
                Err(read) => {
                    self.reload(read);
                    continue;
                }
            };
            if signal == Signal::Dump {
                self.agent.measure();
                self.agent.log.figures(self.agent.metrics.dump());
                continue;
            }
            if signal == Signal::Capture {
                self.agent.switch_capture();
                continue;
            }
            self.agent.log.output(&format!("Caught signal: {}", signal.name()));
            if signal == Signal::Hangup {
                self.supervisor.notify(Phase::Reloading);
                self.read_again();
                continue;
            }
            self.supervisor.notify(Phase::Stopping);
            return match signal {
                Signal::Interrupt if self.leaves.on_interrupt => self.leave(signals).await,
                Signal::Terminate if self.leaves.on_terminate => self.leave(signals).await,
                _ => false,
            };
        }
    }

    /// Leaves the cluster. Gives up if the leave is not gossiped within [`LEAVE_TIMEOUT`], or at a second signal.
    async fn leave(&self, signals: &mut Signals) -> bool {
        self.agent.log.output("Gracefully shutting down agent...");
        let again = async { while matches!(signals.next().await, Signal::Dump | Signal::Capture) {} };
        let leave = async {
            let mut leave = pin!(self.agent.leave());
            match timeout(LEAVE_TIMEOUT, &mut leave).await {
                Ok(left) => Some(left),
                // The leave is gossiped; only the snapshot is missing. A slow disk is not a failed leave.
                Err(_) if self.agent.serf.state() == NodeState::Left => Some(leave.await),
                Err(_) => None,
            }
        };
        tokio::select! {
            left = leave => match left {
                Some(Ok(())) => true,
                Some(Err(why)) => {
                    self.agent.log.output(&format!("Error: {why}"));
                    false
                }
                None => false,
            },
            () = again => false,
        }
    }

    /// Begins to read the settings again, unless a read is in progress.
    fn read_again(&mut self) {
        self.agent.log.output("Reloading configuration...");
        self.reads_again = self.reading.is_some();
        if !self.reads_again {
            let args = self.args.to_vec();
            self.reading = Some(tokio::task::spawn_blocking(move || Draft::read(&args)));
        }
    }

    /// Applies the settings that can change while the agent runs (`handleReload` in `command.go`).
    fn reload(&mut self, read: Result<Draft, DraftError>) {
        self.reading = None;
        match read {
            Ok(draft) => self.take_over(draft),
            Err(error) => {
                self.agent.log.output(&error.to_string());
                self.agent.log.output("Failed to reload configs");
            }
        }
        if core::mem::take(&mut self.reads_again) {
            self.read_again();
        } else {
            self.supervisor.notify(Phase::Ready);
        }
    }

    fn take_over(&mut self, draft: Draft) {
        let log = &self.agent.log;
        for warning in &draft.warnings {
            log.output(warning);
        }
        let Draft { settings, handlers, .. } = draft;
        self.joins.reload(&self.agent, &settings);
        match log_level(&settings.log_level) {
            Ok(level) => log.set_level(level),
            Err(why) => log.output(&why.to_string()),
        }
        self.agent.scripts.replace(handlers, Order::of(&settings));
        self.leaves = Leaves::of(&settings);
        // Tags in a file were set while the agent ran. They are not in the settings, and a reload must not delete them.
        if settings.tags_file.is_empty() {
            let before = core::mem::replace(&mut self.tags, settings.tags);
            let (agent, after) = (Arc::clone(&self.agent), self.tags.clone());
            // Clients that change tags may hold the lock while they wait for a disk.
            tokio::spawn(async move {
                if let Err(why) = agent.reload_tags(&before, &after).await {
                    agent.log.output(&format!("Failed to update tags: {why}"));
                }
            });
        }
    }
}

/// Waits for the settings of a reload; pending for ever while no reload runs.
async fn finished(reading: &mut Option<JoinHandle<Result<Draft, DraftError>>>) -> Result<Draft, DraftError> {
    match reading {
        Some(reading) => reading.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
        None => core::future::pending().await,
    }
}

/// How long the gossip of a leave caused by a signal may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
