//! Messages of the Serf layer, and network coordinates, in HashiCorp's codec.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::form::{
    Array, ArrayOrNil, BytesOrNil, Form, InString, Int, Ip, Name, Nanos, Text, TextMap, Udp, Uint, Unused,
};
use super::message::{Body, message};
use super::put;
use crate::msgpack::write::{nil, raw_head, uint};
use crate::msgpack::{Reader, Sink};
use crate::sink::Count;
use crate::wire::name::is_member_name;
use crate::wire::serf::{
    Coordinate, Filter, Join, KeyRequest, KeyResponse, Leave, List, MemberRecord, Message, Query, QueryResponse, Relay,
    Source, UserEvent, nanos,
};
use crate::wire::{DecodeError, Full, Versions, Writer};

pub(in crate::wire) const LEAVE: u8 = 0;
pub(in crate::wire) const JOIN: u8 = 1;
/// Type byte of Serf's part of a push/pull.
pub(super) const STATE: u8 = 2;
pub(crate) const USER_EVENT: u8 = 3;
pub(in crate::wire) const QUERY: u8 = 4;
pub(in crate::wire) const QUERY_RESPONSE: u8 = 5;
const CONFLICT_RESPONSE: u8 = 6;
const KEY_REQUEST: u8 = 7;
const KEY_RESPONSE: u8 = 8;
pub(in crate::wire) const RELAY: u8 = 9;

const FILTER_NODES: u8 = 0;
const FILTER_TAG: u8 = 1;
/// An unassigned filter type: matches no member, and decodes without an error everywhere.
const FILTER_NONE: u8 = 0xff;

/// First byte of a coordinate (`PingVersion` in serf).
const COORDINATE: u8 = 1;

/// Encodes a frame of the Serf layer.
///
/// # Errors
///
/// If it does not fit.
pub fn encode_serf(message: &Message<'_>, out: &mut impl Sink) -> Result<(), Full> {
    match *message {
        Message::Leave(ref leave) => put(out, LEAVE, leave),
        Message::Join(ref join) => put(out, JOIN, join),
        Message::UserEvent(ref event) => put(out, USER_EVENT, event),
        Message::Query(ref query) => put(out, QUERY, &QueryBody::from(query)),
        Message::QueryResponse(ref response) => put(out, QUERY_RESPONSE, response),
        Message::ConflictResponse(None) => {
            out.put(&[CONFLICT_RESPONSE])?;
            nil(out)
        }
        Message::ConflictResponse(Some(ref member)) => put(out, CONFLICT_RESPONSE, &MemberBody::from(member)),
        Message::KeyRequest(ref request) => put(out, KEY_REQUEST, request),
        Message::KeyResponse(ref response) => put(out, KEY_RESPONSE, response),
        Message::Relay(Relay { addr, node, inner }) => {
            put(out, RELAY, &RelayHead { addr: Some(addr), node })?;
            out.put(inner)
        }
    }
}

/// Size of a message in HashiCorp's codec. Limits are checked against it, because what one node accepts must be
/// acceptable to all.
pub(crate) fn serf_bytes(message: &Message<'_>) -> usize {
    Count::of(|count| encode_serf(message, count))
}

/// Size of a query in the encoding of versions before Serf 0.10, whose timeout uses the shortest unsigned form.
pub(crate) fn shortest_query_bytes(query: &Query<'_>) -> usize {
    let timeout = Count::of(|count| uint(count, nanos(query.timeout)));
    let rest = Query { timeout: Duration::ZERO, ..*query };
    serf_bytes(&Message::Query(rest)) - 1 + timeout
}

