//! The fast path: frames that say only what is known are recognised and handled without decoding them.
//!
//! In a large cluster nearly every frame repeats what is known. The native record of a node is byte for byte the same in every
//! message about it, so that a name to look up and a record to compare are enough. A property test holds this path against
//! [`handle_frame`](Node::handle_frame), which is correct for every frame. What remains is waiting for memory, which prefetching
//! overlaps: thousands of nodes of a simulation share one cache.

use super::Node;
use crate::core::{Heard, Origin};
use crate::envelope::Parts;
use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::wire::native::{self, Glance, Unread};
use crate::wire::swim::FIRST_INCARNATION;
use crate::wire::{Announced, Codec, hashicorp};

impl Node {
    /// Handles every frame of a compound as [`handle_frame`](Self::handle_frame) would, a few at a time: first all are
    /// recognised and the rows of their members prefetched, then each is handled. The rows lie far apart: read one after the
    /// other, each would be waited for; read together, the waits overlap.
    pub(super) fn handle_parts(&mut self, heard: &mut Heard, parts: &mut Parts<'_>) {
        loop {
            let reads_native = self.core.cfg.codec.reads(Codec::Native);
            let mut frames: [&[u8]; PARTS_AHEAD] = [&[]; PARTS_AHEAD];
            let mut seen = [Recognised::Unread; PARTS_AHEAD];
            let mut count = 0;
            for frame in parts.by_ref().take(PARTS_AHEAD) {
                (frames[count], seen[count]) = (frame, self.recognise(frame, reads_native));
                count += 1;
            }
            let (frames, seen) = (&frames[..count], &seen[..count]);
            // A loop of its own: with more work between the reads the processor would not get far enough ahead.
            core::hint::black_box(seen.iter().fold(0, |touched, known| match known {
                Recognised::Alive { idx, .. } => touched ^ self.swim.prefetch(*idx),
                Recognised::Intent { idx, .. } => touched ^ self.serf.touch(*idx),
                Recognised::Unread => touched,
            }));
            let generation = self.core.roster.generation();
            for (&known, frame) in seen.iter().zip(frames) {
                let is_valid = self.core.roster.generation() == generation;
                if !(is_valid && self.handle_known(heard.origin(), known)) {
                    self.handle_frame(heard, frame);
                }
            }
            if count < PARTS_AHEAD {
                return;
            }
        }
    }

    /// Handles a frame that says only what is known; false when it must be decoded.
    #[inline]
    fn handle_known(&mut self, origin: Origin, known: Recognised) -> bool {
        match known {
            Recognised::Alive { idx, incarnation } => {
                self.swim.alive_as_known(&mut self.core, origin, idx, incarnation)
            }
            Recognised::Intent { idx, ltime } if self.serf.is_repeat(idx, ltime) => self.core.stats.repeats_in += 1,
            Recognised::Intent { .. } | Recognised::Unread => return false,
        }
        self.core.stats.messages_in += 1;
        true
    }

    /// Recognises a frame without decoding it.
    #[inline(always)]
    fn recognise(&self, frame: &[u8], reads_native: bool) -> Recognised {
        if !reads_native {
            return self.recognise_hashicorp(frame);
        }
        // Most messages of a join storm.
        if let Some(idx) = self.core.roster.find_first_alive(frame) {
            return Recognised::Alive { idx, incarnation: FIRST_INCARNATION };
        }
        self.recognise_any(frame)
    }

    fn recognise_any(&self, frame: &[u8]) -> Recognised {
        match native::glance(frame) {
            Some(Glance::Alive(Unread { incarnation, name, record })) => {
                match self.core.roster.find_record(name, record) {
                    Some((idx, true)) => Recognised::Alive { idx, incarnation },
                    _ => Recognised::Unread,
                }
            }
            Some(Glance::Intent { ltime, name }) => match self.core.roster.find_bytes(name) {
                Some(idx) => Recognised::Intent { idx, ltime },
                None => Recognised::Unread,
            },
            None if self.core.cfg.codec.reads(Codec::HashiCorp) => self.recognise_hashicorp(frame),
            None => Recognised::Unread,
        }
    }

    fn recognise_hashicorp(&self, frame: &[u8]) -> Recognised {
        let Some(announced) = hashicorp::peek_alive(frame) else { return Recognised::Unread };
        let incarnation = announced.incarnation;
        match self.core.roster.find_bytes(announced.name) {
            Some(idx) if self.core.roster.announces(idx, &Announced::Fields(announced)) => {
                Recognised::Alive { idx, incarnation }
            }
            _ => Recognised::Unread,
        }
    }

    /// Prefetches the state that the next input will touch. Changes nothing; the value means nothing.
    ///
    /// Thousands of nodes do not fit into a processor's cache, so that each input of a simulation waits for memory many times
    /// over. A caller that knows whose inputs come next can have the waits overlap.
    #[doc(hidden)]
    pub fn prefetch(&self) -> u64 {
        let Self { core, swim, serf, streams, .. } = self;
        let stats = &core.stats;
        let timers = core.timers.next().map_or(0, Instant::as_nanos);
        let counters = stats.datagrams_in ^ stats.datagrams_out ^ stats.repeats_in ^ stats.dropped[0];
        let buffers = core.unicasts.capacity() ^ core.notifications.capacity() ^ core.events.capacity() ^ streams.len();
        timers ^ counters ^ buffers as u64 ^ core.roster.generation() ^ swim.prefetch_queue() ^ serf.touch_queues()
    }
}

/// What is known of a frame before it is decoded.
#[derive(Clone, Copy, Debug)]
enum Recognised {
    /// Nothing: it must be decoded.
    Unread,
    /// A member is alive and announces what we know.
    Alive { idx: MemberIdx, incarnation: u32 },
    /// A member joined.
    Intent { idx: MemberIdx, ltime: u64 },
}

/// How many parts of a compound are recognised together.
const PARTS_AHEAD: usize = 32;
