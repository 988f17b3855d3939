//! User events: gossiped to all members, and deduplicated by Lamport time, name and payload.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use bytes::Bytes;

use super::lamport::{Exhausted, LamportClock};
use super::message::{MessageQueue, encode};
use super::recent::{ITEMS_PER_TIME_MAX, Novelty, Recent, Remembered};
use crate::core::Core;
use crate::event::{Event, UserEvent};
use crate::limits::{EVENT_RING_BYTES_MAX, ITEM_BYTES, USER_EVENT_BYTES_MAX};
use crate::msgpack::write::{longest_raw, raw_bytes};
use crate::stats::DropReason;
use crate::wire::{hashicorp, serf};

/// Why a user event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    TooLarge { bytes: usize, limit: usize },
    Exhausted,
}

/// User events: the recent ones, and those to gossip.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    recent: Recent<Seen>,
    pub(super) queue: MessageQueue,
    /// Events before this Lamport time are ignored: they precede our start or join.
    time_min: u64,
}

/// A delivered event, kept to detect duplicates and to send in push/pulls.
#[derive(Clone, Debug)]
struct Seen {
    /// Hash of name and payload, so that few events of one time are compared in full.
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
    /// Sends a user event: delivers it locally at once, and to the others by gossip.
    pub(super) fn send(
        &mut self,
        core: &mut Core,
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
        self.receive(core, clock, &event, &frame);
        Ok(())
    }

    /// Handles a user event from gossip or of this node. `frame` is gossiped on, in the encoding in which it arrived.
    pub(super) fn receive(
        &mut self,
        core: &mut Core,
        clock: &mut LamportClock,
        event: &serf::UserEvent<'_>,
        frame: &[u8],
    ) {
        if self.take(core, clock, event) {
            self.queue.push(&core.cfg, &mut core.stats.events_pruned, frame, event_bytes(event));
        }
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
        let digest = foldhash::fast::FixedState::default().hash_one((event.name, event.payload));
        self.recent.note(oldest, event.ltime, |seen| seen.is(digest, event), || Seen::new(digest, event))
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
}

/// The largest payload, in bytes, of a user event with this name at this Lamport time. `None` if even an empty payload
/// is too large.
pub(super) fn payload_max(core: &Core, ltime: u64, name: &str) -> Option<usize> {
    let event = serf::UserEvent { ltime, name, payload: &[], coalesce: false };
    let limit = event_bytes_max(core);
    let head = event_bytes(&event) - raw_bytes(0);
    let encoded = limit.min(core.cfg.message_room()).checked_sub(head).and_then(longest_raw)?;
    Some(encoded.min(limit.checked_sub(name.len())?))
}

/// Checks the size of name plus payload, of the event in HashiCorp's encoding, and whether it fits into a packet. An
/// event that one node accepts must be deliverable to every member, in either codec.
fn check_size(core: &Core, event: &serf::UserEvent<'_>) -> Result<(), SendError> {
    let limit = event_bytes_max(core);
    let plain = event.name.len() + event.payload.len();
    let encoded = event_bytes(event);
    let packet = core.cfg.message_room();
    if plain > limit || encoded > limit {
        return Err(SendError::TooLarge { bytes: plain.max(encoded), limit });
    }
    if encoded > packet {
        return Err(SendError::TooLarge { bytes: encoded, limit: packet });
    }
    Ok(())
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
}
