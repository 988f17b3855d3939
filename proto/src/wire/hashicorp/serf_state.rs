//! Serf's part of a push/pull: the clocks, the buffer of recent user events with nil for empty slots, the names of
//! members that left, and the Lamport time of every member. The keys are in byte order, so related fields are not
//! adjacent.

use alloc::vec::Vec;

use super::form::{BytesOrNil, Text};
use super::message::{Body, message};
use super::serf::STATE;
use crate::limits::{NAME_BYTES_MAX, PUSH_PULL_EVENTS_MAX, PUSH_PULL_NODES_MAX};
use crate::msgpack::write::{array, map, nil, raw, uint};
use crate::msgpack::{Reader, Sink as _};
use crate::wire::serf::{Clocks, MemberTime, UserEvent};
use crate::wire::{DecodeError, Full};

const EVENT_LTIME: &[u8] = b"EventLTime";
const EVENTS: &[u8] = b"Events";
const LEFT_MEMBERS: &[u8] = b"LeftMembers";
const LTIME: &[u8] = b"LTime";
const QUERY_LTIME: &[u8] = b"QueryLTime";
const STATUS_LTIMES: &[u8] = b"StatusLTimes";

/// The keys in the order of Go's struct.
const DECLARED: &[&[u8]] = &[LTIME, STATUS_LTIMES, LEFT_MEMBERS, EVENT_LTIME, EVENTS, QUERY_LTIME];
const SLOT_DECLARED: &[&[u8]] = &[LTIME, EVENTS];

