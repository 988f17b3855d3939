//! The files that settings come from.

use core::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::decode::{DecodeError, decode};
use super::layer::Layer;
use crate::endpoint::go_words;

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be read.
    Read {
        /// Its path as it was given.
        path: String,
        /// What was tried, and the system's answer.
        why: String,
    },
    /// It is no configuration.
    Decode {
        /// Its path.
        path: String,
        /// What is wrong.
        why: DecodeError,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, why } => write!(f, "Error reading '{path}': {why}"),
            Self::Decode { path, why } => write!(f, "Error decoding '{path}': {why}"),
        }
    }
}

impl core::error::Error for SourceError {}

/// Reads files in this order and puts them together. Of a directory all files are read whose names end in `.json`, sorted by
/// name; what lies deeper is not (`ReadConfigPaths` in `config.go`).
///
/// # Errors
///
/// Names the first file that cannot be used.
pub fn read(paths: &[String]) -> Result<Layer, SourceError> {
    let mut layer = Layer::default();
    for path in paths {
        let failed = |error: io::Error| SourceError::Read { path: path.clone(), why: open_failure(path, &error) };
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            layer.merge(read_file(Path::new(path))?);
            continue;
        }
        for file in directory(Path::new(path)).map_err(failed)? {
            layer.merge(read_file(&file)?);
        }
    }
    Ok(layer)
}

fn read_file(path: &Path) -> Result<Layer, SourceError> {
    let shown = path.display().to_string();
    let text =
        fs::read(path).map_err(|error| SourceError::Read { path: shown.clone(), why: open_failure(&shown, &error) })?;
    decode(&text).map_err(|why| SourceError::Decode { path: shown, why })
}

fn directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() && entry.file_name().as_encoded_bytes().ends_with(b".json") {
            files.push(entry.path());
        }
    }
    files.sort_unstable_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(files)
}

fn open_failure(path: &str, error: &io::Error) -> String {
    format!("open {path}: {}", go_words(error))
}
