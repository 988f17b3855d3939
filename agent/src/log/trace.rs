//! Converts the node's `tracing` events to records with HashiCorp's wording.

use core::fmt::{self, Write as _};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::{Level, Log};

/// A `tracing` subscriber that logs the node's events.
#[derive(Debug)]
pub struct TraceLog {
    log: Arc<Log>,
    forced: Mutex<Forced>,
}

/// Members with a forced leave or erase in progress, to recognise the events that follow from it.
#[derive(Debug, Default)]
struct Forced {
    /// Failed members. A leave of one of these was forced by another member.
    failed: BTreeSet<String>,
    /// The member whose next reap was requested.
    erased: Option<String>,
}

impl TraceLog {
    /// A subscriber that adds records to `log`.
    pub const fn new(log: Arc<Log>) -> Self {
        Self { log, forced: Mutex::new(Forced { failed: BTreeSet::new(), erased: None }) }
    }
}

impl Subscriber for TraceLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Spans are for the subscribers of embedders: a record of the log is one event.
        metadata.is_event() && *metadata.level() <= tracing::Level::DEBUG && metadata.target().starts_with("serf_")
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::DEBUG)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let is_forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner).note(&fields);
        if [LOGGED_BY_THE_AGENT, ERASED].contains(&fields.message.as_str()) {
            return;
        }
        let metadata = event.metadata();
        let text = fields.phrase(is_forced);
        self.log.add_with(level(*metadata.level()), component(metadata.target()), &text, &fields.values);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Err,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// The corresponding component of HashiCorp's program.
fn component(target: &str) -> &'static str {
    let is_serf = ["serf_proto::serf", "serf_proto::node::alone", "serf_runtime::joining"]
        .iter()
        .any(|of_serf| target.starts_with(of_serf));
    if is_serf { "serf" } else { "memberlist" }
}

impl Forced {
    /// Whether the event follows from a forced leave or erase.
    fn note(&mut self, fields: &Fields) -> bool {
        let member = fields.value("member");
        match (fields.message.as_str(), fields.value("kind")) {
            (ERASED, _) => self.erased = Some(member.into()),
            (MEMBER_EVENT, "member-failed") => _ = self.failed.insert(member.into()),
            (MEMBER_EVENT, "member-leave") => return self.failed.remove(member),
            (MEMBER_EVENT, "member-reap") => {
                self.failed.remove(member);
                return self.erased.take_if(|erased| erased == member).is_some();
            }
            (MEMBER_EVENT, _) => _ = self.failed.remove(member),
            _ => {}
        }
        false
    }
}

const MEMBER_EVENT: &str = "member event";

const ERASED: &str = "erased on request";

/// The agent logs these lines itself.
const LOGGED_BY_THE_AGENT: &str = "unreadable lines of the snapshot are skipped";

/// The fields of an event.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    /// All but the message.
    values: Vec<(&'static str, String)>,
}

impl Fields {
    fn value(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Words the record. Scripts match some records by their text.
    fn phrase(&self, is_forced: bool) -> String {
        let (message, member, addr) = (&self.message, self.value("member"), self.value("addr"));
        let ip = addr.rsplit_once(':').map_or(addr, |(ip, _)| ip).trim_matches(['[', ']']);
        match message.as_str() {
            MEMBER_EVENT => match self.value("kind") {
                "member-leave" if is_forced => format!("EventMemberLeave (forced): {member} {ip}"),
                "member-reap" if is_forced => format!("EventMemberReap (forced): {member} {ip}"),
                "member-join" => format!("EventMemberJoin: {member} {ip}"),
                "member-leave" => format!("EventMemberLeave: {member} {ip}"),
                "member-failed" => format!("EventMemberFailed: {member} {ip}"),
                "member-update" => format!("EventMemberUpdate: {member}"),
                _ => format!("EventMemberReap: {member}"),
            },
            "attempting reconnect" => format!("attempting reconnect to {member} {addr}"),
            "suspect did not refute in time: it is dead" => {
                let confirmations = self.value("confirmations");
                format!("Marking {member} as failed, suspect timeout reached ({confirmations} peer confirmations)")
            }
            "will try again" => "Failed to re-join any previously known node".into(),
            _ if self.values.is_empty() => message.clone(),
            _ => {
                let mut text = format!("{message}:");
                for (name, value) in &self.values {
                    _ = write!(text, " {name}={value}");
                }
                text
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => _ = write!(self.message, "{value:?}"),
            name => self.values.push((name, format!("{value:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sink::tests::Page;
    use super::*;

    fn fields(message: &str, kind: &str) -> Fields {
        let values = [("member", "n1"), ("addr", "[::1]:7946"), ("kind", kind)];
        let values = values.into_iter().filter(|(_, value)| !value.is_empty());
        Fields { message: message.into(), values: values.map(|(name, value)| (name, value.into())).collect() }
    }

    fn phrase(message: &str, kind: &str) -> String {
        fields(message, kind).phrase(false)
    }

    #[test]
    fn log_lines_that_scripts_search_for_have_hashicorps_words() {
        assert_eq!(phrase("member event", "member-join"), "EventMemberJoin: n1 ::1");
        assert_eq!(phrase("member event", "member-reap"), "EventMemberReap: n1");
        assert_eq!(phrase("attempting reconnect", ""), "attempting reconnect to n1 [::1]:7946");
        assert_eq!(phrase("something else", ""), "something else: member=n1 addr=[::1]:7946");
        assert_eq!(component("serf_proto::serf::reap"), "serf");
        assert_eq!(component("serf_proto::swim::probe"), "memberlist");
    }

    #[test]
    fn a_forced_leave_is_reported_as_forced() {
        let mut forced = Forced::default();
        let mut said = |message: &str, kind: &str| {
            let fields = fields(message, kind);
            let is_forced = forced.note(&fields);
            fields.phrase(is_forced)
        };
        assert_eq!(said(MEMBER_EVENT, "member-leave"), "EventMemberLeave: n1 ::1", "it left by itself");
        said(MEMBER_EVENT, "member-failed");
        assert_eq!(said(MEMBER_EVENT, "member-leave"), "EventMemberLeave (forced): n1 ::1");
        assert_eq!(said(MEMBER_EVENT, "member-leave"), "EventMemberLeave: n1 ::1");
        said(MEMBER_EVENT, "member-failed");
        said(MEMBER_EVENT, "member-join");
        assert_eq!(said(MEMBER_EVENT, "member-leave"), "EventMemberLeave: n1 ::1", "it had come back");
        said(ERASED, "");
        assert_eq!(said(MEMBER_EVENT, "member-reap"), "EventMemberReap (forced): n1 ::1");
        assert_eq!(said(MEMBER_EVENT, "member-reap"), "EventMemberReap: n1");
    }

    #[test]
    fn spans_of_the_node_change_no_record_and_are_off() {
        let page = Page::default();
        let log = Arc::new(Log::new(Level::Debug, Box::new(page.clone())).expect("starts"));
        log.release();
        tracing::subscriber::with_default(TraceLog::new(Arc::clone(&log)), || {
            let span = tracing::info_span!(target: "serf_runtime::span", "serf.query", query = "deploy");
            assert!(span.is_disabled());
            span.in_scope(|| tracing::info!(target: "serf_proto::swim", member = "n1", "inside"));
        });
        log.flush();
        assert!(page.text().ends_with(" [INFO] memberlist: inside: member=n1\n"), "{}", page.text());
    }
}