/// Encodes Serf's part. `events` are sorted by time; one slot is written per time, and no empty slots. The format has
/// no field for whether an event may be coalesced.
pub fn push_serf_state<'m>(
    out: &mut Vec<u8>,
    clocks: Clocks,
    events: &[UserEvent<'_>],
    members: impl Iterator<Item = MemberTime<'m>> + Clone,
) {
    let slots = || events.chunk_by(|a, b| a.ltime == b.ltime);
    begin_serf_state(out, clocks.event, count(slots().count()));
    for slot in slots() {
        push_slot(out, slot);
    }
    let left = members.clone().filter(|member| member.left);
    begin_left(out, clocks.member, count(left.clone().count()));
    left.for_each(|member| push_left(out, member.node));
    begin_times(out, clocks.query, count(members.clone().count()));
    members.for_each(|member| push_time(out, member.node, member.ltime));
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Begins Serf's part; `slots` slots follow.
pub fn begin_serf_state(out: &mut Vec<u8>, event_clock: u64, slots: u32) {
    write(out, |out| {
        out.put(&[STATE])?;
        map(out, DECLARED.len())?;
        raw(out, EVENT_LTIME)?;
        uint(out, event_clock)?;
        raw(out, EVENTS)?;
        array(out, slots as usize)
    });
}

/// Appends an empty slot.
pub fn push_hole(out: &mut Vec<u8>) {
    write(out, nil);
}

/// Appends a slot with the events of one time; an empty slot if there are none.
pub fn push_slot(out: &mut Vec<u8>, events: &[UserEvent<'_>]) {
    write(out, |out| {
        let Some(first) = events.first() else { return nil(out) };
        map(out, SLOT_DECLARED.len())?;
        raw(out, EVENTS)?;
        array(out, events.len())?;
        for &UserEvent { name, payload, .. } in events {
            SlotEvent { name, payload }.put(out)?;
        }
        raw(out, LTIME)?;
        uint(out, first.ltime)
    });
}

/// Follows the slots; begins the list of `left` names.
pub fn begin_left(out: &mut Vec<u8>, member_clock: u64, left: u32) {
    write(out, |out| {
        raw(out, LTIME)?;
        uint(out, member_clock)?;
        raw(out, LEFT_MEMBERS)?;
        array(out, left as usize)
    });
}

/// Appends the name of a member that left.
pub fn push_left(out: &mut Vec<u8>, node: &[u8]) {
    write(out, |out| raw(out, node));
}

/// Follows the names; begins the map of the times of `members` members, including those that left.
pub fn begin_times(out: &mut Vec<u8>, query_clock: u64, members: u32) {
    write(out, |out| {
        raw(out, QUERY_LTIME)?;
        uint(out, query_clock)?;
        raw(out, STATUS_LTIMES)?;
        map(out, members as usize)
    });
}

/// Appends the Lamport time of a member.
pub fn push_time(out: &mut Vec<u8>, node: &[u8], ltime: u64) {
    write(out, |out| raw(out, node).and_then(|()| uint(out, ltime)));
}

fn write(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>) -> Result<(), Full>) {
    let written = put(out);
    debug_assert_eq!(written, Ok(()), "a vector has room");
}

/// Serf's part of a push/pull, fully validated.
#[derive(Clone, Copy, Debug)]
pub struct SerfState<'a> {
    /// The sender's clocks.
    pub clocks: Clocks,
    slots: (usize, Reader<'a>),
    left: (usize, Reader<'a>),
    times: (usize, Reader<'a>),
}

impl<'a> SerfState<'a> {
    /// Validates Serf's part, including its type byte. Everything is checked first, so that a damaged state changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// If it is empty, malformed, or of another type.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        match body.split_first() {
            None => Err(DecodeError::Empty),
            Some((&STATE, body)) => Self::take(&mut Reader::new(body)).ok_or(DecodeError::Malformed),
            Some(_) => Err(DecodeError::Unknown),
        }
    }

    fn take(r: &mut Reader<'a>) -> Option<Self> {
        let none = (0, Reader::new(&[]));
        let clocks = Clocks { member: 0, event: 0, query: 0 };
        let mut read = Self { clocks, slots: none, left: none, times: none };
        let mut fields = r.fields(DECLARED)?;
        while let Some(key) = fields.next(r)? {
            match key {
                EVENT_LTIME => read.clocks.event = r.uint()?,
                EVENTS => read.slots = each(r, Reader::array, |r| checked_slot(r))?,
                LTIME => read.clocks.member = r.uint()?,
                LEFT_MEMBERS => read.left = each(r, Reader::array, |r| r.bytes().map(drop))?,
                QUERY_LTIME => read.clocks.query = r.uint()?,
                STATUS_LTIMES => read.times = each(r, Reader::map, |r| time(r).map(drop))?,
                _ => r.skip()?,
            }
        }
        (read.event_count()? <= PUSH_PULL_EVENTS_MAX).then_some(read)
    }

    /// The Lamport times of all members: first those that left, by name, then the others in the sender's order, as
    /// `MergeRemoteState` in serf processes them. A member that left and has no time gets time 0. Invalid names are
    /// skipped.
    pub fn members(&self) -> impl Iterator<Item = MemberTime<'a>> + use<'a> {
        let mut left: Vec<_> = names(self.left).map(|node| MemberTime { node, ltime: 0, left: true }).collect();
        // Sorted for the binary search below; a hostile list of names must not cost quadratic time.
        left.sort_unstable_by_key(|member| member.node);
        left.dedup_by_key(|member| member.node);
        if !left.is_empty() {
            for (node, ltime) in times(self.times) {
                if let Ok(at) = find(&left, node) {
                    left[at].ltime = ltime;
                }
            }
        }
        let mut others = times(self.times);
        let mut given = 0;
        core::iter::from_fn(move || {
            if let Some(&member) = left.get(given) {
                given += 1;
                return Some(member);
            }
            let (node, ltime) = others.find(|(node, _)| left.is_empty() || find(&left, node).is_err())?;
            Some(MemberTime { node, ltime, left: false })
        })
    }

    fn event_count(&self) -> Option<usize> {
        let (count, mut slots) = self.slots;
        (0..count).try_fold(0_usize, |sum, _| Some(sum + slot(&mut slots)?.1))
    }

    /// The buffered user events, in the sender's order. Never coalesced, because the format does not carry the flag.
    pub fn events(&self) -> impl Iterator<Item = UserEvent<'a>> + use<'a> {
        let (count, mut slots) = self.slots;
        (0..count).map_while(move |_| slot(&mut slots)).flat_map(|(ltime, count, mut events)| {
            (0..count).map_while(move |_| {
                let SlotEvent { name, payload } = SlotEvent::take(&mut events)?;
                Some(UserEvent { ltime, name, payload, coalesce: false })
            })
        })
    }
}

fn find(members: &[MemberTime<'_>], node: &[u8]) -> Result<usize, usize> {
    members.binary_search_by_key(&node, |member| member.node)
}

/// Validates a list of at most [`PUSH_PULL_NODES_MAX`] values and skips it. Returns the count, and a reader at the
/// first value.
fn each<'a>(
    r: &mut Reader<'a>,
    begin: fn(&mut Reader<'a>) -> Option<usize>,
    check: impl Fn(&mut Reader<'a>) -> Option<()>,
) -> Option<(usize, Reader<'a>)> {
    let count = begin(r).filter(|count| *count <= PUSH_PULL_NODES_MAX)?;
    let values = *r;
    for _ in 0..count {
        check(r)?;
    }
    Some((count, values))
}

const fn can_be_a_name(node: &[u8]) -> bool {
    !node.is_empty() && node.len() <= NAME_BYTES_MAX
}

fn names<'a>((count, mut r): (usize, Reader<'a>)) -> impl Iterator<Item = &'a [u8]> {
    (0..count).map_while(move |_| r.bytes()).filter(|node| can_be_a_name(node))
}

fn times<'a>((count, mut r): (usize, Reader<'a>)) -> impl Iterator<Item = (&'a [u8], u64)> + use<'a> {
    (0..count).map_while(move |_| time(&mut r)).filter(|(node, _)| can_be_a_name(node))
}

fn time<'a>(r: &mut Reader<'a>) -> Option<(&'a [u8], u64)> {
    Some((r.bytes()?, r.uint()?))
}

/// The time of a slot, and its events; an empty slot has none.
fn slot<'a>(r: &mut Reader<'a>) -> Option<(u64, usize, Reader<'a>)> {
    let (mut ltime, mut events) = (0, (0, Reader::new(&[])));
    let mut fields = r.fields(SLOT_DECLARED)?;
    while let Some(key) = fields.next(r)? {
        match key {
            EVENTS => events = each(r, Reader::array, |r| SlotEvent::take(r).map(drop))?,
            LTIME => ltime = r.uint()?,
            _ => r.skip()?,
        }
    }
    Some((ltime, events.0, events.1))
}

fn checked_slot(r: &mut Reader<'_>) -> Option<()> {
    slot(r).map(drop)
}

message! {
    /// An event of a slot, whose time is the slot's.
    struct SlotEvent<'a> {
        name: &'a str = b"Name" as Text,
        payload: &'a [u8] = b"Payload" as BytesOrNil,
    }
}
