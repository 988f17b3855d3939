//! Push/pull in the native codec. The body of the stream message: schema, join flag, number of states, the states with
//! a length each, and the rest for the layer above.

use alloc::vec::Vec;

use super::varint::{push_varint, take_bytes, take_incarnation, take_varint, varint};
use super::{PUSH_PULL, PartialAlive, SCHEMA, name_of_record, schema};
use crate::limits::PUSH_PULL_NODES_MAX;
use crate::wire::DecodeError;
use crate::wire::swim::State;
use crate::wire::versions::{Common, Versions};

/// Type byte of a push/pull on a stream.
pub const STREAM_PUSH_PULL: u8 = PUSH_PULL;

/// Begins the body of a push/pull with `nodes` states.
pub fn begin_push_pull(out: &mut Vec<u8>, join: bool, nodes: u32) {
    out.extend_from_slice(&[SCHEMA, u8::from(join)]);
    push_varint(out, u64::from(nodes));
}

/// Appends a state. `record` is from [`encode_record`](super::encode_record).
pub fn push_state(out: &mut Vec<u8>, state: State, incarnation: u32, record: &[u8]) {
    let mut head = [state as u8, 0, 0, 0, 0, 0];
    let used = 1 + varint(u64::from(incarnation), &mut head[1..]);
    push_varint(out, (used + record.len()) as u64);
    out.extend_from_slice(&head[..used]);
    out.extend_from_slice(record);
}

/// A validated push/pull; the records are not decoded.
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

/// The state of one member.
#[derive(Clone, Copy, Debug)]
pub struct PushEntry<'a> {
    /// `None` for an unknown state number.
    pub state: Option<State>,
    /// Protocol versions that the member supports and speaks.
    pub versions: Versions,
    /// Incarnation, name and encoded record.
    pub partial: PartialAlive<'a>,
}

impl<'a> PushPull<'a> {
    /// Validates the structure: the number of states, and the length, incarnation, versions and name of each.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = schema(body)?;
        let (&join, tail) = rest.split_first().ok_or(DecodeError::Malformed)?;
        rest = tail;
        let count = usize::try_from(take_varint(&mut rest).ok_or(DecodeError::Malformed)?).unwrap_or(usize::MAX);
        if join > 1 || count > PUSH_PULL_NODES_MAX {
            return Err(DecodeError::Malformed);
        }
        let states = rest;
        let mut live_versions = Common::default();
        for _ in 0..count {
            let entry = take_entry(&mut rest).ok_or(DecodeError::Malformed)?;
            // Collected here, so that incompatible members are found before any state is merged.
            if entry.state == Some(State::Alive) {
                live_versions.add(entry.versions);
            }
        }
        let states = &states[..states.len() - rest.len()];
        Ok(Self { join: join == 1, states, count, live_versions, user: rest })
    }

    /// The states, in order.
    pub fn states(&self) -> impl Iterator<Item = PushEntry<'a>> + use<'a> {
        let mut rest = self.states;
        (0..self.count).map_while(move |_| take_entry(&mut rest))
    }
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<PushEntry<'a>> {
    let mut entry = take_bytes(rest)?;
    let (&state, tail) = entry.split_first()?;
    entry = tail;
    let incarnation = take_incarnation(&mut entry).ok()?;
    let versions = Versions(*entry.first_chunk()?);
    let name = name_of_record(entry)?;
    Some(PushEntry {
        state: State::from_u8(state),
        versions,
        partial: PartialAlive { incarnation, name, record: entry },
    })
}
