//! Messages of anti-entropy between native nodes: digests of a view, and the reconciliation of what differs. See
//! `docs/protocol.md`.
//!
//! Numbers are varints, hashes little-endian words. Each message fits into one packet.

use super::varint::{take_bytes, take_incarnation, take_varint, varint};
use super::{NATIVE, PartialAlive, SCHEMA, fill, name_of_record, schema, whole};
use crate::limits::{BUCKETS_BITS_MAX, EVENT_HASHES_MAX, EVENT_WINDOW_TIMES_MAX, LAMPORT_TIME_MAX};
use crate::wire::swim::{Ping, State};
use crate::wire::{DecodeError, Full, Writer};

/// Type byte of an alive message with the Lamport time of the join.
pub(super) const JOINED: u8 = NATIVE | 16;
const PROBE: u8 = NATIVE | 17;
const BUCKETS: u8 = NATIVE | 18;
const ROWS: u8 = NATIVE | 19;
const WANTED: u8 = NATIVE | 20;
const STATES: u8 = NATIVE | 21;
const EVENTS: u8 = NATIVE | 22;

/// Type byte of a ping with a digest, for the statistics.
pub(crate) const PROBE_KIND: u8 = PROBE & !NATIVE;
/// The type bytes of reconciliation, for the statistics.
pub(crate) const RECONCILIATION_KINDS: core::ops::RangeInclusive<u8> = (BUCKETS & !NATIVE)..=(EVENTS & !NATIVE);
/// The same of the alive message with a Lamport time.
pub(crate) const JOINED_KIND: u8 = JOINED & !NATIVE;

/// A message of anti-entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiEntropy<'a> {
    /// A ping with the digest of the sender's view.
    Probe(Digest, Ping<'a>),
    /// Hashes of the buckets of the sender's view: starts a reconciliation.
    Buckets(Buckets<'a>),
    /// Hashes of the rows of the buckets that differ.
    Rows(Rows<'a>),
    /// Hashes of rows that the sender lacks.
    Wanted(Wanted<'a>),
    /// Rows.
    States(States<'a>),
    /// Hashes of the user events that the sender has.
    Events(EventHashes<'a>),
}

/// Digest of a node's view of the live members and of its recent user events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Whether the sender has no membership news left to gossip.
    pub quiet: bool,
    /// Salt of `view`; 0: none.
    pub salt: u64,
    /// Sum of the hashes of the live members.
    pub view: u64,
    /// The recent user events; `None` if there are none.
    pub events: Option<EventWindow>,
    /// The last Lamport time of the queries that the sender ignores, because they are from before its return from a
    /// snapshot; `None` if it ignores none, or has heard of later ones.
    pub queries: Option<u64>,
}

/// Digest of the user events of a range of Lamport times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventWindow {
    /// The last Lamport time.
    pub last: u64,
    /// The number of Lamport times, at most [`EVENT_WINDOW_TIMES_MAX`]. 0: nothing is compared, and clocks follow `last`.
    pub times: u8,
    /// Sum of the hashes of the events.
    pub digest: u32,
}

/// Hashes of buckets: each member is in the bucket that the hash of its name selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets<'a> {
    /// Salt of all hashes of this reconciliation.
    pub salt: u64,
    /// Sums of the hashes of the rows, one per bucket; a power of two of them.
    pub sums: Words<'a>,
}

/// Answer to [`Buckets`]: the rows of some buckets that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows<'a> {
    /// Salt of the reconciliation.
    pub salt: u64,
    /// Whether too much differs: the states should be exchanged on a stream. Then there are no buckets.
    pub much: bool,
    buckets: &'a [u8],
}

/// Hashes of rows that the sender lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Salt of the reconciliation.
    pub salt: u64,
    /// The hashes.
    pub rows: Words<'a>,
}

/// Rows: states of members, as in a push/pull, with their Lamport times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States<'a> {
    /// Whether the receiver should answer with its own state of each member where that takes precedence.
    pub ask: bool,
    entries: &'a [u8],
}

