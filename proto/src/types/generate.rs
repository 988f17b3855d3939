//! Random keys. The only file of this crate that reads the operating system's entropy, behind a feature. No node calls
//! it.

use thiserror::Error;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the operating system failed to provide randomness for a key")]
pub struct EntropyError;
