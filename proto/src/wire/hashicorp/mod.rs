//! HashiCorp's codec, byte-compatible: a type byte, and a msgpack map with its keys in byte order.
//!
//! The encoder writes what memberlist 0.6 and Serf 0.10 write, except that lengths use the shortest unsigned form, as
//! in all earlier versions. The decoder accepts whatever their decoders accept, including trailing bytes. Messages
//! without mandatory fields are rejected: a member's name, its address, six versions.

mod announcement;
pub(super) mod form;
pub(super) mod message;
mod push_pull;
mod scanner;
mod serf;
mod serf_state;
mod stream;
mod tags;

use core::net::{IpAddr, SocketAddr};

use self::announcement::AliveBody;
pub use self::announcement::{Announcement, split_alive};
use self::form::{Boolean, Ip, Name, Optional, Uint};
use self::message::{Body, message};
pub use self::push_pull::{PushPull, begin_push_pull, push_state};
pub use self::scanner::Scanner;
pub(crate) use self::serf::USER_EVENT as SERF_USER_EVENT;
pub(super) use self::serf::{JOIN as SERF_JOIN, LEAVE as SERF_LEAVE, QUERY as SERF_QUERY};
pub(super) use self::serf::{QUERY_RESPONSE as SERF_QUERY_RESPONSE, RELAY as SERF_RELAY};
pub use self::serf::{decode_coordinate, decode_serf, encode_coordinate, encode_serf};
pub(crate) use self::serf::{serf_bytes, shortest_query_bytes};
pub use self::serf_state::{
    SerfState, begin_left, begin_serf_state, begin_times, push_hole, push_left, push_serf_state, push_slot, push_time,
};
pub use self::stream::{decode_error, decode_user, encode_error, encode_user};
pub(crate) use self::tags::push_tags;
pub use self::tags::tags;
use super::serf::Filter;
use super::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source};
use super::{DecodeError, Full, Writer};
use crate::msgpack::write::kind_and_map;
use crate::msgpack::{Reader, Sink};

/// Type byte of a ping, in a packet or on a stream.
pub const PING: u8 = 0;
pub(super) const INDIRECT_PING: u8 = 1;
/// Type byte of an ack, in a packet or on a stream.
pub const ACK: u8 = 2;
pub(super) const SUSPECT: u8 = 3;
pub(super) const ALIVE: u8 = 4;
pub(super) const DEAD: u8 = 5;
/// Type byte of a push/pull on a stream.
pub const PUSH_PULL: u8 = 6;
/// Type byte of a user message, in a packet or on a stream.
pub const USER: u8 = 8;
/// Type byte of a compressed message, in a packet or on a stream.
pub(crate) const COMPRESSED: u8 = 9;
pub(super) const NACK: u8 = 11;
/// Type byte of an error reply on a stream.
pub const ERROR: u8 = 13;

/// Encodes a frame.
pub fn encode(message: &Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    match *message {
        Message::Ping(ref ping) => put(w, PING, &PingBody::from(ping)),
        Message::IndirectPing(ref ping) => put(w, INDIRECT_PING, &IndirectPingBody::from(ping)),
        Message::Ack(ref ack) => put(w, ACK, ack),
        Message::Nack { seq } => put(w, NACK, &Seq { seq }),
        Message::Suspect(ref accusation) => put(w, SUSPECT, accusation),
        Message::Dead(ref accusation) => put(w, DEAD, accusation),
        // The codec has no time for the join: an intent carries it.
        Message::Alive(Alive { incarnation, peer }) | Message::Joined { alive: Alive { incarnation, peer }, .. } => {
            encode_alive(incarnation, peer, w)
        }
        Message::User(bytes) => {
            w.put_u8(USER)?;
            w.put(bytes)
        }
    }
}

/// Encodes a type byte and a body.
#[inline]
fn put<'a>(out: &mut impl Sink, kind: u8, body: &impl Body<'a>) -> Result<(), Full> {
    kind_and_map(out, kind, body.fields())?;
    body.put_fields(out)
}

/// Encodes an ack without payload in the fewest bytes. Decoders treat the missing field as empty.
pub fn encode_short_ack(seq: u32, w: &mut Writer<'_>) -> Result<(), Full> {
    put(w, ACK, &Seq { seq })
}

/// Encodes an alive message.
pub fn encode_alive(incarnation: u32, peer: PeerRef<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    put(w, ALIVE, &AliveBody::new(incarnation, peer))
}

/// Decodes a string element and advances `rest`.
pub(super) fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    take_item(rest, Reader::text)
}

/// Decodes a float element and advances `rest`.
pub(super) fn take_float(rest: &mut &[u8]) -> Option<f64> {
    take_item(rest, Reader::float)
}

