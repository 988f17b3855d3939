//! What the agent runs on.

use core::fmt;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine};

use super::address::{self, AddressError};
use super::draft::Draft;
use super::layer::Layer;
use crate::handler::EventHandler;
use crate::log::{self, Format, Level};

/// Everything that a start of the agent needs, checked as far as that goes without starting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The name of this node.
    pub node_name: String,
    /// Where gossip is received. Without a definite IP the host's first private one is advertised.
    pub bind: SocketAddr,
    /// The address told to others, if another.
    pub advertise: Option<SocketAddr>,
    /// The interface to bind to.
    pub interface: Option<String>,
    /// The timing.
    pub profile: Profile,
    /// The Serf protocol to speak; out of range until the node is made.
    pub protocol: u8,
    /// The key to encrypt gossip with; its length is checked when the node is made.
    pub encrypt_key: Option<Vec<u8>>,
    /// The file that keeps the keys.
    pub keyring_file: Option<PathBuf>,
    /// The tags of this node.
    pub tags: BTreeMap<String, String>,
    /// The file that keeps them.
    pub tags_file: Option<PathBuf>,
    /// The file that remembers the cluster.
    pub snapshot_path: Option<PathBuf>,
    /// Whether a node that left rejoins the members in its snapshot.
    pub rejoin_after_leave: bool,
    /// Where clients connect to.
    pub rpc_addr: String,
    /// The token they must show; empty for none.
    pub rpc_auth: String,
    /// The scripts to run.
    pub event_handlers: Vec<EventHandler>,
    /// Addresses of which one must answer at the start.
    pub start_join: Vec<String>,
    /// Addresses that are tried until one answers.
    pub retry_join: Vec<String>,
    /// How long to wait between tries; at least 1 s.
    pub retry_interval: Duration,
    /// After how many failures more than one to give up, 0 for never.
    pub retry_attempts_max: u32,
    /// Whether joins deliver old user events.
    pub replay_on_join: bool,
    /// What is logged.
    pub log_level: Level,
    /// How.
    pub log_format: Format,
    /// Where figures are served over HTTP.
    pub metrics_addr: Option<String>,
    /// After how long a handler is ended with all that it has started.
    pub handler_timeout: Option<Duration>,
    /// Whether each script has a queue of its own.
    pub parallel_handlers: bool,
    /// The number of the syslog facility, `None` without syslog.
    pub syslog_facility: Option<u8>,
    /// Whether SIGTERM leaves the cluster.
    pub leave_on_terminate: bool,
    /// Whether SIGINT does not leave the cluster.
    pub skip_leave_on_interrupt: bool,
    /// How long a leave or another broadcast may take; at least 1 s.
    pub broadcast_timeout: Duration,
    /// How often failed members are tried again.
    pub reconnect_interval: Duration,
    /// How long failed members are remembered.
    pub reconnect_timeout: Duration,
    /// How long members that left are remembered.
    pub tombstone_timeout: Duration,
    /// The largest messages.
    pub size_limits: SizeLimits,
    /// Whether name conflicts are not resolved.
    pub disable_name_resolution: bool,
    /// Whether coordinates are off.
    pub disable_coordinates: bool,
    /// Whether names with unusual letters are refused.
    pub validate_node_names: bool,
    /// Whether gossip is compressed.
    pub compression: bool,
    /// Discovery by mDNS.
    pub mdns: Option<Mdns>,
    /// A statsite server, over TCP.
    pub statsite_addr: Option<String>,
    /// A statsd server, over UDP.
    pub statsd_addr: Option<String>,
}

/// How members find each other without an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mdns {
    /// The name of the cluster.
    pub cluster: String,
    /// The interface to ask on, all when `None`.
    pub interface: Option<String>,
    /// Whether to ask over IPv4.
    pub ipv4: bool,
    /// Whether to ask over IPv6.
    pub ipv6: bool,
}

/// The largest messages, in bytes as encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeLimits {
    /// Of a user event.
    pub user_event_bytes_max: u32,
    /// Of a query.
    pub query_bytes_max: u32,
    /// Of an answer.
    pub query_response_bytes_max: u32,
}

/// A set of times for a kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One network.
    Lan,
    /// The internet.
    Wan,
    /// One host.
    Local,
}

impl Profile {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Local => "local",
        }
    }
}

