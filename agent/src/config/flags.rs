//! The flags of `serf agent`.

use core::cell::RefCell;
use core::fmt;
use std::collections::BTreeSet;
use std::ffi::OsString;

use super::layer::Layer;
use crate::duration::{self, DurationError};
use crate::flags::{self, FlagError, Slot};
use crate::tags::{self, TagError};

/// What the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Files and directories to read first, in the order they were given.
    pub paths: Vec<String>,
    /// The settings.
    pub layer: Layer,
    /// Whether the settings are only to be checked.
    pub check: bool,
    /// What is no flag, and means nothing.
    pub ignored: Vec<OsString>,
    /// The settings that were given, by their keys in files: also with a value that is false, zero or empty.
    pub given: BTreeSet<String>,
}

/// Why the flags cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlagsError {
    /// They cannot be read: a line for standard error, and the usage is to be shown.
    Syntax(String),
    /// A tag is none.
    Tag(TagError),
    /// A duration is none.
    Duration(DurationError),
}

impl fmt::Display for FlagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(why) => f.write_str(why),
            Self::Tag(error) => write!(f, "Error: {error}"),
            Self::Duration(error) => write!(f, "Error: {error}"),
        }
    }
}

impl core::error::Error for FlagsError {}

impl From<FlagError> for FlagsError {
    fn from(error: FlagError) -> Self {
        Self::Syntax(error.to_string())
    }
}

impl Flags {
    /// Reads the arguments of `serf agent`. What is no flag is ignored.
    ///
    /// # Errors
    ///
    /// See [`FlagsError`].
    pub fn parse(args: &[OsString]) -> Result<Self, FlagsError> {
        let mut layer = Layer::default();
        let (paths, mut tags, mut disable_compression) = (RefCell::default(), Vec::new(), false);
        let mut check = false;
        let (mut retry_interval, mut broadcast_timeout, mut handler_timeout) = Default::default();
        let mut flags = [
            ("bind", Slot::Text(&mut layer.bind)),
            ("advertise", Slot::Text(&mut layer.advertise)),
            ("iface", Slot::Text(&mut layer.interface)),
            ("check", Slot::Bool(&mut check)),
            ("config-file", Slot::Shared(&paths)),
            ("config-dir", Slot::Shared(&paths)),
            ("encrypt", Slot::Text(&mut layer.encrypt_key)),
            ("keyring-file", Slot::Text(&mut layer.keyring_file)),
            ("event-handler", Slot::Texts(&mut layer.event_handlers)),
            ("join", Slot::Texts(&mut layer.start_join)),
            ("replay", Slot::Bool(&mut layer.replay_on_join)),
            ("log-level", Slot::Text(&mut layer.log_level)),
            ("log-format", Slot::Text(&mut layer.log_format)),
            ("metrics-addr", Slot::Text(&mut layer.metrics_addr)),
            ("node", Slot::Text(&mut layer.node_name)),
            ("parallel-handlers", Slot::Bool(&mut layer.parallel_handlers)),
            ("protocol", Slot::Int(&mut layer.protocol)),
            ("role", Slot::Text(&mut layer.role)),
            ("rpc-addr", Slot::Text(&mut layer.rpc_addr)),
            ("profile", Slot::Text(&mut layer.profile)),
            ("snapshot", Slot::Text(&mut layer.snapshot_path)),
            ("tag", Slot::Texts(&mut tags)),
            ("tags-file", Slot::Text(&mut layer.tags_file)),
            ("discover", Slot::Text(&mut layer.discover)),
            ("mdns-iface", Slot::Text(&mut layer.mdns.interface)),
            ("mdns-disable-ipv4", Slot::Bool(&mut layer.mdns.disable_ipv4)),
            ("mdns-disable-ipv6", Slot::Bool(&mut layer.mdns.disable_ipv6)),
            ("retry-join", Slot::Texts(&mut layer.retry_join)),
            ("retry-max", Slot::Int(&mut layer.retry_max_attempts)),
            ("retry-interval", Slot::Text(&mut retry_interval)),
            ("rejoin", Slot::Bool(&mut layer.rejoin_after_leave)),
            ("syslog", Slot::Bool(&mut layer.enable_syslog)),
            ("broadcast-timeout", Slot::Text(&mut broadcast_timeout)),
            ("handler-timeout", Slot::Text(&mut handler_timeout)),
            ("disable-compression", Slot::Bool(&mut disable_compression)),
        ];
        let mut given = BTreeSet::new();
        let rest = flags::parse_noting(&mut flags, args, |name| _ = given.insert(key(name)))?;
        let ignored = rest.to_vec();
        layer.tags = tags::parse(&tags).map_err(FlagsError::Tag)?;
        for (text, target) in [
            (retry_interval, &mut layer.retry_interval),
            (broadcast_timeout, &mut layer.broadcast_timeout),
            (handler_timeout, &mut layer.handler_timeout),
        ] {
            if !text.is_empty() {
                *target = duration::parse(&text).map_err(FlagsError::Duration)?;
            }
        }
        if disable_compression {
            layer.enable_compression = Some(false);
        }
        Ok(Self { paths: paths.into_inner(), layer, check, ignored, given })
    }
}

