//! The partition signal, judged by each node from its own view.

use super::*;
use crate::event::{PartitionReport, PartitionShare};

const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Longer than a failure takes to be seen in a small cluster, and the signal after it.
const SEEN: Duration = Duration::from_secs(60);

fn signalling() -> Options {
    Options::lan().with(|options| options.serf.partition_stable_after = STABLE_AFTER)
}

/// A cluster whose members have known each other for long.
fn stable(count: usize, options: &Options) -> Cluster {
    let mut cluster = Cluster::new(count);
    (0..count).for_each(|at| cluster.start(at, options.clone()));
    for at in 1..count {
        cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    }
    cluster.run(SEEN);
    cluster
}

impl Cluster {
    /// Loses all packets between nodes of different sides.
    fn cut(&mut self, sides: &[&[usize]]) {
        for (n, side) in sides.iter().enumerate() {
            for other in sides[n + 1..].iter().copied().flatten() {
                self.lost_ways.extend(side.iter().flat_map(|at| [(*at, *other), (*other, *at)]));
            }
        }
        // Streams, too: nothing of a partition crosses.
        self.walled = (0..self.nodes.len()).collect();
    }

    fn heal(&mut self) {
        self.lost_ways.clear();
        self.walled.clear();
    }

    fn signals(&mut self, at: usize) -> Vec<PartitionReport> {
        let events = core::mem::take(&mut self.events[at]);
        let reports = events.into_iter().filter_map(|event| match event {
            Event::Partition(report) => Some(*report),
            _ => None,
        });
        reports.collect()
    }

    fn share(&self, at: usize) -> Option<PartitionShare> {
        self.nodes[at].as_ref().unwrap().partition()
    }
}

fn numbers(reports: &[PartitionReport]) -> Vec<(bool, u32, u32, bool)> {
    let of = |PartitionShare { split, alive, largest }: PartitionShare, majority| (split, alive, largest, majority);
    reports.iter().map(|report| of(report.share, report.share.has_majority())).collect()
}

#[test]
fn both_sides_of_a_partition_report_their_share_once_and_its_end_once() {
    let mut cluster = stable(5, &signalling());
    (0..5).for_each(|at| assert_eq!(cluster.signals(at), [], "nothing is missing"));
    cluster.cut(&[&[0, 1], &[2, 3, 4]]);
    cluster.run(SEEN);
    for at in 0..5 {
        let (side, majority): (&[usize], _) = if at < 2 { (&[0, 1], false) } else { (&[2, 3, 4], true) };
        let signals = cluster.signals(at);
        assert_eq!(numbers(&signals), [(true, u32::try_from(side.len()).unwrap(), 5, majority)], "node {at}");
        let mut names: Vec<_> = signals[0].this_side.names().collect();
        names.sort_unstable();
        assert_eq!(names, side.iter().map(|at| format!("node-{at}")).collect::<Vec<_>>());
        assert!(cluster.share(at).unwrap().split);
    }
    cluster.heal();
    cluster.run(3 * SEEN);
    for at in 0..5 {
        assert_eq!(numbers(&cluster.signals(at)), [(false, 5, 5, true)], "node {at}");
        assert!(!cluster.share(at).unwrap().split);
    }
}

#[test]
fn of_three_parts_none_has_the_majority() {
    let mut cluster = stable(6, &signalling());
    (0..6).for_each(|at| _ = cluster.signals(at));
    cluster.cut(&[&[0, 1], &[2, 3], &[4, 5]]);
    cluster.run(SEEN);
    for at in 0..6 {
        // The two other parts may be lost more than the stable time apart: a report each.
        let signals = numbers(&cluster.signals(at));
        assert_eq!(signals.last(), Some(&(true, 2, 6, false)), "node {at}");
        assert!(signals.iter().all(|(.., majority)| !majority), "node {at}: {signals:?}");
    }
}

#[test]
fn half_of_the_members_is_no_majority_on_either_side() {
    let mut cluster = stable(4, &signalling());
    (0..4).for_each(|at| _ = cluster.signals(at));
    cluster.cut(&[&[0, 1], &[2, 3]]);
    cluster.run(SEEN);
    for at in 0..4 {
        assert_eq!(numbers(&cluster.signals(at)), [(true, 2, 4, false)], "node {at}");
    }
}

