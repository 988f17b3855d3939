//! Requests of members to change or list our keys.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::event::KeyOperation;
use crate::types::{KeyringChange, QueryId};

/// Who asked something, and how to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requester {
    pub(crate) id: QueryId,
    pub(crate) addr: SocketAddr,
    /// Empty from members of old versions.
    pub(crate) node: Box<str>,
    pub(crate) relay_factor: u8,
}

/// A member's request to change or list our keys. The node, which has them, does it, and the Serf layer answers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyRequest {
    pub(crate) requester: Requester,
    pub(crate) operation: KeyOperation,
    /// Which key; means nothing when they are to be listed.
    pub(crate) key: Box<[u8]>,
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never log key material.
        write!(f, "KeyRequest {{ {}, key: {} bytes }}", self.operation, self.key.len())
    }
}

/// The outcome of a key request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyOutcome {
    pub(crate) done: bool,
    /// The message for the requester.
    pub(crate) message: Box<str>,
    /// The keys in base64, the primary first, when they were to be listed.
    pub(crate) keys: Vec<Box<str>>,
}

/// The requests that have not been answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyRequests {
    new: Vec<KeyRequest>,
    /// Those whose change is done and may not be written yet.
    unwritten: BTreeMap<KeyringChange, Requester>,
    last: u64,
}

impl KeyRequests {
    pub(crate) fn push(&mut self, request: KeyRequest) {
        self.new.push(request);
    }

    pub(crate) const fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// Takes those that nothing was done about.
    pub(crate) fn take_new(&mut self) -> Vec<KeyRequest> {
        core::mem::take(&mut self.new)
    }

    /// Has a requester wait until its change is written.
    pub(crate) fn await_write(&mut self, requester: Requester) -> KeyringChange {
        // The driver is not done with any of them: the oldest has waited in vain.
        if self.unwritten.len() >= PENDING_WRITES_MAX {
            self.unwritten.pop_first();
        }
        self.last += 1;
        let change = KeyringChange(self.last);
        self.unwritten.insert(change, requester);
        change
    }

    /// Takes the requester that waits for the writing of a change.
    pub(crate) fn written(&mut self, change: KeyringChange) -> Option<Requester> {
        self.unwritten.remove(&change)
    }
}

/// So many changes may wait to be written. Each is asked for by a member that waits for the answer.
const PENDING_WRITES_MAX: usize = 64;
