//! The life of an agent, from its settings to its exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serf_tokio::Serf;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::joining::{self, Retry};
use super::metrics::Metrics;
use super::scripts::Scripts;
use super::setup::{self, Files};
use super::signals::{Signal, Signals};
use super::supervisor::{self, Phase};
use super::{Agent, Stop, discovery, events, sinks};
use crate::config::{Config, Draft};
use crate::log::{Level, Log, Syslog, TraceLog};
use crate::rpc::server::{Listener, Streams, serve};

/// Runs an agent until it is told to end. `args` are read again for a reload. Whether it ended well;
/// if not, it has said why.
pub(crate) fn run(config: Config, args: &[OsString]) -> bool {
    let log = match Log::new(config.log_level, Box::new(io::stdout())) {
        Ok(log) => Arc::new(log),
        Err(error) => {
            eprintln!("The log cannot be started: {error}");
            return false;
        }
    };
    // A second agent in one process, which only tests have, leaves the node's words to the first.
    _ = tracing::subscriber::set_global_default(TraceLog::new(Arc::clone(&log)));
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        let ended = runtime.block_on(live(config, args, &log));
        // Nobody waits for a name server.
        runtime.shutdown_background();
        ended
    });
    let ended_well = match ended {
        Ok(Ok(ended_well)) => ended_well,
        Ok(Err(why)) => failed(&log, &why),
        Err(error) => failed(&log, &format!("The runtime cannot be started: {error}")),
    };
    log.flush();
    ended_well
}

/// What was logged until then helps to understand why.
fn failed(log: &Log, why: &str) -> bool {
    log.output(why);
    log.release();
    false
}

/// Whether it ended well; the error is why it did not begin.
async fn live(config: Config, args: &[OsString], log: &Arc<Log>) -> Result<bool, String> {
    let mut signals = Signals::new().map_err(|error| format!("Signals cannot be received: {error}"))?;
    if let Some(facility) = config.syslog_facility {
        let syslog = Syslog::connect(facility);
        log.set_syslog(syslog.map_err(|_| "Syslog setup failed: Unix syslog delivery error".to_owned())?);
    }
    log.output("Starting Serf agent...");
    let files = Files::read(&config, log).map_err(|why| format!("Failed to setup the Serf agent: {why}"))?;
    log.info("agent", "Serf agent starting");
    let options = setup::options(&config, files);
    let previous = setup::previously_known(&config);
    let started = options.and_then(|options| Serf::start_with_events(options).map_err(setup::start_failure));
    let (serf, events) =
        started.map_err(|why| format!("Failed to start the Serf agent: Error creating Serf: {why}"))?;
    for (name, addr) in previous.iter().take(REJOINS_TOLD_MAX) {
        log.info("serf", format_args!("Attempting re-join to previously known node: {name}: {addr}"));
    }
    let (agent, stop) = Agent::new(&config, serf, Arc::clone(log));
    tokio::spawn(events::pump(Arc::clone(&agent), events, previous));
    if let Some(mdns) = &config.mdns {
        let found = discovery::start(&agent, mdns, config.replay_on_join);
        found.map_err(|why| format!("Error starting mDNS listener: {why}"))?;
    }
    let listener = Listener::bind(&config.rpc_addr).await;
    let listener = listener.map_err(|why| format!("Error starting RPC listener: {why}"))?;
    log.output("Starting Serf agent RPC...");
    let rpc_addr = listener.shown(&config.rpc_addr);
    let clients = tokio::spawn(serve(Arc::clone(&agent), listener));
    agent.banner(&config, &rpc_addr);
    let mut life = Life { agent, args, stop, leaves: Leaves::of(&config), tags: config.tags.clone() };
    let begun = tokio::select! {
        joined = life.agent.start_join(&config) => joined,
        signal = first(&mut signals) => {
            log.output(&format!("Caught signal: {}", signal.name()));
            Err(String::new())
        }
    };
    if let Err(why) = begun {
        life.agent.end().await;
        return if why.is_empty() { Ok(false) } else { Err(why) };
    }
    log.detail("");
    log.output("Log data will now stream in as it occurs:\n");
    log.release();
    if !config.retry_join.is_empty() {
        tokio::spawn(joining::retry(Arc::clone(&life.agent), Retry::new(&config)));
    }
    if life.agent.metrics.has_sink() {
        let agent = Arc::clone(&life.agent);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(MEASURE_INTERVAL).await;
                agent.measure();
            }
        });
    }
    supervisor::tell(Phase::Ready, log);
    let ended_well = life.run(&mut signals).await;
    clients.abort();
    // Drops the listener, which removes its socket file.
    _ = clients.await;
    life.agent.end().await;
    Ok(ended_well)
}

