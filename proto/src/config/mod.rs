//! Settings: what people write ([`Options`]) and what the protocol reads ([`Config`]).

mod codec;
mod error;
mod profile;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

pub use self::codec::CodecChoice;
pub use self::error::ConfigError;
use crate::envelope::{EnvelopeConfig, Keyring, Label};
use crate::limits::{KEYS_MAX, LABEL_BYTES_MAX, USER_EVENT_BYTES_MAX};
use crate::types::Key;

/// Every setting of the protocol. Start from a profile and change what you need:
///
/// ```
/// use core::time::Duration;
/// use serf_proto::{Config, Options};
///
/// let config = Config::new(Options { probe_interval: Duration::from_secs(2), ..Options::lan() })?;
/// # Ok::<(), serf_proto::ConfigError>(())
/// ```
///
/// The profiles [`lan`](Self::lan), [`wan`](Self::wan) and [`local`](Self::local) hold HashiCorp's values, but that news goes out
/// at once after a quiet time, and a backlog in up to sixteen packets at a time: enough for 1500 small user events a second.
/// [`hashicorp_pace`](Self::hashicorp_pace) takes that back. Settings may be added: always end with `..` and a profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Options {
    /// Which codecs we write and read. Default [`CodecChoice::Auto`].
    pub codec: CodecChoice,
    /// The version of Serf's protocol that we announce to speak, 2 to 5. Nothing that we send depends on it: HashiCorp's nodes
    /// answer no queries of a cluster below 4. Default 5.
    pub protocol_version: u8,
    /// How often one member is probed. Longer: failures are noticed later. Default 1 s.
    pub probe_interval: Duration,
    /// How long a probe waits for its ack before it asks others. Must be below `probe_interval`; too short
    /// means needless indirect probes on a busy host. Default 500 ms.
    pub probe_timeout: Duration,
    /// How many members are asked to probe a silent one. Default 3.
    pub indirect_probes: u32,
    /// Whether a silent member is also pinged over a stream, which tells a dead member from a network that
    /// loses datagrams. Default true.
    pub stream_pings: bool,
    /// Times `log10(n)` times `probe_interval`: how long a suspect may refute at the least. Default 4.
    pub suspicion_mult: u32,
    /// How many times longer than that a suspicion lasts while nobody confirms it (Lifeguard). Default 6.
    pub suspicion_max_timeout_mult: u32,
    /// The health score stays below this (Lifeguard): an unhealthy node probes up to this many times slower.
    /// Default 8.
    pub awareness_max_multiplier: u32,
    /// How often broadcasts are sent. Nothing is sent while there is nothing to tell. Default 200 ms.
    pub gossip_interval: Duration,
    /// To how many members they are sent each time. Default 3.
    pub gossip_nodes: u32,
    /// How many packets each of those members may get at a time while there is a backlog. 1 is what HashiCorp's
    /// nodes do; any value is compatible. More makes large joins faster and the bursts larger. Default 16.
    pub gossip_packets_per_tick: u32,
    /// Whether news after a quiet time goes out at once, instead of with the next tick of a fixed grid as HashiCorp's nodes
    /// have it. Ticks are never closer than `gossip_interval`, so that it costs no more packets, and any value is
    /// compatible. It takes half a gossip interval off every hop. Default true.
    pub gossip_early: bool,
    /// How long the dead are still gossiped to, so that they may refute. Default 30 s.
    pub gossip_to_the_dead_time: Duration,
    /// Times `ceil(log10(n + 1))`: how often each broadcast is sent. Default 4.
    pub retransmit_mult: u32,
    /// How often the whole state is exchanged with one random member; scaled up from 33 members on.
    /// Default 30 s.
    pub push_pull_interval: Duration,
    /// How long an exchange on a stream may take in all. Default 10 s.
    pub stream_timeout: Duration,
    /// Packets are filled up to this size. Default 1400 bytes.
    pub packet_bytes: u32,
    /// The cluster's name. Packets and streams with another, or with none, are dropped; it keeps clusters apart that
    /// share addresses, or that get each other's addresses as time passes: without a label or a key only the names of members
    /// that are looked for at an old address do, and an address that is given for a join is asked whichever node is there. At most 255 bytes; default none. HashiCorp's nodes know labels since memberlist 0.3.
    pub label: String,
    /// Something outside takes the label off what comes in, and puts it on what goes out of others: what still has one
    /// is dropped. Default false.
    pub skip_inbound_label_check: bool,
    /// The keys, the first one to encrypt with, each of them to decrypt with. None: no encryption. At most 32; default
    /// none. They are not serialized with the rest.
    #[serde(skip)]
    pub encrypt_keys: Vec<Key>,
    /// With keys: drop what comes in unencrypted. Off only while encryption is introduced to a running cluster.
    /// Default true.
    pub encrypt_verify_incoming: bool,
    /// With keys: encrypt what goes out. Off only while encryption is introduced to a running cluster. Default true.
    pub encrypt_verify_outgoing: bool,
    /// Compress packets and streams where that makes them shorter. It costs more time than all else that is done
    /// to a packet. Compressed ones are understood in any case. Default false.
    pub compression: bool,
    /// How long a name must have been dead until another address may take it; zero: never, only a name that
    /// left may be taken. Default zero.
    pub dead_node_reclaim_time: Duration,

    /// How long a leave waits for its messages to go out. Default 5 s.
    pub broadcast_timeout: Duration,
    /// How long a node that left still answers probes, so that nobody takes it for failed. Default 1 s.
    pub leave_propagate_delay: Duration,
    /// How often failed and left members are checked for their age. Default 15 s.
    pub reap_interval: Duration,
    /// How often we try to reach a failed member again. Default 30 s.
    pub reconnect_interval: Duration,
    /// How long a failed member is remembered, and tried to be reached again. [`Duration::MAX`]: for ever. Default 24 h.
    pub reconnect_timeout: Duration,
    /// How long a member that left is remembered. Default 24 h.
    pub tombstone_timeout: Duration,
    /// How long a join or leave intent is kept for a member that we do not know yet. Default 5 min.
    pub recent_intent_timeout: Duration,
    /// A failed member that is back before this is counted as flapping. Default 60 s.
    pub flap_timeout: Duration,
    /// How many Lamport times back user events are recognised as seen. Default 512.
    pub event_buffer: u32,
    /// The largest user event, name and payload together and also as encoded. At most 9216, and no more than a packet has room
    /// for ([`Config::message_room`]): what is accepted must be possible to gossip. Default 512 bytes.
    pub user_event_bytes_max: u32,
    /// How many Lamport times back queries are recognised as seen. Default 512.
    pub query_buffer: u32,
    /// The largest query as HashiCorp's nodes encode it, in bytes. Default 1024.
    pub query_bytes_max: u32,
    /// The largest answer to a query as HashiCorp's nodes encode it, in bytes. Default 1024.
    pub query_response_bytes_max: u32,
    /// Times `gossip_interval` times `ceil(log10(n + 1))`: how long a query may be answered that does not say. Default 16.
    pub query_timeout_mult: u32,
    /// Whether the others are asked whose our name is when another node claims it too. Default true.
    pub name_conflict_resolution: bool,
    /// How long member events are held back at the most, so that many become few. Zero: they are not. Default zero.
    pub coalesce_period: Duration,
    /// After how long without a member event those held back are passed on. Zero: none is held back. Default zero.
    pub quiescent_period: Duration,
    /// How long user events that may be coalesced are held back at the most. Zero: they are not. Default zero.
    pub user_coalesce_period: Duration,
    /// After how long without such a user event those held back are passed on. Zero: none is held back. Default zero.
    pub user_quiescent_period: Duration,
    /// Whether the node says what its snapshot should record, as [`Output::Persist`](crate::Output::Persist). Default false.
    pub snapshot: bool,
    /// Whether the keys are kept, so that changes survive the node: each that members make is then given as
    /// [`Output::Keyring`](crate::Output::Keyring), and confirmed only when it was written. Default false.
    pub keyring_kept: bool,
    /// Whether acks carry network coordinates, and we find our own from those of others. Off: acks carry nothing, and what
    /// others carry is not looked at. Default true.
    pub coordinates: bool,
    /// The most intents, and the most user events, that wait to be gossiped; the most often sent are dropped
    /// beyond. Default 4096.
    pub queue_depth_max: u32,
}

