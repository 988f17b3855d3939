//! User events: told once to everybody, known by their time, name and payload.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use bytes::Bytes;

use super::Serf;
use super::lamport::Exhausted;
use super::query::encode;
use crate::core::Core;
use crate::event::{Event, UserEvent};
use crate::limits::{EVENT_RING_BYTES_MAX, ITEM_BYTES, USER_EVENT_BYTES_MAX};
use crate::msgpack::write::{longest_raw, raw_bytes};
use crate::stats::DropReason;
use crate::wire::{hashicorp, serf};

/// Why a user event cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    TooLarge { bytes: usize, limit: usize },
    Exhausted,
}

/// The events of recent times, to know one that comes again: as many times as serf's ring has slots, and as many bytes as
/// [`EVENT_RING_BYTES_MAX`].
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    times: BTreeMap<u64, Vec<Seen>>,
    bytes: usize,
    /// Of events before this time some were forgotten to make room.
    floor: u64,
}

#[derive(Clone, Debug)]
struct Seen {
    /// Of name and payload, so that few of one time need to be compared.
    digest: u64,
    name: Box<str>,
    payload: Bytes,
    coalesce: bool,
}

impl Seen {
    fn is(&self, digest: u64, event: &serf::UserEvent<'_>) -> bool {
        self.digest == digest && *self.name == *event.name && self.payload == event.payload
    }

    fn event(&self, ltime: u64) -> serf::UserEvent<'_> {
        serf::UserEvent { ltime, name: &self.name, payload: &self.payload, coalesce: self.coalesce }
    }
}

/// What the ring says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Novelty {
    New,
    Repeat,
    /// Too many events share its time.
    Crowded,
    /// It is older than everything that there is room for.
    Old,
}

impl Ring {
    /// Takes note of an event, and forgets those before `oldest`.
    fn note(&mut self, oldest: u64, event: &serf::UserEvent<'_>) -> Novelty {
        while self.oldest().is_some_and(|time| time < oldest) {
            self.forget_oldest();
        }
        let digest = foldhash::fast::FixedState::default().hash_one((event.name, event.payload));
        let seen = self.times.get(&event.ltime).map_or(&[][..], Vec::as_slice);
        if seen.iter().any(|seen| seen.is(digest, event)) {
            return Novelty::Repeat;
        }
        if seen.len() >= EVENTS_PER_TIME_MAX {
            return Novelty::Crowded;
        }
        let bytes = kept_bytes(event);
        while self.bytes + bytes > EVENT_RING_BYTES_MAX {
            if self.oldest().is_none_or(|time| time >= event.ltime) {
                return Novelty::Old;
            }
            self.floor = self.floor.max(self.forget_oldest() + 1);
        }
        self.bytes += bytes;
        let payload = Bytes::copy_from_slice(event.payload);
        let seen = Seen { digest, name: event.name.into(), payload, coalesce: event.coalesce };
        self.times.entry(event.ltime).or_default().push(seen);
        Novelty::New
    }

    fn oldest(&self) -> Option<u64> {
        self.times.first_key_value().map(|(time, _)| *time)
    }

    /// Forgets the events of the oldest time, and says which that was.
    fn forget_oldest(&mut self) -> u64 {
        let Some((time, seen)) = self.times.pop_first() else { return 0 };
        self.bytes -= seen.iter().map(|seen| kept_bytes(&seen.event(time))).sum::<usize>();
        time
    }

    /// The newest events that together take no more than `bytes_max` in HashiCorp's encoding, by time. serf sends its ring as it
    /// lies, and so replays events out of order.
    pub(super) fn newest_in_order(&self, bytes_max: usize) -> Vec<serf::UserEvent<'_>> {
        let mut room = bytes_max;
        let newest = self.times.iter().rev().flat_map(|(time, seen)| seen.iter().rev().map(|seen| seen.event(*time)));
        let fits = |event: &serf::UserEvent<'_>| {
            let left = room.checked_sub(event_bytes(event));
            room = left.unwrap_or(0);
            left.is_some()
        };
        let mut events: Vec<_> = newest.take_while(fits).collect();
        events.reverse();
        events
    }

    /// What is remembered, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

const fn kept_bytes(event: &serf::UserEvent<'_>) -> usize {
    event.name.len() + event.payload.len() + ITEM_BYTES
}

