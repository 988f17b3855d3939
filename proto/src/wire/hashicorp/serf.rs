//! The messages of the Serf layer, and network coordinates.

use core::net::SocketAddr;
use core::time::Duration;

use super::reader::{Reader, take_one};
use super::writer::{
    array, array_head_len, boolean, float, int, ip, map, nil, raw, raw_head, raw_len, raw_or_nil, uint,
};
use super::{name, name_or_none};
use crate::wire::serf::{
    Coordinate, Filter, Join, KeyRequest, KeyResponse, Leave, List, MemberRecord, Message, Query, QueryResponse, Relay,
    Source, UserEvent, nanos,
};
use crate::wire::{DecodeError, Full, Versions, Writer};

pub(in crate::wire) const LEAVE: u8 = 0;
pub(in crate::wire) const JOIN: u8 = 1;
/// Serf's part of a push/pull.
pub(super) const STATE: u8 = 2;
pub(in crate::wire) const USER_EVENT: u8 = 3;
pub(in crate::wire) const QUERY: u8 = 4;
pub(in crate::wire) const QUERY_RESPONSE: u8 = 5;
const CONFLICT_RESPONSE: u8 = 6;
const KEY_REQUEST: u8 = 7;
const KEY_RESPONSE: u8 = 8;
pub(in crate::wire) const RELAY: u8 = 9;

const FILTER_NODES: u8 = 0;
const FILTER_TAG: u8 = 1;
/// A type of filter that there is not: nobody passes it, and nobody falls over it.
const FILTER_NONE: u8 = 0xff;

/// The first byte of a coordinate (`PingVersion` in serf).
const COORDINATE: u8 = 1;

/// Writes one frame of the Serf layer.
///
/// # Errors
///
/// When it does not fit.
pub fn encode_serf(message: &Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    match *message {
        Message::Leave(Leave { ltime, node, prune }) => {
            w.put(b"\x00\x83\xa5LTime")?;
            uint(w, ltime)?;
            w.put(b"\xa4Node")?;
            raw(w, node.as_bytes())?;
            w.put(b"\xa5Prune")?;
            boolean(w, prune)
        }
        Message::Join(Join { ltime, node }) => {
            w.put(b"\x01\x82\xa5LTime")?;
            uint(w, ltime)?;
            w.put(b"\xa4Node")?;
            raw(w, node.as_bytes())
        }
        Message::UserEvent(ref event) => put_user_event(w, event),
        Message::Query(ref query) => put_query(w, query),
        Message::QueryResponse(ref response) => put_query_response(w, response),
        Message::ConflictResponse(None) => {
            w.put_u8(CONFLICT_RESPONSE)?;
            nil(w)
        }
        Message::ConflictResponse(Some(ref member)) => put_member(w, member),
        Message::KeyRequest(KeyRequest { key }) => {
            w.put(b"\x07\x81\xa3Key")?;
            raw(w, key)
        }
        Message::KeyResponse(ref response) => put_key_response(w, response),
        Message::Relay(ref relay) => put_relay(w, relay),
    }
}

fn put_user_event(w: &mut Writer<'_>, event: &UserEvent<'_>) -> Result<(), Full> {
    w.put(b"\x03\x84\xa2CC")?;
    boolean(w, event.coalesce)?;
    w.put(b"\xa5LTime")?;
    uint(w, event.ltime)?;
    w.put(b"\xa4Name")?;
    raw(w, event.name.as_bytes())?;
    w.put(b"\xa7Payload")?;
    raw_or_nil(w, event.payload)
}

