use core::fmt;
use core::time::Duration;

/// Why [`Options`](crate::Options) were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting that must be above zero is zero.
    Zero {
        /// Which setting.
        name: &'static str,
    },
    /// A setting is above its limit.
    TooLarge {
        /// Which setting.
        name: &'static str,
        /// What it is.
        value: u32,
        /// What it may be at the most.
        limit: u32,
    },
    /// There is no such version of Serf's protocol.
    ProtocolVersion {
        /// The version.
        value: u8,
    },
    /// The probe timeout leaves no time for indirect probes.
    ProbeTimeout {
        /// The timeout given.
        timeout: Duration,
        /// The interval that it must be below.
        interval: Duration,
    },
    /// User events of the greatest size would fit into no packet, and could never be gossiped.
    UserEventBytes {
        /// The limit given.
        value: u32,
        /// What it may be at the most, with these packets, label and keys.
        room: u32,
    },
    /// The packet size is out of its range.
    PacketBytes {
        /// What it is.
        value: u32,
        /// What it must be at the least.
        least: u32,
        /// What it may be at the most.
        most: u32,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { name } => write!(f, "{name} must be above zero"),
            Self::TooLarge { name, value, limit } => write!(f, "{name} is {value}, the limit is {limit}"),
            Self::ProtocolVersion { value } => write!(f, "protocol_version is {value}, it must be from 2 to 5"),
            Self::ProbeTimeout { timeout, interval } => {
                write!(f, "probe_timeout ({timeout:?}) must be below probe_interval ({interval:?})")
            }
            Self::UserEventBytes { value, room } => {
                write!(f, "user_event_bytes_max is {value}, but a packet has room for {room}")
            }
            Self::PacketBytes { value, least, most } => {
                write!(f, "packet_bytes is {value}, it must be from {least} to {most}")
            }
        }
    }
}

impl core::error::Error for ConfigError {}
