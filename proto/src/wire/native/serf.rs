//! The messages of the Serf layer.
//!
//! A list stands at the end of its message: how many values, and the values. Each filter has its length before it, so that
//! a kind from a later version can be stepped over.

use core::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::varint::{take_bytes, take_varint, varint};
use super::{Address, NATIVE, name, name_or_none, put, schema, whole};
use crate::wire::serf::{
    Coordinate, Filter, Item, Join, KeyRequest, KeyResponse, Leave, List, MemberRecord, Message, Query, QueryResponse,
    Relay, Source, UserEvent, nanos,
};
use crate::wire::{Codec, DecodeError, Full, Versions, Writer};

const LEAVE: u8 = NATIVE;
/// The type byte of a join intent.
pub(super) const SERF_JOIN: u8 = NATIVE | 1;
const USER_EVENT: u8 = NATIVE | 3;
const QUERY: u8 = NATIVE | 4;
const QUERY_RESPONSE: u8 = NATIVE | 5;
const CONFLICT_RESPONSE: u8 = NATIVE | 6;
const KEY_REQUEST: u8 = NATIVE | 7;
const KEY_RESPONSE: u8 = NATIVE | 8;
const RELAY: u8 = NATIVE | 9;

/// The first byte of a coordinate; HashiCorp's is 1.
const COORDINATE: u8 = NATIVE | 1;

const FILTER_NODES: u8 = 0;
const FILTER_TAG: u8 = 1;
const FILTER_UNREADABLE: u8 = 2;

#[derive(Serialize, Deserialize)]
struct LeaveBody<'a> {
    ltime: u64,
    node: &'a str,
    prune: bool,
}

#[derive(Serialize, Deserialize)]
struct JoinBody<'a> {
    ltime: u64,
    node: &'a str,
}

#[derive(Serialize, Deserialize)]
pub(super) struct UserEventBody<'a> {
    pub(super) ltime: u64,
    pub(super) name: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) coalesce: bool,
}

#[derive(Serialize, Deserialize)]
struct QueryHead<'a> {
    ltime: u64,
    id: u32,
    addr: Address,
    node: &'a str,
    flags: u32,
    relay_factor: u8,
    timeout: u64,
    name: &'a str,
    payload: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct QueryResponseBody<'a> {
    ltime: u64,
    id: u32,
    from: &'a str,
    flags: u32,
    payload: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct MemberHead<'a> {
    versions: [u8; 6],
    name: &'a str,
    addr: Option<Address>,
    status: u8,
}

#[derive(Serialize, Deserialize)]
struct KeyResponseHead<'a> {
    result: bool,
    message: &'a str,
    primary_key: &'a str,
}

#[derive(Serialize, Deserialize)]
struct RelayHead<'a> {
    addr: Address,
    node: &'a str,
}

#[derive(Serialize, Deserialize)]
struct CoordinateHead {
    error: f64,
    adjustment: f64,
    height: f64,
}

/// A list behind the rest of its message.
struct Tail<'a, T>(List<'a, T>);

impl<'a, T: Item<'a> + Serialize> Serialize for Tail<'a, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

/// Writes one frame of the Serf layer.
pub fn encode_serf(message: &Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    match *message {
        Message::Leave(Leave { ltime, node, prune }) => put(w, LEAVE, &LeaveBody { ltime, node, prune }),
        Message::Join(Join { ltime, node }) => put(w, SERF_JOIN, &JoinBody { ltime, node }),
        Message::UserEvent(UserEvent { ltime, name, payload, coalesce }) => {
            put(w, USER_EVENT, &UserEventBody { ltime, name, payload, coalesce })
        }
        Message::Query(ref query) => put_query(w, query),
        Message::QueryResponse(QueryResponse { ltime, id, from, flags, payload }) => {
            put(w, QUERY_RESPONSE, &QueryResponseBody { ltime, id, from, flags, payload })
        }
        Message::ConflictResponse(member) => put(w, CONFLICT_RESPONSE, &member.as_ref().map(member_body)),
        Message::KeyRequest(KeyRequest { key }) => put(w, KEY_REQUEST, &key),
        Message::KeyResponse(KeyResponse { result, message, keys, primary_key }) => {
            put(w, KEY_RESPONSE, &(KeyResponseHead { result, message, primary_key }, Tail(keys)))
        }
        Message::Relay(Relay { addr, node, inner }) => {
            put(w, RELAY, &RelayHead { addr: addr.into(), node })?;
            w.put(inner)
        }
    }
}

