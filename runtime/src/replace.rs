//! Atomic file replacement.

use core::time::Duration;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::disk::in_use;

/// Writes a new file beside `path`, syncs it, and renames it over `path`: after a crash either the old or the new file
/// is there, complete. Keeps the permissions of the old file; without an old one, only the owner may read it if
/// `is_secret`. Returns the new file, positioned at its end, and locked as by [`lock_file`]: it is locked before the
/// rename makes it visible.
pub(crate) fn replace(path: &Path, suffix: &str, is_secret: bool, contents: &[u8]) -> io::Result<Replaced> {
    // Resolves symbolic links, so that the target is replaced and the link stays.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = beside(path, suffix);
    // Removes the remains of a crash; their permissions may be anything.
    _ = fs::remove_file(&beside);
    let written = create(&beside, is_secret).and_then(|mut file| {
        // Some file systems have no locks.
        _ = file.try_lock();
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        Ok(file)
    });
    match written {
        Ok(file) => {
            let failure = path.parent().and_then(|directory| sync_directory(directory).err());
            Ok(Replaced { file, failure })
        }
        Err(error) => {
            _ = fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// A file that has replaced another.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) file: File,
    /// Why its directory could not be synced: after a power failure the old file could be back. Not an error of the
    /// replacement, since the new file is in place and must be used.
    failure: Option<io::Error>,
}

impl Replaced {
    /// Makes the contents and the name survive a power failure.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        // No second try: the kernel reports a failed write once, and a later success does not prove that it was repeated.
        self.failure.take().map_or(Ok(()), Err)
    }
}

/// Opens a file and locks it against other nodes, of this process or another, until it is dropped. The lock is
/// advisory: other programs, including HashiCorp's agent and older versions of this crate, ignore it. On a file system
/// without locks it has no effect.
///
/// # Errors
///
/// Returns the operating system's error, or [`in_use`] if another node has locked the file.
pub(crate) fn lock_file(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<File> {
    let mut tries_left = LOCK_TRIES;
    loop {
        let file = open(path)?;
        match file.try_lock() {
            // Another node may have replaced the file between the open and the lock, and then ended.
            Ok(()) if !is_still_at(&file, path) => {}
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
            Err(TryLockError::WouldBlock) if tries_left == 0 => return Err(in_use()),
            // A node of this process that was just dropped may still be writing.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
        }
        tries_left = tries_left.saturating_sub(1);
    }
}

#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => identity(ours) == identity(theirs),
        _ => false,
    }
}

#[cfg(not(unix))]
const fn is_still_at(_: &File, _: &Path) -> bool {
    true
}

/// Appends a suffix to the path.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn create(path: &Path, is_secret: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = is_secret;
    options.open(path)
}

/// Syncs a directory, so that a rename in it survives a power failure. A directory that may not be read, and a file
/// system that cannot do this, are no error: nothing more can be done.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    let Ok(directory) = File::open(directory) else { return Ok(()) };
    let is_impossible =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported);
    directory.sync_all().or_else(|error| if is_impossible(&error) { Ok(()) } else { Err(error) })
}

#[cfg(not(unix))]
const fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Attempts to take a lock that another node holds, and the pause between them.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
