//! Runs a drawn world.

use serf_proto::Instant;

use super::final_checks::FinalChecks;
use super::sights::{self, Facts};
use super::world::ChaosWorld;
use super::{ChaosReport, FAULTS_FROM, JOIN_SPREAD};
use crate::allocations;
use crate::check::{Finding, Violation};
use crate::hostile::Attack;
use crate::world::World;

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

impl ChaosWorld {
    /// Runs this world, waits for the time that agreement may take, and checks the result. Prints the inputs and outputs of
    /// the node `trace` to stderr.
    pub fn run(&self, threads: u32, trace: Option<u32>) -> ChaosReport {
        let world_options = self.world_options(threads);
        let mut world = World::new(world_options.clone());
        if let Some(node) = trace.filter(|node| *node < world_options.nodes + u32::from(world_options.has_hostile)) {
            world.print_trace(node);
        }
        if self.is_calm {
            world.mend_links();
            world.expect_names_kept();
        }
        if self.has_policy {
            world.admit_own_hosts_only();
        }
        world.start_first(self.nodes, JOIN_SPREAD);
        world.run_for(FAULTS_FROM - Instant::ZERO);
        let heap_before = allocations::live_bytes();
        if let Some(hostile) = self.hostile {
            world.start_hostile(self.nodes, hostile.joins);
        }
        for (at, fault) in &self.faults {
            world.plan((*at).max(world.now()), fault.clone());
        }
        let mut checks = FinalChecks::new(&mut world, &world_options, self);
        checks.run_faults();
        let hostile = self.report_hostile(checks.world(), heap_before);
        checks.end_faults();
        checks.run();
        let FinalChecks { mut violations, deaf, content_bytes_max, was_joined_again, .. } = checks;
        let suspicions =
            (0..world.nodes()).filter_map(|node| world.node(node)).map(|node| node.stats().suspicions_raised).sum();
        let seen = sights::seen(&Facts { drawn: self, witness: &world.witness() });
        if let Some(sight) = self.rejects.as_deref().filter(|sight| seen.contains(sight)) {
            violations.push(Violation { at: world.now(), node: 0, finding: Finding::Rejected { sight: sight.into() } });
        }
        ChaosReport {
            seed: self.seed,
            nodes: self.nodes,
            faults: self.faults.clone(),
            hostile,
            violations,
            deaf,
            suspicions,
            content_bytes_max,
            was_joined_again,
            virtual_time: world.now() - Instant::ZERO,
            seen,
            trace_hash: world.trace_hash(),
        }
    }

    fn report_hostile(&self, world: &World, heap_before: Option<i64>) -> Option<HostileReport> {
        let hostile = self.hostile?;
        let echo = world.tally().hostile;
        let grown = allocations::live_bytes().zip(heap_before).map(|(after, before)| after - before);
        Some(HostileReport {
            host: world.nodes(),
            attacks: self.attacks().into_iter().collect(),
            joined: hostile.joins,
            datagrams: echo.datagrams,
            bytes_in: echo.bytes_in,
            bytes_out: echo.bytes_out,
            worst_answer: echo.worst,
            heap_bytes_a_node: grown.map(|grown| grown / i64::from(world.nodes())),
        })
    }
}
