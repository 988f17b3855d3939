//! Which source each setting comes from, for `serf config show`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::row::{Bound, Setting, Value, Variable};
use super::seed::Seed;
use super::settings::{SETTINGS, Settings};
use crate::duration;
use crate::json::Json;

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// No source sets it.
    Default,
    /// No source sets it, and the profile of this name has a value for it.
    Profile(String),
    /// The host, for the name of the node.
    Host,
    /// A file, with its path.
    File(String),
    /// An environment variable, with its name.
    Variable(String),
    /// A flag.
    Flag,
}

impl Origin {
    /// The kind of source in one word.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Profile(_) => "profile",
            Self::Host => "host",
            Self::File(_) => "file",
            Self::Variable(_) => "environment",
            Self::Flag => "flag",
        }
    }

    /// Which profile, file or variable; for a flag its name.
    pub(crate) fn name<'o>(&'o self, setting: &Setting) -> Option<Cow<'o, str>> {
        match self {
            Self::Default | Self::Host => None,
            Self::Profile(name) | Self::File(name) | Self::Variable(name) => Some(name.into()),
            Self::Flag => setting.flag_name().map(|name| format!("-{name}").into()),
        }
    }
}

/// The sources of the settings. A setting that is missing has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    settings: BTreeMap<&'static str, Vec<Origin>>,
    tags: BTreeMap<String, Origin>,
}

impl Origins {
    /// Notes a source, later than those before, with its settings.
    pub(super) fn add(&mut self, origin: &Origin, layer: &Settings) {
        let mut layer = layer.clone();
        if !layer.role.is_empty() {
            self.tags.insert("role".into(), origin.clone());
        }
        for (setting, value) in layer.values() {
            match &value {
                value if !value.is_set(setting) => {}
                Value::Tags(tags) => self.tags.extend(tags.keys().map(|key| (key.clone(), origin.clone()))),
                Value::List(_) => self.settings.entry(setting.key).or_default().push(origin.clone()),
                _ => self.set(setting.key, origin.clone()),
            }
        }
    }

    /// Notes the environment: the names of the variables that were used, and the settings of these alone.
    pub(super) fn add_variables(&mut self, names: &[String], mut layer: Settings) {
        for name in names {
            let Some(setting) = SETTINGS.iter().find(|it| it.variable_name().as_ref() == Some(name)) else { continue };
            let origin = Origin::Variable(name.clone());
            match layer.value(setting.key) {
                Some((_, Value::List(_))) => self.settings.entry(setting.key).or_default().push(origin),
                Some((_, Value::Tags(tags))) => self.tags.extend(tags.keys().map(|key| (key.clone(), origin.clone()))),
                // A variable wins over files also with false and zero.
                _ => self.set(setting.key, origin),
            }
        }
    }

    /// Notes the only source of a setting.
    pub(super) fn set(&mut self, key: &'static str, origin: Origin) {
        self.settings.insert(key, vec![origin]);
    }

    /// The effective value of each setting and its sources, sorted by key. Each tag has a row of its own; secrets are
    /// not shown.
    pub(crate) fn effective(&self, settings: &Settings) -> Vec<Effective> {
        let (mut rows, profile) = (Vec::new(), &settings.profile);
        for (setting, value) in settings.clone().with_profile().values() {
            match value {
                Value::Tags(tags) => rows.extend(tags.iter().map(|(tag, value)| self.tag(setting, tag, value))),
                // The role is a tag.
                _ if setting.key == "role" => {}
                value => {
                    let unset = || match setting.bound {
                        Bound::Profile => Origin::Profile(profile.clone()),
                        _ => Origin::Default,
                    };
                    let origins = self.settings.get(setting.key).cloned().unwrap_or_else(|| vec![unset()]);
                    rows.push(Effective { key: setting.key.into(), value: shown(setting, value), origins, setting });
                }
            }
        }
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rows
    }

    fn tag(&self, setting: &'static Setting, tag: &str, value: &str) -> Effective {
        let origins = self.tags.get(tag).cloned().into_iter().collect();
        Effective { key: format!("{}.{tag}", setting.key), value: Json::text(value), origins, setting }
    }
}

/// A setting as the agent would run with it.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    /// Its key in files; of a tag `tags.` and its name.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: Json,
    /// Where it comes from: one source, or several of a list.
    pub(crate) origins: Vec<Origin>,
    /// The row of the table.
    pub(crate) setting: &'static Setting,
}

