//! The configuration that the agent runs on.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine};
use serf_tokio::CodecChoice;
use serf_tokio::serf_proto::ConfigError as OptionsError;
use serf_tokio::serf_runtime::net;
use thiserror::Error;

use super::address::{self, AddressError};
use super::draft::Draft;
use super::row::{Bound, Value};
use super::settings::Settings;
use crate::handler::EventHandler;
use crate::log::{self, Format, Level};

/// The configuration for a start, checked as far as is possible without starting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The settings of all sources. The other fields are derived from them; the rest is used directly.
    pub settings: Settings,
    /// The address that receives gossip. With an unspecified IP, the host's first private address is advertised.
    pub bind: SocketAddr,
    /// The address announced to other members, if it differs.
    pub advertise: Option<SocketAddr>,
    /// The profile of intervals and timeouts.
    pub profile: Profile,
    /// The Serf protocol version; its range is checked when the node is created.
    pub protocol: u8,
    /// The codec of gossip.
    pub codec: CodecChoice,
    /// The encryption key for gossip; its length is checked when the node is created.
    pub encrypt_key: Option<Vec<u8>>,
    /// The scripts to run.
    pub event_handlers: Vec<EventHandler>,
    /// The lowest level that is logged.
    pub log_level: Level,
    /// The format of the log.
    pub log_format: Format,
    /// The number of the syslog facility, `None` without syslog.
    pub syslog_facility: Option<u8>,
    /// Limits on the size of messages.
    pub size_limits: SizeLimits,
    /// Discovery by mDNS.
    pub mdns: Option<Mdns>,
}

/// Parameters of mDNS discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mdns {
    /// The name of the cluster.
    pub cluster: String,
    /// The interface to use, all when `None`.
    pub interface: Option<String>,
    /// Whether to use IPv4.
    pub ipv4: bool,
    /// Whether to use IPv6.
    pub ipv6: bool,
}

/// Limits on the size of messages, in bytes as encoded.
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

/// A set of intervals and timeouts for a kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A local network.
    Lan,
    /// The internet.
    Wan,
    /// One host.
    Local,
}

impl SizeLimits {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            user_event_bytes_max: count(settings.user_event_size_limit),
            query_bytes_max: count(settings.query_size_limit),
            query_response_bytes_max: count(settings.query_response_size_limit),
        }
    }
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

