//! User events: told once to everybody, known by their time, name and payload.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Serf;
use super::lamport::Exhausted;
use super::query::{encode, longest};
use crate::core::Core;
use crate::event::{Event, UserEvent};
use crate::limits::USER_EVENT_BYTES_MAX;
use crate::stats::DropReason;
use crate::wire::serf;

/// Why a user event cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    TooLarge { bytes: usize, limit: usize },
    Exhausted,
}

/// The events of recent times, to know one that comes again.
///
/// A ring by time, as serf's, but only the slots in use take memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    slots: BTreeMap<u32, RingSlot>,
}

#[derive(Clone, Debug)]
struct RingSlot {
    ltime: u64,
    seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    name: Box<str>,
    payload: Bytes,
    coalesce: bool,
}

/// What the ring says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Novelty {
    New,
    Repeat,
    /// Too many events share its time.
    Crowded,
}

impl Ring {
    fn note(&mut self, size: u32, event: &serf::UserEvent<'_>) -> Novelty {
        let slot = u32::try_from(event.ltime % u64::from(size)).unwrap_or_default();
        let fresh = || RingSlot { ltime: event.ltime, seen: Vec::new() };
        let slot = self.slots.entry(slot).or_insert_with(fresh);
        if slot.ltime != event.ltime {
            *slot = fresh();
        }
        if slot.seen.iter().any(|seen| &*seen.name == event.name && seen.payload == event.payload) {
            return Novelty::Repeat;
        }
        if slot.seen.len() >= EVENTS_PER_TIME_MAX {
            return Novelty::Crowded;
        }
        let payload = Bytes::copy_from_slice(event.payload);
        slot.seen.push(Seen { name: event.name.into(), payload, coalesce: event.coalesce });
        Novelty::New
    }

    /// Everything in the ring, by time. serf sends its ring as it lies, and so replays events out of order.
    pub(super) fn events_in_order(&self) -> Vec<serf::UserEvent<'_>> {
        let mut slots: Vec<&RingSlot> = self.slots.values().collect();
        slots.sort_unstable_by_key(|slot| slot.ltime);
        let events = slots.into_iter().flat_map(|slot| {
            slot.seen.iter().map(|seen| serf::UserEvent {
                ltime: slot.ltime,
                name: &seen.name,
                payload: &seen.payload,
                coalesce: seen.coalesce,
            })
        });
        events.collect()
    }
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
        // An empty payload takes one byte.
        let head = hashicorp_bytes(&event) - 1;
        let encoded = limit.min(packet_room(core)).checked_sub(head).and_then(longest)?;
        Some(encoded.min(limit.checked_sub(name.len())?))
    }

    /// Takes a user event from gossip, or our own. `frame` is what others are told: the bytes as they came.
    pub(super) fn user_event_in(&mut self, core: &mut Core, event: &serf::UserEvent<'_>, frame: &[u8]) {
        if !self.take_event(core, event) {
            return;
        }
        // A peer may send larger packets than we do. What fits into none of ours would stand in the way of all the rest.
        if frame.len().max(hashicorp_bytes(event)) > packet_room(core) {
            core.stats.events_pruned.too_large += 1;
            return;
        }
        self.events.push(Bytes::copy_from_slice(frame));
        while self.events.len() > core.cfg.queue_depth_max as usize {
            self.events.prune();
            core.stats.events_pruned.full += 1;
        }
    }

    /// Takes a user event from a push/pull: others are not told, they will exchange states themselves.
    pub(super) fn replayed_event(&mut self, core: &mut Core, event: &serf::UserEvent<'_>) {
        self.take_event(core, event);
    }

    /// The time of the oldest event that is still told.
    pub(super) fn oldest_event(&self, core: &Core) -> u64 {
        self.event_clock.time().saturating_sub(u64::from(core.cfg.event_buffer))
    }

    /// Delivers an event unless it is known or too old to tell (`handleUserEvent` in serf). Returns whether it was delivered.
    fn take_event(&mut self, core: &mut Core, event: &serf::UserEvent<'_>) -> bool {
        if self.event_clock.witness(core.now, event.ltime).is_err() {
            core.stats.drop(DropReason::Absurd);
            return false;
        }
        let size = core.cfg.event_buffer;
        let oldest = self.oldest_event(core);
        if event.ltime < self.event_min {
            return false;
        }
        if event.ltime < oldest {
            core.stats.drop(DropReason::OldEvent);
            return false;
        }
        match self.ring.note(size, event) {
            Novelty::Repeat => {
                core.stats.user_event_repeats += 1;
                false
            }
            Novelty::Crowded => {
                core.stats.drop(DropReason::Limit);
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
    let encoded = hashicorp_bytes(event);
    let packet = packet_room(core);
    if plain > limit || encoded > limit {
        return Err(SendError::TooLarge { bytes: plain.max(encoded), limit });
    }
    if encoded > packet {
        return Err(SendError::TooLarge { bytes: encoded, limit: packet });
    }
    Ok(())
}

/// The room for one event in a packet of ours.
pub(super) fn packet_room(core: &Core) -> usize {
    core.cfg.message_room()
}

/// The size of a user event in HashiCorp's encoding: four keys, and integers and strings with the shortest heads.
fn hashicorp_bytes(event: &serf::UserEvent<'_>) -> usize {
    let string = |len: usize| match len {
        0..32 => len + 1,
        32..0x1_0000 => len + 3,
        _ => len + 5,
    };
    let integer = match event.ltime {
        0..0x80 => 1,
        0x80..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    };
    25 + integer + string(event.name.len()) + string(event.payload.len())
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
        assert_eq!(hashicorp_bytes(&event(&[0; 481])), 25 + 1 + 2 + 484);
        assert_eq!(
            hashicorp_bytes(&event(&[0; 481])),
            512,
            "the largest payload of a default event with a one-byte name"
        );
    }

    #[test]
    fn the_ring_knows_an_event_by_time_name_and_payload() {
        let mut ring = Ring::default();
        let event = serf::UserEvent { ltime: 5, name: "a", payload: b"x", coalesce: false };
        assert_eq!(ring.note(4, &event), Novelty::New);
        assert_eq!(ring.note(4, &serf::UserEvent { coalesce: true, ..event }), Novelty::Repeat);
        assert_eq!(ring.note(4, &serf::UserEvent { payload: b"y", ..event }), Novelty::New);
        assert_eq!(ring.note(4, &serf::UserEvent { ltime: 6, ..event }), Novelty::New);
        assert_eq!(ring.note(4, &serf::UserEvent { ltime: 9, ..event }), Novelty::New, "takes the slot of time 5");
        let times: Vec<u64> = ring.events_in_order().iter().map(|event| event.ltime).collect();
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
}