fn put_query(w: &mut Writer<'_>, query: &Query<'_>) -> Result<(), Full> {
    let Query { ltime, id, source: Source { addr, node }, flags, relay_factor, name, payload, .. } = *query;
    let (addr, timeout) = (addr.into(), nanos(query.timeout));
    put(w, QUERY, &QueryHead { ltime, id, addr, node, flags, relay_factor, timeout, name, payload })?;
    put_varint(w, query.filters.len())?;
    query.filters.iter().try_for_each(|filter| put_filter(w, filter))
}

fn put_filter(w: &mut Writer<'_>, filter: Filter<'_>) -> Result<(), Full> {
    match filter {
        Filter::Nodes(nodes) => {
            let texts: usize = nodes.iter().map(text_len).sum();
            put_varint(w, 1 + varint_len(nodes.len()) + texts)?;
            put_value(w, &(FILTER_NODES, Tail(nodes)))
        }
        Filter::Tag { tag, expr } => {
            put_varint(w, 1 + text_len(tag) + text_len(expr))?;
            put_value(w, &(FILTER_TAG, tag, expr))
        }
        Filter::Unreadable(bytes) => {
            put_varint(w, 1 + bytes.len())?;
            w.put_u8(FILTER_UNREADABLE)?;
            w.put(bytes)
        }
    }
}

fn member_body<'a>(member: &MemberRecord<'a>) -> (MemberHead<'a>, Tail<'a, (&'a str, &'a str)>) {
    let MemberRecord { name, addr, tags, status, versions } = *member;
    (MemberHead { versions: versions.to_bytes(), name, addr: addr.map(Address::from), status }, Tail(tags))
}

/// Reads one frame of the Serf layer.
pub fn decode_serf(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&tag, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    let body = schema(body)?;
    Ok(match tag {
        LEAVE => {
            let b: LeaveBody<'_> = whole(body)?;
            Message::Leave(Leave { ltime: b.ltime, node: name(b.node)?, prune: b.prune })
        }
        SERF_JOIN => {
            let b: JoinBody<'_> = whole(body)?;
            Message::Join(Join { ltime: b.ltime, node: name(b.node)? })
        }
        USER_EVENT => Message::UserEvent(user_event(whole(body)?)),
        QUERY => Message::Query(query(body)?),
        QUERY_RESPONSE => {
            let QueryResponseBody { ltime, id, from, flags, payload } = whole(body)?;
            Message::QueryResponse(QueryResponse { ltime, id, from: name_or_none(from)?, flags, payload })
        }
        CONFLICT_RESPONSE => Message::ConflictResponse(conflict_response(body)?),
        KEY_REQUEST => Message::KeyRequest(KeyRequest { key: whole(body)? }),
        KEY_RESPONSE => {
            let (KeyResponseHead { result, message, primary_key }, rest) = part(body)?;
            Message::KeyResponse(KeyResponse { result, message, keys: list(rest)?, primary_key })
        }
        RELAY => {
            let (RelayHead { addr, node }, inner) = part(body)?;
            Message::Relay(Relay { addr: addr.into(), node: name_or_none(node)?, inner })
        }
        _ => return Err(DecodeError::Unknown),
    })
}

