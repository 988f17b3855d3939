//! The way of events to the application: first into the snapshot, then through the coalescers.

use alloc::boxed::Box;

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

/// What is done to events on their way.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    recorder: Option<Recorder>,
    users: Option<UserCoalescer>,
    members: Option<MemberCoalescer>,
}

/// What leaves the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// For the snapshot, before the event that it is about.
    Record(Record),
    /// For the application.
    Event(Event),
}

impl Delivery {
    /// `None` when nothing is done to events.
    pub(super) fn new(cfg: &Config) -> Option<Box<Self>> {
        let recorder = cfg.serf().snapshot.then(Recorder::default);
        let users = UserCoalescer::new(cfg.serf().user_coalesce_period, cfg.serf().user_quiescent_period);
        let members = MemberCoalescer::new(cfg.serf().coalesce_period, cfg.serf().quiescent_period);
        let wanted = recorder.is_some() || users.is_some() || members.is_some();
        wanted.then(|| Box::new(Self { recorder, users, members }))
    }

    /// Goes on with the snapshot of an earlier life.
    pub(super) fn resume(&mut self, snapshot: &Snapshot) {
        if let Some(recorder) = &mut self.recorder {
            recorder.resume(snapshot);
        }
    }

    /// Records and passes on, or holds back, everything that the core has for the application.
    fn deliver(&mut self, core: &mut Core, clock: LamportClock, newest_query: u64, mut sink: impl FnMut(Delivered)) {
        for event in core.events.drain(..) {
            // Before the event is delivered or held back: the file must not be behind what the application knows.
            if let Some(recorder) = &mut self.recorder {
                recorder.note(&event, clock, |record| sink(Delivered::Record(record)));
            }
            self.coalesce(core.now, event, &mut sink);
        }
        if let Some(recorder) = &mut self.recorder {
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

    /// Holds an event back, or passes it on.
    fn coalesce(&mut self, now: Instant, event: Event, sink: &mut impl FnMut(Delivered)) {
        match (event, &mut self.users, &mut self.members) {
            (Event::User(event), Some(users), _) if event.coalesce => users.hold(now, event),
            (Event::Member(event), _, Some(members)) => members.hold(now, event),
            (event, ..) => {
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

    /// What the coalescer of user events holds back, in bytes.
    pub(super) fn coalesced_bytes(&self) -> usize {
        self.users.as_ref().map_or(0, UserCoalescer::bytes)
    }

    /// When something that is held back is due.
    fn due(&self) -> Option<Instant> {
        let recorder = self.recorder.as_ref().and_then(Recorder::due);
        let users = self.users.as_ref().and_then(UserCoalescer::due);
        let members = self.members.as_ref().and_then(MemberCoalescer::due);
        [recorder, users, members].into_iter().flatten().min()
    }
}

impl Serf {
    /// Passes on everything that the core has for the application.
    pub(crate) fn deliver(&mut self, core: &mut Core, mut sink: impl FnMut(Delivered)) {
        match &mut self.delivery {
            Some(delivery) => delivery.deliver(core, self.clocks.member, self.queries.newest(), sink),
            None => core.events.drain(..).for_each(|event| sink(Delivered::Event(event))),
        }
    }

    /// Passes on what has been held back for long enough.
    pub(super) fn deliver_due(&mut self, core: &Core, sink: impl FnMut(Delivered)) {
        if let Some(delivery) = &mut self.delivery {
            delivery.deliver_due(core.now, self.clocks.member, sink);
        }
    }

    /// We are about to leave: what the snapshot is to say of it.
    pub(crate) fn record_leave(&mut self) -> Option<Record> {
        Some(self.delivery.as_mut()?.recorder.as_mut()?.leave())
    }
}