/// Proven settings: the only way to them is [`Config::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    options: Options,
    envelope: EnvelopeConfig,
}

impl Config {
    /// Checks `options` against each other.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of its range.
    pub fn new(options: Options) -> Result<Self, ConfigError> {
        let o = &options;
        for (name, value) in [
            ("probe_interval", o.probe_interval),
            ("probe_timeout", o.probe_timeout),
            ("gossip_interval", o.gossip_interval),
            ("push_pull_interval", o.push_pull_interval),
            ("stream_timeout", o.stream_timeout),
            ("reap_interval", o.reap_interval),
            ("reconnect_interval", o.reconnect_interval),
        ] {
            if value.is_zero() {
                return Err(ConfigError::Zero { name });
            }
        }
        for (name, value) in [
            ("suspicion_mult", o.suspicion_mult),
            ("suspicion_max_timeout_mult", o.suspicion_max_timeout_mult),
            ("awareness_max_multiplier", o.awareness_max_multiplier),
            ("gossip_nodes", o.gossip_nodes),
            ("gossip_packets_per_tick", o.gossip_packets_per_tick),
            ("retransmit_mult", o.retransmit_mult),
            ("event_buffer", o.event_buffer),
            ("query_buffer", o.query_buffer),
            ("query_timeout_mult", o.query_timeout_mult),
            ("queue_depth_max", o.queue_depth_max),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero { name });
            }
            if value > COUNT_MAX {
                return Err(ConfigError::TooLarge { name, value, limit: COUNT_MAX });
            }
        }
        if o.indirect_probes > COUNT_MAX {
            return Err(ConfigError::TooLarge { name: "indirect_probes", value: o.indirect_probes, limit: COUNT_MAX });
        }
        if !(PROTOCOL_VERSION_MIN..=PROTOCOL_VERSION_MAX).contains(&o.protocol_version) {
            return Err(ConfigError::ProtocolVersion { value: o.protocol_version });
        }
        if o.probe_timeout >= o.probe_interval {
            return Err(ConfigError::ProbeTimeout { timeout: o.probe_timeout, interval: o.probe_interval });
        }
        let envelope = envelope(o)?;
        let least =
            PACKET_BYTES_LEAST + u32::try_from(envelope.overhead_bytes()).unwrap_or(u32::MAX - PACKET_BYTES_LEAST);
        if !(least..=PACKET_BYTES_MOST).contains(&o.packet_bytes) {
            return Err(ConfigError::PacketBytes { value: o.packet_bytes, least, most: PACKET_BYTES_MOST });
        }
        let value = o.user_event_bytes_max;
        if value as usize > USER_EVENT_BYTES_MAX {
            return Err(ConfigError::TooLarge { name: "user_event_bytes_max", value, limit: 9 * 1024 });
        }
        let config = Self { options, envelope };
        let room = u32::try_from(config.message_room()).unwrap_or(u32::MAX);
        if value > room {
            return Err(ConfigError::UserEventBytes { value, room });
        }
        Ok(config)
    }

    /// Which layers go around everything.
    pub const fn envelope(&self) -> &EnvelopeConfig {
        &self.envelope
    }

    /// How much of a packet is left beside its label and its encryption, in bytes.
    pub fn packet_room(&self) -> usize {
        (self.options.packet_bytes as usize).saturating_sub(self.envelope.overhead_bytes())
    }

    /// The largest user event or query that a packet has room for, in bytes.
    pub fn message_room(&self) -> usize {
        self.packet_room().saturating_sub(MESSAGE_OVERHEAD)
    }

    /// The time between push/pulls in a cluster of so many members (`pushPullScale` in memberlist's util.go): the same load on
    /// the network, however many there are.
    pub(crate) fn push_pull_interval_of(&self, members: u32) -> Duration {
        if members <= PUSH_PULL_SCALE_FROM {
            return self.options.push_pull_interval;
        }
        let log2_rounded_up = (members - 1).ilog2() + 1;
        self.options.push_pull_interval.saturating_mul(log2_rounded_up - 5 + 1)
    }

    /// The settings as they were given.
    pub const fn options(&self) -> &Options {
        &self.options
    }
}

