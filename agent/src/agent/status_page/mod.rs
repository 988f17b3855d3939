//! The status page: members, a map of round-trip times and recent events, for a browser. Off unless `-ui` is given.
//!
//! The page is three static files and loads nothing from other hosts. It polls `/ui/state`, and `/ui/events` as server-sent
//! events: each response has the events since the last one and ends, and the browser reconnects. So a viewer holds no
//! connection open, and misses no event within the bounds below.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serf_tokio::{Coordinate, Member};

use super::Agent;
use super::health::Health;
use crate::handler::{AgentEvent, Event};
use crate::json::Json;
use crate::quote::start_of;
use crate::tags;

/// State of the page besides that of the node.
#[derive(Debug, Default)]
pub(super) struct StatusPage {
    recent: Mutex<Recent>,
    health: Health,
    /// The last rendered state, and when it was rendered.
    state: Mutex<Option<(Instant, String)>>,
}

/// The newest events.
#[derive(Debug, Default)]
struct Recent {
    lines: VecDeque<String>,
    /// Number of all events so far; the newest has this number.
    count: u64,
}

/// An asset of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asset {
    pub(super) content_type: &'static str,
    pub(super) body: &'static str,
}

impl Asset {
    pub(super) fn find(path: &str) -> Option<Self> {
        let (content_type, body) = match path {
            "/ui" => ("text/html; charset=utf-8", include_str!("page.html")),
            "/ui/page.css" => ("text/css; charset=utf-8", include_str!("page.css")),
            "/ui/page.js" => ("text/javascript; charset=utf-8", include_str!("page.js")),
            _ => return None,
        };
        Some(Self { content_type, body })
    }
}

impl StatusPage {
    /// Remembers an event.
    pub(super) fn note(&self, event: &AgentEvent) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
        let (kind, text) = shown(&event.data);
        let text = start_of(&text, TEXT_BYTES_MAX);
        let line = Json::object([("at", Json::Number(at)), ("kind", Json::text(kind)), ("text", Json::text(text))]);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.count += 1;
        if recent.lines.len() == EVENTS_MAX {
            recent.lines.pop_front();
        }
        recent.lines.push_back(line.render_line());
    }

    /// The events after the one with number `last`, as server-sent events. A browser that asks for the first time, or asks
    /// another run of the agent, gets all.
    pub(super) fn events_after(&self, last: Option<u64>) -> String {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let first = recent.count - recent.lines.len() as u64 + 1;
        let last = last.filter(|last| *last <= recent.count).unwrap_or_default();
        let mut out = format!("retry: {}\n\n", RETRY.as_millis());
        for (number, line) in (first..).zip(&recent.lines).filter(|(number, _)| *number > last) {
            _ = write!(out, "id: {number}\ndata: {line}\n\n");
        }
        out
    }
}

/// The kind of an event, and its details on one line. No payloads: they may be secret.
fn shown(event: &Event) -> (&'static str, String) {
    match event {
        Event::Members { change, members } => {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).take(NAMES_MAX).collect();
            let more = members.len() - names.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            (change.name(), names.join(", ") + &more)
        }
        Event::User { name, payload, .. } => ("user", format!("{name} ({} bytes)", payload.len())),
        Event::Partition { share, .. } => ("partition", share.to_string()),
        Event::Query { name, payload, .. } => ("query", format!("{name} ({} bytes)", payload.len())),
    }
}

impl Agent {
    /// The state of the node and its members as JSON; at most [`STATE_AGE_MAX`] old.
    pub(super) fn page_state(&self, page: &StatusPage) -> String {
        let mut kept = page.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &*kept {
            Some((at, state)) if now - *at < STATE_AGE_MAX => state.clone(),
            _ => kept.insert((now, self.render_state(&page.health))).1.clone(),
        }
    }

    fn render_state(&self, health: &Health) -> String {
        let stats = self.serf.stats();
        let (here, own) = (self.serf.local(), self.serf.coordinate());
        let members: Vec<Json> =
            self.serf.members().iter().map(|member| self.member_state(own.as_ref(), member)).collect();
        let count = |count: usize| Json::Number(i64::try_from(count).unwrap_or(i64::MAX));
        let figures = stats.gauges().filter(|metric| metric.label.is_none());
        let figures = figures
            .map(|metric| (metric.name.to_owned(), Json::Number(i64::try_from(metric.value).unwrap_or(i64::MAX))));
        Json::object([
            ("name", Json::text(here.name())),
            ("version", Json::text(env!("CARGO_PKG_VERSION"))),
            ("encrypted", Json::Bool(!self.serf.keys().is_empty())),
            ("problem", self.unhealthy_reason(health).as_deref().map_or(Json::Null, Json::text)),
            ("suspected", count(stats.members.suspected)),
            ("figures", Json::Object(figures.collect())),
            ("members", Json::List(members)),
        ])
        .render_line()
    }

    fn member_state(&self, own: Option<&Coordinate>, member: &Member) -> Json {
        let place = self.serf.coordinate_of(member.name());
        let rtt = own.zip(place.as_ref()).map(|(own, place)| own.distance_to(place));
        let rtt = rtt.map_or(Json::Null, |rtt| Json::Float(rtt.as_secs_f64() * 1e3));
        let place =
            place.map_or(Json::Null, |place| Json::List(place.vec().iter().copied().map(Json::Float).collect()));
        Json::object([
            ("name", Json::text(member.name())),
            ("addr", Json::text(&member.addr().to_string())),
            ("status", Json::text(&member.status().to_string())),
            ("tags", Json::texts(&tags::of_node(&member.to_tags()))),
            ("rtt_ms", rtt),
            ("place", place),
        ])
    }
}

/// Events that are kept for browsers. Older ones are forgotten.
const EVENTS_MAX: usize = 256;

/// Longest text of an event, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Names of members in the text of one event.
const NAMES_MAX: usize = 8;

/// When a browser asks for events again.
const RETRY: Duration = Duration::from_secs(1);

/// How old an answer may be: the state is rendered once for all browsers that ask within this time.
const STATE_AGE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> AgentEvent {
        let data = Event::User { name: name.into(), lamport: 1, payload: b"secret".to_vec(), coalesce: false };
        AgentEvent { data, query: None }
    }

    #[test]
    fn a_browser_gets_the_events_since_its_last_request_and_no_payload() {
        let page = StatusPage::default();
        page.note(&user("one"));
        page.note(&user("two\ndata: forged"));
        let all = page.events_after(None);
        assert!(all.contains("id: 1\n") && all.contains("id: 2\n") && !all.contains("secret"), "{all}");
        assert!(!all.contains("\ndata: forged"), "{all}");
        let news = page.events_after(Some(1));
        assert!(!news.contains("id: 1\n") && news.contains("id: 2\n"), "{news}");
        assert!(!page.events_after(Some(2)).contains("id: "));
        // The agent was restarted.
        assert!(page.events_after(Some(99)).contains("id: 1\n"));
    }

    #[test]
    fn the_newest_events_are_kept_and_long_names_are_cut() {
        let page = StatusPage::default();
        (0..=EVENTS_MAX).for_each(|_| page.note(&user(&"x".repeat(500))));
        let all = page.events_after(None);
        assert_eq!(all.matches("id: ").count(), EVENTS_MAX);
        assert!(all.contains("id: 2\n") && !all.contains("id: 1\n"));
        assert!(all.len() < EVENTS_MAX * (TEXT_BYTES_MAX + 100), "{}", all.len());
    }
}
