//! Decides which events are written to the snapshot.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::lamport::LamportClock;
use crate::event::{Event, MemberEvent, MemberEventKind};
use crate::time::Instant;
use crate::types::{Record, Snapshot};

/// Translates events and clock changes into snapshot records (`processMemberEvent`, `processUserEvent` and
/// `processQuery` in serf's snapshot.go).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Recorder {
    /// The last times written.
    clock: u64,
    event_clock: u64,
    query_clock: u64,
    /// Deadline for writing the member clock if no member event does it before.
    due: Option<Instant>,
    /// Whether our leave has begun. From then on, members and their clock are not written.
    left: bool,
}

impl Recorder {
    /// Resumes from the times in a snapshot.
    pub(super) fn resume(&mut self, snapshot: &Snapshot) {
        self.clock = snapshot.clock();
        self.event_clock = snapshot.event_clock();
        self.query_clock = snapshot.query_clock();
    }

    /// Writes the records of an event. `clock` is the member clock after it.
    ///
    /// After our leave, the times of events and queries are still written, so that a node that rejoins does not deliver
    /// them again. HashiCorp's: `flushEvent` drops everything after a leave, because members that leave at the same
    /// time would empty the list that a rejoin needs. The times do not affect that list, and its reader accepts them
    /// after `leave`.
    pub(super) fn note(&mut self, event: &Event, clock: LamportClock, mut write: impl FnMut(Record)) {
        match event {
            Event::Member(_) if self.left => {}
            Event::Member(MemberEvent { kind, members }) => {
                for member in members {
                    let name = || member.shared_name();
                    match kind {
                        MemberEventKind::Join => put(Record::Alive { name: name(), addr: member.addr() }, &mut write),
                        MemberEventKind::Leave => put(Record::NotAlive { name: name() }, &mut write),
                        // HashiCorp's reader skips the second record as a comment; ours keeps its address as a last
                        // resort for a rejoin.
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

    /// Arms the deadline for writing the member clock, if it has moved.
    pub(super) fn watch_clock(&mut self, now: Instant, clock: LamportClock) {
        if self.due.is_none() && self.is_behind(clock) {
            self.due = Some(now + SNAPSHOT_CLOCK_INTERVAL);
        }
    }

    /// Writes the member clock if the deadline has passed.
    pub(super) fn note_clock_due(&mut self, now: Instant, clock: LamportClock, write: impl FnMut(Record)) {
        if self.due.is_some_and(|at| at <= now) {
            self.note_clock(clock, write);
        }
    }

    /// The deadline for writing the member clock.
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

    /// Writes the member clock, if it has moved.
    fn note_clock(&mut self, clock: LamportClock, mut write: impl FnMut(Record)) {
        self.due = None;
        if self.is_behind(clock) {
            // The clock shows the time of the next message; the snapshot stores the last one seen.
            self.clock = clock.time() - 1;
            write(Record::Clock(self.clock));
        }
    }

    /// Begins our leave. Its record precedes everything that the leave causes.
    pub(super) fn leave(&mut self) -> Record {
        (self.left, self.due) = (true, None);
        Record::Leave
    }

    /// Whether the member clock has moved since it was written.
    const fn is_behind(&self, clock: LamportClock) -> bool {
        !self.left && clock.time() - 1 > self.clock
    }
}

/// Writes a record, unless its name contains control characters, which would corrupt the line format.
fn put(record: Record, write: &mut impl FnMut(Record)) {
    if record.is_writable() {
        write(record);
    } else {
        tracing::warn!("a member's name has control characters: it is not written to the snapshot");
    }
}

/// The maximum delay of the member clock in the snapshot without a member event (`clockUpdateInterval` in serf's
/// snapshot.go).
const SNAPSHOT_CLOCK_INTERVAL: Duration = Duration::from_millis(500);
