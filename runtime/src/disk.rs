//! Files of a node, and the workers that write them.

use core::fmt;
use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use serf_proto::Instant;

use crate::replace::{Replaced, beside, lock_file, replace};

/// The disk of a host, as the snapshot and the keyring file use it. [`SystemDisk`] is the operating system's; a simulation
/// has its own.
///
/// A node calls it at its start, and in a [`Worker`] from then on, so that a slow disk does not block the node.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Opens a file and locks it against other nodes until it is dropped.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error, or [`in_use`] if another node has locked the file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;

    /// Writes a new file of the name `path` plus `suffix`, syncs it, locks it and renames it to `path`: after a crash
    /// either the old or the new file is there, complete. Keeps the permissions of the old file; without an old one, only
    /// the owner may read it if `is_secret`. Returns the new file, positioned at its end.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error; the old file is then intact.
    fn replace(&self, path: &Path, suffix: &str, is_secret: bool, contents: &[u8]) -> io::Result<Box<dyn DiskFile>>;

    /// If there is no file `path`, but one of the name `path` plus `suffix`, renames that one to `path`.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn recover(&self, path: &Path, suffix: &str) -> io::Result<()>;

    /// Creates a directory, readable by its owner only, and those that contain it. Succeeds if it exists.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Returns the names of the files in a directory, in any order.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Starts a worker on a thread of its own. Waking the returned waker runs it.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started.
    fn start(&self, name: &str, worker: Box<dyn Worker>) -> io::Result<Waker>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// To read it and to append to it. Created if it does not exist.
    Append,
    /// To lock it only. It must exist.
    Existing,
}

/// An open, locked file of a [`Disk`].
pub trait DiskFile: fmt::Debug + Send {
    /// Reads from the current position to the end.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn read_to_end(&mut self) -> io::Result<Vec<u8>>;

    /// Truncates the file.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;

    /// Writes all bytes at the end. They survive a crash of the process; only [`sync`](Self::sync) makes them survive a
    /// power failure.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error. A part of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until everything that was written is on stable storage.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    fn sync(&mut self) -> io::Result<()>;
}

/// A writer of a file: runs when its waker was woken, and when the pause that it returned has passed.
pub trait Worker: Send {
    /// Does all work that is due. May block. `now` is the time since an origin that the disk chooses.
    fn work(&mut self, now: Instant) -> Turn;
}

/// When a [`Worker`] runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// When it is woken, at the latest after this time; `None` is no limit.
    Wait(Option<Duration>),
    /// Never: it is dropped.
    End,
}

/// The files of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let file = match mode {
            OpenMode::Append => {
                lock_file(path, |path| OpenOptions::new().read(true).append(true).create(true).open(path))
            }
            OpenMode::Existing => lock_file(path, |path| File::open(path)),
        };
        Ok(Box::new(file?))
    }

    fn replace(&self, path: &Path, suffix: &str, is_secret: bool, contents: &[u8]) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(replace(path, suffix, is_secret, contents)?))
    }

    fn recover(&self, path: &Path, suffix: &str) -> io::Result<()> {
        let other = beside(path, suffix);
        if !path.exists() && other.exists() { fs::rename(other, path) } else { Ok(()) }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn start(&self, name: &str, mut worker: Box<dyn Worker>) -> io::Result<Waker> {
        let run = move || {
            let origin = std::time::Instant::now();
            // A wake-up that comes before the thread parks is not lost.
            loop {
                match worker.work(Instant::ZERO + origin.elapsed()) {
                    Turn::Wait(None) => thread::park(),
                    Turn::Wait(Some(pause)) => thread::park_timeout(pause),
                    Turn::End => return,
                }
            }
        };
        let handle = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Waker::from(Arc::new(Unpark(handle.thread().clone()))))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

impl DiskFile for Replaced {
    fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        DiskFile::read_to_end(&mut self.file)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Self::sync(self)
    }
}

impl DiskFile for File {
    fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        Read::read_to_end(self, &mut contents)?;
        Ok(contents)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Returns the error of [`Disk::open`] for a file that another node has locked.
pub fn in_use() -> io::Error {
    io::Error::other(InUse)
}

/// Whether opening a file failed because another node has locked it.
pub(crate) fn is_in_use(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<InUse>())
}

/// The file is locked by another node.
#[derive(Debug, thiserror::Error)]
#[error("locked by another node")]
struct InUse;