pub(super) fn user_event(b: UserEventBody<'_>) -> UserEvent<'_> {
    UserEvent { ltime: b.ltime, name: b.name, payload: b.payload, coalesce: b.coalesce }
}

fn query(body: &[u8]) -> Result<Query<'_>, DecodeError> {
    let (b, rest): (QueryHead<'_>, _) = part(body)?;
    // The other codec could not say it.
    if i64::try_from(b.timeout).is_err() {
        return Err(DecodeError::Malformed);
    }
    Ok(Query {
        ltime: b.ltime,
        id: b.id,
        source: Source { addr: b.addr.into(), node: name_or_none(b.node)? },
        filters: list(rest)?,
        flags: b.flags,
        relay_factor: b.relay_factor,
        timeout: Duration::from_nanos(b.timeout),
        name: b.name,
        payload: b.payload,
    })
}

fn conflict_response(body: &[u8]) -> Result<Option<MemberRecord<'_>>, DecodeError> {
    let body = match body.split_first() {
        Some((0, [])) => return Ok(None),
        Some((1, body)) => body,
        _ => return Err(DecodeError::Malformed),
    };
    let (b, rest): (MemberHead<'_>, _) = part(body)?;
    let (addr, versions) = (b.addr.map(Address::into), Versions::from_bytes(b.versions));
    Ok(Some(MemberRecord { name: name_or_none(b.name)?, addr, tags: list(rest)?, status: b.status, versions }))
}

/// Writes a network coordinate, the payload of an ack.
pub fn encode_coordinate(coordinate: &Coordinate<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    let Coordinate { vec, error, adjustment, height } = *coordinate;
    put(w, COORDINATE, &(CoordinateHead { error, adjustment, height }, Tail(vec)))
}

/// Reads the payload of an ack as a network coordinate.
pub fn decode_coordinate(payload: &[u8]) -> Result<Coordinate<'_>, DecodeError> {
    let body = match payload.split_first() {
        None => return Err(DecodeError::Empty),
        Some((&COORDINATE, body)) => schema(body)?,
        Some(_) => return Err(DecodeError::Unknown),
    };
    let (CoordinateHead { error, adjustment, height }, rest) = part(body)?;
    Ok(Coordinate { vec: list(rest)?, error, adjustment, height })
}

/// Decodes the start of `body`, and returns the rest.
fn part<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, &'a [u8]), DecodeError> {
    postcard::take_from_bytes(body).map_err(|_| DecodeError::Malformed)
}

/// A list that is all of `rest`.
fn list<'a, T: Item<'a>>(mut rest: &'a [u8]) -> Result<List<'a, T>, DecodeError> {
    let list = take_list(&mut rest).filter(|_| rest.is_empty());
    list.ok_or(DecodeError::Malformed)
}

fn take_list<'a, T: Item<'a>>(rest: &mut &'a [u8]) -> Option<List<'a, T>> {
    let count = usize::try_from(take_varint(rest)?).ok()?;
    List::take(Codec::Native, count, rest)
}

/// Takes a text off `rest`.
pub(in crate::wire) fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    core::str::from_utf8(take_bytes(rest)?).ok()
}

/// Takes a number off `rest`.
pub(in crate::wire) fn take_float(rest: &mut &[u8]) -> Option<f64> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(f64::from_le_bytes(*bytes))
}

/// Takes a filter off `rest`. A kind that we do not know is one that nobody passes.
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

/// Writes a value without a type byte.
fn put_value<T: Serialize>(w: &mut Writer<'_>, value: &T) -> Result<(), Full> {
    w.fill(|room| postcard::to_slice(value, room).ok().map(|used| used.len()))
}

fn put_varint(w: &mut Writer<'_>, value: usize) -> Result<(), Full> {
    let mut bytes = [0; 10];
    let used = varint(value as u64, &mut bytes);
    w.put(&bytes[..used])
}

fn varint_len(value: usize) -> usize {
    varint(value as u64, &mut [0; 10])
}

fn text_len(text: &str) -> usize {
    varint_len(text.len()) + text.len()
}
