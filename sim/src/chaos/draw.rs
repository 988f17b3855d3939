//! Draws a world from a seed: its nodes, its links, and its faults. Each world has all kinds of faults; see `swarm` for the
//! other way.

use core::time::Duration;

use serf_proto::{CodecChoice, Key, Rng, Seed};

use super::faults::{self, FaultKind};
use super::world::{ChaosWorld, HostileMember};
use super::{ChaosOptions, FAULTS_FROM, HONEST_FOR};
use crate::hostile::{AttackSchedule, Hostility};
use crate::net::LinkModel;
use crate::world::Fault;

/// Draws a world. Every second one has snapshots, every fourth two codecs, every fourth encryption.
pub(super) fn world(seed: u64, options: &ChaosOptions) -> ChaosWorld {
    let mut rng = Rng::stream(&Seed::from_u64(seed).child(CHILD_CHAOS), 0);
    let mut hostile_rng = Rng::stream(&Seed::from_u64(seed).child(CHILD_HOSTILE), 0);
    let mut world = peaceful(&mut rng, seed, options);
    let is_hostile = is_hostile(&mut hostile_rng, options.hostility);
    if is_hostile {
        make_hostile(&mut hostile_rng, &mut world);
    }
    world.is_calm = is_hostile && hostile_rng.below(2) > 0;
    if !world.is_calm {
        world.faults = faults::draw(&mut rng, world.nodes, &FaultKind::USUAL, options.faults_time);
    }
    if is_hostile {
        let mut digest_rng = Rng::stream(&Seed::from_u64(seed).child(CHILD_DIGESTS), 0);
        add_attacks(&mut hostile_rng, &mut digest_rng, &mut world, options.hostility);
    }
    world
}

/// Draws whether a world has a hostile member.
pub(super) fn is_hostile(rng: &mut Rng, hostility: Hostility) -> bool {
    match hostility {
        Hostility::Never => false,
        Hostility::Drawn => rng.below(2) == 0,
        Hostility::Always | Hostility::Only(_) => true,
    }
}

fn peaceful(rng: &mut Rng, seed: u64, options: &ChaosOptions) -> ChaosWorld {
    let nodes = options.nodes_min + rng.below(options.nodes_max - options.nodes_min + 1);
    let model = model(rng);
    let has_snapshots = rng.below(2) == 0;
    let mixed_codecs = rng.below(4) == 0;
    let is_encrypted = rng.below(4) == 0;
    let key = Key::new(&rng.bytes::<16>()).expect("a key may have 16 bytes");
    let options_of_nodes = options.config.options().clone().with(|options| {
        options.serf.snapshot = has_snapshots;
        options.transport.keyring_kept = true;
    });
    ChaosWorld {
        seed,
        nodes,
        late_nodes: 0,
        options: options_of_nodes,
        key: is_encrypted.then(|| key.to_base64()),
        mixed_codecs,
        has_policy: false,
        model,
        is_calm: false,
        faults_time: options.faults_time,
        waits_longest: true,
        awaits_reaping: false,
        hostile: None,
        rejects: None,
        faults: Vec::new(),
    }
}

/// Extends a drawn world for a hostile member: adds nodes that start after the attack, and draws the codec and the
/// compression, which matter to attacks but not to faults.
fn make_hostile(rng: &mut Rng, world: &mut ChaosWorld) {
    world.options.transport.codec = match rng.below(4) {
        _ if world.mixed_codecs => CodecChoice::Auto,
        0 => CodecChoice::Native,
        1 => CodecChoice::HashiCorp,
        _ => CodecChoice::Auto,
    };
    world.options.transport.compression = rng.below(4) == 0;
    world.late_nodes = 1 + rng.below(2);
}

/// Draws the attacks, and adds them to the faults.
pub(super) fn add_attacks(rng: &mut Rng, digest_rng: &mut Rng, world: &mut ChaosWorld, hostility: Hostility) {
    let (from, time) = (FAULTS_FROM + HONEST_FOR, world.faults_time.saturating_sub(HONEST_FOR));
    let schedule = AttackSchedule::draw(rng, digest_rng, hostility, from, time);
    world.hostile = Some(HostileMember { joins: schedule.joins, after_attack: schedule.after_attack });
    world.faults.extend(schedule.at.into_iter().map(|(at, attack)| (at, Fault::Assault(attack))));
    world.faults.sort_by_key(|(at, _)| *at);
}

fn model(rng: &mut Rng) -> LinkModel {
    latencies(rng)
        .with_loss_ppm(rng.below(150_000))
        .with_duplicate_ppm(rng.below(50_000))
        .with_reorder_ppm(rng.below(50_000))
        .with_stream_reset_ppm(rng.below(20_000))
}

/// Draws latencies up to 100 ms.
pub(super) fn latencies(rng: &mut Rng) -> LinkModel {
    let min = Duration::from_micros(u64::from(100 + rng.below(20_000)));
    let max = min + rng.duration_below(Duration::from_millis(80));
    LinkModel::new(min, max).expect("the least latency is above zero and not above the greatest")
}

/// RNG streams of the draws, separate from the world's own streams.
const CHILD_CHAOS: u64 = 1_000;
const CHILD_HOSTILE: u64 = 1_001;
const CHILD_DIGESTS: u64 = 1_003;
