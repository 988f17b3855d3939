//! Benchmark of many nodes in one process: real sockets, the lan profile, separate sockets per node. Linux only,
//! because it reads `/proc`. Each runtime's crate has it as its example `many`.

#![expect(clippy::print_stdout, reason = "prints measurements")]

use core::time::Duration;
use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::time::Instant;

use serf_runtime::net::Net;
use serf_runtime::{Coalescing, Event, Events, MemberEventKind, Options, Serf};

type Result<T> = core::result::Result<T, Box<dyn Error>>;

/// Runs the measurements named on the command line: `idle NODES`, `join NODES`, `event NODES`, `flow
/// EVENTS_PER_SECOND`; without arguments all of them with default sizes.
///
/// # Errors
///
/// Returns an error if a node cannot start or join, or if the command line is invalid.
pub async fn measure<N: Net>() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let what = args.next();
    let number = args.next().map(|number| number.parse::<usize>()).transpose()?;
    match what.as_deref() {
        Some("idle") => idle::<N>(number.unwrap_or(100)).await,
        Some("join") => join::<N>(number.unwrap_or(200)).await,
        Some("event") => event::<N>(number.unwrap_or(100)).await,
        Some("flow") => flow::<N>(number.unwrap_or(1000)).await,
        Some(other) => Err(format!("{other}: expected idle, join, event or flow, and a number").into()),
        None => {
            idle::<N>(100).await?;
            event::<N>(100).await?;
            join::<N>(200).await?;
            flow::<N>(1000).await
        }
    }
}

/// Measures processor time and memory of idle nodes.
async fn idle<N: Net>(count: usize) -> Result<()> {
    let empty = memory_kib()?;
    let cluster = Cluster::<N>::join(count, Duration::from_secs(5)).await?;
    let net = N::current()?;
    while cluster.nodes.iter().any(|node| node.stats().queues.swim + node.stats().queues.intents > 0) {
        net.sleep(Duration::from_secs(1)).await;
    }
    net.sleep(Duration::from_secs(3)).await;
    let (cpu, since) = (cpu_time()?, Instant::now());
    net.sleep(IDLE_FOR).await;
    let millis = (cpu_time()? - cpu).as_secs_f64() * 1e3;
    let per_node = millis / since.elapsed().as_secs_f64() / as_f64(count);
    println!("idle: {count} nodes, {per_node:.3} ms of processor per node and second");
    let memory = memory_kib()?.saturating_sub(empty);
    println!(
        "idle: {:.1} kB of memory per node, {memory} kB more than an empty process",
        as_f64(memory) / as_f64(count)
    );
    cluster.end(false).await
}

/// Measures a join of many nodes within ten seconds.
async fn join<N: Net>(count: usize) -> Result<()> {
    let (cpu, since) = (cpu_time()?, Instant::now());
    let cluster = Cluster::<N>::join(count, Duration::from_secs(10)).await?;
    let cpu = (cpu_time()? - cpu).as_secs_f64();
    println!(
        "join: {count} nodes see each other after {:.1} s, {cpu:.2} s of processor",
        since.elapsed().as_secs_f64()
    );
    cluster.end(true).await
}

/// Measures the time until all nodes have received a user event.
async fn event<N: Net>(count: usize) -> Result<()> {
    let cluster = Cluster::<N>::join(count, Duration::from_secs(5)).await?;
    let net = N::current()?;
    let mut events: Vec<Events> =
        cluster.nodes.iter().map(|node| node.events_where(|event| matches!(event, Event::User(_)))).collect();
    let mut times = Vec::new();
    for round in 0..EVENT_ROUNDS {
        net.sleep(Duration::from_millis(1500 + 37 * round as u64)).await;
        let sent = Instant::now();
        cluster.nodes[round * 7 % count].user_event(&format!("round-{round}"), b"payload", Coalescing::Forbid)?;
        for events in &mut events {
            events.next().await.ok_or("a node has stopped")??;
        }
        times.push(sent.elapsed().as_secs_f64());
    }
    times.sort_unstable_by(f64::total_cmp);
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "event: {count} nodes, the last has it after {median:.2} s (median of {EVENT_ROUNDS}), at worst {last:.2} s"
    );
    cluster.end(false).await
}

