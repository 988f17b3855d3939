//! Decides which events are written to the snapshot.

use core::time::Duration;

use super::lamport::LamportClock;
use crate::event::{Event, MemberEvent, MemberEventKind};
use crate::time::Instant;
use crate::types::{Record, Snapshot};

/// Notes what happens, in the words of the snapshot (`processMemberEvent` and its like in serf's snapshot.go).
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder {
    /// The last times written.
    clock: u64,
    event_clock: u64,
    query_clock: u64,
    /// When the member clock is written though no member event comes.
    due: Option<Instant>,
    /// Whether we have begun to leave: from then on members and their clock are not written.
    left: bool,
}

impl Recorder {
    /// Goes on with a file that says this.
    pub(super) fn resume(&mut self, snapshot: &Snapshot) {
        self.clock = snapshot.clock();
        self.event_clock = snapshot.event_clock();
        self.query_clock = snapshot.query_clock();
    }

    /// Writes what an event is worth, with the member clock as it is after it.
    ///
    /// After our leave the times of events and queries are still written, so that a node which rejoins delivers none a second time.
    /// HashiCorp's: `flushEvent` drops everything after a leave, because the members that go while we go would empty the list that
    /// a rejoin needs. The times do not touch that list, and its reader takes them after `leave`.
    pub(super) fn note(&mut self, event: &Event, clock: LamportClock, mut write: impl FnMut(Record)) {
        match event {
            Event::Member(_) if self.left => {}
            Event::Member(MemberEvent { kind, members }) => {
                for member in members {
                    let name = || member.shared_name();
                    match kind {
                        MemberEventKind::Join => put(Record::Alive { name: name(), addr: member.addr() }, &mut write),
                        MemberEventKind::Leave => put(Record::NotAlive { name: name() }, &mut write),
                        MemberEventKind::Failed => {
                            put(Record::NotAlive { name: name() }, &mut write);
                            put(Record::Failed { name: name(), addr: member.addr() }, &mut write);
                        }
                        MemberEventKind::Update | MemberEventKind::Reap => {}
                    }
                }
                self.note_clock(clock, write);
            }
            Event::User(event) if event.ltime > self.event_clock => {
                self.event_clock = event.ltime;
                write(Record::EventClock(event.ltime));
            }
            _ => {}
        }
    }

    /// Has the member clock written after a while, if it has moved.
    pub(super) fn watch_clock(&mut self, now: Instant, clock: LamportClock) {
        if self.due.is_none() && self.is_behind(clock) {
            self.due = Some(now + SNAPSHOT_CLOCK_INTERVAL);
        }
    }

    /// Writes the member clock if that is due.
    pub(super) fn note_clock_due(&mut self, now: Instant, clock: LamportClock, write: impl FnMut(Record)) {
        if self.due.is_some_and(|at| at <= now) {
            self.note_clock(clock, write);
        }
    }

    /// When the member clock is due.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes the time of the newest query, internal ones included, if it has moved.
    pub(super) fn note_query(&mut self, newest: u64, mut write: impl FnMut(Record)) {
        if newest > self.query_clock {
            self.query_clock = newest;
            write(Record::QueryClock(newest));
        }
    }

    /// Writes the member clock if it has moved.
    fn note_clock(&mut self, clock: LamportClock, mut write: impl FnMut(Record)) {
        self.due = None;
        if self.is_behind(clock) {
            self.clock = clock.time() - 1;
            write(Record::Clock(self.clock));
        }
    }

    /// We leave: the record comes before all that the leave brings about.
    pub(super) fn leave(&mut self) -> Record {
        (self.left, self.due) = (true, None);
        Record::Leave
    }

    /// Whether the member clock has moved since it was written.
    const fn is_behind(&self, clock: LamportClock) -> bool {
        !self.left && clock.time() - 1 > self.clock
    }
}

/// Writes a record unless its name would break the file.
fn put(record: Record, write: &mut impl FnMut(Record)) {
    if record.is_writable() {
        write(record);
    } else {
        tracing::warn!("a member's name has control characters: it cannot be in the snapshot");
    }
}

/// How long the snapshot's clock of members may be behind when no member event comes (`clockUpdateInterval` in serf).
const SNAPSHOT_CLOCK_INTERVAL: Duration = Duration::from_millis(500);
