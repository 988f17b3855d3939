//! The keys of this node, as far as other members may change them.

use alloc::collections::BTreeMap;

use super::Node;
use crate::core::{Asker, KeyDemand, KeyOutcome};
use crate::envelope::KeyringError;
use crate::event::KeyOperation;
use crate::outbox::{Outbox, Output};
use crate::time::Instant;
use crate::types::{Key, KeyError, KeyringChange};

/// Changes of our keys of which we do not know yet whether they were written, with whoever waits for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwritten {
    askers: BTreeMap<KeyringChange, Asker>,
    last: u64,
}

impl Unwritten {
    fn add(&mut self, asker: Asker) -> KeyringChange {
        // Whoever keeps the keys is not done with any of them: the oldest has waited in vain.
        if self.askers.len() >= UNWRITTEN_MAX {
            self.askers.pop_first();
        }
        self.last += 1;
        let change = KeyringChange(self.last);
        self.askers.insert(change, asker);
        change
    }
}

impl Node {
    /// Takes how the writing of our keys went that [`Output::Keyring`] asked for, and tells whoever changed them. After a failure the
    /// change is in force all the same, until the node ends: whoever asked may ask again. `Err` says what went wrong, in at most
    /// 512 bytes; the rest is cut.
    pub fn keyring_written(&mut self, now: Instant, change: KeyringChange, result: Result<(), &str>, out: &mut Outbox) {
        self.enter(now);
        if let Some(asker) = self.unwritten.askers.remove(&change) {
            let message = cut(result.err().unwrap_or_default(), FAILURE_BYTES_MAX).into();
            let outcome = KeyOutcome { done: result.is_ok(), message, ..KeyOutcome::default() };
            self.serf.answer_key(&mut self.core, &asker, &outcome);
        }
        self.settle(out);
    }

    /// Does what members want done with our keys, and tells them what came of it.
    pub(super) fn meet_key_demands(&mut self, out: &mut Outbox) {
        for demand in core::mem::take(&mut self.core.key_demands) {
            let outcome = self.change_keys(&demand);
            if outcome.done && demand.operation != KeyOperation::List && self.core.cfg.keyring_kept {
                let change = self.unwritten.add(demand.asker);
                out.push(Output::Keyring { change, keys: self.keys().cloned().collect() });
            } else {
                self.serf.answer_key(&mut self.core, &demand.asker, &outcome);
            }
        }
    }

    /// The one place that touches the keyring on behalf of others. Refusals are in the words of HashiCorp's nodes, which operators
    /// and their scripts know.
    fn change_keys(&mut self, demand: &KeyDemand) -> KeyOutcome {
        let refused = |message: &str| KeyOutcome { message: message.into(), ..KeyOutcome::default() };
        let is_list = demand.operation == KeyOperation::List;
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
        let changed = match (Key::new(&demand.key), demand.operation) {
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
const UNWRITTEN_MAX: usize = 64;

/// An answer must fit into a packet.
const FAILURE_BYTES_MAX: usize = 512;
