//! Serf's part of a push/pull.

use alloc::vec::Vec;

use super::Serf;
use super::event::{events_told_bytes_max, ring_events_max};
use super::intent::Via;
use super::member::Intent;
use crate::core::Core;
use crate::event::Status;
use crate::limits::{EVENT_RING_BYTES_MAX, NAME_BYTES_MAX};
use crate::roster::MemberIdx;
use crate::stats::DropReason;
use crate::types::JoinId;
use crate::wire::serf::{Clocks, MemberTime, UserEvent};
use crate::wire::{Codec, hashicorp, native};

impl Serf {
    /// Writes our clocks, the time of every member and the recent user events in Lamport order, in at most `room` bytes: members
    /// as many as fit, then the newest events.
    pub(crate) fn write_state(&self, core: &Core, codec: Codec, room: usize, out: &mut Vec<u8>) {
        let (member, event, query) = self.times();
        let clocks = Clocks { member, event, query };
        let (told, members_bytes) = self.members_told(core, room);
        let members = self.member_times(core).take(told as usize);
        let room = room.saturating_sub(members_bytes + HEAD_BYTES_MAX);
        let events = self.ring.newest_in_order(room.min(events_told_bytes_max(core)));
        if codec == Codec::HashiCorp {
            return hashicorp::push_serf_state(out, clocks, &events, members);
        }
        native::begin_serf_state(out, clocks, told);
        for member in members {
            native::push_member_time(out, member);
        }
        native::begin_events(out, u32::try_from(events.len()).unwrap_or(u32::MAX));
        for event in &events {
            native::push_event(out, event);
        }
    }

    /// How many members fit into `room`, and what they take at the most in either codec.
    fn members_told(&self, core: &Core, room: usize) -> (u32, usize) {
        let most = self.members as usize * MEMBER_BYTES_MAX;
        if most + HEAD_BYTES_MAX <= room {
            return (self.members, most);
        }
        let (mut told, mut bytes) = (0, HEAD_BYTES_MAX);
        for member in self.member_times(core) {
            let copies = 1 + usize::from(member.left);
            bytes += copies * (member.node.len() + 3) + 9;
            if bytes > room {
                tracing::warn!(told, members = self.members, "the members do not all fit into a push/pull");
                break;
            }
            told += 1;
        }
        (told, bytes.min(room).saturating_sub(HEAD_BYTES_MAX))
    }

