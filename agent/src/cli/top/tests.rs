//! The state and its view, without a terminal and without an agent.

use core::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::civil::time;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::events::{Happening, Severity};
use super::keys::{Effect, Key};
use super::rows::{Column, Lookup, Shown};
use super::state::{News, Now, Offers, Poll, State, WhyAnswer};
use super::view;
use crate::rpc::{EventRecord, Member, PartitionShare, Record, Stats, Versions, Why};

thread_local! {
    /// Rows that were formatted on this thread.
    pub(super) static FORMATTED: Cell<usize> = const { Cell::new(0) };
}

/// A state on virtual time.
struct Top {
    state: State,
    now: Now,
    size: (u16, u16),
}

impl Top {
    fn new(columns: u16, rows: u16) -> Self {
        let now = Now { at: Instant::now(), clock: time(12, 0, 0, 0) };
        Self { state: State::new("zone", now), now, size: (columns, rows) }
    }

    fn after(&mut self, secs: u64) {
        let pause = Duration::from_secs(secs);
        self.now = Now { at: self.now.at + pause, clock: self.now.clock.wrapping_add(pause) };
    }

    fn take(&mut self, news: News) {
        self.state.apply(news, self.now);
    }

    fn poll(&mut self, members: &[Member], lookups: &[(&str, Lookup)]) {
        self.poll_from(members, lookups, Offers::ALL);
    }

    fn poll_from(&mut self, members: &[Member], lookups: &[(&str, Lookup)], offers: Offers) {
        let lookups = lookups.iter().map(|(name, lookup)| ((*name).to_owned(), lookup.clone())).collect();
        self.take(News::Polled(Box::new(Poll { members: members.to_vec(), stats: stats(), lookups, offers })));
    }

    fn event(&mut self, event: EventRecord) {
        self.take(News::Record(Box::new(Record::Event { event: Some(event), body: Vec::new() })));
    }

    fn log(&mut self, line: &str) {
        self.take(News::Record(Box::new(Record::Log(line.into()))));
    }

    fn press(&mut self, key: Key) -> Effect {
        self.state.press(key, self.now)
    }

    fn keys(&mut self, letters: &str) {
        for letter in letters.chars() {
            assert_eq!(self.press(Key::Letter(letter)), Effect::Nothing);
        }
    }

    fn screen(&mut self) -> String {
        let (columns, rows) = self.size;
        self.state.resize(columns, rows);
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("is in memory");
        terminal.draw(|frame| view::view(&self.state, frame)).expect("is in memory");
        view::text_of(terminal.backend().buffer())
    }

    /// The names of the table in its order.
    fn names(&self) -> Vec<&str> {
        self.state.order.iter().map(|at| self.state.rows[*at].member.name.as_str()).collect()
    }

    fn selected(&self) -> &str {
        self.names()[self.state.selected]
    }
}

fn stats() -> Stats {
    let group = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    BTreeMap::from([
        ("agent".into(), group(&[("name", "a")])),
        ("serf".into(), group(&[("health_score", "0"), ("encrypted", "true")])),
    ])
}

fn member(name: &str, last: u8, status: &str, tags: &[(&str, &str)]) -> Member {
    Member {
        name: name.into(),
        addr: Some(IpAddr::from([10, 0, 0, last])),
        port: 7946,
        tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        status: status.into(),
        protocol: Versions::default(),
        delegate: Versions::default(),
    }
}

fn rtt(micros: u64) -> Lookup {
    Lookup { rtt: Some(Duration::from_micros(micros)), accusers: None }
}

fn suspected_by(accusers: &[&str]) -> Lookup {
    Lookup { rtt: None, accusers: Some(accusers.iter().map(|name| (*name).to_owned()).collect()) }
}

fn three() -> [Member; 3] {
    [
        member("c", 3, "failed", &[("zone", "west")]),
        member("a", 1, "alive", &[("role", "web"), ("zone", "east")]),
        member("b", 2, "alive", &[("role", "db"), ("zone", "west")]),
    ]
}

fn normal(columns: u16, rows: u16) -> Top {
    let mut top = Top::new(columns, rows);
    top.take(News::Subscribed);
    top.poll(&three(), &[("a", rtt(0)), ("b", rtt(61_200))]);
    top.after(1);
    top.event(EventRecord::Members { event: "member-failed".into(), members: vec![three()[0].clone()] });
    top.event(EventRecord::User {
        lamport: 3,
        name: "deploy".into(),
        payload: Some(b"secret".into()),
        coalesce: false,
    });
    top
}

