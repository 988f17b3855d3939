//! What is shown, and how answers of the agent change it. Keys are in [`keys`](super::keys).

use core::ops::Range;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use jiff::civil::Time;

use super::events::{Happening, Rate, Severity};
use super::rows::{Column, Counts, Lookup, Row, Shown, is_live};
use super::view;
use crate::quote::{shown, start_of};
use crate::rpc::{EventRecord, Member, PartitionShare, Record, Stats, Why};

/// The time of an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// The local time.
    pub(super) clock: Time,
}

impl Now {
    pub(super) fn read() -> Self {
        Self { at: Instant::now(), clock: jiff::ZonedDateTime::now().time() }
    }
}

/// An input from the agent.
#[derive(Debug)]
pub(super) enum News {
    /// The answers to one round of requests.
    Polled(Box<Poll>),
    /// The requests failed, for this reason. They are repeated.
    Lost(String),
    /// Events and log lines arrive from now on.
    Subscribed,
    /// They do not arrive any more.
    Unsubscribed,
    /// An event or a log line.
    Record(Box<Record>),
    /// The answer about the member of this name.
    Why(String, WhyAnswer),
}

/// The answers to one round of requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Poll {
    pub(super) members: Vec<Member>,
    pub(super) stats: Stats,
    /// What was requested one by one; not of all members in one round.
    pub(super) lookups: Vec<(String, Lookup)>,
    pub(super) offers: Offers,
}

/// What the agent offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    /// Coordinates: an agent may have none.
    pub(super) coordinates: bool,
    /// The command `why`: HashiCorp's agents do not have it.
    pub(super) why: bool,
}

impl Offers {
    /// Assumed until the agent refuses.
    pub(super) const ALL: Self = Self { coordinates: true, why: true };
}

/// The answer to `why`.
#[derive(Clone, Debug)]
pub(super) enum WhyAnswer {
    Known(Box<Why>),
    NotOffered,
    Failed(String),
}

/// What is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) zone_tag: String,
    pub(super) now: Now,
    pub(super) stats: Stats,
    pub(super) offers: Offers,
    /// All members, sorted by name.
    pub(super) rows: Vec<Row>,
    pub(super) counts: Counts,
    /// Indices of the rows that pass the filters, in the order of the table.
    pub(super) order: Vec<usize>,
    pub(super) sort: Column,
    pub(super) is_reversed: bool,
    pub(super) filter: String,
    pub(super) status_filter: Option<Shown>,
    /// While a filter is being typed: the one before it.
    pub(super) filter_before: Option<String>,
    /// Index into `order`.
    pub(super) selected: usize,
    /// The name at `selected`: the selection follows its member.
    pub(super) selected_name: Option<String>,
    /// Index into `order` of the first visible row.
    offset: usize,
    /// Columns and rows of the terminal.
    size: (u16, u16),
    /// The newest is last.
    pub(super) events: VecDeque<Happening>,
    /// Rates of events and queries; `None` while there is no stream.
    pub(super) rates: Option<(Rate, Rate)>,
    pub(super) partition: Option<PartitionShare>,
    /// Since when, and why, requests fail.
    pub(super) lost: Option<(Time, String)>,
    pub(super) why: Option<WhyPane>,
    pub(super) paused: Option<Paused>,
    /// Whether any answer has arrived.
    pub(super) is_known: bool,
}

/// The answer to `why` that covers the events.
#[derive(Clone, Debug)]
pub(super) struct WhyPane {
    pub(super) node: String,
    /// Escaped. `None` until the answer is there.
    pub(super) text: Option<String>,
    /// Lines scrolled away.
    pub(super) scrolled: u16,
}

/// Inputs that are applied when the pause ends.
#[derive(Debug)]
pub(super) struct Paused {
    pub(super) since: Time,
    poll: Option<(Box<Poll>, Now)>,
    records: VecDeque<(Box<Record>, Now)>,
}

