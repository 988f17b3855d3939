//! Settings: [`Options`] as the application writes them, and [`Config`] as the protocol reads them.

mod codec;
mod error;
mod profile;
mod serf;
mod swim;
mod transport;

use core::net::IpAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::codec::CodecChoice;
pub use self::error::ConfigError;
pub use self::serf::SerfOptions;
pub use self::swim::SwimOptions;
pub use self::transport::TransportOptions;
use crate::envelope::{EnvelopeConfig, Keyring, Label};
use crate::limits::{ANSWER_BYTES_MAX, KEYS_MAX, LABEL_BYTES_MAX, USER_EVENT_BYTES_MAX};

/// All settings of the protocol, grouped by layer. Start from a profile and change what you need:
///
/// ```
/// use core::time::Duration;
/// use serf_proto::{Config, Options};
///
/// let options = Options::lan().with(|options| options.swim.probe_interval = Duration::from_secs(2));
/// let config = Config::new(options)?;
/// # Ok::<(), serf_proto::ConfigError>(())
/// ```
///
/// The profiles [`lan`](Self::lan), [`wan`](Self::wan) and [`local`](Self::local) have HashiCorp's values, with two
/// exceptions: the first broadcast after an idle time is sent at once, and a backlog is sent in up to sixteen packets
/// per tick, which suffices for 1500 small user events a second. [`hashicorp_pace`](Self::hashicorp_pace) reverts both.
/// New releases may add settings, so a profile is the only way to create a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Options {
    /// Membership: probes, suspicion, gossip, push/pull.
    #[serde(flatten)]
    pub swim: SwimOptions,
    /// Serf: events, queries, leaves, former members.
    #[serde(flatten)]
    pub serf: SerfOptions,
    /// Packets and streams: codec, size, label, keys, compression.
    #[serde(flatten)]
    pub transport: TransportOptions,
}

impl Options {
    /// Applies a change. Allows to write changed options as one expression.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Validated settings. Created by [`Config::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    options: Options,
    envelope: EnvelopeConfig,
}

