//! Records for the local syslog daemon.

use std::io;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

use super::{Level, syslog_severity, syslog_text};

/// A way to the syslog daemon of this machine.
#[derive(Debug)]
pub struct Syslog {
    #[cfg(unix)]
    socket: UnixDatagram,
    #[cfg(unix)]
    path: &'static str,
    facility: u8,
}

impl Syslog {
    /// Connects to the daemon.
    ///
    /// # Errors
    ///
    /// None of the usual sockets is there.
    #[cfg(unix)]
    pub fn connect(facility: u8) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A daemon that does not read must not stop us.
        socket.set_nonblocking(true)?;
        let path = PATHS.into_iter().find(|path| socket.connect(path).is_ok());
        let path = path.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self { socket, path, facility })
    }

    /// There is none on this system.
    ///
    /// # Errors
    ///
    /// Always.
    #[cfg(not(unix))]
    pub fn connect(_facility: u8) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends a record. After a restart of the daemon the socket is connected again; what cannot be sent is lost.
    pub(super) fn send(&self, level: Level, record: &str) {
        let priority = self.facility * 8 + syslog_severity(level);
        let time = jiff::Zoned::now();
        let time = time.strftime("%b %e %H:%M:%S");
        let line = format!("<{priority}>{time} serf[{}]: {}", std::process::id(), syslog_text(record));
        #[cfg(unix)]
        if self.socket.send(line.as_bytes()).is_err() && self.socket.connect(self.path).is_ok() {
            _ = self.socket.send(line.as_bytes());
        }
        #[cfg(not(unix))]
        drop(line);
    }
}

#[cfg(unix)]
const PATHS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
