//! Reads settings from environment variables: those that a container or a service manager sets, and secrets that should
//! not appear in the process list.

use std::ffi::OsString;

use thiserror::Error;

use super::row::{VARIABLE_PREFIX, Value, Variable};
use super::settings::{SETTINGS, Settings};
use crate::duration::{self, DurationError};
use crate::tags::{self, TagError};

/// The variables that hold secrets. Handlers do not inherit them.
pub(crate) fn secrets() -> impl Iterator<Item = String> {
    let secret = SETTINGS.iter().filter(|setting| matches!(setting.variable, Variable::Secret | Variable::Token));
    secret.filter_map(|setting| setting.variable_name())
}

/// An invalid environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Error reading {name} from the environment: {why}")]
pub struct EnvironmentError {
    /// The name of the variable.
    pub name: String,
    /// What is wrong with its value. The value may be a secret, and is not printed.
    pub why: VariableError,
}

/// What is wrong with the value of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VariableError {
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    Text,
    /// It is not a number.
    #[error("it is not a number")]
    Number,
    /// It is not a boolean.
    #[error("it is neither true nor false")]
    Truth,
    /// It looks like a flag, which wrappers put into variables of their own.
    #[error("it looks like a flag")]
    Flag,
    /// It is not a duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// It contains an invalid tag.
    #[error(transparent)]
    Tag(#[from] TagError),
}

/// Applies environment variables to `settings`. A variable is named `SERF_` and the key of a setting in capitals:
/// `SERF_ENCRYPT_KEY`, `SERF_MDNS_INTERFACE` for `mdns.interface`. Returns the names of the variables used.
///
/// Wrappers have variables of these names for themselves, and make flags of them. So the variable of a setting that a
/// flag gives (`is_given`, by the name of the setting) is not read, and a value that looks like flags is refused.
/// `settings` comes from the files: variables win over it, lists are appended, tags win one by one.
///
/// Lists are separated by commas, except handlers, whose syntax contains commas; they are not read here.
/// `SERF_RPC_ADDR` is not read either: it locates the agent for commands, and that may be another agent. `SERF_ROLE` is
/// not read: the role is deprecated, and images use the variable. An empty variable is unset, and an unknown one is
/// ignored.
///
/// # Errors
///
/// Names the variable that is not a number, duration, boolean or UTF-8.
pub(super) fn apply(
    settings: &mut Settings,
    variables: impl Iterator<Item = (OsString, OsString)>,
    is_given: impl Fn(&str) -> bool,
) -> Result<Vec<String>, EnvironmentError> {
    let mut used = Vec::new();
    for (name, value) in variables {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(VARIABLE_PREFIX)) else { continue };
        // Only in capitals, as the secrets that handlers do not inherit.
        if key.chars().any(char::is_lowercase) {
            continue;
        }
        let key = key.to_lowercase();
        let Some(setting) = SETTINGS.iter().find(|setting| setting.has_variable(&key)) else { continue };
        // Tags of flags win one by one, below.
        let is_void = setting.key != TAGS && is_given(setting.key);
        if value.is_empty() || setting.variable == Variable::Ignored || is_void {
            continue;
        }
        match value.to_str().ok_or(VariableError::Text).and_then(|value| set(settings, setting.key, value)) {
            Ok(()) => used.push(name.to_string_lossy().into_owned()),
            Err(_) if is_given(setting.key) => {}
            Err(why) => return Err(EnvironmentError { name: name.to_string_lossy().into_owned(), why }),
        }
    }
    used.sort_unstable();
    Ok(used)
}

/// Sets one setting.
fn set(settings: &mut Settings, key: &str, text: &str) -> Result<(), VariableError> {
    let Some((setting, target)) = settings.value(key) else { return Ok(()) };
    match target {
        Value::Text(target) => {
            if setting.variable != Variable::Token {
                not_a_flag(text)?;
            }
            *target = text.into();
        }
        Value::Bool(target) => *target = truth(text)?,
        Value::Switch(target) => *target = Some(truth(text)?),
        Value::Int(target) => *target = text.parse().map_err(|_| VariableError::Number)?,
        Value::Nanos(target) => *target = duration::parse(text)?,
        Value::List(target) => target.extend(items(text)?),
        Value::Tags(target) => target.extend(tags::parse(&items(text)?)?),
    }
    Ok(())
}

fn truth(text: &str) -> Result<bool, VariableError> {
    text.parse().map_err(|_| VariableError::Truth)
}

/// Splits at commas and drops empty items.
fn items(text: &str) -> Result<Vec<String>, VariableError> {
    let items: Vec<_> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
    items.iter().try_for_each(|item| not_a_flag(item))?;
    Ok(items)
}

