//! Swarm testing (Groce et al. 2012): each world draws *which* faults it knows, not only how many. Where all kinds mix, one
//! hides the effects of another: nodes that keep crashing never fill a queue.

use core::time::Duration;

use serf_proto::{CodecChoice, Key, Options, Rng, Seed};

use super::ChaosOptions;
use super::draw::{add_attacks, is_hostile, latencies};
use super::faults::{self, FaultKind};
use super::world::ChaosWorld;
use crate::net::LinkModel;

/// Draws a world.
pub(super) fn world(seed: u64, options: &ChaosOptions) -> ChaosWorld {
    let seed_of_draws = Seed::from_u64(seed).child(CHILD_SWARM);
    let stream = |number| Rng::stream(&seed_of_draws, number);
    let mut rng = stream(0);
    let nodes = size(&mut rng, options.nodes_min, options.nodes_max);
    let is_hostile = is_hostile(&mut rng, options.hostility) && nodes <= HOSTILE_NODES_MAX;
    let nodes_options = nodes_options(&mut rng);
    let is_encrypted = rng.below(4) == 0;
    let key = Key::new(&rng.bytes::<16>()).expect("a key may have 16 bytes");
    let has_snapshots = nodes_options.serf.snapshot;
    let mut world = ChaosWorld {
        seed,
        nodes,
        late_nodes: if is_hostile { 1 + rng.below(2) } else { 0 },
        mixed_codecs: nodes_options.transport.codec == CodecChoice::Auto && rng.below(2) == 0,
        options: nodes_options,
        key: is_encrypted.then(|| key.to_base64()),
        has_policy: rng.below(6) == 0,
        model: model(&mut rng),
        is_calm: is_hostile && rng.below(4) == 0,
        faults_time: FAULTS_TIME_MIN + rng.duration_below(options.faults_time.saturating_sub(FAULTS_TIME_MIN)),
        waits_longest: false,
        awaits_reaping: false,
        hostile: None,
        rejects: None,
        faults: Vec::new(),
    };
    if nodes <= REAPING_NODES_MAX && rng.below(16) == 0 {
        world.awaits_reaping = true;
        (world.options.serf.reconnect_timeout, world.options.serf.tombstone_timeout) = (REAPED_AFTER, REAPED_AFTER);
    }
    if world.is_calm {
        world.model = latencies(&mut rng);
    } else {
        let known = known_kinds(&mut stream(1), has_snapshots, is_encrypted && !is_hostile);
        world.faults = faults::draw(&mut stream(2), nodes, &known, world.faults_time);
    }
    if is_hostile {
        add_attacks(&mut stream(3), &mut stream(4), &mut world, options.hostility);
    }
    world
}

/// Draws a size with a density of one over its square. So each doubling of the size gets the same share of nodes, hence of
/// node-seconds, and large worlds are rare.
fn size(rng: &mut Rng, min: u32, max: u32) -> u32 {
    let (min, end) = (u64::from(min), u64::from(max) + 1);
    let drawn = rng.below_u64((end - min) << SIZE_BITS);
    let size = ((min * end) << SIZE_BITS) / ((end << SIZE_BITS) - drawn);
    u32::try_from(size).unwrap_or(max).min(max)
}

/// Draws the nodes' options. Every setting that worlds rarely have is independent of the others.
fn nodes_options(rng: &mut Rng) -> Options {
    let profile = match rng.below(8) {
        0 => Options::wan(),
        1 => Options::local(),
        _ => Options::lan(),
    };
    let profile = if rng.below(3) == 0 { profile.hashicorp_pace() } else { profile };
    profile.with(|options| {
        options.transport.codec =
            [CodecChoice::Native, CodecChoice::HashiCorp, CodecChoice::Auto][rng.below(3) as usize];
        options.transport.digests = rng.below(6) > 0;
        options.transport.compression = rng.below(4) == 0;
        options.transport.label = if rng.below(8) == 0 { "dc1".to_owned() } else { String::new() };
        options.transport.keyring_kept = true;
        options.serf.snapshot = rng.below(2) == 0;
        options.serf.coordinates = rng.below(8) > 0;
        if rng.below(16) == 0 {
            options.serf.queue_depth_max = SHORT_QUEUE;
        }
    })
}

/// Draws links. Each kind of fault of a link is known to every second world.
fn model(rng: &mut Rng) -> LinkModel {
    let mut known = |ppm_max| if rng.below(2) == 0 { rng.below(ppm_max) } else { 0 };
    let (loss, duplicate, reorder, reset) = (known(200_000), known(100_000), known(100_000), known(40_000));
    latencies(rng)
        .with_loss_ppm(loss)
        .with_duplicate_ppm(duplicate)
        .with_reorder_ppm(reorder)
        .with_stream_reset_ppm(reset)
}

/// Draws the kinds of faults that a world knows: each with probability 1/2, where it can have an effect.
fn known_kinds(rng: &mut Rng, has_snapshots: bool, may_rotate: bool) -> Vec<FaultKind> {
    let mut known: Vec<FaultKind> = FaultKind::ALL.into_iter().filter(|_| rng.below(2) == 0).collect();
    known.retain(|kind| match kind {
        FaultKind::PowerLoss => has_snapshots,
        FaultKind::Rotation => may_rotate,
        _ => true,
    });
    if known.is_empty() {
        known.push(FaultKind::Events);
    }
    known
}

/// RNG streams of these draws, separate from all others.
const CHILD_SWARM: u64 = 1_004;

/// Fraction bits of a drawn size.
const SIZE_BITS: u32 = 20;

/// The largest world with a hostile member: the time to recover from some attacks grows with the number of nodes.
const HOSTILE_NODES_MAX: u32 = 64;

/// The largest world that waits until its gone members are forgotten.
const REAPING_NODES_MAX: u32 = 64;

/// Longer than the faults and the longest time until agreement in a world of that size, so that no member is forgotten while
/// a partition hides it.
const REAPED_AFTER: Duration = Duration::from_secs(1_500);

const FAULTS_TIME_MIN: Duration = Duration::from_secs(30);

/// So short that some broadcasts are dropped.
const SHORT_QUEUE: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubling_of_the_size_gets_the_same_share_of_the_nodes() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let mut nodes = [0_u64; 8];
        for _ in 0..1_000_000 {
            let size = size(&mut rng, 4, 1023);
            assert!((4..=1023).contains(&size));
            nodes[(size / 4).ilog2() as usize] += u64::from(size);
        }
        let (least, most) = (nodes.iter().min().copied(), nodes.iter().max().copied());
        assert!(least > most.map(|most| most * 7 / 10), "{nodes:?}");
    }

    #[test]
    fn a_range_of_one_size_has_that_size() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        assert!((0..100).all(|_| size(&mut rng, 7, 7) == 7 && (2..=3).contains(&size(&mut rng, 2, 3))));
    }
}
