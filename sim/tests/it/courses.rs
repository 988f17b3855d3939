//! Phases with several steps, at small sizes.

use core::time::Duration;

use crate::common::{model, options};
use serf_proto::Key;
use serf_proto::{Config, Options};
use sim::{Outcome, Phase, PhaseReport, PhaseSettings, Scenario, StepReport, Unwatched, World, WorldOptions};

const LOSS_PPM: u32 = 100_000;

/// World options as the command line sets them: with snapshots, encryption, and for the rtt phase a square.
fn world_options(phase: Phase, nodes: u32, seed: u64, threads: u32) -> WorldOptions {
    let encrypt_keys = (phase == Phase::Rotate).then(old_key).into_iter().collect();
    let snapshot = matches!(phase, Phase::Restart | Phase::Flap);
    let config = Config::new(Options::lan().hashicorp_pace().with(|options| {
        options.transport.encrypt_keys = encrypt_keys;
        options.serf.snapshot = snapshot;
    }))
    .expect("the settings go together");
    let side = if phase == Phase::Rtt { Duration::from_millis(50) } else { Duration::ZERO };
    WorldOptions { config, ..options(nodes, seed, threads, model().with_loss_ppm(LOSS_PPM).with_square_side(side)) }
}

fn old_key() -> Key {
    Key::new(&[7; 16]).expect("a key may have 16 bytes")
}

fn run_in(world: &mut World, config: &Config, phase: Phase, settings: PhaseSettings) -> PhaseReport {
    let scenario = Scenario { phases: vec![phase], settings, is_converged: true, virtual_max: None };
    scenario.run(world, config, &mut Unwatched).pop().expect("one phase was run")
}

fn run(options: WorldOptions, phase: Phase, settings: PhaseSettings) -> (World, PhaseReport) {
    let config = options.config.clone();
    let mut world = World::new(options);
    let report = run_in(&mut world, &config, phase, settings);
    (world, report)
}

/// Runs a phase that must succeed.
fn completes(phase: Phase, nodes: u32, seed: u64, settings: PhaseSettings) -> (World, PhaseReport) {
    let (world, report) = run(world_options(phase, nodes, seed, 2), phase, settings);
    assert!(report.outcome == Outcome::Done && report.is_fine(), "seed {seed}: {report:#?}");
    assert_eq!(world.disagreements(5), [], "seed {seed}");
    (world, report)
}

fn steps(report: &PhaseReport) -> Vec<&str> {
    report.steps.iter().map(|step| step.step).collect()
}

fn figure(step: &StepReport, name: &str) -> f64 {
    step.figures.of(name).unwrap_or_else(|| panic!("{name}: {step:#?}"))
}

fn sum(report: &PhaseReport, name: &str) -> f64 {
    report.steps.iter().map(|step| figure(step, name)).sum()
}

#[test]
fn two_halves_give_each_other_up_and_are_one_again_when_the_network_heals() {
    for seed in 1..=3 {
        let (_, report) = completes(Phase::Partition, 60, seed, PhaseSettings::default());
        let [cut, heal] = &report.steps[..] else { panic!("{report:#?}") };
        assert_eq!((cut.step, cut.total, heal.step, heal.total), ("cut", 2 * 30 * 30, "heal", 60 * 60), "seed {seed}");
        assert!(figure(cut, "marked_failed") >= 1_800.0 && cut.false_failures == 0, "seed {seed}: {cut:#?}");
        assert!(cut.reached_s.p50 > Some(5.0), "no failure before the minimum suspicion timeout: {cut:#?}");
    }
}

#[test]
fn the_halves_of_a_long_partition_reconnect() {
    let settings =
        PhaseSettings { partition_ppm: 200_000, partition_for: Duration::from_secs(300), ..PhaseSettings::default() };
    let (_, report) = completes(Phase::Partition, 60, 1, settings);
    let [cut, heal] = &report.steps[..] else { panic!("{report:#?}") };
    assert_eq!((figure(cut, "marked_failed"), cut.took_s), (2.0 * 12.0 * 48.0, 300.0));
    assert!(heal.took_s > 1.0 && heal.done == 60 * 60, "{heal:#?}");
}

