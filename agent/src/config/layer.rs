//! Settings as one source gives them, and how sources are put together.

use std::collections::BTreeMap;

/// What one file, or the flags, say. Empty, zero and false mean that nothing was said, as in HashiCorp's agent
/// (`Config` and `MergeConfig` in `config.go`).
///
/// Durations are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the JSON key of its name")]
pub struct Layer {
    pub node_name: String,
    pub role: String,
    pub disable_coordinates: bool,
    pub tags: BTreeMap<String, String>,
    pub tags_file: String,
    pub bind: String,
    pub advertise: String,
    pub encrypt_key: String,
    pub keyring_file: String,
    pub log_level: String,
    /// `text`, or `json` for an object a line. HashiCorp's agent knows neither this nor the next two.
    pub log_format: String,
    /// Where figures are served over HTTP.
    pub metrics_addr: String,
    /// After how long a handler is ended, 0 for never.
    pub handler_timeout: i64,
    /// Whether each script has a queue of its own.
    pub parallel_handlers: bool,
    pub rpc_addr: String,
    pub rpc_auth: String,
    pub protocol: i64,
    pub replay_on_join: bool,
    pub query_response_size_limit: i64,
    pub query_size_limit: i64,
    pub user_event_size_limit: i64,
    pub start_join: Vec<String>,
    pub event_handlers: Vec<String>,
    pub profile: String,
    pub snapshot_path: String,
    pub leave_on_terminate: bool,
    pub skip_leave_on_interrupt: bool,
    pub discover: String,
    pub mdns: MdnsLayer,
    pub interface: String,
    pub reconnect_interval: i64,
    pub reconnect_timeout: i64,
    pub tombstone_timeout: i64,
    pub disable_name_resolution: bool,
    pub enable_syslog: bool,
    pub syslog_facility: String,
    pub retry_join: Vec<String>,
    pub retry_max_attempts: i64,
    pub retry_interval: i64,
    pub rejoin_after_leave: bool,
    /// The one boolean of which also false is said.
    pub enable_compression: Option<bool>,
    pub statsite_addr: String,
    pub statsd_addr: String,
    pub broadcast_timeout: i64,
    pub validate_node_names: bool,
}

/// The settings below `mdns`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the JSON key of its name")]
pub struct MdnsLayer {
    pub interface: String,
    pub disable_ipv4: bool,
    pub disable_ipv6: bool,
}

impl Layer {
    /// Adds a later source: its texts and numbers win unless empty or zero, what is true stays true, tags win one by one,
    /// lists are appended. The role of a source is a tag of that source.
    pub fn merge(&mut self, mut later: Self) {
        if !later.role.is_empty() {
            later.tags.insert("role".into(), later.role.clone());
        }
        for (mine, theirs) in [
            (&mut self.node_name, later.node_name),
            (&mut self.role, later.role),
            (&mut self.tags_file, later.tags_file),
            (&mut self.bind, later.bind),
            (&mut self.advertise, later.advertise),
            (&mut self.encrypt_key, later.encrypt_key),
            (&mut self.keyring_file, later.keyring_file),
            (&mut self.log_level, later.log_level),
            (&mut self.log_format, later.log_format),
            (&mut self.metrics_addr, later.metrics_addr),
            (&mut self.rpc_addr, later.rpc_addr),
            (&mut self.rpc_auth, later.rpc_auth),
            (&mut self.profile, later.profile),
            (&mut self.snapshot_path, later.snapshot_path),
            (&mut self.discover, later.discover),
            (&mut self.mdns.interface, later.mdns.interface),
            (&mut self.interface, later.interface),
            (&mut self.syslog_facility, later.syslog_facility),
            (&mut self.statsite_addr, later.statsite_addr),
            (&mut self.statsd_addr, later.statsd_addr),
        ] {
            if !theirs.is_empty() {
                *mine = theirs;
            }
        }
        for (mine, theirs) in [
            (&mut self.protocol, later.protocol.max(0)),
            (&mut self.query_response_size_limit, later.query_response_size_limit),
            (&mut self.query_size_limit, later.query_size_limit),
            (&mut self.user_event_size_limit, later.user_event_size_limit),
            (&mut self.reconnect_interval, later.reconnect_interval),
            (&mut self.reconnect_timeout, later.reconnect_timeout),
            (&mut self.tombstone_timeout, later.tombstone_timeout),
            (&mut self.retry_max_attempts, later.retry_max_attempts),
            (&mut self.retry_interval, later.retry_interval),
            (&mut self.broadcast_timeout, later.broadcast_timeout),
            (&mut self.handler_timeout, later.handler_timeout),
        ] {
            if theirs != 0 {
                *mine = theirs;
            }
        }
        for (mine, theirs) in [
            (&mut self.disable_coordinates, later.disable_coordinates),
            (&mut self.replay_on_join, later.replay_on_join),
            (&mut self.leave_on_terminate, later.leave_on_terminate),
            (&mut self.skip_leave_on_interrupt, later.skip_leave_on_interrupt),
            (&mut self.mdns.disable_ipv4, later.mdns.disable_ipv4),
            (&mut self.mdns.disable_ipv6, later.mdns.disable_ipv6),
            (&mut self.disable_name_resolution, later.disable_name_resolution),
            (&mut self.enable_syslog, later.enable_syslog),
            (&mut self.rejoin_after_leave, later.rejoin_after_leave),
            (&mut self.validate_node_names, later.validate_node_names),
            (&mut self.parallel_handlers, later.parallel_handlers),
        ] {
            *mine |= theirs;
        }
        self.enable_compression = later.enable_compression.or(self.enable_compression);
        self.tags.extend(later.tags);
        self.start_join.extend(later.start_join);
        self.event_handlers.extend(later.event_handlers);
        self.retry_join.extend(later.retry_join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_of_a_source_is_a_tag_of_it_and_later_tags_win() {
        let mut layer = Layer::default();
        let role = |role: &str, tags: &[(&str, &str)]| Layer {
            role: role.into(),
            tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..Layer::default()
        };
        layer.merge(role("early", &[("role", "older")]));
        assert_eq!(crate::tags::join(&layer.tags), "role=early");
        layer.merge(role("", &[("role", "late")]));
        assert_eq!(crate::tags::join(&layer.tags), "role=late");
        layer.merge(role("", &[]));
        assert_eq!((layer.role.as_str(), crate::tags::join(&layer.tags)), ("early", "role=late".into()));
    }

    #[test]
    fn later_sources_win_where_they_say_something() {
        let mut layer = Layer {
            node_name: "early".into(),
            bind: "127.0.0.1".into(),
            protocol: 4,
            retry_interval: 1,
            leave_on_terminate: true,
            enable_compression: Some(false),
            tags: BTreeMap::from([("a".into(), "early".into()), ("b".into(), "early".into())]),
            start_join: vec!["x".into()],
            ..Layer::default()
        };
        layer.merge(Layer {
            node_name: "late".into(),
            protocol: -1,
            rejoin_after_leave: true,
            tags: BTreeMap::from([("b".into(), "late".into())]),
            start_join: vec!["y".into()],
            ..Layer::default()
        });
        assert_eq!((layer.node_name.as_str(), layer.bind.as_str()), ("late", "127.0.0.1"));
        assert_eq!((layer.protocol, layer.retry_interval), (4, 1));
        assert!(layer.leave_on_terminate && layer.rejoin_after_leave && !layer.replay_on_join);
        assert_eq!(layer.enable_compression, Some(false));
        assert_eq!(crate::tags::join(&layer.tags), "a=early,b=late");
        assert_eq!(layer.start_join, ["x", "y"]);
    }
}
