//! The three timing profiles, with the values of memberlist's `DefaultLANConfig`, `DefaultWANConfig` and
//! `DefaultLocalConfig`, and of serf's `DefaultConfig`, except for the pace of gossip.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{CodecChoice, Options, PROTOCOL_VERSION_MAX, SerfOptions, SwimOptions, TransportOptions};

impl Options {
    /// For nodes in one data centre.
    pub fn lan() -> Self {
        Self { swim: SwimOptions::lan(), serf: SerfOptions::lan(), transport: TransportOptions::lan() }
    }

    /// For nodes in several data centres: slower probes, longer timeouts.
    pub fn wan() -> Self {
        Self::lan().with(|Self { swim, transport, .. }| {
            transport.stream_timeout = Duration::from_secs(30);
            swim.suspicion_mult = 6;
            swim.push_pull_interval = Duration::from_secs(60);
            swim.probe_timeout = Duration::from_secs(3);
            swim.probe_interval = Duration::from_secs(5);
            swim.gossip_nodes = 4;
            swim.gossip_interval = Duration::from_millis(500);
            swim.gossip_to_the_dead_time = Duration::from_secs(60);
        })
    }

    /// For nodes on one host: all intervals are shorter.
    pub fn local() -> Self {
        Self::lan().with(|Self { swim, transport, .. }| {
            transport.stream_timeout = Duration::from_secs(1);
            swim.indirect_probes = 1;
            swim.retransmit_mult = 2;
            swim.suspicion_mult = 3;
            swim.push_pull_interval = Duration::from_secs(15);
            swim.probe_timeout = Duration::from_millis(200);
            swim.gossip_interval = Duration::from_millis(100);
            swim.gossip_to_the_dead_time = Duration::from_secs(15);
        })
    }

    /// Reverts to the pace of HashiCorp's nodes, for comparisons: one packet per member and tick, and ticks on a fixed
    /// grid. The simulator's default.
    #[must_use]
    pub fn hashicorp_pace(self) -> Self {
        self.with(|Self { swim, .. }| {
            swim.gossip_packets_per_tick = 1;
            swim.gossip_early = false;
        })
    }
}

impl SwimOptions {
    fn lan() -> Self {
        Self {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_probes: 3,
            stream_pings: true,
            suspicion_mult: 4,
            suspicion_max_timeout_mult: 6,
            accusers_min: 1,
            awareness_max_multiplier: 8,
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            gossip_packets_per_tick: 16,
            gossip_early: true,
            gossip_to_the_dead_time: Duration::from_secs(30),
            retransmit_mult: 4,
            push_pull_interval: Duration::from_secs(30),
            dead_node_reclaim_time: Duration::ZERO,
            zone_tag: String::new(),
            zone_bridges: 3,
        }
    }
}

impl SerfOptions {
    fn lan() -> Self {
        Self {
            protocol_version: PROTOCOL_VERSION_MAX,
            broadcast_timeout: Duration::from_secs(5),
            leave_propagate_delay: Duration::from_secs(1),
            reap_interval: Duration::from_secs(15),
            reconnect_interval: Duration::from_secs(30),
            reconnect_timeout: Duration::from_secs(24 * 3600),
            tombstone_timeout: Duration::from_secs(24 * 3600),
            recent_intent_timeout: Duration::from_secs(5 * 60),
            flap_timeout: Duration::from_secs(60),
            event_buffer: 512,
            user_event_bytes_max: 512,
            query_buffer: 512,
            query_bytes_max: 1024,
            query_response_bytes_max: 1024,
            query_answer_bytes_max: 64 * 1024,
            query_timeout_mult: 16,
            name_conflict_resolution: true,
            coalesce_period: Duration::ZERO,
            quiescent_period: Duration::ZERO,
            user_coalesce_period: Duration::ZERO,
            user_quiescent_period: Duration::ZERO,
            snapshot: false,
            coordinates: true,
            queue_depth_max: 4096,
            partition_stable_after: Duration::ZERO,
            partition_lost_percent: 20,
        }
    }
}

impl TransportOptions {
    fn lan() -> Self {
        Self {
            codec: CodecChoice::Auto,
            digests: true,
            stream_timeout: Duration::from_secs(10),
            packet_bytes: 1400,
            label: String::new(),
            skip_inbound_label_check: false,
            cidrs_allowed: Vec::new(),
            encrypt_keys: Vec::new(),
            encrypt_verify_incoming: true,
            encrypt_verify_outgoing: true,
            keyring_kept: false,
            compression: false,
        }
    }
}
