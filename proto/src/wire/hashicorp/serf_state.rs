//! Serf's part of a push/pull: the clocks, the ring of recent user events with holes where there are none, the names of those
//! who left, and the time of every member. Its keys come in the order of their bytes, so what belongs together does not
//! stand together.

use alloc::vec::Vec;

use super::reader::Reader;
use super::serf::STATE;
use super::writer::{Out, array, map, nil, raw, raw_or_nil, uint};
use crate::limits::{NAME_BYTES_MAX, PUSH_PULL_EVENTS_MAX, PUSH_PULL_NODES_MAX};
use crate::wire::serf::{Clocks, MemberTime, UserEvent};
use crate::wire::{DecodeError, Full};

/// Writes all of Serf's part. `events` are in the order of their times; one slot is written for each time, and no holes.
/// Whether an event may be coalesced is not told here.
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

/// Starts Serf's part: `slots` slots and holes follow.
pub fn begin_serf_state(out: &mut Vec<u8>, event_clock: u64, slots: u32) {
    written(put_begin(out, event_clock, slots));
}

fn put_begin(out: &mut impl Out, event_clock: u64, slots: u32) -> Result<(), Full> {
    out.put(&[STATE])?;
    out.put(b"\x86\xaaEventLTime")?;
    uint(out, event_clock)?;
    out.put(b"\xa6Events")?;
    array(out, slots as usize)
}

/// Adds a slot of the ring without events.
pub fn push_hole(out: &mut Vec<u8>) {
    written(nil(out));
}