fn not_a_flag(text: &str) -> Result<(), VariableError> {
    if text.trim_start().starts_with('-') { Err(VariableError::Flag) } else { Ok(()) }
}

const TAGS: &str = "tags";

#[cfg(test)]
mod tests {
    use super::*;

    fn apply_all(
        settings: &mut Settings,
        variables: &[(&str, &str)],
        given: &[&str],
    ) -> Result<Vec<String>, EnvironmentError> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        apply(settings, variables, |key| given.contains(&key))
    }

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, EnvironmentError> {
        let mut settings = Settings::default();
        apply_all(&mut settings, variables, &[]).map(|_| settings)
    }

    #[test]
    fn variables_set_what_keys_of_files_do() {
        let read = settings(&[
            ("SERF_ENCRYPT_KEY", "k"),
            ("SERF_LEAVE_ON_TERMINATE", "true"),
            ("SERF_ENABLE_COMPRESSION", "false"),
            ("SERF_PROTOCOL", "4"),
            ("SERF_RETRY_INTERVAL", "3s"),
            ("SERF_RETRY_JOIN", "a, b:1,"),
            ("SERF_TAGS", "a=1, b="),
            ("SERF_MDNS_INTERFACE", "eth0"),
            ("SERF_MDNS.INTERFACE", "eth1"),
            ("SERF_CIDRS_ALLOWED", "10.0.0.0/8, fd00::/8"),
            ("SERF_NODE_NAME", ""),
            ("PATH", "/bin"),
        ]);
        let expected = Settings {
            encrypt_key: "k".into(),
            leave_on_terminate: true,
            enable_compression: Some(false),
            protocol: 4,
            retry_interval: 3_000_000_000,
            retry_join: vec!["a".into(), "b:1".into()],
            mdns_interface: "eth0".into(),
            cidrs_allowed: vec!["10.0.0.0/8".into(), "fd00::/8".into()],
            tags: [("a".into(), "1".into()), ("b".into(), String::new())].into(),
            ..Settings::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn variables_win_over_files_also_with_false_and_zero() {
        let mut settings = Settings {
            leave_on_terminate: true,
            retry_max_attempts: 3,
            handler_timeout: 1,
            enable_compression: Some(false),
            start_join: vec!["file".into()],
            tags: [("a".into(), "file".into()), ("b".into(), "file".into())].into(),
            ..Settings::default()
        };
        let variables = [
            ("SERF_LEAVE_ON_TERMINATE", "false"),
            ("SERF_RETRY_MAX_ATTEMPTS", "0"),
            ("SERF_HANDLER_TIMEOUT", "0s"),
            ("SERF_ENABLE_COMPRESSION", "true"),
            ("SERF_START_JOIN", "variable"),
            ("SERF_TAGS", "b=variable"),
        ];
        let used = apply_all(&mut settings, &variables, &[]).expect("can be read");
        assert_eq!(used.len(), 6);
        let expected = Settings {
            enable_compression: Some(true),
            start_join: vec!["file".into(), "variable".into()],
            tags: [("a".into(), "file".into()), ("b".into(), "variable".into())].into(),
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn secrets_are_known_by_the_names_of_their_variables() {
        assert_eq!(secrets().collect::<Vec<_>>(), ["SERF_RPC_AUTH", "SERF_ENCRYPT_KEY"]);
    }

    #[test]
    fn a_setting_given_by_a_flag_is_not_read_from_files() {
        let variables =
            [("SERF_PROTOCOL", "x"), ("SERF_START_JOIN", "a"), ("SERF_BIND", "-bind b"), ("SERF_TAGS", "-tag a=b")];
        let mut settings = Settings::default();
        let used = apply_all(&mut settings, &variables, &["protocol", "start_join", "bind", "tags"]);
        assert_eq!((used, settings), (Ok(vec![]), Settings::default()));
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
        assert_eq!(settings(&variables), Ok(Settings::default()));
    }

    #[test]
    fn an_error_about_a_variable_does_not_repeat_its_value() {
        for (name, why) in [
            ("SERF_PROTOCOL", "it is not a number"),
            ("SERF_REJOIN_AFTER_LEAVE", "it is neither true nor false"),
            ("SERF_ENABLE_COMPRESSION", "it is neither true nor false"),
            ("SERF_BROADCAST_TIMEOUT", "time: invalid duration \"-x\""),
            ("SERF_NODE_NAME", "it looks like a flag"),
            ("SERF_START_JOIN", "it looks like a flag"),
            ("SERF_TAGS", "it looks like a flag"),
        ] {
            let error = settings(&[(name, "-x")]).expect_err(name).to_string();
            assert_eq!(error, format!("Error reading {name} from the environment: {why}"));
        }
        assert!(settings(&[("SERF_RPC_AUTH", "-x")]).is_ok(), "a token may begin with anything");
    }
}