/// What a flag is called in files.
fn key(flag: &str) -> String {
    let key = match flag {
        "disable-compression" => "enable_compression",
        "encrypt" => "encrypt_key",
        "event-handler" => "event_handlers",
        "iface" => "interface",
        "join" => "start_join",
        "node" => "node_name",
        "rejoin" => "rejoin_after_leave",
        "replay" => "replay_on_join",
        "retry-max" => "retry_max_attempts",
        // The role is a tag.
        "role" | "tag" => "tags",
        "snapshot" => "snapshot_path",
        "syslog" => "enable_syslog",
        _ => return flag.replace('-', "_"),
    };
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, FlagsError> {
        Flags::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn files_and_directories_are_one_list_in_order() {
        let flags = parse(&["-config-dir=b", "-config-file", "a", "-config-dir=c", "positional"]).expect("parses");
        assert_eq!(flags.paths, ["b", "a", "c"]);
    }

    #[test]
    fn every_flag_sets_a_field_of_its_own() {
        let mut seen = vec![Flags::default()];
        let files = ["check", "config_file", "config_dir", "mdns_iface", "mdns_disable_ipv4", "mdns_disable_ipv6"];
        for arg in [
            "-bind=v",
            "-check",
            "-advertise=v",
            "-iface=v",
            "-config-file=v",
            "-encrypt=v",
            "-keyring-file=v",
            "-event-handler=v",
            "-join=v",
            "-replay",
            "-log-level=v",
            "-log-format=v",
            "-metrics-addr=v",
            "-handler-timeout=3s",
            "-node=v",
            "-parallel-handlers",
            "-protocol=3",
            "-role=v",
            "-rpc-addr=v",
            "-profile=v",
            "-snapshot=v",
            "-tag=k=v",
            "-tags-file=v",
            "-discover=v",
            "-mdns-iface=v",
            "-mdns-disable-ipv4",
            "-mdns-disable-ipv6",
            "-retry-join=v",
            "-retry-max=3",
            "-retry-interval=3s",
            "-rejoin",
            "-syslog",
            "-broadcast-timeout=3s",
            "-disable-compression",
        ] {
            let flags = parse(&[arg]).expect(arg);
            let key = flags.given.first().expect("is given");
            let document = |value| format!("{{\"{key}\": {value}}}");
            let is_key = |value| crate::config::decode(document(value).as_bytes()).is_ok();
            assert!(files.contains(&key.as_str()) || is_key("null"), "{arg} is called otherwise in files");
            let flags = Flags { given: BTreeSet::new(), ..flags };
            assert!(!seen.contains(&flags), "{arg} sets nothing, or what another flag sets");
            seen.push(flags);
        }
    }

    #[test]
    fn mistakes_are_told_as_by_hashicorps_agent() {
        let error = |arg| parse(&[arg]).expect_err(arg).to_string();
        assert_eq!(error("-tag=novalue"), "Error: Invalid tag: 'novalue'");
        assert_eq!(error("-tag==x"), "Error: Invalid tag: '=x'");
        assert_eq!(error("-retry-interval=10"), "Error: time: missing unit in duration \"10\"");
        assert_eq!(error("-broadcast-timeout=zz"), "Error: time: invalid duration \"zz\"");
        assert_eq!(error("-protocol=x"), "invalid value \"x\" for flag -protocol: parse error");
    }
}