fn put_query(w: &mut Writer<'_>, query: &Query<'_>) -> Result<(), Full> {
    w.put(b"\x04\x8b\xa4Addr")?;
    ip(w, query.source.addr.ip())?;
    w.put(b"\xa7Filters")?;
    put_filters(w, query.filters)?;
    w.put(b"\xa5Flags")?;
    uint(w, query.flags.into())?;
    w.put(b"\xa2ID")?;
    uint(w, query.id.into())?;
    w.put(b"\xa5LTime")?;
    uint(w, query.ltime)?;
    w.put(b"\xa4Name")?;
    raw(w, query.name.as_bytes())?;
    w.put(b"\xa7Payload")?;
    raw_or_nil(w, query.payload)?;
    w.put(b"\xa4Port")?;
    uint(w, query.source.addr.port().into())?;
    w.put(b"\xabRelayFactor")?;
    uint(w, query.relay_factor.into())?;
    w.put(b"\xaaSourceNode")?;
    raw(w, query.source.node.as_bytes())?;
    w.put(b"\xa7Timeout")?;
    int(w, nanos(query.timeout))
}

fn put_filters(w: &mut Writer<'_>, filters: List<'_, Filter<'_>>) -> Result<(), Full> {
    if filters.is_empty() {
        return nil(w);
    }
    array(w, filters.len())?;
    filters.iter().try_for_each(|filter| put_filter(w, filter))
}

fn put_filter(w: &mut Writer<'_>, filter: Filter<'_>) -> Result<(), Full> {
    match filter {
        Filter::Nodes(nodes) => {
            let texts: usize = nodes.iter().map(|node| raw_len(node.len())).sum();
            raw_head(w, 1 + array_head_len(nodes.len()) + texts)?;
            w.put_u8(FILTER_NODES)?;
            array(w, nodes.len())?;
            nodes.iter().try_for_each(|node| raw(w, node.as_bytes()))
        }
        Filter::Tag { tag, expr } => {
            raw_head(w, b"\x01\x82\xa4Expr\xa3Tag".len() + raw_len(expr.len()) + raw_len(tag.len()))?;
            w.put(b"\x01\x82\xa4Expr")?;
            raw(w, expr.as_bytes())?;
            w.put(b"\xa3Tag")?;
            raw(w, tag.as_bytes())
        }
        // An empty one would stop every Go program that reads it.
        Filter::Unreadable([]) => raw(w, &[FILTER_NONE]),
        Filter::Unreadable(bytes) => raw(w, bytes),
    }
}

fn put_query_response(w: &mut Writer<'_>, response: &QueryResponse<'_>) -> Result<(), Full> {
    w.put(b"\x05\x85\xa5Flags")?;
    uint(w, response.flags.into())?;
    w.put(b"\xa4From")?;
    raw(w, response.from.as_bytes())?;
    w.put(b"\xa2ID")?;
    uint(w, response.id.into())?;
    w.put(b"\xa5LTime")?;
    uint(w, response.ltime)?;
    w.put(b"\xa7Payload")?;
    raw_or_nil(w, response.payload)
}

fn put_member(w: &mut Writer<'_>, member: &MemberRecord<'_>) -> Result<(), Full> {
    let MemberRecord { name, addr, tags, status, versions } = *member;
    w.put(b"\x06\x8b\xa4Addr")?;
    match addr {
        Some(addr) => ip(w, addr.ip())?,
        None => nil(w)?,
    }
    w.put(b"\xabDelegateCur")?;
    uint(w, versions.delegate_current().into())?;
    w.put(b"\xabDelegateMax")?;
    uint(w, versions.delegate_max().into())?;
    w.put(b"\xabDelegateMin")?;
    uint(w, versions.delegate_min().into())?;
    w.put(b"\xa4Name")?;
    raw(w, name.as_bytes())?;
    w.put(b"\xa4Port")?;
    uint(w, addr.map_or(0, |addr| addr.port()).into())?;
    w.put(b"\xabProtocolCur")?;
    uint(w, versions.protocol_current().into())?;
    w.put(b"\xabProtocolMax")?;
    uint(w, versions.protocol_max().into())?;
    w.put(b"\xabProtocolMin")?;
    uint(w, versions.protocol_min().into())?;
    w.put(b"\xa6Status")?;
    int(w, status.into())?;
    w.put(b"\xa4Tags")?;
    map(w, tags.len())?;
    tags.iter().flat_map(|(key, value)| [key, value]).try_for_each(|text| raw(w, text.as_bytes()))
}

