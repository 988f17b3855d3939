//! Resolves seeds to addresses before a join starts.

use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::Poll;
use std::collections::BTreeSet;
use std::io;

use serf_proto::canonical;
use serf_proto::limits::SEEDS_AT_ONCE_MAX;

use crate::address::reaches;
use crate::net::Net;
use crate::report::{SeedCause, SeedFailure};
use crate::seed::{Host, Seed};

/// Returns the distinct addresses of all seeds, each with the seed that it comes from, and the seeds without an
/// address. Names are resolved concurrently, so that a slow lookup does not delay the others, with the same limit as
/// concurrent joins.
pub(crate) async fn resolve<N: Net>(
    net: &N,
    bound: SocketAddr,
    seeds: Vec<String>,
) -> (Vec<(SocketAddr, String)>, Vec<SeedFailure>) {
    let mut results = Vec::new();
    for seeds in seeds.chunks(SEEDS_AT_ONCE_MAX) {
        let lookups = seeds.iter().map(|seed| Box::pin(lookup(net, bound, seed)) as Lookup<'_>).collect();
        results.extend(all(lookups).await);
    }
    let (mut addrs, mut failed): (Vec<(SocketAddr, String)>, _) = (Vec::new(), Vec::new());
    for (result, seed) in results.into_iter().zip(&seeds) {
        let found = result.and_then(|found| reachable(found, bound));
        match found {
            Ok(found) => addrs.extend(found.into_iter().map(|addr| (addr, seed.clone()))),
            Err(cause) => failed.push(SeedFailure { seed: seed.clone(), addr: None, cause }),
        }
    }
    let mut seen = BTreeSet::new();
    addrs.retain(|(addr, _)| seen.insert(*addr));
    (addrs, failed)
}

type Lookup<'a> = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, SeedCause>> + Send + 'a>>;

async fn lookup<N: Net>(net: &N, bound: SocketAddr, seed: &str) -> Result<Vec<SocketAddr>, SeedCause> {
    let seed = Seed::parse(seed, bound.port()).map_err(SeedCause::Malformed)?;
    if let Some(addr) = seed.addr() {
        return Ok(vec![addr]);
    }
    let Host::Name(name) = seed.host else { return Ok(Vec::new()) };
    match net.resolve(name, seed.port).await {
        Ok(found) if found.is_empty() => Err(SeedCause::Unresolved(io::ErrorKind::NotFound.into())),
        Ok(found) => Ok(found),
        Err(error) => Err(SeedCause::Unresolved(error)),
    }
}

/// Filters the addresses to those that our socket can send to.
fn reachable(found: Vec<SocketAddr>, bound: SocketAddr) -> Result<Vec<SocketAddr>, SeedCause> {
    let usable: Vec<SocketAddr> = found.into_iter().map(canonical).filter(|addr| reaches(bound, *addr)).collect();
    if usable.is_empty() { Err(SeedCause::OtherKind { bound }) } else { Ok(usable) }
}

/// Runs all lookups concurrently; the results keep the order of the lookups.
async fn all(mut lookups: Vec<Lookup<'_>>) -> Vec<Result<Vec<SocketAddr>, SeedCause>> {
    let mut results: Vec<Option<_>> = lookups.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (lookup, result) in lookups.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(found) = lookup.as_mut().poll(cx)
            {
                *result = Some(found);
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}
