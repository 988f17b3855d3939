//! The keys in use, and changing them while the node runs.
//!
//! A key is exchanged in three steps, each on every node before the next: install the new one, use it, remove the old one.

use super::Node;
use crate::envelope::KeyringError;
use crate::types::Key;

impl Node {
    /// The keys in use, the primary first. None: nothing is encrypted.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.envelope.keyring().keys()
    }

    /// Adds a key: what others encrypt with it can be read from now on. One that is there already stays where it is.
    ///
    /// # Errors
    ///
    /// When the node was started without keys, or the keyring is full.
    pub fn install_key(&mut self, key: &Key) -> Result<(), KeyringError> {
        // Packets were sized without room for the encryption.
        if self.envelope.keyring().is_empty() {
            return Err(KeyringError::Disabled);
        }
        self.envelope.keyring_mut().install(key)
    }

    /// Encrypts with this key from now on.
    ///
    /// # Errors
    ///
    /// When it has not been installed.
    pub fn use_key(&mut self, key: &Key) -> Result<(), KeyringError> {
        self.envelope.keyring_mut().use_key(key)
    }

    /// Forgets a key: what others encrypt with it cannot be read any more. One that is not there is forgotten already.
    ///
    /// # Errors
    ///
    /// When it is the primary, with which we encrypt.
    pub fn remove_key(&mut self, key: &Key) -> Result<(), KeyringError> {
        self.envelope.keyring_mut().remove(key)
    }
}
