//! HashiCorp's codec, byte for byte: a type byte and a msgpack map with its keys in the order of their bytes.
//!
//! Written is what memberlist 0.6 and Serf 0.10 write, except that lengths are in the shortest unsigned form, as in every
//! version before. Read is all that their decoders read, and bytes after a message mean nothing, as there.
//! What a message must have to mean anything is refused when it is missing: a member's name, its address, six versions.

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
pub use self::announcement::{Announcement, peek_alive};
use self::form::{Boolean, Ip, Name, Optional, Uint};
use self::message::{Body, message};
pub use self::push_pull::{PushPull, begin_push_pull, push_state};
pub use self::scanner::Scanner;
pub(super) use self::serf::{JOIN as SERF_JOIN, LEAVE as SERF_LEAVE, QUERY as SERF_QUERY};
pub(super) use self::serf::{
    QUERY_RESPONSE as SERF_QUERY_RESPONSE, RELAY as SERF_RELAY, USER_EVENT as SERF_USER_EVENT,
};
pub use self::serf::{decode_coordinate, decode_serf, encode_coordinate, encode_serf};
pub(crate) use self::serf::{serf_bytes, shortest_query_bytes};
pub use self::serf_state::{
    SerfState, begin_left, begin_serf_state, begin_times, push_hole, push_left, push_serf_state, push_slot, push_time,
};
pub use self::stream::{decode_error, decode_user, encode_error, encode_user};
pub use self::tags::{push_tags, tags};
use super::serf::Filter;
use super::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source};
use super::{DecodeError, Full, Writer};
use crate::msgpack::{Reader, Sink};

/// The type byte of a ping, in a packet or on a stream.
pub const PING: u8 = 0;
pub(super) const INDIRECT_PING: u8 = 1;
/// The type byte of an ack, in a packet or on a stream.
pub const ACK: u8 = 2;
pub(super) const SUSPECT: u8 = 3;
pub(super) const ALIVE: u8 = 4;
pub(super) const DEAD: u8 = 5;
/// The type byte of a push/pull on a stream.
pub const PUSH_PULL: u8 = 6;
/// The type byte of a user message, in a packet or on a stream.
pub const USER: u8 = 8;
/// The type byte of a compressed message, in a packet or on a stream.
pub const COMPRESSED: u8 = 9;
pub(super) const NACK: u8 = 11;
/// The type byte of an error, the reply on a stream.
pub const ERROR: u8 = 13;

/// Writes one frame.
pub fn encode(message: &Message<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    match *message {
        Message::Ping(ref ping) => put(w, PING, &PingBody::from(ping)),
        Message::IndirectPing(ref ping) => put(w, INDIRECT_PING, &IndirectPingBody::from(ping)),
        Message::Ack(ref ack) => put(w, ACK, ack),
        Message::Nack { seq } => put(w, NACK, &Seq { seq }),
        Message::Suspect(ref accusation) => put(w, SUSPECT, accusation),
        Message::Dead(ref accusation) => put(w, DEAD, accusation),
        Message::Alive(Alive { incarnation, peer }) => encode_alive(incarnation, peer, w),
        Message::User(bytes) => {
            w.put_u8(USER)?;
            w.put(bytes)
        }
    }
}

/// Writes a type byte and a body.
#[inline]
fn put<'a>(out: &mut impl Sink, kind: u8, body: &impl Body<'a>) -> Result<(), Full> {
    out.put(&[kind])?;
    body.put(out)
}

/// Writes an ack without a payload in the fewest bytes: what is missing is empty to every reader.
pub fn encode_short_ack(seq: u32, w: &mut Writer<'_>) -> Result<(), Full> {
    put(w, ACK, &Seq { seq })
}

/// Writes an alive message.
pub fn encode_alive(incarnation: u32, peer: PeerRef<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    put(w, ALIVE, &AliveBody::new(incarnation, peer))
}

/// Takes an item of a list off `rest`: text.
pub(super) fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    take_item(rest, Reader::text)
}

/// The same of a float.
pub(super) fn take_float(rest: &mut &[u8]) -> Option<f64> {
    take_item(rest, Reader::float)
}

/// The same of a filter.
pub(super) fn take_filter<'a>(rest: &mut &'a [u8]) -> Option<Filter<'a>> {
    take_item(rest, serf::take_filter)
}

fn take_item<'a, T>(rest: &mut &'a [u8], take: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = Reader::new(rest);
    let item = take(&mut reader)?;
    *rest = reader.rest();
    Some(item)
}

/// Starts a user message in a packet, whose body the layer above writes.
pub fn begin_user(w: &mut Writer<'_>) -> Result<(), Full> {
    w.put_u8(USER)
}

/// Reads one frame of a packet.
pub fn decode(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&kind, body) = frame.split_first().ok_or(DecodeError::Empty)?;
    decode_body(kind, body)
}

/// Reads the body of a frame of type `kind`.
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
    /// A nack, or an ack without a payload.
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
    /// `None` without a target.
    fn ping(self) -> Option<IndirectPing<'a>> {
        let Self { seq, ip, port, node, nack, source_ip, source_port, source_node } = self;
        let source = source(source_ip, source_port, source_node);
        Some(IndirectPing { seq, target: SocketAddr::new(ip?, port), node, nack, source })
    }
}

/// The three fields of a source, each left out when it is empty.
fn source_fields(source: Option<Source<'_>>) -> (Option<IpAddr>, u16, &str) {
    source.map_or((None, 0, ""), |Source { addr, node }| (Some(addr.ip()), addr.port(), node))
}

/// The source, when there is an address and a port: without, the answer goes where the packet came from.
fn source(ip: Option<IpAddr>, port: u16, node: &str) -> Option<Source<'_>> {
    let addr = SocketAddr::new(ip?, port);
    (port != 0).then_some(Source { addr, node })
}