impl State {
    pub(super) fn new(zone_tag: &str, now: Now) -> Self {
        Self {
            zone_tag: zone_tag.into(),
            now,
            stats: Stats::new(),
            offers: Offers::default(),
            rows: Vec::new(),
            counts: Counts::default(),
            order: Vec::new(),
            sort: Column::Name,
            is_reversed: false,
            filter: String::new(),
            status_filter: None,
            filter_before: None,
            selected: 0,
            selected_name: None,
            offset: 0,
            size: (80, 24),
            events: VecDeque::new(),
            rates: None,
            partition: None,
            lost: None,
            why: None,
            paused: None,
            is_known: false,
        }
    }

    /// Notes the time. While paused it stands still.
    pub(super) fn tick(&mut self, now: Now) {
        if self.paused.is_none() {
            self.now = now;
        }
    }

    /// Takes an input. While paused the view stays as it is, except for answers to keys and a lost connection.
    pub(super) fn apply(&mut self, news: News, now: Now) {
        self.tick(now);
        match (news, &mut self.paused) {
            (News::Polled(poll), Some(paused)) => {
                self.lost = None;
                paused.poll = Some((poll, now));
            }
            (News::Polled(poll), None) => {
                self.apply_poll(*poll);
                self.reveal();
            }
            (News::Record(record), Some(paused)) => {
                if paused.records.len() == EVENTS_MAX {
                    paused.records.pop_front();
                }
                paused.records.push_back((record, now));
            }
            (News::Record(record), None) => self.apply_record(&record, now),
            (News::Lost(why), _) => {
                let since = self.lost.take().map_or(now.clock, |(since, _)| since);
                self.lost = Some((since, shown(start_of(&why, REASON_BYTES_MAX)).into_owned()));
            }
            (News::Subscribed, _) => self.rates = Some((Rate::new(now.at), Rate::new(now.at))),
            (News::Unsubscribed, _) => self.rates = None,
            (News::Why(node, answer), _) => self.apply_why(&node, &answer),
        }
    }

