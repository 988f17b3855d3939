use super::*;

/// Networks whose last address is that of node 2.
fn fenced() -> Options {
    Options::lan().with(|options| options.transport.cidrs_allowed = vec!["10.0.0.0/30".parse().unwrap()])
}

/// A node at 10.0.0.1 behind the fence, with the outputs of one call.
fn alone() -> (Node, Outbox) {
    let mut cluster = Cluster::new(1);
    cluster.start(0, fenced());
    (cluster.nodes[0].take().unwrap(), Outbox::new())
}

#[test]
fn a_member_outside_of_the_allowed_networks_stays_unknown_to_this_node_only() {
    let mut cluster = Cluster::new(4);
    cluster.start(0, fenced());
    for at in [0, 2, 3] {
        cluster.command(at, |node, now, out| node.join(now, &[addr(1)], OldEvents::Deliver, out)).unwrap();
    }
    cluster.run(Duration::from_secs(40));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (3, 4));
    assert_eq!((cluster.status(0, 2), cluster.status(0, 3)), (Some(Status::Alive), None));
    assert!(dropped(&cluster, 0, DropReason::Network) > 0);
    assert_eq!(dropped(&cluster, 1, DropReason::Network), 0, "no list, no fence");
}

#[test]
fn a_datagram_from_outside_of_the_allowed_networks_is_dropped_unread() {
    let (mut node, mut out) = alone();
    for (from, messages) in [("10.0.0.3:1", 1), ("10.0.0.4:1", 1), ("[::ffff:10.0.0.3]:1", 2), ("[::1]:1", 2)] {
        node.handle_datagram(Instant::ZERO, from.parse().unwrap(), &[0xff, 0xff, 0xff], &mut out);
        assert_eq!(node.stats().messages_in, messages, "{from}");
    }
    assert_eq!(node.stats().dropped(DropReason::Network), 2);
}

#[test]
fn a_stream_from_outside_of_the_allowed_networks_is_closed_at_once() {
    let (mut node, mut out) = alone();
    let inside = node.accept(Instant::ZERO, "10.0.0.3:1".parse().unwrap(), &mut out);
    assert!(out.is_empty(), "it may speak");
    let outside = node.accept(Instant::ZERO, "10.0.0.4:1".parse().unwrap(), &mut out);
    assert!(matches!(out.pop(), Some(Output::Close { stream }) if stream == outside && stream != inside));
    assert_eq!((node.streams.len(), node.stats().dropped(DropReason::Network)), (1, 1));
}
