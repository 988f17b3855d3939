//! Beacons and histograms.

use core::time::Duration;

use serf_runtime::net::Net;
use serf_runtime::{Events, Histogram, Question, Serf, Status};

use super::{count, next_query, pair, soon, start, until};

fn histogram<N: Net>(serf: &Serf<N>, name: &str, label: &str) -> Histogram {
    let metrics = serf.stats().histograms.into_iter();
    let found = metrics.filter(|metric| metric.name == name && metric.label.is_none_or(|(_, value)| value == label));
    let [metric] = &found.collect::<Vec<_>>()[..] else { panic!("one {name} of {label:?}") };
    metric.value.clone()
}

/// A beacon in a cluster of two, and after the other member was shut down without a leave.
pub async fn a_beacon_measures_the_dissemination_time_and_lists_the_silent_members<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    until(&a, |members| count(members, Status::Alive) == 2).await;
    let mut at_b: Events = b.events_where(|_| true);
    let beacon = soon::<N, _>(a.beacon()).await.unwrap();
    assert_eq!((beacon.acks, beacon.silent.len()), (1, 0));
    let (each, all) = (histogram(&a, "dissemination", ""), histogram(&a, "dissemination_all", ""));
    assert_eq!((each.count(), all.count(), each.sum()), (1, 1, all.sum()));
    assert!(all.sum() <= beacon.took && all.sum() > Duration::ZERO, "{beacon:?}");
    assert_eq!(histogram(&a, "gossip_wait", "queries").count(), 1);
    // No application sees it: the next query does.
    drop(a.query(&Question::new("next")).unwrap());
    assert_eq!(&*next_query::<N>(&mut at_b).await.name, "next");

    b.shutdown().await.unwrap();
    let beacon = soon::<N, _>(a.beacon()).await.unwrap();
    assert_eq!((beacon.acks, beacon.silent), (0, vec!["b".into()]));
}

/// The probes of a cluster of two.
pub async fn round_trips_of_probes_are_recorded<N: Net>() {
    let [a, _b] = pair::<N>(["a", "b"]).await;
    let net = N::current().unwrap();
    soon::<N, _>(async {
        while histogram(&a, "probe_round_trip", "").count() == 0 {
            net.sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let trips = histogram(&a, "probe_round_trip", "");
    assert!(
        trips.sum() > Duration::ZERO && trips.sum() / u32::try_from(trips.count()).unwrap() < Duration::from_secs(1)
    );
    let lone = start::<N>("lone");
    let beacon = soon::<N, _>(lone.beacon()).await.unwrap();
    assert_eq!((beacon.acks, beacon.silent.len()), (0, 0), "there is no other member");
}
