//! Parser of seeds: the addresses to join through.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// A host and a port, before name resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    Name(String),
}

/// Parse error of a seed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SeedError {
    /// The host is missing.
    #[error("has no host; write host, host:port, [ipv6]:port or name/host:port")]
    NoHost,
    /// The port is not a number from 1 to 65535.
    #[error("has the port {0:?}, which is not a number from 1 to 65535")]
    Port(String),
    /// The text in brackets is not an IPv6 address.
    #[error("has {0:?} in brackets, which is not an IPv6 address")]
    Brackets(String),
}

impl Seed {
    /// Parses `host`, `host:port`, an IPv4 or IPv6 address, `[ipv6]:port`, and each of them after `name/`
    /// (`resolveAddr` in memberlist.go). Without a port, uses `default_port`.
    pub(crate) fn parse(text: &str, default_port: u16) -> Result<Self, SeedError> {
        let text = text.trim();
        let addr = text.split_once('/').map_or(text, |(_name, addr)| addr);
        if let Ok(ip) = addr.parse::<Ipv6Addr>() {
            return Ok(Self { host: Host::Ip(ip.into()), port: default_port });
        }
        if let Some(bracketed) = addr.strip_prefix('[') {
            let malformed = || SeedError::Brackets(bracketed.to_owned());
            let (ip, rest) = bracketed.split_once(']').ok_or_else(malformed)?;
            let ip: Ipv6Addr = ip.parse().map_err(|_| malformed())?;
            let port = match rest.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if rest.is_empty() => default_port,
                None => return Err(SeedError::Port(rest.to_owned())),
            };
            return Ok(Self { host: Host::Ip(ip.into()), port });
        }
        let (host, port) = match addr.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (addr, default_port),
        };
        if host.is_empty() {
            return Err(SeedError::NoHost);
        }
        let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
        Ok(Self { host, port })
    }

    /// Returns the address, if the host is an IP address.
    pub(crate) const fn addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

fn parse_port(text: &str) -> Result<u16, SeedError> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(SeedError::Port(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_seed_without_a_host_name_is_known_before_it_is_resolved() {
        for (text, addr) in [
            ("10.0.0.1", Some("10.0.0.1:7946")),
            ("10.0.0.1:8", Some("10.0.0.1:8")),
            ("web/10.0.0.1:8", Some("10.0.0.1:8")),
            ("::1", Some("[::1]:7946")),
            ("[::1]", Some("[::1]:7946")),
            ("[::1]:8", Some("[::1]:8")),
            ("web", None),
        ] {
            let found = Seed::parse(text, 7946).unwrap().addr();
            assert_eq!(found, addr.map(|addr| addr.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn every_form_of_a_seed_is_read() {
        for (text, addr) in [
            ("10.0.0.1", "10.0.0.1:7946"),
            ("10.0.0.1:8000", "10.0.0.1:8000"),
            ("::1", "[::1]:7946"),
            ("[::1]", "[::1]:7946"),
            ("[::1]:8000", "[::1]:8000"),
            ("web-1/10.0.0.1:8000", "10.0.0.1:8000"),
            ("web-1/[::1]:8000", "[::1]:8000"),
            (" 10.0.0.1 ", "10.0.0.1:7946"),
        ] {
            assert_eq!(Seed::parse(text, 7946).unwrap().addr(), Some(addr.parse().unwrap()), "{text}");
        }
        let named = |host: &str, port| Ok(Seed { host: Host::Name(host.to_owned()), port });
        assert_eq!(Seed::parse("db.example", 7946), named("db.example", 7946));
        assert_eq!(Seed::parse("web-1/db.example:80", 7946), named("db.example", 80));
    }

    #[test]
    fn what_is_no_seed_is_refused_with_what_is_wrong_about_it() {
        for text in ["", "  ", "name/", ":7946"] {
            assert_eq!(Seed::parse(text, 7946), Err(SeedError::NoHost), "{text}");
        }
        for text in ["host:port", "host:0", "host:65536", "host:", "[::1]7946", "1::2::3"] {
            assert!(matches!(Seed::parse(text, 7946), Err(SeedError::Port(_))), "{text}");
        }
        for text in ["[::1", "[10.0.0.1]:80", "[host]"] {
            assert!(matches!(Seed::parse(text, 7946), Err(SeedError::Brackets(_))), "{text}");
        }
    }
}
