use super::*;

#[test]
fn members_learn_how_far_they_are_from_each_other_by_their_probes() {
    let mut cluster = Cluster::joined(3);
    cluster.run(Duration::from_secs(120));
    for at in 0..3 {
        let node = cluster.nodes[at].as_ref().unwrap();
        let own = node.coordinate().unwrap();
        for other in (0..3).filter(|&other| other != at) {
            let distance = own.distance_to(&node.coordinate_of(&format!("node-{other}")).unwrap());
            let truth = Duration::from_millis(2);
            assert!(distance > truth / 2 && distance < truth * 2, "{at} to {other}: {distance:?}");
        }
        assert_eq!(node.stats().coordinates_rejected + node.stats().coordinate_resets, 0);
    }
}

#[test]
fn without_coordinates_acks_carry_nothing_and_nothing_is_learnt() {
    let mut cluster = Cluster::joined(2);
    cluster.nodes[1] = None;
    cluster.start(1, Options::lan().with(|options| options.serf.coordinates = false));
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(60));
    let [with, without] = [0, 1].map(|at| cluster.nodes[at].as_ref().unwrap());
    assert_eq!((without.coordinate(), without.coordinate_of("node-0")), (None, None));
    assert_eq!(with.coordinate_of("nobody"), None);
    assert!(without.serf.ack_payload(Codec::HashiCorp).bytes().is_empty());
    assert_eq!((without.stats().dropped, with.stats().coordinates_rejected), (Default::default(), 0));
}
