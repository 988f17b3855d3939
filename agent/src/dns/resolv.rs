//! The system's name servers and search domains, from `resolv.conf(5)`.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::{ATTEMPTS_MAX, TIMEOUT_MAX};

/// Which servers to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(super) servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with fewer dots is looked up in the search domains first.
    ndots: usize,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

impl Resolver {
    /// A resolver that asks one server, for absolute names.
    pub(crate) fn of_server(server: SocketAddr) -> Self {
        Self { servers: vec![server], ..Self::parse("") }
    }

    /// Parses `resolv.conf`. Without a server, the one of this host is asked, as the C library does.
    pub(crate) fn parse(text: &str) -> Self {
        let mut resolver =
            Self { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout: Duration::from_secs(5), attempts: 2 };
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let ip = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver.servers.extend(ip.map(|ip| SocketAddr::new(ip, PORT)));
                }
                // The last line counts.
                Some("search" | "domain") => {
                    resolver.search = words.map(|word| word.trim_matches('.').to_owned()).collect();
                }
                Some("options") => words.for_each(|word| resolver.option(word)),
                _ => {}
            }
        }
        resolver.servers.truncate(SERVERS_MAX);
        resolver.search.truncate(DOMAINS_MAX);
        resolver.search.retain(|domain| !domain.is_empty());
        if resolver.servers.is_empty() {
            resolver.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        resolver
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match name {
            "ndots" => self.ndots = value.min(NDOTS_MAX) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.max(1).into()).min(TIMEOUT_MAX),
            "attempts" => self.attempts = value.clamp(1, ATTEMPTS_MAX),
            _ => {}
        }
    }

    /// The names to look up for `name`, in this order. One that ends with a dot is absolute.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') || self.search.is_empty() {
            return vec![name.into()];
        }
        let mut candidates: Vec<String> = self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let at = if dots >= self.ndots { 0 } else { candidates.len() };
        candidates.insert(at, name.into());
        candidates
    }
}

const PORT: u16 = 53;

/// Bounds of the C library.
const SERVERS_MAX: usize = 3;
const NDOTS_MAX: u32 = 15;
/// Its limit before version 2.26; it bounds the queries of one lookup.
const DOMAINS_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_domains_and_options_are_those_of_the_file() {
        let resolver = Resolver::parse(
            "# made by a test\nsearch ignored.org\nnameserver 10.0.0.10 # first\nnameserver fd00::a\nnameserver nonsense\n\
             search default.svc.cluster.local. svc.cluster.local\noptions ndots:5 timeout:1 attempts:9 rotate\n",
        );
        let servers: Vec<_> = resolver.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.10:53", "[fd00::a]:53"]);
        assert_eq!(resolver.search, ["default.svc.cluster.local", "svc.cluster.local"]);
        assert_eq!((resolver.ndots, resolver.timeout, resolver.attempts), (5, Duration::from_secs(1), 5));
        let servers = Resolver::parse("").servers;
        assert_eq!(servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn a_name_with_few_dots_is_looked_up_in_the_domains_first() {
        let resolver = Resolver::parse("search b.c d\noptions ndots:2");
        assert_eq!(resolver.candidates("_serf._tcp"), ["_serf._tcp.b.c", "_serf._tcp.d", "_serf._tcp"]);
        assert_eq!(resolver.candidates("_serf._tcp.a"), ["_serf._tcp.a", "_serf._tcp.a.b.c", "_serf._tcp.a.d"]);
        assert_eq!(resolver.candidates("_serf._tcp.a."), ["_serf._tcp.a."]);
        assert_eq!(Resolver::parse("").candidates("a"), ["a"]);
    }
}
