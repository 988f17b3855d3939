//! User events: gossiped to all members, and deduplicated by Lamport time, name and payload.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::lamport::{Exhausted, LamportClock};
use super::message::{MessageQueue, encode};
use super::recent::{ITEMS_PER_TIME_MAX, Novelty, Recent, Remembered};
use crate::core::Core;
use crate::event::{Event, UserEvent};
use crate::fingerprint::Fingerprint;
use crate::limits::{EVENT_HASHES_MAX, EVENT_RING_BYTES_MAX, EVENT_WINDOW_TIMES_MAX, ITEM_BYTES, USER_EVENT_BYTES_MAX};
use crate::msgpack::write::{longest_raw, raw_bytes};
use crate::roster::{event_hash, mix, short};
use crate::stats::{DropReason, Histogram};
use crate::time::Instant;
use crate::wire::native::EventWindow;
use crate::wire::{Codec, hashicorp, serf};

/// Why a user event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    TooLarge { bytes: usize, limit: usize },
    Exhausted,
}

/// User events: the recent ones, and those to gossip.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Events {
    recent: Recent<Seen>,
    pub(super) queue: MessageQueue,
    /// Events before this Lamport time are ignored: they precede our start or join.
    time_min: u64,
    /// The newest Lamport time of the events that arrived [`EVENT_SETTLE_TIME`] ago or earlier, here or at a member whose digest
    /// was compared.
    settled: u64,
    /// When the last event to settle arrived.
    settled_at: Option<Instant>,
    /// Arrivals since then: instant and Lamport time.
    arrivals: VecDeque<(Instant, u64)>,
}

/// A delivered event, kept to detect duplicates and to send in push/pulls.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    /// Hash of the event, so that few events of one time are compared in full, and for the digest of recent events.
    digest: u64,
    name: Box<str>,
    payload: Bytes,
    coalesce: bool,
}

impl Seen {
    fn new(digest: u64, event: &serf::UserEvent<'_>) -> Self {
        let payload = Bytes::copy_from_slice(event.payload);
        Self { digest, name: event.name.into(), payload, coalesce: event.coalesce }
    }

    fn is(&self, digest: u64, event: &serf::UserEvent<'_>) -> bool {
        self.digest == digest && *self.name == *event.name && self.payload == event.payload
    }

    fn event(&self, ltime: u64) -> serf::UserEvent<'_> {
        serf::UserEvent { ltime, name: &self.name, payload: &self.payload, coalesce: self.coalesce }
    }
}

impl Remembered for Seen {
    const BYTES_MAX: usize = EVENT_RING_BYTES_MAX;

    fn bytes(&self) -> usize {
        self.name.len() + self.payload.len() + ITEM_BYTES
    }
}