impl Serf {
    /// Sends a user event. It is delivered here at once and to the others by gossip.
    pub(crate) fn user_event(
        &mut self,
        core: &mut Core,
        name: &str,
        payload: &[u8],
        coalesce: bool,
    ) -> Result<(), SendError> {
        let ltime = self.event_clock.check().map_err(|Exhausted| SendError::Exhausted)?;
        let event = serf::UserEvent { ltime, name, payload, coalesce };
        check_size(core, &event)?;
        let frame = encode(core.codec_kept(), &serf::Message::UserEvent(event));
        _ = self.event_clock.tick();
        core.stats.user_events_sent += 1;
        self.user_event_in(core, &event, &frame);
        Ok(())
    }

    /// The largest payload that a user event of this name may have now; `None` when not even an empty one may.
    pub(crate) fn user_event_payload_max(&self, core: &Core, name: &str) -> Option<usize> {
        let event = serf::UserEvent { ltime: self.event_clock.time(), name, payload: &[], coalesce: false };
        let limit = (core.cfg.user_event_bytes_max as usize).min(USER_EVENT_BYTES_MAX);
        let head = event_bytes(&event) - raw_bytes(0);
        let encoded = limit.min(packet_room(core)).checked_sub(head).and_then(longest_raw)?;
        Some(encoded.min(limit.checked_sub(name.len())?))
    }

    /// Takes a user event from gossip, or our own. `frame` is what others are told: the bytes as they came.
    pub(super) fn user_event_in(&mut self, core: &mut Core, event: &serf::UserEvent<'_>, frame: &[u8]) {
        if !self.take_event(core, event) {
            return;
        }
        // A peer may send larger packets than we do. What fits into none of ours would stand in the way of all the rest.
        if frame.len().max(event_bytes(event)) > packet_room(core) {
            core.stats.events_pruned.too_large += 1;
            return;
        }
        self.events.push(Bytes::copy_from_slice(frame));
        core.stats.events_pruned.full += self.events.limit(core.cfg.queue_depth_max, packet_room(core));
    }

    /// Takes a user event from a push/pull: others are not told, they will exchange states themselves.
    pub(super) fn replayed_event(&mut self, core: &mut Core, event: &serf::UserEvent<'_>) {
        self.take_event(core, event);
    }

    /// The time of the oldest event that is still told.
    pub(super) fn oldest_event(&self, core: &Core) -> u64 {
        self.event_clock.time().saturating_sub(u64::from(core.cfg.event_buffer)).max(self.ring.floor)
    }

    /// Delivers an event unless it is known or too old to tell (`handleUserEvent` in serf). Returns whether it was delivered.
    fn take_event(&mut self, core: &mut Core, event: &serf::UserEvent<'_>) -> bool {
        // HashiCorp's nodes send none that is larger, whatever their configuration says.
        if event.name.len() + event.payload.len() > USER_EVENT_BYTES_MAX {
            core.stats.drop(DropReason::Limit);
            return false;
        }
        if self.event_clock.witness(core.now, event.ltime).is_err() {
            core.stats.drop(DropReason::Absurd);
            return false;
        }
        let oldest = self.oldest_event(core);
        if event.ltime < self.event_min {
            return false;
        }
        if event.ltime < oldest {
            core.stats.drop_expected(DropReason::OldEvent);
            return false;
        }
        match self.ring.note(oldest, event) {
            Novelty::Repeat => {
                core.stats.user_event_repeats += 1;
                false
            }
            Novelty::Crowded => {
                core.stats.drop(DropReason::Limit);
                false
            }
            Novelty::Old => {
                core.stats.drop_expected(DropReason::OldEvent);
                false
            }
            Novelty::New => {
                core.stats.user_events += 1;
                core.events.push(Event::User(UserEvent {
                    ltime: event.ltime,
                    name: event.name.into(),
                    payload: Bytes::copy_from_slice(event.payload),
                    coalesce: event.coalesce,
                }));
                true
            }
        }
    }
}

/// Name and payload together, the event as HashiCorp's nodes encode it, and whether it fits into a packet at all: what one
/// node accepts must reach every member, whoever made it.
fn check_size(core: &Core, event: &serf::UserEvent<'_>) -> Result<(), SendError> {
    let limit = (core.cfg.user_event_bytes_max as usize).min(USER_EVENT_BYTES_MAX);
    let plain = event.name.len() + event.payload.len();
    let encoded = event_bytes(event);
    let packet = packet_room(core);
    if plain > limit || encoded > limit {
        return Err(SendError::TooLarge { bytes: plain.max(encoded), limit });
    }
    if encoded > packet {
        return Err(SendError::TooLarge { bytes: encoded, limit: packet });
    }
    Ok(())
}

