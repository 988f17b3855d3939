//! Messages of the Serf layer in the native codec.
//!
//! A list is at the end of its message: the number of values, then the values. Each filter has a length, so that
//! filters of later versions can be skipped.

use postcard::experimental::serialized_size;
use serde::{Deserialize, Serialize, Serializer};

use super::varint::{take_bytes, take_varint, varint};
use super::{NATIVE, put, schema, whole};
use crate::wire::serf::{Coordinate, Filter, Item, KeyResponse, List, MemberRecord, Message, Query, Relay};
use crate::wire::{Codec, DecodeError, Full, Writer};

const LEAVE: u8 = NATIVE;
/// Type byte of a join intent.
pub(super) const SERF_JOIN: u8 = NATIVE | 1;
const USER_EVENT: u8 = NATIVE | 3;
const QUERY: u8 = NATIVE | 4;
const QUERY_RESPONSE: u8 = NATIVE | 5;
const CONFLICT_RESPONSE: u8 = NATIVE | 6;
const KEY_REQUEST: u8 = NATIVE | 7;
const KEY_RESPONSE: u8 = NATIVE | 8;
const RELAY: u8 = NATIVE | 9;

/// First byte of a coordinate; HashiCorp's is 1.
const COORDINATE: u8 = NATIVE | 1;

const FILTER_NODES: u8 = 0;
const FILTER_TAG: u8 = 1;
const FILTER_UNREADABLE: u8 = 2;

/// A list at the end of its message.
struct Tail<'a, T>(List<'a, T>);

impl<'a, T: Item<'a> + Serialize> Serialize for Tail<'a, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

/// Encodes a frame of the Serf layer.
pub fn encode_serf(message: &Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    match *message {
        Message::Leave(ref leave) => put(w, LEAVE, leave),
        Message::Join(ref join) => put(w, SERF_JOIN, join),
        Message::UserEvent(ref event) => put(w, USER_EVENT, event),
        Message::Query(ref query) => {
            put(w, QUERY, query)?;
            put_varint(w, query.filters.len())?;
            query.filters.iter().try_for_each(|filter| put_filter(w, filter))
        }
        Message::QueryResponse(ref response) => put(w, QUERY_RESPONSE, response),
        Message::ConflictResponse(None) => put(w, CONFLICT_RESPONSE, &None::<()>),
        Message::ConflictResponse(Some(member)) => put(w, CONFLICT_RESPONSE, &(Some(member), Tail(member.tags))),
        Message::KeyRequest(ref request) => put(w, KEY_REQUEST, request),
        Message::KeyResponse(response) => put(w, KEY_RESPONSE, &(response, Tail(response.keys))),
        Message::Relay(ref relay) => {
            put(w, RELAY, relay)?;
            w.put(relay.inner)
        }
    }
}

fn put_filter(w: &mut Writer<'_>, filter: Filter<'_>) -> Result<(), Full> {
    match filter {
        Filter::Nodes(nodes) => put_sized(w, &(FILTER_NODES, Tail(nodes)), &[]),
        Filter::Tag { tag, expr } => put_sized(w, &(FILTER_TAG, tag, expr), &[]),
        Filter::Unreadable(bytes) => put_sized(w, &FILTER_UNREADABLE, bytes),
    }
}

/// Encodes a value and raw bytes, with a length for both.
fn put_sized<T: Serialize>(w: &mut Writer<'_>, value: &T, bytes: &[u8]) -> Result<(), Full> {
    let len = serialized_size(value).map_err(|_| Full)?;
    put_varint(w, len + bytes.len())?;
    w.fill(|room| postcard::to_slice(value, room).ok().map(|used| used.len()))?;
    w.put(bytes)
}
/// Decodes a frame of the Serf layer.
pub fn decode_serf(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&tag, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    let body = schema(body)?;
    Ok(match tag {
        LEAVE => Message::Leave(whole(body)?),
        SERF_JOIN => Message::Join(whole(body)?),
        USER_EVENT => Message::UserEvent(whole(body)?),
        QUERY => {
            let (query, rest) = part(body)?;
            Message::Query(Query { filters: list(rest)?, ..query })
        }
        QUERY_RESPONSE => Message::QueryResponse(whole(body)?),
        // Nothing may follow an unknown name: trailing bytes are an error in every message.
        CONFLICT_RESPONSE => Message::ConflictResponse(match part(body)? {
            (None, []) => None,
            (Some(member), rest) => Some(MemberRecord { tags: list(rest)?, ..member }),
            (None, _) => return Err(DecodeError::Malformed),
        }),
        KEY_REQUEST => Message::KeyRequest(whole(body)?),
        KEY_RESPONSE => {
            let (response, rest) = part(body)?;
            Message::KeyResponse(KeyResponse { keys: list(rest)?, ..response })
        }
        RELAY => {
            let (relay, inner) = part(body)?;
            Message::Relay(Relay { inner, ..relay })
        }
        _ => return Err(DecodeError::Unknown),
    })
}

/// Encodes a network coordinate, the payload of an ack.
pub fn encode_coordinate(coordinate: &Coordinate<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    put(w, COORDINATE, &(coordinate, Tail(coordinate.vec)))
}

/// Decodes the payload of an ack as a network coordinate.
pub fn decode_coordinate(payload: &[u8]) -> Result<Coordinate<'_>, DecodeError> {
    let body = match payload.split_first() {
        None => return Err(DecodeError::Empty),
        Some((&COORDINATE, body)) => schema(body)?,
        Some(_) => return Err(DecodeError::Unknown),
    };
    let (coordinate, rest) = part(body)?;
    Ok(Coordinate { vec: list(rest)?, ..coordinate })
}

/// Decodes a value at the start of `body`, and returns the rest.
fn part<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, &'a [u8]), DecodeError> {
    postcard::take_from_bytes(body).map_err(|_| DecodeError::Malformed)
}

/// Decodes `rest` as a list; trailing bytes are an error.
fn list<'a, T: Item<'a>>(mut rest: &'a [u8]) -> Result<List<'a, T>, DecodeError> {
    let list = take_list(&mut rest).filter(|_| rest.is_empty());
    list.ok_or(DecodeError::Malformed)
}

fn take_list<'a, T: Item<'a>>(rest: &mut &'a [u8]) -> Option<List<'a, T>> {
    let count = usize::try_from(take_varint(rest)?).ok()?;
    List::take(Codec::Native, count, rest)
}

/// Decodes a string and advances `rest`.
pub(in crate::wire) fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    core::str::from_utf8(take_bytes(rest)?).ok()
}

/// Decodes a number and advances `rest`.
pub(in crate::wire) fn take_float(rest: &mut &[u8]) -> Option<f64> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(f64::from_le_bytes(*bytes))
}

/// Decodes a filter and advances `rest`. An unknown kind of filter matches no member.
pub(in crate::wire) fn take_filter<'a>(rest: &mut &'a [u8]) -> Option<Filter<'a>> {
    let (&kind, body) = take_bytes(rest)?.split_first()?;
    match kind {
        FILTER_NODES => list(body).ok().map(Filter::Nodes),
        FILTER_TAG => {
            let (tag, expr) = whole(body).ok()?;
            Some(Filter::Tag { tag, expr })
        }
        FILTER_UNREADABLE => Some(Filter::Unreadable(body)),
        _ => Some(Filter::Unreadable(&[])),
    }
}

fn put_varint(w: &mut Writer<'_>, value: usize) -> Result<(), Full> {
    let mut bytes = [0; 10];
    let used = varint(value as u64, &mut bytes);
    w.put(&bytes[..used])
}
