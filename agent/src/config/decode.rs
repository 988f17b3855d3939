//! Parses settings from JSON, as strictly as HashiCorp's agent (`DecodeConfig` in `config.go`).

use std::collections::BTreeMap;

use serde_json::{Deserializer, Map, Value};
use thiserror::Error;

use super::row::{Setting, Value as Target};
use super::settings::{SETTINGS, Settings};
use crate::duration::{self, DurationError};

/// Why a text is not a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The text is empty.
    #[error("EOF")]
    Empty,
    /// The text ends too early.
    #[error("unexpected EOF")]
    Short,
    /// The text is not JSON.
    #[error("{0}")]
    Syntax(String),
    /// The value is not an object.
    #[error("'' expected a map, got '{0}'")]
    NotAnObject(&'static str),
    /// Unknown keys, or values of the wrong type, sorted.
    #[error("{} error(s) decoding:\n\n* {}", .0.len(), .0.iter().map(FieldError::to_string).collect::<Vec<_>>().join("\n* "))]
    Fields(Vec<FieldError>),
    /// A duration cannot be parsed.
    #[error(transparent)]
    Duration(DurationError),
}

/// What is wrong with the fields of an object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The object has unknown keys.
    #[error("'{inside}' has invalid keys: {}", .keys.join(", "))]
    Unknown {
        /// The key of the object; empty for the document.
        inside: String,
        /// The keys as written, sorted.
        keys: Vec<String>,
    },
    /// A value has the wrong type.
    #[error("{0}")]
    Type(String),
}

/// Reads the first JSON value of `text`; what follows it is ignored, as HashiCorp's agent does.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode(text: &[u8]) -> Result<Settings, DecodeError> {
    let value = match Deserializer::from_slice(text).into_iter::<Value>().next() {
        None => return Err(DecodeError::Empty),
        Some(Err(error)) if error.is_eof() => return Err(DecodeError::Short),
        Some(Err(error)) => return Err(DecodeError::Syntax(error.to_string())),
        Some(Ok(value)) => value,
    };
    let object = match value {
        Value::Null => Map::new(),
        Value::Object(object) => object,
        other => return Err(DecodeError::NotAnObject(shape(&other))),
    };
    let (mut reader, mut settings) = (Reader::default(), Settings::default());
    reader.object(&mut settings, "", &object);
    if !reader.mistakes.is_empty() {
        reader.mistakes.sort_by_cached_key(FieldError::to_string);
        return Err(DecodeError::Fields(reader.mistakes));
    }
    reader.duration_mistake.map_or(Ok(settings), |error| Err(DecodeError::Duration(error)))
}

/// Reads fields and collects all errors.
#[derive(Default)]
struct Reader {
    mistakes: Vec<FieldError>,
    /// The first error about a duration. Durations are parsed after all other fields, and only the first error is
    /// reported.
    duration_mistake: Option<DurationError>,
}

impl Reader {
    /// Reads the keys of an object: the one at the key `outer`, or the whole document. Keys are compared without case.
    fn object(&mut self, settings: &mut Settings, outer: &str, object: &Map<String, Value>) {
        let mut unknown = Vec::new();
        for (key, value) in object {
            let mut path = key.to_lowercase();
            if !outer.is_empty() {
                path = format!("{outer}.{path}");
            }
            if key.contains('.') || !self.field(settings, &path, value) {
                unknown.push(key.clone());
            }
        }
        if !unknown.is_empty() {
            unknown.sort_unstable();
            self.mistakes.push(FieldError::Unknown { inside: outer.into(), keys: unknown });
        }
    }

