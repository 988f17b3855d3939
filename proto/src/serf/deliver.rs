//! Event delivery: records each event for the snapshot, then coalesces it or passes it to the application.

use alloc::boxed::Box;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Serf;
use super::coalesce::{MemberCoalescer, UserCoalescer};
use super::lamport::LamportClock;
use super::recorder::Recorder;
use crate::config::Config;
use crate::core::Core;
use crate::event::Event;
use crate::time::Instant;
use crate::timer::SerfTimer;
use crate::types::{Record, Snapshot};

/// The stages between the layer and the application; each is optional.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Delivery {
    recorder: Option<Recorder>,
    users: Option<UserCoalescer>,
    members: Option<MemberCoalescer>,
}

/// Output of the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// A snapshot record. Precedes the event that it describes.
    Record(Record),
    /// An event for the application.
    Event(Event),
}

impl Delivery {
    /// The payloads of the user events that are held back.
    pub(super) fn payloads_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        self.users.iter_mut().flat_map(UserCoalescer::payloads_mut)
    }

    /// `None` if no stage is configured.
    pub(super) fn new(cfg: &Config) -> Option<Box<Self>> {
        let recorder = cfg.serf().snapshot.then(Recorder::default);
        let users = UserCoalescer::new(cfg.serf().user_coalesce_period, cfg.serf().user_quiescent_period);
        let members = MemberCoalescer::new(cfg.serf().coalesce_period, cfg.serf().quiescent_period);
        let wanted = recorder.is_some() || users.is_some() || members.is_some();
        wanted.then(|| Box::new(Self { recorder, users, members }))
    }

    /// Resumes from a snapshot.
    pub(super) fn resume(&mut self, snapshot: &Snapshot) {
        if let Some(recorder) = &mut self.recorder {
            recorder.resume(snapshot);
        }
    }

    /// Records all pending events, and passes on or coalesces each of them.
    fn deliver(&mut self, core: &mut Core, clock: LamportClock, newest_query: u64, mut sink: impl FnMut(Delivered)) {
        for event in core.events.drain(..) {
            // The record precedes the event: if the process stops in between, the snapshot must not be behind the
            // application.
            if let Some(recorder) = &mut self.recorder {
                recorder.note(&event, clock, |record| sink(Delivered::Record(record)));
            }
            self.coalesce(core.now, event, &mut sink);
        }
        if let Some(recorder) = &mut self.recorder {
            // Not in `note`: internal queries move the clock without an event.
            recorder.note_query(newest_query, |record| sink(Delivered::Record(record)));
            recorder.watch_clock(core.now, clock);
        }
        match self.due() {
            Some(at) => core.timers.set(SerfTimer::Deliver, at),
            None => core.timers.clear(SerfTimer::Deliver),
        }
    }

    fn deliver_due(&mut self, now: Instant, clock: LamportClock, mut sink: impl FnMut(Delivered)) {
        self.flush(now, &mut sink);
        if let Some(recorder) = &mut self.recorder {
            recorder.note_clock_due(now, clock, |record| sink(Delivered::Record(record)));
        }
    }

    /// Passes an event on, unless a coalescer takes it.
    fn coalesce(&mut self, now: Instant, event: Event, sink: &mut impl FnMut(Delivered)) {
        match (event, &mut self.users, &mut self.members) {
            (Event::User(event), Some(users), _) if event.coalesce => users.hold(now, event),
            (Event::Member(event), _, Some(members)) => members.hold(now, event),
            (event, ..) => {
                // The end of our leave is the last event: whatever is held back must precede it.
                if matches!(event, Event::LeftCluster(_)) {
                    self.flush(Instant::MAX, sink);
                }
                sink(Delivered::Event(event));
            }
        }
    }

    /// Closes the windows that are due at `now`.
    fn flush(&mut self, now: Instant, sink: &mut impl FnMut(Delivered)) {
        let is_due = |due: Option<Instant>| due.is_some_and(|at| at <= now);
        if let Some(users) = self.users.as_mut().filter(|users| is_due(users.due())) {
            users.flush(|event| sink(Delivered::Event(event)));
        }
        if let Some(members) = self.members.as_mut().filter(|members| is_due(members.due())) {
            members.flush(|event| sink(Delivered::Event(event)));
        }
    }

    /// Memory used by the coalescer of user events, in bytes.
    pub(super) fn coalesced_bytes(&self) -> usize {
        self.users.as_ref().map_or(0, UserCoalescer::bytes)
    }

    /// The earliest deadline of the stages.
    fn due(&self) -> Option<Instant> {
        let recorder = self.recorder.as_ref().and_then(Recorder::due);
        let users = self.users.as_ref().and_then(UserCoalescer::due);
        let members = self.members.as_ref().and_then(MemberCoalescer::due);
        [recorder, users, members].into_iter().flatten().min()
    }
}

impl Serf {
    /// Passes on all pending events of the core.
    pub(crate) fn deliver(&mut self, core: &mut Core, mut sink: impl FnMut(Delivered)) {
        match &mut self.delivery {
            Some(delivery) => delivery.deliver(core, self.clocks.member, self.queries.newest(), sink),
            None => core.events.drain(..).for_each(|event| sink(Delivered::Event(event))),
        }
    }

    /// Passes on coalesced events and records that are due.
    pub(super) fn deliver_due(&mut self, core: &Core, sink: impl FnMut(Delivered)) {
        if let Some(delivery) = &mut self.delivery {
            delivery.deliver_due(core.now, self.clocks.member, sink);
        }
    }

    /// The record of our leave; `None` without a snapshot. From here on the recorder ignores member events.
    pub(crate) fn record_leave(&mut self) -> Option<Record> {
        Some(self.delivery.as_mut()?.recorder.as_mut()?.leave())
    }
}
