//! Randomly drawn worlds and faults. Add each failing seed to `every_seed_that_ever_failed_passes`.

use core::time::Duration;
use std::collections::BTreeSet;

use serf_proto::{Config, Options};
use sim::{ChaosOptions, ChaosReport, ChaosWorld, Fault, Hostility, Sight, chaos};

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
            is_swarm: false,
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
    // 100293: a node that was cut off began to leave just before the faults ended, and its leave was never counted. The
    // others: the bound of answers to non-members did not count a member whose leave was forged.
    for seed in [100_244, 100_293, 100_294] {
        let report = chaos(seed, &swarm());
        assert!(report.is_fine(), "seed {seed}: {report:#?}");
    }
}

/// In 1017991 a node restarts through a member that leaves before it has introduced it to the third, which is cut off and
/// holds it as left. In 1011480 one node of 33 still knows two that returned from old snapshots, as failed.
#[test]
fn nodes_that_no_member_knows_any_more_join_again_and_those_that_one_knows_are_found() {
    for (seed, is_split) in [(1_017_991, true), (1_011_480, false)] {
        let report = chaos(seed, &swarm());
        assert!(report.is_fine(), "seed {seed}: {report:#?}");
        assert_eq!(report.was_joined_again, is_split, "seed {seed}");
    }
}

/// The draws of a swarm, with nodes as in small campaigns.
fn swarm() -> ChaosOptions {
    ChaosOptions {
        nodes_min: 3,
        nodes_max: 60,
        threads: 1,
        faults_time: Duration::from_secs(120),
        config: Config::new(Options::lan()).expect("the profile is valid"),
        hostility: Hostility::Drawn,
        is_swarm: true,
        trace: None,
    }
}

#[test]
fn worlds_of_a_swarm_know_different_faults_and_keep_every_rule() {
    let reports: Vec<ChaosReport> = (1..=40).map(|seed| chaos(seed, &swarm())).collect();
    for report in &reports {
        assert!(report.is_fine(), "seed {}: {:#?} deaf {:?}", report.seed, report.violations, report.deaf);
    }
    let kinds =
        |report: &ChaosReport| -> BTreeSet<&str> { report.faults.iter().map(|(_, fault)| fault.kind()).collect() };
    for kind in ["crashes", "power failures", "stalls", "cuts", "leaves", "key rotations", "assaults"] {
        let knowing = reports.iter().filter(|report| kinds(report).contains(kind)).count();
        assert!((1..40).contains(&knowing), "{knowing} of 40 worlds know {kind}");
    }
    let seen: BTreeSet<&str> = reports.iter().flat_map(|report| report.seen.iter().copied()).collect();
    assert!(seen.len() > Sight::all().len() / 2, "{seen:?}");
}

#[test]
fn a_drawn_world_is_the_same_from_its_file_and_on_any_number_of_threads() {
    for seed in [5, 6] {
        let world = ChaosWorld::draw(seed, &swarm());
        let read = ChaosWorld::from_json(&world.to_json().expect("it can be written")).expect("it can be read");
        assert_eq!(read, world);
        let [drawn, read] = [world.run(1, None), read.run(3, None)];
        assert_eq!((drawn.trace_hash, drawn.seen), (read.trace_hash, read.seen));
    }
}

#[test]
fn a_file_with_a_fault_of_no_node_is_refused() {
    let world = ChaosWorld::draw(5, &swarm()).to_json().expect("it can be written");
    let nodes = ChaosWorld::draw(5, &swarm()).nodes();
    let wrong = world.replacen(&format!("\"nodes\": {nodes}"), "\"nodes\": 2", 1);
    assert_ne!(wrong, world);
    assert!(ChaosWorld::from_json(&wrong).is_err_and(|error| error.starts_with("there is no node for")));
    assert!(ChaosWorld::from_json("{}").is_err());
}

#[test]
fn a_world_can_be_repeated() {
    assert_eq!(run(3).trace_hash, run(3).trace_hash);
}