#[test]
fn a_restarted_cluster_rejoins_from_snapshots_and_its_clocks_continue() {
    for seed in 1..=3 {
        let (world, report) = completes(Phase::Restart, 60, seed, PhaseSettings::default());
        assert_eq!(steps(&report), ["events", "down", "return", "events"]);
        let [before, down, back, after] = &report.steps[..] else { panic!("{report:#?}") };
        assert_eq!((before.done, figure(down, "nodes_down"), back.done, after.done), (300, 60.0, 3_600, 300));
        // Five events before, five after: no node's clock restarted.
        let behind = (0..60).filter(|node| world.node(*node).is_none_or(|node| node.clocks().event <= 5)).count();
        assert_eq!(behind, 0, "seed {seed}");
    }
}

#[test]
fn those_who_restart_among_others_are_offered_old_events_and_deliver_none_twice() {
    let settings =
        PhaseSettings { restart_ppm: 500_000, restart_down: Duration::from_secs(30), ..PhaseSettings::default() };
    let (world, report) = completes(Phase::Restart, 60, 2, settings);
    assert_eq!(figure(&report.steps[1], "nodes_down"), 30.0);
    let repeats: u64 = (0..60).filter_map(|node| world.node(node)).map(|node| node.stats().repeats_in).sum();
    assert!(repeats > 0, "old events came again");
}

#[test]
fn without_snapshots_a_cluster_that_stops_as_a_whole_needs_seeds_to_rejoin() {
    let blank = options(20, 1, 1, model());
    let (world, report) = run(blank, Phase::Restart, PhaseSettings::default());
    // Nodes without a snapshot join through others in the simulator, and their clocks restart.
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    assert!((0..20).all(|node| world.node(node).is_some_and(|node| node.clocks().event <= 6)));
}

#[test]
fn slow_nodes_make_healthy_ones_look_failed_without_lifeguard_and_hardly_with_it() {
    let harmed = |seed: u64, has_lifeguard: bool| {
        let mut options = world_options(Phase::Slow, 60, seed, 2);
        if !has_lifeguard {
            let plain = Options::lan().hashicorp_pace().with(|options| {
                options.swim.awareness_max_multiplier = 1;
                options.swim.suspicion_max_timeout_mult = 1;
            });
            options.config = Config::new(plain).expect("the settings go together");
        }
        let settings = PhaseSettings { slow_ppm: 200_000, ..PhaseSettings::default() };
        let (world, report) = run(options, Phase::Slow, settings);
        assert!(report.outcome == Outcome::Done && report.is_fine(), "{report:#?}");
        assert_eq!(world.disagreements(5), []);
        assert!(sum(&report, "suspicions_of_slow") > 100.0, "{report:#?}");
        sum(&report, "failures_of_healthy_by_healthy") + sum(&report, "failures_of_healthy_by_slow")
    };
    // A single world has few failures: a refutation is carried by the ack to the accuser, with and without Lifeguard.
    let all = |has_lifeguard| (1..=8).map(|seed| harmed(seed, has_lifeguard)).sum::<f64>();
    let (with, without) = (all(true), all(false));
    assert!(without > 10.0 && with < without / 2.0, "{with} with Lifeguard, {without} without");
}

#[test]
fn a_flapping_node_fails_each_time_and_ends_alive_at_a_higher_incarnation() {
    for seed in 1..=3 {
        let settings = PhaseSettings { flap_ppm: 100_000, ..PhaseSettings::default() };
        let (_, report) = completes(Phase::Flap, 40, seed, settings);
        assert_eq!(steps(&report), ["flap", "flap", "flap", "flap", "settle"]);
        let highest: Vec<f64> = report.steps.iter().map(|step| figure(step, "incarnation_max")).collect();
        assert!(highest.is_sorted() && highest[3] >= 5.0, "seed {seed}: {highest:?}");
        assert!(sum(&report, "marked_failed_while_down") >= 3.0 * 4.0 * 36.0, "seed {seed}: {report:#?}");
    }
}

