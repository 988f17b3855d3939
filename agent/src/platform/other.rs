//! Systems other than Unix: no socket files, no syslog, no supervisor, no process groups, one signal.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitStatus;

use socket2::Socket;
use tokio::io::{Empty, Sink};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::{BlockingStream, Phase, READ_BYTES, Signal};

/// Only Ctrl-C exists here.
pub(crate) struct Signals;

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            core::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}

/// There is no supervisor.
pub(crate) fn notify_supervisor(_phase: Phase) -> io::Result<()> {
    Ok(())
}

/// There is no syslog daemon.
#[derive(Debug)]
pub(crate) enum SyslogSocket {}

impl SyslogSocket {
    pub(crate) fn connect() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn send(&self, _line: &[u8]) {
        match *self {}
    }
}

/// There are no socket files.
pub(crate) enum LocalListener {}

/// A client of a [`LocalListener`].
pub(crate) enum LocalStream {}

impl LocalListener {
    pub(crate) fn bind(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) async fn accept(&self) -> io::Result<LocalStream> {
        match *self {}
    }
}

impl LocalStream {
    pub(crate) fn into_split(self) -> (Empty, Sink) {
        match self {}
    }
}

/// There are no socket files.
pub(crate) fn dial_local(_path: &Path) -> io::Result<Box<dyn BlockingStream>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "not on this system"))
}

/// Address reuse suffices.
pub(crate) fn share_port(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Whether a socket can be bound to a multicast group.
pub(crate) const BINDS_TO_GROUPS: bool = false;

/// Creates a file with the permissions of its directory.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Files have no such mode.
pub(crate) fn is_readable_by_all(_path: &Path) -> bool {
    false
}

/// Directories cannot be synced.
pub(crate) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// There is no limit of open files.
pub(crate) fn file_limit() -> Option<u64> {
    None
}

/// There is no limit of open files.
pub(crate) fn raise_file_limit() -> Option<u64> {
    None
}

/// An argument in UTF-8.
pub(crate) fn bytes_of(text: &OsStr) -> Vec<u8> {
    text.to_string_lossy().into_owned().into_bytes()
}

/// A command that runs a script in a shell.
pub(crate) fn shell(script: &str, _files_max: Option<u64>) -> Command {
    let mut command = Command::new("cmd");
    command.arg("/C").arg(script);
    command
}

/// Kills the script when its handle is dropped; there are no process groups.
pub(crate) fn run_in_group(command: &mut Command) {
    command.kill_on_drop(true);
}

/// There are no process groups.
pub(crate) fn group_is_there(_group: u32) -> bool {
    false
}

/// There are no process groups.
pub(crate) fn end_group(_group: u32, _force: bool) {}

/// No signal ends a process.
pub(crate) fn ending_signal(_status: ExitStatus) -> Option<i32> {
    None
}

/// Writes the input of a script. Pipes block here, so another thread writes.
pub(crate) async fn write_input(mut input: io::PipeWriter, bytes: Vec<u8>) {
    _ = tokio::task::spawn_blocking(move || input.write_all(&bytes)).await;
}

/// The reading end of a script's output. Pipes block here, so a thread reads.
pub(crate) struct ScriptOutput {
    chunks: mpsc::Receiver<Vec<u8>>,
}

impl ScriptOutput {
    pub(crate) fn new(mut pipe: io::PipeReader) -> io::Result<Self> {
        let (chunk, chunks) = mpsc::channel(1);
        let read = move || {
            let mut bytes = [0; READ_BYTES];
            while let Ok(read) = pipe.read(&mut bytes)
                && read > 0
                && chunk.blocking_send(bytes[..read].to_vec()).is_ok()
            {}
        };
        std::thread::Builder::new().name("output".into()).spawn(read)?;
        Ok(Self { chunks })
    }

    pub(crate) fn closed() -> Self {
        Self { chunks: mpsc::channel(1).1 }
    }

    /// Reads once; false when all writers have closed it.
    pub(crate) async fn read(&mut self, take: impl FnOnce(&[u8])) -> bool {
        let chunk = self.chunks.recv().await;
        chunk.inspect(|chunk| take(chunk)).is_some()
    }
}
