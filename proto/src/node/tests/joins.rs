use super::*;
use crate::JoinOutcome;
use crate::limits::{SEEDS_AT_ONCE_MAX, SEEDS_AT_ONCE_TOTAL_MAX};
use crate::types::AfterLeave;
use crate::wire::Versions;
use crate::wire::swim::PeerRef;

impl Cluster {
    fn joined_reports(&self, at: usize) -> Vec<JoinOutcome> {
        let reports = self.events[at].iter().filter_map(|event| match event {
            Event::Joined(report) => Some(report.clone()),
            _ => None,
        });
        reports.collect()
    }
}

#[test]
fn a_join_that_is_cancelled_ends_at_once_and_for_good() {
    let mut cluster = Cluster::new(2);
    cluster.nodes[1] = None;
    let id = cluster.join_all(0, &nowhere(1));
    cluster.run(Duration::from_secs(5));
    assert!(cluster.command(0, |node, now, out| node.cancel_join(now, id, out)));
    assert!(!cluster.command(0, |node, now, out| node.cancel_join(now, id, out)));
    cluster.start(1, Options::lan());
    cluster.run(Duration::from_secs(120));
    let [report] = &cluster.joined_reports(0)[..] else { panic!("{:?}", cluster.events[0]) };
    assert!(report.cancelled && report.contacted == 0);
    assert_eq!(cluster.alive(0), 1);
}

#[test]
fn cancelling_closes_the_streams_that_are_open() {
    let mut cluster = Cluster::new(2);
    let id = cluster.join_all(0, &[addr(1)]);
    assert_eq!(cluster.nodes[0].as_ref().unwrap().streams_live(), 1);
    assert!(cluster.command(0, |node, now, out| node.cancel_join(now, id, out)));
    assert_eq!(cluster.nodes[0].as_ref().unwrap().streams_live(), 0);
    cluster.run(Duration::from_secs(5));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (1, 1));
}

#[test]
fn a_node_that_lost_all_members_finds_them_again_even_after_it_forgot_them() {
    let mut cluster = Cluster::new(2);
    let forgetful = || Options::lan().with(|options| options.serf.reconnect_timeout = Duration::from_secs(60));
    cluster.start(1, forgetful());
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.nodes[0] = None;
    cluster.run(Duration::from_secs(300));
    assert_eq!(cluster.status(1, 0), None, "failed, and forgotten");
    let before = cluster.joined_reports(1).len();
    cluster.start(0, Options::lan());
    cluster.run(Duration::from_secs(45));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 2));
    assert_eq!(cluster.joined_reports(1).len(), before, "the application did not purpose for it");
}

#[test]
fn a_node_through_which_all_others_joined_finds_them_again_too() {
    let mut cluster = Cluster::new(2);
    cluster.start(0, Options::lan().with(|options| options.serf.reconnect_timeout = Duration::from_secs(60)));
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.nodes[1] = None;
    cluster.run(Duration::from_secs(300));
    assert_eq!(cluster.status(0, 1), None, "failed, and forgotten");
    cluster.start(1, Options::lan());
    cluster.run(Duration::from_secs(45));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 2));
}

#[test]
fn a_member_that_reaches_a_failed_one_again_broadcasts_its_join() {
    for join in [false, true] {
        let mut cluster = Cluster::joined(3);
        let time = |cluster: &Cluster| cluster.nodes[2].as_ref().unwrap().member("node-0").unwrap().status_ltime();
        let before = time(&cluster);
        cluster.command(0, |node, now, out| {
            node.set_now(now);
            let purpose = ExchangePurpose::PushPull { join, codec: Codec::Native };
            node.core.dial(addr(1), purpose, now + Duration::from_secs(10));
            node.settle(None, out);
        });
        cluster.run(Duration::from_secs(3));
        assert_eq!(time(&cluster) > before, join, "an exchange as any other changes nothing");
    }
}

#[test]
fn a_cluster_with_an_incompatible_member_is_not_joined_and_the_join_says_why() {
    let mut cluster = Cluster::new(3);
    // The joining node must learn of the incompatible one by the push/pull, not by gossip.
    cluster.start(0, Options::lan().hashicorp_pace());
    cluster.nodes[2] = None;
    cluster.command(0, |node, now, out| {
        let peer =
            PeerRef { name: "odd", addr: addr(2), meta: &[], versions: Versions::from_bytes([1, 5, 2, 9, 9, 9]) };
        let mut buf = [0; 200];
        let mut writer = crate::wire::Writer::new(&mut buf);
        Codec::Native.encode(&Message::Alive(crate::wire::swim::Alive { incarnation: 1, peer }), &mut writer).unwrap();
        let len = writer.len();
        node.set_now(now);
        node.handle_frame(&mut Heard::new(addr(2), len), &buf[..len]);
        node.settle(None, out);
    });
    assert!(cluster.nodes[0].as_ref().unwrap().member("odd").is_some());
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_millis(20));
    let [report] = &cluster.joined_reports(1)[..] else { panic!("{:?}", cluster.events[1]) };
    let detail = Some("Node 'odd' delegate protocol version (9) is incompatible: [2, 5]".into());
    let refused = crate::AddressFailure { addr: addr(0), cause: crate::SeedFailureCause::Refused, detail };
    assert_eq!((report.contacted, &report.failed[..]), (0, &[refused][..]));
    assert_eq!((cluster.alive(1), dropped(&cluster, 1, DropReason::Versions)), (1, 1));
}

