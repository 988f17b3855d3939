//! Converts the agent's settings to the node's options.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serf_tokio::Name;
use serf_tokio::serf_proto::{AfterLeave, ConfigError, IdentityError, Snapshot};
use serf_tokio::{Key, Options, StartError, Transport};

use super::capture;
use super::commands::TAGS_TOO_LONG;
use super::events::{PROTOCOL_MAX, PROTOCOL_MIN};
use crate::config::{Config, given, read_keyring, read_tags_file};
use crate::endpoint::go_words;
use crate::log::Log;

/// The initial tags and keys, which may come from files (`loadTagsFile` and `loadKeyringFile` in `agent.go`).
pub(super) struct Files {
    tags: BTreeMap<String, String>,
    keys: Vec<Vec<u8>>,
}

impl Files {
    /// Reads the files; the error says what is wrong.
    pub(super) fn read(config: &Config, log: &Arc<Log>) -> Result<Self, String> {
        let settings = &config.settings;
        let mut files = Self { tags: settings.tags.clone(), keys: config.encrypt_key.iter().cloned().collect() };
        if let Some(path) = given(&settings.tags_file).map(Path::new) {
            if !settings.tags.is_empty() {
                return Err("Tags config not allowed while using tag files".into());
            }
            if let Some(tags) = read_tags_file(path).map_err(|error| error.to_string())? {
                log.info("agent", format_args!("Restored {} tag(s) from {}", tags.len(), path.display()));
                files.tags = tags;
            }
        }
        if let Some(path) = given(&settings.keyring_file).map(Path::new) {
            if !files.keys.is_empty() {
                return Err("Encryption key not allowed while using a keyring".into());
            }
            files.keys = read_keyring(path).map_err(|error| error.to_string())?;
            log.info("agent", format_args!("Restored keyring with {} keys from {}", files.keys.len(), path.display()));
        }
        Ok(files)
    }
}

/// Builds the node's options; the error says why the settings are invalid.
pub(super) fn options(config: &Config, files: Files) -> Result<Options, String> {
    if config.protocol > PROTOCOL_MAX || config.protocol < PROTOCOL_MIN {
        let how = if config.protocol > PROTOCOL_MAX { "high" } else { "low" };
        return Err(format!(
            "Protocol version '{}' too {how}. Must be in range: [{PROTOCOL_MIN}, {PROTOCOL_MAX}]",
            config.protocol
        ));
    }
    let settings = &config.settings;
    let name = settings.node_name.clone();
    let mut options = Options::lan(name);
    options.bind = config.bind;
    options.advertise = config.advertise;
    options.snapshot = given(&settings.snapshot_path).map(PathBuf::from);
    options.rejoin_after_leave = settings.rejoin_after_leave;
    options.keyring_file = given(&settings.keyring_file).map(PathBuf::from);
    options.capture = if settings.capture_paused { None } else { capture::of(settings) };
    options.tags = announced(files.tags, config.protocol).into_iter().collect();
    let keys = files.keys.iter().map(|key| Key::new(key)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|_| "Failed to create memberlist: key size must be 16, 24 or 32 bytes".to_owned())?;
    options.protocol = settings.protocol_with(keys)?;
    let protocol = &mut options.protocol;
    // The agent's default in HashiCorp's program; its library coalesces only when configured.
    protocol.serf.coalesce_period = COALESCE_PERIOD;
    protocol.serf.quiescent_period = QUIESCENT_PERIOD;
    protocol.serf.user_coalesce_period = COALESCE_PERIOD;
    protocol.serf.user_quiescent_period = QUIESCENT_PERIOD;
    Ok(options)
}

/// The tags that a node of this protocol announces: before version 3 only the role (`encodeTags` in serf.go).
pub(super) fn announced(mut tags: BTreeMap<String, String>, protocol: u8) -> BTreeMap<String, String> {
    if protocol < PROTOCOL_TAGS {
        tags.retain(|key, _| key == "role");
    }
    tags
}

