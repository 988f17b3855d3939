use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serf_proto::{CodecChoice, Config};

use super::chaos::ChaosCli;
use super::compare::CompareCli;
use super::experiment::{MergeCli, RunCli};
use super::explain::ExplainCli;
#[cfg(feature = "replay")]
use super::replay::ReplayCli;
use super::report::ReportCli;
use crate::experiment::key;
use crate::experiment::options::without_lifeguard;
use crate::net::LinkModel;
use crate::parse::{LatencyRange, duration, latency_range, positive, share, share_of_some};
use crate::phase::{Phase, PhaseSettings};
use crate::profile::{Pace, Profile, StartKind};
use crate::report::Setup;
use crate::results;
use crate::scenario::Scenario;
use crate::world::{NODES_MAX, WorldOptions};

/// Runs thousands of virtual Serf nodes on one virtual network and measures how fast they join, spread events, and
/// detect crashes, leaves and returns.
///
/// Every node is the real protocol with real packets; only time and network are virtual. Equal seeds give equal runs,
/// whatever the number of threads. Durations are written as 20us, 1.5ms, 2s, 3m or 1h.
#[derive(Debug, Parser)]
#[command(name = "sim", version, args_conflicts_with_subcommands = true, max_term_width = 120)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) order: Option<Order>,
    #[command(flatten)]
    pub(super) run: RunOptions,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Order {
    /// Runs a scenario, or a sweep over its parameters and seeds, and writes one results file per run.
    Run(RunCli),
    /// Lists the scenarios that ship with the program.
    List,
    /// Prints a scenario that ships with the program.
    Show {
        /// Its name.
        name: String,
    },
    /// Writes a commented example of a scenario file.
    Init {
        /// The file.
        #[arg(default_value = "scenario.toml")]
        path: PathBuf,
    },
    /// Prints the JSON schema of scenario files.
    Schema,
    /// Merges results files of one version of the simulator into one, sorted by configuration and seed.
    Merge(MergeCli),
    /// Runs many small, randomly drawn worlds with random faults of all kinds, after which all nodes must agree.
    Chaos(ChaosCli),
    /// Measures the cost of a hostile member's messages for the receiving node, by kind of attack, and prints one
    /// table. Use a release build.
    Strikes {
        /// Rounds per attack.
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        rounds: u32,
    },
    /// Runs phases and prints the timeline of one member: who suspected it, why, who confirmed, when it was declared failed,
    /// and how the news spread.
    Explain(Box<ExplainCli>),
    /// Replays captures of real nodes (`serf agent -capture=DIR`): checks that the same node gives the same outputs, and prints
    /// what happened: messages, their senders and times, the node's view and its reasons. Exit code 1 at the first difference.
    #[cfg(feature = "replay")]
    Replay(ReplayCli),
    /// Compares two sets of results on the same seeds. Exit code 1 if a metric became worse, 0 otherwise.
    Compare(CompareCli),
    /// Writes results as one HTML page.
    Report(ReportCli),
    /// Measures the simulator itself at several sizes and prints one table. Takes a minute or two.
    Bench,
}

#[derive(Args, Clone, Debug)]
pub(super) struct RunOptions {
    /// Number of nodes. Memory grows with the square.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    pub(super) nodes: u32,

    /// Share of datagrams that are lost, from 0 to 1 or in percent (5%). Streams lose nothing: TCP retransmits.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    loss: u32,

    /// Seed of all random numbers. Equal seeds give equal runs.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Number of threads. [default: one per processor, but at most one per 1000 nodes]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,

    /// Timing profile of the nodes: lan for one data centre, wan for distant ones, local for one host.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Profile::Lan)]
    profile: Profile,

    /// One-way latency of every packet, drawn uniformly from this range, or one value for all. The minimum must be above
    /// zero.
    #[arg(long, value_name = "MIN..MAX", default_value = "1ms..20ms", value_parser = latency_range)]
    latency: LatencyRange,

    /// Share of datagrams that arrive twice, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    duplicate: u32,

    /// Share of datagrams that are delayed, by up to five times the maximum latency, so that later ones overtake them;
    /// from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    reorder: u32,

    /// Share of stream chunks (up to 64 KiB each) that reset their stream, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    stream_reset: u32,