fn put_key_response(w: &mut Writer<'_>, response: &KeyResponse<'_>) -> Result<(), Full> {
    w.put(b"\x08\x84\xa4Keys")?;
    if response.keys.is_empty() {
        nil(w)?;
    } else {
        array(w, response.keys.len())?;
        response.keys.iter().try_for_each(|key| raw(w, key.as_bytes()))?;
    }
    w.put(b"\xa7Message")?;
    raw(w, response.message.as_bytes())?;
    w.put(b"\xaaPrimaryKey")?;
    raw(w, response.primary_key.as_bytes())?;
    w.put(b"\xa6Result")?;
    boolean(w, response.result)
}

fn put_relay(w: &mut Writer<'_>, relay: &Relay<'_>) -> Result<(), Full> {
    w.put(b"\x09\x82\xa8DestAddr\x83\xa2IP")?;
    ip(w, relay.addr.ip())?;
    w.put(b"\xa4Port")?;
    int(w, relay.addr.port().into())?;
    w.put(b"\xa4Zone\xa0\xa8DestName")?;
    raw(w, relay.node.as_bytes())?;
    w.put(relay.inner)
}

/// Reads one frame of the Serf layer.
///
/// # Errors
///
/// When it is empty, of a type that we do not know, or not to be read.
pub fn decode_serf(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&kind, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    let r = &mut Reader::new(body);
    let message = match kind {
        LEAVE => leave(r).map(Message::Leave),
        JOIN => join(r).map(Message::Join),
        USER_EVENT => user_event(r).map(Message::UserEvent),
        QUERY => query(r).map(Message::Query),
        QUERY_RESPONSE => query_response(r).map(Message::QueryResponse),
        CONFLICT_RESPONSE if body.first() == Some(&0xc0) => Some(Message::ConflictResponse(None)),
        CONFLICT_RESPONSE => member(r).map(|member| Message::ConflictResponse(Some(member))),
        KEY_REQUEST => key_request(r).map(Message::KeyRequest),
        KEY_RESPONSE => key_response(r).map(Message::KeyResponse),
        RELAY => relay(r).map(Message::Relay),
        _ => return Err(DecodeError::Unknown),
    };
    message.ok_or(DecodeError::Malformed)
}

fn leave<'a>(r: &mut Reader<'a>) -> Option<Leave<'a>> {
    let (mut ltime, mut node, mut prune) = (0, "", false);
    let mut fields = r.fields(&[b"LTime", b"Node", b"Prune"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"LTime" => ltime = r.uint()?,
            b"Node" => node = r.text()?,
            b"Prune" => prune = r.boolean()?,
            _ => r.skip()?,
        }
    }
    Some(Leave { ltime, node: name(node)?, prune })
}

fn join<'a>(r: &mut Reader<'a>) -> Option<Join<'a>> {
    let (mut ltime, mut node) = (0, "");
    let mut fields = r.fields(&[b"LTime", b"Node"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"LTime" => ltime = r.uint()?,
            b"Node" => node = r.text()?,
            _ => r.skip()?,
        }
    }
    Some(Join { ltime, node: name(node)? })
}

fn user_event<'a>(r: &mut Reader<'a>) -> Option<UserEvent<'a>> {
    let mut event = UserEvent { ltime: 0, name: "", payload: &[], coalesce: false };
    let mut fields = r.fields(&[b"LTime", b"Name", b"Payload", b"CC"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"CC" => event.coalesce = r.boolean()?,
            b"LTime" => event.ltime = r.uint()?,
            b"Name" => event.name = r.text()?,
            b"Payload" => event.payload = r.bytes()?,
            _ => r.skip()?,
        }
    }
    Some(event)
}

