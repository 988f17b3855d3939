//! Anti-entropy between native nodes: compares digests of views on probes, and reconciles what differs.
//!
//! Gossip leaves a few members out. HashiCorp's nodes find what is missing by exchanging whole states with random members,
//! minutes apart in a large cluster. Ours compare a digest on every probe, and exchange only what differs, in a few
//! datagrams. `docs/protocol.md` describes the messages, and argues that views converge.
//!
//! A view is the set of live members, each with its record, its incarnation and the Lamport time of its newest intent,
//! and the Lamport clocks, rounded. Members that are gone are in no digest: a node that joined later never knew them.
//!
//! | step | message | sender |
//! |---|---|---|
//! | 1 | digest, in a ping | every node |
//! | 2 | hashes of buckets | the node that sees a difference |
//! | 3 | hashes of the rows of buckets that differ | its peer |
//! | 4 | rows that the peer lacks, and hashes of those that it has | the node |
//! | 5 | rows | the peer |

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::core::{Body, Heard, Origin, Sometimes, Unicast};
use crate::fingerprint::Fingerprint;
use crate::limits::{BUCKETS_BITS_MAX, EVENT_WINDOW_TIMES_MAX};
use crate::roster::{MemberIdx, mix, short};
use crate::stats::{Clocks, DropReason};
use crate::swim::OVERDUE_INTERVALS;
use crate::time::Instant;
use crate::token_bucket::TokenBucket;
use crate::wire::native::{
    self, AntiEntropy as Message, Buckets, Digest, EventHashes, EventWindow, Rows, StateEntry, States, Wanted, Words,
};
use crate::wire::{Codec, Full, Writer};

/// What this node knows of its agreement with others, and the reconciliation that it has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AntiEntropy {
    /// The reconciliation in progress.
    open: Option<Open>,
    /// Earliest time of the next reconciliation.
    next_at: Instant,
    /// Digests made; every [`SALTED_EVERY`]th is salted.
    sent: u32,
    /// Peers that still differ after a reconciliation.
    unsettled: Vec<Unsettled>,
    /// Answers to reconciliations of others.
    answers: TokenBucket<ANSWERS_BURST, ANSWERS_PER_SEC>,
    /// Earliest time of the next exchange of whole states with a peer that differs much.
    exchange_at: Instant,
    /// Earliest time of the next question for user events.
    events_at: Instant,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Open {
    peer: MemberIdx,
    salt: u64,
    /// Number of its buckets, as a power of two: members may come and go before the answer.
    bits: u32,
    until: Instant,
}

/// A peer that differed again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Unsettled {
    peer: MemberIdx,
    /// Reconciliations since our digests were last equal.
    tries: u32,
    /// Earliest time of the next.
    at: Instant,
}

/// A live member's row as it is compared.
#[derive(Clone, Copy)]
struct HashedRow {
    idx: MemberIdx,
    /// Hash of the name.
    name: u64,
    hash: u64,
}

impl HashedRow {
    /// By the name alone, so that a row is in the same bucket in every view.
    fn bucket(&self, bits: u32) -> usize {
        usize::try_from(self.name >> 32).unwrap_or_default() & ((1 << bits) - 1)
    }
}