/// The next signal that ends.
async fn first(signals: &mut Signals) -> Signal {
    loop {
        let signal = signals.next().await;
        if matches!(signal, Signal::Interrupt | Signal::Terminate) {
            return signal;
        }
    }
}

/// Which signals leave the cluster.
#[derive(Clone, Copy, Debug)]
struct Leaves {
    on_interrupt: bool,
    on_terminate: bool,
}

impl Leaves {
    const fn of(config: &Config) -> Self {
        Self { on_interrupt: !config.skip_leave_on_interrupt, on_terminate: config.leave_on_terminate }
    }
}

/// An agent that runs.
struct Life<'a> {
    agent: Arc<Agent>,
    args: &'a [OsString],
    stop: watch::Receiver<Option<Stop>>,
    leaves: Leaves,
    /// The tags in the settings.
    tags: BTreeMap<String, String>,
}

impl Life<'_> {
    /// Until the end; whether it is a good one.
    async fn run(&mut self, signals: &mut Signals) -> bool {
        loop {
            let signal = tokio::select! {
                signal = signals.next() => signal,
                stop = self.stop.wait_for(Option::is_some) => {
                    let ended_well = stop.is_ok_and(|stop| *stop != Some(Stop::NobodyAnswers));
                    supervisor::tell(Phase::Stopping, &self.agent.log);
                    return ended_well;
                }
            };
            if signal == Signal::Dump {
                self.agent.measure();
                // Nobody may read it.
                _ = io::stderr().write_all(self.agent.metrics.dump().as_bytes());
                continue;
            }
            self.agent.log.output(&format!("Caught signal: {}", signal.name()));
            if signal == Signal::Hangup {
                supervisor::tell(Phase::Reloading, &self.agent.log);
                self.reload().await;
                supervisor::tell(Phase::Ready, &self.agent.log);
                continue;
            }
            supervisor::tell(Phase::Stopping, &self.agent.log);
            return match signal {
                Signal::Interrupt if self.leaves.on_interrupt => self.leave(signals).await,
                Signal::Terminate if self.leaves.on_terminate => self.leave(signals).await,
                _ => false,
            };
        }
    }

    /// Leaves the cluster, but not for longer than people wait, nor after they say again that it should end.
    async fn leave(&self, signals: &mut Signals) -> bool {
        self.agent.log.output("Gracefully shutting down agent...");
        let again = async { while signals.next().await == Signal::Dump {} };
        tokio::select! {
            left = timeout(LEAVE_TIMEOUT, self.agent.leave()) => match left {
                Ok(Ok(())) => true,
                Ok(Err(why)) => {
                    self.agent.log.output(&format!("Error: {why}"));
                    false
                }
                Err(_) => false,
            },
            () = again => false,
        }
    }

    /// Reads the settings again, and takes over those that can change (`handleReload` in `command.go`).
    async fn reload(&mut self) {
        let log = &self.agent.log;
        log.output("Reloading configuration...");
        let draft = match Draft::read(self.args) {
            Ok(draft) => draft,
            Err(error) => {
                log.output(&error.to_string());
                return log.output("Failed to reload configs");
            }
        };
        for warning in &draft.warnings {
            log.output(warning);
        }
        let Draft { layer, handlers, .. } = draft;
        match Level::parse(&layer.log_level) {
            Some(level) => log.set_level(level),
            None => {
                let name = layer.log_level.to_uppercase();
                log.output(&format!("Invalid log level: {name}. Valid log levels are: [TRACE DEBUG INFO WARN ERR]"));
            }
        }
        self.agent.scripts.replace(handlers);
        self.leaves = Leaves { on_interrupt: !layer.skip_leave_on_interrupt, on_terminate: layer.leave_on_terminate };
        // Tags in a file were set while we ran. They are not in the settings, and must not be lost with them.
        if layer.tags_file.is_empty() {
            let before = core::mem::replace(&mut self.tags, layer.tags);
            if let Err(why) = self.agent.reload_tags(&before, &self.tags).await {
                self.agent.log.output(&format!("Failed to update tags: {why}"));
            }
        }
    }
}