impl core::ops::Deref for Config {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

/// What `o` says about the layers.
fn envelope(o: &Options) -> Result<EnvelopeConfig, ConfigError> {
    let too_large = |name, value: usize, limit: usize| ConfigError::TooLarge {
        name,
        value: u32::try_from(value).unwrap_or(u32::MAX),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
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

/// Around a user event or a query in a packet: checksum, compound header, one length, the type byte of a user message.
const MESSAGE_OVERHEAD: usize = 5 + 2 + 2 + 1;

/// Up to this many members the time between push/pulls is as configured.
const PUSH_PULL_SCALE_FROM: u32 = 32;

/// Counts beyond this are a slip of the finger; it keeps every product of two counts within 32 bits.
const COUNT_MAX: u32 = 32_768;

/// The versions of Serf's protocol that can be spoken.
const PROTOCOL_VERSION_MIN: u8 = 2;
pub(super) const PROTOCOL_VERSION_MAX: u8 = 5;

/// Room, beside label and encryption, for the largest messages: an alive message, or a ping with the accusation that it carries.
const PACKET_BYTES_LEAST: u32 = 1200;

/// The largest UDP payload.
const PACKET_BYTES_MOST: u32 = 65_507;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_valid() {
        for options in [Options::lan(), Options::wan(), Options::local()] {
            assert!(Config::new(options).is_ok());
        }
    }

    #[test]
    fn a_probe_timeout_that_is_not_below_the_interval_is_refused() {
        let options = Options { probe_timeout: Duration::from_secs(1), ..Options::lan() };
        assert_eq!(
            Config::new(options),
            Err(ConfigError::ProbeTimeout { timeout: Duration::from_secs(1), interval: Duration::from_secs(1) })
        );
    }

    #[test]
    fn zero_intervals_and_counts_are_refused_by_name() {
        let options = Options { gossip_interval: Duration::ZERO, ..Options::lan() };
        assert_eq!(Config::new(options), Err(ConfigError::Zero { name: "gossip_interval" }));
        let options = Options { gossip_nodes: 0, ..Options::lan() };
        assert_eq!(Config::new(options), Err(ConfigError::Zero { name: "gossip_nodes" }));
    }

    #[test]
    fn counts_beyond_all_reason_are_refused_and_indirect_probes_may_be_none() {
        let options = Options { indirect_probes: u32::MAX, ..Options::lan() };
        assert!(matches!(Config::new(options), Err(ConfigError::TooLarge { name: "indirect_probes", .. })));
        assert!(Config::new(Options { indirect_probes: 0, ..Options::lan() }).is_ok());
        let options = Options { gossip_nodes: 40_000, ..Options::lan() };
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
        let options = Options { packet_bytes: 1233, label: "dc1".into(), encrypt_keys: keys.into(), ..Options::lan() };
        assert_eq!(
            Config::new(options.clone()),
            Err(ConfigError::PacketBytes { value: 1233, least: 1234, most: PACKET_BYTES_MOST })
        );
        let config = Config::new(Options { packet_bytes: 1234, ..options }).unwrap();
        assert_eq!(config.packet_room(), PACKET_BYTES_LEAST as usize);
    }

    #[test]
    fn too_long_a_label_and_too_many_keys_are_refused() {
        let options = Options { label: "x".repeat(256), ..Options::lan() };
        assert_eq!(Config::new(options), Err(ConfigError::TooLarge { name: "label", value: 256, limit: 255 }));
        let encrypt_keys = (0..33).map(|byte| Key::new(&[byte; 16]).unwrap()).collect();
        let options = Options { encrypt_keys, ..Options::lan() };
        assert_eq!(Config::new(options), Err(ConfigError::TooLarge { name: "encrypt_keys", value: 33, limit: 32 }));
    }

    #[test]
    fn a_version_that_does_not_exist_is_refused() {
        for value in [0, 1, 6] {
            let options = Options { protocol_version: value, ..Options::lan() };
            assert_eq!(Config::new(options), Err(ConfigError::ProtocolVersion { value }));
        }
        assert!(Config::new(Options { protocol_version: 2, ..Options::lan() }).is_ok());
    }

    #[test]
    fn the_push_pull_interval_is_memberlists() {
        let config = |push_pull_interval| Config::new(Options { push_pull_interval, ..Options::lan() }).unwrap();
        let lan = config(Duration::from_secs(30));
        let seconds =
            [1, 32, 33, 64, 65, 129, 1000, 5000, 10_000].map(|members| lan.push_pull_interval_of(members).as_secs());
        assert_eq!(seconds, [30, 30, 60, 60, 90, 120, 180, 270, 300]);
        assert_eq!(config(Duration::MAX).push_pull_interval_of(5000), Duration::MAX, "never stays never");
    }

    #[test]
    fn a_user_event_limit_that_no_packet_has_room_for_is_refused_and_the_room_is_named() {
        let options = |user_event_bytes_max| Options { user_event_bytes_max, ..Options::lan() };
        let refused = Config::new(options(1391));
        assert_eq!(refused, Err(ConfigError::UserEventBytes { value: 1391, room: 1390 }));
        assert_eq!(Config::new(options(1390)).unwrap().message_room(), 1390);
        let keys = Options { encrypt_keys: [Key::new(&[1; 16]).unwrap()].into(), ..options(1390) };
        assert!(matches!(Config::new(keys), Err(ConfigError::UserEventBytes { room: 0..1390, .. })));
    }

    #[test]
    fn a_user_event_limit_above_the_hard_cap_is_refused() {
        let options = Options { user_event_bytes_max: 9217, ..Options::lan() };
        assert!(matches!(Config::new(options), Err(ConfigError::TooLarge { name: "user_event_bytes_max", .. })));
    }
}