/// Why the agent cannot be started so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such level; in upper case.
    LogLevel(String),
    /// There is no such format.
    LogFormat(String),
    /// There is no such facility.
    SyslogFacility(String),
    /// The address to bind is none.
    Bind(AddressError),
    /// The address to advertise is none.
    Advertise(AddressError),
    /// The interface has no address.
    InterfaceWithoutAddress(String),
    /// The interface does not have this address.
    NotOnInterface {
        /// The interface.
        interface: String,
        /// The address to bind.
        ip: IpAddr,
    },
    /// The key is not base64.
    Key {
        /// Where that shows.
        offset: usize,
    },
    /// There is no such profile.
    Profile(String),
    /// A duration or limit must be above zero.
    NotPositive(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogLevel(name) => {
                write!(f, "Invalid log level: {name}. Valid log levels are: [TRACE DEBUG INFO WARN ERR]")
            }
            Self::LogFormat(name) => write!(f, "Invalid log format: {name}. Valid log formats are: [text json]"),
            Self::SyslogFacility(name) => write!(f, "Syslog setup failed: invalid syslog facility: {name}"),
            Self::Bind(error) => write!(f, "Invalid bind address: {error}"),
            Self::Advertise(error) => write!(f, "Invalid advertise address: {error}"),
            Self::InterfaceWithoutAddress(name) => write!(f, "Interface '{name}' has no addresses"),
            Self::NotOnInterface { interface, ip } => write!(f, "Interface '{interface}' has no '{ip}' address"),
            Self::Key { offset } => {
                write!(f, "Invalid encryption key: illegal base64 data at input byte {offset}")
            }
            Self::Profile(name) => write!(f, "Unknown profile: {name}"),
            Self::NotPositive(key) => write!(f, "Invalid {key}: must be above zero"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Makes a draft definite, with the network interfaces of this host. The second value is what an operator should know.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn resolve(draft: Draft) -> Result<(Self, Vec<String>), ConfigError> {
        let addresses = |name: &str| {
            let all = if_addrs::get_if_addrs().unwrap_or_default();
            all.iter().filter(|interface| interface.name == name).map(if_addrs::Interface::ip).collect()
        };
        Self::resolve_with(draft, addresses)
    }

    /// As [`resolve`](Self::resolve); `addresses` lists the addresses of an interface (`setupAgent` in `command.go`).
    fn resolve_with(draft: Draft, addresses: impl Fn(&str) -> Vec<IpAddr>) -> Result<(Self, Vec<String>), ConfigError> {
        let Draft { layer, handlers, .. } = draft;
        let log_level =
            Level::parse(&layer.log_level).ok_or_else(|| ConfigError::LogLevel(layer.log_level.to_uppercase()))?;
        let log_format = Format::parse(&layer.log_format);
        let log_format = log_format.ok_or_else(|| ConfigError::LogFormat(layer.log_format.clone()))?;
        let syslog_facility = syslog_facility(&layer)?;
        let mut notices = Vec::new();
        let mut bind = address::resolve(&layer.bind).map_err(ConfigError::Bind)?;
        if !layer.interface.is_empty() {
            bind.set_ip(interface_ip(&layer.interface, bind.ip(), &addresses(&layer.interface), &mut notices)?);
        }
        let advertise = some(&layer.advertise).map(|text| address::resolve(&text));
        let advertise = advertise.transpose().map_err(ConfigError::Advertise)?;
        let encrypt_key =
            some(&layer.encrypt_key).map(|text| decode_base64(&text).map_err(|offset| ConfigError::Key { offset }));
        let config = Self {
            bind,
            advertise,
            encrypt_key: encrypt_key.transpose()?,
            profile: profile(&layer.profile)?,
            interface: some(&layer.interface),
            // As there: only the lowest 8 bits count.
            protocol: layer.protocol.to_le_bytes()[0],
            keyring_file: some(&layer.keyring_file).map(PathBuf::from),
            tags_file: some(&layer.tags_file).map(PathBuf::from),
            snapshot_path: some(&layer.snapshot_path).map(PathBuf::from),
            rejoin_after_leave: layer.rejoin_after_leave,
            event_handlers: handlers,
            retry_interval: positive("retry_interval", layer.retry_interval)?,
            retry_attempts_max: u32::try_from(layer.retry_max_attempts.max(0)).unwrap_or(u32::MAX),
            replay_on_join: layer.replay_on_join,
            log_level,
            log_format,
            metrics_addr: some(&layer.metrics_addr),
            handler_timeout: handler_timeout(&layer),
            parallel_handlers: layer.parallel_handlers,
            syslog_facility,
            leave_on_terminate: layer.leave_on_terminate,
            skip_leave_on_interrupt: layer.skip_leave_on_interrupt,
            broadcast_timeout: positive("broadcast_timeout", layer.broadcast_timeout)?,
            reconnect_interval: positive("reconnect_interval", layer.reconnect_interval)?,
            reconnect_timeout: positive("reconnect_timeout", layer.reconnect_timeout)?,
            tombstone_timeout: positive("tombstone_timeout", layer.tombstone_timeout)?,
            size_limits: SizeLimits {
                user_event_bytes_max: limit("user_event_size_limit", layer.user_event_size_limit)?,
                query_bytes_max: limit("query_size_limit", layer.query_size_limit)?,
                query_response_bytes_max: limit("query_response_size_limit", layer.query_response_size_limit)?,
            },
            disable_name_resolution: layer.disable_name_resolution,
            disable_coordinates: layer.disable_coordinates,
            validate_node_names: layer.validate_node_names,
            compression: layer.enable_compression.unwrap_or(true),
            mdns: mdns(&layer),
            statsite_addr: some(&layer.statsite_addr),
            statsd_addr: some(&layer.statsd_addr),
            node_name: layer.node_name,
            tags: layer.tags,
            rpc_addr: layer.rpc_addr,
            rpc_auth: layer.rpc_auth,
            start_join: layer.start_join,
            retry_join: layer.retry_join,
        };
        Ok((config, notices))
    }
}

/// Decodes base64 with padding as Go does: ends of lines are skipped, and unused bits may be set.
///
/// # Errors
///
/// Says at which byte it went wrong.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, usize> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let text = text.replace(['\r', '\n'], "");
    LENIENT.decode(&text).map_err(|error| match error {
        DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol { offset, .. } => offset,
        // A missing end shows where the last group starts.
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len() / 4 * 4,
    })
}

