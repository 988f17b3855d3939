//! An agent that runs: signals, reloads, and the end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::joining::Joins;
use super::scripts::Order;
use super::signals::{Signal, Signals};
use super::supervisor::{self, Phase};
use super::{Agent, Stop};
use crate::config::{Config, Draft, handler_timeout};
use crate::log::Level;

/// Which signals leave the cluster.
#[derive(Clone, Copy, Debug)]
struct Leaves {
    on_interrupt: bool,
    on_terminate: bool,
}

impl Leaves {
    const fn of(config: &Config) -> Self {
        Self { on_interrupt: !config.skip_leave_on_interrupt, on_terminate: config.leave_on_terminate }
    }
}

/// An agent that runs.
pub(super) struct Life<'a> {
    agent: Arc<Agent>,
    /// Where the settings come from.
    args: &'a [OsString],
    stop: watch::Receiver<Option<Stop>>,
    leaves: Leaves,
    /// The tags in the settings.
    tags: BTreeMap<String, String>,
    joins: Joins,
}

impl<'a> Life<'a> {
    /// The start is over.
    pub(super) fn begin(
        agent: Arc<Agent>,
        args: &'a [OsString],
        stop: watch::Receiver<Option<Stop>>,
        config: &Config,
    ) -> Self {
        let joins = Joins::begin(&agent, config);
        Self { agent, args, stop, leaves: Leaves::of(config), tags: config.tags.clone(), joins }
    }

    /// Until the end; whether it is a good one.
    pub(super) async fn run(&mut self, signals: &mut Signals) -> bool {
        loop {
            let signal = tokio::select! {
                signal = signals.next() => signal,
                stop = self.stop.wait_for(Option::is_some) => {
                    let ended_well = stop.is_ok_and(|stop| *stop != Some(Stop::NobodyAnswers));
                    supervisor::tell(Phase::Stopping, &self.agent.log);
                    return ended_well;
                }
            };
            if signal == Signal::Dump {
                self.agent.measure();
                // Nobody may read it.
                _ = io::stderr().write_all(self.agent.metrics.dump().as_bytes());
                continue;
            }
            self.agent.log.output(&format!("Caught signal: {}", signal.name()));
            if signal == Signal::Hangup {
                supervisor::tell(Phase::Reloading, &self.agent.log);
                self.reload().await;
                supervisor::tell(Phase::Ready, &self.agent.log);
                continue;
            }
            supervisor::tell(Phase::Stopping, &self.agent.log);
            return match signal {
                Signal::Interrupt if self.leaves.on_interrupt => self.leave(signals).await,
                Signal::Terminate if self.leaves.on_terminate => self.leave(signals).await,
                _ => false,
            };
        }
    }

    /// Leaves the cluster, but not for longer than people wait, nor after they say again that it should end.
    async fn leave(&self, signals: &mut Signals) -> bool {
        self.agent.log.output("Gracefully shutting down agent...");
        let again = async { while signals.next().await == Signal::Dump {} };
        tokio::select! {
            left = timeout(LEAVE_TIMEOUT, self.agent.leave()) => match left {
                Ok(Ok(())) => true,
                Ok(Err(why)) => {
                    self.agent.log.output(&format!("Error: {why}"));
                    false
                }
                Err(_) => false,
            },
            () = again => false,
        }
    }

    /// Reads the settings again, and takes over those that can change (`handleReload` in `command.go`).
    async fn reload(&mut self) {
        let log = &self.agent.log;
        log.output("Reloading configuration...");
        let draft = match Draft::read(self.args) {
            Ok(draft) => draft,
            Err(error) => {
                log.output(&error.to_string());
                return log.output("Failed to reload configs");
            }
        };
        for warning in &draft.warnings {
            log.output(warning);
        }
        let Draft { layer, handlers, .. } = draft;
        self.joins.reload(&self.agent, &layer);
        match Level::parse(&layer.log_level) {
            Some(level) => log.set_level(level),
            None => {
                let name = layer.log_level.to_uppercase();
                log.output(&format!("Invalid log level: {name}. Valid log levels are: [TRACE DEBUG INFO WARN ERR]"));
            }
        }
        let order = Order { is_parallel: layer.parallel_handlers, timeout: handler_timeout(&layer) };
        self.agent.scripts.replace(handlers, order);
        self.leaves = Leaves { on_interrupt: !layer.skip_leave_on_interrupt, on_terminate: layer.leave_on_terminate };
        // Tags in a file were set while we ran. They are not in the settings, and must not be lost with them.
        if layer.tags_file.is_empty() {
            let before = core::mem::replace(&mut self.tags, layer.tags);
            if let Err(why) = self.agent.reload_tags(&before, &self.tags).await {
                self.agent.log.output(&format!("Failed to update tags: {why}"));
            }
        }
    }
}

/// How long a leave may take that a signal has caused.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
