//! New keys. The one file of this crate that asks the operating system for randomness, behind a feature; no node does.

use core::fmt;

use zeroize::Zeroize;

use super::Key;

impl Key {
    /// A new key of 32 bytes, as `serf keygen` makes it.
    ///
    /// # Errors
    ///
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| EntropyError)?;
        let key = Self::new(&bytes).map_err(|_| EntropyError);
        bytes.zeroize();
        key
    }
}

/// The operating system gives no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntropyError;

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gives no randomness for a key")
    }
}

impl core::error::Error for EntropyError {}
