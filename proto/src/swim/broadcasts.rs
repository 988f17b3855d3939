//! What is told to random members: the state of members, read from their rows when it is sent.
//!
//! A newer word about a member takes the place of the older one by itself, since both are the same row.

use alloc::collections::BTreeMap;

use super::Swim;
use super::member::Trouble;
use super::rows::Row;
use crate::broadcast::{Offer, transmit_limit};
use crate::core::{Core, Notification};
use crate::envelope::Packer;
use crate::roster::{MemberIdx, Roster};
use crate::wire::swim::{Accusation, FIRST_INCARNATION, Message, State};
use crate::wire::{Codec, Full, hashicorp, native};

impl Swim {
    /// Has others told of a member's state, from the beginning if they were being told already.
    pub(super) fn spread(&mut self, idx: MemberIdx) {
        match self.rows.sends(idx) {
            Some(0) => return,
            Some(_) => {}
            None => self.queued += 1,
        }
        self.rows.set_sends(idx, Some(0));
        self.queue.push(idx);
        let rows = &self.rows;
        self.queue.clear_stale(self.queued, |sends, idx| rows.sends(idx).map(usize::from) == Some(sends));
        debug_assert!(self.queue.len() >= self.queued, "a queued member has a place in the queue");
    }

    /// Adds broadcasts to a packet while they fit.
    pub(crate) fn fill(&mut self, core: &mut Core, codec: Codec, packer: &mut Packer<'_>) {
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
            if rows.sends(idx).map(usize::from) != Some(sends) {
                return Offer::Stale;
            }
            let began = codec == Codec::Native && rows.is_surely_alive(idx, FIRST_INCARNATION);
            let packed = match roster.first_alive(idx) {
                Some(frame) if began => packer.copy(frame),
                _ => pack_state(rows.get(idx), idx, troubles, roster, codec, packer),
            };
            if packed.is_err() {
                return Offer::Full;
            }
            let finished = sends + 1 >= limit;
            let more = u8::try_from(sends + 1).expect("the transmit limit fits into a row");
            rows.set_sends(idx, (!finished).then_some(more));
            *queued -= usize::from(finished);
            if idx == *me && farewell.is_said() {
                farewell.count_copy();
                if finished {
                    notifications.push(Notification::FarewellSent);
                }
            }
            Offer::Sent
        });
    }

    /// Packs our own queued state, without counting a transmission.
    pub(crate) fn fill_own(&self, core: &Core, codec: Codec, packer: &mut Packer<'_>) {
        if self.rows.sends(self.me).is_some() {
            // Gossip carries it if it does not fit.
            _ = pack_state(self.row(self.me), self.me, &self.troubles, &core.roster, codec, packer);
        }
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
    codec: Codec,
    packer: &mut Packer<'_>,
) -> Result<(), Full> {
    let state = match row.state {
        Some(State::Alive) => return pack_alive(row.incarnation, idx, roster, codec, packer),
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
    packer.frame(|w| codec.encode(&message, w))
}

fn pack_alive(
    incarnation: u32,
    idx: MemberIdx,
    roster: &Roster,
    codec: Codec,
    packer: &mut Packer<'_>,
) -> Result<(), Full> {
    match codec {
        Codec::Native => packer.join(native::alive_head(incarnation).bytes(), roster.record(idx)),
        Codec::HashiCorp => {
            let peer = roster.peer(idx).ok_or(Full)?.announced();
            packer.frame(|w| hashicorp::encode_alive(incarnation, peer, w))
        }
    }
}

/// About how many bytes a member's state takes, at the least.
const STATE_BYTES: usize = 48;
