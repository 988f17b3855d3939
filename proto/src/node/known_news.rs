//! Fast path for known news: recognises frames that repeat known state, and handles them without decoding.
//!
//! In a large cluster nearly every frame repeats known state. The native record of a node is the same bytes in every
//! message about it, so a name lookup and a byte comparison recognise one. A property test compares this path with
//! [`handle_frame`](Node::handle_frame), which is correct for every frame. The remaining cost is cache misses, which
//! prefetching overlaps: a simulation runs thousands of nodes on one cache.

use super::Node;
use crate::core::{Heard, Origin};
use crate::envelope::Parts;
use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::wire::native::{self, PartialAlive, PartialFrame};
use crate::wire::swim::FIRST_INCARNATION;
use crate::wire::{Announced, Codec, hashicorp};

impl Node {
    /// Handles every frame of a compound as [`handle_frame`](Self::handle_frame) would, in batches. Recognises a batch,
    /// prefetches the rows of its members, then handles each frame. The rows are far apart in memory; prefetching them
    /// together overlaps the cache misses.
    pub(super) fn handle_parts(&mut self, heard: &mut Heard, parts: &mut Parts<'_>) {
        loop {
            let reads_native = self.core.cfg.transport().codec.reads(Codec::Native);
            let mut frames: [&[u8]; PARTS_AHEAD] = [&[]; PARTS_AHEAD];
            let mut seen = [Recognised::Unknown; PARTS_AHEAD];
            let mut count = 0;
            for frame in parts.by_ref().take(PARTS_AHEAD) {
                (frames[count], seen[count]) = (frame, self.recognise(frame, reads_native));
                count += 1;
            }
            let (frames, seen) = (&frames[..count], &seen[..count]);
            // A loop of its own: with more work between the loads, the processor could not issue them ahead.
            core::hint::black_box(seen.iter().fold(0, |read, known| match known {
                Recognised::Alive { idx, ltime: 0, .. } => read ^ self.swim.prefetch(*idx),
                Recognised::Alive { idx, .. } => read ^ self.swim.prefetch(*idx) ^ self.serf.prefetch(*idx),
                Recognised::Intent { idx, .. } => read ^ self.serf.prefetch(*idx),
                Recognised::Unknown => read,
            }));
            // A decoded frame may change the roster, and so invalidate the indices recognised before it. The generation
            // detects that; the rest of the batch is then decoded.
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

    /// Handles a recognised frame; false if it must be decoded.
    #[inline]
    fn handle_known(&mut self, origin: Origin, known: Recognised) -> bool {
        match known {
            Recognised::Alive { idx, incarnation, ltime } => {
                self.swim.alive_as_known(&mut self.core, origin, idx, incarnation);
                if ltime > 0 && !self.serf.is_repeat(idx, ltime) {
                    self.joined_at(idx, ltime);
                }
            }
            Recognised::Intent { idx, ltime } if self.serf.is_repeat(idx, ltime) => {
                self.core.stats.repeats_in += 1;
                if self.swim.all_compare_digests() {
                    self.serf.note_duplicate(idx, ltime);
                }
            }
            Recognised::Intent { .. } | Recognised::Unknown => return false,
        }
        // Only here: `handle_frame` counts the frames that it decodes.
        self.core.stats.messages_in += 1;
        true
    }

    /// Recognises a frame without decoding it.
    #[inline(always)]
    fn recognise(&self, frame: &[u8], reads_native: bool) -> Recognised {
        if !reads_native {
            return self.recognise_hashicorp(frame);
        }
        // The first announcement of a member: most of the messages of a join storm.
        if let Some((ltime, announcement)) = native::announcement(frame)
            && let Some(idx) = self.core.roster.find_first(announcement)
        {
            return Recognised::Alive { idx, incarnation: FIRST_INCARNATION, ltime };
        }
        self.recognise_any(frame)
    }

    fn recognise_any(&self, frame: &[u8]) -> Recognised {
        match native::decode_partial(frame) {
            Some(PartialFrame::Alive { alive: PartialAlive { incarnation, name, record }, ltime }) => {
                match self.core.roster.find_record(name, record) {
                    Some((idx, true)) => Recognised::Alive { idx, incarnation, ltime },
                    _ => Recognised::Unknown,
                }
            }
            Some(PartialFrame::Intent { ltime, name }) => match self.core.roster.find_bytes(name) {
                Some(idx) => Recognised::Intent { idx, ltime },
                None => Recognised::Unknown,
            },
            None if self.core.cfg.transport().codec.reads(Codec::HashiCorp) => self.recognise_hashicorp(frame),
            None => Recognised::Unknown,
        }
    }

    fn recognise_hashicorp(&self, frame: &[u8]) -> Recognised {
        let Some(announced) = hashicorp::split_alive(frame) else { return Recognised::Unknown };
        let incarnation = announced.incarnation;
        match self.core.roster.find_bytes(announced.name) {
            Some(idx) if self.core.roster.announces(idx, &Announced::Fields(announced)) => {
                Recognised::Alive { idx, incarnation, ltime: 0 }
            }
            _ => Recognised::Unknown,
        }
    }

    /// Prefetches the state that the next input will touch. Changes nothing; the returned value has no meaning.
    ///
    /// Thousands of nodes do not fit into a processor's cache, so each input of a simulation causes many cache misses.
    /// A caller that knows the nodes of the next inputs can overlap the misses.
    #[doc(hidden)]
    pub fn prefetch(&self) -> u64 {
        let Self { core, swim, serf, streams, .. } = self;
        let stats = &core.stats;
        let timers = core.timers.next().map_or(0, Instant::as_nanos);
        let counters = stats.datagrams_in ^ stats.datagrams_out ^ stats.repeats_in ^ stats.dropped[0];
        let buffers = core.unicasts.capacity() ^ core.notifications.capacity() ^ core.events.capacity() ^ streams.len();
        timers ^ counters ^ buffers as u64 ^ core.roster.generation() ^ swim.prefetch_queue() ^ serf.prefetch_queues()
    }
}

/// What is known about a frame before it is decoded.
#[derive(Clone, Copy, Debug)]
enum Recognised {
    /// Unknown: the frame must be decoded.
    Unknown,
    /// An alive message that announces the record we hold.
    Alive { idx: MemberIdx, incarnation: u32, ltime: u64 },
    /// A join intent of a known member.
    Intent { idx: MemberIdx, ltime: u64 },
}

/// How many frames of a compound are recognised per batch.
const PARTS_AHEAD: usize = 32;
