//! Native codec: postcard bodies.
//!
//! A frame is `0x40 | type`, a schema number, and the body. The *record* of a node is at the end of an alive message,
//! and is the same bytes in every message about the node. So it is encoded once, and compared before it is decoded.

mod digest;
mod fetch;
mod push_pull;
mod serf;
mod serf_state;
mod varint;

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use self::digest::JOINED;
pub use self::digest::{
    AntiEntropy, Buckets, Digest, EventHashes, EventWindow, Rows, StateEntry, States, Wanted, Words, begin_states,
    decode_anti_entropy, encode_buckets, encode_events, encode_probe, encode_rows, encode_wanted, put_state,
};
pub(crate) use self::digest::{JOINED_KIND, PROBE_KIND, RECONCILIATION_KINDS};
pub use self::fetch::{Fetch, STREAM_ANSWER, STREAM_FETCH, decode_answer, push_answer};
pub use self::push_pull::{PushEntry, PushPull, STREAM_PUSH_PULL, begin_push_pull, push_state};
use self::serf::SERF_JOIN;
pub use self::serf::{decode_coordinate, decode_serf, encode_coordinate, encode_serf};
pub(super) use self::serf::{take_filter, take_float, take_text};
pub use self::serf_state::{SerfState, begin_events, begin_serf_state, push_event, push_member_time};
use self::varint::{take_bytes, take_incarnation, take_varint, varint};
use super::name::is_member_name;
use super::swim::{Alive, Message, PeerRef};
use super::{DecodeError, Full, Writer};
use crate::limits::{META_BYTES_MAX, NAME_BYTES_MAX};

/// Set in the type byte of every native frame; distinguishes the codecs.
pub const NATIVE: u8 = 0x40;

const PING: u8 = NATIVE;
const INDIRECT_PING: u8 = NATIVE | 1;
const ACK: u8 = NATIVE | 2;
const SUSPECT: u8 = NATIVE | 3;
const ALIVE: u8 = NATIVE | 4;
const DEAD: u8 = NATIVE | 5;
const PUSH_PULL: u8 = NATIVE | 6;
const USER: u8 = NATIVE | 8;
const NACK: u8 = NATIVE | 11;

/// Size of the type and length before the body of a message on a stream, in bytes.
pub(crate) const STREAM_HEADER_BYTES: usize = 5;

/// Size of the largest record within our limits, in bytes: versions, name, address and metadata with their lengths.
const RECORD_BYTES_MAX: usize = VERSIONS_BYTES + 2 + NAME_BYTES_MAX + 20 + 2 + META_BYTES_MAX;

/// Size of the versions at the start of a record, in bytes.
const VERSIONS_BYTES: usize = 6;

/// Version of the body layout. A changed layout needs a new number; unknown numbers are rejected.
const SCHEMA: u8 = 1;

fn put<T: Serialize>(w: &mut Writer<'_>, tag: u8, body: &T) -> Result<(), Full> {
    w.put(&[tag, SCHEMA])?;
    fill(w, body)
}

fn fill<T: Serialize>(w: &mut Writer<'_>, body: &T) -> Result<(), Full> {
    w.fill(|room| postcard::to_slice(body, room).ok().map(|used| used.len()))
}

/// Encodes a frame.
pub fn encode(message: &Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    match *message {
        Message::Ping(ref ping) => put(w, PING, ping),
        Message::IndirectPing(ref ping) => put(w, INDIRECT_PING, ping),
        Message::Ack(ref ack) => put(w, ACK, ack),
        Message::Nack { seq } => put(w, NACK, &seq),
        Message::Suspect(ref accusation) => put(w, SUSPECT, accusation),
        Message::Dead(ref accusation) => put(w, DEAD, accusation),
        Message::Alive(Alive { incarnation, peer }) => encode_alive(incarnation, &encode_record(peer), w),
        Message::Joined { alive: Alive { incarnation, peer }, ltime } => {
            w.put(joined_alive_head(ltime, incarnation).bytes())?;
            w.put(&encode_record(peer))
        }
        Message::User(bytes) => {
            w.put_u8(USER)?;
            w.put(bytes)
        }
    }
}

