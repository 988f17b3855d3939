//! Settings, checked as far as a reload needs.

use std::ffi::OsString;

use thiserror::Error;

use super::environment::{self, EnvironmentError};
use super::flags::{Flags, FlagsError};
use super::origin::{Origin, Origins};
use super::seed::{Seed, SeedError};
use super::settings::{SECOND_NS, Settings};
use super::source::{self, SourceError};
use crate::handler::{EventHandler, HandlerError};

/// The merged and checked settings of all sources, with notes for the operator.
///
/// A reload applies: the level, the handlers and their timeout, the tags, the addresses to join, and the two settings
/// about signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The settings, with defaults filled in.
    pub settings: Settings,
    /// The event handlers.
    pub handlers: Vec<EventHandler>,
    /// Warnings to print.
    pub warnings: Vec<&'static str>,
    /// The environment variables that were used.
    pub variables: Vec<String>,
    /// Whether to check the settings only, without a start.
    pub check: bool,
    /// Arguments that are ignored.
    pub ignored: Vec<OsString>,
}

/// Why the settings are invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DraftError {
    /// The flags are invalid.
    #[error(transparent)]
    Flags(#[from] FlagsError),
    /// A file is invalid.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An environment variable is invalid.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A handler is invalid.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// A text of `start_join` or `retry_join` is invalid.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The network interface does not exist.
    #[error("Invalid network interface: {NO_INTERFACE}")]
    Interface,
    /// The network interface for mDNS does not exist.
    #[error("Invalid mDNS network interface: {NO_INTERFACE}")]
    MdnsInterface,
    /// An interface for mDNS is set, but no cluster to discover.
    #[error("mDNS interface specified without enabling mDNS discovery")]
    MdnsWithoutDiscover,
    /// mDNS is disabled for both IPv4 and IPv6.
    #[error("Invalid mDNS configuration: both IPv4 and IPv6 are disabled")]
    MdnsWithoutProtocol,
}

impl Draft {
    /// Reads flags, the files that they name and the environment, and checks all (`readConfig` in `command.go`).
    ///
    /// # Errors
    ///
    /// See [`DraftError`].
    pub fn read(args: &[OsString]) -> Result<Self, DraftError> {
        Self::read_in(args, std::env::vars_os())
    }

