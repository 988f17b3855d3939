//! Joins: single attempts and retries.

use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_lite::future::or;
use serf_proto::{Instant, JoinId, Node, OldEvents, Outbox};
use tracing::{Instrument as _, Span};

use crate::engine::{Joining, Shared};
use crate::join;
use crate::net::Net;
use crate::report::{JoinError, JoinReport, SeedFailure};
use crate::retry::{Pauses, Retry};
use crate::serf::Serf;
use crate::span;

/// Joining.
impl<N: Net> Serf<N> {
    /// Joins a cluster through `seeds`: members' addresses as `host`, `host:port`, `[ipv6]:port`, or each of these
    /// after `name/`. Names are resolved to all their addresses; the default port is our own. All addresses are
    /// contacted, at most sixteen at a time; one success is enough. User events from before the join are not delivered.
    ///
    /// Returns when every seed has answered or failed, which takes at most the stream timeout per sixteen addresses.
    /// Dropping the future does not undo the join; only its result is lost.
    ///
    /// # Errors
    ///
    /// Returns an error if no seed accepted the join, or if the node is leaving or stopped.
    pub async fn join<S: AsRef<str>>(&self, seeds: &[S]) -> Result<JoinReport, JoinError> {
        self.join_with(seeds, OldEvents::Ignore).await
    }

    /// Like [`join`](Self::join), but `old` decides whether user events from before the join are delivered.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub async fn join_with<S: AsRef<str>>(&self, seeds: &[S], old: OldEvents) -> Result<JoinReport, JoinError> {
        attempt(self.shared(), &owned(seeds), old).await
    }

    /// Like [`join_with`](Self::join_with), repeated until a seed accepts the join. Names are resolved again for each
    /// attempt, so seeds may start, or move, later than this node. Dropping the future stops the retries.
    ///
    /// # Errors
    ///
    /// Returns an error if the time limit of `retry` has passed, there is no seed, or the node is leaving or stopped.
    pub async fn join_until<S: AsRef<str>>(
        &self,
        seeds: &[S],
        old: OldEvents,
        retry: Retry,
    ) -> Result<JoinReport, JoinError> {
        let (shared, seeds) = (Arc::clone(self.shared()), owned(seeds));
        let (done, ended) = async_channel::bounded(1);
        // A separate task, because only tasks may sleep; it ends with this future.
        let retries = async move {
            let next = || {
                let (shared, seeds) = (Arc::clone(&shared), seeds.clone());
                Box::pin(async move { attempt(&shared, &seeds, old).await }) as Attempt
            };
            _ = done.try_send(persist(&shared, retry, next).await);
        };
        let task = self.shared().net.spawn(retries.in_current_span());
        let result = ended.recv().await.unwrap_or(Err(JoinError::Stopped));
        drop(task);
        result
    }

    /// Rejoins the cluster of an earlier run, as recorded in the [snapshot](crate::Options::snapshot): contacts the
    /// members that were alive, a few at a time until one answers, then those that had failed. A node with a snapshot
    /// does this by itself at the start.
    ///
    /// # Errors
    ///
    /// Returns [`JoinError::NoSeeds`] if the snapshot names no member; otherwise as [`join`](Self::join).
    pub async fn rejoin(&self, old: OldEvents) -> Result<JoinReport, JoinError> {
        rejoin(self.shared(), old).await
    }
}

type Attempt = Pin<Box<dyn Future<Output = Result<JoinReport, JoinError>> + Send>>;

fn owned<S: AsRef<str>>(seeds: &[S]) -> Vec<String> {
    seeds.iter().map(|seed| seed.as_ref().to_owned()).collect()
}

/// Resolves the seeds and contacts all addresses.
async fn attempt<N: Net>(shared: &Arc<Shared<N>>, seeds: &[String], old: OldEvents) -> Result<JoinReport, JoinError> {
    let span = span::join(seeds.len());
    let result = contact(shared, seeds, old, &span).instrument(span.clone()).await;
    span::join_ended(&span, &result);
    result
}

async fn contact<N: Net>(
    shared: &Arc<Shared<N>>,
    seeds: &[String],
    old: OldEvents,
    span: &Span,
) -> Result<JoinReport, JoinError> {
    let (addrs, failed) = join::resolve(&shared.net, shared.bound, seeds.to_vec()).await;
    if addrs.is_empty() {
        let empty = JoinReport { contacted: 0, failed, attempts: 1 };
        return Err(if empty.failed.is_empty() { JoinError::NoSeeds } else { JoinError::NoSeedAnswered(empty) });
    }
    let only_addrs: Vec<SocketAddr> = addrs.iter().map(|(addr, _)| *addr).collect();
    let mut report = ended(shared, |node, now, out| node.join(now, &only_addrs, old, out), &addrs, span).await?;
    report.failed.extend(failed);
    // Failures come in order of completion; report them in the order of the seeds.
    let mut places = BTreeMap::new();
    for (place, seed) in seeds.iter().enumerate() {
        places.entry(seed.as_str()).or_insert(place);
    }
    report.failed.sort_by_key(|failure| places.get(failure.seed.as_str()).copied());
    if report.contacted == 0 { Err(JoinError::NoSeedAnswered(report)) } else { Ok(report) }
}

