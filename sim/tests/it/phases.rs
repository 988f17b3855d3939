//! Phases of the default run, at small sizes.

use core::time::Duration;

use crate::common::{config, converged, model, options, run};
use sim::{Outcome, Phase, PhaseSettings, Scenario, Unwatched, World};

#[test]
fn every_phase_completes_at_ten_percent_loss_for_several_seeds() {
    for seed in 1..=4 {
        let (world, reports) = run(options(80, seed, 2, model().with_loss_ppm(100_000)), &Phase::DEFAULT);
        assert_eq!(reports.len(), Phase::DEFAULT.len(), "seed {seed}: {reports:#?}");
        for report in &reports {
            assert_eq!(report.outcome, Outcome::Done, "seed {seed}: {report:#?}");
            assert!(report.is_fine(), "seed {seed}: {report:#?}");
            assert_eq!(report.done, report.total, "seed {seed}: {report:#?}");
            assert!(report.reached_s.p50.is_some() && report.reached_s.p50 <= report.reached_s.p100);
        }
        assert_eq!(world.disagreements(10), [], "seed {seed}");
    }
}

#[test]
fn clusters_of_one_two_and_three_skip_what_makes_no_sense() {
    for nodes in 1..=3 {
        let (_, reports) = run(options(nodes, 1, 1, model()), &Phase::DEFAULT);
        for report in &reports {
            assert!(matches!(report.outcome, Outcome::Done | Outcome::Skipped { .. }), "{nodes} nodes: {report:#?}");
            assert!(report.is_fine(), "{nodes} nodes: {report:#?}");
        }
        let ran = reports.iter().filter(|report| report.outcome == Outcome::Done).count();
        assert_eq!(ran, [2, 4, 5][nodes as usize - 1], "{nodes} nodes");
    }
}

#[test]
fn a_converged_start_needs_no_join() {
    let (_, reports) = run(options(60, 1, 1, model()), &[Phase::Event, Phase::Crash, Phase::Leave, Phase::Rejoin]);
    for report in &reports {
        assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
        assert!(report.is_fine(), "{report:#?}");
    }
}

#[test]
fn a_phase_that_cannot_succeed_names_what_is_missing() {
    let mut world = World::new(options(8, 1, 1, model().with_loss_ppm(1_000_000)));
    // Node 3 is isolated in both directions.
    for rule in sim::Rule::partition(sim::NodeSet::One(3), sim::NodeSet::All, None) {
        world.inject(sim::Fault::Rule(rule));
    }
    let scenario = Scenario {
        phases: vec![Phase::Join],
        settings: PhaseSettings::default(),
        is_converged: false,
        virtual_max: None,
    };
    let reports = scenario.run(&mut world, &config(), &mut Unwatched);
    let Outcome::Missing { count, examples, .. } = &reports[0].outcome else { panic!("{:#?}", reports[0]) };
    assert_eq!(*count, 14, "node 3 about seven, and seven about it");
    assert!(examples.iter().all(|example| example.contains("node-00003")), "{examples:?}");
}

#[test]
fn an_idle_cluster_only_probes() {
    let mut world = converged(options(50, 1, 1, model()));
    let before = world.trace_hash();
    world.run_for(Duration::from_secs(30));
    assert_ne!(world.trace_hash(), before);
    let probes: u64 = (0..50).filter_map(|node| world.node(node)).map(|node| node.stats().probes).sum();
    assert!((1_400..=1_600).contains(&probes), "one a second and node: {probes}");
    assert_eq!(world.violations(), []);
    assert_eq!(world.disagreements(1), []);
}

#[test]
fn every_node_answers_a_query_and_it_takes_one() {
    for seed in 1..=3 {
        let (_, reports) = run(options(60, seed, 2, model()), &[Phase::Query]);
        let [report] = &reports[..] else { panic!("{reports:#?}") };
        assert!(report.outcome == Outcome::Done && report.is_fine(), "seed {seed}: {report:#?}");
        assert_eq!((report.done, report.queries, report.query_answers), (60, 1, 60), "seed {seed}");
        assert!(report.took_s < 6.4, "it ended before its deadline: {report:#?}");
    }
}

#[test]
fn with_loss_a_query_is_repeated_and_relays_reduce_the_repeats() {
    let asked = |relays| {
        let mut queries = 0;
        for seed in 1..=4 {
            let options = options(60, seed, 2, model().with_loss_ppm(200_000));
            let config = options.config.clone();
            let mut world = World::new(options);
            let settings = PhaseSettings { query_relays: relays, ..PhaseSettings::default() };
            let scenario = Scenario { phases: vec![Phase::Query], settings, is_converged: true, virtual_max: None };
            let reports = scenario.run(&mut world, &config, &mut Unwatched);
            assert!(reports[0].outcome == Outcome::Done && reports[0].is_fine(), "{:#?}", reports[0]);
            queries += reports[0].queries;
        }
        queries
    };
    let (direct, relayed) = (asked(0), asked(4));
    assert!(relayed < direct, "{relayed} queries with relays, {direct} without");
}

#[test]
fn every_codec_and_every_layer_carries_a_cluster_through_every_phase() {
    use serf_proto::Key;
    use serf_proto::{CodecChoice, Config, Options};
    let plain = Options::lan().hashicorp_pace();
    let sealed = Options::lan().hashicorp_pace().with(|options| {
        options.transport.encrypt_keys = [Key::new(&[7; 16]).unwrap()].into();
        options.transport.compression = true;
        options.transport.label = "dc1".into();
    });
    for layers in [plain, sealed] {
        for (codec, mixed_codecs) in [
            (CodecChoice::Auto, false),
            (CodecChoice::Native, false),
            (CodecChoice::HashiCorp, false),
            (CodecChoice::Auto, true),
        ] {
            let config = Config::new(layers.clone().with(|options| options.transport.codec = codec)).unwrap();
            let options =
                sim::WorldOptions { config, mixed_codecs, ..options(60, 1, 2, model().with_loss_ppm(100_000)) };
            let (world, reports) = run(options, &[Phase::Join, Phase::Event, Phase::Query, Phase::Crash, Phase::Leave]);
            for report in &reports {
                assert!(report.is_fine() && report.outcome == Outcome::Done, "{codec:?} {mixed_codecs}: {report:#?}");
            }
            assert_eq!(world.disagreements(10), [], "{codec:?} {mixed_codecs}");
        }
    }
}
