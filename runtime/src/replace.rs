//! Replacing a file in one step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a new file beside `path`, has it on the disk, and renames it: whatever happens, there is the old one or the new one, whole.
/// The permissions of the old are kept; without one, only the owner may read it if `is_secret`. Returns the file, at its end.
pub(crate) fn replace(path: &Path, suffix: &str, is_secret: bool, contents: &[u8]) -> io::Result<File> {
    // A link stays a link: what it points to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = beside(path, suffix);
    // One that a crash has left. Its permissions may be anything.
    _ = fs::remove_file(&beside);
    let written = create(&beside, is_secret).and_then(|mut file| {
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