async fn rejoin<N: Net>(shared: &Arc<Shared<N>>, old: OldEvents) -> Result<JoinReport, JoinError> {
    let span = span::join(0);
    let begin = |node: &mut Node, now, out: &mut Outbox| node.rejoin(now, old, out);
    let result = ended(shared, begin, &[], &span).instrument(span.clone()).await;
    let result = result
        .and_then(|report| if report.contacted == 0 { Err(JoinError::NoSeedAnswered(report)) } else { Ok(report) });
    span::join_ended(&span, &result);
    result
}

/// Rejoins until another member is known, whichever node contacted the other.
pub(crate) async fn rejoin_until_found<N: Net>(shared: Arc<Shared<N>>) {
    let next = || {
        let shared = Arc::clone(&shared);
        Box::pin(async move { rejoin(&shared, OldEvents::Deliver).await }) as Attempt
    };
    match until_found(&shared, next).await {
        Ok(report) => tracing::info!(attempts = report.attempts, "rejoined the cluster of an earlier run"),
        // The snapshot named no reachable member, or the node stopped.
        Err(JoinError::NoSeeds | JoinError::Stopped | JoinError::Leaving) => {}
        Err(error) => tracing::info!(%error, "stopped rejoining the cluster of an earlier run"),
    }
}

/// Joins until another member is known, whichever node contacted the other. The seeds may list the whole cluster
/// including this node: reaching only itself does not count.
pub(crate) async fn join_until_found<N: Net>(shared: Arc<Shared<N>>, seeds: Vec<String>, old: OldEvents) {
    let next = || {
        let (shared, seeds) = (Arc::clone(&shared), seeds.clone());
        Box::pin(async move { attempt(&shared, &seeds, old).await }) as Attempt
    };
    match until_found(&shared, next).await {
        Ok(report) => tracing::info!(attempts = report.attempts, "joined the cluster"),
        Err(error) => tracing::info!(%error, "stopped joining the cluster"),
    }
}

/// Repeats attempts until another member is alive.
async fn until_found<N: Net>(
    shared: &Arc<Shared<N>>,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<JoinReport, JoinError> {
    let next = || {
        let (shared, attempt) = (Arc::clone(shared), attempt());
        Box::pin(async move {
            if !shared.lock().node.is_alone() {
                return Ok(JoinReport { contacted: 0, failed: Vec::new(), attempts: 0 });
            }
            let report = attempt.await?;
            if shared.lock().node.is_alone() { Err(JoinError::NoSeedAnswered(report)) } else { Ok(report) }
        }) as Attempt
    };
    persist(shared, Retry::default(), next).await
}

/// Starts a join and waits for its end. `names` are the seeds that the addresses come from.
async fn ended<N: Net>(
    shared: &Arc<Shared<N>>,
    begin: impl FnOnce(&mut Node, Instant, &mut Outbox) -> Result<JoinId, serf_proto::JoinError>,
    names: &[(SocketAddr, String)],
    span: &Span,
) -> Result<JoinReport, JoinError> {
    let (done, waiting) = async_channel::bounded(1);
    let begun = shared.call(|engine, now, out| {
        let id = begin(&mut engine.node, now, out)?;
        let addrs = if span.is_disabled() { BTreeSet::new() } else { names.iter().map(|(addr, _)| *addr).collect() };
        // Before the streams are opened, whose spans are its children.
        engine.joins.insert(id, Joining { done, span: span.clone(), addrs });
        Ok(())
    });
    match begun {
        Some(Ok(())) => {}
        Some(Err(serf_proto::JoinError::NoSeeds)) => return Err(JoinError::NoSeeds),
        Some(Err(_)) => return Err(JoinError::Leaving),
        None => return Err(JoinError::Stopped),
    }
    let report = waiting.recv().await.map_err(|_| JoinError::Stopped)?;
    let names: BTreeMap<SocketAddr, &String> = names.iter().map(|(addr, seed)| (*addr, seed)).collect();
    let dials = &mut shared.lock().dials;
    let failed = report.failed.into_iter().map(|failure| {
        let seed = names.get(&failure.addr).map_or_else(|| failure.addr.to_string(), |seed| (*seed).clone());
        SeedFailure { seed, addr: Some(failure.addr), cause: dials.cause(&failure) }
    });
    Ok(JoinReport { contacted: report.contacted, failed: failed.collect(), attempts: 1 })
}

/// Repeats attempts with growing pauses until one reaches a member. For spawned tasks only.
async fn persist<N: Net>(
    shared: &Arc<Shared<N>>,
    retry: Retry,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<JoinReport, JoinError> {
    let give_up_at = retry.give_up_after.map_or(Instant::MAX, |after| shared.net.now() + after);
    let mut pauses = Pauses::new(&retry, shared.retries.rng());
    for attempts in 1.. {
        let failed = match attempt().await {
            Ok(report) => return Ok(JoinReport { attempts, ..report }),
            Err(JoinError::NoSeedAnswered(report)) => JoinError::NoSeedAnswered(JoinReport { attempts, ..report }),
            Err(error) => return Err(error),
        };
        let pause = pauses.next();
        if shared.net.now() + pause >= give_up_at {
            return Err(failed);
        }
        tracing::warn!(%failed, attempts, ?pause, "will try again");
        let stopped = async { _ = shared.gone.recv().await };
        or(shared.net.sleep(pause), stopped).await;
    }
    Err(JoinError::Stopped)
}
