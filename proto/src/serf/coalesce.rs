//! Coalescing: many events in a short time become few (`coalesceLoop` in serf's coalesce.go).
//!
//! A window opens with the first event that is held back. It closes when it has been open for the period, or earlier when
//! nothing came for the quiescent period; then what is left of the events is passed on.
//!
//! # What is passed on
//!
//! Of member events: for each member what has changed since the application was last told, otherwise at most one event of it; one event
//! for each kind, in the order join, leave, failed, update, reap, and in each the members in the order in which they first
//! appeared in the window. A member that came and changed its tags is reported as joined and as updated, both with the new tags,
//! so that nobody misses what it waits for; one that
//! failed and came back not at all, unless its announcement changed: then it is an update. Tags that changed and changed back are an
//! update as well, with the tags as they are. HashiCorp's nodes report the last
//! event only, so that a join can be lost behind an update, and report an update again in every later window.
//!
//! Of user events that may be coalesced: for each name those with the highest Lamport time; all together in the order of
//! their times, and of one time in the order in which they came.
//!
//! # What is not held back
//!
//! User events that may not be coalesced, and everything that is neither, are passed on at once and so may overtake what is
//! held back. The end of our own leave is not: it comes last.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::event::{Event, Member, MemberEvent, MemberEventKind, Members, UserEvent};
use crate::limits::{COALESCED_BYTES_MAX, ITEM_BYTES};
use crate::roster::Peer;
use crate::time::Instant;
use crate::types::Name;

/// When what is held back is passed on.
#[derive(Clone, Copy, Debug)]
struct Window {
    period: Duration,
    quiescent_period: Duration,
    /// When it closes at the latest; `None` while it is not open.
    closes_at: Option<Instant>,
    quiet_at: Instant,
}

impl Window {
    /// Both periods must be above zero, otherwise nothing is coalesced.
    fn new(period: Duration, quiescent_period: Duration) -> Option<Self> {
        let wanted = !period.is_zero() && !quiescent_period.is_zero();
        wanted.then_some(Self { period, quiescent_period, closes_at: None, quiet_at: Instant::MAX })
    }

    /// An event is held back.
    fn hold(&mut self, now: Instant) {
        let period = self.period;
        self.closes_at.get_or_insert_with(|| now + period);
        self.quiet_at = now + self.quiescent_period;
    }

    fn due(&self) -> Option<Instant> {
        Some(self.closes_at?.min(self.quiet_at))
    }
}

/// Holds member events back.
#[derive(Clone, Debug)]
pub(super) struct MemberCoalescer {
    window: Window,
    held: BTreeMap<Name, HeldMember>,
    /// What the application was last told of each member that it knows. A member that is forgotten here is gone from here.
    reported: BTreeMap<Name, (MemberEventKind, Arc<Peer>)>,
}

/// What happened to one member in this window.
#[derive(Clone, Debug)]
struct HeldMember {
    order: usize,
    /// The last thing that was not an update.
    kind: Option<MemberEventKind>,
    /// There was an update after that.
    is_updated: bool,
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
        held.is_updated = kind.is_none();
        held.kind = kind.or(held.kind);
        held.member = member;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.window.due()
    }

    /// Closes the window.
    pub(super) fn flush(&mut self, mut pass: impl FnMut(Event)) {
        self.window.closes_at = None;
        let mut held: Vec<HeldMember> = core::mem::take(&mut self.held).into_values().collect();
        held.sort_unstable_by_key(|held| held.order);
        let mut groups: BTreeMap<u8, (MemberEventKind, Vec<Member>)> = BTreeMap::new();
        for held in held {
            let Some(kind) = self.net_effect(&held) else { continue };
            self.report(kind, &held.member);
            let mut group = |kind, member| groups.entry(rank(kind)).or_insert((kind, Vec::new())).1.push(member);
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

    /// What a window amounts to for a member, beyond what was last reported of it.
    fn net_effect(&self, held: &HeldMember) -> Option<MemberEventKind> {
        let Some((reported, peer)) = self.reported.get(held.member.name()) else {
            return Some(held.kind.unwrap_or(MemberEventKind::Update));
        };
        match held.kind {
            Some(kind) if kind != *reported => Some(kind),
            // Also tags that are what they were before: a toggle is a signal.
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
            // Whoever is first heard of by an update was there before.
            None if kind == MemberEventKind::Update => {
                self.reported.insert(member.shared_name(), (MemberEventKind::Join, peer));
            }
            _ => _ = self.reported.insert(member.shared_name(), (kind, peer)),
        }
    }
}

/// The order of the kinds when a window closes.
const fn rank(kind: MemberEventKind) -> u8 {
    match kind {
        MemberEventKind::Join => 0,
        MemberEventKind::Leave => 1,
        MemberEventKind::Failed => 2,
        MemberEventKind::Update => 3,
        MemberEventKind::Reap => 4,
    }
}

/// Holds user events back that may be coalesced.
#[derive(Clone, Debug)]
pub(super) struct UserCoalescer {
    window: Window,
    /// By name: those with the highest time, with the order in which they came.
    held: BTreeMap<Box<str>, Vec<(usize, UserEvent)>>,
    count: usize,
    /// What has come in this window, whether it is still held or not.
    bytes: usize,
}

impl UserCoalescer {
    pub(super) fn new(period: Duration, quiescent_period: Duration) -> Option<Self> {
        let window = Window::new(period, quiescent_period)?;
        Some(Self { window, held: BTreeMap::new(), count: 0, bytes: 0 })
    }

    pub(super) fn hold(&mut self, now: Instant, event: UserEvent) {
        self.window.hold(now);
        self.count += 1;
        self.bytes += event.name.len() + event.payload.len() + ITEM_BYTES;
        if self.count >= HELD_MAX || self.bytes >= COALESCED_BYTES_MAX {
            self.window.closes_at = Some(now);
        }
        let held = self.held.entry(event.name.clone()).or_default();
        let newest = held.first().map_or(0, |(_, newest)| newest.ltime);
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

    /// What is held back, in bytes, at the most.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Closes the window.
    pub(super) fn flush(&mut self, mut pass: impl FnMut(Event)) {
        (self.window.closes_at, self.count, self.bytes) = (None, 0, 0);
        let mut held: Vec<(usize, UserEvent)> = core::mem::take(&mut self.held).into_values().flatten().collect();
        held.sort_unstable_by_key(|(order, event)| (event.ltime, *order));
        for (_, event) in held {
            pass(Event::User(event));
        }
    }
}

/// After this many events a window closes at once, so that no flood of names is held in memory. Ours: serf has no bound.
const HELD_MAX: usize = 4096;
