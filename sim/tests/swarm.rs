//! Worlds and faults drawn by luck. A seed that fails goes into `every_seed_that_ever_failed_passes`.

use serf_proto::{Config, Options};
use sim::swarm;

fn survives(seed: u64) -> u64 {
    let config = Config::new(Options::lan()).expect("the profile is valid");
    let report = swarm(seed, &config);
    assert_eq!(report.violations, [], "seed {seed}: {report:#?}");
    report.suspicions
}

#[test]
fn twenty_swarms_keep_every_rule_and_agree_in_the_end() {
    let suspicions: u64 = (0..20).map(survives).sum();
    assert!(suspicions > 100, "faults are noticed: {suspicions} suspicions");
}

#[test]
fn a_swarm_can_be_repeated() {
    let config = Config::new(Options::lan()).expect("the profile is valid");
    assert_eq!(swarm(3, &config).trace_hash, swarm(3, &config).trace_hash);
}
