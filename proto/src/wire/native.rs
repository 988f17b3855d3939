//! Our own codec: postcard bodies.
//!
//! A frame is `0x40 | type`, a schema number, and the body. What a node announces about itself, its *record*, stands at
//! the end of an alive message and is byte for byte the same in every message about that node; so it is encoded once, when
//! the record is learnt, and compared before it is decoded.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source, State};
use super::versions::{Common, Versions};
use super::{DecodeError, Full, Writer, serf};
use crate::limits::{META_BYTES_MAX, NAME_BYTES_MAX, PUSH_PULL_NODES_MAX};

/// Set in the type byte of every native frame, so that one byte tells the codecs apart.
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

const SERF_LEAVE: u8 = NATIVE;
const SERF_JOIN: u8 = NATIVE | 1;
const SERF_USER_EVENT: u8 = NATIVE | 3;

/// The longest record of a member within our limits: versions, name, address and metadata, with their lengths.
const RECORD_BYTES_MAX: usize = VERSIONS_BYTES + 2 + NAME_BYTES_MAX + 20 + 2 + META_BYTES_MAX;

/// A record begins with the member's versions.
const VERSIONS_BYTES: usize = 6;

/// The layout of bodies. A new layout gets a new number; a reader refuses those it does not know.
const SCHEMA: u8 = 1;

/// A frame as postcard sees it.
#[derive(Serialize, Deserialize)]
struct Address {
    ip: IpAddr,
    port: u16,
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self { ip: addr.ip(), port: addr.port() }
    }
}

impl From<Address> for SocketAddr {
    fn from(addr: Address) -> Self {
        Self::new(addr.ip, addr.port)
    }
}

#[derive(Serialize, Deserialize)]
struct SourceBody<'a> {
    addr: Address,
    node: &'a str,
}

#[derive(Serialize, Deserialize)]
struct PingBody<'a> {
    seq: u32,
    node: &'a str,
    #[serde(borrow)]
    source: Option<SourceBody<'a>>,
}

#[derive(Serialize, Deserialize)]
struct IndirectPingBody<'a> {
    seq: u32,
    target: Address,
    node: &'a str,
    nack: bool,
    #[serde(borrow)]
    source: Option<SourceBody<'a>>,
}

#[derive(Serialize, Deserialize)]
struct AckBody<'a> {
    seq: u32,
    payload: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct AccusationBody<'a> {
    incarnation: u32,
    node: &'a str,
    from: &'a str,
}

/// Versions and name come first, so that both can be read without the rest.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    versions: [u8; 6],
    name: &'a str,
    addr: Address,
    meta: &'a [u8],
}

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
struct UserEventBody<'a> {
    ltime: u64,
    name: &'a str,
    payload: &'a [u8],
    coalesce: bool,
}

fn source_body<'a>(source: Option<Source<'a>>) -> Option<SourceBody<'a>> {
    source.map(|s| SourceBody { addr: s.addr.into(), node: s.node })
}

fn source<'a>(body: Option<SourceBody<'a>>) -> Result<Option<Source<'a>>, DecodeError> {
    body.map(|s| Ok(Source { addr: s.addr.into(), node: name_or_none(s.node)? })).transpose()
}

/// A name that fits into a packet. What is longer could be told to nobody, and would stand in the way of what can.
fn name(name: &str) -> Result<&str, DecodeError> {
    if name.is_empty() { Err(DecodeError::Malformed) } else { name_or_none(name) }
}

/// A name that fits into a packet, or the empty one that stands for nobody.
fn name_or_none(name: &str) -> Result<&str, DecodeError> {
    if name.len() > NAME_BYTES_MAX { Err(DecodeError::Malformed) } else { Ok(name) }
}

fn put<T: Serialize>(w: &mut Writer<'_>, tag: u8, body: &T) -> Result<(), Full> {
    w.put(&[tag, SCHEMA])?;
    w.fill(|room| postcard::to_slice(body, room).ok().map(|used| used.len()))
}