#[test]
fn the_screen_shows_members_events_figures_and_keys() {
    assert_eq!(
        normal(80, 18).screen(),
        "\
a  3 members:  2 alive  0 suspected  0 leaving  0 left  1 failed
events/s 2.0  queries/s 0.0  health 0 (good)  encrypted yes  12:00:01
zones:  east 1/1 live  west 1/2 live
name ^    address        status     zone    rtt              tags
a         10.0.0.1:7946  alive      east      0.00 ms #      role=web,zone=east
b         10.0.0.2:7946  alive      west      61.2 ms ####   role=db,zone=west
c         10.0.0.3:7946  failed     west            -        zone=west





-- events ----------------------------------------------------------------------
12:00:01  user           deploy (6 bytes)
12:00:01  member-failed  c


q quit  s sort  r reverse  / filter  f status  enter why  p pause  esc no filter
"
    );
}

#[test]
fn a_narrow_screen_keeps_name_status_and_round_trip_time() {
    assert_eq!(
        normal(40, 16).screen(),
        "\
a  3 members:  2 alive  0 suspected
0 leaving  0 left  1 failed
events/s 2.0  queries/s 0.0
health 0 (good)  encrypted yes  12:00:01
zones:  east 1/1 live  west 1/2 live
name ^    status     rtt
a         alive        0.00 ms #
b         alive        61.2 ms ####
c         failed             -


-- events ------------------------------
12:00:01  user           deploy (6 byte\u{2026}
12:00:01  member-failed  c

q quit  s sort  r reverse  / filter  f \u{2026}
"
    );
}

#[test]
fn a_very_small_screen_keeps_half_for_the_table() {
    assert_eq!(
        normal(30, 8).screen(),
        "\
a  3 members:  2 alive
0 suspected  0 leaving  0 left
1 failed
events/s 2.0  queries/s 0.0
name ^    status     rtt
a         alive        0.00 ms
b         alive        61.2 ms
q quit  s sort  r reverse  / \u{2026}
"
    );
}

#[test]
fn every_size_of_the_terminal_can_be_drawn() {
    for columns in [1, 2, 7, 20, 39, 80, 300] {
        for rows in [1, 2, 3, 5, 9, 12, 60] {
            let mut top = normal(columns, rows);
            top.screen();
            top.press(Key::Enter);
            top.screen();
        }
    }
}

#[test]
fn a_filter_selects_by_name_address_and_tag_and_can_be_undone() {
    let mut top = normal(80, 18);
    top.keys("/ROLE=");
    assert_eq!(top.names(), ["a", "b"]);
    top.press(Key::Down);
    assert_eq!(top.selected(), "b");
    assert!(top.screen().contains("\n/ROLE=_  enter: keep  esc: undo\n"));
    top.press(Key::Backspace);
    top.keys("=db");
    top.press(Key::Enter);
    assert_eq!(top.names(), ["b"]);
    let screen = top.screen();
    assert!(screen.starts_with("FILTER: 1 of 3 members, with \"ROLE=db\"\na  3 members:  2 alive"), "{screen}");
    // An undone change leaves the filter before it; escape in the table removes it.
    top.keys("/q");
    assert_eq!(top.names(), Vec::<&str>::new());
    assert!(top.screen().contains("\nNo member passes the filter.\n"));
    assert_eq!(top.press(Key::Enter), Effect::Nothing);
    top.keys("/x");
    top.press(Key::Escape);
    top.press(Key::Escape);
    assert_eq!(top.names(), ["a", "b", "c"]);
    top.keys("/10.0.0.3");
    assert_eq!(top.names(), ["c"]);
    top.press(Key::Escape);
    // By status.
    let mut seen = Vec::new();
    for _ in 0..6 {
        top.keys("f");
        seen.push((top.state.status_filter.map(Shown::name), top.names().len()));
    }
    let expected = [
        (Some("alive"), 2),
        (Some("suspected"), 0),
        (Some("failed"), 1),
        (Some("leaving"), 0),
        (Some("left"), 0),
        (None, 3),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn rows_are_sorted_by_every_column_in_both_directions() {
    let mut top = normal(80, 18);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push((top.state.sort, top.names().concat()));
        top.keys("s");
    }
    let expected = [
        (Column::Name, "abc"),
        (Column::Address, "abc"),
        (Column::Status, "cab"),
        (Column::Zone, "abc"),
        (Column::Rtt, "abc"),
    ];
    assert_eq!(seen, expected.map(|(column, names)| (column, names.to_owned())));
    assert_eq!(top.state.sort, Column::Name);
    top.keys("r");
    assert_eq!(top.names(), ["c", "b", "a"]);
    assert!(top.screen().contains("\nname v "));
}

#[test]
fn the_selection_follows_its_member() {
    let mut top = normal(80, 18);
    top.press(Key::Down);
    assert_eq!(top.selected(), "b");
    let mut more = three().to_vec();
    more.extend([member("z", 9, "alive", &[]), member("aa", 8, "alive", &[])]);
    top.poll(&more, &[]);
    assert_eq!((top.selected(), top.state.selected), ("b", 2));
    top.press(Key::Home);
    top.press(Key::Up);
    assert_eq!(top.selected(), "a");
    top.press(Key::End);
    top.press(Key::Down);
    assert_eq!(top.selected(), "z");
    // After sorting the first row is selected.
    top.keys("r");
    assert_eq!((top.selected(), top.state.selected), ("z", 0));
}

#[test]
fn text_of_other_nodes_cannot_act_on_the_terminal_or_break_the_table() {
    let mut top = Top::new(80, 18);
    let hostile = "x\x1b[2J\n\u{202e}evil";
    let tags = [("zone", "\x1b]0;title\x07"), ("k\r", "\u{9b}31m")];
    top.poll(&[member(hostile, 1, "alive", &tags), member("\u{4f60}\u{597d}\u{4f60}\u{597d}", 2, "alive", &[])], &[]);
    top.event(EventRecord::User { lamport: 1, name: hostile.into(), payload: None, coalesce: false });
    top.log("2026/11/29 11:59:58 [WARN] serf: \x1b[31mred");
    top.take(News::Lost("\x1b[1m".into()));
    top.keys("/");
    top.press(Key::Escape);
    let screen = top.screen();
    assert_eq!(
        screen,
        "\
CONNECTION LOST at 12:00:00, reconnecting  \\x1b[1m
a  2 members:  2 alive  0 suspected  0 leaving  0 left  0 failed
events/s -  queries/s -  health 0 (good)  encrypted yes  12:00:00
zones:  \\x1b]0;title\\a 1/1 live  (none) 1/1 live
name ^        address        status     zone           rtt              tags
x\\x1b[2J\\n\\\u{2026}  10.0.0.1:7946  alive      \\x1b]0;title\u{2026}          -        k\\r=\\u0\u{2026}
\u{4f60}\u{597d}\u{4f60}\u{597d}      10.0.0.2:7946  alive      -                      -






-- events ----------------------------------------------------------------------
11:59:58  warning        serf: \\x1b[31mred
12:00:00  user           x\\x1b[2J\\n\\u202eevil (0 bytes)

q quit  s sort  r reverse  / filter  f status  enter why  p pause  esc no filter
"
    );
    top.press(Key::Enter);
    top.take(News::Why(hostile.into(), WhyAnswer::Failed("\x1b[2J".into())));
    let all = top.screen();
    assert!(all.contains("why x\\x1b[2J\\n\\u202eevil") && all.contains("agent: \\x1b[2J"), "{all}");
    assert!(!(screen + &all).chars().any(|letter| letter != '\n' && crate::quote::acts(letter)));
}

#[test]
fn an_empty_cluster_and_an_agent_without_an_answer_are_shown() {
    let mut top = Top::new(80, 12);
    assert!(top.screen().contains("\nNo answer from the agent yet.\n"));
    assert_eq!(top.press(Key::Enter), Effect::Nothing);
    top.poll(&[], &[]);
    assert_eq!(
        top.screen(),
        "\
a  0 members:  0 alive  0 suspected  0 leaving  0 left  0 failed
events/s -  queries/s -  health 0 (good)  encrypted yes  12:00:00
name ^    address  status     rtt
The agent knows no member.



-- events ----------------------------------------------------------------------
The agent sends no events.


q quit  s sort  r reverse  / filter  f status  enter why  p pause  esc no filter
"
    );
}

#[test]
fn of_5000_members_only_the_visible_rows_are_formatted() {
    let names: Vec<String> = (0..5000).map(|at| format!("n{at:04}")).collect();
    let members: Vec<Member> = names.iter().map(|name| member(name, 1, "alive", &[("zone", "z")])).collect();
    let mut top = Top::new(80, 40);
    top.screen();
    FORMATTED.set(0);
    top.poll(&members, &[]);
    top.keys("sr");
    assert_eq!(FORMATTED.get(), 0);
    let screen = top.screen();
    let rows = FORMATTED.get();
    assert!((20..40).contains(&rows), "{rows}");
    assert_eq!(top.state.visible_names().len(), rows);
    assert!(screen.contains("5000 members:  5000 alive") && screen.contains("\nn4999") && !screen.contains("n0000"));
    for _ in 0..3 {
        top.press(Key::PageDown);
    }
    assert_eq!(top.state.selected, 3 * (rows - 1));
    let selected = top.selected().to_owned();
    let screen = top.screen();
    assert!(screen.contains(&selected) && !screen.contains("n4999"));
    assert_eq!(FORMATTED.get(), 2 * rows);
    top.press(Key::End);
    assert!(top.screen().contains("n0000"));
}

#[test]
fn suspicions_appear_and_end_as_the_agent_reports_them() {
    let mut top = normal(80, 18);
    top.poll(&three(), &[("b", suspected_by(&["a", "d"]))]);
    let screen = top.screen();
    assert!(screen.contains("  1 alive  1 suspected  ") && screen.contains("10.0.0.2:7946  suspected"), "{screen}");
    assert!(screen.contains("12:00:01  suspicion      b is suspected by a, d\n"), "{screen}");
    // Not requested in this round, so nothing changes.
    top.poll(&three(), &[]);
    assert!(top.screen().contains("  1 suspected  "));
    top.poll(&three(), &[("b", rtt(5))]);
    assert!(top.screen().contains("suspicion      b is not suspected any more\n"));
    top.poll(&three(), &[("b", suspected_by(&["a"]))]);
    let mut failed = three();
    failed[2].status = "failed".into();
    let events = top.state.events.len();
    top.poll(&failed, &[]);
    // The event comes from the stream.
    assert_eq!(top.state.events.len(), events);
    assert!(top.screen().contains("  0 suspected  ") && top.screen().contains("  2 failed\n"));
}

#[test]
fn agents_of_hashicorp_report_suspicions_in_their_log_only() {
    let mut top = Top::new(80, 18);
    top.poll_from(&three(), &[], Offers { coordinates: true, why: false });
    top.log("2026/11/29 11:59:57 [INFO] memberlist: Suspect b has failed, no acks received");
    top.log(
        "2026/11/29 11:59:58 [INFO] memberlist: Marking b as failed, suspect timeout reached (0 peer confirmations)",
    );
    top.log("2026/11/29 11:59:58 [INFO] serf: EventMemberFailed: b 10.0.0.2");
    top.log("{\"level\":\"info\"}");
    let screen = top.screen();
    assert!(screen.contains("  - suspected  "), "{screen}");
    assert!(
        screen.contains(
            "\n11:59:58  suspicion      Marking b as failed, suspect timeout reached (0 peer c\u{2026}\n\
             11:59:57  suspicion      Suspect b has failed, no acks received\n\n"
        ),
        "{screen}"
    );
    assert_eq!(top.press(Key::Enter), Effect::AskWhy("a".into()));
    top.take(News::Why("a".into(), WhyAnswer::NotOffered));
    assert!(top.screen().contains("\nNot offered by this agent: it is HashiCorp's, or older"));
}

#[test]
fn enter_shows_why_for_the_selected_member_and_escape_the_events_again() {
    let mut top = normal(80, 24);
    top.press(Key::End);
    assert_eq!(top.press(Key::Enter), Effect::AskWhy("c".into()));
    assert!(top.screen().contains("-- why c ---") && top.screen().contains("\nAsking the agent.\n"));
    let why = Why { agent: "a".into(), status: "failed".into(), address: "10.0.0.3:7946".into(), ..Why::default() };
    // An answer for a pane that was closed meanwhile changes nothing.
    top.take(News::Why("b".into(), WhyAnswer::Known(Box::new(why.clone()))));
    assert!(top.screen().contains("\nAsking the agent.\n"));
    top.take(News::Why("c".into(), WhyAnswer::Known(Box::new(why))));
    assert!(top.screen().contains("\nc (10.0.0.3:7946) is failed, as a sees it.\nIt happened before this agent came"));
    top.press(Key::Down);
    assert!(!top.screen().contains("as a sees it"));
    assert_eq!(top.press(Key::Escape), Effect::Nothing);
    assert!(top.screen().contains("-- events ---"));
    assert_eq!(top.press(Key::Letter('q')), Effect::Quit);
    assert_eq!(top.press(Key::Interrupt), Effect::Quit);
}

#[test]
fn a_pause_holds_the_view_and_loses_nothing() {
    let mut top = normal(80, 18);
    top.keys("p");
    let before = top.screen();
    assert!(before.starts_with("PAUSED at 12:00:01\n") && before.contains("  p resume  "), "{before}");
    top.after(5);
    top.poll(&[], &[]);
    top.event(EventRecord::Query { id: 1, lamport: 2, name: "load".into(), payload: None });
    assert_eq!(top.screen(), before);
    top.keys("p");
    let after = top.screen();
    assert!(after.contains("0 members:") && after.contains("12:00:06  query          load (0 bytes)\n"), "{after}");
    assert!(after.contains("queries/s 0.2"), "{after}");
}

#[test]
fn a_lost_connection_keeps_the_last_view_and_says_since_when() {
    let mut top = normal(80, 18);
    top.after(9);
    top.take(News::Lost("client closed".into()));
    top.take(News::Unsubscribed);
    top.after(5);
    top.take(News::Lost("dial tcp 127.0.0.1:7373: connect: connection refused".into()));
    let screen = top.screen();
    let expected = "CONNECTION LOST at 12:00:10, reconnecting\n\
        dial tcp 127.0.0.1:7373: connect: connection refused\na  3 members:";
    assert!(screen.starts_with(expected) && screen.contains("events/s -  queries/s -"), "{screen}");
    top.poll(&three(), &[]);
    assert!(top.screen().starts_with("a  3 members:"));
}

#[test]
fn a_partition_is_shown_while_it_lasts() {
    let mut top = normal(80, 18);
    let event = |split| {
        let share = PartitionShare { split, alive: 1, largest: 3, majority: false };
        EventRecord::Partition { share, zones_lost: Vec::new(), members: Vec::new() }
    };
    top.event(event(true));
    assert!(top.screen().starts_with("PARTITION: split, 1 of 3 members are alive, a minority\n"));
    top.event(event(false));
    assert!(top.screen().starts_with("a  3 members"));
}

#[test]
fn rates_are_averaged_over_ten_seconds() {
    let mut top = normal(80, 18);
    let query = || EventRecord::Query { id: 1, lamport: 2, name: "q".into(), payload: None };
    (0..20).for_each(|_| top.event(query()));
    top.after(4);
    top.poll(&three(), &[]);
    assert!(top.screen().contains("events/s 0.4  queries/s 4.0"), "{}", top.screen());
    top.after(5);
    top.state.tick(top.now);
    assert!(top.screen().contains("queries/s 2.0"), "{}", top.screen());
    top.after(3);
    top.poll(&three(), &[]);
    assert!(top.screen().contains("events/s 0.0  queries/s 0.0"), "{}", top.screen());
}

#[test]
fn only_the_newest_events_are_kept_and_long_ones_are_cut() {
    let mut top = Top::new(80, 18);
    for _ in 0..300 {
        top.event(EventRecord::User { lamport: 1, name: "x".repeat(9999), payload: None, coalesce: true });
    }
    assert_eq!((top.state.events.len(), top.state.events[0].text.len()), (256, 256));
    let members = (0..20).map(|at| member(&format!("m{at}"), at, "alive", &[])).collect();
    let event = EventRecord::Members { event: "member-join".into(), members };
    let Happening { text, severity, .. } = Happening::of_event(top.now, &event);
    assert_eq!((text.as_str(), severity), ("m0, m1, m2, m3, m4, m5, m6, m7 and 12 more", Severity::Good));
}

#[test]
fn the_plain_frame_has_all_members_and_no_keys() {
    let top = normal(80, 18);
    assert_eq!(
        view::whole(&top.state, 60),
        "\
a  3 members:  2 alive  0 suspected  0 leaving  0 left
1 failed
events/s 2.0  queries/s 0.0  health 0 (good)  encrypted yes
12:00:01
zones:  east 1/1 live  west 1/2 live

name      status     zone    rtt              tags
a         alive      east      0.00 ms #      role=web,zone\u{2026}
b         alive      west      61.2 ms ####   role=db,zone=\u{2026}
c         failed     west            -        zone=west"
    );
    assert_eq!(view::whole(&top.state, 80).lines().count(), 8);
}
