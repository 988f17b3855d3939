//! Key requests of members, and the writes that they wait for.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::event::KeyOperation;
use crate::types::{KeyringChange, QueryId};

/// The sender of a request, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requester {
    pub(crate) id: QueryId,
    pub(crate) addr: SocketAddr,
    /// Empty from members of old versions.
    pub(crate) node: Box<str>,
    pub(crate) relay_factor: u8,
}

/// A member's request to change or list our keys. The node applies it to the keyring, and the Serf layer sends the
/// answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRequest {
    pub(crate) requester: Requester,
    pub(crate) operation: KeyOperation,
    /// The key; ignored for a list.
    pub(crate) key: Box<[u8]>,
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never log key material.
        write!(f, "KeyRequest {{ {}, key: {} bytes }}", self.operation, self.key.len())
    }
}

/// The result of a key request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyOutcome {
    pub(crate) done: bool,
    /// Text for the requester.
    pub(crate) message: Box<str>,
    /// For a list: the keys in base64, the primary first.
    pub(crate) keys: Vec<Box<str>>,
}

/// Key requests in progress.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KeyRequests {
    new: Vec<KeyRequest>,
    /// Applied changes whose write is not confirmed yet.
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

    /// Takes the requests that are not yet applied.
    pub(crate) fn take_new(&mut self) -> Vec<KeyRequest> {
        core::mem::take(&mut self.new)
    }

    /// Registers a requester until its change is written. Returns the number of the change.
    pub(crate) fn await_write(&mut self, requester: Requester) -> KeyringChange {
        // The driver has confirmed none of them; give up on the oldest.
        if self.unwritten.len() >= PENDING_WRITES_MAX {
            self.unwritten.pop_first();
        }
        self.last += 1;
        let change = KeyringChange(self.last);
        self.unwritten.insert(change, requester);
        change
    }

    /// Removes the requester that waits for this write.
    pub(crate) fn written(&mut self, change: KeyringChange) -> Option<Requester> {
        self.unwritten.remove(&change)
    }
}

/// How many writes may be pending. Each belongs to a member that waits for an answer.
const PENDING_WRITES_MAX: usize = 64;
