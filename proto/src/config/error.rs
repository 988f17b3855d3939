use core::time::Duration;

use thiserror::Error;

/// Why [`Options`](crate::Options) were refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting that must be above zero is zero.
    #[error("{name} must be above zero")]
    Zero {
        /// Which setting.
        name: &'static str,
    },
    /// A setting is above its limit.
    #[error("{name} is {value}, the limit is {limit}")]
    TooLarge {
        /// Which setting.
        name: &'static str,
        /// What it is.
        value: u32,
        /// What it may be at the most.
        limit: u32,
    },
    /// There is no such version of Serf's protocol.
    #[error("protocol_version is {value}, it must be from 2 to 5")]
    ProtocolVersion {
        /// The version.
        value: u8,
    },
    /// The probe timeout leaves no time for indirect probes.
    #[error("probe_timeout ({timeout:?}) must be below probe_interval ({interval:?})")]
    ProbeTimeout {
        /// The timeout given.
        timeout: Duration,
        /// The interval that it must be below.
        interval: Duration,
    },
    /// User events of the greatest size would fit into no packet, and could never be gossiped.
    #[error("user_event_bytes_max is {value}, but a packet has room for {room}")]
    UserEventBytes {
        /// The limit given.
        value: u32,
        /// What it may be at the most, with these packets, label and keys.
        room: u32,
    },
    /// The packet size is out of its range.
    #[error("packet_bytes is {value}, it must be from {least} to {most}")]
    PacketBytes {
        /// What it is.
        value: u32,
        /// What it must be at the least.
        least: u32,
        /// What it may be at the most.
        most: u32,
    },
    /// A setting needs a feature of `serf-proto` that this program is built without.
    #[error("{setting} needs the feature {feature} of serf-proto")]
    Feature {
        /// Which setting.
        setting: &'static str,
        /// Which feature.
        feature: &'static str,
    },
}
