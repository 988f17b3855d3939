//! Code that differs between systems. `unix` and `other` have the same items, and so have `linux` and `not_linux`; no
//! other module of the agent depends on the system.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod not_linux;
#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(target_os = "linux")]
pub(crate) use self::linux::reap_orphans;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::not_linux::reap_orphans;
#[cfg(not(unix))]
use self::other as system;
pub(crate) use self::system::{
    BINDS_TO_GROUPS, LocalListener, LocalStream, ScriptOutput, Signals, SyslogSocket, bytes_of, create_private,
    dial_local, end_group, ending_signal, file_limit, group_is_there, is_readable_by_all, notify_supervisor,
    raise_file_limit, run_in_group, share_port, shell, sync_directory, write_input,
};
#[cfg(unix)]
use self::unix as system;

/// A signal of the system or the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Interrupt,
    #[cfg_attr(not(unix), allow(dead_code, reason = "only Unix has more than Ctrl-C"))]
    Terminate,
    Hangup,
    /// Print the metrics.
    Dump,
    /// Start or stop the capture.
    #[cfg_attr(not(unix), allow(dead_code, reason = "only Unix has more than Ctrl-C"))]
    Capture,
}

impl Signal {
    /// Its name in Go.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminated",
            Self::Hangup => "hangup",
            Self::Dump => "user defined signal 1",
            Self::Capture => "user defined signal 2",
        }
    }
}

/// A state of the agent that its supervisor, such as systemd, is notified of (`sd_notify(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Clients can connect, and the joins at the start are over.
    Ready,
    /// The agent reads its settings again; [`Phase::Ready`] follows.
    Reloading,
    /// The agent ends.
    Stopping,
}

/// A blocking stream, over TCP or a socket file.
pub(crate) trait BlockingStream: Read + Write + Send + Sync {
    /// Sets the timeout of each read; `None` for none.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Sets the timeout of each write.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
}

impl BlockingStream for TcpStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_write_timeout(timeout)
    }
}

/// Bytes of a script's output read at once.
const READ_BYTES: usize = 4096;