/// Why the configuration is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Unknown level, in upper case.
    #[error("Invalid log level: {0}. Valid log levels are: [TRACE DEBUG INFO WARN ERR]")]
    LogLevel(String),
    /// Unknown format.
    #[error("Invalid log format: {0}. Valid log formats are: [text json]")]
    LogFormat(String),
    /// Unknown facility.
    #[error("Syslog setup failed: invalid syslog facility: {0}")]
    SyslogFacility(String),
    /// The address to bind is invalid.
    #[error("Invalid bind address: {0}")]
    Bind(AddressError),
    /// The address to advertise is invalid.
    #[error("Invalid advertise address: {0}")]
    Advertise(AddressError),
    /// The interface has no address.
    #[error("Interface '{0}' has no addresses")]
    InterfaceWithoutAddress(String),
    /// The interface does not have this address.
    #[error("Interface '{interface}' has no '{ip}' address")]
    NotOnInterface {
        /// The interface.
        interface: String,
        /// The address to bind.
        ip: IpAddr,
    },
    /// The key is not base64.
    #[error("Invalid encryption key: illegal base64 data at input byte {offset}")]
    Key {
        /// The offset of the error in the key.
        offset: usize,
    },
    /// Unknown profile.
    #[error("Unknown profile: {0}")]
    Profile(String),
    /// Unknown codec.
    #[error("Unknown codec: {0}. Valid codecs are: [auto native hashicorp]")]
    Codec(String),
    /// A duration or limit must be above zero.
    #[error("Invalid {0}: must be above zero")]
    NotPositive(&'static str),
    /// A duration or limit must not be below zero.
    #[error("Invalid {key}: {value} is below zero; leave it out, or write 0, for the default")]
    Negative {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// Beacons at this interval would occupy the query slots and the gossip of the cluster.
    #[error("Invalid beacon_interval: {} is below {BEACON_INTERVAL_LEAST:?}; raise it, or write 0 for no beacons", crate::duration::shown(*.nanos))]
    BeaconInterval {
        /// The value, in nanoseconds.
        nanos: i64,
    },
    /// A text of `cidrs_allowed` is not a network.
    #[error("Invalid cidrs_allowed: {} is not a network; write it as 10.0.0.0/8, or 10.0.0.7/32 for one address", quoted(.0))]
    Network(String),
    /// The values contradict each other, or are beyond a bound of the protocol.
    #[error("Invalid {}", fault(.0))]
    Protocol(OptionsError),
}

fn quoted(text: &str) -> String {
    crate::quote::quote(text.as_bytes())
}

/// The option, what is wrong with its value and what to do. The names of options are those of their keys.
fn fault(error: &OptionsError) -> String {
    match error {
        OptionsError::ProbeTimeout { timeout, interval } => {
            format!(
                "probe_timeout: {timeout:?} is not below probe_interval, {interval:?}; lower it, or raise the interval"
            )
        }
        OptionsError::TooLarge { name: "label", value, limit } => {
            format!("label: it has {value} bytes, and the limit is {limit}; shorten it")
        }
        OptionsError::TooLarge { name, value, limit } => {
            format!("{name}: {value} is above the limit, {limit}; lower it")
        }
        OptionsError::PacketBytes { value, least, most } => format!(
            "packet_bytes: {value} is not from {least} to {most}; choose what the path carries whole, or shorten the label"
        ),
        error => error.to_string(),
    }
}

impl Config {
    /// Resolves a draft with the network interfaces of this host. The second value holds notes for the operator.
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
        let Draft { settings, handlers, .. } = draft;
        let log_level = log_level(&settings.log_level)?;
        let log_format = Format::parse(&settings.log_format);
        let log_format = log_format.ok_or_else(|| ConfigError::LogFormat(settings.log_format.clone()))?;
        let syslog_facility = syslog_facility(&settings)?;
        let mut notices = Vec::new();
        let mut bind = address::resolve_template(&settings.bind, net::addresses).map_err(ConfigError::Bind)?;
        let interface = &settings.interface;
        if !interface.is_empty() {
            bind.set_ip(interface_ip(interface, bind.ip(), &addresses(interface), &mut notices)?);
        }
        let advertise = given(&settings.advertise).map(|text| address::resolve_template(text, net::addresses));
        let encrypt_key = given(&settings.encrypt_key).map(decode_base64);
        let config = Self {
            bind,
            advertise: advertise.transpose().map_err(ConfigError::Advertise)?,
            encrypt_key: encrypt_key.transpose().map_err(|offset| ConfigError::Key { offset })?,
            profile: profile(&settings.profile)?,
            codec: codec(&settings.codec)?,
            // As in HashiCorp's agent, only the lowest 8 bits count.
            protocol: settings.protocol.to_le_bytes()[0],
            event_handlers: handlers,
            log_level,
            log_format,
            syslog_facility,
            size_limits: SizeLimits::of(&settings),
            mdns: mdns(&settings),
            settings: settings.within_protocol()?,
        };
        Ok((config, notices))
    }
}

/// Decodes padded base64 as Go does: line ends are skipped, and unused bits may be set.
///
/// # Errors
///
/// The offset of the first invalid byte.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, usize> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let text = text.replace(['\r', '\n'], "");
    LENIENT.decode(&text).map_err(|error| match error {
        DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol { offset, .. } => offset,
        // An incomplete end is reported at the start of the last group.
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len() / 4 * 4,
    })
}

/// The IP to bind on an interface: the given one, which the interface must have, or its first that is not link-local.
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

/// Parses the name of a level.
pub(crate) fn log_level(name: &str) -> Result<Level, ConfigError> {
    Level::parse(name).ok_or_else(|| ConfigError::LogLevel(name.to_uppercase()))
}

