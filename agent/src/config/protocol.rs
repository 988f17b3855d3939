//! Converts the settings to the protocol's options.

use core::time::Duration;

use serf_tokio::Key;
use serf_tokio::serf_proto::{Config, ConfigError as OptionsError, IpNet, Options};

use super::resolve::{ConfigError, Profile, codec, count, decode_base64, duration, given, profile, within_bounds};
use super::settings::Settings;

impl Settings {
    /// Returns the options of the protocol that an agent with these settings runs with, without those that concern one
    /// host only: addresses, files, handlers, and the coalescing of events for handlers. The keys are that of
    /// `encrypt_key`; a keyring file is not read.
    ///
    /// # Errors
    ///
    /// Says which setting is invalid.
    pub fn protocol(&self) -> Result<Options, String> {
        let mut keys = Vec::new();
        if let Some(text) = given(&self.encrypt_key) {
            let bytes = decode_base64(text).map_err(|offset| ConfigError::Key { offset }.to_string())?;
            keys.push(
                Key::new(&bytes).map_err(|_| "Invalid encryption key: it must have 16, 24 or 32 bytes".to_owned())?,
            );
        }
        self.protocol_with(keys)
    }

    /// As [`protocol`](Self::protocol), with these keys.
    pub(crate) fn protocol_with(&self, encrypt_keys: Vec<Key>) -> Result<Options, String> {
        self.options(encrypt_keys).map_err(|error| error.to_string())
    }

    fn options(&self, encrypt_keys: Vec<Key>) -> Result<Options, ConfigError> {
        let mut settings = within_bounds(self.clone())?;
        let mut options = profile(&settings.profile)?.options();
        pairs(&mut settings, &mut options).apply();
        let transport = &mut options.transport;
        transport.encrypt_keys = encrypt_keys;
        transport.codec = codec(&settings.codec)?;
        transport.compression = settings.enable_compression != Some(false);
        transport.encrypt_verify_incoming = settings.encrypt_verify_incoming != Some(false);
        transport.encrypt_verify_outgoing = settings.encrypt_verify_outgoing != Some(false);
        transport.cidrs_allowed = networks(&settings.cidrs_allowed)?;
        transport.label = settings.label;
        options.swim.stream_pings = settings.stream_pings != Some(false);
        // As in HashiCorp's agent, only the lowest 8 bits count.
        options.serf.protocol_version = settings.protocol.to_le_bytes()[0];
        options.serf.broadcast_timeout = duration(settings.broadcast_timeout);
        options.serf.reconnect_interval = duration(settings.reconnect_interval);
        options.serf.reconnect_timeout = duration(settings.reconnect_timeout);
        options.serf.tombstone_timeout = duration(settings.tombstone_timeout);
        options.serf.user_event_bytes_max = count(settings.user_event_size_limit);
        options.serf.query_bytes_max = count(settings.query_size_limit);
        options.serf.query_response_bytes_max = count(settings.query_response_size_limit);
        // Zero is an unset number in a file, so a limit within that of a packet turns large answers off.
        let answer_bytes_max = count(settings.query_answer_size_limit);
        options.serf.query_answer_bytes_max =
            if answer_bytes_max > options.serf.query_response_bytes_max { answer_bytes_max } else { 0 };
        // HashiCorp's agents accept limits that no packet has room for, and refuse such events when they are sent.
        if let Err(OptionsError::UserEventBytes { room, .. }) = Config::new(options.clone()) {
            options.serf.user_event_bytes_max = room;
        }
        options.serf.name_conflict_resolution = !settings.disable_name_resolution;
        options.serf.coordinates = !settings.disable_coordinates;
        options.swim.zone_tag.clone_from(&settings.zone_tag);
        options.swim.zone_bridges = count(settings.zone_bridges);
        options.swim.accusers_min = count(settings.accusers_min);
        options.serf.partition_stable_after = duration(settings.partition_signal);
        options.serf.partition_lost_percent = count(settings.partition_lost_percent);
        Ok(options)
    }

    /// Checks the bounds of the protocol, without keys. What HashiCorp's agent refuses only when its node starts is left
    /// to the start, for the same message at the same time.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub(super) fn within_protocol(self) -> Result<Self, ConfigError> {
        match Config::new(self.options(Vec::new())?) {
            Ok(_)
            | Err(OptionsError::ProtocolVersion { .. } | OptionsError::TooLarge { name: "user_event_bytes_max", .. }) => {
                Ok(self)
            }
            Err(error) => Err(ConfigError::Protocol(error)),
        }
    }

    /// These settings with the profile's value for each that is unset and depends on it. An unknown profile sets
    /// nothing.
    pub(super) fn with_profile(mut self) -> Self {
        if let Ok(profile) = profile(&self.profile) {
            pairs(&mut self, &mut profile.options()).fill();
        }
        self
    }
}