fn query<'a>(r: &mut Reader<'a>) -> Option<Query<'a>> {
    const DECLARED: &[&[u8]] = &[
        b"LTime",
        b"ID",
        b"Addr",
        b"Port",
        b"SourceNode",
        b"Filters",
        b"Flags",
        b"RelayFactor",
        b"Timeout",
        b"Name",
        b"Payload",
    ];
    let (mut ltime, mut id, mut addr, mut port, mut node, mut filters) = (0, 0, None, 0, "", List::EMPTY);
    let (mut flags, mut relay_factor, mut timeout, mut name, mut payload) = (0, 0, 0, "", &[][..]);
    let mut fields = r.fields(DECLARED)?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"Addr" => addr = r.ip()?,
            b"Filters" => filters = r.list()?,
            b"Flags" => flags = r.u32()?,
            b"ID" => id = r.u32()?,
            b"LTime" => ltime = r.uint()?,
            b"Name" => name = r.text()?,
            b"Payload" => payload = r.bytes()?,
            b"Port" => port = r.u16()?,
            b"RelayFactor" => relay_factor = r.u8()?,
            b"SourceNode" => node = name_or_none(r.text()?)?,
            b"Timeout" => timeout = r.int()?,
            _ => r.skip()?,
        }
    }
    let source = Source { addr: SocketAddr::new(addr?, port), node };
    let timeout = Duration::from_nanos(u64::try_from(timeout).unwrap_or(0));
    Some(Query { ltime, id, source, filters, flags, relay_factor, timeout, name, payload })
}

fn query_response<'a>(r: &mut Reader<'a>) -> Option<QueryResponse<'a>> {
    let mut response = QueryResponse { ltime: 0, id: 0, from: "", flags: 0, payload: &[] };
    let mut fields = r.fields(&[b"LTime", b"ID", b"From", b"Flags", b"Payload"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"Flags" => response.flags = r.u32()?,
            b"From" => response.from = name_or_none(r.text()?)?,
            b"ID" => response.id = r.u32()?,
            b"LTime" => response.ltime = r.uint()?,
            b"Payload" => response.payload = r.bytes()?,
            _ => r.skip()?,
        }
    }
    Some(response)
}

fn member<'a>(r: &mut Reader<'a>) -> Option<MemberRecord<'a>> {
    const DECLARED: &[&[u8]] = &[
        b"Name",
        b"Addr",
        b"Port",
        b"Tags",
        b"Status",
        b"ProtocolMin",
        b"ProtocolMax",
        b"ProtocolCur",
        b"DelegateMin",
        b"DelegateMax",
        b"DelegateCur",
    ];
    let (mut name, mut addr, mut port, mut tags, mut status, mut versions) = ("", None, 0, List::EMPTY, 0, [0; 6]);
    let mut fields = r.fields(DECLARED)?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"Addr" => addr = r.ip()?,
            b"DelegateCur" => versions[5] = r.u8()?,
            b"DelegateMax" => versions[4] = r.u8()?,
            b"DelegateMin" => versions[3] = r.u8()?,
            b"Name" => name = name_or_none(r.text()?)?,
            b"Port" => port = r.u16()?,
            b"ProtocolCur" => versions[2] = r.u8()?,
            b"ProtocolMax" => versions[1] = r.u8()?,
            b"ProtocolMin" => versions[0] = r.u8()?,
            b"Status" => status = u8::try_from(r.int()?).ok()?,
            b"Tags" => tags = r.pairs()?,
            _ => r.skip()?,
        }
    }
    let addr = addr.map(|ip| SocketAddr::new(ip, port));
    Some(MemberRecord { name, addr, tags, status, versions: Versions::from_bytes(versions) })
}

fn key_request<'a>(r: &mut Reader<'a>) -> Option<KeyRequest<'a>> {
    let mut request = KeyRequest { key: &[] };
    let mut fields = r.fields(&[b"Key"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"Key" => request.key = r.bytes()?,
            _ => r.skip()?,
        }
    }
    Some(request)
}

fn key_response<'a>(r: &mut Reader<'a>) -> Option<KeyResponse<'a>> {
    let mut response = KeyResponse { result: false, message: "", keys: List::EMPTY, primary_key: "" };
    let mut fields = r.fields(&[b"Result", b"Message", b"Keys", b"PrimaryKey"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"Keys" => response.keys = r.list()?,
            b"Message" => response.message = r.text()?,
            b"PrimaryKey" => response.primary_key = r.text()?,
            b"Result" => response.result = r.boolean()?,
            _ => r.skip()?,
        }
    }
    Some(response)
}