/// Header of a frame whose remainder is encoded already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Head {
    /// Type and schema bytes, a Lamport time, and a length or an incarnation.
    const BYTES_MAX: usize = 3 + 10 + 5;

    fn new(start: &[u8], numbers: &[u64]) -> Self {
        let mut head = Self { bytes: [0; Self::BYTES_MAX], len: start.len() };
        head.bytes[..start.len()].copy_from_slice(start);
        for &number in numbers {
            head.len += varint(number, &mut head.bytes[head.len..]);
        }
        head
    }

    /// The encoded header.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The header of an alive message, which the record follows.
pub(crate) fn alive_head(incarnation: u32) -> Head {
    Head::new(&[ALIVE, SCHEMA], &[u64::from(incarnation)])
}

/// The first incarnation, which most nodes keep, encoded.
pub(crate) const FIRST: u8 = 1;

/// The header of an alive message with the Lamport time of the join, or without if that is 0; the announcement follows.
#[inline]
pub(crate) fn head_of(ltime: u64) -> Head {
    if ltime == 0 { Head::new(&[ALIVE, SCHEMA], &[]) } else { Head::new(&[JOINED, SCHEMA], &[ltime]) }
}

/// The same with the incarnation; the record follows.
pub(crate) fn joined_alive_head(ltime: u64, incarnation: u32) -> Head {
    Head::new(&[JOINED, SCHEMA], &[ltime, u64::from(incarnation)])
}

/// Splits an alive message of either kind into the Lamport time of the join (0 if it has none) and the *announcement*:
/// incarnation and record. `None` for other frames.
#[inline]
pub(crate) fn announcement(frame: &[u8]) -> Option<(u64, &[u8])> {
    match frame {
        [ALIVE, SCHEMA, rest @ ..] => Some((0, rest)),
        [JOINED, SCHEMA, rest @ ..] => {
            let mut rest = rest;
            Some((take_varint(&mut rest)?, rest))
        }
        _ => None,
    }
}

/// The name in an announcement at the first incarnation; `None` for others, and for names of 128 bytes or more.
#[inline]
pub(crate) fn name_in_first(announcement: &[u8]) -> Option<&[u8]> {
    let (head, rest) = announcement.split_first_chunk::<{ 1 + VERSIONS_BYTES + 1 }>()?;
    let name_len = head[1 + VERSIONS_BYTES];
    if head[0] == FIRST && name_len < 0x80 { rest.get(..usize::from(name_len)) } else { None }
}

/// The header of a user message with a join intent, which the name follows.
pub(crate) fn join_head(ltime: u64, name_len: usize) -> Head {
    Head::new(&[USER, SERF_JOIN, SCHEMA], &[ltime, name_len as u64])
}

/// Encodes an alive message with an encoded record.
pub fn encode_alive(incarnation: u32, record: &[u8], w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(alive_head(incarnation).bytes())?;
    w.put(record)
}

/// Encodes a record.
pub fn encode_record(peer: PeerRef<'_>) -> Box<[u8]> {
    // Encoded on the stack first, so that the heap allocation has the exact size.
    let mut room = [0; RECORD_BYTES_MAX];
    match postcard::to_slice(&peer, &mut room) {
        Ok(bytes) => Box::from(&*bytes),
        Err(_) => postcard::to_allocvec(&peer).expect("a vector has room for any record").into_boxed_slice(),
    }
}

/// Decodes a frame.
pub fn decode(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&tag, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    decode_body(tag, body)
}

