//! The keys of this node, as far as other members may change them.

use alloc::collections::BTreeMap;

use super::Node;
use crate::core::{KeyOutcome, KeyRequest, Requester};
use crate::envelope::KeyringError;
use crate::event::KeyOperation;
use crate::outbox::{Outbox, Output};
use crate::time::Instant;
use crate::types::{Key, KeyError, KeyringChange};

/// Changes of our keys of which we do not know yet whether they were written, with whoever waits for it.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingWrites {
    requesters: BTreeMap<KeyringChange, Requester>,
    last: u64,
}

impl PendingWrites {
    fn add(&mut self, requester: Requester) -> KeyringChange {
        // Whoever keeps the keys is not done with any of them: the oldest has waited in vain.
        if self.requesters.len() >= PENDING_WRITES_MAX {
            self.requesters.pop_first();
        }
        self.last += 1;
        let change = KeyringChange(self.last);
        self.requesters.insert(change, requester);
        change
    }
}

impl Node {
    /// Takes how the writing of our keys went that [`Output::Keyring`] asked for, and tells whoever changed them. After a failure the
    /// change is in force all the same, until the node ends: whoever asked may ask again. `Err` says what went wrong, in at most
    /// 512 bytes; the rest is cut.
    pub fn keyring_written(&mut self, now: Instant, change: KeyringChange, result: Result<(), &str>, out: &mut Outbox) {
        self.enter(now);
        if let Some(requester) = self.pending_writes.requesters.remove(&change) {
            let message = cut(result.err().unwrap_or_default(), FAILURE_BYTES_MAX).into();
            let outcome = KeyOutcome { done: result.is_ok(), message, ..KeyOutcome::default() };
            self.serf.answer_key(&mut self.core, &requester, &outcome);
        }
        self.settle(None, out);
    }

    /// Does what members want done with our keys, and tells them what came of it.
    pub(super) fn handle_key_requests(&mut self, out: &mut Outbox) {
        for request in core::mem::take(&mut self.core.key_requests) {
            let outcome = self.change_keys(&request);
            if outcome.done && request.operation != KeyOperation::List && self.core.cfg.keyring_kept {
                let change = self.pending_writes.add(request.requester);
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

/// So many changes may wait to be written. Each is asked for by a member that waits for the answer.
const PENDING_WRITES_MAX: usize = 64;

/// An answer must fit into a packet.
const FAILURE_BYTES_MAX: usize = 512;