impl Config {
    /// Validates `options`.
    ///
    /// # Errors
    ///
    /// The first setting that is out of range.
    pub fn new(options: Options) -> Result<Self, ConfigError> {
        let o = &options;
        for (name, value) in [
            ("probe_interval", o.swim.probe_interval),
            ("probe_timeout", o.swim.probe_timeout),
            ("gossip_interval", o.swim.gossip_interval),
            ("push_pull_interval", o.swim.push_pull_interval),
            ("stream_timeout", o.transport.stream_timeout),
            ("reap_interval", o.serf.reap_interval),
            ("reconnect_interval", o.serf.reconnect_interval),
        ] {
            if value.is_zero() {
                return Err(ConfigError::Zero { name });
            }
        }
        for (name, value) in [
            ("suspicion_mult", o.swim.suspicion_mult),
            ("suspicion_max_timeout_mult", o.swim.suspicion_max_timeout_mult),
            ("accusers_min", o.swim.accusers_min),
            ("awareness_max_multiplier", o.swim.awareness_max_multiplier),
            ("gossip_nodes", o.swim.gossip_nodes),
            ("gossip_packets_per_tick", o.swim.gossip_packets_per_tick),
            ("retransmit_mult", o.swim.retransmit_mult),
            ("event_buffer", o.serf.event_buffer),
            ("query_buffer", o.serf.query_buffer),
            ("query_timeout_mult", o.serf.query_timeout_mult),
            ("queue_depth_max", o.serf.queue_depth_max),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero { name });
            }
            if value > COUNT_MAX {
                return Err(ConfigError::TooLarge { name, value, limit: COUNT_MAX });
            }
        }
        for (name, value) in [("indirect_probes", o.swim.indirect_probes), ("zone_bridges", o.swim.zone_bridges)] {
            if value > COUNT_MAX {
                return Err(ConfigError::TooLarge { name, value, limit: COUNT_MAX });
            }
        }
        let (name, value) = ("partition_lost_percent", o.serf.partition_lost_percent);
        if value == 0 {
            return Err(ConfigError::Zero { name });
        }
        if value > PERCENT_MAX {
            return Err(ConfigError::TooLarge { name, value, limit: PERCENT_MAX });
        }
        if !(PROTOCOL_VERSION_MIN..=PROTOCOL_VERSION_MAX).contains(&o.serf.protocol_version) {
            return Err(ConfigError::ProtocolVersion { value: o.serf.protocol_version });
        }
        if o.swim.probe_timeout >= o.swim.probe_interval {
            return Err(ConfigError::ProbeTimeout { timeout: o.swim.probe_timeout, interval: o.swim.probe_interval });
        }
        let envelope = envelope(&o.transport)?;
        let least =
            PACKET_BYTES_LEAST + u32::try_from(envelope.overhead_bytes()).unwrap_or(u32::MAX - PACKET_BYTES_LEAST);
        if !(least..=PACKET_BYTES_MOST).contains(&o.transport.packet_bytes) {
            return Err(ConfigError::PacketBytes { value: o.transport.packet_bytes, least, most: PACKET_BYTES_MOST });
        }
        for (name, value, limit) in [
            ("query_answer_bytes_max", o.serf.query_answer_bytes_max, ANSWER_BYTES_MAX),
            ("user_event_bytes_max", o.serf.user_event_bytes_max, USER_EVENT_BYTES_MAX),
        ] {
            if value as usize > limit {
                return Err(ConfigError::TooLarge { name, value, limit: u32::try_from(limit).unwrap_or(u32::MAX) });
            }
        }
        let value = o.serf.user_event_bytes_max;
        let config = Self { options, envelope };
        let room = u32::try_from(config.message_room()).unwrap_or(u32::MAX);
        if value > room {
            return Err(ConfigError::UserEventBytes { value, room });
        }
        Ok(config)
    }

    /// Whether `cidrs_allowed` admits an address (`IPAllowed` in memberlist's config.go).
    pub fn admits(&self, ip: IpAddr) -> bool {
        let networks = &self.options.transport.cidrs_allowed;
        networks.is_empty() || networks.iter().any(|network| network.contains(&ip.to_canonical()))
    }

    /// The settings of the packet layers.
    pub const fn envelope(&self) -> &EnvelopeConfig {
        &self.envelope
    }

    /// Bytes of a packet that remain beside label and encryption.
    pub fn packet_room(&self) -> usize {
        (self.options.transport.packet_bytes as usize).saturating_sub(self.envelope.overhead_bytes())
    }

    /// Size limit, in bytes, of a user event or query that fits into a packet.
    pub fn message_room(&self) -> usize {
        self.packet_room().saturating_sub(MESSAGE_OVERHEAD)
    }

    /// The push/pull interval in a cluster of `members` (`pushPullScale` in memberlist's util.go). It grows with the
    /// cluster, so that the load on the network stays about the same.
    pub(crate) fn push_pull_interval_of(&self, members: u32) -> Duration {
        if members <= PUSH_PULL_SCALE_FROM {
            return self.options.swim.push_pull_interval;
        }
        let log2_rounded_up = (members - 1).ilog2() + 1;
        self.options.swim.push_pull_interval.saturating_mul(log2_rounded_up - 5 + 1)
    }

    /// The options that this was created from.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Settings of membership.
    pub const fn swim(&self) -> &SwimOptions {
        &self.options.swim
    }

    /// Settings of Serf.
    pub const fn serf(&self) -> &SerfOptions {
        &self.options.serf
    }

    /// Settings of packets and streams.
    pub const fn transport(&self) -> &TransportOptions {
        &self.options.transport
    }
}

