//! Worlds drawn by luck: sizes, links and faults nobody would think of. First faults (only safety can be asked for),
//! then peace (everybody must agree in the end).

use core::time::Duration;

use serf_proto::{Config, Instant, Rng, Seed};

use crate::bounds::Bounds;
use crate::check::Violation;
use crate::net::{Effect, LinkModel, NodeSet, Rule};
use crate::truth::Standing;
use crate::world::{Fault, World, WorldOptions};

/// What became of a world drawn by luck.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SwarmReport {
    /// How many nodes it had.
    pub nodes: u32,
    /// What befell it, in order.
    pub faults: Vec<(Instant, Fault)>,
    /// Rules that were broken, and views that were still wrong at the end.
    pub violations: Vec<Violation>,
    /// How many suspicions nodes raised: proof that something happened.
    pub suspicions: u64,
    /// The hash of all that happened.
    pub trace_hash: u64,
}

/// Draws a world from `seed`, lets its faults strike, waits as long as agreement may take, and examines it.
pub fn swarm(seed: u64, config: &Config) -> SwarmReport {
    let mut luck = Rng::stream(&Seed::from_u64(seed).child(CHILD_SWARM), 0);
    let nodes = 4 + luck.below(NODES_SPAN);
    let mut world = World::new(WorldOptions {
        nodes,
        seed,
        threads: 1,
        config: config.clone(),
        mixed_codecs: false,
        model: draw_model(&mut luck),
        has_checks: true,
    });
    world.start_cold(Duration::from_secs(5));
    world.run_for(Duration::from_secs(20));
    let faults = draw_faults(&mut luck, nodes, world.now());
    for (at, fault) in &faults {
        world.plan(*at, fault.clone());
    }
    world.run_for(FAULTS_TIME);
    make_peace(&mut world);
    world.run_for(Bounds::new(nodes, config).rejoin() + config.reconnect_interval * RECONNECTS);
    let mut violations = world.violations();
    violations.extend(world.disagreements(VIOLATIONS_SHOWN));
    let suspicions = (0..nodes).filter_map(|node| world.node(node)).map(|node| node.stats().suspicions_raised).sum();
    SwarmReport { nodes, faults, violations, suspicions, trace_hash: world.trace_hash() }
}

fn draw_model(luck: &mut Rng) -> LinkModel {
    let min = Duration::from_micros(u64::from(100 + luck.below(20_000)));
    let max = min + luck.duration_below(Duration::from_millis(80));
    let model = LinkModel::new(min, max).expect("the least latency is above zero and not above the greatest");
    model
        .with_loss_ppm(luck.below(150_000))
        .with_duplicate_ppm(luck.below(50_000))
        .with_reorder_ppm(luck.below(50_000))
        .with_stream_reset_ppm(luck.below(20_000))
}

/// Faults in the order of their times. They overlap as luck has it; what makes no sense, such as the crash of a dead process, does nothing.
fn draw_faults(luck: &mut Rng, nodes: u32, from: Instant) -> Vec<(Instant, Fault)> {
    let mut faults = Vec::new();
    for _ in 0..1 + luck.below(FAULTS_SPAN) {
        let at = from + luck.duration_below(FAULTS_TIME / 2);
        let end = at + luck.duration_below(FAULTS_TIME / 2);
        // Node 0 stays, so that there is always somebody to return to.
        let node = 1 + luck.below(nodes - 1);
        match luck.below(4) {
            0 => faults.extend([(at, Fault::Crash(node)), (end, Fault::Restart(node))]),
            1 => faults.extend([(at, Fault::Pause(node)), (end, Fault::Resume(node))]),
            2 => {
                let cut = 1 + luck.below(nodes - 1);
                let (left, right) = (NodeSet::Range(0..cut), NodeSet::Range(cut..nodes));
                faults.extend(Rule::partition(left, right, Some((at, end))).map(|rule| (at, Fault::Rule(rule))));
            }
            _ => {
                let rule =
                    Rule { from: NodeSet::One(node), to: NodeSet::All, effect: Effect::Drop, during: Some((at, end)) };
                faults.push((at, Fault::Rule(rule)));
            }
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// Ends every fault: stalled processes go on, crashed ones return, the network is whole.
fn make_peace(world: &mut World) {
    world.strike(Fault::Heal);
    for node in world.all(Standing::Paused) {
        world.strike(Fault::Resume(node));
    }
    for node in world.all(Standing::Crashed) {
        world.strike(Fault::Restart(node));
    }
}

const NODES_SPAN: u32 = 37;
const FAULTS_SPAN: u32 = 10;
const FAULTS_TIME: Duration = Duration::from_secs(120);

/// After a long partition both sides hold each other for failed, and only Serf's reconnect brings them together: each
/// node tries one of the failed an interval, with a chance of failed to live.
const RECONNECTS: u32 = 10;

const VIOLATIONS_SHOWN: usize = 5;

/// Apart from what a world draws from its seed.
const CHILD_SWARM: u64 = 1_000;
