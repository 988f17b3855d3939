//! Real sockets on loopback with tokio's paused clock: minutes of the protocol in a second of a test.

use std::time::Duration;

use serf_tokio::{Options, Serf, Status};
use tokio::time::Instant;

fn node(name: String) -> Serf {
    let loopback = "127.0.0.1:0".parse().expect("is an address");
    Serf::start(Options::lan(name).with(|options| options.bind = loopback)).expect("a port is free")
}

async fn eventually(limit: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "still false after {limit:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Number of members of this status in the view of a node.
fn count(serf: &Serf, status: Status) -> usize {
    serf.members().iter().filter(|member| member.status() == status).count()
}

#[tokio::test(start_paused = true)]
async fn ten_nodes_notice_a_crash_in_virtual_time() {
    let (begun, wall) = (Instant::now(), std::time::Instant::now());
    let mut nodes: Vec<Serf> = (0..10).map(|n| node(format!("n{n}"))).collect();
    let seed = [nodes[0].bound_addr().to_string()];
    for node in &nodes[1..] {
        node.join(&seed).await.expect("the first node answers");
    }
    eventually(Duration::from_secs(60), || nodes.iter().all(|node| count(node, Status::Alive) == 10)).await;
    nodes.pop().expect("there are ten").shutdown().await.expect("it has no snapshot");
    eventually(Duration::from_secs(60), || nodes.iter().all(|node| count(node, Status::Failed) == 1)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(nodes.iter().all(|node| count(node, Status::Alive) == 9), "and no other is taken for failed");
    assert!(begun.elapsed() > Duration::from_secs(120) && wall.elapsed() < begun.elapsed());
}
