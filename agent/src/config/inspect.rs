//! Finds errors and misleading settings in configuration files, for `serf config check`.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

use super::decode::{DecodeError, FieldError, decode};
use super::draft::{Draft, interface_exists};
use super::environment;
use super::keyring::read_keyring;
use super::resolve::{Config, given};
use super::row::Value;
use super::settings::{SETTINGS, Settings};
use super::source;
use crate::endpoint::read_failure;
use crate::platform::is_readable_by_all;
use crate::rpc::RpcAddress;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Worth knowing.
    Note,
    /// An agent starts, but something is dangerous, deprecated or without effect.
    Warning,
    /// An agent does not start.
    Error,
}

impl Severity {
    /// Its name in the output.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A finding about configuration files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The file, unless it is about the settings of all sources together.
    pub(crate) file: Option<String>,
    /// What was found.
    pub(crate) what: String,
    /// What to do.
    pub(crate) advice: String,
}

/// Inspects the files and directories that an agent would be given, in this order, with these environment variables.
pub(crate) fn inspect(paths: &[String], variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<Finding> {
    let mut inspection = Inspection { settings: Settings::defaults(), ..Inspection::default() };
    for path in paths {
        match source::files(path) {
            Ok(files) => files.iter().for_each(|file| inspection.file(file)),
            Err(error) => inspection.find(Severity::Error, None, error, "give the path of a file or a directory"),
        }
    }
    inspection.environment(variables);
    // Without the settings of an unreadable file, further findings would be wrong.
    if inspection.findings.iter().all(|finding| finding.severity < Severity::Error) {
        inspection.whole();
    }
    inspection.findings
}

#[derive(Default)]
struct Inspection {
    settings: Settings,
    /// The last file that sets a key; a tag has the key `tags.` and its name.
    set_by: BTreeMap<String, String>,
    findings: Vec<Finding>,
}

impl Inspection {
    fn find(&mut self, severity: Severity, file: Option<&str>, what: impl fmt::Display, advice: impl fmt::Display) {
        let (file, what, advice) = (file.map(str::to_owned), what.to_string(), advice.to_string());
        self.findings.push(Finding { severity, file, what, advice });
    }

    fn file(&mut self, path: &Path) {
        let shown = path.display().to_string();
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => return self.find(Severity::Error, Some(&shown), read_failure(path, &error), READABLE),
        };
        match decode(&text) {
            Ok(mut layer) => {
                self.entries(&shown, &entries(&text), &mut layer);
                self.secrets(path, &shown, &layer);
                self.settings.merge(layer);
            }
            Err(DecodeError::Fields(errors)) => errors.iter().for_each(|error| self.field(&shown, error)),
            Err(error) => self.find(Severity::Error, Some(&shown), error, "write one JSON object of settings"),
        }
    }

    fn field(&mut self, file: &str, error: &FieldError) {
        match error {
            FieldError::Unknown { inside, keys } => {
                for key in keys {
                    let key = format!("{inside}.{}", key.to_lowercase());
                    let key = key.trim_start_matches('.');
                    self.find(Severity::Error, Some(file), format_args!("unknown key {key:?}"), suggestion(key));
                }
            }
            FieldError::Type(_) => {
                self.find(Severity::Error, Some(file), error, "see docs/agent-settings.md for the type");
            }
        }
    }

    /// Findings about the keys of one file, and in relation to earlier files.
    fn entries(&mut self, file: &str, entries: &[(String, Json)], layer: &mut Settings) {
        let mut seen = BTreeSet::new();
        for (key, json) in entries {
            if !seen.insert(key) {
                let what = format_args!("{key} is there twice, and only one of them counts");
                self.find(Severity::Warning, Some(file), what, "remove one of them");
                continue;
            }
            if let Some((severity, what, advice)) = outdated(key, json) {
                self.find(severity, Some(file), format_args!("{key} {what}"), advice);
            }
            match layer.value(key) {
                // Lists are joined.
                None | Some((_, Value::List(_))) => {}
                Some((_, Value::Tags(tags))) => {
                    tags.keys().for_each(|tag| self.relate(file, &format!("{key}.{tag}"), true));
                }
                Some((_, Value::Bool(true))) => _ = self.set_by.entry(key.clone()).or_insert_with(|| file.into()),
                Some((setting, value)) => self.relate(file, key, value.is_set(setting)),
            }
        }
    }

    /// Records that a file sets a key, or has it with a value that sets nothing, and finds conflicts with earlier files.
    fn relate(&mut self, file: &str, key: &str, sets: bool) {
        let earlier = self.set_by.get(key).cloned();
        if sets {
            self.set_by.insert(key.into(), file.into());
        }
        match earlier {
            Some(earlier) if sets => {
                let what = format_args!("{key} replaces that of {earlier}");
                self.find(Severity::Note, Some(file), what, "keep it in one file, if this is not meant");
            }
            Some(earlier) => {
                let what = format_args!("{key} has no effect, because {earlier} sets it");
                let advice = "an empty, zero or false value of a later file replaces nothing; remove the earlier one";
                self.find(Severity::Warning, Some(file), what, advice);
            }
            None => {}
        }
    }

    /// Secrets in a file that every user can read.
    fn secrets(&mut self, path: &Path, file: &str, layer: &Settings) {
        for (key, secret) in [("encrypt_key", &layer.encrypt_key), ("rpc_auth", &layer.rpc_auth)] {
            if !secret.is_empty() && is_readable_by_all(path) {
                let what = format_args!("every user of this host can read {key}");
                self.find(Severity::Warning, Some(file), what, format_args!("chmod o-r {file}"));
            }
        }
    }

    fn environment(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        match environment::apply(&mut self.settings, variables, |_| false) {
            Err(error) => self.find(Severity::Error, None, error, "correct or unset the variable"),
            Ok(used) => {
                for name in used {
                    let setting = SETTINGS.iter().find(|setting| setting.variable_name().as_ref() == Some(&name));
                    let Some(file) = setting.and_then(|setting| self.set_by.get(setting.key)).cloned() else {
                        continue;
                    };
                    let what = format_args!("{name} of this environment wins over {file}");
                    self.find(Severity::Note, None, what, "see 'serf config show' for the values that result");
                }
            }
        }
    }

    /// Findings about the settings of all sources together.
    fn whole(&mut self) {
        let draft = match Draft::check(self.settings.clone(), interface_exists) {
            Ok(draft) => draft,
            Err(error) => return self.find(Severity::Error, None, error, "correct the setting"),
        };
        for warning in &draft.warnings {
            let (_, what) = warning.split_once(": ").unwrap_or(("", warning));
            // Reported with the file that has it.
            if !what.starts_with("'Role'") {
                self.find(Severity::Warning, None, what, "the agent warns of it at each start");
            }
        }
        match Config::resolve(draft) {
            Ok((config, _)) => {
                self.keys(&config.settings);
                self.listeners(&config.settings);
                self.networks(&config);
            }
            Err(error) => self.find(Severity::Error, None, error, "correct the setting"),
        }
    }

    fn keys(&mut self, settings: &Settings) {
        if !settings.tags_file.is_empty() && !settings.tags.is_empty() {
            self.find(Severity::Error, None, "tags and tags_file exclude each other", "move the tags into the file");
        }
        let (key, keyring) = (given(&settings.encrypt_key), given(&settings.keyring_file));
        match (key, keyring.map(Path::new)) {
            (Some(_), Some(_)) => {
                let what = "encrypt_key and keyring_file exclude each other";
                self.find(Severity::Error, None, what, "move the key into the keyring file");
            }
            (None, Some(path)) => {
                if let Err(error) = read_keyring(path) {
                    self.find(Severity::Error, None, error, "the file must be a JSON list of keys in base64");
                } else if is_readable_by_all(path) {
                    let (what, advice) = ("every user of this host can read the keyring file", "chmod o-r ");
                    self.find(Severity::Warning, None, what, format_args!("{advice}{}", path.display()));
                }
            }
            (None, None) => {
                let advice = "'serf keygen' makes a key; docs/operate.md says how a running cluster gets it";
                self.find(Severity::Note, None, "gossip is not encrypted: there is no key", advice);
            }
            (Some(_), None) => {}
        }
        let has_key = key.or(keyring).is_some();
        for (name, is_off, what) in [
            (
                "encrypt_verify_incoming",
                settings.encrypt_verify_incoming == Some(false),
                "accepts gossip without a key",
            ),
            ("encrypt_verify_outgoing", settings.encrypt_verify_outgoing == Some(false), "sends gossip unencrypted"),
        ] {
            if is_off && has_key {
                let what = format_args!("{name} is false: the agent {what}");
                self.find(Severity::Warning, None, what, "remove it when all members have the key");
            } else if is_off {
                let what = format_args!("{name} has no effect without a key");
                self.find(Severity::Warning, None, what, "set encrypt_key or keyring_file, or remove it");
            }
        }
    }

    fn listeners(&mut self, settings: &Settings) {
        if settings.rpc_auth.is_empty() && is_open(&settings.rpc_addr) {
            let what = format_args!("rpc_addr {} lets other hosts control the agent", settings.rpc_addr);
            self.find(Severity::Warning, None, what, "set rpc_auth, or listen on 127.0.0.1 or a unix socket");
        }
        if settings.ui && settings.metrics_addr.is_empty() {
            let what = "ui has no effect without metrics_addr";
            self.find(Severity::Warning, None, what, "set metrics_addr, which serves the page");
        }
        if is_open(&settings.metrics_addr) {
            let what = format_args!("metrics_addr {} is open to other hosts, without a token", settings.metrics_addr);
            self.find(Severity::Note, None, what, "let only the monitoring system connect");
        }
    }

    fn networks(&mut self, config: &Config) {
        let announced = config.advertise.unwrap_or(config.bind).ip();
        let allowed = config
            .settings
            .protocol()
            .and_then(|it| serf_tokio::serf_proto::Config::new(it).map_err(|error| error.to_string()));
        if !announced.is_unspecified() && allowed.is_ok_and(|allowed| !allowed.admits(announced)) {
            let what = format_args!("{announced}, which the agent announces, is in none of cidrs_allowed");
            self.find(Severity::Error, None, what, "add its network");
        }
    }
}

