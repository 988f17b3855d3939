//! The texts of `start_join` and `retry_join`: addresses, and sources of addresses.

use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;
use std::path::PathBuf;

use thiserror::Error;

/// Where members to join are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seed {
    /// The address of a member, or a name that the system's resolver knows, as in HashiCorp's agent.
    Address(String),
    /// `srv:NAME` or `srv:NAME@SERVER`: the SRV records of a name, from the system's name servers or from this one.
    Service {
        /// The name.
        name: String,
        /// The name server.
        server: Option<SocketAddr>,
    },
    /// `file:PATH`: the addresses in a file.
    File(PathBuf),
    /// `exec:COMMAND`: the addresses that a command of the shell prints.
    Command(String),
    /// `provider=NAME KEY=VALUE...`: the addresses that the program `discover` of HashiCorp's go-discover finds.
    Discover(String),
}

/// Why a text of `start_join` or `retry_join` is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Invalid address to join: {text:?}: {why}")]
pub struct SeedError {
    /// The text.
    pub text: String,
    /// What is wrong, and what to write.
    pub why: &'static str,
}

impl Seed {
    /// A text as the log and `serf config show` have it: of a command and of a provider the name only, because their
    /// arguments may be credentials.
    pub(crate) fn shown(text: &str) -> Cow<'_, str> {
        for kind in ["exec:", "provider="] {
            if let Some(rest) = text.strip_prefix(kind) {
                let name = name_of(rest);
                return if name.len() == rest.len() { text.into() } else { format!("{kind}{name} ...").into() };
            }
        }
        text.into()
    }

    /// Parses a text. One that has none of the forms of the other variants is an address, valid or not: a join reports
    /// the error with HashiCorp's message.
    ///
    /// # Errors
    ///
    /// A source lacks its name, path or command, or its name server is no address.
    pub(crate) fn parse(text: &str) -> Result<Self, SeedError> {
        let fail = |why| Err(SeedError { text: text.into(), why });
        if text.starts_with("provider=") {
            return Ok(Self::Discover(text.into()));
        }
        let Some((kind, rest)) = text.split_once(':') else { return Ok(Self::Address(text.into())) };
        // A host may have such a name: `file:7946` is its port.
        if rest.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty() {
            return Ok(Self::Address(text.into()));
        }
        match kind {
            "srv" => match rest.split_once('@') {
                _ if rest.is_empty() || rest.starts_with('@') => fail("write srv:_serf._tcp.example.org"),
                None => Ok(Self::Service { name: rest.into(), server: None }),
                Some((name, server)) => match address(server) {
                    Some(server) => Ok(Self::Service { name: name.into(), server: Some(server) }),
                    None => fail("the name server after @ must be an IP address, with a port or without"),
                },
            },
            "file" if rest.is_empty() => fail("write file:/etc/serf/members"),
            "file" => Ok(Self::File(rest.into())),
            "exec" if rest.trim().is_empty() => fail("write exec:/usr/local/bin/members"),
            "exec" => Ok(Self::Command(rest.into())),
            _ => Ok(Self::Address(text.into())),
        }
    }
}

/// The name of a program or provider, without what follows it.
fn name_of(text: &str) -> &str {
    let word = text.split_whitespace().next().unwrap_or_default();
    // A command of the shell may begin with a variable.
    word.find('=').map_or(word, |at| &word[..=at])
}

/// The address of a name server, `ip`, `ip:port` or `[ipv6]:port`.
fn address(text: &str) -> Option<SocketAddr> {
    let ip = |text: &str| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DNS_PORT));
    text.parse().ok().or_else(|| ip(text)).filter(|server: &SocketAddr| server.port() != 0)
}

const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_known_by_their_first_word_and_all_else_is_an_address() {
        let service = |name: &str, server: Option<&str>| {
            Ok(Seed::Service { name: name.into(), server: server.map(|server| server.parse().unwrap()) })
        };
        assert_eq!(Seed::parse("srv:_serf._tcp.example.org"), service("_serf._tcp.example.org", None));
        assert_eq!(Seed::parse("srv:_serf._tcp@10.0.0.2"), service("_serf._tcp", Some("10.0.0.2:53")));
        assert_eq!(Seed::parse("srv:_serf._tcp@[::1]:8600"), service("_serf._tcp", Some("[::1]:8600")));
        assert_eq!(Seed::parse("srv:_serf._tcp@::1"), service("_serf._tcp", Some("[::1]:53")));
        assert_eq!(Seed::parse("file:members"), Ok(Seed::File("members".into())));
        assert_eq!(Seed::parse("exec:a | b:c"), Ok(Seed::Command("a | b:c".into())));
        assert_eq!(Seed::parse("provider=aws tag_key=serf"), Ok(Seed::Discover("provider=aws tag_key=serf".into())));
        for text in [
            "10.0.0.1",
            "10.0.0.1:7946",
            "[::1]:1",
            "::1",
            "n/host:1",
            "host",
            "file:7946",
            "srv:1",
            "exec:80",
            "x:y",
            "",
            ":",
        ] {
            assert_eq!(Seed::parse(text), Ok(Seed::Address(text.into())), "{text}");
        }
    }

    #[test]
    fn arguments_of_commands_and_providers_are_not_shown() {
        for (text, shown) in [
            ("provider=aws secret_access_key=s", "provider=aws ..."),
            ("provider=aws", "provider=aws"),
            ("exec:/bin/members", "exec:/bin/members"),
            ("exec: curl -H s", "exec:curl ..."),
            ("exec:TOKEN=s curl", "exec:TOKEN= ..."),
            ("exec:TOKEN=s", "exec:TOKEN= ..."),
            ("srv:_serf._tcp@10.0.0.2", "srv:_serf._tcp@10.0.0.2"),
            ("file:/a b", "file:/a b"),
            ("10.0.0.1:7946", "10.0.0.1:7946"),
        ] {
            assert_eq!(Seed::shown(text), shown);
        }
    }

    #[test]
    fn a_source_that_names_nothing_is_refused_with_an_example() {
        for text in ["srv:", "srv:@10.0.0.1", "srv:a@host", "srv:a@10.0.0.1:0", "file:", "exec:", "exec: "] {
            let error = Seed::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("Invalid address to join: {text:?}: ")), "{error}");
        }
    }
}