#[test]
fn fewer_missing_members_than_the_set_share_are_not_reported() {
    for (percent, reports) in [(20, 1), (21, 0)] {
        let mut cluster = stable(5, &signalling().with(|options| options.serf.partition_lost_percent = percent));
        (0..5).for_each(|at| _ = cluster.signals(at));
        cluster.nodes[4] = None;
        cluster.run(SEEN);
        assert_eq!(cluster.signals(0).len(), reports, "one of five, from {percent} % on");
    }
}

#[test]
fn members_that_leave_are_not_missing() {
    let mut cluster = stable(5, &signalling());
    (0..5).for_each(|at| _ = cluster.signals(at));
    for at in [3, 4] {
        cluster.command(at, |node, now, out| node.leave(now, out)).unwrap();
    }
    cluster.run(SEEN);
    for at in 0..3 {
        assert_eq!(cluster.signals(at), [], "node {at}");
        assert_eq!(cluster.share(at).map(|share| (share.alive, share.largest)), Some((3, 3)));
    }
    assert_eq!(cluster.signals(3), [], "nor does the leaver report that it is alone");
}

#[test]
fn members_that_leave_one_after_another_are_not_missing_while_the_cluster_never_settles() {
    let mut cluster = stable(10, &signalling());
    (0..10).for_each(|at| _ = cluster.signals(at));
    for at in (2..10).rev() {
        cluster.command(at, |node, now, out| node.leave(now, out)).unwrap();
        cluster.run(STABLE_AFTER - Duration::from_secs(2));
    }
    (0..2).for_each(|at| assert_eq!(cluster.signals(at), [], "node {at}"));
}

#[test]
fn missing_members_that_are_removed_end_the_partition() {
    let mut cluster = stable(5, &signalling());
    (0..5).for_each(|at| _ = cluster.signals(at));
    cluster.nodes[3] = None;
    cluster.nodes[4] = None;
    cluster.run(SEEN);
    assert_eq!(numbers(&cluster.signals(0)), [(true, 3, 5, true)]);
    for of in [3, 4] {
        let name = format!("node-{of}");
        cluster.command(0, |node, now, out| node.force_leave(now, &name, Tombstone::Keep, out)).unwrap();
    }
    cluster.run(SEEN);
    assert_eq!(numbers(&cluster.signals(0)), [(false, 3, 3, true)]);
}

#[test]
fn without_the_option_there_is_neither_signal_nor_timer() {
    let mut cluster = stable(5, &Options::lan());
    cluster.nodes[3] = None;
    cluster.nodes[4] = None;
    cluster.run(SEEN);
    assert_eq!((cluster.signals(0), cluster.share(0)), (vec![], None));
    assert!(!cluster.nodes[0].as_ref().unwrap().core.timers.is_set(NodeTimer::Partition));
}

#[test]
fn a_cluster_that_never_settles_is_judged_all_the_same() {
    let mut cluster = stable(6, &signalling());
    (0..6).for_each(|at| _ = cluster.signals(at));
    (2..6).for_each(|at| cluster.nodes[at] = None);
    // A guest joins and leaves every few seconds.
    for n in 0..30 {
        let at = 5;
        cluster.start_named(at, &format!("guest-{n}"), signalling(), Start::new());
        cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
        cluster.run(Duration::from_secs(1));
        cluster.command(at, |node, now, out| node.leave(now, out)).unwrap();
        cluster.run(Duration::from_secs(3));
    }
    let signals = numbers(&cluster.signals(0));
    assert!(signals.iter().any(|(split, alive, largest, _)| *split && *alive <= 3 && *largest == 6), "{signals:?}");
}

#[test]
fn zones_of_which_no_member_is_alive_are_named() {
    let options = signalling().with(|options| options.swim.zone_tag = "zone".into());
    let mut cluster = stable(6, &options);
    for at in 0..6 {
        let tags: Tags = [("zone", ["a", "b", "c"][at / 2])].into();
        cluster.command(at, |node, now, out| node.set_tags(now, &tags, out)).unwrap();
    }
    cluster.run(SEEN);
    (0..6).for_each(|at| _ = cluster.signals(at));
    cluster.nodes[3] = None;
    cluster.cut(&[&[0, 1, 2], &[4, 5]]);
    cluster.run(SEEN);
    for (at, lost) in [(0, &["c"][..]), (4, &["a", "b"])] {
        let signals = cluster.signals(at);
        assert_eq!(signals.last().unwrap().zones_lost, lost, "node {at}");
    }
}