    /// Send rate of each node on streams, in Mbit/s.
    #[arg(long, value_name = "MBIT/S", default_value = "1000", value_parser = positive)]
    bandwidth: u64,

    /// Pace of gossip: library, what nodes of this project ship with (news at once after a quiet time, a backlog in up to
    /// 16 packets per peer and tick), or hashicorp, memberlist's (one packet per tick).
    #[arg(long = "as", value_name = "KIND", value_enum, default_value_t = Pace::Library)]
    pace: Pace,

    /// Gossip packets that a node may send to one peer per tick while it has a backlog. [default: that of --as]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1024))]
    gossip_packets: Option<u32>,

    /// Codec of the nodes: auto, our own with peers that announce it and HashiCorp's with others; native, only our own;
    /// hashicorp, only HashiCorp's; mixed, every second node only HashiCorp's and the others auto.
    #[arg(long, value_name = "CODEC", value_enum, default_value_t = CodecKind::Auto)]
    codec: CodecKind,

    /// Encrypts all traffic with a 16-byte key drawn from the seed.
    #[arg(long)]
    encrypt: bool,

    /// Compresses packets and streams if that makes them shorter.
    #[arg(long)]
    compress: bool,

    /// Cluster label, the prefix of every packet and stream; at most 255 bytes. [default: none]
    #[arg(long, value_name = "NAME")]
    label: Option<String>,

    /// Start of the nodes: cold, one after another, each joining through earlier ones, or converged, all knowing all.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = StartKind::Cold)]
    start: StartKind,

    /// Virtual time over which the nodes of a cold start arrive.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    join_spread: Duration,

    /// Phases to run; --list names them in the order of execution. A cold start needs join. [default: join, event,
    /// crash, leave, rejoin]
    #[arg(long, value_name = "NAME", value_enum, num_args = 1.., value_delimiter = ',')]
    phase: Vec<Phase>,

    /// Share of the nodes that crash in the crash phase, above 0 and up to 1; at least one does, and never all.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share_of_some)]
    crash_fraction: u32,

    /// Share of the nodes that leave in the leave phase, above 0 and up to 1; at least one does, and never all.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share_of_some)]
    leave_fraction: u32,

    /// Payload of the user event, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=400))]
    event_bytes: u32,

    /// Number of relays for each answer in the query and rotate phases, besides the direct packet.
    #[arg(long, default_value_t = 0, value_name = "N")]
    query_relays: u8,

    /// Bytes per answer in the query phase.
    #[arg(long, default_value_t = 32, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=512))]
    query_answer_bytes: u32,

