//! What a supervisor such as systemd is told (`sd_notify(3)`). Without one, nothing is.

use crate::log::Log;

/// What the agent is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Clients can connect, and the joins at the start are over.
    Ready,
    /// It reads its settings again; [`Phase::Ready`] follows.
    Reloading,
    /// It ends.
    Stopping,
}

/// Tells the supervisor, if `NOTIFY_SOCKET` names one.
pub(super) fn tell(phase: Phase, log: &Log) {
    #[cfg(unix)]
    {
        use sd_notify::NotifyState;
        let told = match phase {
            Phase::Ready => sd_notify::notify(&[NotifyState::Ready]),
            // A reload counts from the time that is told with it.
            Phase::Reloading => {
                NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]))
            }
            Phase::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        };
        if let Err(error) = told {
            log.warn("agent", format_args!("The supervisor cannot be told that we are {phase:?}: {error}"));
        }
    }
    #[cfg(not(unix))]
    {
        _ = (phase, log);
    }
}
