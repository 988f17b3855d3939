//! Send path: packs unicasts into packets, with as many broadcasts as fit on some kinds.

use core::net::SocketAddr;

use super::Node;
use crate::core::{Body, Unicast};
use crate::envelope::{Caps, Packed, Packer};
use crate::outbox::{Outbox, Output};
use crate::roster::MemberIdx;
use crate::stats::DropReason;
use crate::wire::native::{self, Digest};
use crate::wire::swim::{Accusation, Ack, IndirectPing, Message, Ping, Source};
use crate::wire::{Codec, Full, hashicorp};

impl Node {
    /// Sends the unicasts that the layers queued.
    pub(super) fn send_unicasts(&mut self, out: &mut Outbox) {
        let mut unicasts = core::mem::take(&mut self.core.unicasts);
        for unicast in unicasts.drain(..) {
            self.send_unicast(&unicast, out);
        }
        debug_assert!(self.core.unicasts.is_empty(), "packing makes no new unicasts");
        self.core.unicasts = unicasts;
    }

    fn send_unicast(&mut self, unicast: &Unicast, out: &mut Outbox) {
        let Unicast { to, peer, answers, body } = unicast;
        if let Body::StrangerAck { seq, bytes_max } = *body {
            return self.send_stranger_ack(unicast, seq, bytes_max, out);
        }
        let codec = self.core.codec(*peer, *answers);
        let is_plain_ping = matches!(body, Body::Ping { accusing: false, .. });
        let digest = if is_plain_ping { self.digest_for(*peer, codec) } else { None };
        let mut packer = self.envelope.packer(out.buffers(), self.core.cfg.transport().packet_bytes);
        if self.write_body(body, codec, digest, &mut packer).is_err() {
            debug_assert!(false, "a single message always fits into a packet");
            return;
        }
        match (body, *peer) {
            // Only the accusation, so that the target can refute at once (Lifeguard's buddy system).
            (Body::Ping { target, accusing: true, .. }, _) => self.accuse(*target, codec, &mut packer),
            (Body::Challenge { target, .. }, _) => {
                self.accuse(*target, codec, &mut packer);
                self.fill_own(*peer, codec, &mut packer);
            }
            (Body::Ping { .. } | Body::IndirectPing { .. }, _) => self.fill(*to, *peer, codec, &mut packer),
            (Body::Ack { .. }, Some(peer))
                if self.gossip.may_piggyback(self.core.now, self.core.cfg.swim().gossip_interval, peer) =>
            {
                self.fill(*to, Some(peer), codec, &mut packer)
            }
            // A refutation returns to the accuser on the first ack, without waiting for a gossip tick.
            (Body::Ack { .. }, _) => self.fill_own(*peer, codec, &mut packer),
            _ => {}
        }
        self.seal_packet(packer.finish(), *to, *peer, out);
    }

    /// Adds our own state to a packet if it is queued.
    fn fill_own(&self, peer: Option<MemberIdx>, codec: Codec, packer: &mut Packer<'_>) {
        let carries = codec == Codec::Native && self.compares_digests(peer);
        let join_time = if carries { self.serf.join_time(self.swim.me()) } else { 0 };
        self.swim.fill_own(&self.core, codec, join_time, packer);
    }

    fn accuse(&self, target: MemberIdx, codec: Codec, packer: &mut Packer<'_>) {
        let incarnation = self.swim.incarnation_of(target).unwrap_or_default();
        let (node, from) = (self.core.roster.name_ref(target), self.core.roster.name_ref(self.swim.me()));
        let suspect = Message::Suspect(Accusation { incarnation, node, from });
        let fits = packer.frame(|w| codec.encode(&suspect, w));
        debug_assert!(fits.is_ok(), "a ping and an accusation fit into a packet");
    }

