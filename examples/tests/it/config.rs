//! The distribution of a configuration.

use serf_examples::config::{Config, Replica};
use serf_sim::{Apps, Network, check};

use super::{ms, secs};

async fn replicas(net: &Network) -> Apps<Replica> {
    net.latency(ms(1)..ms(20)).loss(0.05);
    let apps = net.hosts(5, async |host| Replica::start(host.options()).expect("the host is free")).await;
    net.settle(secs(60)).await;
    apps
}

fn config(version: u64) -> Config {
    Config { version, content: format!("limit={version}").into() }
}

#[test]
fn every_replica_gets_the_newest_configuration_within_half_a_minute() {
    check(1..=100, async |net: Network| {
        let apps = replicas(&net).await;
        apps.of("n3").publish(config(1));
        apps.of("n1").publish(config(2));
        net.eventually(secs(30), || apps.all(|replica| replica.config() == config(2))).await;
    });
}

#[test]
fn a_replica_that_was_down_or_cut_off_gets_it_afterwards() {
    check(1..=100, async |net: Network| {
        let apps = replicas(&net).await;
        net.crash("n4");
        let cut = net.isolate(["n3"]);
        apps.of("n0").publish(config(3));
        net.advance(secs(60)).await;
        assert_eq!(apps.of("n3").config(), Config::default());
        cut.heal();
        net.restart("n4").await;
        net.eventually(secs(120), || apps.all(|replica| replica.config() == config(3))).await;
        net.settle(secs(120)).await;
    });
}

#[test]
fn faults_do_not_lose_a_published_configuration_that_one_other_replica_has() {
    check(1..=50, async |net: Network| {
        let apps = replicas(&net).await;
        apps.of("n0").publish(config(5));
        net.eventually(secs(60), || apps.of("n1").config() == config(5)).await;
        net.chaos(secs(90)).await;
        net.eventually(secs(180), || apps.all(|replica| replica.config() == config(5))).await;
        net.assert_protocol();
    });
}
