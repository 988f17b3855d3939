use super::*;
use crate::Tags;
use crate::event::UserEvent as Told;
use crate::types::{AfterLeave, Record, Snapshot};

const PERIOD: Duration = secs(3);
const QUIET: Duration = secs(1);

impl Lone {
    /// A layer that coalesces member events and user events.
    fn coalescing() -> Self {
        let mut lone = Self::new(Options::lan().with(|options| {
            options.serf.coalesce_period = PERIOD;
            options.serf.quiescent_period = QUIET;
            options.serf.user_coalesce_period = PERIOD;
            options.serf.user_quiescent_period = QUIET;
        }));
        // `Lone::with` drained the join event of this node; this emits it again for the coalescer.
        lone.alive("a");
        lone.pass_on(secs(5));
        lone
    }

    /// Advances time by `span`. Returns the application's events, each with the milliseconds since the start of the
    /// span.
    fn pass_on(&mut self, span: Duration) -> Vec<String> {
        let (begun, end, mut emitted) = (self.core.now, self.core.now + span, vec![]);
        let mut sink = |at: Instant, delivered: Delivered| {
            let Delivered::Event(event) = delivered else { panic!("no snapshot is kept") };
            let what = match &event {
                Event::User(Told { name, ltime, payload, .. }) => {
                    format!("user {name}@{ltime} {}", String::from_utf8_lossy(payload))
                }
                Event::Member(event) => {
                    let names: Vec<&str> = event.members.names().collect();
                    format!("{} {}", event.kind, names.join(" "))
                }
                other => panic!("not held back: {other:?}"),
            };
            emitted.push(format!("{}: {what}", (at - begun).as_millis()));
        };
        loop {
            let now = self.core.now;
            self.serf.deliver(&mut self.core, |delivered| sink(now, delivered));
            let Some(at) = self.core.timers.next().filter(|&at| at <= end) else { break };
            self.core.now = at;
            self.fire(at, |delivered| sink(at, delivered));
        }
        self.core.now = end;
        emitted
    }

    /// Changes a member's tags.
    pub(super) fn retag(&mut self, name: &str, role: &str) {
        let meta = [("role", role)].into_iter().collect::<Tags>().encode();
        let idx = self.idx(name);
        self.core.roster.set_peer(idx, PeerRef { name, addr: addr(name), meta: &meta, versions: Versions::OURS });
        self.serf.notified(&mut self.core, Notification::Updated(idx));
    }

    /// Notifies that a member failed, and that it is back as it was.
    fn flap(&mut self, name: &str) {
        self.gone(name);
        let idx = self.idx(name);
        self.serf.notified(&mut self.core, Notification::Joined(idx));
    }

    fn hear(&mut self, ltime: u64, name: &str, payload: &[u8], coalesce: bool) {
        let event = UserEvent { ltime, name, payload, coalesce };
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::UserEvent(event)));
    }
}

#[test]
fn joins_within_the_quiescent_period_are_told_together_in_their_order() {
    let mut lone = Lone::coalescing();
    lone.alive("c");
    lone.pass_on(Duration::from_millis(500));
    lone.alive("b");
    assert_eq!(lone.pass_on(secs(9)), ["1000: member-join c b"]);
}

#[test]
fn a_window_closes_after_its_period_though_events_go_on() {
    let mut lone = Lone::coalescing();
    let mut emitted = vec![];
    for name in ["b", "c", "d", "e", "f"] {
        lone.alive(name);
        emitted.extend(lone.pass_on(Duration::from_millis(900)));
    }
    assert_eq!(emitted, ["300: member-join b c d e"]);
    assert_eq!(lone.pass_on(secs(9)), ["100: member-join f"]);
}

#[test]
fn kinds_are_emitted_in_a_fixed_order_and_each_member_once() {
    let mut lone = Lone::coalescing();
    for name in ["b", "c", "d"] {
        lone.alive(name);
    }
    lone.pass_on(secs(9));
    lone.retag("d", "x");
    lone.gone("b");
    lone.hear_leave("c", 50);
    lone.gone("c");
    lone.alive("e");
    assert_eq!(
        lone.pass_on(secs(2)),
        ["1000: member-join e", "1000: member-leave c", "1000: member-failed b", "1000: member-update d"]
    );
}

