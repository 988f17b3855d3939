//! The text of a keyring file: a JSON list of keys. It is only read and written with the feature `encryption`, without
//! which no node has a key.

use std::io;

use crate::error::KeyringFileError;

#[cfg(feature = "encryption")]
pub(crate) fn parse(text: &[u8]) -> Result<Vec<String>, KeyringFileError> {
    serde_json::from_slice(text).map_err(|_| KeyringFileError::Malformed)
}

#[cfg(feature = "encryption")]
pub(crate) fn format(keys: &[String]) -> io::Result<String> {
    serde_json::to_string_pretty(keys).map_err(io::Error::other)
}

#[cfg(not(feature = "encryption"))]
pub(crate) fn parse(_text: &[u8]) -> Result<Vec<String>, KeyringFileError> {
    Err(KeyringFileError::Unsupported)
}

#[cfg(not(feature = "encryption"))]
pub(crate) fn format(_keys: &[String]) -> io::Result<String> {
    Err(io::Error::new(io::ErrorKind::Unsupported, KeyringFileError::Unsupported))
}
