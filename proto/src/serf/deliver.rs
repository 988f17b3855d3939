//! The way of events to the application: first into the snapshot, then through the coalescers.

use alloc::boxed::Box;
use core::time::Duration;

use super::Serf;
use super::coalesce::{MemberCoalescer, UserCoalescer};
use super::record::Recorder;
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
        let recorder = cfg.snapshot.then(Recorder::default);
        let users = UserCoalescer::new(cfg.user_coalesce_period, cfg.user_quiescent_period);
        let members = MemberCoalescer::new(cfg.coalesce_period, cfg.quiescent_period);
        let wanted = recorder.is_some() || users.is_some() || members.is_some();
        wanted.then(|| Box::new(Self { recorder, users, members }))
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
        let recorder = self.recorder.as_ref().and_then(|recorder| recorder.due);
        let users = self.users.as_ref().and_then(UserCoalescer::due);
        let members = self.members.as_ref().and_then(MemberCoalescer::due);
        [recorder, users, members].into_iter().flatten().min()
    }
}

impl Serf {
    /// Begins where an earlier life ended: clocks are after all that it saw, and its events are not delivered again.
    pub(crate) fn resume(&mut self, snapshot: &Snapshot) {
        self.clock.resume(snapshot.clock());
        self.event_clock.resume(snapshot.event_clock());
        self.query_clock.resume(snapshot.query_clock());
        self.event_min = snapshot.event_clock() + 1;
        self.queries.time_min = snapshot.query_clock() + 1;
        if let Some(recorder) = self.delivery.as_mut().and_then(|delivery| delivery.recorder.as_mut()) {
            recorder.resume(snapshot);
        }
    }

    /// Passes on everything that the core has for the application.
    pub(crate) fn deliver(&mut self, core: &mut Core, mut sink: impl FnMut(Delivered)) {
        let Some(delivery) = &mut self.delivery else {
            return core.events.drain(..).for_each(|event| sink(Delivered::Event(event)));
        };
        for event in core.events.drain(..) {
            if let Some(recorder) = &mut delivery.recorder {
                recorder.note(&event, self.clock, |record| sink(Delivered::Record(record)));
            }
            delivery.coalesce(core.now, event, &mut sink);
        }
        if let Some(recorder) = &mut delivery.recorder {
            recorder.note_query(self.queries.newest, |record| sink(Delivered::Record(record)));
        }
        if let Some(recorder) = &mut delivery.recorder
            && recorder.due.is_none()
            && recorder.is_behind(self.clock)
        {
            recorder.due = Some(core.now + SNAPSHOT_CLOCK_INTERVAL);
        }
        match delivery.due() {
            Some(at) => core.timers.set(SerfTimer::Deliver, at),
            None => core.timers.clear(SerfTimer::Deliver),
        }
    }

    /// Passes on what has been held back for long enough.
    pub(crate) fn deliver_due(&mut self, core: &Core, mut sink: impl FnMut(Delivered)) {
        let Some(delivery) = &mut self.delivery else { return };
        delivery.flush(core.now, &mut sink);
        if let Some(recorder) = &mut delivery.recorder
            && recorder.due.is_some_and(|at| at <= core.now)
        {
            recorder.note_clock(self.clock, |record| sink(Delivered::Record(record)));
        }
    }

    /// We are about to leave: what the snapshot is to say of it.
    pub(crate) fn record_leave(&mut self) -> Option<Record> {
        Some(self.delivery.as_mut()?.recorder.as_mut()?.leave())
    }
}

/// How long the snapshot's clock of members may be behind when no member event comes (`clockUpdateInterval` in serf).
const SNAPSHOT_CLOCK_INTERVAL: Duration = Duration::from_millis(500);
