//! Options of nodes: a profile, an agent's file, and single options by name.

use core::time::Duration;
use std::path::Path;

use serde_json::{Map, Value as Json};
use serf_proto::{CodecChoice, Options};
use toml::Value;

use super::document::suggestion;
use super::file::Settings;
use crate::parse;
use crate::profile::{Pace, Profile};

/// What is wrong with an option: its name, and the reason.
pub(super) type Wrong = (String, String);

/// Returns the options of nodes with these settings. Those of a group are applied to the cluster's.
pub(super) fn options(pace: Pace, settings: &Settings, directory: &Path) -> Result<Options, Wrong> {
    let profile = pace.of(settings.profile.unwrap_or(Profile::Lan).options());
    let profile = match &settings.agent_config {
        None => profile,
        Some(_) if settings.profile.is_some() => {
            return Err(("profile".into(), "the profile is in agent_config; remove one of them".into()));
        }
        Some(path) => agent_options(&directory.join(path), pace).map_err(|why| ("agent_config".to_owned(), why))?,
    };
    apply(profile, settings)
}

/// Applies the switches and single options of `settings`.
pub(super) fn apply(options: Options, settings: &Settings) -> Result<Options, Wrong> {
    let options = if settings.lifeguard == Some(false) { without_lifeguard(options) } else { options };
    if settings.options.is_empty() {
        return Ok(options);
    }
    let keys = options.transport.encrypt_keys.clone();
    let Ok(Json::Object(mut map)) = serde_json::to_value(&options) else {
        return Ok(options);
    };
    for (name, value) in &settings.options {
        let json = convert(&map, name, value).map_err(|why| (name.clone(), why))?;
        map.insert(name.clone(), json);
        // One by one, so that an error of serde is about this one.
        let checked: Result<Options, _> = serde_json::from_value(Json::Object(map.clone()));
        checked.map_err(|error| (name.clone(), error.to_string()))?;
    }
    let mut options: Options = serde_json::from_value(Json::Object(map)).expect("it was converted above");
    options.transport.encrypt_keys = keys;
    Ok(options)
}

/// Options of SWIM without Lifeguard: no health scores, and no suspicions that wait for confirmation. The buddy system,
/// a ping that carries the suspicion to its subject, cannot be turned off.
pub(crate) fn without_lifeguard(options: Options) -> Options {
    options.with(|options| {
        options.swim.awareness_max_multiplier = 1;
        options.swim.suspicion_max_timeout_mult = 1;
    })
}

/// Converts the value of an option to the form that serde reads, which the current value shows.
fn convert(map: &Map<String, Json>, name: &str, value: &Value) -> Result<Json, String> {
    let current = map.get(name).ok_or_else(|| {
        let known = map.keys().map(String::as_str).chain(["profile", "agent_config", "lifeguard"]);
        format!("unknown option; {}", suggestion(name, known))
    })?;
    let expected = |what: &str| format!("expected {what}, found {} {value}", value.type_str());
    match (current, value) {
        (Json::Object(_), Value::String(text)) if text == "never" => Ok(duration(Duration::MAX)),
        (Json::Object(_), Value::String(text)) => parse::duration(text).map(duration),
        (Json::Object(_), _) => Err(expected("a duration such as \"2s\"")),
        (Json::Bool(_), Value::Boolean(value)) => Ok(Json::Bool(*value)),
        (Json::Bool(_), _) => Err(expected("true or false")),
        (Json::Number(_), Value::Integer(value)) => Ok(Json::from(*value)),
        (Json::Number(_), _) => Err(expected("a whole number")),
        (_, Value::String(text)) if name == "codec" => {
            let choice: CodecChoice = text.parse().map_err(|_| expected("auto, native or hashicorp"))?;
            serde_json::to_value(choice).map_err(|error| error.to_string())
        }
        (Json::Array(_), Value::Array(items)) => {
            let text = |item: &Value| item.as_str().map(Json::from).ok_or_else(|| expected("a list of texts"));
            items.iter().map(text).collect()
        }
        (Json::Array(_), _) => Err(expected("a list of texts")),
        (_, Value::String(text)) => Ok(Json::String(text.clone())),
        _ => Err(expected("a text")),
    }
}

fn duration(duration: Duration) -> Json {
    serde_json::json!({ "secs": duration.as_secs(), "nanos": duration.subsec_nanos() })
}

/// Reads what an agent's configuration file says about the protocol.
#[cfg(feature = "agent-config")]
fn agent_options(path: &Path, pace: Pace) -> Result<Options, String> {
    let shown = path.display().to_string();
    let mut settings = serf_agent::config::Settings::defaults();
    settings.merge(serf_agent::config::read(&[shown]).map_err(|error| error.to_string())?);
    Ok(pace.of(settings.protocol()?))
}

#[cfg(not(feature = "agent-config"))]
fn agent_options(_: &Path, _: Pace) -> Result<Options, String> {
    Err("this simulator was built without the feature agent-config".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).expect("it is a table of settings")
    }

    fn options_of(pace: Pace, text: &str) -> Result<Options, Wrong> {
        options(pace, &settings(text), Path::new("."))
    }

    #[test]
    fn a_scenario_runs_what_the_library_ships_unless_it_says_hashicorp() {
        assert_eq!(options_of(Pace::Library, ""), Ok(Options::lan()));
        assert_eq!(options_of(Pace::Hashicorp, "profile = \"wan\""), Ok(Options::wan().hashicorp_pace()));
    }

    #[test]
    fn every_option_can_be_set_by_its_name() {
        let Ok(Json::Object(map)) = serde_json::to_value(Options::lan()) else { panic!("a map") };
        assert!(map.len() > 40, "{}", map.len());
        for (name, value) in map {
            let text = match value {
                Json::Object(_) => "\"7s\"".to_owned(),
                Json::Bool(value) => (!value).to_string(),
                Json::Number(number) if number.as_u64() == Some(3) => "7".to_owned(),
                Json::Number(_) => "3".to_owned(),
                Json::Array(_) => "[\"10.0.0.0/8\"]".to_owned(),
                _ if name == "codec" => "\"native\"".to_owned(),
                _ => "\"dc1\"".to_owned(),
            };
            let set = options_of(Pace::Library, &format!("{name} = {text}")).unwrap();
            assert_ne!(set, Options::lan(), "{name}");
        }
    }

    #[test]
    fn a_wrong_option_is_refused_with_the_nearest_name_or_the_wanted_type() {
        for (text, name, reason) in [
            ("gosip_interval = \"1s\"", "gosip_interval", "unknown option; did you mean gossip_interval?"),
            ("gossip_interval = 200", "gossip_interval", "expected a duration such as \"2s\", found integer 200"),
            ("gossip_nodes = \"three\"", "gossip_nodes", "expected a whole number, found string \"three\""),
            ("cidrs_allowed = 1", "cidrs_allowed", "expected a list of texts, found integer 1"),
            ("compression = 1", "compression", "expected true or false, found integer 1"),
            ("codec = \"json\"", "codec", "expected auto, native or hashicorp, found string \"json\""),
        ] {
            assert_eq!(options_of(Pace::Library, text), Err((name.to_owned(), reason.to_owned())));
        }
        assert!(options_of(Pace::Library, "gossip_nodes = -1").is_err_and(|(name, _)| name == "gossip_nodes"));
    }
}