/// The packet layers that `o` describes.
fn envelope(o: &TransportOptions) -> Result<EnvelopeConfig, ConfigError> {
    let too_large = |name, value: usize, limit: usize| ConfigError::TooLarge {
        name,
        value: u32::try_from(value).unwrap_or(u32::MAX),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    for (is_set, setting, feature, is_built) in [
        (!o.encrypt_keys.is_empty(), "encrypt_keys", "encryption", cfg!(feature = "encryption")),
        (o.compression, "compression", "compression", cfg!(feature = "compression")),
    ] {
        if is_set && !is_built {
            return Err(ConfigError::Feature { setting, feature });
        }
    }
    let label = Label::parse(&o.label).ok_or_else(|| too_large("label", o.label.len(), LABEL_BYTES_MAX))?;
    let keyring = Keyring::new(o.encrypt_keys.iter().cloned());
    Ok(EnvelopeConfig {
        label,
        skip_inbound_label_check: o.skip_inbound_label_check,
        keyring: keyring.map_err(|_| too_large("encrypt_keys", o.encrypt_keys.len(), KEYS_MAX))?,
        verify_incoming: o.encrypt_verify_incoming,
        verify_outgoing: o.encrypt_verify_outgoing,
        compression: o.compression,
    })
}

/// Overhead of a user event or query in a packet: checksum, compound header, one length, the type byte of a user
/// message.
const MESSAGE_OVERHEAD: usize = 5 + 2 + 2 + 1;

/// Largest cluster in which the push/pull interval is the configured one.
const PUSH_PULL_SCALE_FROM: u32 = 32;

/// Limit of counts. Larger values are typing errors; the limit also keeps products of two counts within 32 bits.
const COUNT_MAX: u32 = 32_768;

/// All.
const PERCENT_MAX: u32 = 100;

/// Range of the versions of Serf's protocol.
const PROTOCOL_VERSION_MIN: u8 = 2;
pub(super) const PROTOCOL_VERSION_MAX: u8 = 5;

/// Room, beside label and encryption, for the largest messages: an alive message, or a ping with the accusation that it
/// carries.
const PACKET_BYTES_LEAST: u32 = 1200;

/// The largest UDP payload.
const PACKET_BYTES_MOST: u32 = 65_507;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Key;

    #[test]
    fn every_profile_is_valid() {
        for options in [Options::lan(), Options::wan(), Options::local()] {
            assert!(Config::new(options).is_ok());
        }
    }

    #[test]
    fn a_probe_timeout_that_is_not_below_the_interval_is_refused() {
        let options = Options::lan().with(|options| options.swim.probe_timeout = Duration::from_secs(1));
        assert_eq!(
            Config::new(options),
            Err(ConfigError::ProbeTimeout { timeout: Duration::from_secs(1), interval: Duration::from_secs(1) })
        );
    }

    #[test]
    fn zero_intervals_and_counts_are_refused_by_name() {
        let options = Options::lan().with(|options| options.swim.gossip_interval = Duration::ZERO);
        assert_eq!(Config::new(options), Err(ConfigError::Zero { name: "gossip_interval" }));
        let options = Options::lan().with(|options| options.swim.gossip_nodes = 0);
        assert_eq!(Config::new(options), Err(ConfigError::Zero { name: "gossip_nodes" }));
    }

    #[test]
    fn counts_beyond_all_reason_are_refused_and_indirect_probes_may_be_none() {
        let options = Options::lan().with(|options| options.swim.indirect_probes = u32::MAX);
        assert!(matches!(Config::new(options), Err(ConfigError::TooLarge { name: "indirect_probes", .. })));
        assert!(Config::new(Options::lan().with(|options| options.swim.indirect_probes = 0)).is_ok());
        let options = Options::lan().with(|options| options.swim.gossip_nodes = 40_000);
        assert!(matches!(Config::new(options), Err(ConfigError::TooLarge { name: "gossip_nodes", .. })));
    }

    #[test]
    fn the_smallest_packet_has_room_for_the_largest_messages() {
        use crate::envelope::{Packer, PacketBuffers};
        use crate::limits::{META_BYTES_MAX, NAME_BYTES_MAX};
        use crate::wire::swim::{Accusation, Alive, IndirectPing, Message, PeerRef, Ping, Source};
        use crate::wire::{Codec, Versions};

        let name = &*"n".repeat(NAME_BYTES_MAX);
        let addr = "[2001:db8::1]:65535".parse().unwrap();
        let source = Some(Source { addr, node: name });
        let peer = PeerRef { name, addr, meta: &[0; META_BYTES_MAX], versions: Versions::OURS };
        let alive = Message::Alive(Alive { incarnation: u32::MAX, peer });
        let indirect = IndirectPing { seq: u32::MAX, target: addr, node: name, nack: true, source };
        let ping = Message::Ping(Ping { seq: u32::MAX, node: name, source });
        let suspect = Message::Suspect(Accusation { incarnation: u32::MAX, node: name, from: name });
        for messages in [&[alive][..], &[Message::IndirectPing(indirect)], &[ping, suspect]] {
            for codec in [Codec::Native, Codec::HashiCorp] {
                let mut buffers = PacketBuffers::new();
                let mut packer = Packer::new(&mut buffers, PACKET_BYTES_LEAST);
                for message in messages {
                    assert_eq!(packer.frame(|w| codec.encode(message, w)), Ok(()), "{codec:?}: {message:?}");
                }
            }
        }
    }

    #[test]
    fn the_smallest_packet_grows_with_label_and_encryption() {
        let keys = [Key::new(&[1; 16]).unwrap()];
        let options = Options::lan().with(|options| {
            options.transport.packet_bytes = 1233;
            options.transport.label = "dc1".into();
            options.transport.encrypt_keys = keys.into();
        });
        assert_eq!(
            Config::new(options.clone()),
            Err(ConfigError::PacketBytes { value: 1233, least: 1234, most: PACKET_BYTES_MOST })
        );
        let config = Config::new(options.with(|options| options.transport.packet_bytes = 1234)).unwrap();
        assert_eq!(config.packet_room(), PACKET_BYTES_LEAST as usize);
    }

    #[test]
    fn too_long_a_label_and_too_many_keys_are_refused() {
        let options = Options::lan().with(|options| options.transport.label = "x".repeat(256));
        assert_eq!(Config::new(options), Err(ConfigError::TooLarge { name: "label", value: 256, limit: 255 }));
        let encrypt_keys = (0..33).map(|byte| Key::new(&[byte; 16]).unwrap()).collect();
        let options = Options::lan().with(|options| options.transport.encrypt_keys = encrypt_keys);
        assert_eq!(Config::new(options), Err(ConfigError::TooLarge { name: "encrypt_keys", value: 33, limit: 32 }));
    }

    #[test]
    fn a_version_that_does_not_exist_is_refused() {
        for value in [0, 1, 6] {
            let options = Options::lan().with(|options| options.serf.protocol_version = value);
            assert_eq!(Config::new(options), Err(ConfigError::ProtocolVersion { value }));
        }
        assert!(Config::new(Options::lan().with(|options| options.serf.protocol_version = 2)).is_ok());
    }

    #[test]
    fn the_push_pull_interval_is_memberlists() {
        let config = |push_pull_interval| {
            Config::new(Options::lan().with(|options| options.swim.push_pull_interval = push_pull_interval)).unwrap()
        };
        let lan = config(Duration::from_secs(30));
        let seconds =
            [1, 32, 33, 64, 65, 129, 1000, 5000, 10_000].map(|members| lan.push_pull_interval_of(members).as_secs());
        assert_eq!(seconds, [30, 30, 60, 60, 90, 120, 180, 270, 300]);
        assert_eq!(config(Duration::MAX).push_pull_interval_of(5000), Duration::MAX, "never stays never");
    }

    #[test]
    fn a_user_event_limit_that_no_packet_has_room_for_is_refused_and_the_room_is_named() {
        let options = |user_event_bytes_max| {
            Options::lan().with(|options| options.serf.user_event_bytes_max = user_event_bytes_max)
        };
        let refused = Config::new(options(1391));
        assert_eq!(refused, Err(ConfigError::UserEventBytes { value: 1391, room: 1390 }));
        assert_eq!(Config::new(options(1390)).unwrap().message_room(), 1390);
        let keys = options(1390).with(|options| options.transport.encrypt_keys = [Key::new(&[1; 16]).unwrap()].into());
        assert!(matches!(Config::new(keys), Err(ConfigError::UserEventBytes { room: 0..1390, .. })));
    }

    #[test]
    fn a_user_event_limit_above_the_hard_cap_is_refused() {
        let options = Options::lan().with(|options| options.serf.user_event_bytes_max = 9217);
        assert!(matches!(Config::new(options), Err(ConfigError::TooLarge { name: "user_event_bytes_max", .. })));
    }

    #[test]
    fn a_limit_of_large_answers_above_the_hard_cap_is_refused_and_zero_is_not() {
        let with = |bytes| Config::new(Options::lan().with(|options| options.serf.query_answer_bytes_max = bytes));
        let refused = ConfigError::TooLarge { name: "query_answer_bytes_max", value: (1 << 20) + 1, limit: 1 << 20 };
        assert_eq!(with((1 << 20) + 1), Err(refused));
        assert!(with(1 << 20).is_ok() && with(0).is_ok());
    }
}
