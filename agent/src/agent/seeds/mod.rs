//! Finds the members to join: addresses as given, and those that other sources name. All but plain addresses are asked
//! again at each try.

mod command;
mod file;
mod watch;

use core::fmt::Display;
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

pub(super) use self::watch::{Watched, watch_files};
use super::Agent;
use crate::config::Seed;
use crate::dns::{Resolver, Target};

/// The texts of `start_join` or `retry_join`, and which of them gave no address last time.
pub(super) struct Seeds {
    /// Each text with its source.
    sources: Vec<(String, Seed)>,
    /// Why each source gave no address, for those that did not. Each reason is logged once.
    failing: BTreeMap<String, String>,
}

impl Seeds {
    /// The texts were checked with the settings; one that is invalid is left out.
    pub(super) fn new(texts: &[String]) -> Self {
        let sources = texts.iter().filter_map(|text| Some((text.clone(), Seed::parse(text).ok()?)));
        Self { sources: sources.collect(), failing: BTreeMap::new() }
    }

    /// The addresses to join now, without repetitions. Addresses of this agent that a source names are left out: a list
    /// of all members has it too, and a join through itself would count as one that succeeded.
    pub(super) async fn addresses(&mut self, agent: &Agent) -> Vec<String> {
        let own = agent.serf.local().addr();
        let (mut addresses, mut seen) = (Vec::new(), BTreeSet::new());
        for (text, seed) in &self.sources {
            let shown = Seed::shown(text);
            let found = match limited(find(agent, seed)).await {
                Ok(found) => {
                    if self.failing.remove(text).is_some() {
                        agent.log.info("agent", format_args!("{shown} gives addresses to join again"));
                    }
                    found
                }
                Err(why) => {
                    if self.failing.get(text) != Some(&why) {
                        agent.log.warn(
                            "agent",
                            format_args!("{shown} gives no address to join: {why}; it is asked again at each try"),
                        );
                        self.failing.insert(text.clone(), why);
                    }
                    continue;
                }
            };
            let is_plain = matches!(seed, Seed::Address(_));
            let new = found.into_iter().filter(|address| is_plain || !is_of(own, address));
            addresses.extend(new.filter(|address| seen.insert(address.clone())));
        }
        addresses.truncate(ADDRESSES_MAX);
        addresses
    }
}

/// Whether a text is this address, with its port or without, which then is our own.
fn is_of(own: SocketAddr, text: &str) -> bool {
    text.parse() == Ok(own) || text.parse() == Ok(own.ip())
}

/// Gives up on a source that does not answer: the sources are asked one after the other.
async fn limited(asked: impl Future<Output = Result<Vec<String>, String>>) -> Result<Vec<String>, String> {
    timeout(SOURCE_TIMEOUT, asked).await.unwrap_or_else(|_| Err(format!("it has not answered for {SOURCE_TIMEOUT:?}")))
}

/// Asks one source. The error says why it has no address.
async fn find(agent: &Agent, seed: &Seed) -> Result<Vec<String>, String> {
    match seed {
        Seed::Address(address) => Ok(vec![address.clone()]),
        Seed::Service { name, server } => services(name, *server).await,
        Seed::File(path) => listed(&in_file(path.clone()).await?),
        Seed::Command(script) => listed(&command::run(agent, command::of_shell(agent, script)).await?),
        Seed::Discover(arguments) => listed(&command::run(agent, command::discover(arguments)).await?),
    }
}

/// The addresses of a text: words between blanks and line ends; from a `#` on, a line is a comment.
fn listed(text: &str) -> Result<Vec<String>, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words = lines.flat_map(str::split_whitespace).take(ADDRESSES_MAX);
    let found: Vec<String> = words.map(str::to_owned).collect();
    if found.is_empty() { Err("it has none".into()) } else { Ok(found) }
}

/// The content of a file, read on another thread, because a disk may be slow.
async fn in_file(path: PathBuf) -> Result<String, String> {
    let read = tokio::task::spawn_blocking(move || file::read(&path).map_err(|error| error.to_string()));
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// The addresses of the SRV records of a name, best first.
async fn services(name: &str, server: Option<SocketAddr>) -> Result<Vec<String>, String> {
    let resolver = match server {
        Some(server) => Resolver::of_server(server),
        None => Resolver::parse(&in_file(RESOLV_CONF.into()).await.unwrap_or_default()),
    };
    let targets = resolver.services(name).await.map_err(|error| error.to_string())?;
    let (mut found, mut failure) = (Vec::new(), None);
    for target in targets.iter().take(TARGETS_MAX) {
        match hosts(&resolver, target, server.is_some()).await {
            Ok(addresses) => found.extend(addresses.iter().map(ToString::to_string)),
            Err(why) => failure = failure.or(Some(why)),
        }
    }
    match failure {
        Some(why) if found.is_empty() => Err(why),
        _ => Ok(found),
    }
}

/// The addresses of the host of a service. Those that came with the records count first; a server of the operator's
/// choice is asked itself, because the system's resolver may not know its names.
async fn hosts(resolver: &Resolver, target: &Target, is_own: bool) -> Result<Vec<SocketAddr>, String> {
    let port = target.port;
    let of = |ips: &[core::net::IpAddr]| ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    if !target.addresses.is_empty() {
        return Ok(of(&target.addresses));
    }
    if is_own {
        return resolver.addresses(&target.host).await.map(|ips| of(&ips)).map_err(|error| error.to_string());
    }
    let failed = |why: &dyn Display| format!("lookup {}: {why}", target.host);
    let found = tokio::net::lookup_host((target.host.as_str(), port)).await;
    let found: Vec<_> = found.map_err(|error: io::Error| failed(&crate::endpoint::go_words(&error)))?.collect();
    if found.is_empty() { Err(failed(&"no such host")) } else { Ok(found) }
}

/// How long one source may delay the others. Longer than [`command::TIMEOUT`], so that a slow command is reported as one;
/// shorter than a lookup with all servers and attempts of a `resolv.conf` may take, once for each host of a service.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(15);

/// Addresses joined at a time; as many as a client may name.
const ADDRESSES_MAX: usize = 1024;

/// Hosts of a service that are looked up.
const TARGETS_MAX: usize = 128;

/// Bytes read of a file or of what a command prints.
const TEXT_BYTES_MAX: u64 = 256 * 1024;

/// Where systems with a C library keep their name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_address_is_known_with_its_port_and_without() {
        let own = "10.0.0.1:7946".parse().unwrap();
        let is = |text| is_of(own, text);
        assert!(is("10.0.0.1:7946") && is("10.0.0.1") && !is("10.0.0.1:7947") && !is("10.0.0.2") && !is("n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_does_not_answer_delays_the_others_for_a_bounded_time() {
        let begun = tokio::time::Instant::now();
        let why = limited(core::future::pending()).await.unwrap_err();
        assert_eq!((why.as_str(), begun.elapsed()), ("it has not answered for 15s", SOURCE_TIMEOUT));
        assert!(SOURCE_TIMEOUT > command::TIMEOUT);
    }

    #[test]
    fn a_list_has_words_and_comments() {
        assert_eq!(listed("a b\n# c\n\n d # e\n").unwrap(), ["a", "b", "d"]);
        assert!(listed(" \n#a").is_err());
        assert_eq!(listed(&"a ".repeat(2000)).unwrap().len(), ADDRESSES_MAX);
    }
}
