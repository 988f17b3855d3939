//! Reads settings from files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::decode::{DecodeError, decode};
use super::settings::Settings;
use crate::endpoint::go_words;

/// Why a file is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be read.
    #[error("Error reading '{path}': {why}")]
    Read {
        /// Its path as given.
        path: String,
        /// The operation that failed, and the system's error.
        why: String,
    },
    /// The content is not a configuration.
    #[error("Error decoding '{path}': {why}")]
    Decode {
        /// Its path.
        path: String,
        /// What is wrong.
        why: DecodeError,
    },
}

/// Reads files in this order and merges them (`ReadConfigPaths` in `config.go`).
///
/// # Errors
///
/// Names the first invalid file.
pub fn read(paths: &[String]) -> Result<Settings, SourceError> {
    let mut settings = Settings::default();
    for (_, layer) in layers(paths)? {
        settings.merge(layer);
    }
    Ok(settings)
}

/// Reads files in this order: the path and the settings of each.
///
/// # Errors
///
/// Names the first invalid file.
pub(super) fn layers(paths: &[String]) -> Result<Vec<(PathBuf, Settings)>, SourceError> {
    let mut layers = Vec::new();
    for path in paths {
        for file in files(path)? {
            let settings = read_file(&file)?;
            layers.push((file, settings));
        }
    }
    Ok(layers)
}

/// The file, or of a directory all files whose names end in `.json`, sorted by name, without subdirectories.
///
/// # Errors
///
/// The path does not exist, or the directory cannot be read.
pub(super) fn files(path: &str) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |error: io::Error| SourceError::Read { path: path.into(), why: open_failure(path, &error) };
    if fs::metadata(path).map_err(failed)?.is_dir() {
        return directory(Path::new(path)).map_err(failed);
    }
    Ok(vec![PathBuf::from(path)])
}

fn read_file(path: &Path) -> Result<Settings, SourceError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keyring::tests::Directory;

    #[test]
    fn files_of_a_directory_are_read_by_name_and_win_in_that_order() {
        let dir = Directory::new();
        let write = |name: &str, text: &str| fs::write(dir.file(name), text).expect("can be written");
        write("b.json", "{\"node_name\": \"b\", \"start_join\": [\"b\"]}");
        write("a.json", "{\"node_name\": \"a\", \"start_join\": [\"a\"], \"profile\": \"wan\"}");
        write(".hidden.json", "{\"start_join\": [\"hidden\"]}");
        write("not.txt", "no JSON");
        fs::create_dir_all(dir.file("deep.json")).expect("can be made");
        let path = dir.file("").display().to_string();
        let settings = read(&[path]).expect("is valid");
        assert_eq!((settings.node_name.as_str(), settings.profile.as_str()), ("b", "wan"));
        assert_eq!(settings.start_join, ["hidden", "a", "b"]);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = Directory::new();
        let path = dir.file("x").display().to_string();
        let error = |path: &String| read(core::slice::from_ref(path)).expect_err("cannot be used").to_string();
        assert_eq!(error(&path), format!("Error reading '{path}': open {path}: no such file or directory"));
        fs::write(&path, "{").expect("can be written");
        assert_eq!(error(&path), format!("Error decoding '{path}': unexpected EOF"));
    }
}