/// The IP to bind on an interface: its first that is more than link-local, unless one was given, which it must have.
fn interface_ip(
    interface: &str,
    given: IpAddr,
    addresses: &[IpAddr],
    notices: &mut Vec<String>,
) -> Result<IpAddr, ConfigError> {
    if addresses.is_empty() {
        return Err(ConfigError::InterfaceWithoutAddress(interface.into()));
    }
    if !given.is_unspecified() {
        let found = addresses.contains(&given).then_some(given);
        return found.ok_or_else(|| ConfigError::NotOnInterface { interface: interface.into(), ip: given });
    }
    let usable = addresses.iter().find(|ip| !is_link_local(ip));
    let ip = *usable.ok_or_else(|| ConfigError::InterfaceWithoutAddress(interface.into()))?;
    notices.push(format!("Using interface '{interface}' address '{ip}'"));
    Ok(ip)
}

const fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn syslog_facility(layer: &Layer) -> Result<Option<u8>, ConfigError> {
    if !layer.enable_syslog {
        return Ok(None);
    }
    let number = log::syslog_facility(&layer.syslog_facility);
    number.map(Some).ok_or_else(|| ConfigError::SyslogFacility(layer.syslog_facility.clone()))
}

fn profile(name: &str) -> Result<Profile, ConfigError> {
    let known = [Profile::Lan, Profile::Wan, Profile::Local].into_iter().find(|profile| profile.name() == name);
    known.ok_or_else(|| ConfigError::Profile(name.into()))
}

fn mdns(layer: &Layer) -> Option<Mdns> {
    let mdns = &layer.mdns;
    let interface = some(&mdns.interface).or_else(|| some(&layer.interface));
    let cluster = some(&layer.discover)?;
    Some(Mdns { cluster, interface, ipv4: !mdns.disable_ipv4, ipv6: !mdns.disable_ipv6 })
}

/// After how long a handler is ended; `None` for never.
pub(crate) fn handler_timeout(layer: &Layer) -> Option<Duration> {
    u64::try_from(layer.handler_timeout).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
}

