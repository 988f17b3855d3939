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
pub(crate) fn replace(path: &Path, suffix: &str, is_secret: bool, contents: &[u8]) -> io::Result<File> {
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
            sync_directory(path);
            Ok(file)
        }
        Err(error) => {
            _ = fs::remove_file(&beside);
            Err(error)
        }
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

/// Syncs the directory, so that the rename survives a power failure. Some file systems do not support that; the error
/// is ignored because the rename itself succeeded.
fn sync_directory(path: &Path) {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Attempts to take a lock that another node holds, and the pause between them.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
