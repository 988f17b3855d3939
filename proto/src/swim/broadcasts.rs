//! Dissemination by gossip (SWIM §4.1). The queue holds member indices; each message is encoded from the member's row
//! when it is sent, so it is always current.

use alloc::vec::Vec;

use super::Swim;
use super::members::Members;
use crate::broadcast::{Offer, SendCounts as _, transmit_limit};
use crate::core::{Core, Notification};
use crate::envelope::Packer;
use crate::roster::{MemberIdx, Roster};
use crate::wire::swim::{Accusation, FIRST_INCARNATION, Message, State};
use crate::wire::{Codec, Full, hashicorp, native};

impl Swim {
    /// Queues a member's state. Resets its transmit count if it is queued already.
    pub(super) fn queue_broadcast(&mut self, core: &Core, idx: MemberIdx) {
        self.broadcasts.push(idx, &mut self.members);
        // A lone node has no receiver, and may keep a broadcast for days.
        if self.has_receiver() {
            self.waits.queued(core.now, || idx);
        }
    }

    /// Queues our own state, so that it is sent again.
    pub(crate) fn broadcast_own(&mut self, core: &Core) {
        self.queue_broadcast(core, self.me());
    }

    /// Dequeues the states of all other members: the cluster that they come from knows them.
    pub(crate) fn keep_only_own_broadcast(&mut self) {
        let me = self.me();
        let queued = self.members.rows().filter(|&(idx, row)| row.sends.is_some() && idx != me);
        for idx in queued.map(|(idx, _)| idx).collect::<Vec<_>>() {
            self.broadcasts.cancel(idx, &mut self.members);
        }
    }

    /// Dequeues the state of a member that announces itself.
    pub(crate) fn leave_announcement_to(&mut self, idx: MemberIdx) {
        self.broadcasts.cancel(idx, &mut self.members);
    }

    /// Notes that another member sent what this node has queued about a member. Only if every member takes part in
    /// anti-entropy: others rely on gossip alone. Never about ourselves: only we know who has heard it.
    #[inline]
    pub(super) fn note_duplicate(&mut self, idx: MemberIdx) {
        if self.broadcasts.has_backlog() && idx != self.me() && self.members.all_compare_digests() {
            self.broadcasts.note_duplicate(idx, &mut self.members);
        }
    }

    /// Fills a packet with broadcasts. `join_time` is the Lamport time that an alive message carries, 0 for none.
    pub(crate) fn fill(
        &mut self,
        core: &mut Core,
        codec: Codec,
        join_time: impl Fn(MemberIdx) -> u64,
        packer: &mut Packer<'_>,
    ) {
        if self.broadcasts.len() == 0 {
            return;
        }
        let limit = transmit_limit(core.cfg.swim().retransmit_mult, self.members_known());
        let ahead = packer.room() / STATE_BYTES;
        let Self { members, broadcasts, own, waits, .. } = self;
        let Core { now, roster, notifications, .. } = core;
        broadcasts.fill(members, limit, ahead, &join_time, |members, idx, is_last| {
            // A copy of the cached announcement is much cheaper than encoding, and this is most of the traffic of a
            // join storm.
            let began = codec == Codec::Native && members.is_surely_alive(idx, FIRST_INCARNATION);
            let packed = match roster.first_announcement(idx) {
                Some(announcement) if began => packer.join(native::head_of(join_time(idx)).bytes(), announcement),
                _ => pack_state(members, idx, roster, codec, join_time(idx), packer),
            };
            // Not counted as sent: it is offered again in the next packet.
            if packed.is_err() {
                return Offer::Full;
            }
            if idx == members.me() && own.has_left() {
                own.count_leave_broadcast();
                // `leave` waits for the last retransmit of its own broadcast.
                if is_last {
                    notifications.push(Notification::LeaveBroadcastSent);
                }
            }
            waits.sent(*now, &idx);
            Offer::Sent
        });
    }

    /// Packs our own state if it is queued, without counting a transmission.
    pub(crate) fn fill_own(&self, core: &Core, codec: Codec, join_time: u64, packer: &mut Packer<'_>) {
        let me = self.me();
        if self.members.sends(me).is_some() {
            // If it does not fit, gossip sends it.
            _ = pack_state(&self.members, me, &core.roster, codec, join_time, packer);
        }
    }

    /// Begins a round of several packets to one member. Each broadcast is sent at most once per round.
    pub(crate) fn begin_round(&mut self) {
        self.broadcasts.begin_round();
    }

    /// Ends the round.
    pub(crate) fn end_round(&mut self) {
        self.broadcasts.end_round();
    }
}

fn pack_state(
    members: &Members,
    idx: MemberIdx,
    roster: &Roster,
    codec: Codec,
    join_time: u64,
    packer: &mut Packer<'_>,
) -> Result<(), Full> {
    let row = members.row(idx);
    let state = match row.state {
        Some(State::Alive) => return pack_alive(row.incarnation, idx, roster, codec, join_time, packer),
        Some(state) => state,
        None => {
            debug_assert!(false, "a member is not forgotten while its state is queued");
            return Err(Full);
        }
    };
    let node = roster.name_ref(idx);
    // A leave names the member itself as the accuser; that is how `dead` and `left` differ on the wire.
    let from = if state == State::Left { node } else { members.accuser(idx).map_or("", |accuser| accuser) };
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
    join_time: u64,
    packer: &mut Packer<'_>,
) -> Result<(), Full> {
    match codec {
        Codec::Native if join_time > 0 => {
            packer.join(native::joined_alive_head(join_time, incarnation).bytes(), roster.record(idx))
        }
        Codec::Native => packer.join(native::alive_head(incarnation).bytes(), roster.record(idx)),
        Codec::HashiCorp => {
            let peer = roster.peer(idx).ok_or(Full)?.announced();
            packer.frame(|w| hashicorp::encode_alive(incarnation, peer, w))
        }
    }
}

/// The approximate minimum size of a member's state, in bytes.
const STATE_BYTES: usize = 48;