    /// Notes the size of the terminal. Called before each frame.
    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
        self.reveal();
    }

    pub(super) fn pause_or_resume(&mut self, now: Now) {
        let Some(paused) = self.paused.take() else {
            self.paused = Some(Paused { since: now.clock, poll: None, records: VecDeque::new() });
            return;
        };
        for (record, at) in paused.records {
            self.apply_record(&record, at);
        }
        if let Some((poll, at)) = paused.poll {
            self.now = at;
            self.apply_poll(*poll);
        }
        self.now = now;
    }

    fn apply_poll(&mut self, poll: Poll) {
        self.lost = None;
        self.is_known = true;
        self.stats = poll.stats;
        self.offers = poll.offers;
        let before = core::mem::take(&mut self.rows).into_iter();
        let mut before: BTreeMap<String, Lookup> = before.map(|row| (row.member.name, row.lookup)).collect();
        let mut lookups: BTreeMap<String, Lookup> = poll.lookups.into_iter().collect();
        for member in poll.members {
            let old = before.remove(&member.name);
            let mut lookup = lookups.remove(&member.name).or_else(|| old.clone()).unwrap_or_default();
            if member.status != "alive" {
                lookup.accusers = None;
            }
            if !is_live(&member) {
                lookup.rtt = None;
            }
            self.note_suspicion(&member, old.as_ref(), &lookup);
            self.rows.push(Row { member, lookup });
        }
        self.rows.sort_unstable_by(|a, b| a.member.name.cmp(&b.member.name));
        self.counts = Counts::of(&self.rows, &self.zone_tag);
        self.arrange();
    }

    /// Adds an event when a member that is alive has become suspected, or is not any more.
    fn note_suspicion(&mut self, member: &Member, old: Option<&Lookup>, lookup: &Lookup) {
        let was_suspected = old.is_some_and(|old| old.accusers.is_some());
        let happening = match &lookup.accusers {
            Some(accusers) if !was_suspected => {
                let by = if accusers.is_empty() { String::new() } else { format!(" by {}", accusers.join(", ")) };
                Happening::new(self.now, Severity::Warning, "suspicion", &format!("{} is suspected{by}", member.name))
            }
            None if was_suspected && member.status == "alive" => Happening::new(
                self.now,
                Severity::Good,
                "suspicion",
                &format!("{} is not suspected any more", member.name),
            ),
            _ => return,
        };
        self.add(happening);
    }

    fn apply_record(&mut self, record: &Record, now: Now) {
        match record {
            Record::Event { event: Some(event), .. } => {
                if let Some((events, queries)) = &mut self.rates {
                    if matches!(event, EventRecord::Query { .. }) { queries.note(now.at) } else { events.note(now.at) }
                }
                if let EventRecord::Partition { share, .. } = event {
                    self.partition = share.split.then_some(*share);
                }
                self.add(Happening::of_event(now, event));
            }
            Record::Log(line) => {
                // A new subscription repeats the lines that the agent keeps.
                if let Some(happening) = Happening::of_log(now, line).filter(|line| !self.events.contains(line)) {
                    self.add(happening);
                }
            }
            _ => {}
        }
    }

    fn apply_why(&mut self, node: &str, answer: &WhyAnswer) {
        let Some(pane) = self.why.as_mut().filter(|pane| pane.node == node) else { return };
        let text = match answer {
            WhyAnswer::Known(why) if why.status.is_empty() => "The agent does not know this member any more.".into(),
            WhyAnswer::Known(why) => super::super::why::text(node, why),
            WhyAnswer::NotOffered => "Not offered by this agent: it is HashiCorp's, or older than this program.".into(),
            WhyAnswer::Failed(why) => format!("Error asking the agent: {why}"),
        };
        pane.text = Some(crate::quote::shown_lines(&text).into_owned());
    }

    fn add(&mut self, happening: Happening) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(happening);
    }

    /// Filters and sorts the rows. The selection stays on its member while that is shown.
    pub(super) fn arrange(&mut self) {
        let text = self.filter.to_lowercase();
        let is_shown = |row: &Row| self.status_filter.is_none_or(|only| row.status() == only) && row.contains(&text);
        let mut order: Vec<usize> = (0..self.rows.len()).filter(|at| is_shown(&self.rows[*at])).collect();
        if self.sort != Column::Name {
            order.sort_by(|a, b| self.rows[*a].compare(&self.rows[*b], self.sort, &self.zone_tag));
        }
        if self.is_reversed {
            order.reverse();
        }
        self.order = order;
        if let Some(name) = &self.selected_name
            && let Some(at) = self.order.iter().position(|at| self.rows[*at].member.name == *name)
        {
            self.selected = at;
        }
    }

    /// Moves the selection into the table, and the visible rows to the selection.
    pub(super) fn reveal(&mut self) {
        self.selected = self.selected.min(self.order.len().saturating_sub(1));
        self.offset = self.visible(self.table_rows()).start;
        self.selected_name = self.selected_row().map(|row| row.member.name.clone());
    }

    /// The part of `order` that a table of this many rows shows.
    pub(super) fn visible(&self, rows: usize) -> Range<usize> {
        let last_start = self.order.len().saturating_sub(rows);
        let first = (self.selected + 1).saturating_sub(rows);
        let start = self.offset.clamp(first, self.selected.max(first)).min(last_start);
        start..(start + rows).min(self.order.len())
    }

    /// The names of the visible members, whose coordinates are requested first.
    pub(super) fn visible_names(&self) -> Vec<String> {
        let visible = &self.order[self.visible(self.table_rows())];
        visible.iter().map(|at| self.rows[*at].member.name.clone()).collect()
    }

    pub(super) fn selected_row(&self) -> Option<&Row> {
        self.order.get(self.selected).map(|at| &self.rows[*at])
    }

    pub(super) fn table_rows(&self) -> usize {
        view::table_rows(self, self.size.0, self.size.1)
    }

    /// A figure of the agent.
    pub(super) fn figure(&self, group: &str, key: &str) -> Option<&str> {
        self.stats.get(group)?.get(key).map(String::as_str)
    }
}

/// Events that are kept. Older ones are forgotten.
const EVENTS_MAX: usize = 256;

/// Longest reason of a lost connection, in bytes.
const REASON_BYTES_MAX: usize = 256;
