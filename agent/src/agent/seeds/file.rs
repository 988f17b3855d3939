//! Files of addresses: their content, and whether it may have changed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use thiserror::Error;

use super::TEXT_BYTES_MAX;
use crate::endpoint::read_failure;

/// Why a file gives no addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum FileError {
    /// The file cannot be read. A later read may succeed, although the file does not change.
    #[error("{0}")]
    Read(String),
    /// The content is not usable until the file changes.
    #[error("{0}")]
    Content(String),
}

/// The content of a file. A longer one is refused instead of cut: a part of an address may be another address.
///
/// # Errors
///
/// The file cannot be read, is no text, or is longer than [`TEXT_BYTES_MAX`].
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| FileError::Read(read_failure(path, &error)))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(FileError::Content(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| FileError::Content("it is not UTF-8".into()))
}

/// What the file system tells of a file without reading it. A file whose stamp is the same is taken as unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A file, or what a link leads to.
    Regular { modified: Option<SystemTime>, bytes: u64 },
    /// A pipe, a device or a directory. Reading a pipe consumes it, and may block.
    Other,
    /// There is no such file, or no permission.
    Missing(io::ErrorKind),
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(of) if of.is_file() => Self::Regular { modified: of.modified().ok(), bytes: of.len() },
            Ok(_) => Self::Other,
            Err(error) => Self::Missing(error.kind()),
        }
    }
}
