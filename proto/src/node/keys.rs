//! The keys in use, and changing them while the node runs: by the application, and by the requests of members.
//!
//! A key is exchanged in three steps, each on every node before the next: install the new one, use it, remove the old one. With
//! [`Options::keyring_kept`](crate::Options::keyring_kept), a member's change is answered when the driver has written it.

use super::Node;
use crate::core::{KeyOutcome, KeyRequest};
use crate::envelope::KeyringError;
use crate::event::KeyOperation;
use crate::outbox::{Outbox, Output};
use crate::time::Instant;
use crate::types::{Key, KeyError, KeyringChange};

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

impl Node {
    /// Takes how the writing of our keys went that [`Output::Keyring`] asked for, and answers the member that changed them. After a
    /// failure the change is in force all the same, until the node ends: the member may ask again. `Err` says what went wrong, in at
    /// most 512 bytes; the rest is cut.
    pub fn keyring_written(&mut self, now: Instant, change: KeyringChange, result: Result<(), &str>, out: &mut Outbox) {
        self.command(now, out, |node, _| {
            let Some(requester) = node.core.key_requests.written(change) else { return };
            let message = cut(result.err().unwrap_or_default(), FAILURE_BYTES_MAX).into();
            let outcome = KeyOutcome { done: result.is_ok(), message, ..KeyOutcome::default() };
            node.serf.answer_key(&mut node.core, &requester, &outcome);
        });
    }

    /// Does what members want done with our keys, and answers them.
    pub(super) fn handle_key_requests(&mut self, out: &mut Outbox) {
        for request in self.core.key_requests.take_new() {
            let outcome = self.change_keys(&request);
            if outcome.done && request.operation != KeyOperation::List && self.core.cfg.keyring_kept {
                let change = self.core.key_requests.await_write(request.requester);
                out.push(Output::Keyring { change, keys: self.keys().cloned().collect() });
            } else {
                self.serf.answer_key(&mut self.core, &request.requester, &outcome);
            }
        }
    }

    /// The one place that touches the keyring on behalf of others. Refusals are in the words of HashiCorp's nodes, which operators
    /// and their scripts know.
    fn change_keys(&mut self, request: &KeyRequest) -> KeyOutcome {
        let refused = |message: &str| KeyOutcome { message: message.into(), ..KeyOutcome::default() };
        let is_list = request.operation == KeyOperation::List;
        if self.keys().len() == 0 {
            return refused(if is_list {
                "Keyring is empty (encryption not enabled)"
            } else {
                "No keyring to modify (encryption not enabled)"
            });
        }
        if is_list {
            let keys = self.keys().map(|key| key.to_base64().into_boxed_str()).collect();
            return KeyOutcome { done: true, keys, ..KeyOutcome::default() };
        }
        let changed = match (Key::new(&request.key), request.operation) {
            (Ok(key), KeyOperation::Install) => self.install_key(&key),
            (Ok(key), KeyOperation::Use) => self.use_key(&key),
            (Ok(key), _) => self.remove_key(&key),
            (Err(KeyError::Length { .. } | KeyError::Base64), KeyOperation::Install) => {
                return refused("key size must be 16, 24 or 32 bytes");
            }
            (Err(_), KeyOperation::Use) => Err(KeyringError::Unknown),
            // What cannot be a key is not there.
            (Err(_), _) => Ok(()),
        };
        match changed {
            Ok(()) => KeyOutcome { done: true, ..KeyOutcome::default() },
            Err(KeyringError::Primary) => refused("Removing the primary key is not allowed"),
            Err(KeyringError::Unknown) => refused("Requested key is not in the keyring"),
            Err(error) => refused(&alloc::string::ToString::to_string(&error)),
        }
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=text.len().min(bytes_max)).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

/// An answer must fit into a packet.
const FAILURE_BYTES_MAX: usize = 512;
