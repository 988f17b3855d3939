//! Notifies a supervisor such as systemd (`sd_notify(3)`), if there is one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::log::Log;
use crate::platform::{Phase, notify_supervisor};

/// The connection to the supervisor that `NOTIFY_SOCKET` names. It writes on its own thread: a supervisor that does not
/// read its socket blocks the writer after some datagrams.
pub(super) struct Supervisor {
    /// `None` without a supervisor.
    phases: Option<SyncSender<Phase>>,
    ended: Receiver<()>,
}

impl Supervisor {
    pub(super) fn new(log: &Arc<Log>) -> Self {
        let (phases, queue) = sync_channel(PHASES_MAX);
        let (end, ended) = sync_channel(1);
        let log = Arc::clone(log);
        let work = move || {
            while let Ok(phase) = queue.recv() {
                notify(phase, &log);
            }
            _ = end.send(());
        };
        let is_there = std::env::var_os("NOTIFY_SOCKET").is_some();
        let started = is_there.then(|| thread::Builder::new().name("supervisor".into()).spawn(work));
        Self { phases: started.and_then(Result::ok).map(|_| phases), ended }
    }

    /// Queues a phase for the supervisor. When the queue is full, further phases are dropped.
    pub(super) fn notify(&self, phase: Phase) {
        if let Some(phases) = &self.phases {
            _ = phases.try_send(phase);
        }
    }

    /// Waits until all phases are sent, for at most [`END_TIMEOUT`].
    pub(super) fn close(mut self) {
        if self.phases.take().is_some() {
            _ = self.ended.recv_timeout(END_TIMEOUT);
        }
    }
}

fn notify(phase: Phase, log: &Log) {
    if let Err(error) = notify_supervisor(phase) {
        log.warn("agent", format_args!("Failed to notify the supervisor of {phase:?}: {error}"));
    }
}

/// Phases queued for a supervisor that does not read.
const PHASES_MAX: usize = 16;

/// How long the end of the agent waits for the supervisor.
const END_TIMEOUT: Duration = Duration::from_secs(1);