/// A row of [`States`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateEntry<'a> {
    /// State of the member.
    pub state: State,
    /// Incarnation, name and record.
    pub alive: PartialAlive<'a>,
    /// Lamport time of the newest intent; 0 if none.
    pub ltime: u64,
    /// Whether that intent is a leave.
    pub leaving: bool,
}

/// Hashes of the user events that the sender has, of a range of Lamport times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHashes<'a> {
    /// Whether the receiver should send its own hashes if the sender has events that it lacks.
    pub ask: bool,
    /// The last Lamport time.
    pub last: u64,
    /// The number of Lamport times.
    pub times: u8,
    /// The hashes.
    pub events: Words<'a>,
}

/// A list of hashes of four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<'a>(&'a [[u8; 4]]);

impl<'a> Words<'a> {
    /// Number of hashes.
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is no hash.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The hashes, in order.
    pub fn iter(self) -> impl Iterator<Item = u32> + use<'a> {
        self.0.iter().map(|word| u32::from_le_bytes(*word))
    }
}

const QUIET: u8 = 1;
const SALTED: u8 = 2;
const HAS_EVENTS: u8 = 4;
const HAS_QUERIES: u8 = 8;

/// Decodes a message of anti-entropy; `None` if the frame is of another kind.
pub fn decode_anti_entropy(frame: &[u8]) -> Option<Result<AntiEntropy<'_>, DecodeError>> {
    let (&kind, body) = frame.split_first()?;
    let decode: fn(&[u8]) -> Option<AntiEntropy<'_>> = match kind {
        PROBE => decode_probe,
        BUCKETS => decode_buckets,
        ROWS => decode_rows,
        WANTED => decode_wanted,
        STATES => decode_states,
        EVENTS => decode_events,
        _ => return None,
    };
    Some(schema(body).and_then(|body| decode(body).ok_or(DecodeError::Malformed)))
}

fn decode_probe(body: &[u8]) -> Option<AntiEntropy<'_>> {
    let (&flags, mut rest) = body.split_first()?;
    let view = take_u64(&mut rest)?;
    let salt = if flags & SALTED == 0 { 0 } else { take_u64(&mut rest).filter(|salt| *salt != 0)? };
    let events = if flags & HAS_EVENTS == 0 { None } else { Some(take_window(&mut rest)?) };
    let queries = if flags & HAS_QUERIES == 0 { None } else { Some(take_time(&mut rest)?) };
    let is_known = flags & !(QUIET | SALTED | HAS_EVENTS | HAS_QUERIES) == 0;
    let digest = Digest { quiet: flags & QUIET != 0, salt, view, events, queries };
    is_known.then_some(AntiEntropy::Probe(digest, whole(rest).ok()?))
}

fn take_window(rest: &mut &[u8]) -> Option<EventWindow> {
    let (last, times) = take_range(rest, 0)?;
    let (&digest, tail) = rest.split_first_chunk()?;
    *rest = tail;
    let digest = u32::from_le_bytes(digest);
    // No times have no events, whose sum is 0.
    (times > 0 || digest == 0).then_some(EventWindow { last, times, digest })
}

fn take_time(rest: &mut &[u8]) -> Option<u64> {
    take_varint(rest).filter(|time| (1..=LAMPORT_TIME_MAX).contains(time))
}

/// The last Lamport time of a range, and the number of times in it, at least `times_min`.
fn take_range(rest: &mut &[u8], times_min: u8) -> Option<(u64, u8)> {
    let last = take_varint(rest)?;
    let (&times, tail) = rest.split_first()?;
    *rest = tail;
    let is_sound = (times_min..=EVENT_WINDOW_TIMES_MAX).contains(&times)
        && (times.max(1).into()..=LAMPORT_TIME_MAX).contains(&last);
    is_sound.then_some((last, times))
}

fn decode_buckets(body: &[u8]) -> Option<AntiEntropy<'_>> {
    let mut rest = body;
    let salt = take_u64(&mut rest)?;
    let sums = words(rest)?;
    let is_sound = sums.len().is_power_of_two() && sums.len() <= 1 << BUCKETS_BITS_MAX;
    is_sound.then_some(AntiEntropy::Buckets(Buckets { salt, sums }))
}