impl Events {
    /// The payloads of the buffered events.
    pub(super) fn payloads_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        self.recent.items_mut().map(|seen| &mut seen.payload)
    }

    /// Sends a user event: delivers it locally at once, and to the others by gossip.
    pub(super) fn send(
        &mut self,
        core: &mut Core,
        timed_at: Option<Instant>,
        clock: &mut LamportClock,
        name: &str,
        payload: &[u8],
        coalesce: bool,
    ) -> Result<(), SendError> {
        let ltime = clock.check().map_err(|Exhausted| SendError::Exhausted)?;
        let event = serf::UserEvent { ltime, name, payload, coalesce };
        // All checks precede the tick: a refused event must not consume a Lamport time.
        check_size(core, &event)?;
        let frame = encode(core.codec_kept(), &serf::Message::UserEvent(event));
        _ = clock.tick();
        core.stats.user_events_sent += 1;
        self.receive(core, timed_at, clock, &event, &frame);
        Ok(())
    }

    /// Handles a user event from gossip or of this node. `frame` is gossiped on, in the encoding in which it arrived.
    pub(super) fn receive(
        &mut self,
        core: &mut Core,
        timed_at: Option<Instant>,
        clock: &mut LamportClock,
        event: &serf::UserEvent<'_>,
        frame: &[u8],
    ) {
        if self.take(core, clock, event) {
            self.queue.push(&core.cfg, &mut core.stats.events_pruned, frame, event_bytes(event), timed_at);
        }
    }

    /// How long events have waited before they were sent for the first time.
    pub(super) const fn waits(&self) -> &Histogram {
        self.queue.waits()
    }

    /// Handles the events of a push/pull. They are not gossiped on, since members exchange states among themselves.
    pub(super) fn merge<'a>(
        &mut self,
        core: &mut Core,
        clock: &mut LamportClock,
        events: impl Iterator<Item = serf::UserEvent<'a>>,
    ) {
        let (oldest, time_min) = (self.oldest(core, *clock), self.time_min);
        let mut too_old = 0_u64;
        let mut recent = events.filter(|event| {
            let is_recent = event.ltime >= oldest;
            too_old += u64::from(!is_recent && event.ltime >= time_min);
            is_recent && event.ltime >= time_min
        });
        // A few compressed bytes can expand to millions of events. No more are collected than could be remembered.
        let events_max = (core.cfg.serf().event_buffer as usize).saturating_mul(ITEMS_PER_TIME_MAX);
        let mut events: Vec<serf::UserEvent<'_>> = recent.by_ref().take(events_max).collect();
        if recent.next().is_some() {
            core.stats.drop(DropReason::Limit);
        }
        // Ends the borrow of `too_old`, and with it the counting.
        drop(recent);
        if too_old > 0 {
            core.stats.drop_many_expected(DropReason::OldEvent, too_old);
        }
        // HashiCorp's sends its ring buffer in memory order.
        events.sort_by_key(|event| event.ltime);
        // Only the newest that fit into the ring: older ones would be evicted at once.
        let mut bytes = 0;
        let fits = |event: &&serf::UserEvent<'_>| {
            bytes += event.name.len() + event.payload.len();
            bytes <= EVENT_RING_BYTES_MAX
        };
        let newest = events.iter().rev().take_while(fits).count();
        for event in &events[events.len() - newest..] {
            self.take(core, clock, event);
        }
    }

    /// Delivers an event, unless it is a duplicate or too old (`handleUserEvent` in serf.go). Returns whether it was
    /// delivered.
    fn take(&mut self, core: &mut Core, clock: &mut LamportClock, event: &serf::UserEvent<'_>) -> bool {
        // The hard limit of HashiCorp's nodes, independent of their configuration.
        if event.name.len() + event.payload.len() > USER_EVENT_BYTES_MAX {
            core.stats.drop(DropReason::Limit);
            return false;
        }
        if clock.witness(core.now, event.ltime).is_err() {
            core.stats.drop(DropReason::OutOfRange);
            return false;
        }
        // An event from before our start or join is not a loss, so it is not counted as dropped.
        if event.ltime < self.time_min {
            return false;
        }
        // After `witness`: the clock decides what is too old.
        let oldest = self.oldest(core, *clock);
        if event.ltime < oldest {
            core.stats.drop_expected(DropReason::OldEvent);
            return false;
        }
        let novelty = self.note(oldest, event);
        match novelty {
            Novelty::Repeat => core.stats.user_event_repeats += 1,
            Novelty::Crowded => core.stats.drop(DropReason::Limit),
            Novelty::Old => core.stats.drop_expected(DropReason::OldEvent),
            Novelty::New => {
                core.stats.user_events += 1;
                self.arrived(core.now, event.ltime);
                core.events.push(Event::User(UserEvent {
                    ltime: event.ltime,
                    name: event.name.into(),
                    payload: Bytes::copy_from_slice(event.payload),
                    coalesce: event.coalesce,
                }));
            }
        }
        novelty == Novelty::New
    }

    /// Remembers an event, and removes those before `oldest`.
    fn note(&mut self, oldest: u64, event: &serf::UserEvent<'_>) -> Novelty {
        let digest = event_hash(event.ltime, event.name.as_bytes(), event.payload);
        self.recent.note(oldest, event.ltime, |seen| seen.is(digest, event), || Seen::new(digest, event))
    }

    fn arrived(&mut self, now: Instant, ltime: u64) {
        // At the limit the oldest counts as settled: only the digest's window depends on it.
        if self.arrivals.len() == ARRIVALS_MAX {
            self.settle_first();
        }
        self.arrivals.push_back((now, ltime));
    }

    fn settle_first(&mut self) {
        if let Some((at, ltime)) = self.arrivals.pop_front() {
            (self.settled, self.settled_at) = (self.settled.max(ltime), Some(at));
        }
    }

    /// Counts the events until this time as settled, because they are at a member whose digest we compare. Our window then ends
    /// where its window does. Otherwise a node that joined after all earlier events and missed the later ones would have
    /// no window, and it could compare none that begins before its join: the event would be missing for good.
    pub(super) fn settle_until(&mut self, ltime: u64) {
        self.settled = self.settled.max(ltime);
    }

    /// The digest of the recent events that have had time to reach every member; `None` if there are none, and none that
    /// we ignore.
    pub(super) fn window(&mut self, core: &Core, clock: LamportClock, salt: u64) -> Option<EventWindow> {
        if let Some((last, times)) = self.window_range(core, clock) {
            return Some(EventWindow { last, times, digest: self.window_digest(last, times, salt) });
        }
        // Nothing to compare, but the clocks of others must follow: we would ignore their next events as older than our
        // return from a snapshot, and equal views exchange no states, which have the clocks.
        let last = self.time_min.checked_sub(1).filter(|last| *last > 0)?;
        Some(EventWindow { last, times: 0, digest: 0 })
    }

    /// The last Lamport time of the window, and the number of times.
    fn window_range(&mut self, core: &Core, clock: LamportClock) -> Option<(u64, u8)> {
        while self.arrivals.front().is_some_and(|&(at, _)| core.now - at >= EVENT_SETTLE_TIME) {
            self.settle_first();
        }
        let last = self.settled;
        let first = self.complete_from(core, clock).max((last + 1).saturating_sub(EVENT_WINDOW_TIMES_MAX.into()));
        let times =
            (last + 1).checked_sub(first).and_then(|times| u8::try_from(times).ok()).filter(|times| *times > 0)?;
        Some((last, times))
    }

    /// The range of our window, if a member whose window ends at `last` has missed its newest event: that is recent, yet all
    /// members have had time to settle it, and none is on its way.
    pub(super) fn window_beyond(&mut self, core: &Core, clock: LamportClock, last: u64) -> Option<(u64, u8)> {
        let range = self.window_range(core, clock).filter(|(newest, _)| last < *newest)?;
        let age = self.settled_at.map(|at| core.now - at)?;
        (self.arrivals.is_empty() && (2 * EVENT_SETTLE_TIME..EVENT_RECENT_TIME).contains(&age)).then_some(range)
    }

    /// Whether our events of a remote window differ. `None` if we do not remember all of its Lamport times.
    pub(super) fn differs(&self, core: &Core, clock: LamportClock, remote: EventWindow, salt: u64) -> Option<bool> {
        let first = first_time(remote.last, remote.times);
        let is_complete = first >= self.complete_from(core, clock);
        is_complete.then(|| self.window_digest(remote.last, remote.times, salt) != remote.digest)
    }

    /// Hashes of our events in a range of Lamport times, newest first.
    pub(super) fn hashes(&self, last: u64, times: u8) -> Vec<u32> {
        self.in_range(last, times).map(|(_, seen)| short(seen.digest)).take(EVENT_HASHES_MAX).collect()
    }

    /// Our events in a range of Lamport times that are not among `known`, the oldest first, so that they arrive in the
    /// order in which gossip sends them; encoded in `codec`. Events larger than a packet are left out: a push/pull sends
    /// them.
    pub(super) fn missing(&self, core: &Core, last: u64, times: u8, known: &[u32], codec: Codec) -> Vec<Bytes> {
        let unknown = self.in_range(last, times).filter(|(_, seen)| !known.contains(&short(seen.digest)));
        let mut unknown: Vec<serf::UserEvent<'_>> = unknown.map(|(ltime, seen)| seen.event(ltime)).collect();
        unknown.reverse();
        let fitting = unknown.iter().filter(|event| event_bytes(event) <= core.cfg.message_room());
        fitting.take(EVENTS_RECONCILED_MAX).map(|event| encode(codec, &serf::Message::UserEvent(*event))).collect()
    }

    /// The first Lamport time of which we remember every event that reached us.
    fn complete_from(&self, core: &Core, clock: LamportClock) -> u64 {
        self.oldest(core, clock).max(self.time_min).max(1)
    }

    fn window_digest(&self, last: u64, times: u8, salt: u64) -> u32 {
        self.in_range(last, times).fold(0, |sum: u32, (_, seen)| sum.wrapping_add(short(mix(seen.digest ^ salt))))
    }

    fn in_range(&self, last: u64, times: u8) -> impl Iterator<Item = (u64, &Seen)> {
        self.recent.range_newest_first(first_time(last, times), last)
    }

    /// Ignores events before this Lamport time.
    pub(super) fn ignore_before(&mut self, ltime: u64) {
        self.time_min = self.time_min.max(ltime);
    }

    /// Memory used by remembered events, in bytes.
    pub(super) const fn remembered_bytes(&self) -> usize {
        self.recent.bytes()
    }

    /// The newest events for a push/pull that fit into `bytes_max` bytes in HashiCorp's encoding, in Lamport order.
    /// HashiCorp's sends its ring buffer in memory order, so that the receiver replays events out of order.
    pub(super) fn newest_in_order(&self, bytes_max: usize) -> Vec<serf::UserEvent<'_>> {
        let mut room = bytes_max;
        let fits = |event: &serf::UserEvent<'_>| {
            let left = room.checked_sub(event_bytes(event));
            room = left.unwrap_or(0);
            left.is_some()
        };
        let mut events: Vec<_> =
            self.recent.newest_first().map(|(time, seen)| seen.event(time)).take_while(fits).collect();
        events.reverse();
        events
    }

    /// The Lamport time of the oldest event that is still delivered.
    fn oldest(&self, core: &Core, clock: LamportClock) -> u64 {
        // Not below the ring's floor: there, duplicates cannot be detected.
        clock.time().saturating_sub(u64::from(core.cfg.serf().event_buffer)).max(self.recent.floor())
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { recent, queue, time_min, settled, settled_at, arrivals } = self;
        recent.fingerprint(to, |Seen { digest: _, name, payload, coalesce }, to| to.put((name, payload, coalesce)));
        queue.fingerprint(to);
        to.put((time_min, settled, settled_at.is_some(), arrivals.len()));
        if let Some(at) = settled_at {
            to.age_up_to(*at, EVENT_RECENT_TIME);
        }
        for (at, ltime) in arrivals {
            to.put(ltime);
            to.age(*at);
        }
    }
}