    /// The same with the given environment variables.
    fn read_in(args: &[OsString], variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, DraftError> {
        Self::trace(Flags::parse(args)?, variables).map(|(draft, _)| draft)
    }

    /// Reads the files that flags name and the environment, and checks all. Returns the sources of the settings, too.
    ///
    /// # Errors
    ///
    /// See [`DraftError`].
    pub(crate) fn trace(
        flags: Flags,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(Self, Origins), DraftError> {
        let (mut settings, mut origins) = (Settings::defaults(), Origins::default());
        for (path, layer) in source::layers(&flags.paths)? {
            origins.add(&Origin::File(path.display().to_string()), &layer);
            settings.merge(layer);
        }
        let (variables, mut of_variables): (Vec<_>, _) = (variables.collect(), Settings::default());
        let is_given = |key: &str| flags.given.contains(key);
        environment::apply(&mut of_variables, variables.iter().cloned(), is_given)?;
        let variables = environment::apply(&mut settings, variables.into_iter(), is_given)?;
        origins.add_variables(&variables, of_variables);
        origins.add(&Origin::Flag, &flags.settings);
        settings.merge(flags.settings);
        if settings.node_name.is_empty() {
            settings.node_name = gethostname::gethostname().to_string_lossy().into_owned();
            origins.set("node_name", Origin::Host);
        }
        let Flags { check, ignored, .. } = flags;
        Ok((Self { variables, check, ignored, ..Self::check(settings, interface_exists)? }, origins))
    }

    /// Checks settings. `interface_exists` says whether the host has a network interface of that name.
    ///
    /// # Errors
    ///
    /// See [`DraftError`].
    pub fn check(mut settings: Settings, interface_exists: impl Fn(&str) -> bool) -> Result<Self, DraftError> {
        let handlers = settings.event_handlers.iter().map(|text| EventHandler::parse(text));
        let handlers = handlers.collect::<Result<Vec<_>, _>>()?.concat();
        if !settings.interface.is_empty() && !interface_exists(&settings.interface) {
            return Err(DraftError::Interface);
        }
        check_mdns(&settings, interface_exists)?;
        settings.start_join.iter().chain(&settings.retry_join).try_for_each(|text| Seed::parse(text).map(drop))?;
        let mut warnings = Vec::new();
        if !settings.role.is_empty() {
            warnings.push("Deprecation warning: 'Role' has been replaced with 'Tags'");
        }
        if settings.retry_interval < SECOND_NS {
            warnings.push("Warning: 'RetryInterval' is too low. Setting to 1s");
            settings.retry_interval = SECOND_NS;
        }
        if settings.broadcast_timeout < SECOND_NS {
            warnings.push("Warning: 'BroadcastTimeout' is too low. Setting to 1s");
            settings.broadcast_timeout = SECOND_NS;
        }
        if settings.rejoin_after_leave && settings.snapshot_path.is_empty() {
            warnings.push("Warning: 'RejoinAfterLeave' enabled without snapshot file");
        }
        Ok(Self { settings, handlers, warnings, variables: Vec::new(), check: false, ignored: Vec::new() })
    }
}

fn check_mdns(settings: &Settings, interface_exists: impl Fn(&str) -> bool) -> Result<(), DraftError> {
    if settings.mdns_interface.is_empty() {
        return Ok(());
    }
    if settings.discover.is_empty() {
        return Err(DraftError::MdnsWithoutDiscover);
    }
    if !interface_exists(&settings.mdns_interface) {
        return Err(DraftError::MdnsInterface);
    }
    if settings.mdns_disable_ipv4 && settings.mdns_disable_ipv6 {
        return Err(DraftError::MdnsWithoutProtocol);
    }
    Ok(())
}

/// Whether the interface exists. Also finds interfaces without an address, on systems that list them in a directory.
pub(super) fn interface_exists(name: &str) -> bool {
    let is_name = !name.contains('/') && name != "." && name != "..";
    let listed = || if_addrs::get_if_addrs().is_ok_and(|all| all.iter().any(|interface| interface.name == name));
    is_name && (std::path::Path::new("/sys/class/net").join(name).exists() || listed())
}

/// Go's message.
const NO_INTERFACE: &str = "route ip+net: no such network interface";

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(settings: Settings) -> Result<Draft, DraftError> {
        let mut whole = Settings::defaults();
        whole.merge(settings);
        Draft::check(whole, |name| name == "lo")
    }

    fn error(settings: Settings) -> String {
        checked(settings).expect_err("is refused").to_string()
    }

    fn read(args: &[&str], variables: &[(&str, &str)]) -> Result<Draft, DraftError> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        Draft::read_in(&args, variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn flags_win_over_every_variable_whatever_it_says() {
        for (flag, variable) in [
            ("-advertise=1.2.3.4", "SERF_ADVERTISE"),
            ("-bind=1.2.3.4", "SERF_BIND"),
            ("-bind=", "SERF_BIND"),
            ("-broadcast-timeout=9s", "SERF_BROADCAST_TIMEOUT"),
            ("-disable-compression", "SERF_ENABLE_COMPRESSION"),
            ("-disable-compression=false", "SERF_ENABLE_COMPRESSION"),
            ("-discover=c", "SERF_DISCOVER"),
            ("-encrypt=k", "SERF_ENCRYPT_KEY"),
            ("-handler-timeout=0s", "SERF_HANDLER_TIMEOUT"),
            ("-iface=lo", "SERF_INTERFACE"),
            ("-join=a", "SERF_START_JOIN"),
            ("-keyring-file=f", "SERF_KEYRING_FILE"),
            ("-log-format=json", "SERF_LOG_FORMAT"),
            ("-log-level=warn", "SERF_LOG_LEVEL"),
            ("-metrics-addr=a", "SERF_METRICS_ADDR"),
            ("-node=n", "SERF_NODE_NAME"),
            ("-parallel-handlers=false", "SERF_PARALLEL_HANDLERS"),
            ("-profile=wan", "SERF_PROFILE"),
            ("-protocol=4", "SERF_PROTOCOL"),
            ("-rejoin=false", "SERF_REJOIN_AFTER_LEAVE"),
            ("-replay=false", "SERF_REPLAY_ON_JOIN"),
            ("-retry-interval=30s", "SERF_RETRY_INTERVAL"),
            ("-retry-join=a", "SERF_RETRY_JOIN"),
            ("-retry-max=0", "SERF_RETRY_MAX_ATTEMPTS"),
            ("-role=lb", "SERF_ROLE"),
            ("-snapshot=", "SERF_SNAPSHOT_PATH"),
            ("-syslog=false", "SERF_ENABLE_SYSLOG"),
            ("-tag=role=lb", "SERF_ROLE"),
            ("-tag=role=lb", "SERF_TAGS"),
            ("-tags-file=f", "SERF_TAGS_FILE"),
        ] {
            // Values that wrappers set, values that no setting accepts, and another valid value.
            for value in ["-flag value", "true", "false", "3", "30", "7s", "role=base", "a"] {
                let settings = |variables: &[(&str, &str)]| read(&[flag], variables).map(|draft| draft.settings);
                assert_eq!(settings(&[(variable, value)]), settings(&[]), "{flag} {variable}={value}");
            }
        }
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_an_error_unless_a_flag_gives_the_same() {
        let error = |args, variable| read(args, &[variable]).expect_err("is refused").to_string();
        let interval = ("SERF_RETRY_INTERVAL", "30");
        let why = "Error reading SERF_RETRY_INTERVAL from the environment: time: missing unit in duration \"30\"";
        assert_eq!(error(&[], interval), why);
        assert_eq!(error(&["-retry-max=3", "-tag=a=b"], interval), why);
        assert!(read(&["-retry-interval=30s"], &[interval]).is_ok());
        let tags = ("SERF_TAGS", "-tag dc=eu");
        assert_eq!(
            error(&["-retry-max=3"], tags),
            "Error reading SERF_TAGS from the environment: it looks like a flag"
        );
    }

    #[test]
    fn what_was_taken_from_the_environment_is_known_by_its_names() {
        let variables =
            [("SERF_TAGS", "a=1"), ("SERF_PROFILE", "wan"), ("SERF_BIND", "x"), ("SERF_ROLE", "r"), ("SERF_X", "y")];
        let draft = read(&["-bind=127.0.0.1", "-tag=b=2"], &variables).expect("is valid");
        assert_eq!(draft.variables, ["SERF_PROFILE", "SERF_TAGS"]);
        assert_eq!(crate::tags::join(&draft.settings.tags), "a=1,b=2");
        assert_eq!(draft.warnings, Vec::<&str>::new());
    }

    #[test]
    fn the_defaults_have_no_warnings() {
        assert_eq!(checked(Settings::default()).map(|draft| draft.warnings), Ok(vec![]));
    }

    #[test]
    fn what_is_too_low_is_raised_with_a_warning() {
        let draft = checked(Settings {
            retry_interval: 1,
            broadcast_timeout: -1,
            rejoin_after_leave: true,
            role: "web".into(),
            ..Settings::default()
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
        assert_eq!((draft.settings.retry_interval, draft.settings.broadcast_timeout), (SECOND_NS, SECOND_NS));
        assert_eq!(crate::tags::join(&draft.settings.tags), "role=web");
    }

    #[test]
    fn mistakes_are_reported_as_by_hashicorps_agent() {
        let interface = |name: &str| Settings { interface: name.into(), ..Settings::default() };
        assert_eq!(error(interface("nosuch0")), "Invalid network interface: route ip+net: no such network interface");
        assert!(checked(interface("lo")).is_ok());
        assert_eq!(
            error(Settings { event_handlers: vec!["a.sh".into(), "bogus=foo.sh".into()], ..Settings::default() }),
            "Invalid event script: Event 'bogus' invoking 'foo.sh'"
        );
        let mdns = |interface: &str, discover: &str, off| Settings {
            discover: discover.into(),
            mdns_interface: interface.into(),
            mdns_disable_ipv4: off,
            mdns_disable_ipv6: off,
            ..Settings::default()
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
