//! Settings that were checked as far as a reload needs.

use core::fmt;
use std::ffi::OsString;

use super::environment::{self, EnvironmentError};
use super::flags::{Flags, FlagsError};
use super::layer::Layer;
use super::source::{self, SourceError};
use crate::handler::{EventHandler, HandlerError};

/// All sources put together and checked, with what an operator should know.
///
/// A reload applies of this: the level, the handlers and their timeout, the tags, the addresses to join, and the two settings
/// about signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The settings, defaults filled in.
    pub layer: Layer,
    /// The event handlers.
    pub handlers: Vec<EventHandler>,
    /// Warnings to be printed.
    pub warnings: Vec<&'static str>,
}

/// Why the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DraftError {
    /// The flags cannot.
    Flags(FlagsError),
    /// A file cannot.
    Source(SourceError),
    /// The environment cannot.
    Environment(EnvironmentError),
    /// A handler cannot.
    Handler(HandlerError),
    /// There is no such network interface.
    Interface,
    /// There is no such network interface for mDNS.
    MdnsInterface,
    /// An interface for mDNS without a cluster to discover.
    MdnsWithoutDiscover,
    /// mDNS over neither IPv4 nor IPv6.
    MdnsWithoutProtocol,
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(error) => error.fmt(f),
            Self::Source(error) => error.fmt(f),
            Self::Environment(error) => error.fmt(f),
            Self::Handler(error) => error.fmt(f),
            Self::Interface => write!(f, "Invalid network interface: {NO_INTERFACE}"),
            Self::MdnsInterface => write!(f, "Invalid mDNS network interface: {NO_INTERFACE}"),
            Self::MdnsWithoutDiscover => write!(f, "mDNS interface specified without enabling mDNS discovery"),
            Self::MdnsWithoutProtocol => write!(f, "Invalid mDNS configuration: both IPv4 and IPv6 are disabled"),
        }
    }
}

impl core::error::Error for DraftError {}

impl Draft {
    /// Reads flags, the files that they name and the environment, and checks all (`readConfig` in `command.go`).
    ///
    /// # Errors
    ///
    /// See [`DraftError`].
    pub fn read(args: &[OsString]) -> Result<Self, DraftError> {
        let flags = Flags::parse(args).map_err(DraftError::Flags)?;
        let mut layer = defaults();
        layer.merge(source::read(&flags.paths).map_err(DraftError::Source)?);
        layer.merge(environment::read(std::env::vars_os()).map_err(DraftError::Environment)?);
        layer.merge(flags.layer);
        if layer.node_name.is_empty() {
            layer.node_name = gethostname::gethostname().to_string_lossy().into_owned();
        }
        Self::check(layer, interface_exists)
    }

    /// Checks settings. `interface_exists` says whether the host has a network interface of that name.
    ///
    /// # Errors
    ///
    /// See [`DraftError`].
    pub fn check(mut layer: Layer, interface_exists: impl Fn(&str) -> bool) -> Result<Self, DraftError> {
        let handlers = layer.event_handlers.iter().map(|text| EventHandler::parse(text));
        let handlers = handlers.collect::<Result<Vec<_>, _>>().map_err(DraftError::Handler)?.concat();
        if !layer.interface.is_empty() && !interface_exists(&layer.interface) {
            return Err(DraftError::Interface);
        }
        check_mdns(&layer, interface_exists)?;
        let mut warnings = Vec::new();
        if !layer.role.is_empty() {
            warnings.push("Deprecation warning: 'Role' has been replaced with 'Tags'");
            layer.tags.insert("role".into(), layer.role.clone());
        }
        if layer.retry_interval < SECOND_NS {
            warnings.push("Warning: 'RetryInterval' is too low. Setting to 1s");
            layer.retry_interval = SECOND_NS;
        }
        if layer.broadcast_timeout < SECOND_NS {
            warnings.push("Warning: 'BroadcastTimeout' is too low. Setting to 1s");
            layer.broadcast_timeout = SECOND_NS;
        }
        if layer.rejoin_after_leave && layer.snapshot_path.is_empty() {
            warnings.push("Warning: 'RejoinAfterLeave' enabled without snapshot file");
        }
        Ok(Self { layer, handlers, warnings })
    }
}

