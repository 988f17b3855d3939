//! Lamport clocks of the cluster, and nodes that join later.

use super::*;
use crate::Clocks;
use crate::limits::{LAMPORT_BURST_MAX, LAMPORT_TIME_MAX};
use crate::wire::Writer;
use crate::wire::serf::{Join, Message, Query, Source, UserEvent};

/// A hostile packet for each of the clocks.
fn poison(cluster: &mut Cluster, at: usize, ltime: u64) {
    let source = Source { addr: addr(99), node: "x" };
    let query = Query {
        ltime,
        id: 7,
        source,
        filters: crate::wire::serf::List::EMPTY,
        flags: 0,
        relay_factor: 0,
        timeout: Duration::from_secs(1),
        name: "q",
        payload: &[],
    };
    let messages = [
        Message::UserEvent(UserEvent { ltime, name: "x", payload: &[], coalesce: false }),
        Message::Join(Join { ltime, node: "nobody" }),
        Message::Query(query),
    ];
    for message in messages {
        let mut buf = [0; 512];
        let mut writer = Writer::new(&mut buf);
        Codec::HashiCorp.begin_user(&mut writer).unwrap();
        Codec::HashiCorp.encode_serf(&message, &mut writer).unwrap();
        let len = writer.len();
        let now = cluster.now;
        cluster.command(at, |node, _, out| node.handle_datagram(now, addr(99), &buf[..len], out));
    }
}

fn join(cluster: &mut Cluster, at: usize) {
    cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
}

fn clocks(cluster: &Cluster, at: usize) -> Clocks {
    cluster.nodes[at].as_ref().unwrap().clocks()
}

#[test]
fn a_node_that_starts_in_a_cluster_whose_time_was_driven_far_takes_part_in_it() {
    let mut cluster = Cluster::new(3);
    cluster.nodes[2] = None;
    join(&mut cluster, 1);
    cluster.run(Duration::from_secs(5));
    for _ in 0..5 {
        let Clocks { member, event, query } = clocks(&cluster, 0);
        poison(&mut cluster, 0, member.min(event).min(query) + LAMPORT_BURST_MAX);
        cluster.run(Duration::from_secs(300));
    }
    assert!(clocks(&cluster, 1).event > 5 * LAMPORT_BURST_MAX);
    cluster.start(2, Options::lan());
    join(&mut cluster, 2);
    cluster.run(Duration::from_secs(10));
    cluster.events.iter_mut().for_each(Vec::clear);
    for (at, name) in [(0, "from-old"), (2, "from-new")] {
        cluster.command(at, |node, now, out| node.user_event(now, name, b"", Coalescing::Forbid, out)).unwrap();
    }
    cluster.run(Duration::from_secs(5));
    assert_eq!([0, 1, 2].map(|at| cluster.user_events(at).len()), [2, 2, 2]);
}

#[test]
fn a_time_at_the_end_of_time_moves_no_clock() {
    let mut cluster = Cluster::joined(2);
    let before = clocks(&cluster, 0);
    for ltime in [LAMPORT_TIME_MAX - 1, LAMPORT_TIME_MAX, 1 << 63, u64::MAX] {
        poison(&mut cluster, 0, ltime);
    }
    assert_eq!(clocks(&cluster, 0), before);
    assert_eq!(dropped(&cluster, 0, DropReason::OutOfRange), 12);
}
