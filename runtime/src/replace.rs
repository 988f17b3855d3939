//! Replacing a file in one step.

use core::time::Duration;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a new file beside `path`, has it on the disk, and renames it: whatever happens, there is the old one or the new one, whole.
/// The permissions of the old are kept; without one, only the owner may read it if `is_secret`. Returns the file, at its end, locked
/// as by [`lock_file`]: it was before anybody else could find it.
pub(crate) fn replace(path: &Path, suffix: &str, is_secret: bool, contents: &[u8]) -> io::Result<File> {
    // A link stays a link: what it points to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = beside(path, suffix);
    // One that a crash has left. Its permissions may be anything.
    _ = fs::remove_file(&beside);
    let written = create(&beside, is_secret).and_then(|mut file| {
        // Where locks are not to be had, there are none.
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
            sync_directory(path);
            Ok(file)
        }
        Err(error) => {
            _ = fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// Opens a file and locks it against other nodes, of this process or another, until it is dropped. The lock is advisory: other
/// programs, HashiCorp's agent and older versions of this one among them, neither see nor respect it. Where the file system has no locks, there
/// is none.
///
/// # Errors
///
/// The system's, and one for which [`is_in_use`] when another node has the file.
pub(crate) fn lock_file(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<File> {
    let mut tries_left = LOCK_TRIES;
    loop {
        let file = open(path)?;
        match file.try_lock() {
            // Between the opening and the locking another node may have replaced it, and ended.
            Ok(()) if !is_still_at(&file, path) => {}
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
            Err(TryLockError::WouldBlock) if tries_left == 0 => return Err(io::Error::other(InUse)),
            // A node of this process that was dropped a moment ago may still be writing.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
        }
        tries_left = tries_left.saturating_sub(1);
    }
}

/// Whether opening a file failed because another node has it.
pub(crate) fn is_in_use(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<InUse>())
}

/// Another node has the file.
#[derive(Debug, thiserror::Error)]
#[error("another node uses it")]
struct InUse;

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

/// The path with something at its end.
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

/// The new name, too, is to outlive a power failure. Not every file system can promise that; the file is in its place all the same.
fn sync_directory(path: &Path) {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// How often a lock that another has is tried again, and after how long.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
