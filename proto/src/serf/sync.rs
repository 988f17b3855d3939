//! Serf's part of a push/pull (`LocalState` and `MergeRemoteState` in serf's delegate.go).

use alloc::vec::Vec;

use super::Serf;
use super::events::push_pull_bytes_max;
use super::intents::Via;
use super::row::Intent;
use crate::core::Core;
use crate::event::Status;
use crate::limits::NAME_BYTES_MAX;
use crate::roster::MemberIdx;
use crate::stats::DropReason;
use crate::types::JoinId;
use crate::wire::serf::{Clocks, MemberTime, UserEvent};
use crate::wire::{Codec, hashicorp, native};

impl Serf {
    /// Writes our clocks, the Lamport time of each member, and the recent user events in Lamport order, in at most
    /// `room` bytes. Members take precedence over events, and newer events over older ones.
    pub(crate) fn write_state(&self, core: &Core, codec: Codec, room: usize, out: &mut Vec<u8>) {
        let times = self.clocks.times();
        let clocks = Clocks { member: times.member, event: times.event, query: times.query };
        let (fitting, members_bytes) = self.members_that_fit(core, room);
        let members = self.member_times(core).take(fitting as usize);
        // Events take what members leave, and no more than serf itself would send.
        let room = room.saturating_sub(members_bytes + HEAD_BYTES_MAX);
        let events = self.events.newest_in_order(room.min(push_pull_bytes_max(core)));
        if codec == Codec::HashiCorp {
            return hashicorp::push_serf_state(out, clocks, &events, members);
        }
        native::begin_serf_state(out, clocks, fitting);
        for member in members {
            native::push_member_time(out, member);
        }
        native::begin_events(out, u32::try_from(events.len()).unwrap_or(u32::MAX));
        for event in &events {
            native::push_event(out, event);
        }
    }

    /// The number of members that fit into `room`, and an upper bound of their size in either codec.
    fn members_that_fit(&self, core: &Core, room: usize) -> (u32, usize) {
        let room = room.saturating_sub(HEAD_BYTES_MAX);
        let members = self.members.known();
        let most = members as usize * MEMBER_BYTES_MAX;
        // The common case, without measuring each name.
        if most <= room {
            return (members, most);
        }
        let (mut fitting, mut bytes) = (0, 0);
        for member in self.member_times(core) {
            let copies = 1 + usize::from(member.left);
            bytes += copies * (member.node.len() + 3) + 9;
            if bytes > room {
                tracing::warn!(fitting, members, "the members do not all fit into a push/pull");
                break;
            }
            fitting += 1;
        }
        (fitting, bytes.min(room))
    }

    fn member_times<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = MemberTime<'a>> + Clone {
        self.members.rows().filter_map(|(idx, row)| {
            let left = row.status()? == Status::Left;
            Some(MemberTime { node: core.roster.name_bytes(idx), ltime: row.ltime(), left })
        })
    }

    /// The approximate size of [`write_state`](Self::write_state)'s output, in bytes.
    pub(crate) fn state_bytes(&self, core: &Core) -> usize {
        let own = core.roster.name_ref(self.members.me()).len();
        self.members.known() as usize * (own + 4) + 64
    }

    /// Merges the state of a remote member (`MergeRemoteState` in serf's delegate.go). With `ignore_old`, its events so
    /// far are not delivered. `join` is our own join that this exchange completes, if any: the first one adopts the
    /// remote clocks.
    pub(crate) fn merge(&mut self, core: &mut Core, codec: Codec, body: &[u8], ignore_old: bool, join: Option<JoinId>) {
        let parsed = match codec {
            Codec::Native => native::SerfState::parse(body).map(|remote| {
                self.merge_state(core, remote.clocks, join, ignore_old, remote.members(), remote.events());
            }),
            Codec::HashiCorp => hashicorp::SerfState::parse(body).map(|remote| {
                self.merge_state(core, remote.clocks, join, ignore_old, remote.members(), remote.events());
            }),
        };
        if parsed.is_err() {
            core.stats.drop(DropReason::Malformed);
        }
    }

    fn merge_state<'a>(
        &mut self,
        core: &mut Core,
        clocks: Clocks,
        join: Option<JoinId>,
        ignore_old: bool,
        members: impl Iterator<Item = MemberTime<'a>>,
        events: impl Iterator<Item = UserEvent<'a>>,
    ) {
        // The clocks first: the times of members and events are then within the budget.
        self.clocks.witness_all(core, clocks, join);
        let mut previous = None;
        for member in members {
            // Both sides list members in about the same order, so the search continues at the last match.
            let found = core.roster.find_after(previous, member.node);
            previous = found.or(previous);
            // A tombstone is never skipped: its effective time is one higher, and `known_intent` rejects repeats.
            let is_repeat = member.ltime == 0 || found.is_some_and(|idx| self.is_repeat(idx, member.ltime));
            if member.left || !is_repeat {
                self.merge_member(core, member, found);
            }
        }
        if ignore_old {
            // At most our own next event, or an event of ours would be ignored too.
            self.events.ignore_before(clocks.event.min(self.clocks.event.time()));
        }
        self.events.merge(core, &mut self.clocks.event, events);
    }

    /// Handles the Lamport time of one member as the intent that it implies.
    fn merge_member(&mut self, core: &mut Core, member: MemberTime<'_>, found: Option<MemberIdx>) {
        if !member.left && found == Some(self.members.me()) && !self.intents.is_leaving() {
            // The remote side knows a newer intent about us: a leave that we did not send, or one of a previous run.
            if self.clocks.member.follow(core.now, member.ltime).is_ok() {
                self.announce_join(core);
            } else {
                core.stats.drop(DropReason::OutOfRange);
            }
            return;
        }
        let Ok(node) = core::str::from_utf8(member.node) else {
            return core.stats.drop(DropReason::Malformed);
        };
        // For a member that left, the state holds the time of its leave or of the intent before it. Equal times are
        // ignored, so the leave would be lost; hence one higher (`MergeRemoteState` does the same).
        let effective = member.ltime.saturating_add(u64::from(member.left));
        let ltime = self.clocks.member.follow(core.now, effective).unwrap_or_else(|reached| {
            core.stats.drop(DropReason::OutOfRange);
            reached
        });
        let intent = if member.left { Intent::Leave { prune: false } } else { Intent::Join };
        self.intent(core, node, ltime, intent, Via::PushPull);
    }
}

/// Upper bound, in bytes, of everything that is not a list, in either codec.
const HEAD_BYTES_MAX: usize = 128;

/// Upper bound, in bytes, of one member: its name, a second time if it left, and its Lamport time.
const MEMBER_BYTES_MAX: usize = 2 * (NAME_BYTES_MAX + 3) + 9;