fn check_mdns(layer: &Layer, interface_exists: impl Fn(&str) -> bool) -> Result<(), DraftError> {
    let mdns = &layer.mdns;
    if mdns.interface.is_empty() {
        return Ok(());
    }
    if layer.discover.is_empty() {
        return Err(DraftError::MdnsWithoutDiscover);
    }
    if !interface_exists(&mdns.interface) {
        return Err(DraftError::MdnsInterface);
    }
    if mdns.disable_ipv4 && mdns.disable_ipv6 {
        return Err(DraftError::MdnsWithoutProtocol);
    }
    Ok(())
}

/// What holds where nobody says otherwise (`DefaultConfig` in `config.go`).
fn defaults() -> Layer {
    Layer {
        bind: "0.0.0.0".into(),
        log_level: "INFO".into(),
        log_format: "text".into(),
        rpc_addr: crate::rpc::DEFAULT_ADDRESS.into(),
        protocol: 5,
        profile: "lan".into(),
        syslog_facility: "LOCAL0".into(),
        query_response_size_limit: 1024,
        query_size_limit: 1024,
        user_event_size_limit: 512,
        reconnect_interval: 30 * SECOND_NS,
        reconnect_timeout: 24 * 3600 * SECOND_NS,
        tombstone_timeout: 24 * 3600 * SECOND_NS,
        retry_interval: 30 * SECOND_NS,
        broadcast_timeout: 5 * SECOND_NS,
        ..Layer::default()
    }
}

/// Also finds interfaces without an address, where the system has a directory of them.
fn interface_exists(name: &str) -> bool {
    let is_name = !name.contains('/') && name != "." && name != "..";
    let listed = || if_addrs::get_if_addrs().is_ok_and(|all| all.iter().any(|interface| interface.name == name));
    is_name && (std::path::Path::new("/sys/class/net").join(name).exists() || listed())
}

/// Go's words.
const NO_INTERFACE: &str = "route ip+net: no such network interface";

const SECOND_NS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(layer: Layer) -> Result<Draft, DraftError> {
        let mut whole = defaults();
        whole.merge(layer);
        Draft::check(whole, |name| name == "lo")
    }

    fn error(layer: Layer) -> String {
        checked(layer).expect_err("is refused").to_string()
    }

    #[test]
    fn the_defaults_have_no_warnings() {
        assert_eq!(checked(Layer::default()).map(|draft| draft.warnings), Ok(vec![]));
    }

    #[test]
    fn what_is_too_low_is_raised_with_a_warning() {
        let draft = checked(Layer {
            retry_interval: 1,
            broadcast_timeout: -1,
            rejoin_after_leave: true,
            role: "web".into(),
            ..Layer::default()
        })
        .expect("is valid");
        assert_eq!(
            draft.warnings,
            [
                "Deprecation warning: 'Role' has been replaced with 'Tags'",
                "Warning: 'RetryInterval' is too low. Setting to 1s",
                "Warning: 'BroadcastTimeout' is too low. Setting to 1s",
                "Warning: 'RejoinAfterLeave' enabled without snapshot file",
            ]
        );
        assert_eq!((draft.layer.retry_interval, draft.layer.broadcast_timeout), (SECOND_NS, SECOND_NS));
        assert_eq!(crate::tags::join(&draft.layer.tags), "role=web");
    }

    #[test]
    fn mistakes_are_told_as_by_hashicorps_agent() {
        let interface = |name: &str| Layer { interface: name.into(), ..Layer::default() };
        assert_eq!(error(interface("nosuch0")), "Invalid network interface: route ip+net: no such network interface");
        assert!(checked(interface("lo")).is_ok());
        assert_eq!(
            error(Layer { event_handlers: vec!["a.sh".into(), "bogus=foo.sh".into()], ..Layer::default() }),
            "Invalid event script: Event 'bogus' invoking 'foo.sh'"
        );
        let mdns = |interface: &str, discover: &str, off| Layer {
            discover: discover.into(),
            mdns: super::super::MdnsLayer { interface: interface.into(), disable_ipv4: off, disable_ipv6: off },
            ..Layer::default()
        };
        assert_eq!(error(mdns("lo", "", false)), "mDNS interface specified without enabling mDNS discovery");
        assert_eq!(
            error(mdns("x", "c", false)),
            "Invalid mDNS network interface: route ip+net: no such network interface"
        );
        assert_eq!(error(mdns("lo", "c", true)), "Invalid mDNS configuration: both IPv4 and IPv6 are disabled");
        assert!(checked(mdns("", "", true)).is_ok(), "only checked with an interface");
    }
}
