//! Forged leaves are refuted within seconds, and a member that left on purpose stays left.

use super::*;
use crate::wire::Writer;
use crate::wire::swim::Accusation;

impl Cluster {
    /// A packet to `at` with forged leaves of these nodes.
    fn forge_leaves(&mut self, at: usize, of: impl Iterator<Item = usize>) {
        for of in of.filter(|&of| of != at) {
            let name = format!("node-{of}");
            let incarnation = self.nodes[at].as_ref().unwrap().incarnation_of(&name).unwrap();
            let leave = Message::Dead(Accusation { incarnation, node: &name, from: &name });
            let mut packet = [0; 256];
            let mut writer = Writer::new(&mut packet);
            Codec::Native.encode(&leave, &mut writer).unwrap();
            let len = writer.len();
            self.command(at, |node, now, out| node.handle_datagram(now, addr(9), &packet[..len], out));
            assert_eq!(self.status(at, of), Some(Status::Left));
        }
    }

    /// A joined cluster without remembered seeds, through which some nodes would find each other.
    fn joined_without_seeds(count: usize) -> Self {
        let mut cluster = Self::joined(count);
        for node in cluster.nodes.iter_mut().flatten() {
            node.isolation = Isolation::default();
        }
        cluster.run(Duration::from_secs(1));
        cluster
    }

    fn assert_whole(&self) {
        for at in 0..self.nodes.len() {
            assert_eq!(self.alive(at), self.nodes.len(), "node {at}");
        }
    }
}

#[test]
fn forged_leaves_of_all_to_all_keep_a_cluster_apart_for_at_most_ten_seconds() {
    for count in [2, 5, 20] {
        let mut cluster = Cluster::joined_without_seeds(count);
        for at in 0..count {
            cluster.forge_leaves(at, 0..count);
        }
        cluster.run(Duration::from_secs(10));
        cluster.assert_whole();
    }
}

#[test]
fn a_member_whose_leave_was_forged_is_back_after_a_few_of_its_probes() {
    let mut cluster = Cluster::joined_without_seeds(5);
    for at in 0..4 {
        cluster.forge_leaves(at, 4..5);
    }
    cluster.run(Duration::from_secs(5));
    cluster.assert_whole();
}

#[test]
fn two_halves_that_consider_each_other_left_reconnect() {
    let mut cluster = Cluster::joined_without_seeds(5);
    for at in 0..5 {
        cluster.forge_leaves(at, if at < 2 { 2..5 } else { 0..2 });
    }
    cluster.run(Duration::from_secs(70));
    cluster.assert_whole();
}

#[test]
fn two_halves_that_forgot_each_other_are_one_again_when_they_can_talk() {
    let mut cluster = Cluster::joined_without_seeds(4);
    for at in 0..4 {
        let others = if at < 2 { 2..4 } else { 0..2 };
        cluster.lost_ways.extend(others.clone().map(|other| (at, other)));
        cluster.forge_leaves(at, others);
    }
    cluster.run(Duration::from_secs(120));
    for at in 0..4 {
        let node = cluster.nodes[at].as_ref().unwrap();
        assert_eq!((cluster.status(at, (at + 2) % 4), node.swim.members_known()), (Some(Status::Left), 2));
    }
    cluster.lost_ways.clear();
    cluster.run(Duration::from_secs(70));
    cluster.assert_whole();
}

#[test]
fn a_member_that_left_stays_left_even_when_it_runs_again_without_a_join() {
    for is_restarted in [false, true] {
        for count in [2, 4] {
            let mut cluster = Cluster::joined_without_seeds(count);
            cluster.command(1, |node, now, out| node.leave(now, out)).unwrap();
            cluster.run(Duration::from_secs(8));
            if is_restarted {
                cluster.start(1, Options::lan());
            }
            cluster.run(Duration::from_secs(600));
            assert_eq!(cluster.status(0, 1), Some(Status::Left));
            let alone = cluster.nodes[1].as_ref().unwrap();
            assert!(!is_restarted || alone.swim.others_live() == 0, "it is asked, and not brought in");
        }
    }
}
