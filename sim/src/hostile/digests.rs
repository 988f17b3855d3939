//! Attacks on anti-entropy between native nodes.

use core::net::SocketAddr;

use serf_proto::internals::wire::native::{self, AntiEntropy, Digest, EventWindow};
use serf_proto::internals::wire::swim::{Alive, Message, PeerRef, Ping, Source, State};
use serf_proto::internals::wire::{Full, Versions, Writer};
use serf_proto::limits::{BUCKETS_BITS_MAX, EVENT_HASHES_MAX, EVENT_WINDOW_TIMES_MAX, LAMPORT_TIME_MAX};

use super::attacker::{Attacker, AttackerView, address_without_host};
use super::numbers;
use super::packet_builder::PacketMessage;
use super::swim::ghost;
use crate::addressing::{addr_of, name_of};

impl Attacker {
    /// Sends messages of anti-entropy that lead nowhere: digests that differ from every view, the beginning of
    /// reconciliations, answers that contradict each other, and questions as long as a packet.
    pub(super) fn disagree(&mut self, view: AttackerView<'_>) {
        let to = self.victim();
        // Others do not read these messages.
        if !view.shared.settings.of(to).transport().versions().compares_digests() {
            return;
        }
        match self.rng.below(7) {
            0 => self.differ_always(view, to, Source { addr: addr_of(view.host), node: &name_of(view.host) }),
            1 => self.differ_as_ghost(view, to),
            2 => self.begin_reconciliations(view, to),
            3 => self.answer_with_contradictions(view, to),
            4 => self.want_everything(view, to),
            5 => self.contradict_states(view, to),
            _ => self.invent_events(view, to),
        }
    }

    /// Sends digests that match no view.
    fn differ_always(&mut self, view: AttackerView<'_>, to: u32, source: Source<'_>) {
        for _ in 0..1 + self.rng.below(DIGESTS) {
            let last = numbers::ltime(&mut self.rng, view.clocks().event).clamp(1, LAMPORT_TIME_MAX);
            let times = [1, EVENT_WINDOW_TIMES_MAX][self.rng.below(2) as usize];
            let window = EventWindow { last: last.max(times.into()), times, digest: self.rng.next_u32() };
            let digest = Digest {
                quiet: self.rng.below(4) > 0,
                salt: if self.rng.below(4) == 0 { self.rng.next_u64() } else { 0 },
                view: self.rng.next_u64(),
                events: (self.rng.below(2) == 0).then_some(window),
                queries: last.is_multiple_of(4).then_some(last),
            };
            // Any name is its own.
            let ping = Ping { seq: self.rng.next_u32(), node: "", source: Some(source) };
            self.send_native(source.addr, to, |w| native::encode_probe(&digest, &ping, w));
        }
    }

    /// Sends such digests in the name of an invented member, which never answers.
    fn differ_as_ghost(&mut self, view: AttackerView<'_>, to: u32) {
        if self.ghosts == 0 {
            return;
        }
        let (name, addr) = (ghost(self.ghosts, false), address_without_host(self.ghosts));
        self.ghosts -= 1;
        let peer = PeerRef { name: &name, addr, meta: &[], versions: Versions::OURS };
        self.send(view, &[to], &[PacketMessage::Swim(Message::Alive(Alive { incarnation: 1, peer }))]);
        self.differ_always(view, to, Source { addr, node: &name });
    }

    /// Begins reconciliations with buckets of any number, all of which differ.
    fn begin_reconciliations(&mut self, view: AttackerView<'_>, to: u32) {
        for _ in 0..1 + self.rng.below(DIGESTS) {
            let (bits, salt) = (self.rng.below(BUCKETS_BITS_MAX + 2), self.rng.next_u64());
            let sums = self.words(1 << bits);
            self.send_native(addr_of(view.host), to, |w| native::encode_buckets(salt, &sums, w));
        }
    }

