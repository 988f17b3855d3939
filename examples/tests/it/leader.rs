//! The leader with a fencing token.

use std::sync::Arc;

use serf_examples::leader::{Replica, Store, leader_of};
use serf_sim::{Apps, Network, check};

use super::{ms, secs};

async fn replicas(net: &Network, store: &Arc<Store>) -> Apps<Replica> {
    net.latency(ms(1)..ms(20)).loss(0.02);
    let store = Arc::clone(store);
    let start = move |host: serf_sim::Host| {
        let store = Arc::clone(&store);
        async move { Replica::start(host.options(), store).expect("the host is free") }
    };
    let apps = net.hosts(4, start).await;
    net.settle(secs(60)).await;
    apps
}

/// The store accepted no write with a token smaller than one before, and each token had one writer.
fn assert_fenced(store: &Store) {
    for pair in store.log().windows(2) {
        let [(earlier, first), (later, second)] = pair else { continue };
        assert!(earlier < later || earlier == later && first == second, "{first} {earlier}, then {second} {later}");
    }
}

#[test]
fn a_leader_that_was_stalled_writes_nothing_after_its_successor() {
    check(1..=100, async |net: Network| {
        let store = Arc::new(Store::default());
        let apps = replicas(&net, &store).await;
        net.eventually(secs(60), || apps.of("n0").leads() && !apps.of("n1").leads()).await;
        net.pause("n0", secs(40));
        net.eventually(secs(39), || apps.of("n1").leads()).await;
        net.settle(secs(90)).await;
        net.eventually(secs(30), || apps.of("n0").leads() && !apps.of("n1").leads()).await;
        assert_fenced(&store);
    });
}

#[test]
fn after_any_faults_one_replica_leads_and_no_write_was_out_of_order() {
    check(1..=100, async |net: Network| {
        let store = Arc::new(Store::default());
        let apps = replicas(&net, &store).await;
        net.chaos(secs(120)).await;
        net.settle(secs(180)).await;
        let one_leads = || apps.running().iter().filter(|replica| replica.leads()).count() == 1;
        net.eventually(secs(30), one_leads).await;
        assert!(apps.agree(|replica| leader_of(replica.serf())));
        assert_fenced(&store);
        net.assert_protocol();
    });
}

#[test]
fn without_a_token_two_replicas_may_lead_and_the_report_says_that_a_stall_is_enough() {
    let naive = || {
        check([3], async |net: Network| {
            let apps = replicas(&net, &Arc::default()).await;
            net.eventually(secs(60), || apps.of("n0").leads() && !apps.of("n1").leads()).await;
            net.link("n2", "n3").loss(0.5);
            net.pause("n0", secs(40));
            net.crash("n3");
            net.always(secs(60), || apps.running().iter().filter(|replica| replica.leads()).count() <= 1).await;
        });
    };
    let report = *std::panic::catch_unwind(naive).unwrap_err().downcast::<String>().unwrap();
    assert!(report.contains(" cargo test leader::without_a_token"), "{report}");
    assert!(report.contains("1 of 3 faults are needed:\n") && report.contains("pause n0 for 40s\n"), "{report}");
}

#[test]
fn a_token_is_fenced_off_by_the_next() {
    let store = Store::default();
    let (old, new) = (store.issue(), store.issue());
    assert_eq!(store.write(old, "a"), Err(new));
    assert_eq!(store.write(new, "b"), Ok(()));
    assert_eq!((store.log().len(), store.refused()), (1, 1));
}