fn shown(setting: &Setting, value: Value<'_>) -> Json {
    match value {
        Value::Text(text) if !text.is_empty() && matches!(setting.variable, Variable::Secret | Variable::Token) => {
            Json::text("(not shown)")
        }
        Value::Text(text) => Json::text(text),
        Value::Bool(on) => Json::Bool(*on),
        Value::Switch(on) => Json::Bool(on.unwrap_or(true)),
        Value::Int(number) => Json::Number(*number),
        Value::Nanos(nanos) => Json::text(&duration::shown(*nanos)),
        Value::List(list) if matches!(setting.key, "start_join" | "retry_join") => {
            Json::List(list.iter().map(|text| Json::text(&Seed::shown(text))).collect())
        }
        Value::List(list) => Json::names(&*list),
        Value::Tags(tags) => Json::texts(tags),
    }
}

#[cfg(test)]
mod tests {
    use super::super::draft::Draft;
    use super::super::flags::Flags;
    use super::super::keyring::tests::Directory;
    use super::*;

    /// Each key, its value and its sources, of the keys that start with one of `keys`.
    fn traced(files: &[(&str, &str)], variables: &[(&str, &str)], args: &[&str], keys: &[&str]) -> Vec<String> {
        let dir = Directory::new();
        let mut flags: Vec<_> = args.iter().map(std::ffi::OsString::from).collect();
        for (name, text) in files {
            std::fs::write(dir.file(name), text).expect("can be written");
            flags.push(format!("-config-file={}", dir.file(name).display()).into());
        }
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let flags = Flags::parse(&flags).expect("these are flags");
        let (draft, origins) = Draft::trace(flags, variables).expect("is valid");
        let rows = origins.effective(&draft.settings).into_iter();
        let rows = rows.filter(|row| keys.iter().any(|key| row.key.starts_with(key)));
        let line = |row: Effective| {
            let origins = row.origins.iter().map(|origin| {
                let name = origin.name(row.setting).unwrap_or_default();
                format!("{} {}", origin.kind(), name.rsplit('/').next().unwrap_or_default())
            });
            format!("{} {} {}", row.key, row.value.render_line(), origins.collect::<Vec<_>>().join(", "))
        };
        rows.map(line).map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn the_source_of_a_setting_is_the_last_that_says_something() {
        let files = [
            ("a.json", r#"{"bind": "1.1.1.1", "log_level": "warn"}"#),
            ("b.json", r#"{"bind": "", "profile": "wan"}"#),
        ];
        assert_eq!(
            traced(
                &files,
                &[("SERF_LOG_LEVEL", "err")],
                &["-protocol=4"],
                &["bind", "log_level", "profile", "protocol", "probe_i", "codec"]
            ),
            [
                "bind \"1.1.1.1\" file a.json",
                "codec \"hashicorp\" default",
                "log_level \"err\" environment SERF_LOG_LEVEL",
                "probe_interval \"5s\" profile wan",
                "profile \"wan\" file b.json",
                "protocol 4 flag -protocol",
            ]
        );
    }

    #[test]
    fn lists_have_several_sources_and_each_tag_has_its_own() {
        let files = [("a.json", r#"{"start_join": ["a"], "tags": {"dc": "eu", "os": "x"}, "role": "web"}"#)];
        assert_eq!(
            traced(&files, &[("SERF_TAGS", "os=y")], &["-join=b", "-tag=dc=us"], &["start_join", "tags.", "role"]),
            [
                "start_join [\"a\",\"b\"] file a.json, flag -join",
                "tags.dc \"us\" flag -tag",
                "tags.os \"y\" environment SERF_TAGS",
                "tags.role \"web\" file a.json",
            ]
        );
    }

    #[test]
    fn secrets_are_not_shown_and_a_variable_that_says_false_is_a_source() {
        let files = [("a.json", r#"{"leave_on_terminate": true}"#)];
        let variables = [("SERF_ENCRYPT_KEY", "k"), ("SERF_RPC_AUTH", "t"), ("SERF_LEAVE_ON_TERMINATE", "false")];
        let flags = ["-retry-join=provider=aws secret_access_key=s", "-retry-join=10.0.0.1"];
        assert_eq!(
            traced(&files, &variables, &flags, &["encrypt_key", "rpc_auth", "leave_on_terminate", "retry_join"]),
            [
                "encrypt_key \"(not shown)\" environment SERF_ENCRYPT_KEY",
                "leave_on_terminate false environment SERF_LEAVE_ON_TERMINATE",
                "retry_join [\"provider=aws ...\",\"10.0.0.1\"] flag -retry-join",
                "rpc_auth \"(not shown)\" environment SERF_RPC_AUTH",
            ]
        );
    }
}