/// Decodes the body of a frame of type `tag`.
pub fn decode_body(tag: u8, body: &[u8]) -> Result<Message<'_>, DecodeError> {
    if tag == USER {
        return Ok(Message::User(body));
    }
    let body = schema(body)?;
    Ok(match tag {
        PING => Message::Ping(whole(body)?),
        INDIRECT_PING => Message::IndirectPing(whole(body)?),
        ACK => Message::Ack(whole(body)?),
        NACK => Message::Nack { seq: whole(body)? },
        SUSPECT => Message::Suspect(whole(body)?),
        DEAD => Message::Dead(whole(body)?),
        ALIVE => {
            let mut rest = body;
            let incarnation = take_incarnation(&mut rest)?;
            Message::Alive(Alive { incarnation, peer: decode_record(rest)? })
        }
        JOINED => {
            let mut rest = body;
            let ltime = take_varint(&mut rest).ok_or(DecodeError::Malformed)?;
            let incarnation = take_incarnation(&mut rest)?;
            Message::Joined { alive: Alive { incarnation, peer: decode_record(rest)? }, ltime }
        }
        _ => return Err(DecodeError::Unknown),
    })
}

/// Decodes a record; trailing bytes are an error.
pub fn decode_record(record: &[u8]) -> Result<PeerRef<'_>, DecodeError> {
    let peer: PeerRef<'_> = whole(record)?;
    let is_sound = is_member_name(peer.name) && peer.meta.len() <= META_BYTES_MAX;
    if is_sound { Ok(peer) } else { Err(DecodeError::Malformed) }
}

/// An alive message with an encoded record. Sufficient to recognise most of them as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialAlive<'a> {
    /// Incarnation of the node.
    pub incarnation: u32,
    /// Name of the node; not validated as UTF-8.
    pub name: &'a [u8],
    /// Encoded record of the node.
    pub record: &'a [u8],
}

/// Splits an alive message without decoding the record; `None` for other frames.
#[inline]
pub fn split_alive(frame: &[u8]) -> Option<PartialAlive<'_>> {
    announcement(frame).and_then(|(_, announcement)| split_announcement(announcement))
}

/// Splits an announcement without decoding the record.
#[inline]
fn split_announcement(announcement: &[u8]) -> Option<PartialAlive<'_>> {
    let mut rest = announcement;
    let incarnation = take_incarnation(&mut rest).ok()?;
    Some(PartialAlive { incarnation, name: name_of_record(rest)?, record: rest })
}

/// Partial decoding of the frames that are frequent in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialFrame<'a> {
    /// An alive message.
    Alive {
        /// Incarnation, name and record.
        alive: PartialAlive<'a>,
        /// Lamport time of the join; 0 if the message has none.
        ltime: u64,
    },
    /// A join intent.
    Intent {
        /// Lamport time of the intent.
        ltime: u64,
        /// Name of the member; not validated as UTF-8.
        name: &'a [u8],
    },
}

/// Partially decodes a frame. `None` means only that the frame must be decoded in full.
#[inline]
pub fn decode_partial(frame: &[u8]) -> Option<PartialFrame<'_>> {
    match frame {
        [ALIVE | JOINED, ..] => {
            let (ltime, announcement) = announcement(frame)?;
            Some(PartialFrame::Alive { alive: split_announcement(announcement)?, ltime })
        }
        [USER, SERF_JOIN, SCHEMA, rest @ ..] => {
            let mut rest = rest;
            let (ltime, name) = (take_varint(&mut rest)?, take_bytes(&mut rest)?);
            rest.is_empty().then_some(PartialFrame::Intent { ltime, name })
        }
        _ => None,
    }
}

/// Offset of a name of this length within a record: after the versions and the length.
pub(crate) fn name_start(name_len: usize) -> usize {
    VERSIONS_BYTES + if name_len < 0x80 { 1 } else { 2 }
}

/// The name in a record; not validated as UTF-8.
#[inline]
pub fn name_of_record(record: &[u8]) -> Option<&[u8]> {
    let mut rest = record.get(VERSIONS_BYTES..)?;
    take_bytes(&mut rest)
}

/// Begins a user message; the layer above appends the body.
pub fn begin_user(w: &mut Writer<'_>) -> Result<(), Full> {
    w.put_u8(USER)
}

fn schema(body: &[u8]) -> Result<&[u8], DecodeError> {
    match body.split_first() {
        Some((&SCHEMA, rest)) => Ok(rest),
        Some(_) => Err(DecodeError::Unknown),
        None => Err(DecodeError::Malformed),
    }
}

/// Decodes all of `body`; trailing bytes are an error.
fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(DecodeError::Malformed),
    }
}
