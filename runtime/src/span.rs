//! The `tracing` spans of a node: joins, exchanges on streams, queries, and runs of handlers.
//!
//! Names, fields and outcomes are an interface for embedders, documented in docs/monitoring.md. `otel.kind` and
//! `otel.status_code` are the fields that `tracing-opentelemetry` reads. A span that no subscriber wants costs one
//! comparison.

use core::fmt;
use core::net::SocketAddr;

use serf_proto::{Event, KeyReport, QueryReport};
use tracing::field::Empty;
use tracing::{Span, debug_span, info_span};

use crate::report::{JoinError, JoinReport};

/// The span of one attempt to join.
pub(crate) fn join(seeds: usize) -> Span {
    info_span!("serf.join", seeds, contacted = Empty, failed = Empty, outcome = Empty, otel.status_code = Empty)
}

/// Records the end of an attempt to join.
pub(crate) fn join_ended(span: &Span, result: &Result<JoinReport, JoinError>) {
    let (report, outcome) = match result {
        Ok(report) => (Some(report), "joined"),
        Err(JoinError::NoSeedAnswered(report)) => (Some(report), "no seed answered"),
        Err(JoinError::NoSeeds) => (None, "no seeds"),
        Err(JoinError::Leaving) => (None, "leaving"),
        Err(JoinError::Stopped) => (None, "stopped"),
    };
    if let Some(report) = report {
        span.record("contacted", report.contacted).record("failed", report.failed.len());
    }
    ended(span, outcome, result.is_ok());
}

/// The span of a stream. `join` is the span of the join that dials it. Without one it has no parent: the call that
/// dials it may be made by the task of another stream.
pub(crate) fn exchange(peer: SocketAddr, is_inbound: bool, join: Option<&Span>) -> Span {
    let (direction, kind) = if is_inbound { ("in", "server") } else { ("out", "client") };
    debug_span!(
        parent: join.and_then(Span::id),
        "serf.exchange",
        %peer,
        direction,
        bytes_in = Empty,
        bytes_out = Empty,
        outcome = Empty,
        otel.kind = kind,
        otel.status_code = Empty,
    )
}

/// Records the end of a stream. A span that closes without this record belongs to a stream that the node cut off.
pub(crate) fn exchange_ended(span: &Span, bytes_in: u64, bytes_out: u64, failure: Option<&str>) {
    span.record("bytes_in", bytes_in).record("bytes_out", bytes_out);
    ended(span, failure.unwrap_or("done"), failure.is_none());
}

/// The span of a query, from its start to its end. A key operation is a query too.
pub(crate) fn query(name: impl fmt::Display) -> Span {
    info_span!(
        "serf.query",
        query = %name,
        acks = Empty,
        responses = Empty,
        silent = Empty,
        outcome = Empty,
        otel.kind = "client",
        otel.status_code = Empty,
    )
}

/// Records the end of a query. Members that do not answer are no error of the asker: whether one is missed is for the
/// application to say.
pub(crate) fn query_ended(span: &Span, report: &QueryReport) {
    span.record("acks", report.acks).record("responses", report.responses).record("silent", report.silent.len());
    ended(span, if report.complete { "complete" } else { "timed out" }, true);
}

/// Records the end of a key operation.
pub(crate) fn keys_ended(span: &Span, report: &KeyReport) {
    span.record("responses", report.answers.len()).record("silent", report.silent.len());
    ended(span, if report.is_done() { "complete" } else { "incomplete" }, report.is_done());
}

/// Records that nothing waits for the end any more.
pub(crate) fn abandoned(span: &Span) {
    span.record("outcome", "abandoned");
}

/// The span of a handler's run.
pub(crate) fn handler(event: &Event) -> Span {
    // Fields are computed only if a subscriber wants the span.
    info_span!(
        "serf.handler",
        event = %KindOf(event),
        name = name_of(event),
        from = source_of(event),
        answered = Empty,
        outcome = Empty,
        otel.kind = "consumer",
        otel.status_code = Empty,
    )
}

/// The kind of an event, as handlers are registered for it.
struct KindOf<'a>(&'a Event);

impl fmt::Display for KindOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::Member(event) => event.kind.fmt(f),
            Event::User(_) => f.write_str("user"),
            Event::Query(_) => f.write_str("query"),
            Event::Partition(_) => f.write_str("partition"),
            Event::Suspected { .. } => f.write_str("suspected"),
            Event::NameConflict { .. } => f.write_str("name-conflict"),
            _ => f.write_str("other"),
        }
    }
}

fn name_of(event: &Event) -> Option<&str> {
    match event {
        Event::User(event) => Some(&event.name),
        Event::Query(query) => Some(&query.name),
        _ => None,
    }
}

fn source_of(event: &Event) -> Option<&str> {
    match event {
        Event::Query(query) => Some(&query.source),
        _ => None,
    }
}

/// Records on the span of the running handler that it has answered.
pub(crate) fn handler_answered() {
    Span::current().record("answered", true);
}

/// Records the end of a handler's run.
pub(crate) fn handler_ended(span: &Span, has_panicked: bool) {
    ended(span, if has_panicked { "panicked" } else { "done" }, !has_panicked);
}

fn ended(span: &Span, outcome: &str, is_ok: bool) {
    span.record("outcome", outcome);
    if !is_ok {
        span.record("otel.status_code", "ERROR");
    }
}
