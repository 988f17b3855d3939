//! Reads and writes the keyring file.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use thiserror::Error;

use super::resolve::decode_base64;
use crate::endpoint::{go_words, read_failure};
use crate::json::Json;
use crate::platform::{create_private, sync_directory};

/// Why a keyring file is invalid. Displayed with the messages of HashiCorp's agent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The file does not exist.
    #[error("stat {path}: {why}")]
    Missing {
        /// Its path.
        path: String,
        /// The system's error.
        why: String,
    },
    /// The file cannot be read.
    #[error("Failed to read keyring file: {0}")]
    Read(String),
    /// The content is not a JSON list of strings.
    #[error("Failed to decode keyring file: {0}")]
    Decode(String),
    /// A key is not base64.
    #[error("Failed to decode key from keyring: illegal base64 data at input byte {offset}")]
    Key {
        /// The offset of the error in the key.
        offset: usize,
    },
    /// The list is empty.
    #[error("Keyring file contains no keys")]
    Empty,
    /// The length of a key is not 16, 24 or 32 bytes.
    #[error("Failed to restore keyring: key size must be 16, 24 or 32 bytes")]
    Size,
}

/// Reads the keys of a file; see [`parse_keyring`].
///
/// # Errors
///
/// See [`KeyringError`].
pub fn read_keyring(path: &Path) -> Result<Vec<Vec<u8>>, KeyringError> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyringError::Missing { path: path.display().to_string(), why: go_words(&error) },
        _ => KeyringError::Read(read_failure(path, &error)),
    })?;
    parse_keyring(&text)
}

/// Parses the content of a file: the keys, the primary one first; there is at least one (`loadKeyringFile` in `agent.go`).
///
/// # Errors
///
/// See [`KeyringError`].
pub fn parse_keyring(text: &[u8]) -> Result<Vec<Vec<u8>>, KeyringError> {
    let texts = match parse_json(text).map_err(KeyringError::Decode)? {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        _ => return Err(KeyringError::Decode("expected a list of texts".into())),
    };
    let mut keys = Vec::new();
    for text in &texts {
        let text = text.as_str().ok_or_else(|| KeyringError::Decode("a key is not a string".into()))?;
        keys.push(decode_base64(text).map_err(|offset| KeyringError::Key { offset })?);
    }
    if keys.is_empty() {
        return Err(KeyringError::Empty);
    }
    if keys.iter().any(|key| !matches!(key.len(), 16 | 24 | 32)) {
        return Err(KeyringError::Size);
    }
    Ok(keys)
}

/// Replaces the file atomically by one with these keys, the primary one first. HashiCorp's: `WriteKeyringFile` in
/// `keymanager.go` of Serf writes in place. A new file is readable by its owner only.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_keyring<'k>(path: &Path, keys: impl IntoIterator<Item = &'k [u8]>) -> io::Result<()> {
    replace(path, render_keyring(keys).as_bytes())
}

/// The content of a file with these keys, the primary one first.
pub fn render_keyring<'k>(keys: impl IntoIterator<Item = &'k [u8]>) -> String {
    Json::List(keys.into_iter().map(|key| Json::text(&STANDARD.encode(key))).collect()).render()
}

/// Parses JSON, with Go's message for a text that ends too early.
pub(super) fn parse_json(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text)
        .map_err(|error| if error.is_eof() { "unexpected end of JSON input".into() } else { error.to_string() })
}

/// Writes a file beside `path` and renames it. Keeps the permissions of the replaced file; a new file is readable by
/// its owner only.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    // A symbolic link stays: its target is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    _ = fs::remove_file(&beside);
    let mut file = create_private(&beside)?;
    let written = (|| {
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        _ = fs::remove_file(&beside);
    }
    written.and_then(|()| path.parent().map_or(Ok(()), sync_directory))
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    /// A directory for one test, removed on drop.
    pub(in super::super) struct Directory(TempDir);

    impl Directory {
        pub(in super::super) fn new() -> Self {
            Self(tempfile::tempdir().expect("can be made"))
        }

        pub(in super::super) fn file(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
    }

    #[test]
    fn keys_survive_a_file_which_looks_like_hashicorps() {
        let dir = Directory::new();
        let path = dir.file("keys.json");
        let keys: [&[u8]; 2] = [&[0; 16], &[1; 32]];
        write_keyring(&path, keys).expect("can be written");
        assert_eq!(
            fs::read_to_string(&path).expect("was written"),
            "[\n  \"AAAAAAAAAAAAAAAAAAAAAA==\",\n  \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"\n]"
        );
        assert_eq!(read_keyring(&path), Ok(keys.map(<[u8]>::to_vec).into()));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_its_owners_and_an_old_one_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Directory::new();
        let path = dir.file("keys.json");
        let mode = || fs::metadata(&path).expect("is there").permissions().mode() & 0o777;
        let write = || write_keyring(&path, [[0; 16].as_slice()]).expect("can be written");
        write();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("is ours");
        write();
        assert_eq!(mode(), 0o640);
    }

    #[test]
    fn other_files_are_refused_as_by_hashicorps_agent() {
        let dir = Directory::new();
        let path = dir.file("keys.json");
        let missing = read_keyring(&path).expect_err("is missing").to_string();
        assert_eq!(missing, format!("stat {}: no such file or directory", path.display()));
        for (text, message) in [
            ("[]", "Keyring file contains no keys"),
            ("[\"AAAA\"", "Failed to decode keyring file: unexpected end of JSON input"),
            ("[\"!!\"]", "Failed to decode key from keyring: illegal base64 data at input byte 0"),
            ("[\"AAAA\"]", "Failed to restore keyring: key size must be 16, 24 or 32 bytes"),
        ] {
            fs::write(&path, text).expect("can be written");
            assert_eq!(read_keyring(&path).expect_err(text).to_string(), message);
        }
    }
}