fn syslog_facility(settings: &Settings) -> Result<Option<u8>, ConfigError> {
    if !settings.enable_syslog {
        return Ok(None);
    }
    let number = log::syslog_facility(&settings.syslog_facility);
    number.map(Some).ok_or_else(|| ConfigError::SyslogFacility(settings.syslog_facility.clone()))
}

pub(super) fn profile(name: &str) -> Result<Profile, ConfigError> {
    let known = [Profile::Lan, Profile::Wan, Profile::Local].into_iter().find(|profile| profile.name() == name);
    known.ok_or_else(|| ConfigError::Profile(name.into()))
}

pub(super) fn codec(name: &str) -> Result<CodecChoice, ConfigError> {
    name.parse().map_err(|_| ConfigError::Codec(name.into()))
}

fn mdns(settings: &Settings) -> Option<Mdns> {
    let cluster = given(&settings.discover)?.to_owned();
    let interface = given(&settings.mdns_interface).or_else(|| given(&settings.interface)).map(str::to_owned);
    Some(Mdns { cluster, interface, ipv4: !settings.mdns_disable_ipv4, ipv6: !settings.mdns_disable_ipv6 })
}

/// Refuses numbers and durations that must be above zero, or not below it, and are not.
pub(super) fn within_bounds(mut settings: Settings) -> Result<Settings, ConfigError> {
    for (setting, value) in settings.values() {
        match value {
            Value::Int(number) | Value::Nanos(number) if setting.bound == Bound::Positive && *number <= 0 => {
                return Err(ConfigError::NotPositive(setting.key));
            }
            Value::Int(number) if matches!(setting.bound, Bound::Profile | Bound::Natural) && *number < 0 => {
                return Err(ConfigError::Negative { key: setting.key, value: number.to_string() });
            }
            Value::Nanos(nanos) if setting.bound == Bound::Profile && *nanos < 0 => {
                return Err(ConfigError::Negative { key: setting.key, value: crate::duration::shown(*nanos) });
            }
            _ => {}
        }
    }
    let nanos = settings.beacon_interval;
    if nanos > 0 && duration(nanos) < BEACON_INTERVAL_LEAST {
        return Err(ConfigError::BeaconInterval { nanos });
    }
    Ok(settings)
}