const fn first_time(last: u64, times: u8) -> u64 {
    (last + 1).saturating_sub(times as u64)
}

/// How long a user event spreads before digests include it. Ours: gossip reaches 99 % of 5000 nodes in about one second
/// at 10 % loss. A shorter time would reconcile what gossip is about to deliver.
const EVENT_SETTLE_TIME: Duration = Duration::from_secs(1);

/// How long the newest event is offered to members whose pings show that they lack it. Ours. Later they learn of it from
/// the windows in the pings of others. A newcomer that ignores older events is offered it, too.
const EVENT_RECENT_TIME: Duration = Duration::from_secs(30);

/// Arrivals that are younger than that. Ours; further ones count as settled.
const ARRIVALS_MAX: usize = 256;

/// User events that one answer of a reconciliation sends. Ours: the next one sends the rest.
const EVENTS_RECONCILED_MAX: usize = 32;

/// The largest payload, in bytes, of a user event with this name at this Lamport time. `None` if even an empty payload
/// is too large.
pub(super) fn payload_max(core: &Core, ltime: u64, name: &str) -> Option<usize> {
    let event = serf::UserEvent { ltime, name, payload: &[], coalesce: false };
    let limit = event_bytes_max(core);
    let head = event_bytes(&event) - raw_bytes(0);
    let encoded = limit.min(core.cfg.message_room()).checked_sub(head).and_then(longest_raw)?;
    Some(encoded.min(limit.checked_sub(name.len())?))
}

