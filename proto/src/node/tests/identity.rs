//! Address and identity: which addresses of former members may be asked for their state.

use super::*;
use crate::{AddressFailure, SeedFailureCause, Snapshot};

/// A cluster of one, whose other member is gone, and a cluster of two, one of which has the address of that member.
fn with_a_stranger_at_the_address_of_a_failed_member(forgotten: bool) -> Cluster {
    let mut cluster = Cluster::new(3);
    let options = || Options::lan().with(|options| options.serf.reconnect_timeout = Duration::from_secs(60));
    cluster.start(0, if forgotten { options() } else { Options::lan() });
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.nodes[1] = None;
    cluster.run(if forgotten { Duration::from_secs(300) } else { Duration::from_secs(40) });
    assert_eq!(cluster.status(0, 1), if forgotten { None } else { Some(Status::Failed) });
    cluster.start_named(1, "stranger", Options::lan(), Start::new());
    cluster.command(1, |node, now, out| node.join(now, &[addr(2)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster
}

#[test]
fn two_clusters_do_not_merge_because_one_got_the_address_of_a_member_of_the_other() {
    for forgotten in [false, true] {
        let mut cluster = with_a_stranger_at_the_address_of_a_failed_member(forgotten);
        cluster.run(Duration::from_secs(600));
        assert_eq!([0, 1, 2].map(|at| cluster.alive(at)), [1, 2, 2], "forgotten: {forgotten}");
        assert!(dropped(&cluster, 1, DropReason::NotForUs) > 5, "it was looked for by name");
    }
}

#[test]
fn a_member_that_has_its_address_back_is_found_again_after_a_stranger_had_it() {
    for forgotten in [false, true] {
        let mut cluster = with_a_stranger_at_the_address_of_a_failed_member(forgotten);
        cluster.run(Duration::from_secs(60));
        cluster.start(1, Options::lan());
        cluster.run(Duration::from_secs(100));
        assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 2), "forgotten: {forgotten}");
    }
}

#[test]
fn an_address_that_the_application_gave_is_asked_whichever_node_is_there() {
    let mut cluster = Cluster::new(2);
    cluster.command(0, |node, now, out| node.join(now, &[addr(1)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.nodes[1] = None;
    cluster.run(Duration::from_secs(40));
    cluster.start_named(1, "successor", Options::lan(), Start::new());
    cluster.run(Duration::from_secs(45));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 2));
}

#[test]
fn a_failed_member_that_no_datagram_reaches_is_reconnected_over_streams() {
    let mut cluster = Cluster::joined(3);
    cluster.nodes[2] = None;
    cluster.run(Duration::from_secs(40));
    assert_eq!(cluster.status(0, 2), Some(Status::Failed));
    cluster.deaf.insert(2);
    cluster.start(2, Options::lan());
    cluster.run(Duration::from_secs(120));
    assert_eq!([0, 1, 2].map(|at| cluster.alive(at)), [3, 3, 3]);
}

#[test]
fn a_rejoin_asks_remembered_members_by_name_and_reports_other_nodes_there() {
    let mut cluster = Cluster::new(2);
    let mut snapshot = Snapshot::default();
    snapshot.apply(&Record::Alive { name: "earlier".into(), addr: addr(1) });
    let identity = Identity::new("node-0", addr(0), &Tags::default()).unwrap();
    let (cfg, mut out) = (Arc::new(Config::new(Options::lan()).unwrap()), Outbox::new());
    let start = Start::new().with_snapshot(snapshot);
    cluster.nodes[0] = Some(Node::new(cfg, &identity, &Seed::from_u64(99), cluster.now, start, &mut out));
    cluster.route(0, &mut out);
    let id = cluster.command(0, |node, now, out| node.rejoin(now, OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(60));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (1, 1));
    let failed = AddressFailure { addr: addr(1), cause: SeedFailureCause::OtherNode, detail: None };
    let report = crate::JoinOutcome { id, contacted: 0, failed: [failed].into(), cancelled: false };
    assert!(cluster.events[0].contains(&Event::Joined(report)), "{:?}", cluster.events[0]);
}