#[test]
fn a_key_is_exchanged_under_load_and_nothing_is_lost_to_it() {
    for seed in 1..=3 {
        let (world, report) = completes(Phase::Rotate, 60, seed, PhaseSettings::default());
        assert_eq!(steps(&report), ["install", "use", "remove", "deliver"]);
        assert_eq!((report.done, report.false_failures), (60 * 30, 0), "30 events reach 60 nodes: {report:#?}");
        assert!(sum(&report, "rounds_of_asking") > 3.0, "with loss the query must be repeated: {report:#?}");
        let keys: Vec<Vec<Key>> =
            (0..60).filter_map(|node| Some(world.node(node)?.keys().cloned().collect())).collect();
        assert!(keys.iter().all(|keys| keys.len() == 1 && keys[0] != old_key() && *keys == [keys[0].clone()]));
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}");
    }
}

#[test]
fn a_rotation_that_misses_a_member_stops_before_it_locks_that_member_out() {
    let options = world_options(Phase::Rotate, 20, 2, 1);
    let config = options.config.clone();
    let mut world = World::new(options);
    for rule in sim::Rule::partition(sim::NodeSet::One(3), sim::NodeSet::All, None) {
        world.inject(sim::Fault::Rule(rule));
    }
    let report = run_in(&mut world, &config, Phase::Rotate, PhaseSettings::default());
    let Outcome::Missing { examples, .. } = &report.outcome else { panic!("{report:#?}") };
    assert_eq!((steps(&report), &examples[..]), (vec!["install"], &["node-00003".to_owned()][..]));
    let primary = |node| world.node(node).and_then(|node| node.keys().next().cloned());
    assert!((0..20).all(|node| primary(node) == Some(old_key())), "all nodes still encrypt with the old key");
    assert_eq!(world.node(3).map(|node| node.keys().len()), Some(1));
}

#[test]
fn without_a_key_there_is_nothing_to_rotate() {
    let (_, report) = run(options(10, 1, 1, model()), Phase::Rotate, PhaseSettings::default());
    assert!(matches!(report.outcome, Outcome::Skipped { .. }), "{report:#?}");
}

#[test]
fn coordinates_estimate_round_trips_better_and_better() {
    let (_, report) = completes(Phase::Rtt, 60, 1, PhaseSettings::default());
    let medians: Vec<f64> = report.steps.iter().map(|step| figure(step, "relative_error_p50")).collect();
    assert!(medians.len() == 6 && medians[5] < medians[0] && medians[5] < 0.12, "{medians:?}");
    assert!(report.steps.iter().all(|step| {
        figure(step, "relative_error_p50") <= figure(step, "relative_error_p90")
            && figure(step, "relative_error_p90") <= figure(step, "relative_error_p99")
    }));
}

#[test]
fn estimates_beyond_their_bound_are_a_broken_rule() {
    let settings = PhaseSettings { rtt_error_ppm: 1_000, ..PhaseSettings::default() };
    let (_, report) = run(world_options(Phase::Rtt, 20, 1, 1), Phase::Rtt, settings);
    assert_eq!((report.violation_count, report.is_fine()), (1, false), "{report:#?}");
    assert!(report.violations[0].contains("median error"), "{report:#?}");
}

#[test]
fn no_phase_depends_on_the_number_of_threads() {
    for phase in [Phase::Partition, Phase::Restart, Phase::Slow, Phase::Flap, Phase::Rotate, Phase::Rtt] {
        let run = |threads| {
            let settings =
                PhaseSettings { slow_for: Duration::from_secs(20), flap_count: 1, ..PhaseSettings::default() };
            let (world, report) = run(world_options(phase, 16, 9, threads), phase, settings);
            (world.trace_hash(), format!("{report:?}"))
        };
        assert_eq!(run(1), run(2), "{phase}");
    }
}

#[test]
fn a_node_that_returned_from_its_snapshot_can_be_replayed_alone() {
    let options = world_options(Phase::Restart, 20, 4, 2);
    let config = options.config.clone();
    let mut world = World::new(options);
    world.record(7);
    let report = run_in(&mut world, &config, Phase::Restart, PhaseSettings::default());
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    let recording = world.recording().expect("node 7 has started");
    assert!(recording.started_at > serf_proto::Instant::ZERO, "it is the second life that is recorded");
    assert!(recording.outputs.len() > 50, "{} outputs", recording.outputs.len());
    assert_eq!(world.replay(recording), recording.outputs);
}