/// A text setting; `None` when it is empty, which means unset.
pub(crate) fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A duration setting; a negative value becomes zero.
pub(crate) fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// A number setting, clamped to the range of the type.
pub(crate) fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// Least interval of beacons: each is a broadcast, and a datagram of every member.
const BEACON_INTERVAL_LEAST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn resolve(args: &[&str]) -> Result<(Config, Vec<String>), ConfigError> {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let mut draft = Draft::read(&args).expect("is a draft");
        // An interface of this test, independent of the host.
        if draft.settings.node_name == "with-interface" {
            draft.settings.interface = "eth0".into();
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
        let settings = &config.settings;
        assert_eq!((settings.rpc_addr.as_str(), config.protocol, config.profile), ("127.0.0.1:7373", 5, Profile::Lan));
        assert_eq!((duration(settings.retry_interval), settings.retry_max_attempts), (Duration::from_secs(30), 0));
        assert_eq!(duration(settings.broadcast_timeout), Duration::from_secs(5));
        assert_eq!(duration(settings.reconnect_timeout), Duration::from_secs(24 * 3600));
        assert_eq!(config.size_limits.user_event_bytes_max, 512);
        assert_eq!((config.log_level, config.syslog_facility), (Level::Info, None));
        assert!(settings.enable_compression != Some(false) && config.mdns.is_none() && !settings.node_name.is_empty());
    }

    #[test]
    fn mistakes_are_reported_as_by_hashicorps_agent() {
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
    fn the_codec_is_hashicorps_unless_another_is_named() {
        for (args, codec) in [
            (&[][..], CodecChoice::HashiCorp),
            (&["-codec="], CodecChoice::HashiCorp),
            (&["-codec=hashicorp"], CodecChoice::HashiCorp),
            (&["-codec=auto"], CodecChoice::Auto),
            (&["-codec=native"], CodecChoice::Native),
        ] {
            assert_eq!(resolve(args).expect("is valid").0.codec, codec, "{args:?}");
        }
        assert_eq!(error(&["-codec=Auto"]), "Unknown codec: Auto. Valid codecs are: [auto native hashicorp]");
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
    fn what_must_be_above_zero_is_refused_by_its_key() {
        for (setting, value) in Settings::defaults().values() {
            let mut draft = Draft::read(&[]).expect("is a draft");
            match (value, draft.settings.value(setting.key)) {
                (Value::Int(_) | Value::Nanos(_), Some((_, Value::Int(number) | Value::Nanos(number)))) => *number = -1,
                _ => continue,
            }
            let is_count = matches!(draft.settings.value(setting.key), Some((_, Value::Int(_))));
            let result = Config::resolve_with(draft, |_| Vec::new()).map(|_| ()).map_err(|error| error.to_string());
            let expected = match setting.bound {
                Bound::Positive => Err(format!("Invalid {}: must be above zero", setting.key)),
                Bound::Profile | Bound::Natural => {
                    let value = if is_count { "-1" } else { "-1ns" };
                    Err(ConfigError::Negative { key: setting.key, value: value.into() }.to_string())
                }
                Bound::Any => Ok(()),
            };
            assert_eq!(result, expected, "{}", setting.key);
        }
        assert_eq!((count(-1), count(i64::MAX), duration(-1)), (0, u32::MAX, Duration::ZERO));
    }

    #[test]
    fn a_beacon_interval_below_a_second_is_refused() {
        for interval in ["1ns", "999ms"] {
            let refused = error(&[&format!("-beacon-interval={interval}")]);
            let expected =
                format!("Invalid beacon_interval: {interval} is below 1s; raise it, or write 0 for no beacons");
            assert_eq!(refused, expected);
        }
        for interval in ["0s", "1s", "1m"] {
            assert!(resolve(&[&format!("-beacon-interval={interval}")]).is_ok(), "{interval}");
        }
    }

    #[test]
    fn an_error_about_a_bound_has_the_value_the_bound_and_what_to_do() {
        let error = |change: fn(&mut Settings)| {
            let mut draft = Draft::read(&[]).expect("is a draft");
            change(&mut draft.settings);
            Config::resolve_with(draft, |_| Vec::new()).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(error(|settings| settings.label = "l".repeat(198)), Ok(()));
        assert_eq!(
            error(|settings| settings.label = "l".repeat(199)),
            Err("Invalid packet_bytes: 1400 is not from 1401 to 65507; choose what the path carries whole, or shorten the \
                 label"
                .into())
        );
        assert_eq!(
            error(|settings| settings.label = "l".repeat(256)),
            Err("Invalid label: it has 256 bytes, and the limit is 255; shorten it".into())
        );
        assert_eq!(
            error(|settings| settings.probe_timeout = 1_000_000_000),
            Err("Invalid probe_timeout: 1s is not below probe_interval, 1s; lower it, or raise the interval".into())
        );
        assert_eq!(error(|settings| settings.gossip_nodes = 32_768), Ok(()));
        assert_eq!(
            error(|settings| settings.gossip_nodes = 32_769),
            Err("Invalid gossip_nodes: 32769 is above the limit, 32768; lower it".into())
        );
        assert_eq!(
            error(|settings| settings.packet_bytes = 1199),
            Err("Invalid packet_bytes: 1199 is not from 1200 to 65507; choose what the path carries whole, or shorten the label"
                .into())
        );
        assert_eq!(
            error(|settings| settings.cidrs_allowed = vec!["10.0.0.7".into()]),
            Err(
                "Invalid cidrs_allowed: \"10.0.0.7\" is not a network; write it as 10.0.0.0/8, or 10.0.0.7/32 for one \
                 address"
                    .into()
            )
        );
        // Refused by the node when it starts, as by HashiCorp's agent.
        assert_eq!(error(|settings| settings.user_event_size_limit = 9217), Ok(()));
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