impl Profile {
    fn options(self) -> Options {
        match self {
            Self::Lan => Options::lan(),
            Self::Wan => Options::wan(),
            Self::Local => Options::local(),
        }
    }
}

/// The networks of a list.
fn networks(list: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let network = |text: &String| text.trim().parse().map_err(|_| ConfigError::Network(text.clone()));
    list.iter().map(network).collect()
}

/// The settings whose unset value, zero, means that of the profile, each with its option.
struct Pairs<'a> {
    durations: [(&'a mut i64, &'a mut Duration); 9],
    counts: [(&'a mut i64, &'a mut u32); 11],
}

fn pairs<'a>(settings: &'a mut Settings, Options { swim, serf, transport, .. }: &'a mut Options) -> Pairs<'a> {
    Pairs {
        durations: [
            (&mut settings.stream_timeout, &mut transport.stream_timeout),
            (&mut settings.probe_interval, &mut swim.probe_interval),
            (&mut settings.probe_timeout, &mut swim.probe_timeout),
            (&mut settings.gossip_interval, &mut swim.gossip_interval),
            (&mut settings.gossip_to_the_dead_time, &mut swim.gossip_to_the_dead_time),
            (&mut settings.push_pull_interval, &mut swim.push_pull_interval),
            (&mut settings.dead_node_reclaim_time, &mut swim.dead_node_reclaim_time),
            (&mut settings.leave_propagate_delay, &mut serf.leave_propagate_delay),
            (&mut settings.reap_interval, &mut serf.reap_interval),
        ],
        counts: [
            (&mut settings.queue_depth_max, &mut serf.queue_depth_max),
            (&mut settings.event_buffer, &mut serf.event_buffer),
            (&mut settings.query_buffer, &mut serf.query_buffer),
            (&mut settings.packet_bytes, &mut transport.packet_bytes),
            (&mut settings.indirect_probes, &mut swim.indirect_probes),
            (&mut settings.suspicion_mult, &mut swim.suspicion_mult),
            (&mut settings.suspicion_max_timeout_mult, &mut swim.suspicion_max_timeout_mult),
            (&mut settings.awareness_max_multiplier, &mut swim.awareness_max_multiplier),
            (&mut settings.gossip_nodes, &mut swim.gossip_nodes),
            (&mut settings.gossip_packets_per_tick, &mut swim.gossip_packets_per_tick),
            (&mut settings.retransmit_mult, &mut swim.retransmit_mult),
        ],
    }
}

impl Pairs<'_> {
    /// Writes the settings that are set to their options.
    fn apply(self) {
        for (setting, option) in self.durations.into_iter().filter(|(setting, _)| **setting > 0) {
            *option = duration(*setting);
        }
        for (setting, option) in self.counts.into_iter().filter(|(setting, _)| **setting > 0) {
            *option = count(*setting);
        }
    }

    /// Writes the options to their settings where these are not set.
    fn fill(self) {
        for (setting, option) in self.durations.into_iter().filter(|(setting, _)| **setting == 0) {
            *setting = i64::try_from(option.as_nanos()).unwrap_or(i64::MAX);
        }
        for (setting, option) in self.counts.into_iter().filter(|(setting, _)| **setting == 0) {
            *setting = i64::from(*option);
        }
    }
}

#[cfg(test)]
mod tests {
    use serf_tokio::CodecChoice;

    use super::*;
    use crate::config::decode;
    use crate::config::row::{Bound, Value};

    fn protocol(json: &str) -> Result<Options, String> {
        let mut settings = Settings::defaults();
        settings.merge(decode(json.as_bytes()).expect("it is a configuration"));
        settings.protocol()
    }