/// Whether other hosts can connect to an address to listen on.
fn is_open(address: &str) -> bool {
    match RpcAddress::parse(address) {
        Ok(RpcAddress::Tcp { host, .. }) => host.is_empty() || host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback()),
        _ => false,
    }
}

/// The finding about a key that is deprecated, or never had an effect.
fn outdated(key: &str, value: &Json) -> Option<(Severity, &'static str, &'static str)> {
    match key {
        "role" => Some((Severity::Warning, "is deprecated", "write \"tags\": {\"role\": ...}")),
        "validate_node_names" | IGNORED if *value == Json::Bool(true) => {
            Some((Severity::Note, "has no effect in this agent", "remove it when no HashiCorp agent reads the file"))
        }
        _ => None,
    }
}

/// The nearest key, if one is near.
fn suggestion(key: &str) -> String {
    let nearest = SETTINGS.iter().map(|setting| (strsim::damerau_levenshtein(key, setting.key), setting.key)).min();
    match nearest {
        Some((distance, near)) if distance <= 1 + key.len().min(near.len()) / 3 => format!("did you mean {near}?"),
        _ => "remove it; docs/agent-settings.md lists all keys".into(),
    }
}

/// The keys of a document in lower case, with `outer.inner` for those of an object, and their values. Repeated keys are
/// there repeatedly. Empty for a text that is no JSON object.
fn entries(text: &[u8]) -> Vec<(String, Json)> {
    let top = serde_json::Deserializer::from_slice(text).into_iter::<Entries>().next();
    let mut entries = Vec::new();
    for (key, value) in top.and_then(Result::ok).map_or_else(Vec::new, |entries| entries.0) {
        let key = key.to_lowercase();
        match value {
            Json::Object(inner) if is_outer(&key) => {
                entries
                    .extend(inner.into_iter().map(|(name, value)| (format!("{key}.{}", name.to_lowercase()), value)));
            }
            value => entries.push((key, value)),
        }
    }
    entries
}

