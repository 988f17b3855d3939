//! Settings from the environment: what a container or a service manager sets, and secrets that should not be in the list of
//! processes.

use core::fmt;
use std::ffi::OsString;

use super::decode::{bool_field, int_field, list_field, nanos_field, text_field};
use super::layer::Layer;
use crate::duration;

/// Variables that hold secrets. Handlers do not inherit them.
pub const SECRETS: [&str; 2] = ["SERF_RPC_AUTH", "SERF_ENCRYPT_KEY"];

/// A variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentError {
    /// The variable.
    pub name: String,
    /// What is wrong with its value, which may be a secret and is not told.
    pub why: String,
}

impl fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error reading {} from the environment: {}", self.name, self.why)
    }
}

impl core::error::Error for EnvironmentError {}

/// Takes `SERF_` and the name of a setting in files: `SERF_ENCRYPT_KEY`. Lists have commas, but for the handlers, which have
/// commas of their own and are not read here. `SERF_RPC_ADDR` is not read either: it says where commands find an agent, which
/// may be another one. What is empty is not set, and what is no setting is somebody else's.
///
/// # Errors
///
/// Names the variable that is no number, duration or truth value, or no text.
pub(super) fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Layer, EnvironmentError> {
    let mut layer = Layer::default();
    for (name, value) in variables {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        // Only in capitals: so are the names of secrets that handlers do not inherit.
        if key.chars().any(char::is_lowercase) {
            continue;
        }
        let key = key.to_lowercase();
        if value.is_empty() || OTHERS.contains(&key.as_str()) {
            continue;
        }
        let result = value.to_str().ok_or_else(|| "it is no text".to_owned());
        let result = result.and_then(|value| set(&mut layer, &key, value));
        result.map_err(|why| EnvironmentError { name: name.to_string_lossy().into_owned(), why })?;
    }
    Ok(layer)
}

fn set(layer: &mut Layer, key: &str, value: &str) -> Result<(), String> {
    if let Some(target) = text_field(layer, key) {
        *target = value.into();
    } else if let Some(target) = bool_field(layer, key) {
        *target = value.parse().map_err(|_| "it is neither true nor false".to_owned())?;
    } else if let Some(target) = int_field(layer, key) {
        *target = value.parse().map_err(|_| "it is no number".to_owned())?;
    } else if let Some(target) = nanos_field(layer, key) {
        *target = duration::parse(value).map_err(|error| error.to_string())?;
    } else if let Some(target) = list_field(layer, key) {
        *target = value.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
    } else if key == "tags" {
        let tags: Vec<String> = value.split(',').map(str::to_owned).collect();
        layer.tags = crate::tags::parse(&tags).map_err(|error| error.to_string())?;
    }
    Ok(())
}

const PREFIX: &str = "SERF_";

const OTHERS: [&str; 2] = ["rpc_addr", "event_handlers"];

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(variables: &[(&str, &str)]) -> Result<Layer, EnvironmentError> {
        read(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn variables_set_what_keys_of_files_do() {
        let read = layer(&[
            ("SERF_ENCRYPT_KEY", "k"),
            ("SERF_LEAVE_ON_TERMINATE", "true"),
            ("SERF_PROTOCOL", "4"),
            ("SERF_RETRY_INTERVAL", "3s"),
            ("SERF_RETRY_JOIN", "a, b:1,"),
            ("SERF_TAGS", "a=1,b="),
            ("SERF_NODE_NAME", ""),
            ("PATH", "/bin"),
        ]);
        let expected = Layer {
            encrypt_key: "k".into(),
            leave_on_terminate: true,
            protocol: 4,
            retry_interval: 3_000_000_000,
            retry_join: vec!["a".into(), "b:1".into()],
            tags: [("a".into(), "1".into()), ("b".into(), String::new())].into(),
            ..Layer::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn what_handlers_get_and_where_commands_connect_are_no_settings() {
        let variables = [
            ("SERF_RPC_ADDR", "far:7373"),
            ("SERF_EVENT", "user"),
            ("SERF_SELF_NAME", "n"),
            ("SERF_SELF_ROLE", "r"),
            ("SERF_TAG_ROLE", "r"),
            ("SERF_USER_EVENT", "e"),
            ("SERF_USER_LTIME", "1"),
            ("SERF_QUERY_NAME", "q"),
            ("SERF_QUERY_LTIME", "1"),
        ];
        assert_eq!(layer(&variables), Ok(Layer::default()));
    }

    #[test]
    fn a_value_that_cannot_be_used_is_not_told() {
        for (name, why) in [
            ("SERF_PROTOCOL", "it is no number"),
            ("SERF_REJOIN_AFTER_LEAVE", "it is neither true nor false"),
            ("SERF_BROADCAST_TIMEOUT", "time: invalid duration \"x\""),
        ] {
            let error = layer(&[(name, "x")]).expect_err(name).to_string();
            assert_eq!(error, format!("Error reading {name} from the environment: {why}"));
        }
    }
}
