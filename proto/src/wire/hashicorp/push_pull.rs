//! Push/pull on a stream: the type byte, a header, the states one after the other, and the layer above's part.

use alloc::vec::Vec;

use super::PUSH_PULL;
use super::announcement::Announcement;
use super::reader::Reader;
use super::writer::{Out, boolean, ip, raw, raw_or_nil, uint};
use crate::limits::{PUSH_PULL_NODES_MAX, STREAM_MESSAGE_BYTES_MAX};
use crate::wire::swim::{PeerRef, State};
use crate::wire::versions::Common;
use crate::wire::{DecodeError, Full};

/// Starts a push/pull with `nodes` states, and `user_bytes` bytes of the layer above's part after them.
pub fn begin_push_pull(out: &mut Vec<u8>, join: bool, nodes: u32, user_bytes: u32) {
    let written = put_header(out, join, nodes, user_bytes);
    debug_assert_eq!(written, Ok(()), "a vector has room");
}

fn put_header(out: &mut impl Out, join: bool, nodes: u32, user_bytes: u32) -> Result<(), Full> {
    out.put(&[PUSH_PULL])?;
    out.put(b"\x83\xa4Join")?;
    boolean(out, join)?;
    out.put(b"\xa5Nodes")?;
    uint(out, nodes.into())?;
    out.put(b"\xacUserStateLen")?;
    uint(out, user_bytes.into())
}

/// Adds one state.
pub fn push_state(out: &mut Vec<u8>, state: State, incarnation: u32, peer: PeerRef<'_>) {
    let written = put_state(out, state, incarnation, peer);
    debug_assert_eq!(written, Ok(()), "a vector has room");
}

fn put_state(out: &mut impl Out, state: State, incarnation: u32, peer: PeerRef<'_>) -> Result<(), Full> {
    let PeerRef { name, addr, meta, versions } = peer;
    out.put(b"\x87\xa4Addr")?;
    ip(out, addr.ip())?;
    out.put(b"\xabIncarnation")?;
    uint(out, incarnation.into())?;
    out.put(b"\xa4Meta")?;
    raw_or_nil(out, meta)?;
    out.put(b"\xa4Name")?;
    raw(out, name.as_bytes())?;
    out.put(b"\xa4Port")?;
    uint(out, addr.port().into())?;
    out.put(b"\xa5State")?;
    out.put(&[state as u8])?;
    out.put(b"\xa3Vsn\xa6")?;
    out.put(&versions.to_bytes())
}

/// The header of a push/pull, within its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) join: bool,
    pub(super) nodes: usize,
    pub(super) user_bytes: usize,
}

impl Header {
    pub(super) fn take(r: &mut Reader<'_>) -> Option<Self> {
        let (mut join, mut nodes, mut user_bytes) = (false, 0, 0);
        let mut fields = r.fields(&[b"Nodes", b"UserStateLen", b"Join"])?;
        while let Some(key) = fields.next(r)? {
            match key {
                b"Join" => join = r.boolean()?,
                b"Nodes" => nodes = r.int()?,
                b"UserStateLen" => user_bytes = r.int()?,
                _ => r.skip()?,
            }
        }
        let nodes = usize::try_from(nodes).ok().filter(|&nodes| nodes <= PUSH_PULL_NODES_MAX)?;
        let user_bytes = usize::try_from(user_bytes).ok().filter(|&bytes| bytes <= STREAM_MESSAGE_BYTES_MAX)?;
        Some(Self { join, nodes, user_bytes })
    }
}

/// A push/pull whose outline is known to be sound.
#[derive(Clone, Copy, Debug)]
pub struct PushPull<'a> {
    /// Whether the asker joins.
    pub join: bool,
    states: &'a [u8],
    count: usize,
    /// The versions of the live members in it.
    pub live_versions: Common,
    /// The layer above's part.
    pub user: &'a [u8],
}

impl<'a> PushPull<'a> {
    /// Reads a push/pull without its type byte: that every state can be read, and the layer above's part is there.
    ///
    /// # Errors
    ///
    /// When they are not, or a count is beyond its bound.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::take(body).ok_or(DecodeError::Malformed)
    }

    fn take(body: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(body);
        let Header { join, nodes: count, user_bytes } = Header::take(&mut r)?;
        let mut states = r.rest();
        let mut live_versions = Common::default();
        for _ in 0..count {
            let entry = Announcement::in_push_pull(&mut r)?;
            if let (Some(State::Alive), Some(versions)) = (entry.state, entry.versions) {
                live_versions.add(versions);
            }
        }
        states = &states[..states.len() - r.rest().len()];
        Some(Self { join, states, count, live_versions, user: r.take(user_bytes)? })
    }

    /// Every member in it.
    pub fn states(&self) -> impl Iterator<Item = Announcement<'a>> + use<'a> {
        let mut r = Reader::new(self.states);
        (0..self.count).map_while(move |_| Announcement::in_push_pull(&mut r))
    }
}
