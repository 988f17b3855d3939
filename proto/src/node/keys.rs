//! The keyring at run time: changed by the application, or by key queries of members.
//!
//! A key is rotated in three steps, each on all nodes before the next: install the new key, use it, remove the old one.
//! With [`Options::keyring_kept`](crate::TransportOptions::keyring_kept), a member's change is answered only after the driver
//! has written it to disk.

use super::Node;
use crate::core::{KeyOutcome, KeyRequest};
use crate::envelope::KeyringError;
use crate::event::KeyOperation;
use crate::input::Input;
use crate::outbox::{Outbox, Output};
use crate::time::Instant;
use crate::types::{Key, KeyError, KeyringChange};

impl Node {
    /// The keys of the keyring, the primary first. Empty: encryption is off.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.envelope.keyring().keys()
    }

    /// Adds a key for decryption. A key that is present keeps its position.
    ///
    /// # Errors
    ///
    /// If the node was started without keys, or the keyring is full.
    pub fn install_key(&mut self, key: &Key) -> Result<(), KeyringError> {
        self.tap_key(KeyOperation::Install, key);
        self.install(key)
    }

    fn install(&mut self, key: &Key) -> Result<(), KeyringError> {
        // Packet sizes were computed without room for the nonce and tag.
        if self.envelope.keyring().is_empty() {
            return Err(KeyringError::Disabled);
        }
        self.envelope.keyring_mut().install(key)
    }

    /// Makes an installed key the primary, which encrypts.
    ///
    /// # Errors
    ///
    /// If the key is not installed.
    pub fn use_key(&mut self, key: &Key) -> Result<(), KeyringError> {
        self.tap_key(KeyOperation::Use, key);
        self.envelope.keyring_mut().use_key(key)
    }

    /// Removes a key; packets encrypted with it are dropped from then on. Removing an absent key succeeds.
    ///
    /// # Errors
    ///
    /// If the key is the primary.
    pub fn remove_key(&mut self, key: &Key) -> Result<(), KeyringError> {
        self.tap_key(KeyOperation::Remove, key);
        self.envelope.keyring_mut().remove(key)
    }

    fn tap_key(&mut self, operation: KeyOperation, key: &Key) {
        self.tap_silent(|| Input::ChangeKey { operation, key: key.as_bytes().into() });
    }
}

impl Node {
    /// Records the result of the write that [`Output::Keyring`] requested, and answers the member that made the change.
    /// After a failure the change stays in force until the node ends; the member may retry. `Err` holds the error text;
    /// it is cut to 512 bytes.
    pub fn keyring_written(&mut self, now: Instant, change: KeyringChange, result: Result<(), &str>, out: &mut Outbox) {
        let input = || Input::KeyringWritten { change, failure: result.err().map(Into::into) };
        self.command(now, out, input, |node, _| {
            let Some(requester) = node.core.key_requests.written(change) else { return };
            let message = cut(result.err().unwrap_or_default(), FAILURE_BYTES_MAX).into();
            let outcome = KeyOutcome { done: result.is_ok(), message, ..KeyOutcome::default() };
            node.serf.answer_key(&mut node.core, &requester, &outcome);
        });
    }

    /// Applies the key requests of members, and answers them.
    pub(super) fn handle_key_requests(&mut self, out: &mut Outbox) {
        for request in self.core.key_requests.take_new() {
            let outcome = self.change_keys(&request);
            // The answer waits for the write: a key that is answered as installed must survive a restart.
            if outcome.done && request.operation != KeyOperation::List && self.core.cfg.transport().keyring_kept {
                let change = self.core.key_requests.await_write(request.requester);
                out.push(Output::Keyring { change, keys: self.keys().cloned().collect() });
            } else {
                self.serf.answer_key(&mut self.core, &request.requester, &outcome);
            }
        }
    }

    /// Applies one key request. The only function that changes the keyring on behalf of members. Refusals use the texts
    /// of HashiCorp's nodes, which operators and scripts parse.
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
            (Ok(key), KeyOperation::Install) => self.install(&key),
            (Ok(key), KeyOperation::Use) => self.envelope.keyring_mut().use_key(&key),
            (Ok(key), _) => self.envelope.keyring_mut().remove(&key),
            (Err(KeyError::Length { .. } | KeyError::Base64), KeyOperation::Install) => {
                return refused("key size must be 16, 24 or 32 bytes");
            }
            (Err(_), KeyOperation::Use) => Err(KeyringError::Unknown),
            // Bytes of no valid key length are in no keyring, so their removal succeeds.
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

/// The longest prefix of a text that has at most `bytes_max` bytes and ends at a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=text.len().min(bytes_max)).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

/// Limit of an error text, in bytes: an answer must fit into one packet.
const FAILURE_BYTES_MAX: usize = 512;