/// Why the node did not start, in HashiCorp's wording.
pub(super) fn start_failure(error: StartError, bind: SocketAddr) -> String {
    match error {
        StartError::Identity(IdentityError::TagsTooLarge { .. }) => TAGS_TOO_LONG.into(),
        StartError::Config(ConfigError::TooLarge { name: "user_event_bytes_max", .. }) => {
            "user event size limit exceeds limit of 9216 bytes".into()
        }
        StartError::Bind { transport, source, .. } => {
            let addr = bind;
            let (name, verb) = match transport {
                Transport::Tcp => ("TCP", "tcp"),
                Transport::Udp => ("UDP", "udp"),
            };
            let why = go_words(&source);
            format!(
                "Failed to create memberlist: Could not set up network transport: failed to obtain an address: \
                 Failed to start {name} listener on \"{}\" port {}: listen {verb} {addr}: bind: {why}",
                addr.ip(),
                addr.port()
            )
        }
        StartError::NoPrivateAddress { .. } => "Failed to create memberlist: Failed to get final advertise address: \
                                                No private IP address found, and explicit IP not provided"
            .into(),
        StartError::Snapshot { path, source } => {
            let (path, why) = (path.display(), go_words(&source));
            format!("Failed to setup snapshot: failed to open snapshot: open {path}: {why}")
        }
        error @ StartError::InUse { .. } => error.to_string(),
        error => format!("Failed to create memberlist: {error}"),
    }
}

/// The members of the snapshot that were alive, without this node. Logs lines that cannot be read.
pub(super) fn previously_known(config: &Config, log: &Log) -> Vec<(Name, SocketAddr)> {
    let settings = &config.settings;
    let Some(contents) = given(&settings.snapshot_path).and_then(|path| std::fs::read(path).ok()) else {
        return Vec::new();
    };
    let after_leave = if settings.rejoin_after_leave { AfterLeave::Rejoin } else { AfterLeave::Forget };
    let replay = Snapshot::replay(&contents, after_leave);
    let unknown: Vec<_> =
        contents[..replay.intact_bytes].split(|byte| *byte == b'\n').filter(|it| !is_known(it)).collect();
    for line in unknown.iter().take(LINES_LOGGED_MAX) {
        log.warn("serf", format_args!("Unrecognized snapshot line: {}", String::from_utf8_lossy(line)));
    }
    let others = replay.lines_skipped.saturating_sub(unknown.len().min(LINES_LOGGED_MAX));
    if others > 0 {
        log.warn("serf", format_args!("{others} lines of the snapshot are unreadable"));
    }
    if settings.rejoin_after_leave && contents.split(|byte| *byte == b'\n').any(|line| line == b"leave") {
        log.info("serf", "Ignoring previous leave in snapshot");
    }
    let snapshot = replay.snapshot;
    let others = snapshot.alive().filter(|(name, _)| ***name != *settings.node_name);
    others.map(|(name, addr)| (name.clone(), addr)).collect()
}

/// Whether a snapshot line has a known prefix.
fn is_known(line: &[u8]) -> bool {
    const KINDS: [&[u8]; 8] = [
        b"alive: ",
        b"not-alive: ",
        b"failed: ",
        b"clock: ",
        b"event-clock: ",
        b"query-clock: ",
        b"coordinate: ",
        b"#",
    ];
    line.is_empty() || line == b"leave" || KINDS.iter().any(|kind| line.starts_with(kind))
}

/// Limit on the unreadable lines that are logged. A file that is not a snapshot would flood the log.
const LINES_LOGGED_MAX: usize = 16;

/// The first Serf protocol version with tags.
const PROTOCOL_TAGS: u8 = 3;

const COALESCE_PERIOD: core::time::Duration = core::time::Duration::from_secs(3);
const QUIESCENT_PERIOD: core::time::Duration = core::time::Duration::from_secs(1);
