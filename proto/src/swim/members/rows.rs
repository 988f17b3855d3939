//! Packed rows. A simulation holds nodes times members of them, so their size dominates its memory.
//!
//! Nearly every member is alive at its first incarnation, and nearly every message of a join storm repeats that. One
//! byte, the *mark*, encodes this case, or else the state, plus the transmit count. A second table holds the
//! incarnations of all other members; it is allocated for the first of them. A node's marks fit into few cache lines,
//! and the receive path reads only them.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::roster::MemberIdx;
use crate::wire::swim::{FIRST_INCARNATION, State};

/// An unpacked row: the state of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) struct Row {
    pub(in crate::swim) incarnation: u32,
    /// `None`: not a member.
    pub(in crate::swim) state: Option<State>,
    /// Transmit count of the queued broadcast; `None`: not queued.
    pub(in crate::swim) sends: Option<u8>,
}

impl Row {
    /// The row of an index that is not a member.
    pub(in crate::swim) const UNKNOWN: Self = Self { incarnation: 0, state: None, sends: None };
}

/// All rows, by member index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rows {
    marks: Vec<Mark>,
    /// Incarnations of members other than alive at the first incarnation. Shorter than `marks` if no such member has a
    /// higher index.
    incarnations: Vec<u32>,
    /// Number of rows per state.
    counts: [u32; 4],
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Grows to at least `len` rows.
    pub(super) fn grow(&mut self, len: usize) {
        if self.marks.len() >= len {
            return;
        }
        // Grows by a quarter instead of doubling: memory matters more than copies here.
        if self.marks.capacity() < len {
            self.marks.reserve_exact(len.max(self.marks.len() + self.marks.len() / 4) - self.marks.len());
        }
        self.marks.resize(len, Mark::UNKNOWN);
    }

    /// The row of `idx`, or [`Row::UNKNOWN`] beyond the end.
    pub(super) fn get(&self, idx: MemberIdx) -> Row {
        let mark = self.mark(idx);
        let incarnation = match mark.kind() {
            Mark::UNKNOWN_KIND => 0,
            Mark::BEGAN => FIRST_INCARNATION,
            _ => self.incarnations.get(idx.at()).copied().unwrap_or_default(),
        };
        Row { incarnation, state: mark.state(), sends: mark.sends() }
    }

    /// Replaces the row of `idx`, which must be below [`len`](Self::len).
    pub(super) fn set(&mut self, idx: MemberIdx, row: Row) {
        let (before, mark) = (self.marks[idx.at()], Mark::new(&row));
        if let Some(state) = before.state() {
            self.counts[state as usize] -= 1;
        }
        if let Some(state) = row.state {
            self.counts[state as usize] += 1;
        }
        // The second table is only touched for rows whose mark does not imply the incarnation.
        if mark.kind() > Mark::BEGAN {
            if self.incarnations.len() <= idx.at() {
                self.incarnations.resize(self.marks.len(), 0);
            }
            self.incarnations[idx.at()] = row.incarnation;
        }
        self.marks[idx.at()] = mark;
    }

    /// Number of rows per state, indexed by the state's number.
    pub(super) const fn counts(&self) -> [u32; 4] {
        self.counts
    }

    /// Changes the row of `idx` in place.
    pub(super) fn change(&mut self, idx: MemberIdx, change: impl FnOnce(&mut Row)) {
        let mut row = self.get(idx);
        change(&mut row);
        self.set(idx, row);
    }

    /// Transmit count of a member's broadcast; `None`: not queued.
    #[inline]
    pub(super) fn sends(&self, idx: MemberIdx) -> Option<u8> {
        self.mark(idx).sends()
    }

    pub(super) fn set_sends(&mut self, idx: MemberIdx, sends: Option<u8>) {
        let mark = &mut self.marks[idx.at()];
        *mark = mark.with_sends(sends);
    }

    /// Whether the mark alone shows that a member is alive at `incarnation` or later. If false, the row decides.
    #[inline]
    pub(super) fn is_surely_alive(&self, idx: MemberIdx, incarnation: u32) -> bool {
        incarnation <= FIRST_INCARNATION && self.mark(idx).kind() == Mark::BEGAN
    }

    /// All rows, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (MemberIdx, Row)> + '_ {
        (0..).map(MemberIdx).take(self.marks.len()).map(|idx| (idx, self.get(idx)))
    }

    /// Prefetches a mark.
    #[inline]
    pub(super) fn prefetch(&self, idx: MemberIdx) -> u8 {
        self.mark(idx).0
    }

    #[inline]
    fn mark(&self, idx: MemberIdx) -> Mark {
        self.marks.get(idx.at()).copied().unwrap_or(Mark::UNKNOWN)
    }
}