fn relay<'a>(r: &mut Reader<'a>) -> Option<Relay<'a>> {
    let (mut addr, mut node) = (None, "");
    let mut fields = r.fields(&[b"DestAddr", b"DestName"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"DestAddr" => addr = destination(r)?,
            b"DestName" => node = name_or_none(r.text()?)?,
            _ => r.skip()?,
        }
    }
    Some(Relay { addr: addr?, node, inner: r.rest() })
}

/// Go's `net.UDPAddr`. The zone of an address is the sender's, and means nothing here.
fn destination(r: &mut Reader<'_>) -> Option<Option<SocketAddr>> {
    let (mut ip, mut port) = (None, 0);
    let mut fields = r.fields(&[b"IP", b"Port", b"Zone"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"IP" => ip = r.ip()?,
            b"Port" => port = u16::try_from(r.int()?).ok()?,
            _ => r.skip()?,
        }
    }
    Some(ip.map(|ip| SocketAddr::new(ip, port)))
}

/// Takes a filter off `rest`. One that cannot be read is one that nobody passes, and does no harm to the rest of the query.
pub(in crate::wire) fn take_filter<'a>(rest: &mut &'a [u8]) -> Option<Filter<'a>> {
    let bytes = take_one(rest, Reader::bytes)?;
    Some(filter(bytes).unwrap_or(Filter::Unreadable(bytes)))
}

fn filter(bytes: &[u8]) -> Option<Filter<'_>> {
    let (&kind, body) = bytes.split_first()?;
    let r = &mut Reader::new(body);
    match kind {
        FILTER_NODES => r.list().map(Filter::Nodes),
        FILTER_TAG => {
            let (mut tag, mut expr) = ("", "");
            let mut fields = r.fields(&[b"Tag", b"Expr"])?;
            while let Some(key) = fields.next(r)? {
                match key {
                    b"Expr" => expr = r.text()?,
                    b"Tag" => tag = r.text()?,
                    _ => r.skip()?,
                }
            }
            Some(Filter::Tag { tag, expr })
        }
        _ => None,
    }
}

/// Writes a network coordinate, the payload of an ack.
///
/// # Errors
///
/// When it does not fit.
pub fn encode_coordinate(coordinate: &Coordinate<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(b"\x01\x84\xaaAdjustment")?;
    float(w, coordinate.adjustment)?;
    w.put(b"\xa5Error")?;
    float(w, coordinate.error)?;
    w.put(b"\xa6Height")?;
    float(w, coordinate.height)?;
    w.put(b"\xa3Vec")?;
    array(w, coordinate.vec.len())?;
    coordinate.vec.iter().try_for_each(|value| float(w, value))
}

/// Reads the payload of an ack as a network coordinate.
///
/// # Errors
///
/// When it is empty, of another version, or not to be read.
pub fn decode_coordinate(payload: &[u8]) -> Result<Coordinate<'_>, DecodeError> {
    match payload.split_first() {
        None => Err(DecodeError::Empty),
        Some((&COORDINATE, body)) => coordinate(&mut Reader::new(body)).ok_or(DecodeError::Malformed),
        Some(_) => Err(DecodeError::Unknown),
    }
}

fn coordinate<'a>(r: &mut Reader<'a>) -> Option<Coordinate<'a>> {
    let mut read = Coordinate { vec: List::EMPTY, error: 0.0, adjustment: 0.0, height: 0.0 };
    let mut fields = r.fields(&[b"Vec", b"Error", b"Adjustment", b"Height"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"Adjustment" => read.adjustment = r.float()?,
            b"Error" => read.error = r.float()?,
            b"Height" => read.height = r.float()?,
            b"Vec" => read.vec = r.list()?,
            _ => r.skip()?,
        }
    }
    Some(read)
}