impl Agent {
    fn new(config: &Config, serf: Serf, log: Arc<Log>) -> (Arc<Self>, watch::Receiver<Option<Stop>>) {
        let (stop, stopped) = watch::channel(None);
        let statsd = config.statsd_addr.clone().map(|addr| sinks::statsd(addr, Arc::clone(&log)));
        let statsite = config.statsite_addr.clone().map(|addr| sinks::statsite(addr, Arc::clone(&log)));
        let host = gethostname::gethostname();
        let sinks = statsd.into_iter().chain(statsite).collect();
        let metrics = Arc::new(Metrics::new(sinks, &host.to_string_lossy()));
        let agent = Arc::new_cyclic(|agent| Self {
            serf,
            metrics,
            rpc_auth: config.rpc_auth.clone(),
            streams: Streams::default(),
            scripts: Scripts::new(agent.clone(), Arc::clone(&log)),
            log,
            protocol: config.protocol,
            resolves_names: !config.disable_name_resolution,
            size_limits: config.size_limits,
            tags_file: Mutex::new(config.tags_file.clone()),
            key_operation: Mutex::default(),
            stop,
        });
        agent.scripts.replace(config.event_handlers.clone());
        (agent, stopped)
    }

    fn banner(&self, config: &Config, rpc_addr: &str) {
        let line = |label: &str, value: &str| self.log.detail(&format!("{label:>27}: {value}"));
        self.log.output("Serf agent running!");
        line("Node name", &format!("'{}'", config.node_name));
        line("Bind addr", &format!("'{}'", self.serf.bound_addr()));
        if let Some(addr) = config.advertise {
            self.log.detail(&format!("Advertise addr: '{addr}'"));
        }
        line("RPC addr", &format!("'{rpc_addr}'"));
        line("Encrypted", &(!self.serf.keys().is_empty()).to_string());
        line("Snapshot", &config.snapshot_path.is_some().to_string());
        line("Profile", config.profile.name());
        line("Message Compression Enabled", &config.compression.to_string());
        if let Some(mdns) = &config.mdns {
            line("mDNS cluster", &mdns.cluster);
        }
    }

    async fn start_join(&self, config: &Config) -> Result<(), String> {
        if config.start_join.is_empty() {
            return Ok(());
        }
        self.log.output(&format!("Joining cluster...(replay: {})", config.replay_on_join));
        let count = self.join(&config.start_join, config.replay_on_join).await?;
        self.log.detail(&format!("Join completed. Synced with {count} initial agents"));
        Ok(())
    }

    /// Stops the node.
    async fn end(&self) {
        self.log.info("agent", "requesting serf shutdown");
        if self.serf.state() != serf_tokio::NodeState::Left {
            self.log.warn("serf", "Shutdown without a Leave");
        }
        _ = timeout(SHUTDOWN_TIMEOUT, self.serf.shutdown()).await;
        self.log.info("agent", "shutdown complete");
    }

    /// Takes the figures that are not counted as they come.
    fn measure(&self) {
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
        ] {
            self.metrics.total(name, total);
        }
        let gauge = |name, value: usize| {
            self.metrics.gauge(name, f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
        };
        gauge("memberlist.health.score", stats.health_score as usize);
        gauge("serf.queue.Intent", stats.queues.intents);
        gauge("serf.queue.Event", stats.queues.events);
        gauge("serf.queue.Query", stats.queues.queries);
        gauge("runtime.num_goroutines", tokio::runtime::Handle::current().metrics().num_alive_tasks());
    }
}

/// How long a leave may take that a signal has caused.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// In a log of a large cluster the rest would drown.
const REJOINS_TOLD_MAX: usize = 16;

/// How often a server is told the figures that are not sent as they change.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);
