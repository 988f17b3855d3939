//! From a datagram to its frames, from a frame to its message, and to the layer that the message is for.

use core::net::SocketAddr;

use super::Node;
use crate::core::Heard;
use crate::envelope;
use crate::outbox::Outbox;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::Codec;
use crate::wire::swim::Message;

impl Node {
    /// Takes a datagram that came from `from`. What cannot be used is counted in [`Stats::dropped`](crate::Stats::dropped).
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        self.enter(now);
        let mut heard = Heard::new(from, datagram.len());
        // Checks of the port that send next to nothing are not complained of.
        let peer = heard.origin().peer().filter(|_| datagram.len() > PORT_CHECK_BYTES_MAX);
        let stats = &mut self.core.stats;
        stats.datagrams_in += 1;
        stats.bytes_in += datagram.len() as u64;
        match self.envelope.open(datagram, out.buffers()) {
            Ok(message) => self.handle_message(&mut heard, message),
            Err(reason) => self.core.stats.drop(reason),
        }
        self.complain_of_datagram(peer, datagram);
        self.settle(peer, out);
    }

    /// Takes what the layers of a datagram protect: a frame, or a compound of frames.
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
        if parts.damaged() {
            self.core.stats.drop(DropReason::Compound);
        }
    }

    /// Takes a frame: decodes its message and gives it to the layer that it is for.
    pub(super) fn handle_frame(&mut self, heard: &mut Heard, frame: &[u8]) {
        if envelope::is_compound(frame) {
            return self.core.stats.drop(DropReason::Compound);
        }
        self.core.stats.messages_in += 1;
        let Some(codec) = frame.first().map(|&kind| Codec::of(kind)).filter(|codec| self.core.cfg.codec.reads(*codec))
        else {
            return self.core.stats.drop(DropReason::Codec);
        };
        heard.codec = codec;
        match Codec::decode(frame) {
            Ok(Message::User(body)) => self.serf.handle(&mut self.core, heard.origin(), body),
            Ok(Message::Ack(ack)) => {
                if let Some((member, rtt)) = self.swim.acked(&mut self.core, heard.origin(), ack.seq) {
                    self.serf.pinged(&mut self.core, member, rtt, ack.payload);
                }
            }
            Ok(message) => self.swim.handle(&mut self.core, heard, &message),
            Err(_) => self.core.stats.drop(DropReason::Malformed),
        }
    }
}

/// A datagram of so many bytes says nothing: `nc -zu` sends one, others none.
const PORT_CHECK_BYTES_MAX: usize = 1;
