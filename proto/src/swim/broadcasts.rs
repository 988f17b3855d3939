//! What is told to random members: the state of members, read from their rows when it is sent.
//!
//! A newer word about a member takes the place of the older one by itself, since both are the same row.

use alloc::collections::BTreeMap;

use super::Swim;
use super::member::{Row, Trouble};
use crate::broadcast::{Offer, transmit_limit};
use crate::core::{Core, Notification};
use crate::envelope::Packer;
use crate::roster::{MemberIdx, Roster};
use crate::wire::Full;
use crate::wire::native;
use crate::wire::swim::{Accusation, Message, State};

impl Swim {
    /// Has others told of a member's state, from the beginning if they were being told already.
    pub(super) fn spread(&mut self, idx: MemberIdx) {
        let row = &mut self.rows[idx.at()];
        if row.sends == 0 {
            return;
        }
        if !row.is_queued() {
            self.queued += 1;
        }
        row.sends = 0;
        self.queue.push(idx);
        let rows = &self.rows;
        self.queue.clear_stale(self.queued, |sends, idx| usize::from(rows[idx.at()].sends) == sends);
        debug_assert!(self.queue.len() >= self.queued, "a queued member has a place in the queue");
    }

    /// Adds broadcasts to a packet while they fit.
    pub(crate) fn fill(&mut self, core: &mut Core, packer: &mut Packer<'_>) {
        if self.queued == 0 {
            return;
        }
        let limit = transmit_limit(core.cfg.retransmit_mult, self.members_known());
        // The rows lie far apart: read together, the waits for them overlap.
        let upcoming = self.queue.upcoming().take(packer.room() / STATE_BYTES);
        core::hint::black_box(upcoming.fold(0, |sum, &idx| sum ^ self.touch(idx)));
        let Self { me, rows, troubles, queue, queued, farewell, .. } = self;
        let Core { roster, notifications, .. } = core;
        queue.fill(limit, |sends, &idx| {
            let row = &mut rows[idx.at()];
            if usize::from(row.sends) != sends {
                return Offer::Stale;
            }
            if pack_state(*row, idx, troubles, roster, packer).is_err() {
                return Offer::Full;
            }
            row.sends = u8::try_from(sends + 1).unwrap_or(Row::NOT_QUEUED);
            let finished = sends + 1 >= limit;
            if finished {
                row.sends = Row::NOT_QUEUED;
                *queued -= 1;
            }
            if idx == *me && farewell.is_said() {
                farewell.count_copy();
                if finished {
                    notifications.push(Notification::FarewellSent);
                }
            }
            Offer::Sent
        });
    }

    /// Begins a round of several packets to one member, which is told nothing twice.
    pub(crate) fn begin_round(&mut self) {
        self.queue.begin_round();
    }

    /// Ends the round.
    pub(crate) fn end_round(&mut self) {
        self.queue.end_round();
    }

    /// How often the next broadcast has been sent before; `None` when nothing is queued.
    #[cfg(test)]
    pub(crate) fn next_sends(&self) -> Option<usize> {
        if self.queued == 0 { None } else { self.queue.next_sends() }
    }
}

fn pack_state(
    row: Row,
    idx: MemberIdx,
    troubles: &BTreeMap<MemberIdx, Trouble>,
    roster: &Roster,
    packer: &mut Packer<'_>,
) -> Result<(), Full> {
    let state = match row.state {
        Some(State::Alive) => return packer.copy(native::alive_head(row.incarnation).bytes(), roster.record(idx)),
        Some(state) => state,
        None => {
            debug_assert!(false, "a member is not forgotten while others are to be told of it");
            return Err(Full);
        }
    };
    let node = roster.name_ref(idx);
    let from = if state == State::Left { node } else { troubles.get(&idx).map_or("", |trouble| &*trouble.accuser) };
    let accusation = Accusation { incarnation: row.incarnation, node, from };
    let suspect = state == State::Suspect;
    let message = if suspect { Message::Suspect(accusation) } else { Message::Dead(accusation) };
    packer.frame(|w| native::encode(&message, w))
}

/// About how many bytes a member's state takes, at the least.
const STATE_BYTES: usize = 48;
