//! Runs an agent, from its settings to its exit code.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serf_tokio::{CodecChoice, End, NodeState, Serf};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::bootstrap::Bootstrap;
use super::files::FileLimit;
use super::health::Health;
use super::joining::Joins;
use super::life::Life;
use super::metrics::Metrics;
use super::reaper::Children;
use super::scripts::{Order, Scripts};
use super::seeds::Seeds;
use super::setup::{self, Files};
use super::status_page::StatusPage;
use super::supervisor::Supervisor;
use super::{Agent, Stop, capture, discovery, events, panics, sinks, web};
use crate::config::{Config, Settings, count, duration, given};
use crate::endpoint::go_words;
use crate::log::{Log, Syslog, TraceLog};
use crate::platform::{Phase, Signal, Signals};
use crate::rpc::RpcAddress;
use crate::rpc::server::{ListenError, Listener, Streams, listen, serve};

/// Runs an agent until it stops. A reload reads `args` again. Returns whether it ended well; if not, the reason was
/// logged.
pub(crate) fn run(config: Config, args: &[OsString]) -> bool {
    let log = match Log::new(config.log_level, Box::new(io::stdout())) {
        Ok(log) => Arc::new(log),
        Err(error) => {
            eprintln!("The log cannot be started: {}", go_words(&error));
            return false;
        }
    };
    log.set_format(config.log_format, &config.settings.node_name);
    panics::end_the_process(&log, given(&config.settings.capture).is_some());
    // Only tests run a second agent in one process; the node's log records then go to the first.
    _ = tracing::subscriber::set_global_default(TraceLog::new(Arc::clone(&log)));
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        let ended = runtime.block_on(live(config, args, &log));
        // Does not wait for name lookups in progress.
        runtime.shutdown_background();
        ended
    });
    let ended_well = match ended {
        Ok(Ok(ended_well)) => ended_well,
        Ok(Err(why)) => failed(&log, &why),
        Err(error) => failed(&log, &format!("The runtime cannot be started: {}", go_words(&error))),
    };
    log.flush();
    ended_well
}

/// Prints the records logged so far, which help to explain the failure.
fn failed(log: &Log, why: &str) -> bool {
    log.output(why);
    log.release();
    false
}

