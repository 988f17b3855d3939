//! Files of addresses: their content, and whether it may have changed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use super::TEXT_BYTES_MAX;
use crate::endpoint::read_failure;

/// The content of a file. A longer one is refused instead of cut: a part of an address may be another address.
///
/// # Errors
///
/// The file cannot be read, is no text, or is longer than [`TEXT_BYTES_MAX`].
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| read_failure(path, &error))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(format!("it is longer than {TEXT_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

/// What the file system tells of a file without reading it. A file whose stamp is the same is taken as unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A file, or what a link leads to.
    Regular { modified: Option<SystemTime>, bytes: u64 },
    /// A pipe, a device or a directory. To read a pipe takes the content away, and may wait for ever.
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
