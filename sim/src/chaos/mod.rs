//! Randomly drawn worlds: sizes, links and combinations of faults, some with a hostile member. First come the faults,
//! during which only the safety rules can be checked; then a quiet period, after which all nodes must agree and receive
//! events from one another.

mod draw;
mod final_checks;

use core::time::Duration;

use serf_proto::{Config, Instant, Rng, Seed};

use self::final_checks::FinalChecks;
use crate::allocations;
use crate::check::Violation;
use crate::hostile::{Attack, AttackSchedule, Hostility};
use crate::world::{Fault, World, WorldOptions};

/// Options of a drawn world, besides its seed.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// Minimum number of nodes; at least 2.
    pub nodes_min: u32,
    /// Maximum number of nodes.
    pub nodes_max: u32,
    /// Number of threads per world. The result does not depend on it.
    pub threads: u32,
    /// Virtual time during which faults are injected.
    pub faults_time: Duration,
    /// The nodes' options. Snapshots and a key are added at random; in a hostile world codecs and compression too.
    pub config: Config,
    /// Which worlds also have a hostile member.
    pub hostility: Hostility,
    /// The node whose inputs and outputs are printed to stderr.
    pub trace: Option<u32>,
}

/// Result of a drawn world.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChaosReport {
    /// The seed.
    pub seed: u64,
    /// Number of nodes, without those that started after the faults.
    pub nodes: u32,
    /// The injected faults, in order.
    pub faults: Vec<(Instant, Fault)>,
    /// The hostile member, if there was one.
    pub hostile: Option<HostileReport>,
    /// Violated rules, and views that were still wrong at the end.
    pub violations: Vec<Violation>,
    /// Nodes that were up at the end and missed the final events.
    pub deaf: Vec<u32>,
    /// Number of suspicions: evidence that the faults had an effect.
    pub suspicions: u64,
    /// Largest state of a node after the faults, once all had settled, in bytes: see [`World::content_bytes`].
    pub content_bytes_max: usize,
    /// Virtual duration.
    pub virtual_time: Duration,
    /// The trace hash.
    pub trace_hash: u64,
}

/// The hostile member of a world, and its effects.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostileReport {
    /// Its host number.
    pub host: u32,
    /// The kinds of attack that it used.
    pub attacks: Vec<Attack>,
    /// Whether it had joined the cluster.
    pub joined: bool,
    /// Number of its datagrams that nodes handled.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Bytes of the datagrams that nodes sent within the calls that handled them.
    pub bytes_out: u64,
    /// Bytes of the datagram with the largest amplification towards addresses of non-members, and bytes of the answers
    /// to it.
    pub worst_answer: (u64, u64),
    /// Heap growth of the world during the attack, per node, in bytes. Only if the program counts allocations, and only
    /// correct while a single world runs.
    pub heap_bytes_a_node: Option<i64>,
}

impl ChaosReport {
    /// Whether all rules held and all nodes agreed at the end.
    pub fn is_fine(&self) -> bool {
        self.violations.is_empty() && self.deaf.is_empty()
    }

    /// Returns the attacks of the hostile member up to `at`, each kind once, the latest first.
    pub fn attacks_before(&self, at: Instant) -> Vec<Attack> {
        let mut attacks = Vec::new();
        for (_, fault) in self.faults.iter().rev().filter(|(struck_at, _)| *struck_at <= at) {
            if let Fault::Assault(attack) = fault
                && !attacks.contains(attack)
            {
                attacks.push(*attack);
            }
        }
        attacks
    }
}

/// Draws a world from `seed`, injects its faults, waits for the time that agreement may take, and checks the result.
pub fn chaos(seed: u64, options: &ChaosOptions) -> ChaosReport {
    let mut rng = Rng::stream(&Seed::from_u64(seed).child(CHILD_CHAOS), 0);
    let mut hostile_rng = Rng::stream(&Seed::from_u64(seed).child(CHILD_HOSTILE), 0);
    let mut world_options = draw::world(&mut rng, seed, options);
    let nodes = world_options.nodes;
    let is_hostile = match options.hostility {
        Hostility::Never => false,
        Hostility::Drawn => hostile_rng.below(2) == 0,
        Hostility::Always | Hostility::Only(_) => true,
    };
    if is_hostile {
        draw::make_hostile(&mut hostile_rng, &mut world_options);
    }
    let has_faults = !is_hostile || hostile_rng.below(2) == 0;
    let mut world = World::new(world_options.clone());
    if let Some(node) = options.trace.filter(|node| *node < world_options.hosts()) {
        world.print_trace(node);
    }
    if !has_faults {
        world.mend_links();
        world.expect_names_kept();
    }
    world.start_first(nodes, JOIN_SPREAD);
    world.run_for(JOIN_SPREAD + JOIN_TIME);
    let mut faults =
        if has_faults { draw::faults(&mut rng, nodes, world.now(), options.faults_time) } else { Vec::new() };
    let schedule = is_hostile.then(|| {
        AttackSchedule::draw(
            &mut hostile_rng,
            options.hostility,
            world.now() + HONEST_FOR,
            options.faults_time - HONEST_FOR,
        )
    });
    let heap_before = allocations::live_bytes();
    if let Some(schedule) = &schedule {
        world.start_hostile(nodes, schedule.joins);
        faults.extend(schedule.at.iter().map(|(at, attack)| (*at, Fault::Assault(*attack))));
        faults.sort_by_key(|(at, _)| *at);
    }
    for (at, fault) in &faults {
        world.plan(*at, fault.clone());
    }
    world.run_for(options.faults_time);
    let hostile = schedule.as_ref().map(|schedule| report_hostile(&world, schedule, heap_before));
    let mut checks = FinalChecks::new(&mut world, &world_options, nodes, seed);
    checks.end_faults(schedule.as_ref().map(|schedule| schedule.after_attack));
    checks.run(is_hostile);
    let FinalChecks { violations, deaf, content_bytes_max, .. } = checks;
    let suspicions =
        (0..world.nodes()).filter_map(|node| world.node(node)).map(|node| node.stats().suspicions_raised).sum();
    ChaosReport {
        seed,
        nodes,
        faults,
        hostile,
        violations,
        deaf,
        suspicions,
        content_bytes_max,
        virtual_time: world.now() - Instant::ZERO,
        trace_hash: world.trace_hash(),
    }
}

fn report_hostile(world: &World, schedule: &AttackSchedule, heap_before: Option<i64>) -> HostileReport {
    let echo = world.tally().hostile;
    let grown = allocations::live_bytes().zip(heap_before).map(|(after, before)| after - before);
    HostileReport {
        host: world.nodes(),
        attacks: schedule.kinds.iter().copied().collect(),
        joined: schedule.joins,
        datagrams: echo.datagrams,
        bytes_in: echo.bytes_in,
        bytes_out: echo.bytes_out,
        worst_answer: echo.worst,
        heap_bytes_a_node: grown.map(|grown| grown / i64::from(world.nodes())),
    }
}

impl WorldOptions {
    fn hosts(&self) -> u32 {
        self.nodes + u32::from(self.has_hostile)
    }
}

const JOIN_SPREAD: Duration = Duration::from_secs(5);

/// Most nodes know most others after this time; incomplete joins make the test harder.
const JOIN_TIME: Duration = Duration::from_secs(15);

/// Time during which the hostile member behaves honestly, so that the members get to know each other.
const HONEST_FOR: Duration = Duration::from_secs(5);

/// RNG stream of the draws, separate from the world's own streams.
const CHILD_CHAOS: u64 = 1_000;
const CHILD_HOSTILE: u64 = 1_001;