    fn member_times<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = MemberTime<'a>> + Clone {
        self.rows.iter().zip(0_u32..).filter_map(|(row, idx)| {
            let left = row.status()? == Status::Left;
            Some(MemberTime { node: core.roster.name_bytes(MemberIdx(idx)), ltime: row.ltime(), left })
        })
    }

    /// About how many bytes [`write_state`](Self::write_state) writes.
    pub(crate) fn state_bytes(&self, core: &Core) -> usize {
        let own = core.roster.name_ref(self.me).len();
        self.members as usize * (own + 4) + 64
    }

    /// Takes another member's part (`MergeRemoteState` in serf). With `ignore_old` its events so far are not delivered. `join`
    /// is the join of our own that it answers, if it does: the first that reaches anybody is believed the cluster's time.
    pub(crate) fn merge(&mut self, core: &mut Core, codec: Codec, body: &[u8], ignore_old: bool, join: Option<JoinId>) {
        let parsed = match codec {
            Codec::Native => native::SerfState::parse(body).map(|remote| {
                self.merge_clocks(core, remote.clocks, join);
                self.merge_state(core, remote.clocks, remote.members(), remote.events(), ignore_old);
            }),
            Codec::HashiCorp => hashicorp::SerfState::parse(body).map(|remote| {
                self.merge_clocks(core, remote.clocks, join);
                self.merge_state(core, remote.clocks, remote.members(), remote.events(), ignore_old);
            }),
        };
        if parsed.is_err() {
            core.stats.drop(DropReason::Malformed);
        }
    }

    /// Follows the other side's clocks. One that is too far ahead costs neither the others nor what else the state says.
    fn merge_clocks(&mut self, core: &mut Core, clocks: Clocks, join: Option<JoinId>) {
        let adopts = join.is_some_and(|id| *self.first_join.get_or_insert(id) == id);
        let ours = [&mut self.clock, &mut self.event_clock, &mut self.query_clock];
        for (clock, time) in ours.into_iter().zip([clocks.member, clocks.event, clocks.query]) {
            let Some(seen) = time.checked_sub(1) else { continue };
            if !(adopts && clock.adopt(seen).is_ok()) && clock.follow(core.now, seen).is_err() {
                core.stats.drop(DropReason::Absurd);
            }
        }
    }

    fn merge_state<'a>(
        &mut self,
        core: &mut Core,
        clocks: Clocks,
        members: impl Iterator<Item = MemberTime<'a>>,
        events: impl Iterator<Item = UserEvent<'a>>,
        ignore_old: bool,
    ) {
        let mut previous = None;
        for member in members {
            let found = core.roster.find_after(previous, member.node);
            previous = found.or(previous);
            if !member.left && (member.ltime == 0 || found.is_some_and(|idx| self.is_repeat(idx, member.ltime))) {
                continue;
            }
            if !member.left && found == Some(self.me) && !self.leaving {
                // It has heard something newer of us than we: a leave that we did not announce, or our earlier life.
                if self.clock.follow(core.now, member.ltime).is_ok() {
                    self.announce_join(core);
                } else {
                    core.stats.drop(DropReason::Absurd);
                }
                continue;
            }
            let Ok(node) = core::str::from_utf8(member.node) else {
                core.stats.drop(DropReason::Malformed);
                continue;
            };
            // Of those that left only the time before or of the leave is known, and an equal time would mean nothing.
            let told = member.ltime.saturating_add(u64::from(member.left));
            let ltime = self.clock.follow(core.now, told).unwrap_or_else(|reached| {
                core.stats.drop(DropReason::Absurd);
                reached
            });
            let intent = if member.left { Intent::Leave { prune: false } } else { Intent::Join };
            self.intent(core, node, ltime, intent, Via::PushPull);
        }
        if ignore_old {
            // No later than our own next event.
            self.event_min = self.event_min.max(clocks.event.min(self.event_clock.time()));
        }
        // A few compressed bytes may stand for millions of events: no more are looked at than our ring could hold.
        let oldest = self.oldest_event(core);
        let event_min = self.event_min;
        let mut too_old = 0_u64;
        let mut recent = events.filter(|event| {
            let is_recent = event.ltime >= oldest;
            too_old += u64::from(!is_recent && event.ltime >= event_min);
            is_recent && event.ltime >= event_min
        });
        // HashiCorp's nodes send their ring as it lies in memory.
        let mut events: Vec<UserEvent<'_>> = recent.by_ref().take(ring_events_max(core)).collect();
        if recent.next().is_some() {
            core.stats.drop(DropReason::Limit);
        }
        drop(recent);
        for _ in 0..too_old {
            core.stats.drop_expected(DropReason::OldEvent);
        }
        events.sort_by_key(|event| event.ltime);
        // The ring would forget the others at once.
        let mut bytes = 0;
        let fits = |event: &&UserEvent<'_>| {
            bytes += event.name.len() + event.payload.len();
            bytes <= EVENT_RING_BYTES_MAX
        };
        let newest = events.iter().rev().take_while(fits).count();
        for event in &events[events.len() - newest..] {
            self.replayed_event(core, event);
        }
    }
}

/// What the parts of a state take that are not lists, in either codec.
const HEAD_BYTES_MAX: usize = 128;

/// What one member takes at the most: its name twice if it left, and its time.
const MEMBER_BYTES_MAX: usize = 2 * (NAME_BYTES_MAX + 3) + 9;
