//! The formats of log lines.

use core::fmt::Write;

use jiff::ZonedDateTime;

use super::{Level, info, output};
use crate::quote::{json_escaped, shown_lines};

/// The format of the agent's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As HashiCorp's agent.
    #[default]
    Text,
    /// JSON, one object per line.
    Json,
}

/// A record to be formatted.
#[derive(Debug)]
pub(super) struct Line<'r> {
    pub(super) at: &'r ZonedDateTime,
    pub(super) level: Level,
    pub(super) component: &'r str,
    /// The name of the node.
    pub(super) node: &'r str,
    /// The record as text, without its time.
    pub(super) text: &'r str,
    /// Its structured values, besides the text.
    pub(super) fields: &'r [(&'static str, String)],
}

impl Format {
    /// Parses a name; `None` for an unknown format.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Text, Self::Json].into_iter().find(|format| format.name() == name)
    }

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// Formats a record; `whole` is the text with its time.
    pub(super) fn record(self, line: &Line<'_>, whole: &str) -> String {
        match self {
            Self::Text => info(whole),
            Self::Json => json(line),
        }
    }

    /// Formats the agent's own output; `None` when there is nothing to print.
    pub(super) fn output(self, text: &str, node: &str) -> Option<String> {
        let text = &shown_lines(text);
        match self {
            Self::Text => Some(output(text)),
            Self::Json => plain(text, node),
        }
    }

    /// Formats a detail of the agent's output; `None` when there is nothing to print.
    pub(super) fn detail(self, text: &str, node: &str) -> Option<String> {
        let text = &shown_lines(text);
        match self {
            Self::Text => Some(info(text)),
            Self::Json => plain(text, node),
        }
    }
}

/// Formats output that is no log record as one.
fn plain(text: &str, node: &str) -> Option<String> {
    let text = text.trim();
    let line = Line { at: &ZonedDateTime::now(), level: Level::Info, component: "agent", node, text, fields: &[] };
    (!text.is_empty()).then(|| json(&line))
}

fn json(line: &Line<'_>) -> String {
    // All strings are escaped with JSON's escapes. The message was escaped as in the text format before; structured
    // values are exact.
    let quote = |text: &str| json_escaped(&serde_json::Value::from(text).to_string());
    let at = line.at.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z");
    let (level, component, message) = (line.level, quote(line.component), quote(line.text));
    let mut text = format!("{{\"time\":\"{at}\",\"level\":\"{level}\",\"component\":{component},\"message\":{message}");
    if !line.node.is_empty() {
        _ = write!(text, ",\"node\":{}", quote(line.node));
    }
    for (idx, (name, value)) in line.fields.iter().enumerate() {
        let before = if idx == 0 { ",\"fields\":{" } else { "," };
        _ = write!(text, "{before}{}:{}", quote(name), quote(value));
    }
    text.push_str(if line.fields.is_empty() { "}" } else { "}}" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_object_on_one_line_whatever_it_says() {
        let at: ZonedDateTime = "2026-11-21T02:20:12.345678+01:00[+01:00]".parse().expect("is a time");
        let fields = [("member", "a\"b".to_owned()), ("addr", "10.0.0.1:7946".into())];
        let line =
            Line { at: &at, level: Level::Warn, component: "serf", node: "a", text: "two\nlines", fields: &fields };
        assert_eq!(
            json(&line),
            r#"{"time":"2026-11-21T02:20:12.345+01:00","level":"WARN","component":"serf","message":"two\nlines","node":"a","fields":{"member":"a\"b","addr":"10.0.0.1:7946"}}"#
        );
        let fields = [("member", "a\n\u{9b}\u{202e}".to_owned())];
        let line = Line { fields: &fields, ..line };
        assert!(
            json(&line).ends_with(r#""fields":{"member":"a\n\u009b\u202e"}}"#),
            "exact, and harmless: {}",
            json(&line)
        );
        let line = Line { fields: &[], ..line };
        assert!(json(&line).ends_with(r#""message":"two\nlines","node":"a"}"#));
    }

    #[test]
    fn an_empty_detail_is_an_empty_line_of_text_and_no_object() {
        assert_eq!(Format::Text.detail("", "a").as_deref(), Some(""));
        assert_eq!(Format::Json.detail(" \n", "a"), None);
        let shown = Format::Json.detail("   Profile: lan", "").expect("is shown");
        assert!(shown.ends_with(r#""level":"INFO","component":"agent","message":"Profile: lan"}"#), "{shown}");
    }
}