/// Writes one frame.
pub fn encode(message: &Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    match *message {
        Message::Ping(Ping { seq, node, source }) => put(w, PING, &PingBody { seq, node, source: source_body(source) }),
        Message::IndirectPing(IndirectPing { seq, target, node, nack, source }) => {
            let source = source_body(source);
            put(w, INDIRECT_PING, &IndirectPingBody { seq, target: target.into(), node, nack, source })
        }
        Message::Ack(Ack { seq, payload }) => put(w, ACK, &AckBody { seq, payload }),
        Message::Nack { seq } => put(w, NACK, &seq),
        Message::Suspect(accusation) => put_accusation(w, SUSPECT, accusation),
        Message::Dead(accusation) => put_accusation(w, DEAD, accusation),
        Message::Alive(Alive { incarnation, peer }) => encode_alive(incarnation, &encode_record(peer), w),
        Message::User(bytes) => {
            w.put_u8(USER)?;
            w.put(bytes)
        }
    }
}

fn put_accusation(w: &mut Writer<'_>, tag: u8, a: Accusation<'_>) -> Result<(), Full> {
    put(w, tag, &AccusationBody { incarnation: a.incarnation, node: a.node, from: a.from })
}

/// The beginning of a frame whose rest is at hand.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Head {
    /// Three bytes of types and schema, a time, a length.
    const BYTES_MAX: usize = 3 + 10 + 3;

    fn new(start: &[u8], numbers: &[u64]) -> Self {
        let mut head = Self { bytes: [0; Self::BYTES_MAX], len: start.len() };
        head.bytes[..start.len()].copy_from_slice(start);
        for &number in numbers {
            head.len += varint(number, &mut head.bytes[head.len..]);
        }
        head
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What goes before a node's record in an alive message.
pub fn alive_head(incarnation: u32) -> Head {
    Head::new(&[ALIVE, SCHEMA], &[u64::from(incarnation)])
}

/// The same for a node that has not changed since it began, as most have not.
pub const FIRST_ALIVE_HEAD: [u8; 3] = [ALIVE, SCHEMA, 1];

/// The name in an alive message that begins with [`FIRST_ALIVE_HEAD`]; `None` when it does not, or the name is long.
#[inline]
pub fn name_in_first_alive(frame: &[u8]) -> Option<&[u8]> {
    const NAME_LEN_AT: usize = FIRST_ALIVE_HEAD.len() + VERSIONS_BYTES;
    let (head, rest) = frame.split_first_chunk::<{ NAME_LEN_AT + 1 }>()?;
    let is_first = head[..FIRST_ALIVE_HEAD.len()] == FIRST_ALIVE_HEAD;
    if is_first && head[NAME_LEN_AT] < 0x80 { rest.get(..usize::from(head[NAME_LEN_AT])) } else { None }
}

/// What goes before a member's name in a user message with its join intent.
pub fn join_head(ltime: u64, name_len: usize) -> Head {
    Head::new(&[USER, SERF_JOIN, SCHEMA], &[ltime, name_len as u64])
}

/// Writes an alive message about the node whose record is `record`.
pub fn encode_alive(incarnation: u32, record: &[u8], w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(alive_head(incarnation).bytes())?;
    w.put(record)
}

/// What a node announces about itself, encoded.
pub fn encode_record(peer: PeerRef<'_>) -> Box<[u8]> {
    let record = Record { versions: peer.versions.0, name: peer.name, addr: peer.addr.into(), meta: peer.meta };
    // Composed on the stack, so that it is allocated once and at its size.
    let mut room = [0; RECORD_BYTES_MAX];
    match postcard::to_slice(&record, &mut room) {
        Ok(bytes) => Box::from(&*bytes),
        Err(_) => postcard::to_allocvec(&record).expect("a vector has room for any record").into_boxed_slice(),
    }
}

/// Reads one frame.
pub fn decode(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&tag, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    decode_body(tag, body)
}

/// Reads the body of a frame of type `tag`.
pub fn decode_body(tag: u8, body: &[u8]) -> Result<Message<'_>, DecodeError> {
    if tag == USER {
        return Ok(Message::User(body));
    }
    let body = schema(body)?;
    Ok(match tag {
        PING => {
            let b: PingBody<'_> = whole(body)?;
            Message::Ping(Ping { seq: b.seq, node: name_or_none(b.node)?, source: source(b.source)? })
        }
        INDIRECT_PING => {
            let b: IndirectPingBody<'_> = whole(body)?;
            let target = b.target.into();
            Message::IndirectPing(IndirectPing {
                seq: b.seq,
                target,
                node: name_or_none(b.node)?,
                nack: b.nack,
                source: source(b.source)?,
            })
        }
        ACK => {
            let b: AckBody<'_> = whole(body)?;
            Message::Ack(Ack { seq: b.seq, payload: b.payload })
        }
        NACK => Message::Nack { seq: whole(body)? },
        SUSPECT => Message::Suspect(accusation(body)?),
        DEAD => Message::Dead(accusation(body)?),
        ALIVE => {
            let mut rest = body;
            let incarnation = take_incarnation(&mut rest)?;
            Message::Alive(Alive { incarnation, peer: decode_record(rest)? })
        }
        _ => return Err(DecodeError::Unknown),
    })
}