fn decode_rows(body: &[u8]) -> Option<AntiEntropy<'_>> {
    let mut rest = body;
    let salt = take_u64(&mut rest)?;
    let (&much, tail) = rest.split_first()?;
    if much > 1 {
        return None;
    }
    let rows = Rows { salt, much: much == 1, buckets: tail };
    // Validated whole, so that a damaged message changes nothing.
    let mut rest = tail;
    while !rest.is_empty() {
        take_bucket(&mut rest)?;
    }
    Some(AntiEntropy::Rows(rows))
}

fn take_bucket<'a>(rest: &mut &'a [u8]) -> Option<(u16, Words<'a>)> {
    let bucket = u16::try_from(take_varint(rest)?).ok().filter(|bucket| *bucket < 1 << BUCKETS_BITS_MAX)?;
    let count = usize::try_from(take_varint(rest)?).ok()?;
    let (hashes, tail) = rest.split_at_checked(count.checked_mul(4)?)?;
    *rest = tail;
    Some((bucket, words(hashes)?))
}

impl<'a> Rows<'a> {
    /// The buckets, each with the hashes of its rows.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, Words<'a>)> + use<'a> {
        let mut rest = self.buckets;
        core::iter::from_fn(move || take_bucket(&mut rest))
    }
}

fn decode_wanted(body: &[u8]) -> Option<AntiEntropy<'_>> {
    let mut rest = body;
    let salt = take_u64(&mut rest)?;
    Some(AntiEntropy::Wanted(Wanted { salt, rows: words(rest)? }))
}

fn decode_states(body: &[u8]) -> Option<AntiEntropy<'_>> {
    let (&ask, entries) = body.split_first()?;
    if ask > 1 {
        return None;
    }
    let mut rest = entries;
    while !rest.is_empty() {
        take_state(&mut rest)?;
    }
    Some(AntiEntropy::States(States { ask: ask == 1, entries }))
}

fn take_state<'a>(rest: &mut &'a [u8]) -> Option<StateEntry<'a>> {
    let mut entry = take_bytes(rest)?;
    let (&state, tail) = entry.split_first()?;
    entry = tail;
    let incarnation = take_incarnation(&mut entry).ok()?;
    let time = take_varint(&mut entry)?;
    let name = name_of_record(entry)?;
    let alive = PartialAlive { incarnation, name, record: entry };
    Some(StateEntry { state: State::from_u8(state)?, alive, ltime: time >> 1, leaving: time & 1 == 1 })
}

impl<'a> States<'a> {
    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = StateEntry<'a>> + use<'a> {
        let mut rest = self.entries;
        core::iter::from_fn(move || take_state(&mut rest))
    }
}

fn decode_events(body: &[u8]) -> Option<AntiEntropy<'_>> {
    let (&ask, mut rest) = body.split_first()?;
    let (last, times) = take_range(&mut rest, 1)?;
    let events = words(rest).filter(|events| ask <= 1 && events.len() <= EVENT_HASHES_MAX)?;
    Some(AntiEntropy::Events(EventHashes { ask: ask == 1, last, times, events }))
}

fn words(bytes: &[u8]) -> Option<Words<'_>> {
    let (words, rest) = bytes.as_chunks();
    rest.is_empty().then_some(Words(words))
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u64::from_le_bytes(*bytes))
}

/// Encodes a ping with a digest.
///
/// # Errors
///
/// If it does not fit.
pub fn encode_probe(digest: &Digest, ping: &Ping<'_>, w: &mut Writer<'_>) -> Result<(), Full> {
    let Digest { quiet, salt, view, events, queries } = *digest;
    let flag = |set, bit| if set { bit } else { 0 };
    let flags = flag(quiet, QUIET)
        | flag(salt != 0, SALTED)
        | flag(events.is_some(), HAS_EVENTS)
        | flag(queries.is_some(), HAS_QUERIES);
    w.put(&[PROBE, SCHEMA, flags])?;
    w.put(&view.to_le_bytes())?;
    if salt != 0 {
        w.put(&salt.to_le_bytes())?;
    }
    if let Some(EventWindow { last, times, digest }) = events {
        put_range(w, last, times)?;
        w.put(&digest.to_le_bytes())?;
    }
    if let Some(last) = queries {
        let mut bytes = [0; 10];
        let used = varint(last, &mut bytes);
        w.put(&bytes[..used])?;
    }
    fill(w, ping)
}