/// Measures how many user events per second one node can send without loss at two others.
async fn flow<N: Net>(per_second: usize) -> Result<()> {
    let options = |name: &str| {
        let mut options = options(name);
        options.subscriber_events_max = 1_000_000;
        options
    };
    let nodes: Vec<Serf<N>> =
        ["a", "b", "c"].iter().map(|name| Serf::start(options(name))).collect::<core::result::Result<_, _>>()?;
    for node in &nodes[1..] {
        node.join(&[nodes[0].bound_addr().to_string()]).await?;
    }
    let net = N::current()?;
    while nodes.iter().any(|node| node.members().len() < nodes.len()) {
        net.sleep(Duration::from_millis(100)).await;
    }
    let heard = |event: &Event| matches!(event, Event::User(_));
    let mut events: Vec<Events> = nodes[1..].iter().map(|node| node.events_where(heard)).collect();
    let (since, cpu) = (Instant::now(), cpu_time()?);
    let (mut sent, total) = (0, per_second * FLOW_SECONDS);
    while sent < total {
        let due = usize::try_from(since.elapsed().as_millis())? * per_second / 1000;
        while sent < due.min(total) {
            nodes[0].user_event(&format!("event-{sent}"), b"some payload", Coalescing::Forbid)?;
            sent += 1;
        }
        net.sleep(Duration::from_millis(5)).await;
    }
    let seconds = since.elapsed().as_secs_f64();
    let mut lost = Vec::new();
    for events in &mut events {
        let mut names = HashSet::new();
        let all = async {
            while names.len() < total {
                if let Some(Ok(Event::User(event))) = events.next().await {
                    names.insert(event.name);
                }
            }
        };
        futures_lite::future::or(all, net.sleep(Duration::from_secs(5))).await;
        lost.push(total - names.len());
    }
    let cpu = (cpu_time()? - cpu).as_secs_f64();
    println!(
        "flow: {:.0} user events per second for {FLOW_SECONDS} s, lost at the two others: {lost:?}, {cpu:.2} s of processor",
        as_f64(sent) / seconds
    );
    Ok(())
}

/// Nodes that have joined one another.
struct Cluster<N: Net> {
    nodes: Vec<Serf<N>>,
    failures: Vec<Events>,
}

impl<N: Net> Cluster<N> {
    /// Starts nodes in sequence within `within`, each joining through the first, and waits until all see all.
    async fn join(count: usize, within: Duration) -> Result<Self> {
        let net = N::current()?;
        let mut cluster = Self { nodes: Vec::new(), failures: Vec::new() };
        for n in 0..count {
            let node = Serf::start(options(&format!("node-{n}")))?;
            cluster.failures.push(
                node.events_where(
                    |event| matches!(event, Event::Member(event) if event.kind == MemberEventKind::Failed),
                ),
            );
            if let Some(first) = cluster.nodes.first() {
                let seeds = [Serf::bound_addr(first).to_string()];
                let joining = node.clone();
                net.detach(net.spawn(async move {
                    if let Err(error) = joining.join(&seeds).await {
                        println!("join: {error}");
                    }
                }));
            }
            cluster.nodes.push(node);
            net.sleep(within / u32::try_from(count)?).await;
        }
        let mut waiting: Vec<&Serf<N>> = cluster.nodes.iter().collect();
        while !waiting.is_empty() {
            waiting.retain(|node| node.members().len() < count);
            net.sleep(Duration::from_millis(100)).await;
        }
        Ok(cluster)
    }

    /// Stops all nodes and reports how many false failures were observed.
    async fn end(mut self, report: bool) -> Result<()> {
        if report {
            N::current()?.sleep(Duration::from_secs(20)).await;
        }
        let mut failures = 0;
        for events in &mut self.failures {
            while let Some(Some(Ok(_))) = futures_lite::future::poll_once(events.next()).await {
                failures += 1;
            }
        }
        if report || failures > 0 {
            println!("{failures} false failures");
        }
        for node in &self.nodes {
            node.shutdown().await?;
        }
        Ok(())
    }
}

fn options(name: &str) -> Options {
    Options::lan(name).with(|options| options.bind = (core::net::Ipv4Addr::LOCALHOST, 0).into())
}

/// Returns the processor time of all threads.
fn cpu_time() -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Returns the resident memory of the process.
fn memory_kib() -> Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[expect(clippy::cast_precision_loss, reason = "counts of what is here are far below 2^52")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

const IDLE_FOR: Duration = Duration::from_secs(20);
const EVENT_ROUNDS: usize = 20;
const FLOW_SECONDS: usize = 10;
