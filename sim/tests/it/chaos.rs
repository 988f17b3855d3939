//! Randomly drawn worlds and faults. Add each failing seed to `every_seed_that_ever_failed_passes`.

use core::time::Duration;

use serf_proto::{Config, Options};
use sim::{ChaosOptions, ChaosReport, Fault, Hostility, chaos};

fn run(seed: u64) -> ChaosReport {
    let config = Config::new(Options::lan().hashicorp_pace()).expect("the profile is valid");
    let faults_time = Duration::from_secs(120);
    chaos(
        seed,
        &ChaosOptions {
            nodes_min: 4,
            nodes_max: 40,
            threads: 1,
            faults_time,
            config,
            hostility: Hostility::Never,
            trace: None,
        },
    )
}

fn survives(seed: u64) -> ChaosReport {
    let report = run(seed);
    assert!(report.is_fine(), "seed {seed}: {report:#?}");
    report
}

#[test]
fn twenty_worlds_keep_every_rule_and_agree_in_the_end() {
    let reports: Vec<ChaosReport> = (0..20).map(survives).collect();
    let suspicions: u64 = reports.iter().map(|report| report.suspicions).sum();
    assert!(suspicions > 100, "faults are noticed: {suspicions} suspicions");
    let faults = || reports.iter().flat_map(|report| &report.faults);
    for kind in ["crashes", "returns from snapshots", "stalls", "leaves", "cuts", "bursts of loss", "delays", "events"]
    {
        assert!(faults().any(|(_, fault)| fault.kind() == kind), "{kind}");
    }
    assert!(faults().any(|(_, fault)| matches!(fault, Fault::Role(_) | Fault::Query(_))));
}

#[test]
fn every_seed_that_ever_failed_passes() {
    // 15: the simulator's checker treated a member as forgotten too late. The others: a member that returned soon after
    // its leave remained in the state leaving at some nodes.
    for seed in [15, 24, 43, 134, 451] {
        survives(seed);
    }
}

#[test]
fn a_world_can_be_repeated() {
    assert_eq!(run(3).trace_hash, run(3).trace_hash);
}