impl AntiEntropy {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            open: None,
            next_at: now,
            sent: 0,
            unsettled: Vec::new(),
            answers: TokenBucket::default(),
            exchange_at: now,
            events_at: now,
        }
    }

    /// The peers that still differ, each with its number of reconciliations.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (MemberIdx, u32)> + '_ {
        self.unsettled.iter().map(|unsettled| (unsettled.peer, unsettled.tries))
    }

    fn agreed(&mut self, peer: MemberIdx) {
        self.unsettled.retain(|unsettled| unsettled.peer != peer);
    }

    /// Whether a reconciliation with this peer may begin. Each try with one peer doubles the wait for the next: a peer
    /// that never agrees, by a fault or on purpose, costs less and less.
    fn begin(&mut self, now: Instant, interval: Duration, peer: MemberIdx) -> bool {
        if now < self.next_at || self.open.is_some_and(|open| now < open.until) {
            return false;
        }
        let at = self.unsettled.iter().position(|unsettled| unsettled.peer == peer);
        let mut unsettled = match at {
            Some(at) if now < self.unsettled[at].at => return false,
            Some(at) => self.unsettled.remove(at),
            None => Unsettled { peer, tries: 0, at: now },
        };
        unsettled.tries += 1;
        // Saturating, here and below: a node that never probes has an interval without end, and is probed by others.
        unsettled.at = now + interval.saturating_mul(1 << unsettled.tries.min(TRIES_DOUBLED_MAX));
        if self.unsettled.len() == UNSETTLED_MAX {
            self.unsettled.remove(0);
        }
        self.unsettled.push(unsettled);
        self.next_at = now + interval;
        true
    }

    fn take_answer(&mut self, now: Instant) -> bool {
        let may = self.answers.left(now) > 0;
        if may {
            self.answers.take(now, 1);
        }
        may
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { open, next_at, sent, unsettled, answers, exchange_at, events_at } = self;
        to.put((open.is_some(), sent % SALTED_EVERY, unsettled.len()));
        if let Some(Open { peer, salt, bits, until }) = open {
            to.put((peer, salt, bits));
            to.deadline(*until);
        }
        for Unsettled { peer, tries, at } in unsettled {
            to.put((peer, tries));
            to.deadline(*at);
        }
        answers.fingerprint(to);
        [next_at, exchange_at, events_at].into_iter().for_each(|at| to.deadline(*at));
    }
}

impl Node {
    /// Our digest, for a ping to a member that compares it.
    pub(super) fn digest_for(&mut self, peer: Option<MemberIdx>, codec: Codec) -> Option<Digest> {
        if codec != Codec::Native || !self.compares_digests(peer) {
            return None;
        }
        self.gossip.anti_entropy.sent = self.gossip.anti_entropy.sent.wrapping_add(1);
        let is_salted = self.gossip.anti_entropy.sent.is_multiple_of(SALTED_EVERY);
        // 0 means no salt.
        let salt = if is_salted { self.core.rng.anti_entropy.next_u64().max(1) } else { 0 };
        let (quiet, view) = (self.is_quiet(), self.view_digest(salt));
        let events = self.serf.event_window(&self.core, salt);
        Some(Digest { quiet, salt, view, events, queries: self.serf.queries_ignored() })
    }

    /// Whether a member takes part.
    pub(super) fn compares_digests(&self, peer: Option<MemberIdx>) -> bool {
        let reads = self.core.cfg.transport().versions().compares_digests();
        reads && peer.and_then(|idx| self.core.roster.peer(idx)).is_some_and(|peer| peer.versions().compares_digests())
    }

    /// The digest of this node's view of the cluster: equal at two native nodes if and only if they see the same live
    /// members, with the same tags, incarnations and Lamport times, and their clocks are close.
    pub fn digest(&self) -> u64 {
        self.view_digest(0)
    }

    /// Whether no news of membership waits to be sent: views that differ now will not be made equal by gossip of ours.
    fn is_quiet(&self) -> bool {
        self.swim.queue_depth() == 0 && self.serf.queue_depths().intents == 0
    }

    /// The digest of our view. Without a salt it is kept up to date; with one it is computed from all rows.
    fn view_digest(&self, salt: u64) -> u64 {
        let rows = if salt == 0 {
            self.swim.digest().wrapping_add(self.serf.digest())
        } else {
            self.hashed_rows(salt).fold(0, |sum: u64, row| sum.wrapping_add(row.hash))
        };
        rows.wrapping_add(clocks_hash(self.serf.times(), salt))
    }

