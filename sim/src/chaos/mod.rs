//! Randomly drawn worlds: sizes, links and combinations of faults, some with a hostile member. First come the faults,
//! during which only the safety rules can be checked; then a quiet period, after which all nodes must agree and receive
//! events from one another.
//!
//! `draw` and `swarm` draw a [`ChaosWorld`], `run` runs it, `final_checks` and `invariants` check it, `sights` lists what a
//! campaign must have seen, and `shrink` makes a world that fails smaller.

mod draw;
mod faults;
mod final_checks;
mod invariants;
mod run;
mod shrink;
mod sights;
mod swarm;
mod world;

use core::time::Duration;
use std::collections::BTreeSet;

use serf_proto::{Config, Instant};

pub use self::run::HostileReport;
pub use self::shrink::{Shrunk, shrink};
pub use self::sights::{Sight, Unseen};
#[cfg(feature = "cli")]
pub(crate) use self::world::CHAOS_NODES_MAX;
pub use self::world::ChaosWorld;
use crate::check::Violation;
use crate::hostile::{Attack, Hostility};
use crate::world::Fault;

/// Options of a drawn world, besides its seed.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// Minimum number of nodes; at least 2.
    pub nodes_min: u32,
    /// Maximum number of nodes.
    pub nodes_max: u32,
    /// Number of threads per world. The result does not depend on it.
    pub threads: u32,
    /// Virtual time during which faults are injected; in a swarm the longest, and at least 30 s.
    pub faults_time: Duration,
    /// The nodes' options. Snapshots and a key are added at random; in a hostile world codecs and compression too. A swarm
    /// draws all of them.
    pub config: Config,
    /// Which worlds also have a hostile member.
    pub hostility: Hostility,
    /// Whether each world draws which kinds of faults it knows.
    pub is_swarm: bool,
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
    /// Largest state of a node after the faults, once all had settled, in bytes: see
    /// [`World::content_bytes`](crate::World::content_bytes).
    pub content_bytes_max: usize,
    /// Whether the nodes agreed only when they had joined once more: after a hostile member's attack, or because they did
    /// not know each other any more.
    pub was_joined_again: bool,
    /// Virtual duration.
    pub virtual_time: Duration,
    /// What was seen of that which a campaign must have seen.
    pub seen: BTreeSet<&'static str>,
    /// The trace hash.
    pub trace_hash: u64,
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

impl ChaosWorld {
    /// Draws a world from `seed`.
    pub fn draw(seed: u64, options: &ChaosOptions) -> Self {
        if options.is_swarm { swarm::world(seed, options) } else { draw::world(seed, options) }
    }
}

/// Draws a world from `seed`, injects its faults, waits for the time that agreement may take, and checks the result.
pub fn chaos(seed: u64, options: &ChaosOptions) -> ChaosReport {
    ChaosWorld::draw(seed, options).run(options.threads, options.trace)
}

const JOIN_SPREAD: Duration = Duration::from_secs(5);

/// Most nodes know most others after this time; incomplete joins make the test harder.
const JOIN_TIME: Duration = Duration::from_secs(15);

/// When the faults begin.
const FAULTS_FROM: Instant = Instant::from_nanos((JOIN_SPREAD.as_secs() + JOIN_TIME.as_secs()) * 1_000_000_000);

/// Time during which the hostile member behaves honestly, so that the members get to know each other.
const HONEST_FOR: Duration = Duration::from_secs(5);