fn positive(key: &'static str, nanos: i64) -> Result<Duration, ConfigError> {
    let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos > 0);
    nanos.map(Duration::from_nanos).ok_or(ConfigError::NotPositive(key))
}

fn limit(key: &'static str, bytes: i64) -> Result<u32, ConfigError> {
    let bytes = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0).ok_or(ConfigError::NotPositive(key))?;
    Ok(u32::try_from(bytes).unwrap_or(u32::MAX))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn resolve(args: &[&str]) -> Result<(Config, Vec<String>), ConfigError> {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let mut draft = Draft::read(&args).expect("is a draft");
        // The test's own interface, whatever this host has.
        if draft.layer.node_name == "with-interface" {
            draft.layer.interface = "eth0".into();
        }
        Config::resolve_with(draft, |_| {
            ["169.254.0.1", "10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().expect("is an IP")).into()
        })
    }

    fn error(args: &[&str]) -> String {
        resolve(args).expect_err("is refused").to_string()
    }

    #[test]
    fn the_defaults_are_hashicorps() {
        let (config, notices) = resolve(&[]).expect("is valid");
        assert_eq!(notices, Vec::<String>::new());
        assert_eq!(config.bind.to_string(), "0.0.0.0:7946");
        assert_eq!((config.rpc_addr.as_str(), config.protocol, config.profile), ("127.0.0.1:7373", 5, Profile::Lan));
        assert_eq!((config.retry_interval, config.retry_attempts_max), (Duration::from_secs(30), 0));
        assert_eq!(config.broadcast_timeout, Duration::from_secs(5));
        assert_eq!(config.reconnect_timeout, Duration::from_secs(24 * 3600));
        assert_eq!(config.size_limits.user_event_bytes_max, 512);
        assert_eq!((config.log_level, config.syslog_facility), (Level::Info, None));
        assert!(config.compression && config.mdns.is_none() && !config.node_name.is_empty());
    }

    #[test]
    fn mistakes_are_told_as_by_hashicorps_agent() {
        assert_eq!(
            error(&["-log-level=crit"]),
            "Invalid log level: CRIT. Valid log levels are: [TRACE DEBUG INFO WARN ERR]"
        );
        assert_eq!(error(&["-bind=a:b:c"]), "Invalid bind address: address a:b:c: too many colons in address");
        assert_eq!(
            error(&["-advertise=bad:::x"]),
            "Invalid advertise address: address bad:::x: too many colons in address"
        );
        assert_eq!(error(&["-encrypt=!!!"]), "Invalid encryption key: illegal base64 data at input byte 0");
        assert_eq!(error(&["-profile=LAN"]), "Unknown profile: LAN");
    }

    #[test]
    fn an_interface_gives_its_first_usable_address_or_must_have_the_given_one() {
        let (config, notices) = resolve(&["-node=with-interface"]).expect("is valid");
        assert_eq!(config.bind.to_string(), "10.0.0.1:7946");
        assert_eq!(notices, ["Using interface 'eth0' address '10.0.0.1'"]);
        let (config, notices) = resolve(&["-node=with-interface", "-bind=10.0.0.2:80"]).expect("is valid");
        assert_eq!((config.bind.to_string().as_str(), notices.len()), ("10.0.0.2:80", 0));
        assert_eq!(
            error(&["-node=with-interface", "-bind=10.0.0.20:80"]),
            "Interface 'eth0' has no '10.0.0.20' address"
        );
    }

    #[test]
    fn the_protocol_keeps_its_lowest_8_bits() {
        assert_eq!(resolve(&["-protocol=256"]).expect("is valid").0.protocol, 0);
        assert_eq!(resolve(&["-protocol=-3"]).expect("is valid").0.protocol, 5);
    }

    #[test]
    fn base64_is_read_as_in_go() {
        assert_eq!(decode_base64("AQID"), Ok(vec![1, 2, 3]));
        assert_eq!(decode_base64("AQ\nID\r\n"), Ok(vec![1, 2, 3]));
        assert_eq!(decode_base64("AR=="), Ok(vec![1]), "the last bits do not count");
        assert_eq!(decode_base64("!!!"), Err(0));
        assert_eq!(decode_base64("zzz"), Err(0));
        assert_eq!(decode_base64("AAAAA"), Err(4));
        assert_eq!(decode_base64("AAAA!AAA"), Err(4));
    }
}
