//! The rows of all members, packed: in a simulation there are members times nodes of these.
//!
//! Nearly every message of a join storm repeats what is known, and nearly every member is alive at the incarnation with which it
//! began. So one byte, the *mark*, says whether that is so, and else the state, and how often the state was sent. Only the
//! incarnations of members that are different lie in a second table, which is made when the first of them is seen. A node's marks
//! are few cache lines, and the reader of a packet touches nothing else of them.

use alloc::vec::Vec;

use crate::roster::MemberIdx;
use crate::wire::swim::{FIRST_INCARNATION, State};

/// What membership keeps of one member, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) struct Row {
    pub(in crate::swim) incarnation: u32,
    /// `None`: not a member.
    pub(in crate::swim) state: Option<State>,
    /// How often the state was sent since it changed; `None`: it is not queued.
    pub(in crate::swim) sends: Option<u8>,
}

impl Row {
    /// A name that is not a member's.
    pub(in crate::swim) const UNKNOWN: Self = Self { incarnation: 0, state: None, sends: None };
}

/// The rows of all members, by their index.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    marks: Vec<Mark>,
    /// Of members that are not simply alive as they began; shorter than `marks`, or empty, when there are none at the end.
    incarnations: Vec<u32>,
    /// How many rows have each state.
    counts: [u32; 4],
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Makes room for at least `len` rows.
    pub(super) fn grow(&mut self, len: usize) {
        if self.marks.len() >= len {
            return;
        }
        if self.marks.capacity() < len {
            self.marks.reserve_exact(len.max(self.marks.len() + self.marks.len() / 4) - self.marks.len());
        }
        self.marks.resize(len, Mark::UNKNOWN);
    }

    /// The row of `idx`, whether or not there is one.
    pub(super) fn get(&self, idx: MemberIdx) -> Row {
        let mark = self.mark(idx);
        let incarnation = match mark.kind() {
            Mark::UNKNOWN_KIND => 0,
            Mark::BEGAN => FIRST_INCARNATION,
            _ => self.incarnations.get(idx.at()).copied().unwrap_or_default(),
        };
        Row { incarnation, state: mark.state(), sends: mark.sends() }
    }

    /// Replaces the row of `idx`, which must be within [`len`](Self::len).
    pub(super) fn set(&mut self, idx: MemberIdx, row: Row) {
        let (before, mark) = (self.marks[idx.at()], Mark::new(&row));
        if let Some(state) = before.state() {
            self.counts[state as usize] -= 1;
        }
        if let Some(state) = row.state {
            self.counts[state as usize] += 1;
        }
        if mark.kind() > Mark::BEGAN {
            if self.incarnations.len() <= idx.at() {
                self.incarnations.resize(self.marks.len(), 0);
            }
            self.incarnations[idx.at()] = row.incarnation;
        }
        self.marks[idx.at()] = mark;
    }

    /// How many rows have each state, by the state's number.
    pub(super) const fn counts(&self) -> [u32; 4] {
        self.counts
    }

    /// Changes the row of `idx`.
    pub(super) fn change(&mut self, idx: MemberIdx, change: impl FnOnce(&mut Row)) {
        let mut row = self.get(idx);
        change(&mut row);
        self.set(idx, row);
    }

    /// How often a member's state was sent; `None`: it is not queued.
    #[inline]
    pub(super) fn sends(&self, idx: MemberIdx) -> Option<u8> {
        self.mark(idx).sends()
    }

    pub(super) fn set_sends(&mut self, idx: MemberIdx, sends: Option<u8>) {
        let mark = &mut self.marks[idx.at()];
        *mark = mark.with_sends(sends);
    }

    /// Whether a member is alive at `incarnation` or a later one, as far as its mark alone can tell; when not, ask its row.
    #[inline]
    pub(super) fn is_surely_alive(&self, idx: MemberIdx, incarnation: u32) -> bool {
        incarnation <= FIRST_INCARNATION && self.mark(idx).kind() == Mark::BEGAN
    }

    /// Every row, in the order of the indices.
    pub(super) fn iter(&self) -> impl Iterator<Item = (MemberIdx, Row)> + '_ {
        (0..).map(MemberIdx).take(self.marks.len()).map(|idx| (idx, self.get(idx)))
    }

    /// Reads a mark into the cache.
    #[inline]
    pub(super) fn prefetch(&self, idx: MemberIdx) -> u8 {
        self.mark(idx).0
    }

    #[inline]
    fn mark(&self, idx: MemberIdx) -> Mark {
        self.marks.get(idx.at()).copied().unwrap_or(Mark::UNKNOWN)
    }
}

/// State and number of sends in a byte: the kind in the lower three bits, and above them the sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u8);

impl Mark {
    const UNKNOWN_KIND: u8 = 0;
    /// Alive at the first incarnation.
    const BEGAN: u8 = 1;
    /// This and the state's number is the kind of the others.
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
