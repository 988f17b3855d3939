//! Generates `docs/agent-settings.md` from the table of settings.

use std::path::Path;

use super::flags::OTHER_FLAGS;
use super::row::{Bound, Value};
use super::settings::Settings;
use crate::duration;

/// The expected content of the page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut defaults = Settings::defaults();
    let mut rows: Vec<_> = defaults.values().collect();
    rows.sort_unstable_by_key(|(setting, _)| setting.key);
    for (setting, default) in rows {
        let flag = setting.flag.map(|flag| format!("`-{flag}`")).unwrap_or_default();
        let variable = setting.variable_name().map(|name| format!("`{name}`")).unwrap_or_default();
        let bound = if setting.bound == Bound::Positive { ", above zero" } else { "" };
        let (kind, default) = match (setting.bound, described(default)) {
            (Bound::Profile, (kind, _)) => (kind, of_profiles(setting.key)),
            (_, described) => described,
        };
        let mut help = flowing(setting.help);
        if kind == "switch" {
            let or_flag = if setting.flag.is_some() { ", or its flag" } else { "" };
            help = format!("With `false`{or_flag}: {help}");
        }
        page.push_str(&format!("| `{}` | {flag} | {variable} | {kind}{bound} | {default} | {help} |\n", setting.key));
    }
    page.push_str(FLAGS);
    for (shown, help) in OTHER_FLAGS {
        page.push_str(&format!("| `-{shown}` | {} |\n", flowing(help)));
    }
    page
}

/// The defaults of a setting that depends on the profile.
fn of_profiles(key: &str) -> String {
    let of = |profile: &str| {
        let mut settings = Settings { profile: profile.into(), ..Settings::defaults() }.with_profile();
        settings.value(key).map(|(_, value)| described(value).1).unwrap_or_default()
    };
    match ["lan", "wan", "local"].map(of) {
        [lan, wan, local] if lan == wan && wan == local => lan,
        [lan, wan, local] => format!("{lan}, wan {wan}, local {local}"),
    }
}

/// The type of a setting and its default.
fn described(default: Value<'_>) -> (&'static str, String) {
    match default {
        Value::Text(text) if text.is_empty() => ("text", String::new()),
        Value::Text(text) => ("text", format!("`{text}`")),
        Value::Bool(on) => ("bool", format!("`{on}`")),
        Value::Switch(on) => ("switch", format!("`{}`", on.unwrap_or(true))),
        Value::Int(number) => ("number", format!("`{number}`")),
        Value::Nanos(nanos) => ("duration", format!("`{}`", duration::shown(*nanos))),
        Value::List(_) => ("list", String::new()),
        Value::Tags(_) => ("tags", String::new()),
    }
}

fn flowing(help: &[&str]) -> String {
    help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

const HEAD: &str = "\
# Settings of the agent

This page is made of the table in `agent/src/config/settings.rs`; a test compares the two. To write it anew:
`SERF_WRITE_DOCS=1 cargo test -p serf-agent --lib settings_page`.

Settings come from files (`-config-file`, `-config-dir`: JSON, in the order given), then from the environment, then from flags. A later
source wins; how depends on the type, as in HashiCorp's agent:

| type | in files | a later source |
|---|---|---|
| text | a string | wins unless it is empty |
| number | a number | wins unless it is zero; of `protocol`, unless it is below one |
| duration | a string such as `\"1m30s\"` | wins unless it is zero |
| bool | `true` or `false` | changes only false to true; a variable wins over files also with `false` |
| switch | `true` or `false` | wins when it says either |
| list | a list of strings; commas in a variable | is appended |
| tags | an object of strings; `key=value` and commas in a variable | wins tag by tag; a `role` is the tag of that name |

A key that has a dot is inside of an object: `{\"mdns\": {\"interface\": \"eth0\"}}`. What a flag gives is not read from a variable, and an
empty variable is not set. A variable wins over files also with `0` and `0s`.

Where the profiles `lan`, `wan` and `local` differ, each has its default. Of those settings, and of all others about probes, gossip, queues
and packets, zero takes the default.

## By key

The descriptions are those of `serf agent -help`.

| key | flag | variable | type | default | |
|---|---|---|---|---|---|
";

const FLAGS: &str = "
## Flags that are no settings

| flag | |
|---|---|
";

#[test]
fn the_settings_page_says_what_the_table_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agent-settings.md");
    if std::env::var_os("SERF_WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).expect("can be written");
    }
    let written = std::fs::read_to_string(&path).expect("is there");
    assert_eq!(written, page(), "write it anew: SERF_WRITE_DOCS=1 cargo test -p serf-agent --lib settings_page");
}
