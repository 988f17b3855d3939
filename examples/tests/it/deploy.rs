//! The rolling deploy.

use serf_examples::deploy::Replica;
use serf_sim::{Apps, Network, check};

use super::{ms, secs};

async fn replicas(net: &Network) -> Apps<Replica> {
    net.latency(ms(1)..ms(20)).loss(0.02);
    let apps = net.hosts(4, async |host| Replica::start(host.options()).expect("the host is free")).await;
    net.settle(secs(60)).await;
    net.advance(secs(2)).await;
    apps
}

fn deploying(apps: &Apps<Replica>) -> usize {
    apps.running().iter().filter(|replica| replica.is_deploying()).count()
}

#[test]
fn replicas_deploy_one_after_the_other() {
    check(1..=100, async |net: Network| {
        let apps = replicas(&net).await;
        apps.of("n2").announce(7).unwrap();
        net.eventually(secs(90), || {
            assert!(deploying(&apps) <= 1, "two at a time");
            apps.all(|replica| replica.version() == 7)
        })
        .await;
    });
}

#[test]
fn a_crash_within_a_deploy_does_not_stop_the_others_and_the_replica_follows() {
    check(1..=100, async |net: Network| {
        let apps = replicas(&net).await;
        apps.of("n2").announce(7).unwrap();
        net.eventually(secs(60), || apps.of("n1").is_deploying()).await;
        net.crash("n1");
        net.eventually(secs(90), || apps.all(|replica| replica.version() == 7)).await;
        net.restart("n1").await;
        net.eventually(secs(60), || apps.of("n1").version() == 7).await;
        net.settle(secs(60)).await;
    });
}
