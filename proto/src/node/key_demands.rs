//! The keys of this node, as far as other members may change them.

use super::Node;
use crate::core::{KeyDemand, KeyOutcome};
use crate::event::KeyOperation;

impl Node {
    /// Does what members want done with our keys, and tells them what came of it.
    pub(super) fn meet_key_demands(&mut self) {
        for demand in core::mem::take(&mut self.core.key_demands) {
            let outcome = change_keys(&demand);
            self.serf.answer_key(&mut self.core, &demand.asker, &outcome);
        }
    }
}

/// The one place that touches the keyring on behalf of others. A node of this version has none; it says so in serf's words.
fn change_keys(demand: &KeyDemand) -> KeyOutcome {
    let message = match demand.operation {
        KeyOperation::List => "Keyring is empty (encryption not enabled)",
        KeyOperation::Install | KeyOperation::Use | KeyOperation::Remove => {
            "No keyring to modify (encryption not enabled)"
        }
    };
    KeyOutcome { message: message.into(), ..KeyOutcome::default() }
}
