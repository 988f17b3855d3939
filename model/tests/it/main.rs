//! The small worlds, and the tools that explore them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use serf_model::{Action, Explorer, Plan, Rule, World, play, script_of};
use serf_tests::Script;
use stateright::{Checker as _, HasDiscoveries, Model as _};

/// Explores a plan, and returns the number of states.
fn explore(plan: Plan) -> usize {
    let explorer = Explorer::new(plan);
    let checker = explorer.clone().checker().finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    let discoveries = checker.discoveries();
    for rule in Rule::ALL {
        if let Some(path) = discoveries.get(rule.name()) {
            let actions: Vec<Action> = path.clone().into_actions();
            panic!("{rule} does not hold in {}:\n{}", explorer.plan().name, script_of(&explorer, 0, &actions));
        }
    }
    let seen = explorer.seen();
    assert!(seen.ends > 0 && seen.peaces > 0, "the horizon was reached: {seen:?}");
    // With a third node, indirect pings make up for a loss.
    let is_fragile = explorer.plan().budget.losses > 0 && explorer.plan().members.len() == 2;
    assert!(!is_fragile || seen.accused > 0, "a loss causes an accusation: {seen:?}");
    checker.unique_state_count()
}

#[test]
fn all_rules_hold_in_all_states_of_the_small_worlds() {
    thread::scope(|scope| {
        for plan in Plan::small() {
            scope.spawn(move || {
                let name = plan.name;
                let states = explore(plan);
                assert!(states > 1000, "{name} has {states} states");
            });
        }
    });
}

/// Walks at random, by a fixed rule.
fn walk(explorer: &Explorer, steps: usize, mut random: u64) -> (Vec<Action>, World) {
    let mut world = explorer.init_states().remove(0);
    let mut taken = Vec::new();
    while taken.len() < steps {
        let mut actions = Vec::new();
        explorer.actions(&world, &mut actions);
        if actions.is_empty() {
            break;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let action = actions[usize::try_from(random >> 33).expect("31 bits") % actions.len()];
        if let Some(next) = explorer.next_state(&world, action) {
            world = next;
            taken.push(action);
        }
    }
    (taken, world)
}

#[test]
fn any_path_is_a_script_that_plays_without_error() {
    for plan in Plan::small() {
        let explorer = Explorer::new(plan);
        for seed in 0..4 {
            let (actions, _) = walk(&explorer, 40, seed);
            let text = script_of(&explorer, 0, &actions);
            assert_eq!(play(&text).as_deref(), Ok(Script::parse(&text).expected()), "{text}");
        }
    }
}

#[test]
fn the_same_steps_lead_to_the_same_state() {
    for plan in Plan::small() {
        let explorer = Explorer::new(plan);
        for seed in 0..4 {
            assert!(walk(&explorer, 60, seed).1 == walk(&explorer, 60, seed).1);
        }
    }
}

#[test]
fn the_choices_of_a_plan_cover_all_targets_of_a_first_probe() {
    for plan in Plan::small().into_iter().chain(Plan::large()).filter(|plan| plan.seeds.len() > 1) {
        let (name, members) = (plan.name, plan.members.len());
        let explorer = Explorer::new(plan);
        let world = explorer.init_states().remove(0);
        let mut actions = Vec::new();
        explorer.actions(&world, &mut actions);
        let fires = actions.into_iter().filter(|action| matches!(action, Action::Fire { .. }));
        // The description of a world names the messages in transit.
        let after: BTreeSet<String> =
            fires.filter_map(|action| explorer.next_state(&world, action)).map(|world| format!("{world:?}")).collect();
        assert!(after.len() >= members - 1, "{name}: {after:?}");
    }
}

fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).expect("is there").map(|entry| entry.expect("can be read").path()).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn every_script_of_a_world_ends_as_it_says() {
    assert!(!scripts().is_empty());
    for path in scripts() {
        let text = fs::read_to_string(&path).unwrap();
        let script = Script::parse(&text);
        let reports = play(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, script.with_expected(&reports)).unwrap();
        } else {
            assert_eq!(reports, script.expected(), "{}: UPDATE=1 takes it over", path.display());
        }
    }
}
