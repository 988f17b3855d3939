//! The agent's settings as one table, and the merging of sources.
//!
//! A row generates the flag and its help in `serf agent -help`, in the completions and in the manual page; the key in
//! files; the environment variable; the rule by which sources are merged; the default; and a line of
//! `docs/agent-settings.md`.

use super::row::{Bound, Setting, Value, Variable};

settings! {
    /// The settings of one source, or of all of them merged. Empty, zero and false mean unset, as in HashiCorp's agent
    /// (`Config` and `MergeConfig` in `config.go`). Durations are in nanoseconds.
    #[allow(rustdoc::broken_intra_doc_links, reason = "the help is text for a terminal")]
    pub struct Settings {
        /// Name of this member, the host's unless given. No two
        /// members may share one.
        #[flag = "node=name"]
        node_name: Text,

        /// Write '-tag role=name' instead.
        #[flag = "role=name"]
        #[variable(Ignored)]
        role: Text,

        /// Attaches a tag to this member. Can be given several
        /// times.
        #[flag = "tag key=value"]
        tags: Tags,

        /// Keeps tags that are set while the agent runs in this
        /// file. Excludes -tag.
        #[flag = "tags-file=path"]
        tags_file: Text,

        /// Address for gossip, TCP and UDP. IPv6 is written
        /// as [::1] or [::1]:7946. Also a name or a template, see
        /// below.
        #[flag = "bind=0.0.0.0:7946"]
        bind: Text = "0.0.0.0",

        /// Address that other members use, if they cannot reach
        /// the one in -bind. Port 7946 unless given. Also a name
        /// or a template, see below.
        #[flag = "advertise=addr"]
        advertise: Text,

        /// Network interface to bind to, instead of -bind or to
        /// check it. Also the interface for -discover.
        #[flag = "iface=name"]
        interface: Text,

        /// Address for the other commands of serf and for other
        /// clients; also unix:// and a path, or none.
        #[flag = "rpc-addr=127.0.0.1:7373"]
        #[variable(Ignored)]
        rpc_addr: Text = crate::rpc::DEFAULT_ADDRESS,

        /// The token that clients of rpc_addr must send; none
        /// unless given.
        #[variable(Token)]
        rpc_auth: Text,

        /// Serves /metrics for Prometheus and /healthz there
        /// over HTTP; off unless given.
        #[flag = "metrics-addr=addr"]
        metrics_addr: Text,

        /// Serves a status page for browsers there, at /ui: members
        /// with their tags, a map of round-trip times, recent
        /// events. Without a token.
        #[flag = "ui"]
        ui: Bool,

        /// Version of Serf's protocol to speak, 2 to 5.
        #[flag = "protocol=5"]
        protocol: Int = 5,

        /// How to write gossip: hashicorp, or auto for our own
        /// codec between members that read it and HashiCorp's
        /// with all others, or native for our own only.
        #[flag = "codec=hashicorp"]
        codec: Text = "hashicorp",

        /// Timing: lan, wan or local.
        #[flag = "profile=lan"]
        profile: Text = "lan",

        /// Encrypts gossip with this key of 16, 24 or 32 bytes
        /// in base64, see 'serf keygen'.
        #[flag = "encrypt=key"]
        #[variable(Secret)]
        encrypt_key: Text,

        /// Keeps the keys of encrypted gossip in this file. It
        /// must exist and hold a JSON list of keys.
        #[flag = "keyring-file=path"]
        keyring_file: Text,

        /// Accepts gossip that is not encrypted, while a cluster
        /// is given keys; see docs/operate.md.
        encrypt_verify_incoming: Switch,

        /// Sends gossip unencrypted in spite of keys, while a
        /// cluster is given keys; see docs/operate.md.
        encrypt_verify_outgoing: Switch,

        /// Label of the cluster, at most 255 bytes: gossip with
        /// another label, or without one, is dropped. HashiCorp's
        /// agents have none.
        #[flag = "label=name"]
        label: Text,

        /// Network that members may be in, such as 10.0.0.0/8;
        /// gossip from elsewhere is dropped. Any unless given.
        /// Can be given several times.
        #[flag = "cidrs-allowed=network"]
        cidrs_allowed: List,

        /// Does not compress gossip.
        #[flag = "disable-compression"]
        enable_compression: Switch,

        /// Does not estimate round trip times.
        disable_coordinates: Bool,

        /// Starts no vote when two members have one name.
        disable_name_resolution: Bool,

        /// Has no effect; accepted because existing files set it.
        validate_node_names: Bool,

        /// Joins the member at this address, or does not start.
        /// Can be given several times; one that answers is
        /// enough. Also a source of addresses, see below.
        #[flag = "join=addr"]
        start_join: List,

        /// Joins the member at this address, trying again until
        /// it answers. Can be given several times. Also a source
        /// of addresses, see below, which is asked at each try.
        #[flag = "retry-join=addr"]
        retry_join: List,

        /// How many members must be alive until /healthz says
        /// that this one is ready, and -retry-join ends: those
        /// that are expected at the first start. 0: none.
        #[flag = "bootstrap-expect=3"]
        #[bound(Natural)]
        bootstrap_expect: Int,

        /// Failed tries until the agent gives up; 0: no limit.
        #[flag = "retry-max=0"]
        retry_max_attempts: Int,

        /// How long to wait between tries of -retry-join; at
        /// least 1s.
        #[flag = "retry-interval=30s"]
        retry_interval: Nanos = 30 * SECOND_NS,

        /// Also delivers user events from before a join.
        #[flag = "replay"]
        replay_on_join: Bool,

        /// Finds members of the cluster of this name by mDNS
        /// and joins them. Needs multicast.
        #[flag = "discover=cluster"]
        discover: Text,

        /// Network interface for -discover.
        #[key = "mdns.interface"]
        #[flag = "mdns-iface=name"]
        mdns_interface: Text,

        /// Does not discover over IPv4.
        #[key = "mdns.disable_ipv4"]
        #[flag = "mdns-disable-ipv4"]
        mdns_disable_ipv4: Bool,

        /// Does not discover over IPv6.
        #[key = "mdns.disable_ipv6"]
        #[flag = "mdns-disable-ipv6"]
        mdns_disable_ipv6: Bool,

        /// Remembers members and events in this file, to find
        /// the cluster again after a restart.
        #[flag = "snapshot=path"]
        snapshot_path: Text,

        /// Joins the members of the snapshot even after a leave.
        #[flag = "rejoin"]
        rejoin_after_leave: Bool,

        /// Leaves the cluster on SIGTERM.
        leave_on_terminate: Bool,

        /// Does not leave the cluster on SIGINT.
        skip_leave_on_interrupt: Bool,

        /// How long a leave or another announcement may take;
        /// at least 1s.
        #[flag = "broadcast-timeout=5s"]
        broadcast_timeout: Nanos = 5 * SECOND_NS,

        /// How often a failed member is tried again.
        #[bound(Positive)]
        reconnect_interval: Nanos = 30 * SECOND_NS,

        /// How long a failed member is remembered.
        #[bound(Positive)]
        reconnect_timeout: Nanos = 24 * HOUR_NS,

        /// How long a member that left is remembered.
        #[bound(Positive)]
        tombstone_timeout: Nanos = 24 * HOUR_NS,

        /// The largest user event to send, name and payload, in
        /// bytes.
        #[bound(Positive)]
        user_event_size_limit: Int = 512,

        /// The largest query to send, in bytes as encoded.
        #[bound(Positive)]
        query_size_limit: Int = 1024,

        /// The largest answer to a query, in bytes as encoded.
        #[bound(Positive)]
        query_response_size_limit: Int = 1024,

        /// The largest answer that members with the native codec
        /// fetch over TCP, in bytes, at most 1048576. 1: none.
        #[bound(Positive)]
        query_answer_size_limit: Int = 65_536,

        /// The limit of the queue of intents and of that of user
        /// events; beyond it the most often sent are dropped.
        #[bound(Profile)]
        queue_depth_max: Int,

        /// How many Lamport times of user events are remembered,
        /// to recognise repeats.
        #[bound(Profile)]
        event_buffer: Int,

        /// The same for queries.
        #[bound(Profile)]
        query_buffer: Int,

        /// How large a datagram of gossip may be, in bytes, 1200
        /// to 65507. Choose what the path carries whole.
        #[bound(Profile)]
        packet_bytes: Int,

        /// How long an exchange over TCP may take.
        #[bound(Profile)]
        stream_timeout: Nanos,

        /// How often a member is probed.
        #[bound(Profile)]
        probe_interval: Nanos,

        /// How long a probe waits for its ack before other
        /// members are asked; below probe_interval.
        #[bound(Profile)]
        probe_timeout: Nanos,

        /// How many members are asked to probe a silent one.
        #[bound(Profile)]
        indirect_probes: Int,

        /// Does not ping a silent member over TCP.
        stream_pings: Switch,

        /// Factor of the time that a suspect has to refute.
        #[bound(Profile)]
        suspicion_mult: Int,

        /// Ratio of the longest such time to the shortest.
        #[bound(Profile)]
        suspicion_max_timeout_mult: Int,

        /// By which factor a member in bad health probes more
        /// slowly, at most.
        #[bound(Profile)]
        awareness_max_multiplier: Int,

        /// How often gossip is sent.
        #[bound(Profile)]
        gossip_interval: Nanos,

        /// To how many members.
        #[bound(Profile)]
        gossip_nodes: Int,

        /// In how many packets to each of them, while there is a
        /// backlog; 1 is HashiCorp's pace.
        #[bound(Profile)]
        gossip_packets_per_tick: Int,

        /// How long a failed member still gets gossip.
        #[bound(Profile)]
        gossip_to_the_dead_time: Nanos,

        /// Factor of how often each broadcast is sent.
        #[bound(Profile)]
        retransmit_mult: Int,

        /// How often whole states are exchanged.
        #[bound(Profile)]
        push_pull_interval: Nanos,

        /// How long a member must have failed before another
        /// address may take its name; 0s: until it is forgotten.
        #[bound(Profile)]
        dead_node_reclaim_time: Nanos,

        /// How long a member that leaves still answers probes.
        #[bound(Profile)]
        leave_propagate_delay: Nanos,

        /// How often former members are looked through for those
        /// whose time is over.
        #[bound(Profile)]
        reap_interval: Nanos,

        /// Tag whose value is a member's zone. Probes and gossip
        /// then stay mostly in the own zone. No zones unless
        /// given.
        #[flag = "zone-tag=key"]
        zone_tag: Text,

        /// Members of each zone that carry gossip to the others.
        #[bound(Positive)]
        zone_bridges: Int = 3,

        /// How many members must accuse a silent one by their own
        /// probes before this agent declares it failed.
        #[bound(Positive)]
        accusers_min: Int = 1,

        /// How often this agent measures the dissemination time
        /// to all members, for -metrics-addr; at least 1s, 0:
        /// never. One agent of a cluster is enough.
        #[flag = "beacon-interval=0s"]
        beacon_interval: Nanos,

        /// Reports the event 'partition' when members have been
        /// missing, and nothing else has changed, for this time;
        /// 0: never. 10s suits 100 members, 30s 1000.
        #[flag = "partition-signal=0s"]
        partition_signal: Nanos,

        /// From which share of missing members on, in percent.
        #[bound(Positive)]
        partition_lost_percent: Int = 20,

        /// Runs a script for events, see below. Can be given
        /// several times.
        #[flag = "event-handler=spec"]
        #[variable(Ignored)]
        event_handlers: List,

        /// Time limit of a handler and of all processes that it
        /// started; 0: no limit.
        #[flag = "handler-timeout=0s"]
        handler_timeout: Nanos,

        /// Gives each script a queue of its own: scripts for
        /// different events, and those for one event, then run
        /// side by side. Each still sees its events in order.
        #[flag = "parallel-handlers"]
        parallel_handlers: Bool,

        /// What to log: trace, debug, info, warn or err.
        #[flag = "log-level=info"]
        log_level: Text = "INFO",

        /// How to log: text, or json for an object a line.
        #[flag = "log-format=text"]
        log_format: Text = "text",

        /// Also logs to syslog.
        #[flag = "syslog"]
        enable_syslog: Bool,

        /// The facility for -syslog.
        syslog_facility: Text = "LOCAL0",

        /// Records everything that the node receives into files
        /// in this directory, for 'sim replay'. SIGUSR2 stops
        /// and starts it. Contains no keys.
        #[flag = "capture=dir"]
        capture: Text,

        /// Does not record before the first SIGUSR2.
        #[flag = "capture-paused"]
        capture_paused: Bool,

        /// Records no payloads of user events, queries and
        /// answers.
        #[flag = "capture-redact"]
        capture_redact: Bool,

        /// Bytes of input in a file of the capture, at least
        /// 4096.
        #[bound(Positive)]
        capture_file_bytes: Int = 16_777_216,

        /// Number of files in a capture, at least 2; the oldest
        /// is removed first.
        #[bound(Positive)]
        capture_files: Int = 8,

        /// A statsite server, to which metrics go over TCP.
        statsite_addr: Text,

        /// A statsd server, to which metrics go over UDP.
        statsd_addr: Text,
    }
}