/// Runs the agent. Returns whether it ended well; the error says why it did not start.
async fn live(config: Config, args: &[OsString], log: &Arc<Log>) -> Result<bool, String> {
    let mut signals = Signals::new().map_err(|error| format!("Signals cannot be received: {}", go_words(&error)))?;
    if let Some(facility) = config.syslog_facility {
        let syslog = Syslog::connect(facility);
        log.set_syslog(syslog.map_err(|_| "Syslog setup failed: Unix syslog delivery error".to_owned())?);
    }
    log.output("Starting Serf agent...");
    let files = Files::read(&config, log).map_err(|why| format!("Failed to setup the Serf agent: {why}"))?;
    log.info("agent", "Serf agent starting");
    let options = setup::options(&config, files);
    let previous = setup::previously_known(&config, log);
    let started = options.and_then(|options| {
        Serf::builder(options).start_with_events().map_err(|error| setup::start_failure(error, config.bind))
    });
    let (serf, events) =
        started.map_err(|why| format!("Failed to start the Serf agent: Error creating Serf: {why}"))?;
    for (name, addr) in previous.iter().take(REJOINS_LOGGED_MAX) {
        log.info("serf", format_args!("Attempting re-join to previously known node: {name}: {addr}"));
    }
    let bootstrap = Bootstrap::new(count(config.settings.bootstrap_expect), previous.is_empty());
    let (agent, stop) = Agent::new(&config, serf, bootstrap, Arc::clone(log));
    agent.children.reap_orphans();
    tokio::spawn(end_with_node(Arc::clone(&agent)));
    tokio::spawn(events::pump(Arc::clone(&agent), events, previous));
    if let Some(mdns) = &config.mdns {
        let found = discovery::start(&agent, mdns, config.settings.replay_on_join);
        found.map_err(|why| format!("Error starting mDNS listener: {why}"))?;
    }
    let (clients, rpc_addr) = agent.listen(&config).await?;
    let (watchers, metrics_addr) = agent.listen_for_watchers(&config).await?;
    agent.banner(&config, &rpc_addr, metrics_addr.as_deref());
    // A client that gets a reply must find the banner printed; no task has run yet.
    log.flush();
    let joins = Joins::new(&agent, &config.settings);
    let begun = tokio::select! {
        joined = agent.start_join(&config) => joined,
        signal = first(&mut signals) => {
            log.output(&format!("Caught signal: {}", signal.name()));
            Err(String::new())
        }
    };
    if let Err(why) = begun {
        agent.end().await;
        return if why.is_empty() { Ok(false) } else { Err(why) };
    }
    log.detail("");
    log.output("Log data will now stream in as it occurs:\n");
    log.release();
    if agent.metrics.has_sink() {
        let agent = Arc::clone(&agent);
        tokio::spawn(async move {
            for seconds in 1_u64.. {
                tokio::time::sleep(MEASURE_INTERVAL).await;
                agent.measure();
                if seconds.is_multiple_of(QUEUES_EVERY) {
                    agent.measure_queues();
                }
            }
        });
    }
    let interval = duration(config.settings.beacon_interval);
    if !interval.is_zero() {
        tokio::spawn(send_beacons(Arc::clone(&agent), interval));
    }
    let supervisor = Supervisor::new(log);
    supervisor.notify(Phase::Ready);
    let mut life = Life::begin(Arc::clone(&agent), &supervisor, args, stop, &config.settings, joins);
    let ended_well = life.run(&mut signals).await;
    watchers.abort();
    clients.abort();
    // Drops the listener, which removes its socket file.
    _ = clients.await;
    agent.end().await;
    supervisor.close();
    if *agent.stop.borrow() == Some(Stop::NameLost) {
        // Repeats the reason as the last record of the log, where operators look first.
        log.error("agent", "The agent has ended because another node has its name; names must be unique");
    }
    Ok(ended_well)
}

/// Measures the dissemination time to all members at each interval, until the node leaves.
async fn send_beacons(agent: Arc<Agent>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        if agent.serf.state() != NodeState::Alive {
            return;
        }
        match agent.serf.beacon().await {
            Ok(beacon) if beacon.silent.is_empty() => {
                let text = format_args!("beacon: all {} other members were reached in {:?}", beacon.acks, beacon.took);
                agent.log.debug("agent", text);
            }
            Ok(beacon) => {
                let silent: Vec<&str> = beacon.silent.iter().take(SILENT_LOGGED_MAX).map(|name| &**name).collect();
                let (count, took) = (beacon.silent.len(), beacon.took);
                let text =
                    format_args!("beacon: {count} members did not acknowledge in {took:?}: {}", silent.join(", "));
                agent.log.warn("agent", text);
            }
            // Too many queries are running, or the node is stopping.
            Err(error) => agent.log.debug("agent", format_args!("no beacon is sent: {error}")),
        }
    }
}

/// Stops the agent when its node has stopped by itself.
async fn end_with_node(agent: Arc<Agent>) {
    match agent.serf.wait().await {
        End::Left(_) | End::ShutDown => {}
        end => {
            agent.log.error("serf", end);
            agent.stop(Stop::NodeEnded);
        }
    }
}

/// Waits for the next signal that ends the agent.
async fn first(signals: &mut Signals) -> Signal {
    loop {
        let signal = signals.next().await;
        if matches!(signal, Signal::Interrupt | Signal::Terminate) {
            return signal;
        }
    }
}

