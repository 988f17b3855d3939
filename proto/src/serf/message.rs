//! Messages of this layer as bytes: decoding, encoding, and the gossip queue.

use alloc::vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::broadcast::{Offer, TieOrder, TransmitQueue};
use crate::config::Config;
use crate::core::Core;
use crate::envelope::Packer;
use crate::fingerprint::Fingerprint;
use crate::limits::PACKET_BYTES_MAX;
use crate::stats::{DropReason, Histogram, Pruned};
use crate::time::Instant;
use crate::waits::Waits;
use crate::wire::serf::Message;
use crate::wire::{Codec, Writer};

/// Decodes a message from a packet, a stream, or inside another message. Each may be in a codec of its own, so
/// each is checked against the codecs that this node reads.
pub(super) fn decode<'a>(core: &Core, frame: &'a [u8]) -> Result<Message<'a>, DropReason> {
    match frame.first() {
        Some(&kind) if !core.cfg.transport().codec.reads(Codec::of(kind)) => Err(DropReason::Codec),
        _ => Codec::decode_serf(frame).map_err(|_| DropReason::Malformed),
    }
}

/// Encodes a message for the network.
pub(super) fn encode(codec: Codec, message: &Message<'_>) -> Bytes {
    // Most messages are small: encodes on the stack first, so that only the exact size is allocated.
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

/// Buffer size, in bytes, that fits nearly every message.
const ENCODED_BYTES_SMALL: usize = 1536;

/// A gossip queue of encoded messages, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MessageQueue {
    messages: TransmitQueue<Bytes>,
    waits: Waits<Bytes>,
}

impl Default for MessageQueue {
    fn default() -> Self {
        Self { messages: TransmitQueue::new(TieOrder::Oldest), waits: Waits::new() }
    }
}

impl MessageQueue {
    /// Queues an encoded message of this node or of a peer. `hashicorp_bytes` is its size in HashiCorp's codec, which
    /// some members require.
    ///
    /// Peers may send larger packets than this node. A message that fits into none of our packets would block the
    /// queue, so it is pruned at once.
    ///
    /// `timed_at` is the time, if there is a member that it can be sent to.
    pub(super) fn push(
        &mut self,
        cfg: &Config,
        pruned: &mut Pruned,
        frame: &[u8],
        hashicorp_bytes: usize,
        timed_at: Option<Instant>,
    ) {
        let room = cfg.message_room();
        if frame.len().max(hashicorp_bytes) > room {
            pruned.too_large += 1;
            return;
        }
        let message = Bytes::copy_from_slice(frame);
        if let Some(now) = timed_at {
            self.waits.queued(now, || message.clone());
        }
        self.messages.push(message);
        pruned.full += self.messages.limit(cfg.serf().queue_depth_max, room);
    }

    /// Adds messages to a packet while they fit, translated into its codec.
    pub(super) fn fill(&mut self, now: Instant, limit: usize, codec: Codec, packer: &mut Packer<'_>) {
        let Self { messages, waits } = self;
        messages.fill(limit, |_, message| {
            let frame = packer.frame(|w| {
                codec.begin_user(w)?;
                codec.translate_serf(message, w)
            });
            if frame.is_err() {
                return Offer::Full;
            }
            waits.sent(now, message);
            Offer::Sent
        });
    }

    /// Begins a round of several packets to one member: each message is offered at most once until the round ends.
    pub(super) fn begin_round(&mut self) {
        self.messages.begin_round();
    }

    /// Ends a round.
    pub(super) fn end_round(&mut self) {
        self.messages.end_round();
    }

    /// The queued messages.
    pub(super) fn messages_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        self.messages.items_mut()
    }

    pub(super) const fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Memory used by the messages, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.messages.bytes()
    }

    /// How long messages have waited before they were sent for the first time.
    pub(super) const fn waits(&self) -> &Histogram {
        self.waits.histogram()
    }

    /// The message that is packed next.
    #[cfg(test)]
    pub(super) fn next(&self) -> Option<&Bytes> {
        self.messages.upcoming().next()
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        self.messages.fingerprint(to);
    }
}
