//! The latest events, and their rates.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::state::Now;
use crate::quote::{shown, start_of};
use crate::rpc::EventRecord;

/// An event of the pane. Its text is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happening {
    /// The local time, `hh:mm:ss`. For a line of the agent's log it is the agent's local time.
    pub(super) time: String,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) severity: Severity,
}

/// How an event is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Good,
    Neutral,
    Warning,
    Bad,
}

impl Happening {
    pub(super) fn new(now: Now, severity: Severity, kind: &str, text: &str) -> Self {
        let text = shown(start_of(text, TEXT_BYTES_MAX)).into_owned();
        let kind = shown(start_of(kind, KIND_BYTES_MAX)).into_owned();
        Self { time: now.clock.strftime("%H:%M:%S").to_string(), kind, text, severity }
    }

    /// An event of the stream. Payloads are left out: they may be secret.
    pub(super) fn of_event(now: Now, event: &EventRecord) -> Self {
        match event {
            EventRecord::Members { event, members } => {
                let names: Vec<_> = members.iter().map(|member| member.name.as_str()).take(NAMES_MAX).collect();
                let more = members.len() - names.len();
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                let severity = match event.as_str() {
                    "member-failed" => Severity::Bad,
                    "member-join" => Severity::Good,
                    _ => Severity::Neutral,
                };
                Self::new(now, severity, event, &(names.join(", ") + &more))
            }
            EventRecord::User { name, payload, .. } => Self::new(now, Severity::Neutral, "user", &sized(name, payload)),
            EventRecord::Query { name, payload, .. } => {
                Self::new(now, Severity::Neutral, "query", &sized(name, payload))
            }
            EventRecord::Partition { share, .. } => {
                let severity = if share.split { Severity::Bad } else { Severity::Good };
                Self::new(now, severity, "partition", &share.to_string())
            }
        }
    }

    /// A line of the agent's log, `None` when it is about neither a suspicion nor a fault. Events are taken from the
    /// stream instead, so that none is shown twice.
    pub(super) fn of_log(now: Now, line: &str) -> Option<Self> {
        // `2026/11/29 12:00:00 [INFO] memberlist: Suspect x has failed, no acks received`
        let (stamp, rest) = line.split_once('[')?;
        let (level, text) = rest.split_once("] ")?;
        let said = text.strip_prefix("memberlist: ").unwrap_or_default();
        let (severity, kind) = match level {
            _ if said.starts_with("Suspect ") => (Severity::Warning, "suspicion"),
            _ if said.starts_with("Marking ") && said.contains(" as failed") => (Severity::Bad, "suspicion"),
            "WARN" => (Severity::Warning, "warning"),
            "ERR" | "ERROR" => (Severity::Bad, "error"),
            _ => return None,
        };
        let mut happening = Self::new(now, severity, kind, if kind == "suspicion" { said } else { text });
        if let Some(time) = stamp.split_whitespace().nth(1).and_then(|time| time.get(..8))
            && time.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
        {
            time.clone_into(&mut happening.time);
        }
        Some(happening)
    }
}

fn sized(name: &str, payload: &Option<Vec<u8>>) -> String {
    format!("{name} ({} bytes)", payload.as_ref().map_or(0, Vec::len))
}

/// Counts events over the last [`RATE_WINDOW`].
#[derive(Clone, Debug)]
pub(super) struct Rate {
    since: Instant,
    /// Counts, one per started second since `since`; the newest is last.
    counts: VecDeque<(u64, u32)>,
}

impl Rate {
    pub(super) const fn new(since: Instant) -> Self {
        Self { since, counts: VecDeque::new() }
    }

    pub(super) fn note(&mut self, at: Instant) {
        let second = at.saturating_duration_since(self.since).as_secs();
        match self.counts.back_mut() {
            Some((last, count)) if *last == second => *count = count.saturating_add(1),
            _ => self.counts.push_back((second, 1)),
        }
        while self.counts.front().is_some_and(|(first, _)| first + RATE_WINDOW.as_secs() <= second) {
            self.counts.pop_front();
        }
    }

    /// Events per second.
    pub(super) fn per_second(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.since);
        let recent = self.counts.iter().filter(|(second, _)| second + RATE_WINDOW.as_secs() > age.as_secs());
        let count = recent.fold(0, |sum: u32, (_, count)| sum.saturating_add(*count));
        f64::from(count) / age.clamp(Duration::from_secs(1), RATE_WINDOW).as_secs_f64()
    }
}

/// The time over which rates are averaged.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Longest text of an event, in bytes before escapes.
const TEXT_BYTES_MAX: usize = 256;
const KIND_BYTES_MAX: usize = 32;

/// Names of members in the text of one event.
const NAMES_MAX: usize = 8;
