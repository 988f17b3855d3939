//! Complaints on a network with one fault, and on one without.

use super::*;
use crate::{ComplaintKind, SocketFailure};

impl Cluster {
    /// The open complaints of a node: kind and member.
    fn complaints(&self, at: usize) -> Vec<(ComplaintKind, usize)> {
        let complaints = self.nodes[at].as_ref().unwrap().complaints();
        complaints.map(|complaint| (complaint.kind, index(complaint.peer.expect("is named")))).collect()
    }

    fn member_of_complaint(&self, at: usize) -> Option<String> {
        let complaint = self.nodes[at].as_ref().unwrap().complaints().next()?;
        complaint.member.map(|name| name.to_string())
    }

    fn datagram(&mut self, to: usize, from: usize, bytes: &[u8]) {
        self.command(to, |node, now, out| node.handle_datagram(now, addr(from), bytes, out));
    }
}

fn refused(reason: DropReason) -> ComplaintKind {
    ComplaintKind::Refused(reason)
}

#[test]
fn a_cluster_that_works_complains_of_nothing() {
    let mut cluster = Cluster::joined(5);
    cluster.command(3, |node, now, out| node.user_event(now, "deploy", b"v1", Coalescing::Allow, out)).unwrap();
    cluster.run(Duration::from_secs(60));
    cluster.nodes[4] = None;
    cluster.run(Duration::from_secs(60));
    cluster.start(4, Options::lan());
    cluster.run(Duration::from_secs(300));
    for at in 0..5 {
        assert_eq!(cluster.complaints(at), [], "node {at}");
    }
}

#[test]
fn a_peer_with_another_key_without_one_or_with_one_too_many_is_named() {
    let cases = [
        (with_keys(&[1]), with_keys(&[2]), refused(DropReason::Key)),
        (with_keys(&[1]), Options::lan(), refused(DropReason::Unencrypted)),
        (Options::lan(), with_keys(&[1]), ComplaintKind::Encrypted),
    ];
    for (ours, theirs, kind) in cases {
        let mut cluster = Cluster::new(2);
        cluster.start(0, ours);
        cluster.start(1, theirs);
        cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
        cluster.run(Duration::from_secs(5));
        let [(found, _)] = cluster.complaints(0)[..] else { panic!("{:?}", cluster.complaints(0)) };
        assert_eq!(found, kind);
    }
}

#[test]
fn datagrams_that_are_encrypted_while_we_have_no_key_are_not_taken_for_damaged_ones() {
    for version in [0, 1] {
        let mut cluster = Cluster::new(2);
        let mut sealed = [0x5a; 60];
        sealed[0] = version;
        cluster.datagram(0, 1, &sealed);
        assert_eq!(cluster.complaints(0), [(ComplaintKind::Encrypted, 1)]);
    }
}

#[test]
fn a_peer_with_another_label_is_named() {
    let mut cluster = Cluster::new(2);
    cluster.start(0, Options::lan().with(|options| options.transport.label = "ours".into()));
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    assert_eq!(cluster.complaints(0), [(refused(DropReason::Label), 1)]);
}

#[test]
fn a_member_that_only_streams_reach_is_named_by_all_until_datagrams_reach_it_again() {
    let mut cluster = Cluster::joined(3);
    cluster.deaf.insert(2);
    cluster.run(Duration::from_secs(30));
    assert_eq!(cluster.complaints(0), [(ComplaintKind::UdpBlocked, 2)]);
    assert_eq!(cluster.member_of_complaint(0).as_deref(), Some("node-2"));
    let own = [(ComplaintKind::UdpBlocked, 0), (ComplaintKind::UdpBlocked, 1)];
    assert_eq!(cluster.complaints(2), own, "it hears no answers either");
    assert_eq!(cluster.alive(0), 3);
    cluster.deaf.clear();
    cluster.run(Duration::from_secs(30));
    assert_eq!([0, 1, 2].map(|at| cluster.complaints(at).len()), [0, 0, 0]);
}

#[test]
fn a_member_that_answers_only_through_others_is_named_until_it_answers_directly() {
    let mut cluster = Cluster::joined(3);
    cluster.lost_ways.extend([(0, 2), (2, 0)]);
    cluster.run(Duration::from_secs(60));
    assert_eq!(cluster.complaints(0), [(ComplaintKind::UdpIndirect, 2)]);
    assert_eq!(cluster.complaints(1), []);
    cluster.lost_ways.clear();
    cluster.run(Duration::from_secs(30));
    assert_eq!(cluster.complaints(0), []);
}

#[test]
fn a_member_to_which_no_stream_can_be_opened_is_named_until_one_can() {
    // Members that compare digests open no streams while they agree.
    let mut cluster = Cluster::new(2);
    for at in 0..2 {
        cluster.start(at, Options::lan().with(|options| options.transport.codec = CodecChoice::HashiCorp));
    }
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.walled.insert(1);
    cluster.run(Duration::from_secs(120));
    assert_eq!(cluster.complaints(0), [(ComplaintKind::Exchange, 1)]);
    assert_eq!(cluster.complaints(1), []);
    cluster.walled.clear();
    cluster.run(Duration::from_secs(120));
    assert_eq!(cluster.complaints(0), []);
}

#[test]
fn a_member_that_is_gone_is_not_complained_of() {
    let mut cluster = Cluster::joined(3);
    cluster.deaf.insert(2);
    cluster.run(Duration::from_secs(30));
    assert_eq!(cluster.complaints(0).len(), 1);
    cluster.nodes[2] = None;
    cluster.run(Duration::from_secs(60));
    assert_eq!((cluster.status(0, 2), cluster.complaints(0)), (Some(Status::Failed), vec![]));
}

#[test]
fn a_ping_for_another_node_is_a_complaint() {
    let mut cluster = Cluster::joined(2);
    cluster.nodes[1] = None;
    cluster.start_named(1, "other", Options::lan(), Start::new());
    cluster.run(Duration::from_secs(3));
    assert_eq!(cluster.complaints(1), [(refused(DropReason::NotForUs), 0)]);
}

#[test]
fn checks_of_the_port_that_send_nothing_are_not_complained_of() {
    let mut cluster = Cluster::new(1);
    cluster.datagram(0, 1, b"");
    cluster.datagram(0, 1, b"X");
    let stream = cluster.command(0, |node, now, out| node.accept(now, addr(1), out));
    cluster.command(0, |node, now, out| node.handle_stream(now, stream, StreamInput::Closed, out));
    let stream = cluster.command(0, |node, now, out| node.accept(now, addr(1), out));
    cluster.command(0, |node, now, out| node.handle_stream(now, stream, StreamInput::Failed, out));
    cluster.command(0, |node, now, out| node.accept(now, addr(1), out));
    cluster.run(Duration::from_secs(60));
    assert_eq!(cluster.complaints(0), []);
    cluster.datagram(0, 1, b"XY");
    assert_eq!(cluster.complaints(0).len(), 1);
}

#[test]
fn errors_of_the_operating_system_are_logged_once_for_each_peer() {
    let mut cluster = Cluster::joined(2);
    for _ in 0..100 {
        let failure = SocketFailure::Send(addr(1));
        cluster.command(0, |node, now, _| node.socket_failed(now, failure, "operation not permitted"));
    }
    let complaint = cluster.nodes[0].as_ref().unwrap().complaints().next().unwrap();
    assert_eq!((complaint.kind, complaint.count), (ComplaintKind::Send, 100));
    cluster.run(Duration::from_secs(150));
    assert_eq!(cluster.complaints(0), []);
}
