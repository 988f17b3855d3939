//! Helpers shared by the tests.

use core::time::Duration;

use serf_proto::{Config, Options};
use sim::{LinkModel, Phase, PhaseReport, PhaseSettings, Scenario, Unwatched, World, WorldOptions};

pub(crate) fn model() -> LinkModel {
    LinkModel::new(Duration::from_millis(1), Duration::from_millis(20)).expect("1 ms is above zero and below 20 ms")
}

pub(crate) fn config() -> Config {
    Config::new(Options::lan().hashicorp_pace()).expect("the profile is valid")
}

pub(crate) fn options(nodes: u32, seed: u64, threads: u32, model: LinkModel) -> WorldOptions {
    WorldOptions {
        nodes,
        seed,
        threads,
        config: config(),
        mixed_codecs: false,
        model,
        has_checks: true,
        has_hostile: false,
    }
}

/// Returns a world in which all nodes know all, after one virtual second.
pub(crate) fn converged(options: WorldOptions) -> World {
    let mut world = World::new(options);
    world.start_converged();
    world.run_for(Duration::from_secs(1));
    world
}

/// Runs phases in a new world.
pub(crate) fn run(options: WorldOptions, phases: &[Phase]) -> (World, Vec<PhaseReport>) {
    let config = options.config.clone();
    let mut world = World::new(options);
    let scenario = Scenario {
        phases: phases.to_vec(),
        settings: PhaseSettings::default(),
        is_converged: !phases.contains(&Phase::Join),
        virtual_max: None,
    };
    let reports = scenario.run(&mut world, &config, &mut Unwatched);
    (world, reports)
}