    #[test]
    fn a_file_gives_the_options_that_its_agent_runs_with() {
        let options =
            protocol(r#"{"profile": "wan", "reconnect_interval": "7s", "disable_coordinates": true}"#).unwrap();
        assert_eq!(options.swim, Options::wan().swim);
        assert_eq!((options.serf.reconnect_interval, options.serf.coordinates), (Duration::from_secs(7), false));
        assert_eq!(options.transport.codec, CodecChoice::HashiCorp);
        assert!(options.transport.compression && options.transport.encrypt_keys.is_empty());
        let options = protocol(r#"{"encrypt_key": "MDEyMzQ1Njc4OWFiY2RlZg=="}"#).unwrap();
        assert_eq!(options.transport.encrypt_keys.len(), 1);
    }

    #[test]
    fn zones_and_the_partition_signal_are_off_unless_set() {
        let (swim, serf) = (|options: &Options| options.swim.clone(), |options: &Options| options.serf.clone());
        let plain = protocol("{}").unwrap();
        assert_eq!((swim(&plain).zone_tag.as_str(), serf(&plain).partition_stable_after), ("", Duration::ZERO));
        let set = protocol(
            r#"{"zone_tag": "zone", "zone_bridges": 5, "partition_signal": "15s", "partition_lost_percent": 30}"#,
        );
        let set = set.unwrap();
        assert_eq!((swim(&set).zone_tag.as_str(), swim(&set).zone_bridges), ("zone", 5));
        let (after, percent) = (serf(&set).partition_stable_after, serf(&set).partition_lost_percent);
        assert_eq!((after, percent), (Duration::from_secs(15), 30));
        let accusers = |json| swim(&protocol(json).unwrap()).accusers_min;
        assert_eq!((accusers("{}"), accusers(r#"{"accusers_min": 3}"#)), (1, 3));
    }

    #[test]
    fn a_limit_of_large_answers_within_that_of_small_ones_turns_them_off() {
        let limit = |json| protocol(json).map(|options| options.serf.query_answer_bytes_max);
        assert_eq!((limit("{}"), limit(r#"{"query_answer_size_limit": 100000}"#)), (Ok(65_536), Ok(100_000)));
        assert_eq!(limit(r#"{"query_answer_size_limit": 1}"#), Ok(0));
        assert_eq!(limit(r#"{"query_answer_size_limit": 9000, "query_response_size_limit": 9000}"#), Ok(0));
    }

    #[test]
    fn a_file_that_no_agent_starts_with_is_refused() {
        assert_eq!(protocol(r#"{"profile": "moon"}"#), Err("Unknown profile: moon".to_owned()));
        assert!(protocol(r#"{"encrypt_key": "MDEy"}"#).is_err_and(|error| error.contains("16, 24 or 32")));
    }

    #[test]
    fn every_setting_of_a_profile_reaches_the_option_of_its_name_and_nothing_else() {
        for (setting, value) in Settings::defaults().values() {
            if setting.bound != Bound::Profile {
                continue;
            }
            let text = match value {
                Value::Nanos(_) if setting.key == "probe_timeout" => "\"7ms\"",
                Value::Nanos(_) => "\"7s\"",
                _ if setting.key == "packet_bytes" => "1207",
                _ => "7",
            };
            let options = protocol(&format!("{{\"{}\": {text}}}", setting.key)).expect(setting.key);
            let [before, after] = [Options::lan().with(|o| o.transport.compression = true), options]
                .map(|options| serde_json::to_value(options).expect("it is serialisable"));
            for (name, value) in after.as_object().expect("it is a map") {
                let is_changed = *name != "codec" && *value != before[name];
                assert_eq!(is_changed, name == setting.key, "{} and {name}", setting.key);
            }
        }
    }

    #[test]
    fn zero_is_the_value_of_the_profile() {
        let options = protocol(r#"{"profile": "wan", "probe_interval": "0s", "gossip_nodes": 0}"#).unwrap();
        assert_eq!(options.swim, Options::wan().swim);
        let settings = Settings { profile: "wan".into(), gossip_nodes: 9, ..Settings::defaults() }.with_profile();
        assert_eq!((settings.probe_interval, settings.gossip_nodes), (5_000_000_000, 9));
    }

    #[test]
    fn label_networks_and_encryption_in_one_direction_reach_the_transport() {
        let json = r#"{"label": "dc1", "cidrs_allowed": ["10.0.0.0/8", " fd00::/8"], "stream_pings": false,
            "encrypt_verify_incoming": false}"#;
        let Options { transport, swim, .. } = protocol(json).unwrap();
        assert_eq!((transport.label.as_str(), swim.stream_pings), ("dc1", false));
        assert_eq!((transport.encrypt_verify_incoming, transport.encrypt_verify_outgoing), (false, true));
        let networks: Vec<_> = transport.cidrs_allowed.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "fd00::/8"]);
    }
}
