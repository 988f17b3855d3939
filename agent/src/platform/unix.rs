//! Linux, macOS and the BSDs.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::resource::Resource::RLIMIT_NOFILE;
use nix::sys::resource::{getrlimit, setrlimit};
use nix::sys::signal::{Signal as Kill, killpg};
use nix::unistd::Pid;
use sd_notify::NotifyState;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::{BlockingStream, Phase, READ_BYTES, Signal};

/// The subscription to signals.
pub(crate) struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Stream,
    dump: Stream,
    capture: Stream,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            dump: signal(SignalKind::user_defined1())?,
            capture: signal(SignalKind::user_defined2())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.dump.recv() => Signal::Dump,
            _ = self.capture.recv() => Signal::Capture,
        }
    }
}

/// Notifies the supervisor that `NOTIFY_SOCKET` names. Blocks while it does not read its socket.
pub(crate) fn notify_supervisor(phase: Phase) -> io::Result<()> {
    match phase {
        Phase::Ready => sd_notify::notify(&[NotifyState::Ready]),
        // systemd counts a reload from the time sent with it.
        Phase::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]))
        }
        Phase::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    }
}

/// A connection to the syslog daemon of this machine.
#[derive(Debug)]
pub(crate) struct SyslogSocket {
    socket: UnixDatagram,
    path: &'static str,
}

impl SyslogSocket {
    pub(crate) fn connect() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A daemon that does not read must not block the agent.
        socket.set_nonblocking(true)?;
        let path = SYSLOG_PATHS.into_iter().find(|path| socket.connect(path).is_ok());
        let path = path.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self { socket, path })
    }

    /// Sends a line. Reconnects after a restart of the daemon; a line that cannot be sent is dropped.
    pub(crate) fn send(&self, line: &[u8]) {
        if self.socket.send(line).is_err() && self.socket.connect(self.path).is_ok() {
            _ = self.socket.send(line);
        }
    }
}

/// A listening socket file that only our user may open.
pub(crate) struct LocalListener {
    socket: UnixListener,
    path: PathBuf,
}

/// A client of a [`LocalListener`].
pub(crate) type LocalStream = tokio::net::UnixStream;

impl LocalListener {
    /// Listens on a socket file. Replaces one that a crash left behind.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let socket = bind_private(path)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixListener::from_std(OwnedFd::from(socket).into())?, path: path.into() })
    }

    pub(crate) async fn accept(&self) -> io::Result<LocalStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.path);
    }
}

/// A socket file that only our user may open, not yet listening: until then every connection is refused, so that no
/// client connects before the mode is set.
fn bind_private(path: &Path) -> io::Result<Socket> {
    let is_stale = fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_stale {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Connects to the socket file of an agent.
pub(crate) fn dial_local(path: &Path) -> io::Result<Box<dyn BlockingStream>> {
    Ok(Box::new(UnixStream::connect(path)?))
}

impl BlockingStream for UnixStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_write_timeout(timeout)
    }
}

/// Allows other programs of this host to bind the port of a multicast group, too. On Linux address reuse suffices.
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    if std::env::consts::OS == "linux" { Ok(()) } else { socket.set_reuse_port(true) }
}

/// Whether a socket can be bound to a multicast group.
pub(crate) const BINDS_TO_GROUPS: bool = true;

/// Creates a file that only its owner can read.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Whether every user of this host may read a file, by its mode.
pub(crate) fn is_readable_by_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

/// Syncs a directory, so that a new name survives a power failure. A directory that may not be read, and a file system
/// that cannot do this, are no error: nothing more can be done.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    let Ok(directory) = File::open(directory) else { return Ok(()) };
    let is_impossible =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported);
    directory.sync_all().or_else(|error| if is_impossible(&error) { Ok(()) } else { Err(error) })
}

/// The limit of open files.
pub(crate) fn file_limit() -> Option<u64> {
    getrlimit(RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

/// Raises the limit of open files to the system's maximum; returns the previous limit, if it was raised.
pub(crate) fn raise_file_limit() -> Option<u64> {
    let limits = getrlimit(RLIMIT_NOFILE).ok().filter(|(soft, hard)| soft < hard);
    let raised = limits.filter(|(_, hard)| setrlimit(RLIMIT_NOFILE, *hard, *hard).is_ok());
    raised.map(|(soft, _)| soft)
}

/// The bytes of an argument, valid UTF-8 or not.
pub(crate) fn bytes_of(text: &OsStr) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// A command that runs a script in a shell. A limit of open files is set by an outer shell, which `exec` then replaces.
pub(crate) fn shell(script: &str, files_max: Option<u64>) -> Command {
    let mut command = Command::new("/bin/sh");
    match files_max {
        Some(max) => command.arg("-c").arg(format!("ulimit -S -n {max}; exec /bin/sh -c \"$0\"")).arg(script),
        None => command.arg("-c").arg(script),
    };
    command
}

/// Runs a script in a process group, to be killed by [`end_group`].
pub(crate) fn run_in_group(command: &mut Command) {
    command.process_group(0);
}

/// Whether the script's process group still has a process. The kernel does not reuse the group's number until it is
/// empty.
pub(crate) fn group_is_there(group: u32) -> bool {
    i32::try_from(group).is_ok_and(|group| killpg(Pid::from_raw(group), None).is_ok())
}

/// Signals a script and its children, except those that left the process group.
pub(crate) fn end_group(group: u32, force: bool) {
    let signal = if force { Kill::SIGKILL } else { Kill::SIGTERM };
    if let Ok(group) = i32::try_from(group) {
        // It may have exited meanwhile.
        _ = killpg(Pid::from_raw(group), signal);
    }
}

/// The signal that ended a process.
pub(crate) fn ending_signal(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// Writes the input of a script.
pub(crate) async fn write_input(input: io::PipeWriter, bytes: Vec<u8>) {
    if let Ok(mut input) = pipe::Sender::from_owned_fd(input.into()) {
        _ = input.write_all(&bytes).await;
    }
}

/// The reading end of a script's output.
pub(crate) struct ScriptOutput {
    pipe: Option<pipe::Receiver>,
}

impl ScriptOutput {
    pub(crate) fn new(pipe: io::PipeReader) -> io::Result<Self> {
        Ok(Self { pipe: Some(pipe::Receiver::from_owned_fd(pipe.into())?) })
    }

    pub(crate) const fn closed() -> Self {
        Self { pipe: None }
    }

    /// Reads once; false when all writers have closed it.
    pub(crate) async fn read(&mut self, take: impl FnOnce(&[u8])) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let mut chunk = [0; READ_BYTES];
        match pipe.read(&mut chunk).await {
            Ok(read) if read > 0 => take(&chunk[..read]),
            _ => self.pipe = None,
        }
        self.pipe.is_some()
    }
}

const SYSLOG_PATHS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// Clients that are connected and not accepted yet.
const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_file_has_its_mode_before_it_accepts_connections() {
        let directory = tempfile::tempdir().expect("can be made");
        let path = directory.path().join("mode.sock");
        let socket = bind_private(&path).expect("can be bound");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = UnixStream::connect(&path).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        drop(socket);
        // A crash left it behind; it is replaced, and new clients can connect.
        let listener = LocalListener::bind(&path).expect("can be bound again");
        assert!(UnixStream::connect(&path).is_ok());
        drop(listener);
        assert!(!path.exists(), "the file goes with its listener");
    }
}