#[test]
fn a_node_that_never_had_company_seeks_none() {
    let mut cluster = Cluster::new(1);
    cluster.run(Duration::from_secs(600));
    assert!(!cluster.nodes[0].as_ref().unwrap().core.timers.is_set(NodeTimer::Isolation));
    assert_eq!(cluster.nodes[0].as_ref().unwrap().stats().push_pulls_out, 0);
}

#[test]
fn neither_many_failed_nor_many_earlier_members_displace_a_seed() {
    let mut cluster = Cluster::new(1);
    let [seed, other] = [200, 201].map(|last| SocketAddr::from(([10, 9, 9, last], 7946)));
    let (first, second) = cluster.command(0, |node, _, _| {
        let member = |net, at| Contact::remembered("gone".into(), SocketAddr::from(([10, net, 0, at], 7946)));
        node.isolation.remember_seed(Some(seed.into()));
        for at in 0..40 {
            node.isolation.remember_failed(Some(member(8, at)));
        }
        node.joins = Joins::new((0..200).map(|at| member(7, at)).collect());
        (node.candidates(), node.candidates())
    });
    let [seed, other] = [seed, other].map(Contact::from);
    assert!(first.contains(&seed) && second.contains(&seed) && !first.contains(&other));
    assert_eq!((first.len(), second.len()), (64, 64));
    assert_ne!(first, second, "other members of the earlier life each time");
}

impl Cluster {
    fn streams(&self, at: usize) -> usize {
        self.nodes[at].as_ref().unwrap().streams_live()
    }

    fn join_all(&mut self, at: usize, seeds: &[SocketAddr]) -> JoinId {
        self.command(at, |node, now, out| node.join(now, seeds, OldEvents::Ignore, out)).unwrap()
    }
}

/// Addresses without a node, so that streams to them run into their timeout.
fn nowhere(count: usize) -> Vec<SocketAddr> {
    (0..count).map(|at| SocketAddr::from(([10, 9, 0, 1], u16::try_from(at + 1).unwrap()))).collect()
}

#[test]
fn a_join_asks_sixteen_seeds_at_a_time_and_all_in_the_end() {
    for count in [SEEDS_AT_ONCE_MAX - 1, SEEDS_AT_ONCE_MAX, SEEDS_AT_ONCE_MAX + 1, 100] {
        let mut cluster = Cluster::new(3);
        let mut seeds = nowhere(count - 2);
        seeds.insert(0, addr(1));
        seeds.push(addr(2));
        cluster.join_all(0, &seeds);
        let mut most = 0;
        while cluster.joined_reports(0).is_empty() {
            most = most.max(cluster.streams(0));
            cluster.run(Duration::from_millis(100));
        }
        assert_eq!(most, count.min(SEEDS_AT_ONCE_MAX));
        let [report] = &cluster.joined_reports(0)[..] else { panic!("one join") };
        let failed: Vec<SocketAddr> = report.failed.iter().map(|failure| failure.addr).collect();
        assert_eq!((report.contacted, &failed[..]), (2, &seeds[1..count - 1]), "in the order in which they were given");
    }
}

#[test]
fn many_joins_together_ask_no_more_seeds_than_a_few_and_each_has_its_turn() {
    let mut cluster = Cluster::new(2);
    for _ in 0..SEEDS_AT_ONCE_TOTAL_MAX / SEEDS_AT_ONCE_MAX + 1 {
        cluster.join_all(0, &nowhere(40));
    }
    assert_eq!(cluster.streams(0), SEEDS_AT_ONCE_TOTAL_MAX);
    let last = cluster.join_all(0, &[addr(1)]);
    cluster.run(Duration::from_secs(11));
    let [report] = &cluster.joined_reports(0)[..] else { panic!("the others have many") };
    assert_eq!((report.id, report.contacted), (last, 1));
    assert!(cluster.streams(0) <= SEEDS_AT_ONCE_TOTAL_MAX);
    cluster.run(Duration::from_secs(60));
    let reports = cluster.joined_reports(0);
    assert_eq!(reports.len(), 6);
    assert!(reports[1..].iter().all(|report| report.failed.len() == 40 && !report.cancelled));
}

#[test]
fn a_leave_asks_no_more_seeds_and_ends_the_join() {
    let mut cluster = Cluster::new(2);
    let joins: Vec<JoinId> = (0..5).map(|_| cluster.join_all(0, &nowhere(100))).collect();
    cluster.command(0, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(11));
    let reports = cluster.joined_reports(0);
    assert_eq!((reports.len(), cluster.streams(0)), (joins.len(), 0));
    assert!(reports.iter().all(|report| report.cancelled && report.failed.len() <= SEEDS_AT_ONCE_MAX));
}

#[test]
fn gone_members_delay_a_rejoin_only_by_sixteen_at_a_time() {
    let mut cluster = Cluster::new(2);
    let mut snapshot = Snapshot::new(AfterLeave::Forget);
    let ghosts = 96;
    for (at, ghost) in nowhere(ghosts).into_iter().enumerate() {
        snapshot.apply(&Record::Alive { name: format!("ghost-{at}").into(), addr: ghost });
    }
    cluster.start_as(0, Options::lan(), Start::new().with_snapshot(snapshot));
    cluster.command(0, |node, now, out| node.rejoin(now, OldEvents::Ignore, out)).unwrap();
    assert_eq!(cluster.streams(0), 3, "most clusters are there, and one answer is enough");
    cluster.run(Duration::from_secs(9));
    assert_eq!(cluster.streams(0), SEEDS_AT_ONCE_MAX);
    let mut rounds = 0;
    while cluster.joined_reports(0).is_empty() {
        cluster.run(Duration::from_secs(1));
        rounds += 1;
    }
    assert!(rounds <= 10 * ghosts / SEEDS_AT_ONCE_MAX, "{rounds} s");
}
