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

/// Sets what variables say, named `SERF_` and the name of a setting in files: `SERF_ENCRYPT_KEY`. Gives the names of those that
/// were used.
///
/// Wrappers have variables of these names for themselves, and make flags of them. So what a flag gives (`is_given`, by the name
/// of the setting) is not even read here, and what looks like flags is refused. `layer` is of the files: variables win over it,
/// lists are joined, tags win one by one.
///
/// Lists have commas, but for the handlers, which have commas of their own and are not read here. `SERF_RPC_ADDR` is not read
/// either: it says where commands find an agent, which may be another one. Nor is `SERF_ROLE`: the role is deprecated, and images
/// use the variable. What is empty is not set, and a variable that names no setting is left alone.
///
/// # Errors
///
/// Names the variable that is no number, duration or truth value, or no text.
pub(super) fn apply(
    layer: &mut Layer,
    variables: impl Iterator<Item = (OsString, OsString)>,
    is_given: impl Fn(&str) -> bool,
) -> Result<Vec<String>, EnvironmentError> {
    let mut used = Vec::new();
    for (name, value) in variables {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        // Only in capitals: so are the names of secrets that handlers do not inherit.
        if key.chars().any(char::is_lowercase) {
            continue;
        }
        let key = key.to_lowercase();
        // Tags of flags win one by one, below.
        if value.is_empty() || OTHERS.contains(&key.as_str()) || (key != TAGS && is_given(&key)) {
            continue;
        }
        let result = value.to_str().ok_or_else(|| "it is no text".to_owned());
        match result.and_then(|value| set(layer, &key, value)) {
            Ok(true) => used.push(name.to_string_lossy().into_owned()),
            Ok(false) => {}
            Err(_) if is_given(&key) => {}
            Err(why) => return Err(EnvironmentError { name: name.to_string_lossy().into_owned(), why }),
        }
    }
    used.sort_unstable();
    Ok(used)
}

/// Sets one; false when there is no such setting.
fn set(layer: &mut Layer, key: &str, value: &str) -> Result<bool, String> {
    if let Some(target) = text_field(layer, key) {
        // A token may begin with anything.
        if key != "rpc_auth" {
            not_a_flag(value)?;
        }
        *target = value.into();
    } else if key == "enable_compression" {
        layer.enable_compression = Some(truth(value)?);
    } else if let Some(target) = bool_field(layer, key) {
        *target = truth(value)?;
    } else if let Some(target) = int_field(layer, key) {
        *target = value.parse().map_err(|_| "it is no number".to_owned())?;
    } else if let Some(target) = nanos_field(layer, key) {
        *target = duration::parse(value).map_err(|error| error.to_string())?;
    } else if let Some(target) = list_field(layer, key) {
        let items = items(value);
        items.iter().try_for_each(|item| not_a_flag(item))?;
        target.extend(items);
    } else if key == TAGS {
        let items = items(value);
        items.iter().try_for_each(|item| not_a_flag(item))?;
        layer.tags.extend(crate::tags::parse(&items).map_err(|error| error.to_string())?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn truth(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "it is neither true nor false".to_owned())
}

fn items(value: &str) -> Vec<String> {
    value.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn not_a_flag(value: &str) -> Result<(), String> {
    if value.trim_start().starts_with('-') { Err("it looks like a flag".into()) } else { Ok(()) }
}

const PREFIX: &str = "SERF_";

const TAGS: &str = "tags";

/// Keys that are not taken from the environment.
const OTHERS: [&str; 3] = ["rpc_addr", "event_handlers", "role"];

#[cfg(test)]
mod tests {
    use super::*;

    fn apply_all(
        layer: &mut Layer,
        variables: &[(&str, &str)],
        given: &[&str],
    ) -> Result<Vec<String>, EnvironmentError> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        apply(layer, variables, |key| given.contains(&key))
    }

    fn layer(variables: &[(&str, &str)]) -> Result<Layer, EnvironmentError> {
        let mut layer = Layer::default();
        apply_all(&mut layer, variables, &[]).map(|_| layer)
    }

    #[test]
    fn variables_set_what_keys_of_files_do() {
        let read = layer(&[
            ("SERF_ENCRYPT_KEY", "k"),
            ("SERF_LEAVE_ON_TERMINATE", "true"),
            ("SERF_ENABLE_COMPRESSION", "false"),
            ("SERF_PROTOCOL", "4"),
            ("SERF_RETRY_INTERVAL", "3s"),
            ("SERF_RETRY_JOIN", "a, b:1,"),
            ("SERF_TAGS", "a=1, b="),
            ("SERF_NODE_NAME", ""),
            ("PATH", "/bin"),
        ]);
        let expected = Layer {
            encrypt_key: "k".into(),
            leave_on_terminate: true,
            enable_compression: Some(false),
            protocol: 4,
            retry_interval: 3_000_000_000,
            retry_join: vec!["a".into(), "b:1".into()],
            tags: [("a".into(), "1".into()), ("b".into(), String::new())].into(),
            ..Layer::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn variables_win_over_files_also_with_false_and_zero() {
        let mut layer = Layer {
            leave_on_terminate: true,
            retry_max_attempts: 3,
            handler_timeout: 1,
            enable_compression: Some(false),
            start_join: vec!["file".into()],
            tags: [("a".into(), "file".into()), ("b".into(), "file".into())].into(),
            ..Layer::default()
        };
        let variables = [
            ("SERF_LEAVE_ON_TERMINATE", "false"),
            ("SERF_RETRY_MAX_ATTEMPTS", "0"),
            ("SERF_HANDLER_TIMEOUT", "0s"),
            ("SERF_ENABLE_COMPRESSION", "true"),
            ("SERF_START_JOIN", "variable"),
            ("SERF_TAGS", "b=variable"),
        ];
        let used = apply_all(&mut layer, &variables, &[]).expect("can be read");
        assert_eq!(used.len(), 6);
        let expected = Layer {
            enable_compression: Some(true),
            start_join: vec!["file".into(), "variable".into()],
            tags: [("a".into(), "file".into()), ("b".into(), "variable".into())].into(),
            ..Layer::default()
        };
        assert_eq!(layer, expected);
    }

    #[test]
    fn what_a_flag_gives_is_not_read() {
        let variables =
            [("SERF_PROTOCOL", "x"), ("SERF_START_JOIN", "a"), ("SERF_BIND", "-bind b"), ("SERF_TAGS", "-tag a=b")];
        let mut layer = Layer::default();
        let used = apply_all(&mut layer, &variables, &["protocol", "start_join", "bind", "tags"]);
        assert_eq!((used, layer), (Ok(vec![]), Layer::default()));
    }

    #[test]
    fn what_handlers_get_where_commands_connect_and_the_role_are_no_settings() {
        let variables = [
            ("SERF_RPC_ADDR", "far:7373"),
            ("SERF_ROLE", "base"),
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
            ("SERF_ENABLE_COMPRESSION", "it is neither true nor false"),
            ("SERF_BROADCAST_TIMEOUT", "time: invalid duration \"-x\""),
            ("SERF_NODE_NAME", "it looks like a flag"),
            ("SERF_START_JOIN", "it looks like a flag"),
            ("SERF_TAGS", "it looks like a flag"),
        ] {
            let error = layer(&[(name, "-x")]).expect_err(name).to_string();
            assert_eq!(error, format!("Error reading {name} from the environment: {why}"));
        }
        assert!(layer(&[("SERF_RPC_AUTH", "-x")]).is_ok(), "a token may begin with anything");
    }
}
