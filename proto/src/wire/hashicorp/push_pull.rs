//! Push/pull on a stream: type byte, header, states, and the part of the layer above.

use alloc::vec::Vec;

use super::announcement::Announcement;
use super::form::{Boolean, Length};
use super::message::{Body, message};
use super::{PUSH_PULL, put};
use crate::limits::{PUSH_PULL_NODES_MAX, STREAM_MESSAGE_BYTES_MAX};
use crate::msgpack::Reader;
use crate::wire::DecodeError;
use crate::wire::swim::{PeerRef, State};
use crate::wire::versions::Common;

/// Begins a push/pull with `nodes` states, followed by `user_bytes` bytes of the layer above.
pub fn begin_push_pull(out: &mut Vec<u8>, join: bool, nodes: u32, user_bytes: u32) {
    let written = put(out, PUSH_PULL, &Header { nodes: nodes.into(), user_bytes: user_bytes.into(), join });
    debug_assert_eq!(written, Ok(()), "a vector has room");
}

/// Appends a state.
pub fn push_state(out: &mut Vec<u8>, state: State, incarnation: u32, peer: PeerRef<'_>) {
    let written = Announcement::new(state, incarnation, peer).put(out);
    debug_assert_eq!(written, Ok(()), "a vector has room");
}

message! {
    /// Header of a push/pull.
    pub(super) struct Header {
        nodes: i64 = b"Nodes" as Length,
        user_bytes: i64 = b"UserStateLen" as Length,
        join: bool = b"Join" as Boolean,
    }
}

impl Header {
    /// The number of states and the size of the layer above's part; `None` if they exceed the limits.
    pub(super) fn counts(&self) -> Option<(usize, usize)> {
        let nodes = usize::try_from(self.nodes).ok().filter(|&nodes| nodes <= PUSH_PULL_NODES_MAX)?;
        let user_bytes = usize::try_from(self.user_bytes).ok().filter(|&bytes| bytes <= STREAM_MESSAGE_BYTES_MAX)?;
        Some((nodes, user_bytes))
    }
}

/// A validated push/pull.
#[derive(Clone, Copy, Debug)]
pub struct PushPull<'a> {
    /// Whether the requester joins.
    pub join: bool,
    states: &'a [u8],
    count: usize,
    /// The versions of the live members.
    pub live_versions: Common,
    /// The part of the layer above.
    pub user: &'a [u8],
}

impl<'a> PushPull<'a> {
    /// Validates a push/pull, without its type byte: all states decode, and the layer above's part is complete.
    ///
    /// # Errors
    ///
    /// If it is malformed, or a count exceeds its limit.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::take(body).ok_or(DecodeError::Malformed)
    }

    fn take(body: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(body);
        let header = Header::take(&mut r)?;
        let (count, user_bytes) = header.counts()?;
        let mut states = r.rest();
        let mut live_versions = Common::default();
        for _ in 0..count {
            let entry = Announcement::take(&mut r)?;
            // Collected here, so that incompatible members are found before any state is merged.
            if let (Some(State::Alive), Some(versions)) = (entry.state, entry.versions) {
                live_versions.add(versions);
            }
        }
        states = &states[..states.len() - r.rest().len()];
        Some(Self { join: header.join, states, count, live_versions, user: r.take(user_bytes)? })
    }

    /// The states, in order.
    pub fn states(&self) -> impl Iterator<Item = Announcement<'a>> + use<'a> {
        let mut r = Reader::new(self.states);
        (0..self.count).map_while(move |_| Announcement::take(&mut r))
    }
}