/// Adds the events of one time; none are a hole.
pub fn push_slot(out: &mut Vec<u8>, events: &[UserEvent<'_>]) {
    written(put_slot(out, events));
}

fn put_slot(out: &mut impl Out, events: &[UserEvent<'_>]) -> Result<(), Full> {
    let Some(first) = events.first() else { return nil(out) };
    out.put(b"\x82\xa6Events")?;
    array(out, events.len())?;
    for event in events {
        out.put(b"\x82\xa4Name")?;
        raw(out, event.name.as_bytes())?;
        out.put(b"\xa7Payload")?;
        raw_or_nil(out, event.payload)?;
    }
    out.put(b"\xa5LTime")?;
    uint(out, first.ltime)
}

/// After the slots: `left` names of those who left follow.
pub fn begin_left(out: &mut Vec<u8>, member_clock: u64, left: u32) {
    written(put_begin_left(out, member_clock, left));
}

fn put_begin_left(out: &mut impl Out, member_clock: u64, left: u32) -> Result<(), Full> {
    out.put(b"\xa5LTime")?;
    uint(out, member_clock)?;
    out.put(b"\xabLeftMembers")?;
    array(out, left as usize)
}

/// Adds the name of one who left.
pub fn push_left(out: &mut Vec<u8>, node: &[u8]) {
    written(raw(out, node));
}

/// After those who left: the times of `members` members follow, those who left among them.
pub fn begin_times(out: &mut Vec<u8>, query_clock: u64, members: u32) {
    written(put_begin_times(out, query_clock, members));
}

fn put_begin_times(out: &mut impl Out, query_clock: u64, members: u32) -> Result<(), Full> {
    out.put(b"\xaaQueryLTime")?;
    uint(out, query_clock)?;
    out.put(b"\xacStatusLTimes")?;
    map(out, members as usize)
}

/// Adds the time of one member.
pub fn push_time(out: &mut Vec<u8>, node: &[u8], ltime: u64) {
    written(raw(out, node).and_then(|()| uint(out, ltime)));
}

fn written(result: Result<(), Full>) {
    debug_assert_eq!(result, Ok(()), "a vector has room");
}

/// Serf's part of a push/pull, known to be sound from end to end.
#[derive(Clone, Copy, Debug)]
pub struct SerfState<'a> {
    /// The sender's clocks.
    pub clocks: Clocks,
    slots: (usize, Reader<'a>),
    left: (usize, Reader<'a>),
    times: (usize, Reader<'a>),
}

impl<'a> SerfState<'a> {
    /// Reads it, type byte and all. Everything is checked, so that a damaged state changes nothing.
    ///
    /// # Errors
    ///
    /// When it is empty, of another type, or not to be read.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        match body.split_first() {
            None => Err(DecodeError::Empty),
            Some((&STATE, body)) => Self::take(&mut Reader::new(body)).ok_or(DecodeError::Malformed),
            Some(_) => Err(DecodeError::Unknown),
        }
    }

    fn take(r: &mut Reader<'a>) -> Option<Self> {
        const DECLARED: &[&[u8]] =
            &[b"LTime", b"StatusLTimes", b"LeftMembers", b"EventLTime", b"Events", b"QueryLTime"];
        let none = (0, Reader::new(&[]));
        let clocks = Clocks { member: 0, event: 0, query: 0 };
        let mut read = Self { clocks, slots: none, left: none, times: none };
        let mut fields = r.fields(DECLARED)?;
        while let Some(key) = fields.next(r)? {
            match key {
                b"EventLTime" => read.clocks.event = r.uint()?,
                b"Events" => read.slots = each(r, Reader::array, |r| checked_slot(r))?,
                b"LTime" => read.clocks.member = r.uint()?,
                b"LeftMembers" => read.left = each(r, Reader::array, |r| r.bytes().map(drop))?,
                b"QueryLTime" => read.clocks.query = r.uint()?,
                b"StatusLTimes" => read.times = each(r, Reader::map, |r| time(r).map(drop))?,
                _ => r.skip()?,
            }
        }
        (read.event_count()? <= PUSH_PULL_EVENTS_MAX).then_some(read)
    }

    /// The time of every member: first those who left, in the order of their names, then the others as they come, as
    /// `MergeRemoteState` in serf takes them. One who left and has no time has time 0. Names that nobody can have are left
    /// out.
    pub fn members(&self) -> impl Iterator<Item = MemberTime<'a>> + use<'a> {
        let mut left: Vec<_> = names(self.left).map(|node| MemberTime { node, ltime: 0, left: true }).collect();
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

    /// The recent user events, in the order of the sender's ring. None may be coalesced: that is not told here.
    pub fn events(&self) -> impl Iterator<Item = UserEvent<'a>> + use<'a> {
        let (count, mut slots) = self.slots;
        (0..count).map_while(move |_| slot(&mut slots)).flat_map(|(ltime, count, mut events)| {
            (0..count).map_while(move |_| {
                let (name, payload) = event(&mut events)?;
                Some(UserEvent { ltime, name, payload, coalesce: false })
            })
        })
    }
}

fn find(members: &[MemberTime<'_>], node: &[u8]) -> Result<usize, usize> {
    members.binary_search_by_key(&node, |member| member.node)
}

/// Steps over a list of no more than [`PUSH_PULL_NODES_MAX`] values, checking each; how many there are, and where.
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

/// The time of a slot, and its events; a hole has none.
fn slot<'a>(r: &mut Reader<'a>) -> Option<(u64, usize, Reader<'a>)> {
    let (mut ltime, mut events) = (0, (0, Reader::new(&[])));
    let mut fields = r.fields(&[b"LTime", b"Events"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"Events" => events = each(r, Reader::array, |r| event(r).map(drop))?,
            b"LTime" => ltime = r.uint()?,
            _ => r.skip()?,
        }
    }
    Some((ltime, events.0, events.1))
}

fn checked_slot(r: &mut Reader<'_>) -> Option<()> {
    slot(r).map(drop)
}

fn event<'a>(r: &mut Reader<'a>) -> Option<(&'a str, &'a [u8])> {
    let (mut name, mut payload) = ("", &[][..]);
    let mut fields = r.fields(&[b"Name", b"Payload"])?;
    while let Some(key) = fields.next(r)? {
        match key {
            b"Name" => name = r.text()?,
            b"Payload" => payload = r.bytes()?,
            _ => r.skip()?,
        }
    }
    Some((name, payload))
}
