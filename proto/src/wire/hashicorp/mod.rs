//! HashiCorp's codec, byte for byte: a type byte and a msgpack map with its keys in the order of their bytes.
//!
//! Written is what memberlist 0.6 and Serf 0.10 write, except that lengths are in the shortest unsigned form, as in every
//! version before. Read is all that their decoders read, and bytes after a message mean nothing, as there.
//! What a message must have to mean anything is refused when it is missing: a member's name, its address, six versions.

mod announcement;
mod push_pull;
mod reader;
mod scanner;
mod serf;
mod serf_state;
mod stream;
mod tags;
mod writer;

use core::net::{IpAddr, SocketAddr};

pub use self::announcement::{Announcement, peek_alive};
pub use self::push_pull::{PushPull, begin_push_pull, push_state};
use self::reader::Reader;
pub(super) use self::reader::{take_float, take_text};
pub use self::scanner::Scanner;
pub(super) use self::serf::take_filter;
pub(super) use self::serf::{JOIN as SERF_JOIN, LEAVE as SERF_LEAVE, QUERY as SERF_QUERY};
pub(super) use self::serf::{
    QUERY_RESPONSE as SERF_QUERY_RESPONSE, RELAY as SERF_RELAY, USER_EVENT as SERF_USER_EVENT,
};
pub use self::serf::{decode_coordinate, decode_serf, encode_coordinate, encode_serf};
pub use self::serf_state::{
    SerfState, begin_left, begin_serf_state, begin_times, push_hole, push_left, push_serf_state, push_slot, push_time,
};
pub use self::stream::{
    ALGORITHM_LZW, decode_compressed, decode_error, decode_user, encode_compressed, encode_error, encode_user,
};
pub use self::tags::{push_tags, tags};
pub use self::writer::Out;
use self::writer::{boolean, ip, raw, raw_or_nil, uint};
use super::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source};
use super::{DecodeError, Full, Writer};
use crate::limits::NAME_BYTES_MAX;

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
        Message::Ping(ref ping) => put_ping(w, ping),
        Message::IndirectPing(ref ping) => put_indirect_ping(w, ping),
        Message::Ack(Ack { seq, payload }) => {
            w.put(b"\x02\x82\xa7Payload")?;
            raw_or_nil(w, payload)?;
            w.put(b"\xa5SeqNo")?;
            uint(w, seq.into())
        }
        Message::Nack { seq } => {
            w.put(b"\x0b\x81\xa5SeqNo")?;
            uint(w, seq.into())
        }
        Message::Suspect(accusation) => put_accusation(w, SUSPECT, accusation),
        Message::Dead(accusation) => put_accusation(w, DEAD, accusation),
        Message::Alive(Alive { incarnation, peer }) => encode_alive(incarnation, peer, w),
        Message::User(bytes) => {
            w.put_u8(USER)?;
            w.put(bytes)
        }
    }
}

/// Writes an ack without a payload in the fewest bytes: what is missing is empty to every reader.
pub fn encode_short_ack(seq: u32, w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(b"\x02\x81\xa5SeqNo")?;
    uint(w, seq.into())
}

fn put_ping(w: &mut Writer<'_>, &Ping { seq, node, source }: &Ping<'_>) -> Result<(), Full> {
    w.put(&[PING, 0x82 + source_fields(source)])?;
    w.put(b"\xa4Node")?;
    raw(w, node.as_bytes())?;
    w.put(b"\xa5SeqNo")?;
    uint(w, seq.into())?;
    put_source(w, source)
}

fn put_indirect_ping(w: &mut Writer<'_>, ping: &IndirectPing<'_>) -> Result<(), Full> {
    let &IndirectPing { seq, target, node, nack, source } = ping;
    w.put(&[INDIRECT_PING, 0x85 + source_fields(source)])?;
    w.put(b"\xa4Nack")?;
    boolean(w, nack)?;
    w.put(b"\xa4Node")?;
    raw(w, node.as_bytes())?;
    w.put(b"\xa4Port")?;
    uint(w, target.port().into())?;
    w.put(b"\xa5SeqNo")?;
    uint(w, seq.into())?;
    put_source(w, source)?;
    w.put(b"\xa6Target")?;
    ip(w, target.ip())
}

/// How many of a source's fields are written: those that are not empty.
fn source_fields(source: Option<Source<'_>>) -> u8 {
    source.map_or(0, |source| 1 + u8::from(!source.node.is_empty()) + u8::from(source.addr.port() != 0))
}

fn put_source(w: &mut Writer<'_>, source: Option<Source<'_>>) -> Result<(), Full> {
    let Some(Source { addr, node }) = source else { return Ok(()) };
    w.put(b"\xaaSourceAddr")?;
    ip(w, addr.ip())?;
    if !node.is_empty() {
        w.put(b"\xaaSourceNode")?;
        raw(w, node.as_bytes())?;
    }
    if addr.port() != 0 {
        w.put(b"\xaaSourcePort")?;
        uint(w, addr.port().into())?;
    }
    Ok(())
}

fn put_accusation(w: &mut Writer<'_>, kind: u8, accusation: Accusation<'_>) -> Result<(), Full> {
    let Accusation { incarnation, node, from } = accusation;
    w.put_u8(kind)?;
    w.put(b"\x83\xa4From")?;
    raw(w, from.as_bytes())?;
    w.put(b"\xabIncarnation")?;
    uint(w, incarnation.into())?;
    w.put(b"\xa4Node")?;
    raw(w, node.as_bytes())
}

