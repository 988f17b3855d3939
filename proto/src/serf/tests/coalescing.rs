use super::*;
use crate::Tags;
use crate::event::UserEvent as Told;

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
