//! Worlds with a hostile member: the other nodes agree once it is silent, and their state stays within its bound.

use core::time::Duration;

use serf_proto::{Config, Options};
use sim::{Attack, ChaosOptions, ChaosReport, Hostility, chaos};

fn run(seed: u64, hostility: Hostility, threads: u32) -> ChaosReport {
    let config = Config::new(Options::lan().hashicorp_pace()).expect("the profile is valid");
    let faults_time = Duration::from_secs(120);
    let options = ChaosOptions {
        nodes_min: 4,
        nodes_max: 20,
        threads,
        faults_time,
        config,
        hostility,
        is_swarm: false,
        trace: None,
    };
    chaos(seed, &options)
}

fn survives(attack: Attack, seeds: &[u64]) {
    for &seed in seeds {
        let report = run(seed, Hostility::Only(attack), 1);
        assert!(report.is_fine(), "seed {seed}, {}: {:#?} deaf {:?}", attack.name(), report.violations, report.deaf);
    }
}

#[test]
fn a_hostile_world_is_the_same_on_any_number_of_threads() {
    for attack in [Attack::Accuse, Attack::Replays, Attack::Silence, Attack::Crowds] {
        let [one, three] = [1, 3].map(|threads| run(5, Hostility::Only(attack), threads));
        assert_eq!(one.trace_hash, three.trace_hash, "{}", attack.name());
        let (one, three) = (one.hostile.expect("it is hostile"), three.hostile.expect("it is hostile"));
        assert_eq!((one.datagrams, one.worst_answer), (three.datagrams, three.worst_answer));
    }
}

#[test]
fn a_world_has_the_same_nodes_and_faults_with_a_hostile_member_and_without() {
    let (peaceful, hostile) = (run(3, Hostility::Never, 1), run(3, Hostility::Always, 1));
    assert_eq!(peaceful.nodes, hostile.nodes);
    let kinds = |report: &ChaosReport| -> Vec<_> {
        let others = report.faults.iter().filter(|(_, fault)| fault.kind() != "assaults");
        others.map(|(at, fault)| (*at, fault.kind())).collect()
    };
    assert!(!kinds(&peaceful).is_empty());
    assert!(kinds(&hostile).is_empty() || kinds(&hostile) == kinds(&peaceful));
    assert!(hostile.hostile.is_some_and(|hostile| !hostile.attacks.is_empty()));
}

#[test]
fn digests_that_never_agree_cost_a_bounded_number_of_answers() {
    let mut refused = 0;
    for seed in 1..=12 {
        // The checkers compare the rates of each node with their bounds.
        let report = run(seed, Hostility::Only(Attack::Digests), 1);
        assert!(report.is_fine(), "seed {seed}: {:#?} deaf {:?}", report.violations, report.deaf);
        refused += usize::from(report.seen.contains("an answer to a reconciliation was refused by its rate"));
        let hostile = report.hostile.expect("it is hostile");
        // At most 32 answers at once and 16 per second from each node, of at most 4 packets of 1400 bytes.
        let answers = 32 + 16 * report.virtual_time.as_secs();
        assert!(hostile.bytes_out <= u64::from(report.nodes) * answers * 4 * 1400, "seed {seed}: {hostile:?}");
    }
    assert!(refused > 0, "some attacks exceed the rate");
}

// The seeds below failed before the corresponding fix.

#[test]
fn an_accusation_at_any_incarnation_is_refuted_everywhere() {
    survives(Attack::Accuse, &[1, 7, 11, 12]);
    survives(Attack::Exalt, &[1, 2, 4, 7, 10]);
    survives(Attack::Denial, &[1, 3, 4, 6, 10, 11]);
}

#[test]
fn clocks_far_ahead_do_not_exclude_a_node_that_starts_later() {
    survives(Attack::Clocks, &[1, 2, 3, 4, 5, 6]);
}

#[test]
fn events_longer_than_any_honest_one_are_not_kept() {
    survives(Attack::Bombs, &[2, 7, 9]);
}

#[test]
fn members_that_do_not_exist_are_given_up_and_keep_no_one_out() {
    survives(Attack::Ghosts, &[1, 2, 3, 8]);
}

#[test]
fn tags_forged_at_the_greatest_incarnation_are_put_right_by_the_member_itself() {
    let report = run(12, Hostility::Always, 1);
    assert!(report.is_fine(), "{:#?}", report.violations);
}

#[test]
fn forged_leaves_of_all_members_split_no_cluster_and_take_no_name() {
    for seed in [3606, 3630, 3634] {
        let report = run(seed, Hostility::Always, 1);
        assert!(report.is_fine(), "seed {seed}: {:#?}", report.violations);
    }
}
