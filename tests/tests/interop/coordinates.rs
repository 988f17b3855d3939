//! Network coordinates, which are carried by the acks of probes.

use crate::harness::{Agent, Ours, Sees, until};

pub(crate) fn both_find_each_other_in_network_coordinates() {
    let theirs = ["h1", "h2"].map(|name| Agent::start(name, &[]));
    let ours = Ours::start("ours");
    theirs[1].join(&[theirs[0].addr]);
    ours.join(&[theirs[0].addr]);
    ours.sees_alive(3);
    theirs.iter().for_each(|agent| agent.sees_alive(3));
    until("theirs know where ours is", || {
        theirs.iter().all(|agent| agent.coordinate("ours").is_some_and(|vec| vec.len() == 8))
    });
    until("theirs know where theirs are", || {
        theirs[0].coordinate("h2").is_some() && theirs[1].coordinate("h1").is_some()
    });
    for of in ["ours", "h2"] {
        let rtt = theirs[0].command(&["rtt", "h1", of]).unwrap();
        assert!(rtt.contains(&format!("h1 <-> {of} rtt: ")), "{rtt}");
    }
    until("ours knows where theirs are", || ["h1", "h2"].iter().all(|name| ours.serf.coordinate_of(name).is_some()));
    let own = ours.serf.coordinate().expect("coordinates are on by default");
    let theirs = ours.serf.coordinate_of("h1").expect("it was there");
    assert!(own.distance_to(&theirs).as_millis() < 1000, "they are on one host");
    assert_eq!(ours.serf.stats().protocol.coordinates_rejected, 0);
}
