//! Keyring (memberlist's keyring.go).

use alloc::sync::Arc;
use alloc::vec::Vec;

use thiserror::Error;

use super::crypt::Cipher;
use crate::limits::KEYS_MAX;
use crate::types::Key;

/// The installed keys. The first one, the primary, encrypts; all decrypt. An empty keyring disables encryption.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// Expanded once; shared by all nodes of a simulation.
    ciphers: Vec<Arc<Cipher>>,
}

impl Keyring {
    /// A keyring of these keys, the primary first. Duplicates are ignored.
    ///
    /// # Errors
    ///
    /// If there are more than [`KEYS_MAX`].
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyringError> {
        let mut ring = Self::default();
        for key in keys {
            ring.install(&key)?;
        }
        Ok(ring)
    }

    /// Appends a key. A key that is present keeps its position (`AddKey`).
    ///
    /// # Errors
    ///
    /// If the keyring is full.
    pub fn install(&mut self, key: &Key) -> Result<(), KeyringError> {
        if self.position(key).is_some() {
            return Ok(());
        }
        if self.ciphers.len() == KEYS_MAX {
            return Err(KeyringError::Full { limit: KEYS_MAX });
        }
        self.ciphers.push(Arc::new(Cipher::new(key.clone())));
        Ok(())
    }

    /// Makes an installed key the primary (`UseKey`).
    ///
    /// # Errors
    ///
    /// If the key is not installed.
    pub fn use_key(&mut self, key: &Key) -> Result<(), KeyringError> {
        let at = self.position(key).ok_or(KeyringError::Unknown)?;
        self.ciphers[..=at].rotate_right(1);
        Ok(())
    }

    /// Removes a key; removing an absent one succeeds (`RemoveKey`).
    ///
    /// # Errors
    ///
    /// If the key is the primary.
    pub fn remove(&mut self, key: &Key) -> Result<(), KeyringError> {
        match self.position(key) {
            Some(0) => Err(KeyringError::Primary),
            Some(at) => {
                self.ciphers.remove(at);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The keys, the primary first.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.ciphers.iter().map(|cipher| cipher.key())
    }

    /// Whether there is no key, so that encryption is off.
    pub const fn is_empty(&self) -> bool {
        self.ciphers.is_empty()
    }

    /// The cipher that encrypts.
    pub(super) fn primary(&self) -> Option<&Cipher> {
        self.ciphers.first().map(|cipher| &**cipher)
    }

    /// The ciphers that decrypt, in the order in which they are tried.
    pub(super) fn ciphers(&self) -> impl Iterator<Item = &Cipher> {
        self.ciphers.iter().map(|cipher| &**cipher)
    }

    fn position(&self, key: &Key) -> Option<usize> {
        self.keys().position(|other| other == key)
    }
}

impl PartialEq for Keyring {
    /// Equal if both have the same keys in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.keys().eq(other.keys())
    }
}

/// Why a keyring operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The primary key cannot be removed; make another key the primary first.
    #[error("the primary key cannot be removed")]
    Primary,
    /// The key is not installed.
    #[error("the key is not in the keyring")]
    Unknown,
    /// The keyring is full.
    #[error("the keyring has {limit} keys, which is the limit")]
    Full {
        /// Maximum number of keys.
        limit: usize,
    },
    /// The keyring is empty: the node was started without encryption, which cannot be enabled while it runs.
    #[error("encryption is not enabled")]
    Disabled,
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 16]).unwrap()
    }

    fn bytes(ring: &Keyring) -> Vec<u8> {
        ring.keys().map(|key| key.as_bytes()[0]).collect()
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let ring = Keyring::new([key(b'!')]).unwrap();
        assert_eq!(format!("{ring:?}"), "Keyring { ciphers: [Key(16 bytes)] }");
    }

    #[test]
    fn keys_are_installed_behind_the_primary_and_twice_is_once() {
        let mut ring = Keyring::new([key(1), key(2), key(1)]).unwrap();
        ring.install(&key(3)).unwrap();
        ring.install(&key(2)).unwrap();
        assert_eq!(bytes(&ring), [1, 2, 3]);
    }

    #[test]
    fn using_a_key_moves_it_to_the_front_and_needs_it_in_the_ring() {
        let mut ring = Keyring::new([key(1), key(2), key(3)]).unwrap();
        ring.use_key(&key(3)).unwrap();
        assert_eq!(bytes(&ring), [3, 1, 2]);
        assert_eq!(ring.use_key(&key(9)), Err(KeyringError::Unknown));
        assert_eq!(bytes(&ring), [3, 1, 2]);
    }

    #[test]
    fn the_primary_cannot_be_removed_others_can_and_unknown_keys_are_gone_already() {
        let mut ring = Keyring::new([key(1), key(2)]).unwrap();
        assert_eq!(ring.remove(&key(1)), Err(KeyringError::Primary));
        ring.remove(&key(9)).unwrap();
        ring.remove(&key(2)).unwrap();
        assert_eq!(bytes(&ring), [1]);
        assert_eq!(ring.remove(&key(1)), Err(KeyringError::Primary), "not even the last one");
    }

    #[test]
    fn a_ring_has_a_limit() {
        let keys = |count: usize| (0..count).map(|at| key(u8::try_from(at).unwrap()));
        let mut ring = Keyring::new(keys(KEYS_MAX)).unwrap();
        assert_eq!(ring.install(&key(200)), Err(KeyringError::Full { limit: KEYS_MAX }));
        ring.install(&key(0)).unwrap();
        assert!(Keyring::new(keys(KEYS_MAX + 1)).is_err());
    }
}