/// What the events in a push/pull may take: as many as serf remembers, of the size that we are configured for.
pub(super) fn events_told_bytes_max(core: &Core) -> usize {
    let event = (core.cfg.user_event_bytes_max as usize).min(USER_EVENT_BYTES_MAX);
    (core.cfg.event_buffer as usize).saturating_mul(event).min(EVENT_RING_BYTES_MAX)
}

/// The room for one event in a packet of ours.
pub(super) fn packet_room(core: &Core) -> usize {
    core.cfg.message_room()
}

/// The size of a user event in HashiCorp's encoding.
fn event_bytes(event: &serf::UserEvent<'_>) -> usize {
    hashicorp::serf_bytes(&serf::Message::UserEvent(*event))
}

/// How many events the ring can hold.
pub(super) fn ring_events_max(core: &Core) -> usize {
    (core.cfg.event_buffer as usize).saturating_mul(EVENTS_PER_TIME_MAX)
}

/// How many events may share one time. Ours: serf has no bound, so that a peer can grow one slot without end.
const EVENTS_PER_TIME_MAX: usize = 64;

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
    fn the_ring_knows_an_event_by_time_name_and_payload() {
        let mut ring = Ring::default();
        let event = serf::UserEvent { ltime: 5, name: "a", payload: b"x", coalesce: false };
        assert_eq!(ring.note(4, &event), Novelty::New);
        assert_eq!(ring.note(4, &serf::UserEvent { coalesce: true, ..event }), Novelty::Repeat);
        assert_eq!(ring.note(4, &serf::UserEvent { payload: b"y", ..event }), Novelty::New);
        assert_eq!(ring.note(4, &serf::UserEvent { ltime: 6, ..event }), Novelty::New);
        assert_eq!(ring.note(6, &serf::UserEvent { ltime: 9, ..event }), Novelty::New, "time 5 is forgotten");
        let times: Vec<u64> = ring.newest_in_order(usize::MAX).iter().map(|event| event.ltime).collect();
        assert_eq!(times, [6, 9]);
    }

    #[test]
    fn one_time_holds_a_bounded_number_of_events() {
        let mut ring = Ring::default();
        for n in 0..EVENTS_PER_TIME_MAX {
            let payload = [u8::try_from(n).unwrap()];
            ring.note(4, &serf::UserEvent { ltime: 5, name: "a", payload: &payload, coalesce: false });
        }
        let event = serf::UserEvent { ltime: 5, name: "a", payload: b"more", coalesce: false };
        assert_eq!(ring.note(4, &event), Novelty::Crowded);
    }

    #[test]
    fn the_ring_holds_a_bounded_number_of_bytes_and_takes_nothing_as_new_that_it_may_have_forgotten() {
        let mut ring = Ring::default();
        let payload = [0; USER_EVENT_BYTES_MAX - 1];
        let event = |ltime| serf::UserEvent { ltime, name: "a", payload: &payload, coalesce: false };
        for ltime in 1..=512 {
            assert_eq!(ring.note(0, &event(ltime)), Novelty::New);
        }
        assert_eq!((ring.bytes(), ring.oldest(), ring.floor), (EVENT_RING_BYTES_MAX, Some(1), 0));
        assert_eq!(ring.note(0, &event(0)), Novelty::Old, "everything else is newer");
        assert_eq!(ring.note(0, &event(600)), Novelty::New);
        assert_eq!((ring.bytes(), ring.oldest(), ring.floor), (EVENT_RING_BYTES_MAX, Some(2), 2));
        let small = serf::UserEvent { ltime: 601, name: "", payload: b"", coalesce: false };
        assert_eq!(ring.note(0, &small), Novelty::New);
        assert_eq!((ring.oldest(), ring.floor), (Some(3), 3));
        assert_eq!(ring.note(700, &small), Novelty::New);
        assert_eq!(ring.bytes(), ITEM_BYTES);
    }

    #[test]
    fn of_the_ring_the_newest_events_are_told_that_have_room() {
        let mut ring = Ring::default();
        let event = |ltime| serf::UserEvent { ltime, name: "a", payload: &[0; 100], coalesce: false };
        for ltime in 1..=5 {
            ring.note(0, &event(ltime));
        }
        let told = |bytes_max| ring.newest_in_order(bytes_max).iter().map(|event| event.ltime).collect::<Vec<_>>();
        let each = event_bytes(&event(5));
        assert_eq!(told(3 * each), [3, 4, 5]);
        assert_eq!(told(3 * each - 1), [4, 5]);
        assert_eq!(told(each - 1), [0; 0]);
    }
}