/// State and transmit count in one byte: the kind in the low three bits, the count in the high five.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark(u8);

impl Mark {
    const UNKNOWN_KIND: u8 = 0;
    /// Alive at the first incarnation.
    const BEGAN: u8 = 1;
    /// Added to the state's number for all other kinds.
    const STATES: u8 = 2;

    const KIND_BITS: u8 = 3;
    const NOT_QUEUED: u8 = u8::MAX >> Self::KIND_BITS;
    const UNKNOWN: Self = Self(Self::NOT_QUEUED << Self::KIND_BITS);

    const fn new(row: &Row) -> Self {
        let kind = match row.state {
            None => Self::UNKNOWN_KIND,
            Some(State::Alive) if row.incarnation == FIRST_INCARNATION => Self::BEGAN,
            Some(state) => Self::STATES + state as u8,
        };
        Self(kind).with_sends(row.sends)
    }

    const fn with_sends(self, sends: Option<u8>) -> Self {
        let sends = match sends {
            None => Self::NOT_QUEUED,
            Some(sends) => {
                debug_assert!(sends < Self::NOT_QUEUED, "the transmit limit is less");
                sends
            }
        };
        Self(self.kind() | sends << Self::KIND_BITS)
    }

    #[inline]
    const fn kind(self) -> u8 {
        self.0 & ((1 << Self::KIND_BITS) - 1)
    }

    #[inline]
    const fn state(self) -> Option<State> {
        match self.kind() {
            Self::UNKNOWN_KIND => None,
            Self::BEGAN => Some(State::Alive),
            kind => State::from_u8(kind - Self::STATES),
        }
    }

    #[inline]
    const fn sends(self) -> Option<u8> {
        let sends = self.0 >> Self::KIND_BITS;
        if sends == Self::NOT_QUEUED { None } else { Some(sends) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broadcast::TRANSMIT_LIMIT_MAX;

    fn row() -> impl Strategy<Value = Row> {
        let state = prop::option::of((0_u8..4).prop_map(|n| State::from_u8(n).unwrap()));
        let sends = prop::option::of(0..u8::try_from(TRANSMIT_LIMIT_MAX).unwrap());
        (state, prop_oneof![0_u32..4, any::<u32>()], sends).prop_map(|(state, incarnation, sends)| {
            let incarnation = if state.is_some() { incarnation } else { 0 };
            Row { incarnation, state, sends }
        })
    }

    proptest! {
        #[test]
        fn what_was_set_is_read_and_other_rows_stay(sets in prop::collection::vec((0_u32..20, row()), 1..60)) {
            let (mut rows, mut model) = (Rows::default(), [Row::UNKNOWN; 20]);
            for (at, row) in sets {
                rows.grow(at as usize + 1);
                rows.set(MemberIdx(at), row);
                model[at as usize] = row;
                for state in [State::Alive, State::Suspect, State::Dead, State::Left] {
                    let count = model.iter().filter(|row| row.state == Some(state)).count();
                    prop_assert_eq!(rows.counts()[state as usize] as usize, count);
                }
                for (idx, row) in rows.iter() {
                    prop_assert_eq!(row, model[idx.at()]);
                    prop_assert_eq!(row.sends, rows.sends(idx));
                    let surely = rows.is_surely_alive(idx, 1);
                    prop_assert_eq!(surely, row.state == Some(State::Alive) && row.incarnation == FIRST_INCARNATION);
                }
            }
        }
    }
}