/// Decodes a frame of the Serf layer.
///
/// # Errors
///
/// If it is empty, malformed, or of an unknown type.
pub fn decode_serf(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&kind, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    let r = &mut Reader::new(body);
    let message = match kind {
        LEAVE => Leave::take(r).filter(|leave| is_member_name(leave.node)).map(Message::Leave),
        JOIN => Join::take(r).filter(|join| is_member_name(join.node)).map(Message::Join),
        USER_EVENT => UserEvent::take(r).map(Message::UserEvent),
        QUERY => QueryBody::take(r).and_then(QueryBody::query).map(Message::Query),
        QUERY_RESPONSE => QueryResponse::take(r).map(Message::QueryResponse),
        CONFLICT_RESPONSE if body.first() == Some(&0xc0) => Some(Message::ConflictResponse(None)),
        CONFLICT_RESPONSE => MemberBody::take(r).map(|member| Message::ConflictResponse(Some(member.into()))),
        KEY_REQUEST => KeyRequest::take(r).map(Message::KeyRequest),
        KEY_RESPONSE => KeyResponse::take(r).map(Message::KeyResponse),
        RELAY => relay(r).map(Message::Relay),
        _ => return Err(DecodeError::Unknown),
    };
    message.ok_or(DecodeError::Malformed)
}

message! {
    struct QueryBody<'a> {
        ltime: u64 = b"LTime" as Uint,
        id: u32 = b"ID" as Uint,
        ip: Option<IpAddr> = b"Addr" as Ip,
        port: u16 = b"Port" as Uint,
        node: &'a str = b"SourceNode" as Name,
        filters: List<'a, Filter<'a>> = b"Filters" as ArrayOrNil<InString>,
        flags: u32 = b"Flags" as Uint,
        relay_factor: u8 = b"RelayFactor" as Uint,
        timeout: Duration = b"Timeout" as Nanos,
        name: &'a str = b"Name" as Text,
        payload: &'a [u8] = b"Payload" as BytesOrNil,
    }
}

impl<'a> From<&Query<'a>> for QueryBody<'a> {
    fn from(query: &Query<'a>) -> Self {
        let Query { ltime, id, source: Source { addr, node }, flags, relay_factor, timeout, name, payload, filters } =
            *query;
        let (ip, port) = (Some(addr.ip()), addr.port());
        Self { ltime, id, ip, port, node, filters, flags, relay_factor, timeout, name, payload }
    }
}

impl<'a> QueryBody<'a> {
    /// `None` without an address: no member could respond.
    fn query(self) -> Option<Query<'a>> {
        let Self { ltime, id, ip, port, node, filters, flags, relay_factor, timeout, name, payload } = self;
        let source = Source { addr: SocketAddr::new(ip?, port), node };
        Some(Query { ltime, id, source, flags, relay_factor, timeout, name, payload, filters })
    }
}

message! {
    struct MemberBody<'a> {
        name: &'a str = b"Name" as Name,
        ip: Option<IpAddr> = b"Addr" as Ip,
        port: u16 = b"Port" as Uint,
        tags: List<'a, (&'a str, &'a str)> = b"Tags" as TextMap,
        status: u8 = b"Status" as Int,
        protocol_min: u8 = b"ProtocolMin" as Uint,
        protocol_max: u8 = b"ProtocolMax" as Uint,
        protocol_current: u8 = b"ProtocolCur" as Uint,
        delegate_min: u8 = b"DelegateMin" as Uint,
        delegate_max: u8 = b"DelegateMax" as Uint,
        delegate_current: u8 = b"DelegateCur" as Uint,
    }
}

impl<'a> From<&MemberRecord<'a>> for MemberBody<'a> {
    fn from(&MemberRecord { versions, name, addr, status, tags }: &MemberRecord<'a>) -> Self {
        let [protocol_min, protocol_max, protocol_current, delegate_min, delegate_max, delegate_current] =
            versions.to_bytes();
        Self {
            name,
            ip: addr.map(|addr| addr.ip()),
            port: addr.map_or(0, |addr| addr.port()),
            tags,
            status,
            protocol_min,
            protocol_max,
            protocol_current,
            delegate_min,
            delegate_max,
            delegate_current,
        }
    }
}