    /// Share of the nodes that the partition phase isolates from the others, above 0 and up to 1; never all.
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_parser = share_of_some, help_heading = PARTITION)]
    partition_fraction: u32,

    /// Duration of the partition. [default: until both sides have declared each other failed]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = PARTITION)]
    partition_for: Option<Duration>,

    /// Share of the nodes that restart in the restart phase, above 0 and up to 1.
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = share_of_some, help_heading = RESTART)]
    restart_fraction: u32,

    /// Downtime of the restarted nodes.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration, help_heading = RESTART)]
    restart_down: Duration,

    /// Virtual time over which they start again.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration, help_heading = RESTART)]
    restart_spread: Duration,

    /// Share of the nodes that are slow in the slow phase, above 0 and up to 1; never all.
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share_of_some, help_heading = SLOW)]
    slow_fraction: u32,

    /// Duration of each stall of a slow node. Its inputs are queued and handled late.
    #[arg(long, value_name = "DURATION", default_value = "16s", value_parser = duration, help_heading = SLOW)]
    slow_by: Duration,

    /// Time that a slow node runs between two stalls.
    #[arg(long, value_name = "DURATION", default_value = "64ms", value_parser = duration, help_heading = SLOW)]
    slow_gap: Duration,

    /// Duration of the slow phase's stalls.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration, help_heading = SLOW)]
    slow_for: Duration,

    /// Disables Lifeguard: health scores do not slow probes, and suspicions do not wait for confirmations.
    #[arg(long, help_heading = SLOW)]
    no_lifeguard: bool,

    /// Share of the nodes that crash and return repeatedly in the flap phase, above 0 and up to 1; never all.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share_of_some, help_heading = FLAP)]
    flap_fraction: u32,

    /// Crashes per flapping node.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = FLAP)]
    flap_count: u32,

    /// Average time between crashes; a node is down for half of it.
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = duration, help_heading = FLAP)]
    flap_every: Duration,

    /// Places the nodes in a square whose side a packet crosses in this time, in addition to --latency. [default: all
    /// in one place; 50ms for the rtt phase]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = RTT)]
    geometry: Option<Duration>,

    /// Bound of the median relative error of estimated round trips at the end of the rtt phase.
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = share_of_some, help_heading = RTT)]
    rtt_error: u32,

    /// Ends the run with an idle phase of this virtual length.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    idle: Option<Duration>,

    /// Ends the run after this virtual time, in any phase. A phase that has not reached its goal by then fails.
    /// [default: only the phases' own deadlines]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_virtual: Option<Duration>,

    /// Disables the protocol checks. A little faster.
    #[arg(long)]
    no_checks: bool,

    /// Prints all inputs and outputs of this node (from 0) to stderr.
    #[arg(long, value_name = "NODE")]
    pub(super) trace: Option<u32>,

    /// Lists the phases with their options, the network faults and the subcommands; runs nothing.
    #[arg(long)]
    pub(super) list: bool,

    /// Prints the report as one JSON object.
    #[arg(long)]
    pub(super) json: bool,

    /// Writes the report with charts to this file: one HTML page that needs no network and no script.
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,

    /// Writes the results into this directory, as JSON lines for sim report and sim compare.
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) results: Option<PathBuf>,

    /// Writes the convergence curves to this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(super) picture: Option<PathBuf>,

    /// Suppresses progress and remarks; prints only the report.
    #[arg(long)]
    pub(super) quiet: bool,

    /// Starts even if the memory estimate exceeds the available memory.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CodecKind {
    Auto,
    Native,
    Hashicorp,
    Mixed,
}

impl CodecKind {
    const fn choice(self) -> CodecChoice {
        match self {
            Self::Auto | Self::Mixed => CodecChoice::Auto,
            Self::Native => CodecChoice::Native,
            Self::Hashicorp => CodecChoice::HashiCorp,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Hashicorp => "hashicorp",
            Self::Mixed => "mixed",
        }
    }
}

/// A validated combination of options.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) world: WorldOptions,
    pub(super) scenario: Scenario,
    pub(super) setup: Setup,
}

impl RunOptions {
    pub(super) fn is_converged(&self) -> bool {
        self.start == StartKind::Converged
    }

    /// Combines the options, or returns a one-line reason why they contradict each other.
    pub(super) fn plan(&self) -> Result<Plan, String> {
        if let Some(node) = self.trace.filter(|node| *node >= self.nodes) {
            return Err(format!("--trace {node}: nodes are numbered from 0 to {}", self.nodes - 1));
        }
        let threads = self.threads.unwrap_or_else(|| default_threads(self.nodes));
        let model =
            LinkModel::new(self.latency.min, self.latency.max).map_err(|error| format!("--latency: {error}"))?;
        let model = model
            .with_loss_ppm(self.loss)
            .with_duplicate_ppm(self.duplicate)
            .with_reorder_ppm(self.reorder)
            .with_stream_reset_ppm(self.stream_reset)
            .with_bits_per_second(self.bandwidth.saturating_mul(1_000_000))
            .with_square_side(self.square_side());
        let config = self.config()?;
        let gossip_packets = config.swim().gossip_packets_per_tick;
        let world = WorldOptions {
            nodes: self.nodes,
            seed: self.seed,
            threads,
            config,
            mixed_codecs: self.codec == CodecKind::Mixed,
            model,
            has_checks: !self.no_checks,
            has_hostile: false,
        };
        let scenario = Scenario {
            phases: self.phases()?,
            settings: PhaseSettings {
                join_spread: self.join_spread,
                crash_ppm: self.crash_fraction,
                leave_ppm: self.leave_fraction,
                event_bytes: self.event_bytes,
                query_relays: self.query_relays,
                query_answer_bytes: self.query_answer_bytes,
                partition_ppm: self.partition_fraction,
                partition_for: self.partition_for.unwrap_or_default(),
                restart_ppm: self.restart_fraction,
                restart_down: self.restart_down,
                restart_spread: self.restart_spread,
                slow_ppm: self.slow_fraction,
                slow_by: self.slow_by,
                slow_gap: self.slow_gap,
                slow_for: self.slow_for,
                flap_ppm: self.flap_fraction,
                flap_count: self.flap_count,
                flap_every: self.flap_every,
                rtt_error_ppm: self.rtt_error,
                idle: self.idle.unwrap_or_default(),
            },
            is_converged: self.is_converged(),
            virtual_max: self.max_virtual,
        };
        let setup = self.setup(threads, gossip_packets, &scenario);
        Ok(Plan { world, scenario, setup })
    }

