//! What can go wrong around a node. What the node itself refuses has its own types in `serf_proto`.
//!
//! One rule for all errors of these crates: `Display` is the whole message, with its causes and what to do. `source()` goes on after
//! what `Display` has said, so that a report which prints both says nothing twice. The causes themselves are in the variants.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::io;
use std::path::PathBuf;

use serf_proto::envelope::KeyError;
use serf_proto::{ConfigError, IdentityError, LeaveReport};
use thiserror::Error;

/// Why a node could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The settings of the protocol do not go together.
    Config(ConfigError),
    /// The name, the address or the tags cannot be announced.
    Identity(IdentityError),
    /// The address cannot be listened on.
    Bind {
        /// For which transport.
        transport: Transport,
        /// Which address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The node was told to announce `0.0.0.0` or `::`.
    AdvertiseUnspecified {
        /// The address.
        addr: SocketAddr,
    },
    /// The node listens on every address, was not told which to announce, and the host has no private one.
    NoPrivateAddress {
        /// Where it listens.
        bind: SocketAddr,
        /// The addresses that the host has, besides loopback.
        found: Vec<IpAddr>,
    },
    /// Another node, of this process or another, uses the file.
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// The snapshot cannot be read, or not be written to.
    Snapshot {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The keyring file cannot be used, or is not there and no keys were given in its place.
    Keyring {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyringFileError,
    },
    /// The operating system gave no entropy.
    Entropy(io::Error),
    /// The async runtime is missing, or cannot wait for sockets.
    Runtime(io::Error),
}

/// One of the two ways in which nodes speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: probes and gossip.
    Udp,
    /// Streams: joins and exchanges of whole states.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "the protocol's options are refused: {error}"),
            Self::Identity(error) => write!(f, "{error}"),
            Self::Bind { transport, addr, source } => {
                write!(f, "cannot listen on {transport} {addr}: {}", system_words(source))?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        f.write_str("; another node may run there: choose another port, or port 0 for any that is free")
                    }
                    io::ErrorKind::AddrNotAvailable => f.write_str("; bind to an address of this host, or to 0.0.0.0"),
                    _ => Ok(()),
                }
            }
            Self::AdvertiseUnspecified { addr } => {
                write!(
                    f,
                    "{addr} cannot be advertised, no other node can send to it: advertise an address of this host"
                )
            }
            Self::NoPrivateAddress { bind, found } => {
                write!(f, "bound to {bind}, but this host has no private address to advertise (it has {found:?}): ")?;
                f.write_str("set `advertise`, or bind to one address")
            }
            Self::InUse { path } => {
                write!(f, "another node uses {}: two nodes cannot share a snapshot or a keyring file", path.display())
            }
            Self::Snapshot { path, source } => {
                write!(f, "cannot use the snapshot {}: {}", path.display(), system_words(source))
            }
            Self::Keyring { path, source } => {
                write!(f, "cannot use the keyring {}: {source}", path.display())?;
                match source {
                    KeyringFileError::Read(error) if error.kind() == io::ErrorKind::NotFound => {
                        f.write_str("; write it, or give the first keys in `encrypt_keys`")
                    }
                    _ => Ok(()),
                }
            }
            Self::Entropy(error) => write!(f, "the operating system gives no entropy: {}", system_words(error)),
            Self::Runtime(error) => write!(f, "start the node within its async runtime: {}", system_words(error)),
        }
    }
}

impl core::error::Error for StartError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Identity(error) => error.source(),
            Self::Bind { source, .. } | Self::Snapshot { source, .. } => source.source(),
            Self::Keyring { source, .. } => source.source(),
            Self::Entropy(error) | Self::Runtime(error) => error.source(),
            Self::AdvertiseUnspecified { .. } | Self::NoPrivateAddress { .. } | Self::InUse { .. } => None,
        }
    }
}