impl Agent {
    pub(super) fn new(
        config: &Config,
        serf: Serf,
        bootstrap: Bootstrap,
        log: Arc<Log>,
    ) -> (Arc<Self>, watch::Receiver<Option<Stop>>) {
        let (stop, stopped) = watch::channel(None);
        let settings = &config.settings;
        let statsd = given(&settings.statsd_addr).map(|addr| sinks::statsd(addr.into(), Arc::clone(&log)));
        let statsite = given(&settings.statsite_addr).map(|addr| sinks::statsite(addr.into(), Arc::clone(&log)));
        let host = gethostname::gethostname();
        let sinks = statsd.into_iter().chain(statsite).collect();
        let metrics = Arc::new(Metrics::new(sinks, &host.to_string_lossy()));
        let agent = Arc::new_cyclic(|agent| Self {
            serf,
            metrics,
            tally: Arc::default(),
            health: Health::default(),
            bootstrap,
            status_page: settings.ui.then(StatusPage::default),
            rpc_auth: settings.rpc_auth.clone(),
            listing: Mutex::default(),
            streams: Streams::default(),
            scripts: Scripts::new(agent.clone(), Arc::clone(&log)),
            children: Children::default(),
            files: FileLimit::raise(),
            capture: capture::of(settings),
            log,
            protocol: config.protocol,
            resolves_names: !settings.disable_name_resolution,
            codec: config.codec,
            size_limits: config.size_limits,
            tags_file: Mutex::new(given(&settings.tags_file).map(PathBuf::from)),
            key_operation: Mutex::default(),
            stop,
        });
        agent.scripts.replace(config.event_handlers.clone(), Order::of(settings));
        (agent, stopped)
    }

    /// Starts the RPC server, unless RPC is off. Returns the task, and the address as the banner shows it.
    async fn listen(self: &Arc<Self>, config: &Config) -> Result<(JoinHandle<()>, String), String> {
        let addr = &config.settings.rpc_addr;
        if addr == NO_RPC {
            return Ok((tokio::spawn(core::future::ready(())), NO_RPC.into()));
        }
        let listener = Listener::bind(addr).await;
        let listener = listener.map_err(|why| format!("Error starting RPC listener: {why}"))?;
        self.log.output("Starting Serf agent RPC...");
        let shown = listener.shown(addr);
        Ok((tokio::spawn(serve(Arc::clone(self), listener)), shown))
    }

    /// Starts the HTTP server, if an address is configured.
    async fn listen_for_watchers(
        self: &Arc<Self>,
        config: &Config,
    ) -> Result<(JoinHandle<()>, Option<String>), String> {
        let Some(addr) = given(&config.settings.metrics_addr) else {
            if self.status_page.is_some() {
                return Err("Error starting the status page: -ui needs -metrics-addr".into());
            }
            return Ok((tokio::spawn(core::future::ready(())), None));
        };
        let failed = |why: ListenError| format!("Error starting metrics listener: {why}");
        let parsed = RpcAddress::parse(addr).map_err(|error| failed(ListenError::Address(error)))?;
        let RpcAddress::Tcp { host, port } = parsed else {
            return Err("Error starting metrics listener: it must be on a TCP port".into());
        };
        let listener = listen(host, port).await.map_err(failed)?;
        let shown = listener.local_addr().map_or_else(|_| addr.to_owned(), |addr| addr.to_string());
        Ok((tokio::spawn(web::serve(Arc::clone(self), listener)), Some(shown)))
    }

    fn banner(&self, config: &Config, rpc_addr: &str, metrics_addr: Option<&str>) {
        let line = |label: &str, value: &str| self.log.detail(&format!("{label:>27}: {value}"));
        let settings = &config.settings;
        self.log.output("Serf agent running!");
        line("Node name", &format!("'{}'", settings.node_name));
        let bound = SocketAddr::new(config.bind.ip(), self.serf.bound_addr().port());
        line("Bind addr", &format!("'{bound}'"));
        if let Some(addr) = config.advertise {
            self.log.detail(&format!("Advertise addr: '{addr}'"));
        }
        line("RPC addr", &format!("'{rpc_addr}'"));
        line("Encrypted", &(!self.serf.keys().is_empty()).to_string());
        line("Snapshot", &(!settings.snapshot_path.is_empty()).to_string());
        line("Profile", config.profile.name());
        line("Message Compression Enabled", &(settings.enable_compression != Some(false)).to_string());
        // The default is not shown: HashiCorp's banner has no such line.
        if config.codec != CodecChoice::HashiCorp {
            line("Codec", &config.codec.to_string());
        }
        if let Some(mdns) = &config.mdns {
            line("mDNS cluster", &mdns.cluster);
        }
        if let Some(addr) = metrics_addr {
            line("Metrics addr", &format!("'{addr}'"));
        }
    }