fn accusation(body: &[u8]) -> Result<Accusation<'_>, DecodeError> {
    let b: AccusationBody<'_> = whole(body)?;
    Ok(Accusation { incarnation: b.incarnation, node: name_or_none(b.node)?, from: name_or_none(b.from)? })
}

/// Reads a record, to its end and no further.
pub fn decode_record(record: &[u8]) -> Result<PeerRef<'_>, DecodeError> {
    let r: Record<'_> = whole(record)?;
    if r.meta.len() > META_BYTES_MAX {
        return Err(DecodeError::Malformed);
    }
    Ok(PeerRef { name: name(r.name)?, addr: r.addr.into(), meta: r.meta, versions: Versions(r.versions) })
}

/// A record that has not been decoded, with an incarnation; what most alive messages need to be recognised as old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread<'a> {
    /// The incarnation of the member that this is about.
    pub incarnation: u32,
    /// Its name.
    pub name: &'a [u8],
    /// What it announces, encoded.
    pub record: &'a [u8],
}

/// Looks at an alive message without decoding it; `None` when the frame is anything else.
#[inline]
pub fn peek_alive(frame: &[u8]) -> Option<Unread<'_>> {
    let mut rest = frame.strip_prefix(&[ALIVE, SCHEMA])?;
    let incarnation = take_incarnation(&mut rest).ok()?;
    Some(Unread { incarnation, name: name_of_record(rest)?, record: rest })
}

/// What a frame is about, as far as can be told at a glance, for those frames of which many come in one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance<'a> {
    /// A member says that it is alive.
    Alive(Unread<'a>),
    /// A member joined or leaves.
    Intent {
        /// When.
        ltime: u64,
        /// Its name, which has not been found to be text.
        name: &'a [u8],
    },
}

/// Looks at a frame without decoding it. `None` says nothing about the frame, only that it must be decoded.
#[inline]
pub fn glance(frame: &[u8]) -> Option<Glance<'_>> {
    match frame {
        [ALIVE, ..] => peek_alive(frame).map(Glance::Alive),
        [USER, SERF_JOIN, SCHEMA, rest @ ..] => {
            let mut rest = rest;
            let (ltime, name) = (take_varint(&mut rest)?, take_bytes(&mut rest)?);
            rest.is_empty().then_some(Glance::Intent { ltime, name })
        }
        _ => None,
    }
}

/// Where in a record a name of this length starts: after the versions and its own length.
pub fn name_start(name_len: usize) -> usize {
    VERSIONS_BYTES + if name_len < 0x80 { 1 } else { 2 }
}

/// The name in a record, which comes after the versions. It has not been found to be text.
#[inline]
pub fn name_of_record(record: &[u8]) -> Option<&[u8]> {
    let mut rest = record.get(VERSIONS_BYTES..)?;
    take_bytes(&mut rest)
}

/// Writes one frame of the Serf layer.
pub fn encode_serf(message: &serf::Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    match *message {
        serf::Message::Leave(serf::Leave { ltime, node, prune }) => {
            put(w, SERF_LEAVE, &LeaveBody { ltime, node, prune })
        }
        serf::Message::Join(serf::Join { ltime, node }) => put(w, SERF_JOIN, &JoinBody { ltime, node }),
        serf::Message::UserEvent(serf::UserEvent { ltime, name, payload, coalesce }) => {
            put(w, SERF_USER_EVENT, &UserEventBody { ltime, name, payload, coalesce })
        }
    }
}