/// Why a keyring file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyringFileError {
    /// It cannot be read.
    #[error("the keyring file cannot be read: {}", system_words(.0))]
    Read(io::Error),
    /// It is no JSON list of strings.
    #[error("the keyring file is no JSON list of strings")]
    Malformed,
    /// One of them is no key.
    #[error("number {at} in the keyring file is no key: {error}")]
    Key {
        /// Which, counted from 0.
        at: usize,
        /// What is wrong with it.
        error: KeyError,
    },
    /// There is no key in it.
    #[error("there is no key in the keyring file")]
    Empty,
}

/// The snapshot is not on the disk: the next start of the node may not know what this life has come to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the snapshot {} cannot be written: {why}", path.display())]
pub struct NotWritten {
    /// Which file.
    pub path: PathBuf,
    /// What the system said.
    pub why: String,
}

/// What went wrong with a leave.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// The node was shut down, before or meanwhile.
    #[error("{STOPPED}")]
    Stopped,
    /// The node has left, but its snapshot does not say so: the next start rejoins as after a crash.
    #[error("the node has left, but that is not recorded: {source}")]
    NotRecorded {
        /// How the leave went.
        report: LeaveReport,
        /// What went wrong with the file.
        r#source: NotWritten,
    },
}

/// The node was shut down. Start a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{STOPPED}")]
pub struct Stopped;

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError<E> {
    /// The node was shut down. Start a new one.
    #[error("{STOPPED}")]
    Stopped,
    /// The node refused.
    #[error(transparent)]
    Refused(E),
}

/// What the system said, as it stands in a sentence: without the number of the error, which `io::Error` shows behind it, and in
/// lower case.
pub(crate) fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    let Some(words) = number.and_then(|number| text.strip_suffix(&*number)) else { return text };
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

pub(crate) const STOPPED: &str = "the node was shut down; start a new one";

#[cfg(test)]
mod tests {
    use core::error::Error;

    use serf_proto::{PatternError, QueryError};

    use super::*;

    #[test]
    fn an_error_and_its_sources_say_nothing_twice_and_the_error_says_all() {
        let io = || io::Error::from_raw_os_error(28);
        let no_key = || KeyringFileError::Key { at: 1, error: KeyError::Base64 };
        let addr = SocketAddr::from(([10, 0, 0, 1], 7946));
        let syntax = PatternError::Syntax.to_string();
        let errors: [(Box<dyn Error>, &str); 10] = [
            (Box::new(StartError::Config(ConfigError::Zero { name: "gossip_nodes" })), "gossip_nodes"),
            (Box::new(StartError::Identity(IdentityError::NameEmpty)), "a node needs a name"),
            (Box::new(StartError::Bind { transport: Transport::Udp, addr, source: io() }), "no space left"),
            (Box::new(StartError::Snapshot { path: "s".into(), source: io() }), "no space left"),
            (Box::new(StartError::Keyring { path: "k".into(), source: no_key() }), "base64"),
            (Box::new(StartError::Entropy(io::Error::other("none"))), "none"),
            (Box::new(StartError::Runtime(io::Error::other("no reactor"))), "no reactor"),
            (Box::new(KeyringFileError::Read(io())), "no space left"),
            (Box::new(no_key()), "base64"),
            (Box::new(CommandError::Refused(QueryError::Filter(PatternError::Syntax))), &syntax),
        ];
        for (error, part) in errors {
            let shown = error.to_string();
            assert!(shown.contains(part), "{shown}");
            assert!(!shown.contains("os error"), "{shown}");
            let mut source = error.source();
            while let Some(cause) = source {
                assert!(!shown.contains(&cause.to_string()), "{shown}");
                source = cause.source();
            }
        }
    }

    #[test]
    fn the_number_of_an_error_is_not_shown() {
        assert_eq!(system_words(&io::Error::from_raw_os_error(28)), "no space left on device");
        assert_eq!(system_words(&io::Error::other("disk (os error 28)")), "disk (os error 28)", "somebody's words");
    }
}