impl Settings {
    /// Merges a later source. The type of a setting decides how two values are merged, see `kinds` in `row.rs`. The
    /// role of a source is a tag of that source.
    pub fn merge(&mut self, mut later: Self) {
        if !later.role.is_empty() {
            later.tags.insert("role".into(), later.role.clone());
        }
        for ((_, mine), (setting, theirs)) in self.values().zip(later.values()) {
            match (mine, theirs) {
                (_, theirs) if !theirs.is_set(setting) => {}
                (Value::Text(mine), Value::Text(theirs)) => *mine = core::mem::take(theirs),
                (Value::Bool(mine), Value::Bool(theirs)) => *mine = *theirs,
                (Value::Switch(mine), Value::Switch(theirs)) => *mine = *theirs,
                (Value::Int(mine), Value::Int(theirs)) | (Value::Nanos(mine), Value::Nanos(theirs)) => *mine = *theirs,
                (Value::List(mine), Value::List(theirs)) => mine.append(theirs),
                (Value::Tags(mine), Value::Tags(theirs)) => mine.append(theirs),
                _ => {}
            }
        }
    }
}

pub(super) const SECOND_NS: i64 = 1_000_000_000;
pub(super) const HOUR_NS: i64 = 3600 * SECOND_NS;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_role_of_a_source_is_a_tag_of_it_and_later_tags_win() {
        let mut settings = Settings::default();
        let role = |role: &str, tags: &[(&str, &str)]| Settings {
            role: role.into(),
            tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..Settings::default()
        };
        settings.merge(role("early", &[("role", "older")]));
        assert_eq!(crate::tags::join(&settings.tags), "role=early");
        settings.merge(role("", &[("role", "late")]));
        assert_eq!(crate::tags::join(&settings.tags), "role=late");
        settings.merge(role("", &[]));
        assert_eq!((settings.role.as_str(), crate::tags::join(&settings.tags)), ("early", "role=late".into()));
    }

    #[test]
    fn later_sources_win_where_they_say_something() {
        let mut settings = Settings {
            node_name: "early".into(),
            bind: "127.0.0.1".into(),
            protocol: 4,
            retry_interval: 1,
            leave_on_terminate: true,
            enable_compression: Some(false),
            tags: BTreeMap::from([("a".into(), "early".into()), ("b".into(), "early".into())]),
            start_join: vec!["x".into()],
            ..Settings::default()
        };
        settings.merge(Settings {
            node_name: "late".into(),
            protocol: -1,
            rejoin_after_leave: true,
            tags: BTreeMap::from([("b".into(), "late".into())]),
            start_join: vec!["y".into()],
            ..Settings::default()
        });
        assert_eq!((settings.node_name.as_str(), settings.bind.as_str()), ("late", "127.0.0.1"));
        assert_eq!((settings.protocol, settings.retry_interval), (4, 1));
        assert!(settings.leave_on_terminate && settings.rejoin_after_leave && !settings.replay_on_join);
        assert_eq!(settings.enable_compression, Some(false));
        assert_eq!(crate::tags::join(&settings.tags), "a=early,b=late");
        assert_eq!(settings.start_join, ["x", "y"]);
    }
}
