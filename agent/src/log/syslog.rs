//! Sends records to the local syslog daemon.

use std::io;

use super::{Level, syslog_severity, syslog_text};
use crate::platform::SyslogSocket;

/// A connection to the syslog daemon of this machine.
#[derive(Debug)]
pub struct Syslog {
    socket: SyslogSocket,
    facility: u8,
}

impl Syslog {
    /// Connects to the daemon.
    ///
    /// # Errors
    ///
    /// None of the usual sockets exists.
    pub fn connect(facility: u8) -> io::Result<Self> {
        Ok(Self { socket: SyslogSocket::connect()?, facility })
    }

    /// Sends a record; one that cannot be sent is dropped.
    pub(super) fn send(&self, level: Level, record: &str) {
        let priority = self.facility * 8 + syslog_severity(level);
        let time = jiff::ZonedDateTime::now();
        let time = time.strftime("%b %e %H:%M:%S");
        let line = format!("<{priority}>{time} serf[{}]: {}", std::process::id(), syslog_text(record));
        self.socket.send(line.as_bytes());
    }
}
