//! The sharded cache.

use serf_examples::ring::{Cache, Ring};
use serf_sim::{Apps, Network, check};

use super::{ms, secs};

async fn caches(net: &Network, count: usize) -> Apps<Cache> {
    net.latency(ms(1)..ms(20)).loss(0.05);
    let apps = net.hosts(count, async |host| Cache::start(host.options()).expect("the host is free")).await;
    net.settle(secs(60)).await;
    apps
}

#[test]
fn rings_of_a_split_cluster_differ_and_those_of_a_healed_one_are_equal() {
    check(1..=200, async |net: Network| {
        let apps = caches(&net, 6).await;
        assert!(apps.agree(Cache::ring));
        let cut = net.partition(["n0", "n1"], ["n2", "n3", "n4", "n5"]);
        net.advance(secs(120)).await;
        assert_eq!(*apps.of("n0").ring(), Ring::of(["n0", "n1"]));
        assert_eq!(*apps.of("n5").ring(), Ring::of(["n2", "n3", "n4", "n5"]));
        cut.heal();
        net.eventually(secs(90), || apps.agree(Cache::ring)).await;
        net.assert_protocol();
    });
}

#[test]
fn after_a_crash_no_key_has_two_owners_or_none_for_longer_than_twenty_seconds() {
    check(1..=100, async |net: Network| {
        let apps = caches(&net, 5).await;
        let victim = format!("n{}", 1 + net.random_below(4));
        net.crash(&victim);
        net.advance(secs(20)).await;
        for key in (0..100).map(|n| format!("key-{n}")) {
            let owners = apps.running().iter().filter(|cache| cache.owns(&key)).count();
            assert_eq!(owners, 1, "of {key} after the crash of {victim}");
        }
        net.restart(&victim).await;
        // A replica that gossip missed learns of it from the next exchange of states, 30 s later.
        net.eventually(secs(60), || apps.agree(Cache::ring)).await;
    });
}

#[test]
fn a_ring_moves_few_keys_when_a_member_leaves() {
    let (all, fewer) = (Ring::of(["a", "b", "c", "d"]), Ring::of(["a", "b", "c"]));
    let keys: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for key in &keys {
        let owner = all.owner(key).unwrap();
        assert!(owner == "d" || fewer.owner(key) == Some(owner), "only the keys of d move");
    }
    for name in ["a", "b", "c", "d"] {
        let share = keys.iter().filter(|key| all.owner(key) == Some(name)).count();
        assert!((150..350).contains(&share), "{name}: {share}");
    }
    assert_eq!(Ring::of([]).owner("key"), None);
}
