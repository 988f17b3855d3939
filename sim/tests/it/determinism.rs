//! Equal seeds give equal runs with any number of threads, and a node replayed alone behaves as in its world.

use core::time::Duration;

use crate::common::{model, options, run};
use sim::{Phase, Series, World};

fn hash(seed: u64, threads: u32) -> (u64, Vec<String>, Series) {
    let model = model().with_loss_ppm(100_000).with_duplicate_ppm(20_000).with_reorder_ppm(20_000);
    let (world, reports) = run(options(60, seed, threads, model), &Phase::DEFAULT);
    (world.trace_hash(), reports.iter().map(|report| format!("{report:?}")).collect(), world.series())
}

#[test]
fn equal_seeds_give_equal_runs_and_reports() {
    assert_eq!(hash(1, 1), hash(1, 1));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let one = hash(2, 1);
    assert_eq!(one, hash(2, 2));
    assert_eq!(one, hash(2, 3));
}

#[test]
fn the_time_series_of_a_run_add_up_to_its_totals() {
    let (world, reports) = run(options(60, 4, 2, model().with_loss_ppm(100_000)), &Phase::DEFAULT);
    let series = world.series();
    let sum = |of: fn(&sim::PhaseReport) -> u64| reports.iter().map(of).sum::<u64>();
    assert_eq!(series.datagrams.iter().sum::<u64>(), sum(|report| report.datagrams_sent));
    assert_eq!(series.false_suspicions.iter().sum::<u64>(), sum(|report| report.false_suspicions));
    let failed = reports.iter().find(|report| report.phase == Phase::Crash).expect("the default run has crashes");
    assert_eq!(series.true_failures.iter().sum::<u64>(), u64::try_from(failed.total).expect("a count"));
    let headers = 28 * series.datagrams.iter().sum::<u64>();
    assert_eq!(series.wire.bytes.iter().sum::<u64>(), series.payload.bytes.iter().sum::<u64>() + headers);
    assert_eq!(series.nodes_up.first(), Some(&6), "a cold start: 60 nodes in ten seconds");
    assert_eq!(series.nodes_up.iter().max(), Some(&60));
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(hash(1, 1).0, hash(2, 1).0);
}

#[test]
fn a_node_alone_gives_the_same_outputs_for_its_recorded_inputs() {
    let mut world = World::new(options(40, 3, 2, model().with_loss_ppm(100_000)));
    world.record(7);
    world.start_cold(Duration::from_secs(10));
    world.run_for(Duration::from_secs(30));
    world.user_event(3, "deploy", b"v1");
    world.inject(sim::Fault::Crash(9));
    world.run_for(Duration::from_secs(60));
    let recording = world.recording().expect("node 7 has started");
    assert!(recording.inputs.len() > 200, "the node has lived: {} inputs", recording.inputs.len());
    assert!(recording.outputs.len() > 200, "{} outputs", recording.outputs.len());
    assert_eq!(world.replay(recording), recording.outputs);
}

#[test]
fn a_node_whose_clock_stood_still_and_jumped_is_replayed_by_its_own_clock() {
    let mut world = World::new(options(20, 3, 2, model()));
    world.record(7);
    world.start_converged();
    world.run_for(Duration::from_secs(10));
    world.inject(sim::Fault::StopClock(7));
    world.run_for(Duration::from_secs(20));
    world.inject(sim::Fault::StartClock { node: 7, jump: Duration::from_secs(5) });
    world.run_for(Duration::from_secs(20));
    let recording = world.recording().expect("node 7 has started");
    let (last, _) = recording.inputs.last().expect("it has inputs");
    assert!(*last - serf_proto::Instant::ZERO < Duration::from_secs(36), "it is 15 s behind: {last}");
    assert_eq!(world.replay(recording), recording.outputs);
}

#[test]
fn queries_are_the_same_for_any_number_of_threads() {
    let run = |threads| {
        let model = model().with_loss_ppm(100_000);
        let (world, reports) =
            run(options(60, 5, threads, model), &[Phase::Join, Phase::Query, Phase::Crash, Phase::Query]);
        (world.trace_hash(), format!("{reports:?}"))
    };
    assert_eq!(run(1), run(3));
}
