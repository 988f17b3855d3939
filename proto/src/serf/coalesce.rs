//! Coalescing: merges events that occur close together (`coalesceLoop` in serf's coalesce.go).
//!
//! A window opens with the first event that is held back. It closes when it has been open for the coalesce period, or
//! earlier if no event arrives for the quiescent period. The remaining events are then passed on.
//!
//! # Events at the end of a window
//!
//! Member events: per member, the net change since the last report to the application, at most one event. Per kind, one
//! event, in the order join, leave, failed, update, reap; within it, members in the order of their first event in the
//! window. A member that joined and then changed its tags is reported as joined and as updated, both with the new tags,
//! so that subscribers of either kind see it. A member that failed and rejoined is not reported, unless its
//! announcement changed: then it is an update. Tags that changed and changed back are an update too, with the current
//! tags. HashiCorp's nodes report the last event only, so that a join can be lost behind an update, and report an
//! update again in every later window.
//!
//! User events with the coalesce flag: per name, those with the highest Lamport time, in Lamport order; those of one
//! time in order of arrival.
//!
//! # Events outside of windows
//!
//! User events without the flag, and events of all other types, are passed on at once and may overtake events that are
//! held back. The exception is the end of our own leave: it comes last.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Member, MemberEvent, MemberEventKind, Members, UserEvent};
use crate::limits::{COALESCED_BYTES_MAX, ITEM_BYTES};
use crate::roster::Peer;
use crate::time::Instant;
use crate::types::Name;

/// When held events are passed on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Window {
    period: Duration,
    quiescent_period: Duration,
    /// The latest time at which it closes; `None` while it is not open.
    closes_at: Option<Instant>,
    quiet_at: Instant,
}

impl Window {
    /// `None` disables coalescing: both periods must be above zero.
    fn new(period: Duration, quiescent_period: Duration) -> Option<Self> {
        let wanted = !period.is_zero() && !quiescent_period.is_zero();
        wanted.then_some(Self { period, quiescent_period, closes_at: None, quiet_at: Instant::MAX })
    }

    /// Opens the window if it is closed, and restarts the quiescent period.
    fn hold(&mut self, now: Instant) {
        let period = self.period;
        self.closes_at.get_or_insert_with(|| now + period);
        self.quiet_at = now + self.quiescent_period;
    }

    fn due(&self) -> Option<Instant> {
        Some(self.closes_at?.min(self.quiet_at))
    }
}

/// Coalesces member events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MemberCoalescer {
    window: Window,
    held: BTreeMap<Name, HeldMember>,
    /// The last report to the application, per member. Entries of reaped members are removed.
    #[serde(with = "stored_reports")]
    reported: BTreeMap<Name, (MemberEventKind, Arc<Peer>)>,
}

/// The events of one member in this window.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct HeldMember {
    order: usize,
    /// The last event that was not an update.
    kind: Option<MemberEventKind>,
    /// Whether an update followed that event.
    is_updated: bool,
    #[serde(with = "stored_member")]
    member: Member,
}

impl MemberCoalescer {
    pub(super) fn new(period: Duration, quiescent_period: Duration) -> Option<Self> {
        let window = Window::new(period, quiescent_period)?;
        Some(Self { window, held: BTreeMap::new(), reported: BTreeMap::new() })
    }

    pub(super) fn hold(&mut self, now: Instant, event: MemberEvent) {
        self.window.hold(now);
        for member in &event.members {
            self.hold_one(event.kind, member.clone());
        }
    }

    fn hold_one(&mut self, kind: MemberEventKind, member: Member) {
        let order = self.held.len();
        let kind = Some(kind).filter(|&kind| kind != MemberEventKind::Update);
        let held = self.held.entry(member.shared_name()).or_insert_with(|| HeldMember {
            order,
            kind: None,
            is_updated: false,
            member: member.clone(),
        });
        // An update before a join or leave is covered by that event, which carries the current tags.
        held.is_updated = kind.is_none();
        held.kind = kind.or(held.kind);
        held.member = member;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.window.due()
    }

    /// Closes the window and passes on its events.
    pub(super) fn flush(&mut self, mut pass: impl FnMut(Event)) {
        self.window.closes_at = None;
        let mut held: Vec<HeldMember> = core::mem::take(&mut self.held).into_values().collect();
        held.sort_unstable_by_key(|held| held.order);
        let mut groups: BTreeMap<u8, (MemberEventKind, Vec<Member>)> = BTreeMap::new();
        for held in held {
            let Some(kind) = self.net_effect(&held) else { continue };
            // After `net_effect`, which compares with the previous report.
            self.report(kind, &held.member);
            let mut group = |kind, member| groups.entry(rank(kind)).or_insert((kind, Vec::new())).1.push(member);
            // Both events: a subscriber of updates alone must see the new tags.
            if kind == MemberEventKind::Join && held.is_updated {
                group(MemberEventKind::Update, held.member.clone());
            }
            group(kind, held.member);
        }
        for (kind, members) in groups.into_values() {
            if let Some(members) = Members::of(members) {
                pass(Event::Member(MemberEvent { kind, members }));
            }
        }
    }

