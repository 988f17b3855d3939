//! The files of a running node: snapshot and keyring.

use core::sync::atomic::Ordering;

use crate::error::NotWritten;
use crate::keyring_file::KeyringFile;
use crate::snapshot::SnapshotWriter;

/// The writers of the files on disk.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) snapshot: Option<SnapshotWriter>,
    pub(crate) keyring: Option<KeyringFile>,
}

impl Files {
    /// Number of failed writes.
    pub(crate) fn errors(&self) -> u64 {
        let keyring = self.keyring.as_ref().map_or(0, |file| file.errors.load(Ordering::Relaxed));
        keyring + self.snapshot.as_ref().map_or(0, SnapshotWriter::errors)
    }

    /// Closes the writers after their queued work.
    pub(crate) fn close(&self) {
        if let Some(snapshot) = &self.snapshot {
            snapshot.close();
        }
        if let Some(keyring) = &self.keyring {
            keyring.close();
        }
    }

    /// Waits until everything is flushed to disk.
    pub(crate) async fn ended(&self) -> Result<(), NotWritten> {
        if let Some(keyring) = &self.keyring {
            keyring.ended().await;
        }
        match &self.snapshot {
            Some(snapshot) => snapshot.ended().await,
            None => Ok(()),
        }
    }
}
