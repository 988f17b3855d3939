//! Encoder of the attacker: encodes and seals messages in either codec, as a member does.

use bytes::Bytes;
use serf_proto::diagnostics::Inquiry;
use serf_proto::internals::envelope::{Caps, Envelope, PacketBuffers};
use serf_proto::internals::wire::serf::{Clocks, MemberTime, UserEvent};
use serf_proto::internals::wire::swim::{Message, PeerRef, State};
use serf_proto::internals::wire::{Full, Writer, hashicorp, native, serf};
use serf_proto::limits::PACKET_BYTES_MAX;
use serf_proto::{Codec, EnvelopeConfig, Seed};

/// One message in a packet.
#[derive(Clone, Debug)]
pub(super) enum PacketMessage<'a> {
    /// A message of the membership layer.
    Swim(Message<'a>),
    /// A message of Serf's layer.
    Serf(serf::Message<'a>),
}

/// Content of a push/pull.
#[derive(Clone, Debug)]
pub(super) struct PushPullContent<'a> {
    pub(super) join: bool,
    pub(super) states: Vec<(State, u32, PeerRef<'a>)>,
    pub(super) clocks: Clocks,
    pub(super) times: Vec<MemberTime<'a>>,
    pub(super) events: Vec<UserEvent<'a>>,
}

/// Encoder and sealer.
#[derive(Debug)]
pub(super) struct PacketBuilder {
    buffers: PacketBuffers,
    buf: Vec<u8>,
    plain: Envelope,
    packed: Envelope,
    config: EnvelopeConfig,
}

impl PacketBuilder {
    /// Creates an encoder with the keys and the label of `config`.
    pub(super) fn new(config: &EnvelopeConfig, seed: &Seed) -> Self {
        let with = |compression, n| Envelope::new(EnvelopeConfig { compression, ..config.clone() }, &seed.child(n));
        let (plain, packed) = (with(false, 0), with(true, 1));
        Self { buffers: PacketBuffers::new(), buf: vec![0; PACKET_BYTES_MAX], plain, packed, config: config.clone() }
    }

    /// Encodes one message as a frame; `None` if it exceeds any packet.
    pub(super) fn frame(&mut self, codec: Codec, line: &PacketMessage<'_>) -> Option<Vec<u8>> {
        let mut writer = Writer::new(&mut self.buf);
        match line {
            PacketMessage::Swim(message) => codec.encode(message, &mut writer).ok()?,
            PacketMessage::Serf(message) => {
                codec.begin_user(&mut writer).ok()?;
                codec.encode_serf(message, &mut writer).ok()?;
            }
        }
        let len = writer.len();
        Some(self.buf[..len].to_vec())
    }

    /// Encodes a frame of the native codec; `None` if it exceeds any packet.
    pub(super) fn native(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Option<Vec<u8>> {
        // The layers around a frame need some of the packet.
        let room = PACKET_BYTES_MAX - LAYERS_ROOM;
        let mut writer = Writer::new(&mut self.buf[..room]);
        write(&mut writer).ok()?;
        let len = writer.len();
        Some(self.buf[..len].to_vec())
    }

    /// Packs the frames into as few packets of up to 64 KiB as possible.
    pub(super) fn packets(&mut self, frames: &[Vec<u8>], is_packed: bool) -> Vec<Bytes> {
        let mut rest = frames;
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let envelope = if is_packed { &mut self.packed } else { &mut self.plain };
            let room = u32::try_from(PACKET_BYTES_MAX).expect("a packet's length has 16 bits");
            let mut packer = envelope.packer(&mut self.buffers, room);
            let count = rest.iter().take_while(|frame| packer.copy(frame).is_ok()).count();
            let packed = packer.finish();
            if count == 0 {
                // The frame exceeds any packet: skip it.
                rest = &rest[1..];
                continue;
            }
            packets.push(envelope.seal(packed, Caps { checksum: true }, &mut self.buffers));
            rest = &rest[count..];
        }
        packets
    }

    /// Encodes a user message for a stream.
    pub(super) fn user(
        &self,
        codec: Codec,
        message: &serf::Message<'_>,
        room: usize,
        is_packed: bool,
    ) -> Option<Bytes> {
        let mut body = vec![0; room + MESSAGE_ROOM];
        let mut writer = Writer::new(&mut body);
        codec.encode_serf(message, &mut writer).ok()?;
        let len = writer.len();
        body.truncate(len);
        let message = match codec {
            Codec::HashiCorp => {
                let mut message = Vec::with_capacity(body.len() + 32);
                hashicorp::encode_user(&body, &mut message).ok()?;
                message
            }
            _ => framed(NATIVE_USER, &body),
        };
        self.stream(message, is_packed)
    }

    /// Encodes the start of a push/pull for a stream.
    pub(super) fn push_pull(&self, codec: Codec, said: &PushPullContent<'_>, is_packed: bool) -> Option<Bytes> {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let nodes = count(said.states.len());
        let mut message = Vec::new();
        match codec {
            Codec::HashiCorp => {
                let mut user = Vec::new();
                hashicorp::push_serf_state(&mut user, said.clocks, &said.events, said.times.iter().copied());
                hashicorp::begin_push_pull(&mut message, said.join, nodes, count(user.len()));
                for (state, incarnation, peer) in &said.states {
                    hashicorp::push_state(&mut message, *state, *incarnation, *peer);
                }
                message.extend_from_slice(&user);
            }
            _ => {
                let mut body = Vec::new();
                native::begin_push_pull(&mut body, said.join, nodes);
                for (state, incarnation, peer) in &said.states {
                    native::push_state(&mut body, *state, *incarnation, &native::encode_record(*peer));
                }
                native::begin_serf_state(&mut body, said.clocks, count(said.times.len()));
                said.times.iter().for_each(|time| native::push_member_time(&mut body, *time));
                native::begin_events(&mut body, count(said.events.len()));
                said.events.iter().for_each(|event| native::push_event(&mut body, event));
                message = framed(native::STREAM_PUSH_PULL, &body);
            }
        }
        self.stream(message, is_packed)
    }

    /// Encodes a message for a stream.
    pub(super) fn stream(&self, message: Vec<u8>, is_packed: bool) -> Option<Bytes> {
        let envelope = if is_packed { &self.packed } else { &self.plain };
        Inquiry::new(envelope.clone()).request(message).map(Bytes::from)
    }

    /// Decodes the frames of a received packet; empty if it cannot be opened.
    pub(super) fn open(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let envelope = Envelope::new(self.config.clone(), &Seed::from_u64(0));
        let Ok(message) = envelope.open(datagram, &mut self.buffers) else { return Vec::new() };
        let parts = serf_proto::internals::envelope::split(message);
        parts.map(|parts| parts.map(<[u8]>::to_vec).collect()).unwrap_or_default()
    }

    /// Encodes a message of Serf's layer as the payload of another message.
    pub(super) fn inner(&mut self, codec: Codec, message: &serf::Message<'_>) -> Result<Vec<u8>, Full> {
        let mut writer = Writer::new(&mut self.buf);
        codec.encode_serf(message, &mut writer)?;
        let len = writer.len();
        Ok(self.buf[..len].to_vec())
    }
}

/// Encodes a native stream message: type byte, length, body.
pub(super) fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(5 + body.len());
    message.push(kind);
    message.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(body);
    message
}

/// Encodes a compound of at most 255 frames in memberlist's format.
pub(super) fn compound(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut message = vec![7, u8::try_from(frames.len()).unwrap_or(u8::MAX)];
    for frame in frames.iter().take(255) {
        message.extend_from_slice(&u16::try_from(frame.len()).unwrap_or(u16::MAX).to_be_bytes());
    }
    frames.iter().take(255).for_each(|frame| message.extend_from_slice(frame));
    message
}

/// The type byte of a native user message on a stream.
const NATIVE_USER: u8 = native::NATIVE | hashicorp::USER;

/// Room for label, encryption and checksum.
const LAYERS_ROOM: usize = 512;

/// Overhead besides name and payload.
const MESSAGE_ROOM: usize = 4096;
