//! Secrets in the state of this layer: queued messages, buffered events, and lists of keys.

use alloc::vec::Vec;

use bytes::Bytes;

use super::Serf;
use crate::conceal::Concealer;

impl Serf {
    /// Replaces the secrets.
    pub(crate) fn conceal(&mut self, concealer: &mut Concealer<'_>) {
        for message in self.queries.queue.messages_mut().chain(self.events.queue.messages_mut()) {
            change(message, |bytes| concealer.serf_message(bytes));
        }
        self.queries.conceal(concealer);
        for payload in self.events.payloads_mut() {
            change(payload, |bytes| concealer.payload(bytes));
        }
        if let Some(delivery) = &mut self.delivery {
            for payload in delivery.payloads_mut() {
                change(payload, |bytes| concealer.payload(bytes));
            }
        }
    }
}

/// Changes shared bytes in a copy.
pub(super) fn change(bytes: &mut Bytes, change: impl FnOnce(&mut [u8])) {
    let mut copy = Vec::from(&**bytes);
    change(&mut copy);
    *bytes = copy.into();
}
