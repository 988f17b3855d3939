//! The keys of this node, as far as other members may change them.

use super::Node;
use crate::core::{KeyDemand, KeyOutcome};
use crate::envelope::{Key, KeyError, KeyringError};
use crate::event::KeyOperation;
use crate::outbox::{Outbox, Output};

impl Node {
    /// Does what members want done with our keys, and tells them what came of it.
    pub(super) fn meet_key_demands(&mut self, out: &mut Outbox) {
        for demand in core::mem::take(&mut self.core.key_demands) {
            let outcome = self.change_keys(&demand);
            if outcome.done && demand.operation != KeyOperation::List {
                out.push(Output::Keyring(self.keys().cloned().collect()));
            }
            self.serf.answer_key(&mut self.core, &demand.asker, &outcome);
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
