//! Draws from a seed: a world, its links, and its faults.

use core::time::Duration;

use serf_proto::{CodecChoice, Config, Instant, Key, Rng};

use super::ChaosOptions;
use crate::net::{Effect, LinkModel, NodeSet, Rule};
use crate::world::{Fault, WorldOptions};

/// Draws a world with an unreliable network. Every second one has snapshots, every fourth two codecs, every fourth
/// encryption.
pub(super) fn world(rng: &mut Rng, seed: u64, options: &ChaosOptions) -> WorldOptions {
    let nodes = options.nodes_min + rng.below(options.nodes_max - options.nodes_min + 1);
    let model = model(rng);
    let has_snapshots = rng.below(2) == 0;
    let mixed_codecs = rng.below(4) == 0;
    let is_encrypted = rng.below(4) == 0;
    let key = Key::new(&rng.bytes::<16>()).expect("a key may have 16 bytes");
    let config = Config::new(options.config.options().clone().with(|options| {
        options.serf.snapshot = has_snapshots;
        options.transport.keyring_kept = true;
        options.transport.encrypt_keys = is_encrypted.then_some(key).into_iter().collect();
    }));
    let config = config.expect("neither a key nor a snapshot makes other settings wrong");
    WorldOptions {
        nodes,
        seed,
        threads: options.threads,
        config,
        mixed_codecs,
        model,
        has_checks: true,
        has_hostile: false,
    }
}

/// Extends a drawn world for a hostile member: adds nodes that start after the attack, and draws the codec and the
/// compression, which matter to attacks but not to faults.
pub(super) fn make_hostile(rng: &mut Rng, world: &mut WorldOptions) {
    let codec = match rng.below(4) {
        _ if world.mixed_codecs => CodecChoice::Auto,
        0 => CodecChoice::Native,
        1 => CodecChoice::HashiCorp,
        _ => CodecChoice::Auto,
    };
    let options = world.config.options().clone().with(|options| {
        options.transport.codec = codec;
        options.transport.compression = rng.below(4) == 0;
    });
    world.config = Config::new(options).expect("neither a codec nor compression makes other settings wrong");
    world.nodes += 1 + rng.below(2);
    world.has_hostile = true;
}

fn model(rng: &mut Rng) -> LinkModel {
    let min = Duration::from_micros(u64::from(100 + rng.below(20_000)));
    let max = min + rng.duration_below(Duration::from_millis(80));
    let model = LinkModel::new(min, max).expect("the least latency is above zero and not above the greatest");
    model
        .with_loss_ppm(rng.below(150_000))
        .with_duplicate_ppm(rng.below(50_000))
        .with_reorder_ppm(rng.below(50_000))
        .with_stream_reset_ppm(rng.below(20_000))
}

/// Draws the faults from `from` on for `time`, sorted by time. They overlap at random; an inapplicable fault, such as
/// the crash of a dead process, has no effect.
pub(super) fn faults(rng: &mut Rng, nodes: u32, from: Instant, time: Duration) -> Vec<(Instant, Fault)> {
    let mut faults = Vec::new();
    for _ in 0..FAULTS_MIN + rng.below(FAULTS_SPAN) {
        let at = from + rng.duration_below(time);
        let end = at + rng.duration_below((from + time) - at);
        draw(rng, nodes, [at, end], &mut faults);
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn draw(rng: &mut Rng, nodes: u32, [at, end]: [Instant; 2], faults: &mut Vec<(Instant, Fault)>) {
    // Node 0 never fails, so that returning nodes always have a contact.
    let node = 1 + rng.below(nodes - 1);
    let rule = |from, to, effect| Fault::Rule(Rule { from, to, effect, during: Some((at, end)) });
    match rng.below(14) {
        0 => faults.extend([(at, Fault::Crash(node)), (end, Fault::Restart(node))]),
        1 | 2 => faults.extend([(at, Fault::Crash(node)), (end, Fault::Return(node))]),
        3 => {
            // Correlated crashes, as of a rack.
            for node in some_of(rng, nodes).into_iter().filter(|node| *node != 0) {
                faults.extend([(at, Fault::Crash(node)), (end, Fault::Return(node))]);
            }
        }
        4 => faults.extend([(at, Fault::Pause(node)), (end, Fault::Resume(node))]),
        5 | 6 => {
            let side = some_of(rng, nodes);
            let others = NodeSet::of((0..nodes).filter(|node| !side.contains(node)));
            let rules = Rule::partition(NodeSet::of(side), others, Some((at, end)));
            faults.extend(rules.map(|rule| (at, Fault::Rule(rule))));
        }
        7 => {
            // One-way partitions: outbound, inbound, or between two groups that may overlap.
            let (some, others) = (some_of(rng, nodes), some_of(rng, nodes));
            let [from, to] = match rng.below(3) {
                0 => [NodeSet::One(node), NodeSet::All],
                1 => [NodeSet::All, NodeSet::One(node)],
                _ => [NodeSet::of(some), NodeSet::of(others)],
            };
            faults.push((at, rule(from, to, Effect::Drop)));
        }
        8 => {
            let effect = Effect::Loss { ppm: 200_000 + rng.below(600_000) };
            faults.push((at, rule(NodeSet::of(some_of(rng, nodes)), NodeSet::All, effect)));
        }
        9 => {
            let effect = Effect::Delay(rng.duration_below(Duration::from_secs(3)));
            faults.push((at, rule(NodeSet::All, NodeSet::of(some_of(rng, nodes)), effect)));
        }
        10 => {
            faults.push((at, Fault::Leave(node)));
            if rng.below(2) == 0 {
                let back = if rng.below(2) == 0 { Fault::Restart(node) } else { Fault::Return(node) };
                faults.push((end, back));
            }
        }
        11 => faults.extend((0..1 + rng.below(8)).map(|_| (at, Fault::Event(rng.below(nodes)))).collect::<Vec<_>>()),
        12 => faults.push((at, Fault::Query(rng.below(nodes)))),
        _ => faults.extend([(at, Fault::Role(node)), (end, Fault::Role(rng.below(nodes)))]),
    }
}

/// Draws a subset of one to all but one nodes.
fn some_of(rng: &mut Rng, nodes: u32) -> Vec<u32> {
    let count = 1 + rng.below(nodes - 1);
    crate::shared::draw_distinct(rng, nodes, count)
}

const FAULTS_MIN: u32 = 4;
const FAULTS_SPAN: u32 = 24;
