//! The file that keeps the keys: a JSON list of keys in base64, the primary first, as HashiCorp's agent has it.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serf_proto::envelope::{Key, KeyError};

use crate::error::{Plain, StartError};
use crate::lock;
use crate::replace::replace;

/// Reads a keyring file: the primary key first, at least one. A node does this by itself with its
/// [`keyring_file`](crate::Options::keyring_file).
///
/// # Errors
///
/// When it cannot be read, is no list of keys, or has none.
pub fn read_keyring_file(path: impl AsRef<Path>) -> Result<Vec<Key>, KeyringFileError> {
    let text = fs::read(path).map_err(KeyringFileError::Read)?;
    let texts: Vec<String> = serde_json::from_slice(&text).map_err(|_| KeyringFileError::Malformed)?;
    let key =
        |(at, text): (usize, &String)| Key::from_base64(text).map_err(|error| KeyringFileError::Key { at, error });
    let keys = texts.iter().enumerate().map(key).collect::<Result<Vec<Key>, _>>()?;
    if keys.is_empty() { Err(KeyringFileError::Empty) } else { Ok(keys) }
}

/// Writes a keyring file, in one step: a reader, or a crash, sees the old one or the new one. A new file may be read by its owner
/// only; one that is there keeps its permissions.
///
/// # Errors
///
/// The operating system's.
pub fn write_keyring_file(path: impl AsRef<Path>, keys: &[Key]) -> io::Result<()> {
    let texts: Vec<String> = keys.iter().map(Key::to_base64).collect();
    let json = serde_json::to_string_pretty(&texts).map_err(io::Error::other)?;
    replace(path.as_ref(), ".new", true, json.as_bytes()).map(drop)
}

/// Why a keyring file cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyringFileError {
    /// It cannot be read.
    Read(io::Error),
    /// It is no JSON list of strings.
    Malformed,
    /// One of them is no key.
    Key {
        /// Which, counted from 0.
        at: usize,
        /// What is wrong with it.
        error: KeyError,
    },
    /// There is no key in it.
    Empty,
}

impl fmt::Display for KeyringFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the keyring file cannot be read: {}", Plain(error)),
            Self::Malformed => f.write_str("the keyring file is no JSON list of strings"),
            Self::Key { at, error } => write!(f, "number {at} in the keyring file is no key: {error}"),
            Self::Empty => f.write_str("there is no key in the keyring file"),
        }
    }
}

impl core::error::Error for KeyringFileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Read(error) => error.source(),
            Self::Key { error, .. } => error.source(),
            Self::Malformed | Self::Empty => None,
        }
    }
}

/// The keys that a node starts with: those of the file, which has every change that members have made, or, when there is none yet,
/// those that were `given`. HashiCorp's library only writes the file and HashiCorp's agent only reads keys from it; here one setting
/// does both, so that a node with a keyring never starts in the clear, nor with keys that its cluster no longer has.
///
/// # Errors
///
/// When the file is there and cannot be used, or is not there and no keys are `given`.
pub(crate) fn keys_at_start(path: &Path, given: Vec<Key>) -> Result<Vec<Key>, StartError> {
    match read_keyring_file(path) {
        Err(KeyringFileError::Read(error)) if error.kind() == io::ErrorKind::NotFound && !given.is_empty() => Ok(given),
        Err(source) => Err(StartError::Keyring { path: path.to_owned(), source }),
        Ok(keys) => {
            if !given.iter().all(|key| keys.contains(key)) {
                tracing::warn!(path = %path.display(), "the keyring has other keys than encrypt_keys; those of the keyring are used");
            }
            Ok(keys)
        }
    }
}

/// A running node's keyring file.
#[derive(Debug)]
pub(crate) struct KeyringFile {
    path: PathBuf,
    /// The number of the last change that was written; 0: none.
    newest: Mutex<u64>,
    pub(crate) errors: AtomicU64,
}

impl KeyringFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, newest: Mutex::default(), errors: AtomicU64::new(0) }
    }

    /// Writes the keys, unless newer ones are in the file: changes are made under the node's lock and written without it.
    ///
    /// # Errors
    ///
    /// What to tell whoever changed the keys. It begins as HashiCorp's does.
    pub(crate) fn write(&self, change: u64, keys: &[Key]) -> Result<(), String> {
        let mut newest = lock(&self.newest);
        if change <= *newest {
            return Ok(());
        }
        let path = self.path.display();
        write_keyring_file(&self.path, keys).map_err(|error| {
            self.errors.fetch_add(1, Ordering::Relaxed);
            let error = Plain(&error);
            tracing::error!(%path, %error, "the keyring cannot be written: keys will be lost");
            format!("Failed to write keyring file: {path}: {error}")
        })?;
        *newest = change;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 16]).unwrap()
    }

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("serf-{name}-{}", std::process::id()));
        _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_keyring_is_written_in_serfs_format_for_its_owner_only_and_read_again() {
        let path = scratch("keyring-format");
        write_keyring_file(&path, &[key(1), key(2)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "[\n  \"AQEBAQEBAQEBAQEBAQEBAQ==\",\n  \"AgICAgICAgICAgICAgICAg==\"\n]");
        assert_eq!(read_keyring_file(&path).unwrap(), [key(1), key(2)]);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777, 0o600);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_keyring_is_refused_with_what_is_wrong_about_it() {
        let path = scratch("keyring-bad");
        assert!(matches!(read_keyring_file(&path), Err(KeyringFileError::Read(_))));
        type Check = fn(&KeyringFileError) -> bool;
        let cases: [(&str, Check); 5] = [
            ("", |error| matches!(error, KeyringFileError::Malformed)),
            ("[]", |error| matches!(error, KeyringFileError::Empty)),
            ("{}", |error| matches!(error, KeyringFileError::Malformed)),
            ("[1]", |error| matches!(error, KeyringFileError::Malformed)),
            ("[\"AQEBAQEBAQEBAQEBAQEBAQ==\", \"AQ==\"]", |error| {
                matches!(error, KeyringFileError::Key { at: 1, error: KeyError::Length { bytes: 1 } })
            }),
        ];
        for (text, is_right) in cases {
            fs::write(&path, text).unwrap();
            let error = read_keyring_file(&path).unwrap_err();
            assert!(is_right(&error), "{text}: {error}");
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_older_keyring_never_replaces_a_newer_one() {
        let path = scratch("keyring-order");
        let file = KeyringFile::new(path.clone());
        file.write(2, &[key(2)]).unwrap();
        file.write(1, &[key(1)]).unwrap();
        assert_eq!(read_keyring_file(&path).unwrap(), [key(2)]);
        fs::remove_file(path).unwrap();
    }
}