/// Decodes a filter element and advances `rest`.
pub(super) fn take_filter<'a>(rest: &mut &'a [u8]) -> Option<Filter<'a>> {
    take_item(rest, serf::take_filter)
}

fn take_item<'a, T>(rest: &mut &'a [u8], take: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = Reader::new(rest);
    let item = take(&mut reader)?;
    *rest = reader.rest();
    Some(item)
}

/// Begins a user message in a packet; the layer above appends the body.
pub fn begin_user(w: &mut Writer<'_>) -> Result<(), Full> {
    w.put_u8(USER)
}

/// Decodes a frame of a packet.
pub fn decode(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&kind, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    decode_body(kind, body)
}

/// Decodes the body of a frame of type `kind`.
pub fn decode_body(kind: u8, body: &[u8]) -> Result<Message<'_>, DecodeError> {
    let r = &mut Reader::new(body);
    let message = match kind {
        ALIVE => {
            let alive = Announcement::alive(r).ok_or(DecodeError::Malformed)?;
            return Ok(Message::Alive(Alive { incarnation: alive.incarnation, peer: alive.peer()? }));
        }
        USER => return Ok(Message::User(body)),
        PING => PingBody::take(r).map(|body| Message::Ping(body.into())),
        INDIRECT_PING => IndirectPingBody::take(r).and_then(IndirectPingBody::ping).map(Message::IndirectPing),
        ACK => Ack::take(r).map(Message::Ack),
        NACK => Seq::take(r).map(|Seq { seq }| Message::Nack { seq }),
        SUSPECT => Accusation::take(r).map(Message::Suspect),
        DEAD => Accusation::take(r).map(Message::Dead),
        _ => return Err(DecodeError::Unknown),
    };
    message.ok_or(DecodeError::Malformed)
}

message! {
    /// A nack, or an ack without payload.
    struct Seq {
        seq: u32 = b"SeqNo" as Uint,
    }
}

message! {
    #[derive(Clone, Copy)]
    struct PingBody<'a> {
        seq: u32 = b"SeqNo" as Uint,
        node: &'a str = b"Node" as Name,
        source_ip: Option<IpAddr> = b"SourceAddr" as Optional<Ip>,
        source_port: u16 = b"SourcePort" as Optional<Uint>,
        source_node: &'a str = b"SourceNode" as Optional<Name>,
    }
}

message! {
    #[derive(Clone, Copy)]
    struct IndirectPingBody<'a> {
        seq: u32 = b"SeqNo" as Uint,
        ip: Option<IpAddr> = b"Target" as Ip,
        port: u16 = b"Port" as Uint,
        node: &'a str = b"Node" as Name,
        nack: bool = b"Nack" as Boolean,
        source_ip: Option<IpAddr> = b"SourceAddr" as Optional<Ip>,
        source_port: u16 = b"SourcePort" as Optional<Uint>,
        source_node: &'a str = b"SourceNode" as Optional<Name>,
    }
}

impl<'a> From<&Ping<'a>> for PingBody<'a> {
    fn from(&Ping { seq, node, source }: &Ping<'a>) -> Self {
        let (source_ip, source_port, source_node) = source_fields(source);
        Self { seq, node, source_ip, source_port, source_node }
    }
}

impl<'a> From<PingBody<'a>> for Ping<'a> {
    fn from(body: PingBody<'a>) -> Self {
        let source = source(body.source_ip, body.source_port, body.source_node);
        Self { seq: body.seq, node: body.node, source }
    }
}

impl<'a> From<&IndirectPing<'a>> for IndirectPingBody<'a> {
    fn from(&IndirectPing { seq, target, node, nack, source }: &IndirectPing<'a>) -> Self {
        let (source_ip, source_port, source_node) = source_fields(source);
        Self { seq, ip: Some(target.ip()), port: target.port(), node, nack, source_ip, source_port, source_node }
    }
}

impl<'a> IndirectPingBody<'a> {
    /// `None` if the target is missing.
    fn ping(self) -> Option<IndirectPing<'a>> {
        let Self { seq, ip, port, node, nack, source_ip, source_port, source_node } = self;
        let source = source(source_ip, source_port, source_node);
        Some(IndirectPing { seq, target: SocketAddr::new(ip?, port), node, nack, source })
    }
}

/// The three fields of a source, each omitted if empty.
fn source_fields(source: Option<Source<'_>>) -> (Option<IpAddr>, u16, &str) {
    source.map_or((None, 0, ""), |Source { addr, node }| (Some(addr.ip()), addr.port(), node))
}

/// The source; `None` if its address or port is missing, so that the answer goes to the packet's source.
fn source(ip: Option<IpAddr>, port: u16, node: &str) -> Option<Source<'_>> {
    let addr = SocketAddr::new(ip?, port);
    (port != 0).then_some(Source { addr, node })
}
