//! A layer from JSON, as strict as HashiCorp's agent (`DecodeConfig` in `config.go`).

use core::fmt;

use serde_json::{Deserializer, Map, Value};

use super::layer::{Layer, MdnsLayer};
use crate::duration::{self, DurationError};

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is empty.
    Empty,
    /// It ends too early.
    Short,
    /// It is no JSON.
    Syntax(String),
    /// It is something else than an object.
    NotAnObject(&'static str),
    /// Keys are unknown or have values of another type: what is wrong, sorted.
    Fields(Vec<String>),
    /// A duration cannot be read.
    Duration(DurationError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "EOF"),
            Self::Short => write!(f, "unexpected EOF"),
            Self::Syntax(why) => write!(f, "{why}"),
            Self::NotAnObject(kind) => write!(f, "'' expected a map, got '{kind}'"),
            Self::Fields(mistakes) => {
                write!(f, "{} error(s) decoding:\n\n* {}", mistakes.len(), mistakes.join("\n* "))
            }
            Self::Duration(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Reads the first JSON value of `text`; what follows it is ignored, as HashiCorp's agent does.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode(text: &[u8]) -> Result<Layer, DecodeError> {
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
    let mut reader = Reader::default();
    let layer = reader.layer(&object);
    if !reader.mistakes.is_empty() {
        reader.mistakes.sort();
        return Err(DecodeError::Fields(reader.mistakes));
    }
    reader.duration_mistake.map_or(Ok(layer), |error| Err(DecodeError::Duration(error)))
}

/// Reads fields and collects all that is wrong.
#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
    /// Durations are read after everything else, and only the first mistake is told.
    duration_mistake: Option<DurationError>,
}

impl Reader {
    fn layer(&mut self, object: &Map<String, Value>) -> Layer {
        let mut layer = Layer::default();
        let mut unknown = Vec::new();
        for (key, value) in object {
            if value.is_null() && is_key(key) {
                continue;
            }
            if !self.field(&mut layer, &key.to_lowercase(), value) {
                unknown.push(key.as_str());
            }
        }
        self.unknown("", unknown);
        layer
    }

    /// Sets one field, false when there is none of that name. Names are compared without case.
    fn field(&mut self, layer: &mut Layer, key: &str, value: &Value) -> bool {
        if let Some(target) = text_field(layer, key) {
            self.text(key, value, target);
        } else if let Some(target) = bool_field(layer, key) {
            self.bool(key, value, target);
        } else if let Some(target) = int_field(layer, key) {
            self.int(key, value, target);
        } else if let Some(target) = nanos_field(layer, key) {
            self.nanos(key, value, target);
        } else if let Some(target) = list_field(layer, key) {
            self.list(key, value, target);
        } else {
            match key {
                "tags" => self.tags(value, layer),
                "enable_compression" => {
                    let mut on = true;
                    self.bool(key, value, &mut on);
                    layer.enable_compression = Some(on);
                }
                "mdns" => self.mdns(value, &mut layer.mdns),
                // A field of the library's own that has no effect here: RPC carries no times.
                "msgpackusenewtimeformat" => self.bool("MsgpackUseNewTimeFormat", value, &mut false),
                _ => return false,
            }
        }
        true
    }

    fn mdns(&mut self, value: &Value, mdns: &mut MdnsLayer) {
        let Value::Object(object) = value else {
            self.mistakes.push(format!("'mdns' expected a map, got '{}'", shape(value)));
            return;
        };
        let mut unknown = Vec::new();
        for (key, value) in object {
            match key.to_lowercase().as_str() {
                "interface" => self.text("mdns.interface", value, &mut mdns.interface),
                "disable_ipv4" => self.bool("mdns.disable_ipv4", value, &mut mdns.disable_ipv4),
                "disable_ipv6" => self.bool("mdns.disable_ipv6", value, &mut mdns.disable_ipv6),
                _ => unknown.push(key.as_str()),
            }
        }
        self.unknown("mdns", unknown);
    }

    fn unknown(&mut self, inside: &str, mut keys: Vec<&str>) {
        if !keys.is_empty() {
            keys.sort_unstable();
            self.mistakes.push(format!("'{inside}' has invalid keys: {}", keys.join(", ")));
        }
    }