/// Whether a key is that of an object of settings.
fn is_outer(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// The keys of an object as written, repeated ones too.
struct Entries(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

const READABLE: &str = "let the agent's user read it";

/// A key that HashiCorp's agent has for its library.
const IGNORED: &str = "msgpackusenewtimeformat";

#[cfg(test)]
mod tests {
    use super::super::keyring::tests::Directory;
    use super::*;

    /// The findings about files of these texts, named `a.json`, `b.json`, each as severity, file and text.
    fn found_in(texts: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let dir = Directory::new();
        let mut paths = Vec::new();
        for (text, name) in texts.iter().zip(["a.json", "b.json"]) {
            let path = dir.file(name);
            std::fs::write(&path, text).expect("can be written");
            private(&path);
            paths.push(path.display().to_string());
        }
        let directory = format!("{}/", dir.file("").display()).replace("//", "/");
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let line = |finding: Finding| {
            let file = finding.file.map(|file| format!("{file}: ")).unwrap_or_default();
            format!("{} {file}{}", finding.severity.word(), finding.what).replace(&directory, "")
        };
        inspect(&paths, variables).into_iter().map(line).filter(|line| !line.contains("there is no key")).collect()
    }

    #[cfg(unix)]
    fn private(path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).expect("is ours");
    }

    #[cfg(not(unix))]
    fn private(_path: &Path) {}

    #[test]
    fn a_good_file_has_no_findings() {
        let text =
            r#"{"bind": "127.0.0.1", "tags": {"role": "web"}, "mdns": {"interface": ""}, "retry_interval": "5s"}"#;
        assert_eq!(found_in(&[text], &[]), Vec::<String>::new());
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest_and_wrong_types_with_both() {
        let text = r#"{"bindd": "x", "zebra": 1, "mdns": {"iface": 1}, "protocol": "5"}"#;
        let dir = Directory::new();
        std::fs::write(dir.file("a.json"), text).expect("can be written");
        let findings = inspect(&[dir.file("a.json").display().to_string()], core::iter::empty());
        let lines: Vec<_> = findings.iter().map(|it| format!("{}; {}", it.what, it.advice)).collect();
        assert_eq!(
            lines,
            [
                "unknown key \"bindd\"; did you mean bind?",
                "unknown key \"zebra\"; remove it; docs/agent-settings.md lists all keys",
                "unknown key \"mdns.iface\"; did you mean mdns.interface?",
                "'protocol' expected type 'int', got unconvertible type 'string', value: '5'; \
                 see docs/agent-settings.md for the type",
            ]
        );
        assert!(findings.iter().all(|finding| finding.severity == Severity::Error));
    }

    #[test]
    fn values_that_replace_others_or_have_no_effect_are_named_with_their_files() {
        let a = r#"{"bind": "127.0.0.1", "profile": "wan", "leave_on_terminate": true, "tags": {"dc": "a"}, "log_level": "warn"}"#;
        let b = r#"{"bind": "127.0.0.2", "profile": "", "leave_on_terminate": false, "tags": {"dc": "b", "os": "x"}}"#;
        assert_eq!(
            found_in(&[a, b], &[("SERF_LOG_LEVEL", "err"), ("SERF_DISCOVER", "c")]),
            [
                "note b.json: bind replaces that of a.json",
                "warning b.json: profile has no effect, because a.json sets it",
                "warning b.json: leave_on_terminate has no effect, because a.json sets it",
                "note b.json: tags.dc replaces that of a.json",
                "note SERF_LOG_LEVEL of this environment wins over a.json",
            ]
        );
        assert_eq!(
            found_in(&[r#"{"protocol": 4}"#, r#"{"protocol": -1}"#], &[]),
            ["warning b.json: protocol has no effect, because a.json sets it"]
        );
        assert_eq!(
            found_in(&[r#"{"bind": "127.0.0.1", "Bind": "127.0.0.2"}"#], &[]),
            ["warning a.json: bind is there twice, and only one of them counts"]
        );
    }

    #[test]
    fn what_is_deprecated_or_ignored_is_named() {
        let text = r#"{"role": "web", "validate_node_names": true, "MsgpackUseNewTimeFormat": true}"#;
        assert_eq!(
            found_in(&[text], &[]),
            [
                "warning a.json: role is deprecated",
                "note a.json: validate_node_names has no effect in this agent",
                "note a.json: msgpackusenewtimeformat has no effect in this agent",
            ]
        );
    }

    #[test]
    fn what_is_dangerous_is_a_warning_and_what_stops_a_start_an_error() {
        let key = "MDEyMzQ1Njc4OWFiY2RlZg==";
        let text = format!(
            r#"{{"encrypt_key": "{key}", "encrypt_verify_incoming": false, "rpc_addr": "0.0.0.0:7373", "retry_interval": "1ms"}}"#
        );
        assert_eq!(
            found_in(&[&text], &[]),
            [
                "warning 'RetryInterval' is too low. Setting to 1s",
                "warning encrypt_verify_incoming is false: the agent accepts gossip without a key",
                "warning rpc_addr 0.0.0.0:7373 lets other hosts control the agent",
            ]
        );
        assert_eq!(found_in(&[r#"{"ui": true}"#], &[]), ["warning ui has no effect without metrics_addr"]);
        assert_eq!(
            found_in(&[r#"{"encrypt_verify_outgoing": false}"#], &[]),
            ["warning encrypt_verify_outgoing has no effect without a key"]
        );
        for (text, error) in [
            (r#"{"profile": "moon"}"#, "Unknown profile: moon"),
            (
                r#"{"bind": "10.0.0.7", "cidrs_allowed": ["10.1.0.0/16"]}"#,
                "10.0.0.7, which the agent announces, is in none of cidrs_allowed",
            ),
            (r#"{"tags": {"a": "b"}, "tags_file": "t"}"#, "tags and tags_file exclude each other"),
            (r#"{"keyring_file": "/nosuch"}"#, "stat /nosuch: no such file or directory"),
        ] {
            assert_eq!(found_in(&[text], &[]), [format!("error {error}")]);
        }
        assert_eq!(found_in(&["["], &[]), ["error a.json: unexpected EOF"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_every_user_can_read_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Directory::new();
        let path = dir.file("a.json");
        std::fs::write(&path, r#"{"rpc_auth": "t"}"#).expect("can be written");
        let found = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("is ours");
            let findings = inspect(&[path.display().to_string()], core::iter::empty());
            findings.iter().any(|finding| finding.what == "every user of this host can read rpc_auth")
        };
        assert_eq!([0o600, 0o640, 0o644, 0o604].map(found), [false, false, true, true]);
    }
}