    /// The live members, each with the hash of its row.
    fn hashed_rows(&self, salt: u64) -> impl Iterator<Item = HashedRow> + '_ {
        self.swim.live_rows(&self.core, salt).map(move |(idx, hashes, hash)| HashedRow {
            idx,
            name: hashes.map_or(0, |hashes| hashes.name),
            hash: hash.wrapping_add(self.serf.row_hash(idx, hashes, salt)),
        })
    }

    /// The live member that a message comes from. Answers come from the peer of the open reconciliation; to find any
    /// other takes time in proportion to the members.
    fn sender(&self, from: SocketAddr) -> Option<MemberIdx> {
        let asked = self.gossip.anti_entropy.open.map(|open| open.peer);
        let asked = asked.filter(|peer| self.swim.is_live_at(&self.core, *peer, from));
        asked.or_else(|| self.swim.live_at(&self.core, from)).filter(|peer| self.compares_digests(Some(*peer)))
    }

    /// Handles a message of anti-entropy.
    pub(super) fn handle_anti_entropy(&mut self, heard: &mut Heard, message: Message<'_>) {
        if !self.core.cfg.transport().versions().compares_digests() {
            return self.core.stats.drop(DropReason::Unexpected);
        }
        if let Message::Probe(digest, ping) = message {
            if let Some(peer) = self.swim.answer_ping(&mut self.core, heard, &ping) {
                self.compare(peer, &digest);
            }
            return;
        }
        // The rest is rare, and costs time in proportion to the members: only live members are answered, and not often.
        if !self.gossip.anti_entropy.take_answer(self.core.now) {
            self.core.met.note(Sometimes::AnswerRefused);
            return self.core.stats.drop(DropReason::Limit);
        }
        let Some(peer) = self.sender(heard.from) else { return self.core.stats.drop(DropReason::Unexpected) };
        match message {
            Message::Probe(..) => {}
            Message::Buckets(buckets) => self.answer_buckets(peer, &buckets),
            Message::Rows(rows) => self.answer_rows(peer, &rows),
            Message::Wanted(wanted) => self.answer_wanted(peer, &wanted),
            Message::States(states) => self.merge_rows(peer, heard.origin(), &states),
            Message::Events(events) => self.answer_events(peer, &events),
        }
    }

    /// Compares a member's digest with ours, and begins a reconciliation if the difference will not end by itself.
    pub(super) fn compare(&mut self, peer: MemberIdx, digest: &Digest) {
        // A salted digest is computed from all rows, so it counts as an answer. Honest members send few.
        if digest.salt != 0 && !self.gossip.anti_entropy.take_answer(self.core.now) {
            self.core.met.note(Sometimes::AnswerRefused);
            return self.core.stats.drop(DropReason::Limit);
        }
        self.core.stats.digests_compared += 1;
        let same_events = self.compare_events(peer, digest.events, digest.salt);
        self.serf.follow_queries(&self.core, digest.queries);
        let (now, interval) = (self.core.now, self.core.cfg.swim().probe_interval);
        if digest.view == self.view_digest(digest.salt) {
            // Events that do not fit into a packet need a push/pull.
            if same_events {
                self.swim.agreed(now);
            }
            // A member that failed here may have left elsewhere. No digest shows that, so states are exchanged as without.
            if self.serf.counts().failed > 0 {
                self.swim.disagreed(now);
            }
            return self.gossip.anti_entropy.agreed(peer);
        }
        self.core.stats.digests_differed += 1;
        // During a storm all views differ, and gossip is about to change that. Without end, it is not.
        let is_settled = digest.quiet && self.is_quiet();
        if is_settled {
            self.swim.disagreed(now);
        }
        let is_overdue = now - self.swim.agreed_at() >= interval.saturating_mul(OVERDUE_INTERVALS);
        if (is_settled || is_overdue) && self.gossip.anti_entropy.begin(now, interval, peer) {
            self.begin_reconciliation(peer);
        }
    }

    fn begin_reconciliation(&mut self, peer: MemberIdx) {
        self.core.stats.reconciliations += 1;
        let salt = self.core.rng.anti_entropy.next_u64();
        let until = self.core.now + self.core.cfg.swim().probe_timeout;
        let bits = buckets_bits(self.swim.members_known());
        self.gossip.anti_entropy.open = Some(Open { peer, salt, bits, until });
        let sums = sums(self.bucketed(salt, bits), bits);
        self.send_frame(peer, |w| native::encode_buckets(salt, &sums, w));
    }

    /// The live members, each with its bucket and the low half of its row's hash.
    fn bucketed(&self, salt: u64, bits: u32) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.hashed_rows(salt).map(move |row| (row.bucket(bits), short(row.hash)))
    }

    /// Step 3: answers with the rows of the buckets that differ, as many as two packets hold.
    fn answer_buckets(&mut self, peer: MemberIdx, buckets: &Buckets<'_>) {
        let bits = buckets.sums.len().trailing_zeros();
        let ours: Vec<(usize, u32)> = self.bucketed(buckets.salt, bits).collect();
        let sums = sums(ours.iter().copied(), bits);
        let mut differ: Vec<bool> =
            sums.iter().zip(buckets.sums.iter()).map(|(ours, theirs)| *ours != theirs).collect();
        let count = differ.iter().filter(|differs| **differs).count();
        // Equal rows: the clocks differ, unless news arrived in between.
        let is_clocks = count == 0 && self.is_quiet();
        if count == 0 && !is_clocks {
            return;
        }
        self.core.stats.reconciliations_answered += 1;
        // Rounded up, so that a difference in a single bucket is never much.
        if is_clocks || count > (differ.len() * MUCH_PERCENT).div_ceil(100).max(1) {
            self.core.met.note(if is_clocks { Sometimes::ClocksDiffer } else { Sometimes::MuchDiffers });
            return self.answer_much(peer, buckets.salt);
        }
        let mut rows: Vec<Vec<u32>> = alloc::vec![Vec::new(); differ.len()];
        for (bucket, hash) in ours {
            if differ[bucket] {
                rows[bucket].push(hash);
            }
        }
        for _ in 0..ROWS_PACKETS_MAX {
            let left = (0_u16..).zip(&rows).filter(|(bucket, _)| differ[usize::from(*bucket)]);
            let left: Vec<(u16, &[u32])> = left.map(|(bucket, rows)| (bucket, rows.as_slice())).collect();
            if left.is_empty() {
                return;
            }
            let mut fitted = 0;
            let frame = self.frame(|w| native::encode_rows(buckets.salt, false, &left, w).map(|count| fitted = count));
            if fitted == 0 {
                // The rows of this bucket fit into no packet.
                self.core.met.note(Sometimes::BucketTooLarge);
                return self.answer_much(peer, buckets.salt);
            }
            left[..fitted].iter().for_each(|(bucket, _)| differ[usize::from(*bucket)] = false);
            self.push_frame(peer, frame);
        }
    }

    fn answer_much(&mut self, peer: MemberIdx, salt: u64) {
        self.send_frame(peer, |w| native::encode_rows(salt, true, &[], w).map(drop));
    }

    /// Step 4: sends the rows that the peer lacks, and asks for those that we lack.
    fn answer_rows(&mut self, peer: MemberIdx, rows: &Rows<'_>) {
        let is_ours = |open: &Open| open.peer == peer && open.salt == rows.salt && self.core.now < open.until;
        let Some(Open { bits, .. }) = self.gossip.anti_entropy.open.filter(is_ours) else {
            return self.core.stats.drop(DropReason::Unexpected);
        };
        let now = self.core.now;
        if rows.much {
            self.gossip.anti_entropy.open = None;
            if now >= self.gossip.anti_entropy.exchange_at {
                self.gossip.anti_entropy.exchange_at = now + EXCHANGE_PAUSE;
                self.swim.push_pull_with(&mut self.core, peer);
            }
            return;
        }
        let (mut lacking, mut wanted): (Vec<MemberIdx>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut theirs: Vec<(u16, Words<'_>)> = rows.buckets().collect();
        theirs.sort_unstable_by_key(|(bucket, _)| *bucket);
        let mut ours: Vec<Vec<(u32, MemberIdx)>> = alloc::vec![Vec::new(); theirs.len()];
        for row in self.hashed_rows(rows.salt) {
            let bucket = row.bucket(bits);
            if let Ok(at) = theirs.binary_search_by_key(&bucket, |(bucket, _)| usize::from(*bucket)) {
                ours[at].push((short(row.hash), row.idx));
            }
        }
        for ((_, theirs), ours) in theirs.iter().zip(&ours) {
            let has = |hash: u32| theirs.iter().any(|their| their == hash);
            lacking.extend(ours.iter().filter(|(hash, _)| !has(*hash)).map(|(_, idx)| *idx));
            wanted.extend(theirs.iter().filter(|hash| !ours.iter().any(|(our, _)| our == hash)));
        }
        self.send_rows(peer, true, &lacking);
        if !wanted.is_empty() {
            self.send_frame(peer, |w| native::encode_wanted(rows.salt, &wanted, w));
        }
    }

    /// Step 5: sends the rows that a peer asks for.
    fn answer_wanted(&mut self, peer: MemberIdx, wanted: &Wanted<'_>) {
        let mut hashes: Vec<u32> = wanted.rows.iter().collect();
        hashes.sort_unstable();
        let is_wanted = |row: HashedRow| hashes.binary_search(&short(row.hash)).is_ok().then_some(row.idx);
        let rows: Vec<MemberIdx> = self.hashed_rows(wanted.salt).filter_map(is_wanted).collect();
        self.send_rows(peer, false, &rows);
    }

    /// Sends rows, as many as [`STATES_PACKETS_MAX`] packets hold. The next reconciliation sends the rest.
    fn send_rows(&mut self, peer: MemberIdx, ask: bool, rows: &[MemberIdx]) {
        let mut rest = rows;
        for _ in 0..STATES_PACKETS_MAX {
            if rest.is_empty() {
                return;
            }
            let mut sent = 0;
            let frame = self.frame(|w| {
                native::begin_states(ask, w)?;
                sent = rest.iter().take_while(|idx| self.put_row(**idx, w).is_ok()).count();
                Ok(())
            });
            self.core.stats.rows_reconciled += sent as u64;
            rest = &rest[sent..];
            self.push_frame(peer, frame);
            if sent == 0 {
                return;
            }
        }
    }

    /// Appends a row. Nothing of one that membership has removed.
    fn put_row(&self, idx: MemberIdx, w: &mut Writer<'_>) -> Result<(), Full> {
        let Some((state, incarnation)) = self.swim.state_of(idx) else { return Ok(()) };
        let (ltime, leaving) = self.serf.intent_of(idx);
        native::put_state(state, incarnation, ltime, leaving, self.core.roster.record(idx), w)
    }

    /// Merges rows of a peer. Where our state takes precedence, answers with it if the peer asks.
    fn merge_rows(&mut self, peer: MemberIdx, origin: Origin, states: &States<'_>) {
        let mut better = Vec::new();
        for entry in states.iter() {
            let StateEntry { alive, ltime, leaving, .. } = entry;
            self.swim.merge_row(&mut self.core, origin, &entry);
            let Some(idx) = self.core.roster.find_bytes(alive.name) else { continue };
            if leaving {
                self.serf.leaving_at(&mut self.core, idx, ltime);
            } else if ltime > 0 && !self.serf.is_repeat(idx, ltime) {
                self.joined_at(idx, ltime);
            }
            if states.ask && idx != self.swim.me() && self.swim.takes_precedence(idx, &entry) {
                better.push(idx);
            }
        }
        self.send_rows(peer, false, &better);
    }

    /// Compares the recent user events; false if they differ. Asks for those that we lack, and offers those that the
    /// peer lacks.
    fn compare_events(&mut self, peer: MemberIdx, remote: Option<EventWindow>, salt: u64) -> bool {
        let differs = remote.and_then(|window| {
            let hashes = self.serf.compare_events(&self.core, window, salt)?;
            Some(((window.last, window.times), hashes))
        });
        let ended = remote.map_or(0, |window| window.last);
        let Some(((last, times), hashes)) = differs.or_else(|| self.serf.events_after(&self.core, ended)) else {
            return true;
        };
        let now = self.core.now;
        if now < self.gossip.anti_entropy.events_at {
            return false;
        }
        self.gossip.anti_entropy.events_at = now + self.core.cfg.swim().gossip_interval;
        self.core.stats.event_reconciliations += 1;
        self.send_frame(peer, |w| native::encode_events(true, last, times, &hashes, w));
        false
    }

    /// Sends the user events that a peer lacks. If it has events that we lack, and asks, answers with our hashes.
    fn answer_events(&mut self, peer: MemberIdx, remote: &EventHashes<'_>) {
        debug_assert!(remote.times <= EVENT_WINDOW_TIMES_MAX, "checked by the decoder");
        let known: Vec<u32> = remote.events.iter().collect();
        let codec = self.core.codec(Some(peer), Some(Codec::Native));
        let (missing, ours) = self.serf.events_beyond(&self.core, remote, &known, codec);
        for event in missing {
            self.core.met.note(Sometimes::EventByDigest);
            self.push_body(peer, Body::User(event));
        }
        if remote.ask && known.iter().any(|hash| !ours.contains(hash)) {
            self.send_frame(peer, |w| native::encode_events(false, remote.last, remote.times, &ours, w));
        }
    }

    /// Encodes a frame of at most one packet.
    fn frame(&self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Option<Bytes> {
        let mut buf = alloc::vec![0; self.core.cfg.message_room()];
        let mut writer = Writer::new(&mut buf);
        write(&mut writer).ok()?;
        let len = writer.len();
        buf.truncate(len);
        Some(Bytes::from(buf))
    }

    fn send_frame(&mut self, peer: MemberIdx, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) {
        let frame = self.frame(write);
        self.push_frame(peer, frame);
    }

    fn push_frame(&mut self, peer: MemberIdx, frame: Option<Bytes>) {
        match frame {
            Some(frame) => self.push_body(peer, Body::Frame(frame)),
            None => debug_assert!(false, "a packet has room for the hashes of all buckets"),
        }
    }

    fn push_body(&mut self, peer: MemberIdx, body: Body) {
        let Some(to) = self.addr_of(peer) else { return };
        self.core.unicasts.push(Unicast { to, peer: Some(peer), answers: Some(Codec::Native), body });
    }

    fn addr_of(&self, peer: MemberIdx) -> Option<SocketAddr> {
        self.core.roster.peer(peer).map(|peer| peer.addr())
    }
}

/// The sum of the hashes in each bucket.
fn sums(rows: impl Iterator<Item = (usize, u32)>, bits: u32) -> Vec<u32> {
    let mut sums = alloc::vec![0_u32; 1 << bits];
    for (bucket, hash) in rows {
        sums[bucket] = sums[bucket].wrapping_add(hash);
    }
    sums
}

/// Buckets of a reconciliation, as a power of two: about 20 members in each.
const fn buckets_bits(members: u32) -> u32 {
    let bits = match (members / 20).checked_ilog2() {
        Some(bits) => bits,
        None => 0,
    };
    if bits < BUCKETS_BITS_MAX { bits } else { BUCKETS_BITS_MAX }
}

/// The hash of the Lamport clocks, rounded: clocks that are far apart make a member take an event of another for too
/// old. Members in agreement would not exchange states, which brings clocks together.
fn clocks_hash(clocks: Clocks, salt: u64) -> u64 {
    rounded(clocks).into_iter().fold(salt, |hash, time| mix(hash.wrapping_add(time)))
}

pub(super) fn rounded(clocks: Clocks) -> [u64; 3] {
    [clocks.member, clocks.event, clocks.query].map(|time| time >> CLOCK_ROUNDED_BITS)
}

/// By how many bits clocks are rounded: 256 is half of the default `event_buffer`.
const CLOCK_ROUNDED_BITS: u32 = 8;

/// How often a digest is salted. A salted digest costs time in proportion to the members. It finds views that differ
/// although their plain digests agree, by chance or because records were crafted.
const SALTED_EVERY: u32 = 256;

/// How many tries with one peer double the wait: the last is 128 probe intervals.
const TRIES_DOUBLED_MAX: u32 = 7;

/// Peers that are remembered as unsettled. A new one evicts the oldest.
const UNSETTLED_MAX: usize = 32;

/// Answers to reconciliations of others, and comparisons with their salted digests: burst, and rate per second. A
/// reconciliation takes up to four at either side.
const ANSWERS_BURST: u64 = 32;
const ANSWERS_PER_SEC: u64 = 16;

/// Share of the buckets that may differ before whole states are exchanged on a stream.
const MUCH_PERCENT: usize = 50;

/// Wait between such exchanges that this node begins.
const EXCHANGE_PAUSE: Duration = Duration::from_secs(5);

/// Packets of row hashes in one answer.
const ROWS_PACKETS_MAX: usize = 2;

/// Packets of rows in one answer.
const STATES_PACKETS_MAX: usize = 4;