    /// Acks the ping of an address that is not a member's. HashiCorp's ack if it is no longer than the ping's datagram,
    /// else a shorter encoding, else none. The bound keeps the node from amplifying spoofed pings.
    fn send_stranger_ack(&mut self, unicast: &Unicast, seq: u32, bytes_max: usize, out: &mut Outbox) {
        let codec = self.core.codec(None, unicast.answers);
        let frames_max = bytes_max.saturating_sub(self.envelope.overhead_bytes());
        for short in [false, true] {
            let mut packer = self.envelope.packer(out.buffers(), self.core.cfg.transport().packet_bytes);
            let ack = Message::Ack(Ack { seq, payload: &[] });
            let written = packer.frame(|w| match codec {
                Codec::HashiCorp if short => hashicorp::encode_short_ack(seq, w),
                _ => codec.encode(&ack, w),
            });
            debug_assert!(written.is_ok(), "an ack fits into a packet");
            let packed = packer.finish();
            if packed.bytes() <= frames_max {
                return self.seal_packet(packed, unicast.to, None, out);
            }
        }
        // Both encodings are longer than the request.
        self.core.stats.drop(DropReason::Limit);
    }

    /// Seals a packet and queues it as an output.
    pub(super) fn seal_packet(&mut self, packed: Packed, to: SocketAddr, peer: Option<MemberIdx>, out: &mut Outbox) {
        // Count the frames now: `seal` consumes the packet.
        self.core.stats.count_out(packed.frames(out.buffers()));
        let caps = self.caps(peer);
        self.digest_content(packed.frames(out.buffers()));
        let bytes = self.envelope.seal(packed, caps, out.buffers());
        self.core.stats.datagrams_out += 1;
        self.core.stats.bytes_out += bytes.len() as u64;
        out.push(Output::Datagram { to, bytes });
    }

    fn caps(&self, peer: Option<MemberIdx>) -> Caps {
        let versions = peer.and_then(|idx| self.core.roster.peer(idx)).map(|peer| peer.versions());
        Caps { checksum: versions.is_some_and(|versions| versions.protocol_max() >= PROTOCOL_CHECKSUM) }
    }

    fn write_body(
        &self,
        body: &Body,
        codec: Codec,
        digest: Option<Digest>,
        packer: &mut Packer<'_>,
    ) -> Result<(), Full> {
        let (core, me) = (&self.core, self.swim.me());
        let source = core.roster.peer(me).map(|peer| Source { addr: peer.announced_addr(), node: peer.name() });
        let payload;
        let message = match body {
            Body::Ping { seq, target, .. } | Body::BarePing { seq, target } | Body::Challenge { seq, target } => {
                Message::Ping(Ping { seq: *seq, node: core.roster.name_ref(*target), source })
            }
            Body::NewcomerPing { seq, node } => Message::Ping(Ping { seq: *seq, node, source }),
            Body::IndirectPing { seq, target, nack } => {
                let Some(peer) = core.roster.peer(*target) else { return Err(Full) };
                let (node, target) = (peer.name(), peer.announced_addr());
                Message::IndirectPing(IndirectPing { seq: *seq, target, node, nack: *nack, source })
            }
            Body::Ack { seq } => {
                payload = self.serf.ack_payload(codec);
                Message::Ack(Ack { seq: *seq, payload: payload.bytes() })
            }
            Body::RelayedAck { seq } | Body::StrangerAck { seq, .. } => Message::Ack(Ack { seq: *seq, payload: &[] }),
            Body::Nack { seq } => Message::Nack { seq: *seq },
            Body::User(message) => Message::User(message),
            Body::Frame(frame) => return packer.copy(frame),
        };
        packer.frame(|w| match (message, digest) {
            (Message::Ping(ping), Some(digest)) => native::encode_probe(&digest, &ping, w),
            (message, _) => codec.encode(&message, w),
        })
    }
}

/// The first protocol version whose members verify checksums.
const PROTOCOL_CHECKSUM: u8 = 5;
