//! Worlds drawn by luck: sizes, links and faults nobody would think of. First faults, while which only safety can be asked for;
//! then peace, after which everybody must agree, and hear what one of them says.

mod draw;

use core::time::Duration;

use serf_proto::{Config, Instant, Rng, Seed};

use crate::bounds::Bounds;
use crate::check::Violation;
use crate::truth::Standing;
use crate::world::{Fault, World};

/// What worlds are drawn from besides their seeds.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// The least number of nodes; at least 2.
    pub nodes_min: u32,
    /// The greatest.
    pub nodes_max: u32,
    /// For how much virtual time faults strike.
    pub faults_time: Duration,
    /// The nodes' settings. Snapshots and a key are added by luck.
    pub config: Config,
    /// The node whose inputs and outputs are printed to the standard error stream.
    pub trace: Option<u32>,
}

/// What became of a world drawn by luck.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChaosReport {
    /// The seed.
    pub seed: u64,
    /// How many nodes it had.
    pub nodes: u32,
    /// What befell it, in order.
    pub faults: Vec<(Instant, Fault)>,
    /// Rules that were broken, and views that were still wrong at the end.
    pub violations: Vec<Violation>,
    /// Nodes that were up at the end and did not hear the event that was sent then.
    pub deaf: Vec<u32>,
    /// How many suspicions nodes raised: proof that something happened.
    pub suspicions: u64,
    /// How much virtual time passed.
    pub virtual_time: Duration,
    /// The hash of all that happened.
    pub trace_hash: u64,
}

impl ChaosReport {
    /// Whether every rule held and all agreed in the end.
    pub fn is_fine(&self) -> bool {
        self.violations.is_empty() && self.deaf.is_empty()
    }
}

/// Draws a world from `seed`, lets its faults strike, waits as long as agreement may take, and examines it.
pub fn chaos(seed: u64, options: &ChaosOptions) -> ChaosReport {
    let mut luck = Rng::stream(&Seed::from_u64(seed).child(CHILD_CHAOS), 0);
    let world_options = draw::world(&mut luck, seed, options);
    let (nodes, bounds) = (world_options.nodes, Bounds::new(world_options.nodes, &world_options.config));
    let mut world = World::new(world_options);
    if let Some(node) = options.trace.filter(|node| *node < nodes) {
        world.print_trace(node);
    }
    world.start_cold(JOIN_SPREAD);
    world.run_for(JOIN_SPREAD + JOIN_TIME);
    let faults = draw::faults(&mut luck, nodes, world.now(), options.faults_time);
    for (at, fault) in &faults {
        world.plan(*at, fault.clone());
    }
    world.run_for(options.faults_time);
    make_peace(&mut world);
    world.run_for(bounds.heal());
    let mut violations = world.discords(VIOLATIONS_SHOWN);
    world.listen_for(PEACE);
    world.user_event(0, PEACE, b"");
    world.run_for(bounds.event());
    violations.extend(world.violations());
    let suspicions = (0..nodes).filter_map(|node| world.node(node)).map(|node| node.stats().suspicions_raised).sum();
    ChaosReport {
        seed,
        nodes,
        faults,
        violations,
        deaf: world.not_heard(1),
        suspicions,
        virtual_time: world.now() - Instant::ZERO,
        trace_hash: world.trace_hash(),
    }
}

/// Ends every fault: stalled processes go on, crashed ones return, the network is whole and loses nothing more. Who left stays
/// away.
fn make_peace(world: &mut World) {
    world.strike(Fault::Heal);
    world.mend_links();
    for node in world.all(Standing::Paused) {
        world.strike(Fault::Resume(node));
    }
    for node in world.all(Standing::Crashed) {
        world.strike(Fault::Return(node));
    }
    world.settle_departures();
}

const JOIN_SPREAD: Duration = Duration::from_secs(5);

/// Most know most; those who do not are all the better.
const JOIN_TIME: Duration = Duration::from_secs(15);

/// The event that all must hear in the end.
const PEACE: &str = "peace";

const VIOLATIONS_SHOWN: usize = 5;

/// Apart from what a world draws from its seed.
const CHILD_CHAOS: u64 = 1_000;
