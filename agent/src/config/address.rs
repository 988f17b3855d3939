//! The addresses to bind and to advertise.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use serf_tokio::serf_runtime::net::HostAddress;
use thiserror::Error;

use super::template::{self, TemplateError};
use crate::endpoint::{self, EndpointError, MISSING_PORT};

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It does not have the form `host` or `host:port`.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A template fits no address.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The host name has no address.
    #[error("lookup {host}: no such host")]
    Lookup {
        /// The host.
        host: String,
    },
}

/// Parses `ip`, `host`, `ip:port`, `[v6]` or `[v6]:port`, and resolves the host, IPv4 first. The default port is 7946
/// (`AddrParts` in `config.go`).
///
/// # Errors
///
/// See [`AddressError`].
pub(crate) fn resolve(text: &str) -> Result<SocketAddr, AddressError> {
    let completed;
    let (host, port) = match endpoint::split(text) {
        Err(error) if error.why == MISSING_PORT => {
            completed = format!("{text}:{GOSSIP_PORT}");
            endpoint::split(&completed)
        }
        split => split,
    }?;
    let port = endpoint::port(port)?;
    if host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    let found: Vec<_> = (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    let first = found.iter().find(|addr| addr.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| AddressError::Lookup { host: host.into() })
}

/// As [`resolve`], of a text that may have templates for addresses of this host, which `host` lists.
///
/// # Errors
///
/// See [`AddressError`].
pub(super) fn resolve_template(
    text: &str,
    host: impl FnOnce() -> Vec<HostAddress>,
) -> Result<SocketAddr, AddressError> {
    resolve(&template::expand(text, host)?)
}

/// Default port of gossip.
const GOSSIP_PORT: u16 = 7946;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_port() {
        let addr = |text| resolve(text).expect(text).to_string();
        assert_eq!(addr("127.0.0.1"), "127.0.0.1:7946");
        assert_eq!(addr("127.0.0.1:80"), "127.0.0.1:80");
        assert_eq!(addr("[::1]"), "[::1]:7946");
        assert_eq!(addr("[::1]:80"), "[::1]:80");
        assert_eq!(addr(":80"), "0.0.0.0:80");
    }

    #[test]
    fn other_texts_are_refused_as_by_hashicorps_agent() {
        let error = |text| resolve(text).expect_err(text).to_string();
        assert_eq!(error("127.0.0.1:99999"), "address 99999: invalid port");
        assert_eq!(error("a:b:c"), "address a:b:c: too many colons in address");
        assert_eq!(error("::1"), "address ::1: too many colons in address");
        assert_eq!(error("300.1.1.1"), "lookup 300.1.1.1: no such host");
    }
}