    /// Whether a phase restarts processes from their disks.
    pub(super) fn keeps_snapshots(&self) -> bool {
        self.phase.iter().any(|phase| matches!(phase, Phase::Restart | Phase::Flap))
    }

    fn is_encrypted(&self) -> bool {
        self.encrypt || self.phase.contains(&Phase::Rotate)
    }

    fn square_side(&self) -> Duration {
        let default = if self.phase.contains(&Phase::Rtt) { GEOMETRY } else { Duration::ZERO };
        self.geometry.unwrap_or(default)
    }

    fn config(&self) -> Result<Config, String> {
        let options = self.pace.of(self.profile.options()).with(|options| {
            options.transport.codec = self.codec.choice();
            if let Some(packets) = self.gossip_packets {
                options.swim.gossip_packets_per_tick = packets;
            }
            options.serf.snapshot = self.keeps_snapshots();
            options.transport.keyring_kept = true;
            options.transport.encrypt_keys = self.is_encrypted().then(|| key(self.seed)).into_iter().collect();
            options.transport.compression = self.compress;
            options.transport.label = self.label.clone().unwrap_or_default();
        });
        let options = if self.no_lifeguard { without_lifeguard(options) } else { options };
        Config::new(options).map_err(|error| error.to_string())
    }

    fn phases(&self) -> Result<Vec<Phase>, String> {
        let mut phases = if self.phase.is_empty() { Phase::DEFAULT.to_vec() } else { self.phase.clone() };
        if phases.contains(&Phase::Idle) && self.idle.is_none() {
            return Err("--phase idle needs --idle with a duration".to_owned());
        }
        if self.idle.is_some() {
            phases.push(Phase::Idle);
        }
        if !self.is_converged() {
            phases.push(Phase::Join);
        }
        phases.sort_unstable();
        phases.dedup();
        Ok(phases)
    }

    fn setup(&self, threads: u32, gossip_packets: u32, scenario: &Scenario) -> Setup {
        let share = |ppm: u32| f64::from(ppm) / 1e6;
        Setup {
            nodes: self.nodes,
            seed: self.seed,
            threads: threads.min(self.nodes),
            profile: self.profile.name(),
            start: self.start.name(),
            codec: self.codec.name(),
            encrypted: self.is_encrypted(),
            compressed: self.compress,
            loss: share(self.loss),
            duplicate: share(self.duplicate),
            reorder: share(self.reorder),
            latency_min_s: self.latency.min.as_secs_f64(),
            latency_max_s: self.latency.max.as_secs_f64(),
            geometry_s: self.square_side().as_secs_f64(),
            lifeguard: !self.no_lifeguard,
            pace: self.pace.name(),
            gossip_packets,
            checks: !self.no_checks,
            version: results::VERSION,
            stream_reset: share(self.stream_reset),
            bandwidth_mbit_per_s: self.bandwidth,
            label: self.label.clone().unwrap_or_default(),
            virtual_max_s: self.max_virtual.map(|max| max.as_secs_f64()),
            phase_settings: scenario.settings.clone(),
        }
    }
}

/// Small worlds are faster on one thread: a window holds less work than a barrier costs.
fn default_threads(nodes: u32) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    processors.min((nodes / NODES_PER_THREAD).max(1))
}

/// Default square of the rtt phase.
const GEOMETRY: Duration = Duration::from_millis(50);

/// Headings of option groups in the help.
const PARTITION: &str = "Options of the partition phase";
const RESTART: &str = "Options of the restart phase";
const SLOW: &str = "Options of the slow phase";
const FLAP: &str = "Options of the flap phase";
const RTT: &str = "Options of the rtt phase";

const NODES_PER_THREAD: u32 = 1_000;