    async fn start_join(&self, config: &Config) -> Result<(), String> {
        let Settings { start_join, replay_on_join, .. } = &config.settings;
        if start_join.is_empty() {
            return Ok(());
        }
        self.log.output(&format!("Joining cluster...(replay: {replay_on_join})"));
        let addresses = Seeds::new(start_join).addresses(self).await;
        if addresses.is_empty() {
            return Err("no address to join: the sources of start_join give none but that of this agent".into());
        }
        let count = self.join(&addresses, *replay_on_join).await?;
        self.log.detail(&format!("Join completed. Synced with {count} initial agents"));
        Ok(())
    }

    /// Stops the node.
    async fn end(&self) {
        self.log.info("agent", "requesting serf shutdown");
        if self.serf.state() != NodeState::Left {
            self.log.warn("serf", "Shutdown without a Leave");
        }
        if let Ok(Err(why)) = timeout(SHUTDOWN_TIMEOUT, self.serf.shutdown()).await {
            self.log.error("serf", why);
        }
        self.scripts.start_due_runs().await;
        self.log.info("agent", "shutdown complete");
    }

    /// Samples the depths of the queues (`checkQueueDepth` in serf.go).
    fn measure_queues(&self) {
        let queues = self.serf.stats().queues;
        for (name, depth) in [("Intent", queues.intents), ("Event", queues.events), ("Query", queues.queries)] {
            self.metrics.observe(&format!("serf.queue.{name}"), f64::from(u32::try_from(depth).unwrap_or(u32::MAX)));
        }
    }

    /// Collects the metrics that are not counted as they occur.
    pub(super) fn measure(&self) {
        let stats = self.serf.stats();
        let node = &stats.protocol;
        for (name, total) in [
            ("serf.member.join", node.member_joins),
            ("serf.member.left", node.member_leaves),
            ("serf.member.failed", node.member_failures),
            ("serf.member.update", node.member_updates),
            ("serf.member.flap", node.member_flaps),
            ("serf.query_acks", node.query_acks),
            ("serf.query_responses", node.query_responses),
            ("serf.query_duplicate_acks", node.query_duplicate_acks),
            ("serf.query_duplicate_responses", node.query_duplicate_responses),
            ("serf.coordinate.rejected", node.coordinates_rejected),
            ("memberlist.msg.suspect", node.suspicions_raised),
            ("memberlist.msg.dead", node.deaths_declared),
            ("memberlist.degraded.probe", node.probes_saved_by_stream),
            ("memberlist.udp.sent", node.bytes_out),
            ("memberlist.udp.received", node.bytes_in),
            ("memberlist.tcp.sent", node.stream_bytes_out),
            ("memberlist.tcp.accept", node.push_pulls_in),
            ("memberlist.tcp.connect", node.push_pulls_out),
            // With HashiCorp's codec these stay zero, and are not written.
            ("serf.digests.compared", node.digests_compared),
            ("serf.digests.differed", node.digests_differed),
            ("serf.reconciliations.begun", node.reconciliations),
            ("serf.reconciliations.answered", node.reconciliations_answered),
            ("serf.reconciliations.rows", node.rows_reconciled),
            ("serf.reconciliations.events", node.event_reconciliations),
        ] {
            self.metrics.total(name, total);
        }
        let gauge = |name, value: usize| {
            self.metrics.gauge(name, f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
        };
        gauge("memberlist.health.score", stats.health_score as usize);
        gauge("runtime.num_goroutines", tokio::runtime::Handle::current().metrics().num_alive_tasks());
    }
}

/// Limit on the silent members that a record of a beacon names.
const SILENT_LOGGED_MAX: usize = 8;

/// Limit on the members named in the log when they rejoin from the snapshot.
const REJOINS_LOGGED_MAX: usize = 16;

/// How often collected metrics are sent to a server.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Every how many [`MEASURE_INTERVAL`]s the depths of the queues are sampled.
const QUEUES_EVERY: u64 = 30;

/// The value of `rpc_addr` that turns RPC off.
const NO_RPC: &str = "none";

const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);
