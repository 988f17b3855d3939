//! Messages of this layer as bytes: read, written, and queued for gossip.

use alloc::vec;

use bytes::Bytes;

use crate::broadcast::{Offer, TransmitQueue, Turn};
use crate::config::Config;
use crate::core::Core;
use crate::envelope::Packer;
use crate::limits::PACKET_BYTES_MAX;
use crate::stats::{DropReason, Pruned};
use crate::wire::serf::Message;
use crate::wire::{Codec, Writer};

/// Reads a message, wherever it lies: in a packet, on a stream, or inside another message. Each of these has a codec of its own,
/// and one that we do not read may stand in none of them.
pub(super) fn decode<'a>(core: &Core, frame: &'a [u8]) -> Result<Message<'a>, DropReason> {
    match frame.first() {
        Some(&kind) if !core.cfg.transport().codec.reads(Codec::of(kind)) => Err(DropReason::Codec),
        _ => Codec::decode_serf(frame).map_err(|_| DropReason::Malformed),
    }
}

/// A message as it goes over the network.
pub(super) fn encode(codec: Codec, message: &Message<'_>) -> Bytes {
    let mut small = [0; ENCODED_BYTES_SMALL];
    let mut writer = Writer::new(&mut small);
    if codec.encode_serf(message, &mut writer).is_ok() {
        let len = writer.len();
        return Bytes::copy_from_slice(&small[..len]);
    }
    let mut large = vec![0; PACKET_BYTES_MAX];
    let mut writer = Writer::new(&mut large);
    let encoded = codec.encode_serf(message, &mut writer);
    debug_assert!(encoded.is_ok(), "the caller has checked the size");
    let len = writer.len();
    Bytes::copy_from_slice(&large[..len])
}

/// Room for nearly every message.
const ENCODED_BYTES_SMALL: usize = 1536;

/// Messages that wait to be gossiped byte for byte, in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct MessageQueue(TransmitQueue<Bytes>);

impl Default for MessageQueue {
    fn default() -> Self {
        Self(TransmitQueue::new(Turn::Oldest))
    }
}

impl MessageQueue {
    /// Queues a message of ours or of a peer. `hashicorp_bytes` is its size in HashiCorp's codec, in which some members must be told.
    ///
    /// A peer may send larger packets than we do. What fits into none of ours would block all behind it, and is pruned at once.
    pub(super) fn push(&mut self, cfg: &Config, pruned: &mut Pruned, frame: &[u8], hashicorp_bytes: usize) {
        let room = cfg.message_room();
        if frame.len().max(hashicorp_bytes) > room {
            pruned.too_large += 1;
            return;
        }
        self.0.push(Bytes::copy_from_slice(frame));
        pruned.full += self.0.limit(cfg.serf().queue_depth_max, room);
    }

    /// Adds messages to a packet while they fit.
    pub(super) fn fill(&mut self, limit: usize, codec: Codec, packer: &mut Packer<'_>) {
        self.0.fill(limit, |_, message| {
            let frame = packer.frame(|w| {
                codec.begin_user(w)?;
                codec.translate_serf(message, w)
            });
            if frame.is_err() { Offer::Full } else { Offer::Sent }
        });
    }

    /// Begins a round of several packets to one member, each message at most once.
    pub(super) fn begin_round(&mut self) {
        self.0.begin_round();
    }

    /// Ends the round.
    pub(super) fn end_round(&mut self) {
        self.0.end_round();
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the messages take.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// The message that is packed next.
    #[cfg(test)]
    pub(super) fn next(&self) -> Option<&Bytes> {
        self.0.upcoming().next()
    }
}
