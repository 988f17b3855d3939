//! Cluster-wide key operations.

use serf_proto::Key;
use serf_proto::{KeyOperation, KeyReport, KeysError};

use crate::error::CommandError;
use crate::net::Net;
use crate::serf::Serf;
use crate::span;

/// Key operations. A key is rotated in three steps, each completed by every member before the next: install the new
/// key, use it, remove the old one. Every member with a [`keyring_file`](crate::Options::keyring_file) writes it
/// before it answers. A member whose write fails reports an error, although the change is in force until it stops.
impl<N: Net> Serf<N> {
    /// Installs a key on every member, so that it can decrypt with it. Waits for the answers.
    ///
    /// Dropping the future undoes nothing. A failure on some members is not an error: see [`KeyReport::is_done`].
    ///
    /// # Errors
    ///
    /// Returns an error if another key operation is running, the query cannot be sent, or the node is stopped.
    pub async fn install_key(&self, key: &Key) -> Result<KeyReport, CommandError<KeysError>> {
        self.change_keys(KeyOperation::Install, key.as_bytes(), 0).await
    }

    /// Makes a key the primary on every member, which then encrypts with it. Otherwise like
    /// [`install_key`](Self::install_key).
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub async fn use_key(&self, key: &Key) -> Result<KeyReport, CommandError<KeysError>> {
        self.change_keys(KeyOperation::Use, key.as_bytes(), 0).await
    }

    /// Removes a key from every member. Otherwise like [`install_key`](Self::install_key).
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub async fn remove_key(&self, key: &Key) -> Result<KeyReport, CommandError<KeysError>> {
        self.change_keys(KeyOperation::Remove, key.as_bytes(), 0).await
    }

    /// Lists the keys of every member. Otherwise like [`install_key`](Self::install_key).
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub async fn list_keys(&self) -> Result<KeyReport, CommandError<KeysError>> {
        self.change_keys(KeyOperation::List, &[], 0).await
    }

    /// Runs any of the four operations, with a key as bytes (empty for a list). Each answer is also relayed over
    /// `relay_factor` other members, in case the direct packet is lost.
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key), and if the key has an invalid length.
    pub async fn change_keys(
        &self,
        operation: KeyOperation,
        key: &[u8],
        relay_factor: u8,
    ) -> Result<KeyReport, CommandError<KeysError>> {
        let (done, waiting) = async_channel::bounded(1);
        self.command(|engine, now, out| {
            let id = engine.node.change_all_keys(now, operation, key, relay_factor, out)?;
            engine.keys.insert(id, done);
            engine.trace(id, span::query(operation));
            Ok(())
        })?;
        waiting.recv().await.map_err(|_| CommandError::Stopped)
    }

    /// Returns the keyring, the primary key first. Empty: encryption is off.
    pub fn keys(&self) -> Vec<Key> {
        self.shared().lock().node.keys().cloned().collect()
    }
}