    /// Sets one field. Returns false for an unknown name.
    fn field(&mut self, settings: &mut Settings, key: &str, value: &Value) -> bool {
        let is_of = |setting: &Setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        if let Some((_, target)) = settings.value(key) {
            if !value.is_null() {
                self.value(key, value, target);
            }
        } else if SETTINGS.iter().any(is_of) {
            match value {
                Value::Null => {}
                Value::Object(object) => self.object(settings, key, object),
                _ => self.wrong(format!("'{key}' expected a map, got '{}'", shape(value))),
            }
        } else if key == "msgpackusenewtimeformat" {
            // An option of HashiCorp's library without an effect here: RPC carries no times.
            self.bool("MsgpackUseNewTimeFormat", value, &mut false);
        } else {
            return false;
        }
        true
    }

    /// Reads a value that is not null.
    fn value(&mut self, key: &str, value: &Value, target: Target<'_>) {
        match target {
            Target::Text(target) => self.text(key, value, target),
            Target::Bool(target) => self.bool(key, value, target),
            Target::Switch(target) => self.bool(key, value, target.insert(true)),
            Target::Int(target) => self.int(key, value, target),
            Target::Nanos(target) => self.nanos(key, value, target),
            Target::List(target) => self.list(key, value, target),
            Target::Tags(target) => self.tags(key, value, target),
        }
    }

    fn text(&mut self, key: &str, value: &Value, target: &mut String) {
        match value {
            Value::String(text) => target.clone_from(text),
            Value::Null => {}
            _ => self.unconvertible(key, "string", value),
        }
    }

    fn bool(&mut self, key: &str, value: &Value, target: &mut bool) {
        match value {
            Value::Bool(value) => *target = *value,
            Value::Null => {}
            _ => self.unconvertible(key, "bool", value),
        }
    }

    /// Reads a number. A fraction is cut off, as in HashiCorp's agent.
    fn int(&mut self, key: &str, value: &Value, target: &mut i64) {
        #[allow(clippy::cast_possible_truncation, reason = "this is meant, and saturates")]
        let number = value.as_i64().or_else(|| value.as_f64().map(|float| float as i64));
        match number {
            Some(number) => *target = number,
            None => self.unconvertible(key, "int", value),
        }
    }

    fn nanos(&mut self, key: &str, value: &Value, target: &mut i64) {
        let mut text = String::new();
        self.text(key, value, &mut text);
        if text.is_empty() {
            return;
        }
        match duration::parse(&text) {
            Ok(nanos) => *target = nanos,
            Err(error) => _ = self.duration_mistake.get_or_insert(error),
        }
    }

    fn list(&mut self, key: &str, value: &Value, target: &mut Vec<String>) {
        let Value::Array(items) = value else {
            let shape = shape(value);
            return self.wrong(format!("'{key}': source data must be an array or slice, got {shape}"));
        };
        for (idx, item) in items.iter().enumerate() {
            let mut text = String::new();
            self.text(&format!("{key}[{idx}]"), item, &mut text);
            target.push(text);
        }
    }

    fn tags(&mut self, key: &str, value: &Value, target: &mut BTreeMap<String, String>) {
        let Value::Object(object) = value else {
            return self.wrong(format!("'{key}' expected a map, got '{}'", shape(value)));
        };
        for (tag, value) in object {
            let mut text = String::new();
            self.text(&format!("{key}[{tag}]"), value, &mut text);
            target.insert(tag.clone(), text);
        }
    }

    fn unconvertible(&mut self, key: &str, expected: &str, value: &Value) {
        let shown = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let kind = kind(value);
        self.wrong(format!("'{key}' expected type '{expected}', got unconvertible type '{kind}', value: '{shown}'"));
    }

    fn wrong(&mut self, what: String) {
        self.mistakes.push(FieldError::Type(what));
    }
}