    fn text(&mut self, key: &str, value: &Value, target: &mut String) {
        match value {
            Value::String(text) => target.clone_from(text),
            Value::Null => {}
            _ => self.wrong(key, "string", value),
        }
    }

    fn bool(&mut self, key: &str, value: &Value, target: &mut bool) {
        match value {
            Value::Bool(value) => *target = *value,
            Value::Null => {}
            _ => self.wrong(key, "bool", value),
        }
    }

    /// A number with a fraction loses it, as there.
    fn int(&mut self, key: &str, value: &Value, target: &mut i64) {
        #[allow(clippy::cast_possible_truncation, reason = "this is meant, and saturates")]
        let number = value.as_i64().or_else(|| value.as_f64().map(|float| float as i64));
        match (number, value) {
            (Some(number), _) => *target = number,
            (None, Value::Null) => {}
            (None, _) => self.wrong(key, "int", value),
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
            self.mistakes.push(format!("'{key}': source data must be an array or slice, got {shape}"));
            return;
        };
        for (idx, item) in items.iter().enumerate() {
            let mut text = String::new();
            self.text(&format!("{key}[{idx}]"), item, &mut text);
            target.push(text);
        }
    }

    fn tags(&mut self, value: &Value, layer: &mut Layer) {
        let Value::Object(object) = value else {
            self.mistakes.push(format!("'tags' expected a map, got '{}'", shape(value)));
            return;
        };
        for (key, value) in object {
            let mut text = String::new();
            self.text(&format!("tags[{key}]"), value, &mut text);
            layer.tags.insert(key.clone(), text);
        }
    }

    fn wrong(&mut self, key: &str, expected: &str, value: &Value) {
        let shown = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let kind = kind(value);
        self.mistakes
            .push(format!("'{key}' expected type '{expected}', got unconvertible type '{kind}', value: '{shown}'"));
    }
}

/// Whether `key` names a setting at all.
fn is_key(key: &str) -> bool {
    Reader::default().field(&mut Layer::default(), &key.to_lowercase(), &Value::Null)
}

pub(super) fn text_field<'l>(layer: &'l mut Layer, key: &str) -> Option<&'l mut String> {
    Some(match key {
        "node_name" => &mut layer.node_name,
        "role" => &mut layer.role,
        "tags_file" => &mut layer.tags_file,
        "bind" => &mut layer.bind,
        "advertise" => &mut layer.advertise,
        "encrypt_key" => &mut layer.encrypt_key,
        "keyring_file" => &mut layer.keyring_file,
        "log_level" => &mut layer.log_level,
        "log_format" => &mut layer.log_format,
        "metrics_addr" => &mut layer.metrics_addr,
        "rpc_addr" => &mut layer.rpc_addr,
        "rpc_auth" => &mut layer.rpc_auth,
        "profile" => &mut layer.profile,
        "snapshot_path" => &mut layer.snapshot_path,
        "discover" => &mut layer.discover,
        "interface" => &mut layer.interface,
        "syslog_facility" => &mut layer.syslog_facility,
        "statsite_addr" => &mut layer.statsite_addr,
        "statsd_addr" => &mut layer.statsd_addr,
        _ => return None,
    })
}

pub(super) fn bool_field<'l>(layer: &'l mut Layer, key: &str) -> Option<&'l mut bool> {
    Some(match key {
        "disable_coordinates" => &mut layer.disable_coordinates,
        "replay_on_join" => &mut layer.replay_on_join,
        "leave_on_terminate" => &mut layer.leave_on_terminate,
        "skip_leave_on_interrupt" => &mut layer.skip_leave_on_interrupt,
        "disable_name_resolution" => &mut layer.disable_name_resolution,
        "enable_syslog" => &mut layer.enable_syslog,
        "rejoin_after_leave" => &mut layer.rejoin_after_leave,
        "validate_node_names" => &mut layer.validate_node_names,
        "parallel_handlers" => &mut layer.parallel_handlers,
        _ => return None,
    })
}

