//! The agent's RPC address, and connecting to it.

use core::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::endpoint::{self, EndpointError, go_words};

/// The address of an agent's RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RpcAddress {
    /// A TCP port. An empty host means this machine.
    Tcp {
        /// A name or an address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// Why a text is not an [`RpcAddress`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is empty.
    #[error("missing address")]
    Missing,
    /// The text is not `host:port`.
    #[error(transparent)]
    Endpoint(EndpointError),
}

impl RpcAddress {
    /// Parses `host:port`, `[v6]:port`, `:port`, or `unix:` and a path, also written as `unix://` and a path.
    ///
    /// # Errors
    ///
    /// The text is empty or has no port.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.strip_prefix("//").unwrap_or(path).into()));
        }
        if text.is_empty() {
            return Err(AddressError::Missing);
        }
        let (host, port) = endpoint::split(text).map_err(AddressError::Endpoint)?;
        let port = endpoint::port(port).map_err(AddressError::Endpoint)?;
        Ok(Self::Tcp { host: host.into(), port })
    }
}

impl fmt::Display for RpcAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Connects over TCP, to the first address of `host` that accepts within `timeout`.
///
/// # Errors
///
/// With the messages of Go's `net.Dial`, which scripts know.
pub(super) fn dial_tcp(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let mut failure = format!("dial tcp: lookup {host}: no such host");
    for target in resolve(host, port).map_err(|error| format!("dial tcp: lookup {host}: {}", go_words(&error)))? {
        match TcpStream::connect_timeout(&target, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let shown = if host.is_empty() { format!(":{port}") } else { target.to_string() };
                failure = match error.kind() {
                    io::ErrorKind::TimedOut => format!("dial tcp {shown}: i/o timeout"),
                    _ => format!("dial tcp {shown}: connect: {}", go_words(&error)),
                };
            }
        }
    }
    Err(failure)
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.is_empty() {
        let here = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        return Ok(here.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match (host, port).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        // The resolver's messages differ between systems.
        Err(error) if error.raw_os_error().is_none() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_with_gos_complaints() {
        let error = |text| RpcAddress::parse(text).expect_err("parses").to_string();
        assert_eq!(error(""), "missing address");
        assert_eq!(error("127.0.0.1"), "address 127.0.0.1: missing port in address");
        assert_eq!(RpcAddress::parse("unix:/run/serf.sock"), Ok(RpcAddress::Unix("/run/serf.sock".into())));
        assert_eq!(RpcAddress::parse("unix:///run/serf.sock"), Ok(RpcAddress::Unix("/run/serf.sock".into())));
        assert_eq!(RpcAddress::parse("[::1]:7373").expect("is one").to_string(), "[::1]:7373");
    }
}