/// Go's name for the type of a value.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Go's name for the kind of a value.
const fn shape(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
        _ => kind(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        decode(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn mistakes_are_reported_as_by_hashicorps_agent() {
        let one = |mistake: &str| format!("1 error(s) decoding:\n\n* {mistake}");
        assert_eq!(error(""), "EOF");
        assert_eq!(error("{\"node_name\": \"x\""), "unexpected EOF");
        assert_eq!(error("{\"bogus_key\": 1, \"another\": 2}"), one("'' has invalid keys: another, bogus_key"));
        assert_eq!(
            error("{\"node_name\": 5}"),
            one("'node_name' expected type 'string', got unconvertible type 'float64', value: '5'")
        );
        assert_eq!(error("{\"tags\": []}"), one("'tags' expected a map, got 'slice'"));
        assert_eq!(error("[]"), "'' expected a map, got 'slice'");
        assert_eq!(error("{\"retry_interval\": \"abc\"}"), "time: invalid duration \"abc\"");
        assert_eq!(
            error("{\"reconnect_interval\": 5}"),
            one("'reconnect_interval' expected type 'string', got unconvertible type 'float64', value: '5'")
        );
        assert_eq!(
            error("{\"protocol\": \"5\"}"),
            one("'protocol' expected type 'int', got unconvertible type 'string', value: '5'")
        );
        assert_eq!(
            error("{\"tags\": {\"a\": 1}}"),
            one("'tags[a]' expected type 'string', got unconvertible type 'float64', value: '1'")
        );
        assert_eq!(
            error("{\"leave_on_terminate\": \"true\"}"),
            one("'leave_on_terminate' expected type 'bool', got unconvertible type 'string', value: 'true'")
        );
        assert_eq!(
            error("{\"event_handlers\": \"x\"}"),
            one("'event_handlers': source data must be an array or slice, got string")
        );
        assert_eq!(error("{\"start_join\": {}}"), one("'start_join': source data must be an array or slice, got map"));
        assert!(error("// no\n{}").contains("expected value"), "comments are mistakes");
        assert_eq!(error("{\"zz\": null}"), one("'' has invalid keys: zz"));
        assert!(error("{\"protocol\": true, \"zz\": 1}").starts_with("2 error(s) decoding:\n\n* '' has"));
    }

    #[test]
    fn keys_have_no_case_and_nothing_after_the_object_counts() {
        let settings = decode(b"{\"Node_Name\": \"x\", \"PROTOCOL\": 4.0, \"bind\": null} garbage").expect("is valid");
        assert_eq!((settings.node_name.as_str(), settings.protocol, settings.bind.as_str()), ("x", 4, ""));
        assert_eq!(decode(b"null"), Ok(Settings::default()));
    }

    #[test]
    fn every_key_sets_its_field() {
        let mut seen = vec![Settings::default()];
        for (setting, value) in Settings::default().values() {
            let value = match value {
                Target::Text(_) => "\"v\"",
                Target::Bool(_) | Target::Switch(_) => "true",
                Target::Int(_) => "3",
                Target::Nanos(_) => "\"3s\"",
                Target::List(_) => "[\"v\"]",
                Target::Tags(_) => "{\"a\": \"b\"}",
            };
            let text = match setting.key.split_once('.') {
                Some((outer, key)) => format!("{{\"{outer}\": {{\"{key}\": {value}}}}}"),
                None => format!("{{\"{}\": {value}}}", setting.key),
            };
            let settings = decode(text.as_bytes()).expect(&text);
            assert!(!seen.contains(&settings), "{text} sets nothing, or what another key sets");
            seen.push(settings);
        }
    }

    #[test]
    fn keys_of_an_object_are_known_only_inside_of_it() {
        let one = |mistake: &str| format!("1 error(s) decoding:\n\n* {mistake}");
        assert_eq!(error("{\"mdns.interface\": \"lo\"}"), one("'' has invalid keys: mdns.interface"));
        assert_eq!(error("{\"mdns\": {\"bind\": \"x\"}}"), one("'mdns' has invalid keys: bind"));
        assert_eq!(error("{\"mdns\": 1}"), one("'mdns' expected a map, got 'float64'"));
        assert_eq!(
            error("{\"MDNS\": {\"Disable_IPv4\": 1}}"),
            one("'mdns.disable_ipv4' expected type 'bool', got unconvertible type 'float64', value: '1'")
        );
        assert_eq!(decode(b"{\"mdns\": null}"), Ok(Settings::default()));
    }
}