#[test]
fn a_join_and_an_update_after_it_are_both_emitted() {
    let mut lone = Lone::coalescing();
    lone.alive("b");
    lone.retag("b", "x");
    assert_eq!(lone.pass_on(secs(2)), ["1000: member-join b", "1000: member-update b"]);
}

#[test]
fn a_member_that_failed_and_came_back_is_not_mentioned_unless_it_changed() {
    let mut lone = Lone::coalescing();
    lone.alive("b");
    lone.pass_on(secs(2));
    lone.gone("b");
    lone.alive("b");
    assert_eq!(lone.pass_on(secs(2)), [""; 0]);
    lone.gone("b");
    lone.alive("b");
    lone.retag("b", "x");
    assert_eq!(lone.pass_on(secs(2)), ["1000: member-update b"]);
}

#[test]
fn tags_that_change_and_change_back_within_a_window_are_an_update() {
    let mut lone = Lone::coalescing();
    lone.alive("b");
    lone.retag("b", "x");
    lone.pass_on(secs(2));
    for _ in 0..2 {
        lone.retag("b", "y");
        lone.retag("b", "x");
        assert_eq!(lone.pass_on(secs(2)), ["1000: member-update b"]);
    }
    assert_eq!(lone.pass_on(secs(9)), [""; 0]);
}

#[test]
fn an_update_is_emitted_once_and_not_again_in_later_windows() {
    let mut lone = Lone::coalescing();
    lone.alive("b");
    lone.pass_on(secs(2));
    lone.retag("b", "x");
    assert_eq!(lone.pass_on(secs(2)), ["1000: member-update b"]);
    lone.alive("c");
    assert_eq!(lone.pass_on(secs(2)), ["1000: member-join c"]);
}

#[test]
fn user_events_coalesce_to_the_highest_time_of_each_name_in_lamport_order() {
    let mut lone = Lone::coalescing();
    lone.hear(7, "b", b"x", true);
    lone.hear(5, "a", b"old", true);
    lone.hear(9, "z", b"at once", false);
    lone.hear(6, "a", b"1", true);
    lone.hear(6, "a", b"2", true);
    lone.hear(4, "a", b"older", true);
    assert_eq!(
        lone.pass_on(secs(2)),
        ["0: user z@9 at once", "1000: user a@6 1", "1000: user a@6 2", "1000: user b@7 x"]
    );
    lone.hear(8, "c", b"", true);
    assert_eq!(lone.pass_on(secs(2)), ["1000: user c@8 "], "what was emitted is not emitted again");
}

#[test]
fn a_flood_of_names_closes_the_window_at_once() {
    let mut lone = Lone::new(Options::lan().with(|options| {
        options.serf.user_coalesce_period = PERIOD;
        options.serf.user_quiescent_period = QUIET;
        options.serf.event_buffer = 8192;
    }));
    for ltime in 1..=4096 {
        lone.hear(ltime, &format!("n{ltime}"), b"", true);
    }
    let emitted = lone.pass_on(Duration::ZERO);
    assert_eq!((emitted.len(), &*emitted[0], &*emitted[4095]), (4096, "0: user n1@1 ", "0: user n4096@4096 "));
}

#[test]
fn with_only_one_of_the_two_periods_nothing_is_held_back() {
    let mut lone = Lone::new(Options::lan().with(|options| {
        options.serf.coalesce_period = PERIOD;
        options.serf.user_quiescent_period = QUIET;
    }));
    lone.alive("b");
    lone.hear(5, "x", b"", true);
    assert_eq!(lone.pass_on(Duration::ZERO), ["0: member-join b", "0: user x@5 "]);
}

