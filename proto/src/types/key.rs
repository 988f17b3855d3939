//! Secret keys.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use thiserror::Error;
use zeroize::Zeroize;

/// A secret key for AES-128, AES-192 or AES-256. Zeroed on drop, and hidden by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

impl Key {
    /// A key of 16, 24 or 32 bytes.
    ///
    /// # Errors
    ///
    /// If it has another length (`ValidateKey` in memberlist's security.go).
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        let len = bytes.len();
        if !matches!(len, 16 | 24 | KEY_BYTES_MAX) {
            return Err(KeyError::Length { bytes: len });
        }
        let mut key = Self { bytes: [0; KEY_BYTES_MAX], len };
        key.bytes[..len].copy_from_slice(bytes);
        Ok(key)
    }

    /// Parses base64 with padding, as `serf keygen` prints it. Line breaks are ignored, as by Go's decoder.
    ///
    /// # Errors
    ///
    /// If it is not base64, or does not have the length of a key.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let mut text: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let bytes = BASE64_STANDARD.decode(&text);
        text.zeroize();
        let mut bytes = bytes.map_err(|_| KeyError::Base64)?;
        let key = Self::new(&bytes);
        bytes.zeroize();
        key
    }

    /// Encodes the key in base64. Reveals the secret.
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.as_bytes())
    }

    /// The secret bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl core::str::FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_base64(text)
    }
}

impl TryFrom<&[u8]> for Key {
    type Error = KeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::new(bytes)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.len)
    }
}

/// Why a key is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The length is not 16, 24 or 32 bytes.
    #[error("the key has {bytes} bytes, it must have 16, 24 or 32")]
    Length {
        /// The length, in bytes.
        bytes: usize,
    },
    /// The text is not base64.
    #[error("the key is not valid base64")]
    Base64,
}

/// Length of an AES-256 key, in bytes.
const KEY_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_16_24_or_32_bytes() {
        for len in 0..40 {
            assert_eq!(Key::new(&[1; 40][..len]).is_ok(), matches!(len, 16 | 24 | 32), "{len}");
        }
    }

    #[test]
    fn a_key_is_read_from_base64_and_written_the_same() {
        let text = "MDEyMzQ1Njc4OWFiY2RlZg==";
        let key = Key::from_base64(text).unwrap();
        assert_eq!(key.as_bytes(), b"0123456789abcdef");
        assert_eq!(key.to_base64(), text);
        assert_eq!(Key::from_base64("MDEyMzQ1Njc4OWFiY2RlZg"), Err(KeyError::Base64), "without its padding");
        assert_eq!(Key::from_base64("not base64!"), Err(KeyError::Base64));
        assert_eq!(Key::from_base64("MDEy"), Err(KeyError::Length { bytes: 3 }));
    }
}