/// Starts a user message, whose body the layer above writes.
pub fn begin_user(w: &mut Writer<'_>) -> Result<(), Full> {
    w.put_u8(USER)
}

/// Reads one frame of the Serf layer.
pub fn decode_serf(frame: &[u8]) -> Result<serf::Message<'_>, DecodeError> {
    let (&tag, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    let body = schema(body)?;
    Ok(match tag {
        SERF_LEAVE => {
            let b: LeaveBody<'_> = whole(body)?;
            serf::Message::Leave(serf::Leave { ltime: b.ltime, node: name(b.node)?, prune: b.prune })
        }
        SERF_JOIN => {
            let b: JoinBody<'_> = whole(body)?;
            serf::Message::Join(serf::Join { ltime: b.ltime, node: name(b.node)? })
        }
        SERF_USER_EVENT => serf::Message::UserEvent(user_event(whole(body)?)),
        _ => return Err(DecodeError::Unknown),
    })
}

fn user_event(b: UserEventBody<'_>) -> serf::UserEvent<'_> {
    serf::UserEvent { ltime: b.ltime, name: b.name, payload: b.payload, coalesce: b.coalesce }
}

fn schema(body: &[u8]) -> Result<&[u8], DecodeError> {
    match body.split_first() {
        Some((&SCHEMA, rest)) => Ok(rest),
        Some(_) => Err(DecodeError::Unknown),
        None => Err(DecodeError::Malformed),
    }
}

/// Decodes all of `body`; bytes left over are as wrong as bytes missing.
fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(DecodeError::Malformed),
    }
}

// Push/pull. The body of the stream message is: schema, join flag, number of states, each state with its length before
// it, and the layer above's part to the end.

/// The type byte of a push/pull on a stream.
pub const STREAM_PUSH_PULL: u8 = PUSH_PULL;
/// The type byte of a ping on a stream.
pub const STREAM_PING: u8 = PING;
/// The type byte of an ack on a stream.
pub const STREAM_ACK: u8 = ACK;

/// Starts the body of a push/pull with `nodes` states.
pub fn begin_push_pull(out: &mut Vec<u8>, join: bool, nodes: u32) {
    out.extend_from_slice(&[SCHEMA, u8::from(join)]);
    push_varint(out, u64::from(nodes));
}

/// Adds one state. `record` is as from [`encode_record`].
pub fn push_state(out: &mut Vec<u8>, state: State, incarnation: u32, record: &[u8]) {
    let mut head = [state as u8, 0, 0, 0, 0, 0];
    let used = 1 + varint(u64::from(incarnation), &mut head[1..]);
    push_varint(out, (used + record.len()) as u64);
    out.extend_from_slice(&head[..used]);
    out.extend_from_slice(record);
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

/// One member in a push/pull.
#[derive(Clone, Copy, Debug)]
pub struct PushEntry<'a> {
    /// `None` for a state that we do not know.
    pub state: Option<State>,
    /// The versions that the member understands and speaks.
    pub versions: Versions,
    /// The rest.
    pub unread: Unread<'a>,
}

impl<'a> PushPull<'a> {
    /// Checks the outline: the number of states, and the length, incarnation, versions and name of each.
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
            if entry.state == Some(State::Alive) {
                live_versions.add(entry.versions);
            }
        }
        let states = &states[..states.len() - rest.len()];
        Ok(Self { join: join == 1, states, count, live_versions, user: rest })
    }

    /// Every member in it.
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
    Some(PushEntry { state: State::from_u8(state), versions, unread: Unread { incarnation, name, record: entry } })
}

// Serf's part of a push/pull: schema, three clocks, number of members, then for each its time (shifted left by one, with
// the lowest bit set if it left) and name; number of events, then the events.

/// Writes the head of Serf's part; members and then events follow.
pub fn begin_serf_state(out: &mut Vec<u8>, clocks: serf::Clocks, members: u32) {
    out.push(SCHEMA);
    for time in [clocks.member, clocks.event, clocks.query, u64::from(members)] {
        push_varint(out, time);
    }
}

