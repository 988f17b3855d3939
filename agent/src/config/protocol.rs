//! Converts the settings to the protocol's options.

use serf_tokio::Key;
use serf_tokio::serf_proto::{Config, ConfigError as OptionsError, Options};

use super::resolve::{
    ConfigError, Profile, SizeLimits, codec, count, decode_base64, duration, given, profile, within_bounds,
};
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
        let settings = within_bounds(self.clone()).map_err(|error| error.to_string())?;
        let mut options = match profile(&settings.profile).map_err(|error| error.to_string())? {
            Profile::Lan => Options::lan(),
            Profile::Wan => Options::wan(),
            Profile::Local => Options::local(),
        };
        options.transport.encrypt_keys = encrypt_keys;
        options.transport.codec = codec(&settings.codec).map_err(|error| error.to_string())?;
        // As in HashiCorp's agent, only the lowest 8 bits count.
        options.serf.protocol_version = settings.protocol.to_le_bytes()[0];
        options.transport.compression = settings.enable_compression != Some(false);
        options.serf.broadcast_timeout = duration(settings.broadcast_timeout);
        options.serf.reconnect_interval = duration(settings.reconnect_interval);
        options.serf.reconnect_timeout = duration(settings.reconnect_timeout);
        options.serf.tombstone_timeout = duration(settings.tombstone_timeout);
        let limits = SizeLimits::of(&settings);
        options.serf.user_event_bytes_max = limits.user_event_bytes_max;
        options.serf.query_bytes_max = limits.query_bytes_max;
        options.serf.query_response_bytes_max = limits.query_response_bytes_max;
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
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use serf_tokio::CodecChoice;

    use super::*;
    use crate::config::decode;

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
    fn a_file_that_no_agent_starts_with_is_refused() {
        assert_eq!(protocol(r#"{"profile": "moon"}"#), Err("Unknown profile: moon".to_owned()));
        assert!(protocol(r#"{"encrypt_key": "MDEy"}"#).is_err_and(|error| error.contains("16, 24 or 32")));
    }
}
