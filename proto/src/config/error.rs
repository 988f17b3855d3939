use core::time::Duration;

use thiserror::Error;

/// Error of [`Config::new`](crate::Config::new).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting is zero that must be above zero.
    #[error("{name} must be above zero")]
    Zero {
        /// The setting.
        name: &'static str,
    },
    /// A setting is above its limit.
    #[error("{name} is {value}, the limit is {limit}")]
    TooLarge {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: u32,
        /// Its limit.
        limit: u32,
    },
    /// Serf's protocol has no such version.
    #[error("protocol_version is {value}, it must be from 2 to 5")]
    ProtocolVersion {
        /// The version.
        value: u8,
    },
    /// The probe timeout leaves no time for indirect probes.
    #[error("probe_timeout ({timeout:?}) must be below probe_interval ({interval:?})")]
    ProbeTimeout {
        /// The probe timeout.
        timeout: Duration,
        /// The probe interval.
        interval: Duration,
    },
    /// User events of the maximum size would not fit into a packet, so they could not be gossiped.
    #[error("user_event_bytes_max is {value}, but a packet has room for {room}")]
    UserEventBytes {
        /// The configured limit.
        value: u32,
        /// The largest possible limit with this packet size, label and encryption.
        room: u32,
    },
    /// The packet size is out of range.
    #[error("packet_bytes is {value}, it must be from {least} to {most}")]
    PacketBytes {
        /// The packet size.
        value: u32,
        /// The smallest allowed size.
        least: u32,
        /// The largest allowed size.
        most: u32,
    },
}
