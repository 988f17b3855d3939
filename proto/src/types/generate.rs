//! Random keys. The only file of this crate that reads the operating system's entropy, behind a feature. No node calls
//! it.

use core::fmt;

use zeroize::Zeroize;

use super::Key;

impl Key {
    /// A random key of 32 bytes, as `serf keygen` creates it.
    ///
    /// # Errors
    ///
    /// If the operating system provides no entropy.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| EntropyError)?;
        let key = Self::new(&bytes).map_err(|_| EntropyError);
        bytes.zeroize();
        key
    }
}

/// The operating system provides no entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntropyError;

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gives no randomness for a key")
    }
}

impl core::error::Error for EntropyError {}