#[test]
fn a_member_that_was_updated_and_then_failed_and_came_back_is_not_mentioned() {
    let mut lone = Lone::coalescing();
    lone.alive("b");
    lone.pass_on(secs(2));
    lone.retag("b", "x");
    assert_eq!(lone.pass_on(secs(2)), ["1000: member-update b"]);
    lone.flap("b");
    assert_eq!(lone.pass_on(secs(2)), [""; 0]);
}

#[test]
fn a_member_that_fails_in_one_window_and_is_back_in_the_next_is_mentioned_in_both() {
    let mut lone = Lone::coalescing();
    lone.alive("b");
    lone.pass_on(secs(2));
    for _ in 0..2 {
        lone.gone("b");
        assert_eq!(lone.pass_on(secs(2)), ["1000: member-failed b"]);
        lone.alive("b");
        assert_eq!(lone.pass_on(secs(2)), ["1000: member-join b"]);
    }
}

#[test]
fn a_member_whose_join_was_never_told_counts_as_joined_once_it_is_updated() {
    let mut lone = Lone::coalescing();
    lone.alive("b");
    lone.alive("c");
    lone.core.events.clear();
    lone.retag("b", "x");
    lone.gone("c");
    assert_eq!(lone.pass_on(secs(2)), ["1000: member-failed c", "1000: member-update b"]);
    lone.flap("b");
    lone.alive("c");
    assert_eq!(lone.pass_on(secs(2)), ["1000: member-join c"]);
}

// Records: what goes to the snapshot.

impl Lone {
    /// A layer that records its events, with a member `b`.
    fn recording() -> Self {
        Self::with(Options::lan().with(|options| options.serf.snapshot = true), &["b"])
    }

    /// Advances time by `span`. Returns the records, each with the milliseconds since the start of the span.
    fn record(&mut self, span: Duration) -> Vec<String> {
        let (begun, end, mut records) = (self.core.now, self.core.now + span, vec![]);
        let mut sink = |at: Instant, delivered: Delivered| {
            if let Delivered::Record(record) = delivered {
                records.push(format!("{}: {}", (at - begun).as_millis(), record.line().trim_end()));
            }
        };
        self.serf.deliver(&mut self.core, |delivered| sink(begun, delivered));
        while let Some(at) = self.core.timers.next().filter(|&at| at <= end) {
            self.core.now = at;
            self.fire(at, |delivered| sink(at, delivered));
        }
        self.core.now = end;
        records
    }
}

#[test]
fn a_clock_that_moves_all_the_time_is_recorded_within_half_a_second() {
    let mut lone = Lone::recording();
    lone.hear_join("b", 5);
    assert_eq!(lone.record(Duration::from_millis(300)), [""; 0]);
    lone.hear_join("b", 6);
    assert_eq!(lone.record(Duration::from_millis(300)), ["200: clock: 6"]);
    assert_eq!((lone.record(secs(5)), lone.core.timers.next()), (vec![], None), "it rests while the clock does");
}

#[test]
fn an_event_that_is_not_newer_than_the_recorded_one_is_not_recorded() {
    let mut lone = Lone::recording();
    for (ltime, name) in [(5, "first"), (5, "same time"), (4, "older"), (6, "newer")] {
        lone.hear_event(ltime, name, b"");
    }
    assert_eq!(lone.record(secs(5)), ["0: event-clock: 5", "0: event-clock: 6"]);
}

#[test]
fn a_node_that_resumes_records_no_time_that_its_snapshot_has() {
    let mut lone = Lone::recording();
    let mut snapshot = Snapshot::new(AfterLeave::Forget);
    [Record::Clock(7), Record::EventClock(8), Record::QueryClock(9)].iter().for_each(|record| snapshot.apply(record));
    lone.serf.resume(&snapshot);
    assert_eq!((lone.record(secs(5)), lone.serf.times()), (vec![], times(8, 9, 10)));
    lone.hear_join("b", 8);
    lone.hear_event(9, "next", b"");
    assert_eq!(lone.record(secs(5)), ["0: event-clock: 9", "500: clock: 8"]);
}