/// Encodes the frame that starts a reconciliation.
///
/// # Errors
///
/// If it does not fit.
pub fn encode_buckets(salt: u64, sums: &[u32], w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(&[BUCKETS, SCHEMA])?;
    w.put(&salt.to_le_bytes())?;
    put_words(w, sums)
}

/// Encodes the answer to [`Buckets`], with as many buckets as fit. Returns how many did.
///
/// # Errors
///
/// If not even the head fits.
pub fn encode_rows(salt: u64, much: bool, buckets: &[(u16, &[u32])], w: &mut Writer<'_>) -> Result<usize, Full> {
    w.put(&[ROWS, SCHEMA])?;
    w.put(&salt.to_le_bytes())?;
    w.put_u8(u8::from(much))?;
    let mut fitted = 0;
    for (bucket, rows) in buckets {
        let mut head = [0; 20];
        let mut used = varint(u64::from(*bucket), &mut head);
        used += varint(rows.len() as u64, &mut head[used..]);
        if w.room() < used + 4 * rows.len() {
            break;
        }
        w.put(&head[..used])?;
        put_words(w, rows)?;
        fitted += 1;
    }
    Ok(fitted)
}

/// Encodes hashes of rows that this node lacks, as many as fit.
///
/// # Errors
///
/// If not even the head fits.
pub fn encode_wanted(salt: u64, rows: &[u32], w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(&[WANTED, SCHEMA])?;
    w.put(&salt.to_le_bytes())?;
    let fitting = rows.len().min(w.room() / 4);
    put_words(w, &rows[..fitting])
}

/// Begins a frame of rows.
///
/// # Errors
///
/// If it does not fit.
pub fn begin_states(ask: bool, w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(&[STATES, SCHEMA, u8::from(ask)])
}

/// Appends a row.
///
/// # Errors
///
/// If it does not fit; then nothing is written.
pub fn put_state(
    state: State,
    incarnation: u32,
    ltime: u64,
    leaving: bool,
    record: &[u8],
    w: &mut Writer<'_>,
) -> Result<(), Full> {
    let mut head = [0; 1 + 5 + 10];
    head[0] = state as u8;
    let mut used = 1 + varint(u64::from(incarnation), &mut head[1..]);
    used += varint((ltime << 1) | u64::from(leaving), &mut head[used..]);
    let mut length = [0; 10];
    let length_used = varint((used + record.len()) as u64, &mut length);
    if w.room() < length_used + used + record.len() {
        return Err(Full);
    }
    w.put(&length[..length_used])?;
    w.put(&head[..used])?;
    w.put(record)
}

/// Encodes hashes of user events, as many as fit and are allowed.
///
/// # Errors
///
/// If not even the head fits.
pub fn encode_events(ask: bool, last: u64, times: u8, events: &[u32], w: &mut Writer<'_>) -> Result<(), Full> {
    w.put(&[EVENTS, SCHEMA, u8::from(ask)])?;
    put_range(w, last, times)?;
    let fitting = events.len().min(w.room() / 4).min(EVENT_HASHES_MAX);
    put_words(w, &events[..fitting])
}

fn put_range(w: &mut Writer<'_>, last: u64, times: u8) -> Result<(), Full> {
    let mut bytes = [0; 11];
    let used = varint(last, &mut bytes);
    bytes[used] = times;
    w.put(&bytes[..=used])
}

fn put_words(w: &mut Writer<'_>, words: &[u32]) -> Result<(), Full> {
    words.iter().try_for_each(|word| w.put(&word.to_le_bytes()))
}