    /// The net change of a member in the window, relative to the last report; `None` if there is none.
    fn net_effect(&self, held: &HeldMember) -> Option<MemberEventKind> {
        let Some((reported, peer)) = self.reported.get(held.member.name()) else {
            return Some(held.kind.unwrap_or(MemberEventKind::Update));
        };
        match held.kind {
            Some(kind) if kind != *reported => Some(kind),
            // Includes tags that changed back: toggling a tag is a signal.
            _ if held.is_updated || **peer != **held.member.peer() => Some(MemberEventKind::Update),
            _ => None,
        }
    }

    fn report(&mut self, kind: MemberEventKind, member: &Member) {
        if kind == MemberEventKind::Reap {
            self.reported.remove(member.name());
            return;
        }
        let peer = Arc::clone(member.peer());
        match self.reported.get_mut(member.name()) {
            Some((_, known)) if kind == MemberEventKind::Update => *known = peer,
            // A member whose first event is an update was there before: it counts as joined.
            None if kind == MemberEventKind::Update => {
                self.reported.insert(member.shared_name(), (MemberEventKind::Join, peer));
            }
            _ => _ = self.reported.insert(member.shared_name(), (kind, peer)),
        }
    }
}

/// The order of the kinds at the end of a window.
const fn rank(kind: MemberEventKind) -> u8 {
    match kind {
        MemberEventKind::Join => 0,
        MemberEventKind::Leave => 1,
        MemberEventKind::Failed => 2,
        MemberEventKind::Update => 3,
        MemberEventKind::Reap => 4,
    }
}

/// Coalesces user events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UserCoalescer {
    window: Window,
    /// By name: the events with the highest Lamport time, each with its order of arrival.
    held: BTreeMap<Box<str>, Vec<(usize, UserEvent)>>,
    count: usize,
    /// Bytes received in this window, including events that were superseded.
    bytes: usize,
}

impl UserCoalescer {
    /// The payloads of the held events.
    pub(super) fn payloads_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        self.held.values_mut().flatten().map(|(_, event)| &mut event.payload)
    }

    pub(super) fn new(period: Duration, quiescent_period: Duration) -> Option<Self> {
        let window = Window::new(period, quiescent_period)?;
        Some(Self { window, held: BTreeMap::new(), count: 0, bytes: 0 })
    }

    pub(super) fn hold(&mut self, now: Instant, event: UserEvent) {
        self.window.hold(now);
        self.count += 1;
        self.bytes += event.name.len() + event.payload.len() + ITEM_BYTES;
        // Due at once, not flushed here: only `flush` may emit events.
        if self.count >= HELD_MAX || self.bytes >= COALESCED_BYTES_MAX {
            self.window.closes_at = Some(now);
        }
        let held = self.held.entry(event.name.clone()).or_default();
        let newest = held.first().map_or(0, |(_, newest)| newest.ltime);
        // A newer time supersedes all older events of this name; equal times are all kept.
        if event.ltime < newest {
            return;
        }
        if event.ltime > newest {
            held.clear();
        }
        held.push((self.count, event));
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.window.due()
    }

    /// Upper bound of the memory used by held events, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Closes the window and passes on its events.
    pub(super) fn flush(&mut self, mut pass: impl FnMut(Event)) {
        (self.window.closes_at, self.count, self.bytes) = (None, 0, 0);
        let mut held: Vec<(usize, UserEvent)> = core::mem::take(&mut self.held).into_values().flatten().collect();
        // `held` is ordered by name; the order of arrival breaks ties of one Lamport time.
        held.sort_unstable_by_key(|(order, event)| (event.ltime, *order));
        for (_, event) in held {
            pass(Event::User(event));
        }
    }
}

/// The number of events after which a window closes at once, so that a flood of names cannot fill the memory. Ours:
/// serf has no limit.
const HELD_MAX: usize = 4096;

/// A member in a checkpoint.
mod stored_member {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Arc, Member};
    use crate::event::Status;
    use crate::roster::StoredPeer;

    pub(super) fn serialize<S: Serializer>(member: &Member, serializer: S) -> Result<S::Ok, S::Error> {
        (StoredPeer(Arc::clone(&member.peer)), member.status, member.status_ltime).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Member, D::Error> {
        let (StoredPeer(peer), status, status_ltime) = <(StoredPeer, Status, u64)>::deserialize(deserializer)?;
        Ok(Member { peer, status, status_ltime })
    }
}

/// The reports in a checkpoint.
mod stored_reports {
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Arc, BTreeMap, MemberEventKind, Name, Peer};
    use crate::roster::StoredPeer;

    type Reports = BTreeMap<Name, (MemberEventKind, Arc<Peer>)>;

    pub(super) fn serialize<S: Serializer>(reports: &Reports, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = reports.values().map(|(kind, peer)| (*kind, StoredPeer(Arc::clone(peer))));
        stored.collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reports, D::Error> {
        let stored = Vec::<(MemberEventKind, StoredPeer)>::deserialize(deserializer)?;
        Ok(stored.into_iter().map(|(kind, StoredPeer(peer))| (peer.shared_name(), (kind, peer))).collect())
    }
}