pub(super) fn int_field<'l>(layer: &'l mut Layer, key: &str) -> Option<&'l mut i64> {
    Some(match key {
        "protocol" => &mut layer.protocol,
        "query_response_size_limit" => &mut layer.query_response_size_limit,
        "query_size_limit" => &mut layer.query_size_limit,
        "user_event_size_limit" => &mut layer.user_event_size_limit,
        "retry_max_attempts" => &mut layer.retry_max_attempts,
        _ => return None,
    })
}

pub(super) fn nanos_field<'l>(layer: &'l mut Layer, key: &str) -> Option<&'l mut i64> {
    Some(match key {
        "reconnect_interval" => &mut layer.reconnect_interval,
        "reconnect_timeout" => &mut layer.reconnect_timeout,
        "tombstone_timeout" => &mut layer.tombstone_timeout,
        "retry_interval" => &mut layer.retry_interval,
        "broadcast_timeout" => &mut layer.broadcast_timeout,
        "handler_timeout" => &mut layer.handler_timeout,
        _ => return None,
    })
}

pub(super) fn list_field<'l>(layer: &'l mut Layer, key: &str) -> Option<&'l mut Vec<String>> {
    Some(match key {
        "start_join" => &mut layer.start_join,
        "event_handlers" => &mut layer.event_handlers,
        "retry_join" => &mut layer.retry_join,
        _ => return None,
    })
}

/// What Go calls the type of a value.
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

/// What Go calls the kind of a value.
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
    fn mistakes_are_told_as_by_hashicorps_agent() {
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
        let layer = decode(b"{\"Node_Name\": \"x\", \"PROTOCOL\": 4.0, \"bind\": null} garbage").expect("is valid");
        assert_eq!((layer.node_name.as_str(), layer.protocol, layer.bind.as_str()), ("x", 4, ""));
        assert_eq!(decode(b"null"), Ok(Layer::default()));
    }

    #[test]
    fn every_key_sets_its_field() {
        let texts = [
            "node_name",
            "role",
            "tags_file",
            "bind",
            "advertise",
            "encrypt_key",
            "keyring_file",
            "log_level",
            "log_format",
            "metrics_addr",
            "rpc_addr",
            "rpc_auth",
            "profile",
            "snapshot_path",
            "discover",
            "interface",
            "syslog_facility",
            "statsite_addr",
            "statsd_addr",
        ];
        let bools = [
            "disable_coordinates",
            "replay_on_join",
            "leave_on_terminate",
            "skip_leave_on_interrupt",
            "disable_name_resolution",
            "enable_syslog",
            "rejoin_after_leave",
            "validate_node_names",
            "parallel_handlers",
            "enable_compression",
        ];
        let ints = [
            "protocol",
            "query_response_size_limit",
            "query_size_limit",
            "user_event_size_limit",
            "retry_max_attempts",
        ];
        let nanos = [
            "reconnect_interval",
            "reconnect_timeout",
            "tombstone_timeout",
            "retry_interval",
            "broadcast_timeout",
            "handler_timeout",
        ];
        let lists = ["start_join", "event_handlers", "retry_join"];
        let mut seen = vec![Layer::default()];
        let mut check = |text: String| {
            let layer = decode(text.as_bytes()).expect(&text);
            assert!(!seen.contains(&layer), "{text} sets nothing, or what another key sets");
            seen.push(layer);
        };
        texts.iter().for_each(|key| check(format!("{{\"{key}\": \"v\"}}")));
        bools.iter().for_each(|key| check(format!("{{\"{key}\": true}}")));
        ints.iter().for_each(|key| check(format!("{{\"{key}\": 3}}")));
        nanos.iter().for_each(|key| check(format!("{{\"{key}\": \"3s\"}}")));
        lists.iter().for_each(|key| check(format!("{{\"{key}\": [\"v\"]}}")));
        check("{\"tags\": {\"a\": \"b\"}}".into());
        check("{\"mdns\": {\"interface\": \"lo\"}}".into());
        check("{\"mdns\": {\"disable_ipv4\": true}}".into());
        check("{\"mdns\": {\"disable_ipv6\": true}}".into());
    }
}