    /// Answers the reconciliations that others began with this host: with rows that do not exist, several times, or with
    /// the claim that too much differs.
    fn answer_with_contradictions(&mut self, view: AttackerView<'_>, to: u32) {
        for salt in self.salts() {
            let much = self.rng.below(4) == 0;
            let count = [1, 10, 300, 16_000][self.rng.below(4) as usize];
            let (buckets, rows) = (1 + self.rng.below(1 << BUCKETS_BITS_MAX), self.words(count));
            let last = u16::try_from(buckets).unwrap_or(u16::MAX);
            let all: Vec<(u16, &[u32])> = (0..last).chain([0]).map(|bucket| (bucket, &*rows)).collect();
            for _ in 0..1 + self.rng.below(3) {
                let said: &[(u16, &[u32])] = if much { &[] } else { &all };
                self.send_native(addr_of(view.host), to, |w| native::encode_rows(salt, much, said, w).map(drop));
            }
        }
    }

    /// Asks for as many rows as a packet can name, some of which exist.
    fn want_everything(&mut self, view: AttackerView<'_>, to: u32) {
        for _ in 0..1 + self.rng.below(DIGESTS) {
            let (salt, wanted) = (self.rng.next_u64(), self.words(16_000));
            self.send_native(addr_of(view.host), to, |w| native::encode_wanted(salt, &wanted, w));
        }
    }

    /// Sends rows that contradict each other and what the members say, and asks for better ones.
    fn contradict_states(&mut self, view: AttackerView<'_>, to: u32) {
        let members = self.targets();
        let meta = self.meta();
        let ask = self.rng.below(4) > 0;
        let mut rows = Vec::new();
        for member in members {
            let name = name_of(member);
            let peer = PeerRef { name: &name, addr: addr_of(member), meta: &meta, versions: Versions::OURS };
            let (record, own) = (native::encode_record(peer), view.incarnation(member));
            for _ in 0..1 + self.rng.below(3) {
                let state = [State::Alive, State::Suspect, State::Dead, State::Left][self.rng.below(4) as usize];
                let incarnation = if self.rng.below(2) == 0 { own } else { numbers::incarnation(&mut self.rng, own) };
                let ltime = numbers::ltime(&mut self.rng, view.clocks().member).min(LAMPORT_TIME_MAX);
                rows.push((state, incarnation, ltime, self.rng.below(2) == 0, record.clone()));
            }
        }
        self.send_native(addr_of(view.host), to, |w| {
            native::begin_states(ask, w)?;
            for (state, incarnation, ltime, leaving, record) in &rows {
                // What does not fit is left out.
                _ = native::put_state(*state, *incarnation, *ltime, *leaving, record, w);
            }
            Ok(())
        });
    }

    /// Claims to have events that do not exist, and asks for those that the receiver has.
    fn invent_events(&mut self, view: AttackerView<'_>, to: u32) {
        for _ in 0..1 + self.rng.below(DIGESTS) {
            let last = numbers::ltime(&mut self.rng, view.clocks().event);
            let last = last.clamp(EVENT_WINDOW_TIMES_MAX.into(), LAMPORT_TIME_MAX);
            let count = [0, 1, EVENT_HASHES_MAX][self.rng.below(3) as usize];
            let (ask, hashes) = (self.rng.below(4) > 0, self.words(count));
            let encode = |w: &mut Writer<'_>| native::encode_events(ask, last, EVENT_WINDOW_TIMES_MAX, &hashes, w);
            self.send_native(addr_of(view.host), to, encode);
        }
    }

    /// Returns the salts of the reconciliations that were begun with this host.
    fn salts(&mut self) -> Vec<u64> {
        let heard: Vec<_> = self.heard.iter().cloned().collect();
        let frames = heard.iter().flat_map(|packet| self.builder.open(packet));
        let salt = |frame: Vec<u8>| match native::decode_anti_entropy(&frame) {
            Some(Ok(AntiEntropy::Buckets(buckets))) => Some(buckets.salt),
            _ => None,
        };
        let mut salts: Vec<u64> = frames.filter_map(salt).collect();
        // Only the newest can still be open.
        salts.drain(..salts.len().saturating_sub(SALTS));
        salts
    }

    fn words(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.rng.next_u32()).collect()
    }

    /// Sends one frame of the native codec, if it fits into a packet.
    fn send_native(&mut self, from: SocketAddr, to: u32, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) {
        if let Some(frame) = self.builder.native(write) {
            self.send_frames(from, to, &[frame]);
        }
    }
}

/// Messages of one kind per round.
const DIGESTS: u32 = 20;

/// Reconciliations that a round answers.
const SALTS: usize = 3;