impl<'a> From<MemberBody<'a>> for MemberRecord<'a> {
    fn from(body: MemberBody<'a>) -> Self {
        let versions = Versions::from_bytes([
            body.protocol_min,
            body.protocol_max,
            body.protocol_current,
            body.delegate_min,
            body.delegate_max,
            body.delegate_current,
        ]);
        let addr = body.ip.map(|ip| SocketAddr::new(ip, body.port));
        Self { versions, name: body.name, addr, status: body.status, tags: body.tags }
    }
}

message! {
    struct RelayHead<'a> {
        addr: Option<SocketAddr> = b"DestAddr" as Udp,
        node: &'a str = b"DestName" as Name,
    }
}

message! {
    /// Go's `net.UDPAddr`. The zone is local to the sender, and ignored.
    pub(super) struct UdpAddr {
        pub(super) ip: Option<IpAddr> = b"IP" as Ip,
        pub(super) port: u16 = b"Port" as Int,
        pub(super) zone: () = b"Zone" as Unused,
    }
}

/// The forwarded message follows the header.
fn relay<'a>(r: &mut Reader<'a>) -> Option<Relay<'a>> {
    let RelayHead { addr, node } = RelayHead::take(r)?;
    Some(Relay { addr: addr?, node, inner: r.rest() })
}

message! {
    struct TagFilter<'a> {
        tag: &'a str = b"Tag" as Text,
        expr: &'a str = b"Expr" as Text,
    }
}

/// Encodes a filter: a string that contains a type byte and a nested encoding.
pub(super) fn put_filter(out: &mut impl Sink, filter: Filter<'_>) -> Result<(), Full> {
    raw_head(out, Count::of(|count| put_filter_body(count, filter)))?;
    put_filter_body(out, filter)
}

fn put_filter_body(out: &mut impl Sink, filter: Filter<'_>) -> Result<(), Full> {
    match filter {
        Filter::Nodes(nodes) => {
            out.put(&[FILTER_NODES])?;
            Array::<Text>::put(out, nodes)
        }
        Filter::Tag { tag, expr } => put(out, FILTER_TAG, &TagFilter { tag, expr }),
        // An empty filter would panic every Go program that decodes it.
        Filter::Unreadable([]) => out.put(&[FILTER_NONE]),
        Filter::Unreadable(bytes) => out.put(bytes),
    }
}

/// Decodes a filter. A malformed one matches no member, and does not invalidate the query.
pub(super) fn take_filter<'a>(r: &mut Reader<'a>) -> Option<Filter<'a>> {
    let bytes = r.bytes()?;
    Some(filter(bytes).unwrap_or(Filter::Unreadable(bytes)))
}

fn filter(bytes: &[u8]) -> Option<Filter<'_>> {
    let (&kind, body) = bytes.split_first()?;
    let r = &mut Reader::new(body);
    match kind {
        FILTER_NODES => Array::<Text>::take(r).map(Filter::Nodes),
        FILTER_TAG => TagFilter::take(r).map(|TagFilter { tag, expr }| Filter::Tag { tag, expr }),
        _ => None,
    }
}

/// Encodes a network coordinate, the payload of an ack.
///
/// # Errors
///
/// If it does not fit.
pub fn encode_coordinate(coordinate: &Coordinate<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    put(w, COORDINATE, coordinate)
}

/// Decodes the payload of an ack as a network coordinate.
///
/// # Errors
///
/// If it is empty, malformed, or of another version.
pub fn decode_coordinate(payload: &[u8]) -> Result<Coordinate<'_>, DecodeError> {
    match payload.split_first() {
        None => Err(DecodeError::Empty),
        Some((&COORDINATE, body)) => Coordinate::take(&mut Reader::new(body)).ok_or(DecodeError::Malformed),
        Some(_) => Err(DecodeError::Unknown),
    }
}