/// Writes an alive message.
pub fn encode_alive(incarnation: u32, peer: PeerRef<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    let PeerRef { name, addr, meta, versions } = peer;
    w.put(b"\x04\x86\xa4Addr")?;
    ip(w, addr.ip())?;
    w.put(b"\xabIncarnation")?;
    uint(w, incarnation.into())?;
    w.put(b"\xa4Meta")?;
    raw_or_nil(w, meta)?;
    w.put(b"\xa4Node")?;
    raw(w, name.as_bytes())?;
    w.put(b"\xa4Port")?;
    uint(w, addr.port().into())?;
    w.put(b"\xa3Vsn\xa6")?;
    w.put(&versions.to_bytes())
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
    let message = match kind {
        ALIVE => {
            let alive = Announcement::alive(body).ok_or(DecodeError::Malformed)?;
            return Ok(Message::Alive(Alive { incarnation: alive.incarnation, peer: alive.peer()? }));
        }
        USER => return Ok(Message::User(body)),
        PING => ping(body).map(Message::Ping),
        INDIRECT_PING => indirect_ping(body).map(Message::IndirectPing),
        ACK => ack(body).map(Message::Ack),
        NACK => nack(body).map(|seq| Message::Nack { seq }),
        SUSPECT => accusation(body).map(Message::Suspect),
        DEAD => accusation(body).map(Message::Dead),
        _ => return Err(DecodeError::Unknown),
    };
    message.ok_or(DecodeError::Malformed)
}

/// Where an answer should go, as far as it has come.
#[derive(Clone, Copy, Default)]
struct SourceFields<'a> {
    ip: Option<IpAddr>,
    port: u16,
    node: &'a str,
}

impl<'a> SourceFields<'a> {
    /// `Some(false)` when the field is another's.
    fn take(&mut self, key: &[u8], r: &mut Reader<'a>) -> Option<bool> {
        match key {
            b"SourceAddr" => self.ip = r.ip()?,
            b"SourcePort" => self.port = r.u16()?,
            b"SourceNode" => self.node = name_or_none(r.text()?)?,
            _ => return Some(false),
        }
        Some(true)
    }

    /// The source, when there is an address and a port: without, the answer goes where the packet came from.
    fn source(self) -> Option<Source<'a>> {
        let addr = SocketAddr::new(self.ip?, self.port);
        (self.port != 0).then_some(Source { addr, node: self.node })
    }
}

fn ping(body: &[u8]) -> Option<Ping<'_>> {
    const DECLARED: &[&[u8]] = &[b"SeqNo", b"Node", b"SourceAddr", b"SourcePort", b"SourceNode"];
    let (mut seq, mut node, mut source) = (0, "", SourceFields::default());
    let mut r = Reader::new(body);
    let mut fields = r.fields(DECLARED)?;
    while let Some(key) = fields.next(&mut r)? {
        match key {
            b"Node" => node = name_or_none(r.text()?)?,
            b"SeqNo" => seq = r.u32()?,
            _ if source.take(key, &mut r)? => {}
            _ => r.skip()?,
        }
    }
    Some(Ping { seq, node, source: source.source() })
}

fn indirect_ping(body: &[u8]) -> Option<IndirectPing<'_>> {
    const DECLARED: &[&[u8]] =
        &[b"SeqNo", b"Target", b"Port", b"Node", b"Nack", b"SourceAddr", b"SourcePort", b"SourceNode"];
    let (mut seq, mut node, mut nack, mut source) = (0, "", false, SourceFields::default());
    let (mut target, mut port) = (None, 0);
    let mut r = Reader::new(body);
    let mut fields = r.fields(DECLARED)?;
    while let Some(key) = fields.next(&mut r)? {
        match key {
            b"Nack" => nack = r.boolean()?,
            b"Node" => node = name_or_none(r.text()?)?,
            b"Port" => port = r.u16()?,
            b"SeqNo" => seq = r.u32()?,
            b"Target" => target = r.ip()?,
            _ if source.take(key, &mut r)? => {}
            _ => r.skip()?,
        }
    }
    Some(IndirectPing { seq, target: SocketAddr::new(target?, port), node, nack, source: source.source() })
}

fn ack(body: &[u8]) -> Option<Ack<'_>> {
    let (mut seq, mut payload) = (0, &[][..]);
    let mut r = Reader::new(body);
    let mut fields = r.fields(&[b"SeqNo", b"Payload"])?;
    while let Some(key) = fields.next(&mut r)? {
        match key {
            b"Payload" => payload = r.bytes()?,
            b"SeqNo" => seq = r.u32()?,
            _ => r.skip()?,
        }
    }
    Some(Ack { seq, payload })
}

fn nack(body: &[u8]) -> Option<u32> {
    let mut seq = 0;
    let mut r = Reader::new(body);
    let mut fields = r.fields(&[b"SeqNo"])?;
    while let Some(key) = fields.next(&mut r)? {
        match key {
            b"SeqNo" => seq = r.u32()?,
            _ => r.skip()?,
        }
    }
    Some(seq)
}

fn accusation(body: &[u8]) -> Option<Accusation<'_>> {
    let (mut incarnation, mut node, mut from) = (0, "", "");
    let mut r = Reader::new(body);
    let mut fields = r.fields(&[b"Incarnation", b"Node", b"From"])?;
    while let Some(key) = fields.next(&mut r)? {
        match key {
            b"From" => from = name_or_none(r.text()?)?,
            b"Incarnation" => incarnation = r.u32()?,
            b"Node" => node = name_or_none(r.text()?)?,
            _ => r.skip()?,
        }
    }
    Some(Accusation { incarnation, node, from })
}

/// A name that fits into a packet. What is longer could be told to nobody, and would stand in the way of what can.
fn name(name: &str) -> Option<&str> {
    if name.is_empty() { None } else { name_or_none(name) }
}

/// A name that fits into a packet, or the empty one that stands for nobody.
fn name_or_none(name: &str) -> Option<&str> {
    (name.len() <= NAME_BYTES_MAX).then_some(name)
}
