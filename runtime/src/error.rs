//! Errors of starting and operating a node. Errors of the protocol itself are in `serf_proto`.
//!
//! Rule for all errors of these crates: `Display` prints the whole message, with the causes and the remedy. `source()`
//! continues after what `Display` has printed, so that a report that prints both repeats nothing. The causes themselves
//! are in the variants.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::io;
use std::path::PathBuf;

use serf_proto::KeyError;
use serf_proto::{ConfigError, IdentityError, LeaveReport};
use thiserror::Error;

/// Error of starting a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The protocol options contradict each other.
    Config(ConfigError),
    /// The name, the address or the tags are invalid.
    Identity(IdentityError),
    /// The address cannot be bound.
    Bind {
        /// The transport of the socket.
        transport: Transport,
        /// The address.
        addr: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The configured advertise address is `0.0.0.0` or `::`.
    AdvertiseUnspecified {
        /// The address.
        addr: SocketAddr,
    },
    /// The node listens on all addresses, no advertise address is configured, and the host has no private address.
    NoPrivateAddress {
        /// The bind address.
        bind: SocketAddr,
        /// The host's addresses other than loopback.
        found: Vec<IpAddr>,
    },
    /// The address to advertise is in none of the networks of
    /// [`cidrs_allowed`](serf_proto::TransportOptions::cidrs_allowed): members with that list would refuse this node.
    NotAllowed {
        /// The address.
        addr: SocketAddr,
    },
    /// Another node, of this process or another, has locked the file.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The snapshot cannot be read or written.
    Snapshot {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The keyring file is unusable, or it does not exist and no keys were configured.
    Keyring {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: KeyringFileError,
    },
    /// The operating system's entropy source failed.
    Entropy(io::Error),
    /// The async runtime is missing, or its IO driver is disabled.
    Runtime(io::Error),
}

/// Transport of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: probes and gossip.
    Udp,
    /// Streams: joins and push/pull exchanges.
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
            Self::Config(error) => write!(f, "invalid protocol options: {error}"),
            Self::Identity(error) => write!(f, "{error}"),
            Self::Bind { transport, addr, source } => {
                write!(f, "cannot listen on {transport} {addr}: {}", system_words(source))?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        f.write_str("; another node may use the port: choose another port, or port 0 for any free one")
                    }
                    io::ErrorKind::AddrNotAvailable => f.write_str("; bind to an address of this host, or to 0.0.0.0"),
                    _ => Ok(()),
                }
            }
            Self::AdvertiseUnspecified { addr } => {
                write!(f, "cannot advertise {addr}, no other node can send to it: advertise an address of this host")
            }
            Self::NoPrivateAddress { bind, found } => {
                write!(f, "bound to {bind}, but this host has no private address to advertise (it has {found:?}): ")?;
                f.write_str("set `advertise`, or bind to one address")
            }
            Self::NotAllowed { addr } => {
                write!(f, "cannot advertise {addr}, it is in none of the networks of cidrs_allowed: ")?;
                f.write_str("add its network, or advertise an address in one of them")
            }
            Self::InUse { path } => {
                write!(
                    f,
                    "{} is locked by another node: two nodes cannot share a snapshot or a keyring file",
                    path.display()
                )
            }
            Self::Snapshot { path, source } => {
                write!(f, "cannot use the snapshot {}: {}", path.display(), system_words(source))
            }
            Self::Keyring { path, source } => {
                write!(f, "cannot use the keyring {}: {source}", path.display())?;
                match source {
                    KeyringFileError::Read(error) if error.kind() == io::ErrorKind::NotFound => {
                        f.write_str("; create it, or set the initial keys in `encrypt_keys`")
                    }
                    _ => Ok(()),
                }
            }
            Self::Entropy(error) => write!(f, "cannot read entropy from the operating system: {}", system_words(error)),
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
            Self::AdvertiseUnspecified { .. } | Self::NoPrivateAddress { .. } => None,
            Self::NotAllowed { .. } | Self::InUse { .. } => None,
        }
    }
}

/// Reason for which a keyring file is unusable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyringFileError {
    /// The file cannot be read.
    #[error("cannot read the keyring file: {}", system_words(.0))]
    Read(io::Error),
    /// The file is not a JSON list of strings.
    #[error("the keyring file is not a JSON list of strings")]
    Malformed,
    /// A string in the list is not a key.
    #[error("entry {at} of the keyring file is not a key: {error}")]
    Key {
        /// Index of the string, from 0.
        at: usize,
        /// The reason.
        error: KeyError,
    },
    /// The list is empty.
    #[error("the keyring file has no key")]
    Empty,
    /// The program is built without the feature `encryption` of `serf-runtime`.
    #[error("this program is built without encryption")]
    Unsupported,
}

/// The snapshot was not written: after a restart the node may lack the state of this run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot write the snapshot {}: {why}", path.display())]
pub struct NotWritten {
    /// The file.
    pub path: PathBuf,
    /// The operating system's error.
    pub why: String,
}

/// Error of a leave.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// The node was shut down before or during the call.
    #[error("{STOPPED}")]
    Stopped,
    /// The node has left, but the snapshot does not record it: the next start rejoins as after a crash.
    #[error("the node has left, but the snapshot does not record it: {source}")]
    NotRecorded {
        /// The result of the leave.
        report: LeaveReport,
        /// The error of the file.
        r#source: NotWritten,
    },
}

/// The node was shut down. Start a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{STOPPED}")]
pub struct Stopped;

/// Error of a command. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError<E> {
    /// The node was shut down. Start a new one.
    #[error("{STOPPED}")]
    Stopped,
    /// The node refused the command.
    #[error(transparent)]
    Refused(E),
}

/// Formats the operating system's error for the middle of a sentence: in lower case, without the error number that
/// `io::Error` appends.
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
    fn an_error_names_its_cause_and_its_sources_repeat_nothing() {
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
        assert_eq!(
            system_words(&io::Error::other("disk (os error 28)")),
            "disk (os error 28)",
            "text of another error"
        );
    }
}
