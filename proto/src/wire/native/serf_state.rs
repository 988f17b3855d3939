//! Serf's part of a push/pull in the native codec: schema, three clocks, number of members, and for each its Lamport
//! time (shifted left by one; the lowest bit is set if it left) and name; then the number of events and the events.

use alloc::vec::Vec;

use super::varint::{push_varint, take_bytes, take_varint};
use super::{SCHEMA, schema};
use crate::limits::{NAME_BYTES_MAX, PUSH_PULL_EVENTS_MAX, PUSH_PULL_NODES_MAX};
use crate::wire::{DecodeError, serf};

/// Begins Serf's part; members and then events follow.
pub fn begin_serf_state(out: &mut Vec<u8>, clocks: serf::Clocks, members: u32) {
    out.push(SCHEMA);
    for time in [clocks.member, clocks.event, clocks.query, u64::from(members)] {
        push_varint(out, time);
    }
}

/// Appends a member.
pub fn push_member_time(out: &mut Vec<u8>, member: serf::MemberTime<'_>) {
    push_varint(out, (member.ltime << 1) | u64::from(member.left));
    push_varint(out, member.node.len() as u64);
    out.extend_from_slice(member.node);
}

/// Appends the number of events that follow.
pub fn begin_events(out: &mut Vec<u8>, events: u32) {
    push_varint(out, u64::from(events));
}

/// Appends an event.
pub fn push_event(out: &mut Vec<u8>, event: &serf::UserEvent<'_>) {
    let body = postcard::to_allocvec(event);
    out.extend_from_slice(&body.expect("a vector has room for any event"));
}

/// Serf's part of a push/pull, fully validated.
#[derive(Clone, Copy, Debug)]
pub struct SerfState<'a> {
    /// The sender's clocks.
    pub clocks: serf::Clocks,
    members: (usize, &'a [u8]),
    events: (usize, &'a [u8]),
}

impl<'a> SerfState<'a> {
    /// Validates everything, so that a damaged state changes nothing.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::take(schema(body)?).ok_or(DecodeError::Malformed)
    }

    fn take(mut rest: &'a [u8]) -> Option<Self> {
        let rest = &mut rest;
        let clocks = serf::Clocks { member: take_varint(rest)?, event: take_varint(rest)?, query: take_varint(rest)? };
        let count = take_count(rest, PUSH_PULL_NODES_MAX)?;
        let members = (count, *rest);
        for _ in 0..count {
            take_member(rest)?;
        }
        let count = take_count(rest, PUSH_PULL_EVENTS_MAX)?;
        let events = (count, *rest);
        for _ in 0..count {
            take_event(rest)?;
        }
        rest.is_empty().then_some(Self { clocks, members, events })
    }

    /// The Lamport times of the members.
    pub fn members(&self) -> impl Iterator<Item = serf::MemberTime<'a>> + use<'a> {
        let (count, mut rest) = self.members;
        (0..count).map_while(move |_| take_member(&mut rest))
    }

    /// The buffered user events.
    pub fn events(&self) -> impl Iterator<Item = serf::UserEvent<'a>> + use<'a> {
        let (count, mut rest) = self.events;
        (0..count).map_while(move |_| take_event(&mut rest))
    }
}

fn take_count(rest: &mut &[u8], most: usize) -> Option<usize> {
    usize::try_from(take_varint(rest)?).ok().filter(|count| *count <= most)
}

fn take_member<'a>(rest: &mut &'a [u8]) -> Option<serf::MemberTime<'a>> {
    let time = take_varint(rest)?;
    let node = take_bytes(rest).filter(|node| (1..=NAME_BYTES_MAX).contains(&node.len()))?;
    Some(serf::MemberTime { node, ltime: time >> 1, left: time & 1 == 1 })
}

fn take_event<'a>(rest: &mut &'a [u8]) -> Option<serf::UserEvent<'a>> {
    let (event, tail) = postcard::take_from_bytes(rest).ok()?;
    *rest = tail;
    Some(event)
}
