//! Receive path: opens a datagram, splits it into frames, decodes each, and dispatches its message to a layer.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Node;
use crate::complaints::PeerAt;
use crate::core::Heard;
use crate::envelope;
use crate::input::Input;
use crate::outbox::Outbox;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::swim::Message;
use crate::wire::{Codec, native};

impl Node {
    /// Handles a datagram from `from`. Dropped input is counted in [`Stats::dropped`](crate::Stats::dropped).
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        self.set_now(now);
        let queued = out.len();
        // Before the envelope: decryption is the work that a stranger could cause.
        let is_admitted = self.core.cfg.admits(from.ip());
        let opened = if is_admitted { self.envelope.open(datagram, out.buffers()) } else { Err(DropReason::Network) };
        if let Some(tapped) = &mut self.tapped {
            let wire_bytes = u32::try_from(datagram.len()).unwrap_or(u32::MAX);
            let looks_encrypted = is_admitted && self.envelope.may_be_encrypted(datagram);
            let input = Input::Opened { from, wire_bytes, looks_encrypted, opened: opened.map(Vec::from) };
            tapped.begin(self.core.now, queued, input);
        }
        let peer = self.receive(from, datagram.len(), opened);
        // Before `settle`, which would report the drop reason instead of `Encrypted`.
        if is_admitted && self.core.stats.dropped_lately != 0 {
            let looks_encrypted = self.envelope.may_be_encrypted(datagram);
            self.complain_of_datagram(peer, looks_encrypted);
        }
        self.settle(peer, out);
        self.end_tap(out);
    }

    /// Handles a datagram of which only the opened content is known.
    pub(crate) fn handle_opened(
        &mut self,
        now: Instant,
        from: SocketAddr,
        wire_bytes: usize,
        looks_encrypted: bool,
        opened: Result<&[u8], DropReason>,
        out: &mut Outbox,
    ) {
        self.set_now(now);
        self.begin_tap(out, || Input::Opened {
            from,
            wire_bytes: u32::try_from(wire_bytes).unwrap_or(u32::MAX),
            looks_encrypted,
            opened: opened.map(Vec::from),
        });
        let peer = self.receive(from, wire_bytes, opened);
        self.complain_of_datagram(peer, looks_encrypted);
        self.settle(peer, out);
        self.end_tap(out);
    }

    /// Counts a datagram and handles its content. Returns the peer that complaints about it name.
    fn receive(&mut self, from: SocketAddr, wire_bytes: usize, opened: Result<&[u8], DropReason>) -> Option<PeerAt> {
        let mut heard = Heard::new(from, wire_bytes);
        let stats = &mut self.core.stats;
        stats.datagrams_in += 1;
        stats.bytes_in += wire_bytes as u64;
        match opened {
            Ok(message) => self.handle_message(&mut heard, message),
            Err(reason) => self.core.stats.drop(reason),
        }
        // Port checks send at most one byte; they are counted, but not logged.
        heard.origin().peer().filter(|_| wire_bytes > PORT_CHECK_BYTES_MAX)
    }

    /// Handles the plaintext of a datagram: one frame, or a compound of frames.
    fn handle_message(&mut self, heard: &mut Heard, message: &[u8]) {
        let mut parts = match envelope::split(message) {
            Ok(parts) => parts,
            Err(reason) => return self.core.stats.drop(reason),
        };
        if parts.is_compound() {
            self.handle_parts(heard, &mut parts);
        } else if let Some(frame) = parts.next() {
            self.handle_frame(heard, frame);
        }
        // After the intact frames, which were handled all the same.
        if parts.damaged() {
            self.core.stats.drop(DropReason::Compound);
        }
    }

    /// Handles a frame: decodes it and dispatches the message to its layer.
    pub(super) fn handle_frame(&mut self, heard: &mut Heard, frame: &[u8]) {
        // One level only: a nested compound could expand without bound.
        if envelope::is_compound(frame) {
            return self.core.stats.drop(DropReason::Compound);
        }
        self.core.stats.messages_in += 1;
        let Some(codec) =
            frame.first().map(|&kind| Codec::of(kind)).filter(|codec| self.core.cfg.transport().codec.reads(*codec))
        else {
            return self.core.stats.drop(DropReason::Codec);
        };
        // Answers to this frame use its codec.
        heard.codec = codec;
        if codec == Codec::Native
            && let Some(decoded) = native::decode_anti_entropy(frame)
        {
            return match decoded {
                Ok(message) => self.handle_anti_entropy(heard, message),
                Err(_) => self.core.stats.drop(DropReason::Malformed),
            };
        }
        match Codec::decode(frame) {
            Ok(Message::User(body)) => self.serf.handle(&mut self.core, heard.origin(), body),
            // Membership matches the ack with a probe; only then may its payload, a coordinate, reach Serf.
            Ok(Message::Ack(ack)) => {
                if let Some((member, rtt)) = self.swim.acked(&mut self.core, heard.origin(), ack.seq) {
                    self.serf.pinged(&mut self.core, member, rtt, ack.payload);
                }
            }
            Ok(message) => {
                self.swim.handle(&mut self.core, heard, &message);
                // After membership: only a member has a time of its join.
                if let Message::Joined { alive, ltime } = message
                    && let Some(idx) = self.core.roster.find(alive.peer.name)
                    && !self.serf.is_repeat(idx, ltime)
                {
                    self.joined_at(idx, ltime);
                }
            }
            Err(_) => self.core.stats.drop(DropReason::Malformed),
        }
    }
}

/// The largest datagram that counts as a port check, in bytes: `nc -zu` sends one byte, other tools none.
const PORT_CHECK_BYTES_MAX: usize = 1;