/// Checks the size of the event in HashiCorp's encoding, which is the larger one. An event that one node accepts must be
/// deliverable to every member, in either codec. `Config::new` refuses a limit that no packet has room for.
fn check_size(core: &Core, event: &serf::UserEvent<'_>) -> Result<(), SendError> {
    let (bytes, limit) = (event_bytes(event), event_bytes_max(core));
    if bytes > limit { Err(SendError::TooLarge { bytes, limit }) } else { Ok(()) }
}

/// The maximum size, in bytes, of the events in a push/pull: as many as serf remembers, of the configured size.
pub(super) fn push_pull_bytes_max(core: &Core) -> usize {
    (core.cfg.serf().event_buffer as usize).saturating_mul(event_bytes_max(core)).min(EVENT_RING_BYTES_MAX)
}

/// The maximum size, in bytes, of a user event of this node, both plain and encoded.
fn event_bytes_max(core: &Core) -> usize {
    (core.cfg.serf().user_event_bytes_max as usize).min(USER_EVENT_BYTES_MAX)
}

/// The size of a user event in HashiCorp's encoding, in bytes.
fn event_bytes(event: &serf::UserEvent<'_>) -> usize {
    hashicorp::serf_bytes(&serf::Message::UserEvent(*event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_in_hashicorps_encoding_is_as_the_specification_says() {
        let event = |payload| serf::UserEvent { ltime: 17, name: "a", payload, coalesce: false };
        assert_eq!(event_bytes(&event(&[0; 481])), 25 + 1 + 2 + 484);
        assert_eq!(event_bytes(&event(&[0; 481])), 512, "the largest payload of a default event with a one-byte name");
    }

    #[test]
    fn an_event_is_known_by_time_name_and_payload() {
        let mut events = Events::default();
        let event = serf::UserEvent { ltime: 5, name: "a", payload: b"x", coalesce: false };
        assert_eq!(events.note(4, &event), Novelty::New);
        assert_eq!(events.note(4, &serf::UserEvent { coalesce: true, ..event }), Novelty::Repeat);
        assert_eq!(events.note(4, &serf::UserEvent { payload: b"y", ..event }), Novelty::New);
        assert_eq!(events.note(4, &serf::UserEvent { name: "b", ..event }), Novelty::New);
        assert_eq!(events.note(4, &serf::UserEvent { ltime: 6, ..event }), Novelty::New);
        assert_eq!(events.remembered_bytes(), 4 * (2 + ITEM_BYTES));
    }

    #[test]
    fn as_many_of_the_largest_events_are_remembered_as_serf_remembers() {
        let mut events = Events::default();
        let payload = [0; USER_EVENT_BYTES_MAX - 1];
        let event = |ltime| serf::UserEvent { ltime, name: "a", payload: &payload, coalesce: false };
        for ltime in 1..=512 {
            assert_eq!(events.note(0, &event(ltime)), Novelty::New);
        }
        assert_eq!((events.remembered_bytes(), events.recent.floor()), (EVENT_RING_BYTES_MAX, 0));
        assert_eq!(events.note(0, &event(600)), Novelty::New);
        assert_eq!((events.remembered_bytes(), events.recent.floor()), (EVENT_RING_BYTES_MAX, 2));
    }

    #[test]
    fn the_newest_events_that_fit_are_sent() {
        let mut events = Events::default();
        let event = |ltime| serf::UserEvent { ltime, name: "a", payload: &[0; 100], coalesce: false };
        for ltime in 1..=5 {
            events.note(0, &event(ltime));
        }
        let newest = |bytes_max| events.newest_in_order(bytes_max).iter().map(|event| event.ltime).collect::<Vec<_>>();
        let each = event_bytes(&event(5));
        assert_eq!(newest(3 * each), [3, 4, 5]);
        assert_eq!(newest(3 * each - 1), [4, 5]);
        assert_eq!(newest(each - 1), [0; 0]);
    }

    #[test]
    fn two_events_with_one_hash_are_told_apart() {
        let event = serf::UserEvent { ltime: 5, name: "a", payload: b"x", coalesce: false };
        let seen = Seen::new(7, &event);
        assert!(seen.is(7, &event));
        assert!(!seen.is(7, &serf::UserEvent { name: "b", ..event }));
        assert!(!seen.is(7, &serf::UserEvent { payload: b"y", ..event }));
    }
}