/// Adds one member.
pub fn push_member_time(out: &mut Vec<u8>, member: serf::MemberTime<'_>) {
    push_varint(out, (member.ltime << 1) | u64::from(member.left));
    push_varint(out, member.node.len() as u64);
    out.extend_from_slice(member.node);
}

/// Says how many events follow.
pub fn begin_events(out: &mut Vec<u8>, events: u32) {
    push_varint(out, u64::from(events));
}

/// Adds one event.
pub fn push_event(out: &mut Vec<u8>, event: &serf::UserEvent<'_>) {
    let serf::UserEvent { ltime, name, payload, coalesce } = *event;
    let body = postcard::to_allocvec(&UserEventBody { ltime, name, payload, coalesce });
    out.extend_from_slice(&body.expect("a vector has room for any event"));
}

/// Serf's part of a push/pull, known to be sound from end to end.
#[derive(Clone, Copy, Debug)]
pub struct SerfState<'a> {
    /// The sender's clocks.
    pub clocks: serf::Clocks,
    members: (usize, &'a [u8]),
    events: (usize, &'a [u8]),
}

impl<'a> SerfState<'a> {
    /// Checks everything, so that a damaged state changes nothing.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::take(schema(body)?).ok_or(DecodeError::Malformed)
    }

    fn take(mut rest: &'a [u8]) -> Option<Self> {
        let rest = &mut rest;
        let clocks = serf::Clocks { member: take_varint(rest)?, event: take_varint(rest)?, query: take_varint(rest)? };
        let count = usize::try_from(take_varint(rest)?).ok()?;
        let members = (count, *rest);
        for _ in 0..count {
            take_member(rest)?;
        }
        let count = usize::try_from(take_varint(rest)?).ok()?;
        let events = (count, *rest);
        for _ in 0..count {
            take_event(rest)?;
        }
        rest.is_empty().then_some(Self { clocks, members, events })
    }

    /// The time of every member.
    pub fn members(&self) -> impl Iterator<Item = serf::MemberTime<'a>> + use<'a> {
        let (count, mut rest) = self.members;
        (0..count).map_while(move |_| take_member(&mut rest))
    }

    /// The recent user events.
    pub fn events(&self) -> impl Iterator<Item = serf::UserEvent<'a>> + use<'a> {
        let (count, mut rest) = self.events;
        (0..count).map_while(move |_| take_event(&mut rest))
    }
}

fn take_member<'a>(rest: &mut &'a [u8]) -> Option<serf::MemberTime<'a>> {
    let time = take_varint(rest)?;
    let node = take_bytes(rest).filter(|node| (1..=NAME_BYTES_MAX).contains(&node.len()))?;
    Some(serf::MemberTime { node, ltime: time >> 1, left: time & 1 == 1 })
}

fn take_event<'a>(rest: &mut &'a [u8]) -> Option<serf::UserEvent<'a>> {
    let (body, tail) = postcard::take_from_bytes(rest).ok()?;
    *rest = tail;
    Some(user_event(body))
}

// Variable-length integers as postcard writes them: seven bits a byte, lowest first.

fn varint(mut value: u64, out: &mut [u8]) -> usize {
    let mut used = 0;
    while value >= 0x80 {
        out[used] = value.to_le_bytes()[0] | 0x80;
        value >>= 7;
        used += 1;
    }
    out[used] = value.to_le_bytes()[0];
    used + 1
}

fn push_varint(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; 10];
    let used = varint(value, &mut bytes);
    out.extend_from_slice(&bytes[..used]);
}

#[inline]
fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    // Nearly every length and time is below 128.
    if let Some((&byte, tail)) = rest.split_first()
        && byte < 0x80
    {
        *rest = tail;
        return Some(u64::from(byte));
    }
    take_long_varint(rest)
}

#[cold]
fn take_long_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (at, &byte) in rest.iter().take(10).enumerate() {
        if at == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *rest = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}

#[inline]
fn take_incarnation(rest: &mut &[u8]) -> Result<u32, DecodeError> {
    let value = take_varint(rest).ok_or(DecodeError::Malformed)?;
    u32::try_from(value).map_err(|_| DecodeError::Malformed)
}

#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_varint(rest)?).ok()?;
    let (bytes, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(bytes)
}
