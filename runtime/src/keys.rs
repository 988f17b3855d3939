//! Keys of the whole cluster.

use serf_proto::envelope::Key;
use serf_proto::{KeyOperation, KeyReport, KeysError};

use crate::error::CommandError;
use crate::net::Net;
use crate::serf::Serf;

/// Changing keys. A key is exchanged in three steps, each done by every member before the next: install the new one, use it, remove
/// the old one. Every member writes its [`keyring_file`](crate::NodeOptions::keyring_file), if it has one, before it answers; one that
/// cannot has failed, though it makes use of the change as long as it runs.
impl<N: Net> Serf<N> {
    /// Has every member add a key, so that it can read what is encrypted with it. Waits for their answers.
    ///
    /// Dropping the future does not undo anything. That some did not do it is no error: see [`KeyReport::is_done`].
    ///
    /// # Errors
    ///
    /// When keys are being changed already, the query cannot be asked, or the node is stopped.
    pub async fn install_key(&self, key: &Key) -> Result<KeyReport, CommandError<KeysError>> {
        self.change_keys(KeyOperation::Install, key.as_bytes(), 0).await
    }

    /// Has every member encrypt with a key from now on. Otherwise as [`install_key`](Self::install_key).
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub async fn use_key(&self, key: &Key) -> Result<KeyReport, CommandError<KeysError>> {
        self.change_keys(KeyOperation::Use, key.as_bytes(), 0).await
    }

    /// Has every member forget a key. Otherwise as [`install_key`](Self::install_key).
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub async fn remove_key(&self, key: &Key) -> Result<KeyReport, CommandError<KeysError>> {
        self.change_keys(KeyOperation::Remove, key.as_bytes(), 0).await
    }

    /// Asks every member for its keys. Otherwise as [`install_key`](Self::install_key).
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub async fn list_keys(&self) -> Result<KeyReport, CommandError<KeysError>> {
        self.change_keys(KeyOperation::List, &[], 0).await
    }

    /// Any of the four, with a key as bytes (none for a list), and each answer also over `relay_factor` other members in case the
    /// direct way loses it.
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key), and when the key has a length that no key has.
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
            Ok(())
        })?;
        waiting.recv().await.map_err(|_| CommandError::Stopped)
    }

    /// The keys in use, the primary first. None: nothing is encrypted.
    pub fn keys(&self) -> Vec<Key> {
        self.shared().lock().node.keys().cloned().collect()
    }
}
