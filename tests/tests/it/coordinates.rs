//! Network coordinates against a recorded run of HashiCorp's client: every bit of every step.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serf_proto::{Coordinate, CoordinateError, LatencyFilter, Rng, Seed, Vivaldi};

fn trace() -> Value {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/serf.json")).unwrap();
    vectors["coordinate_trace"].clone()
}

/// The bits of a recorded coordinate: point, error, adjustment, height.
fn bits(recorded: &Value) -> Vec<u64> {
    let point = recorded["Vec_bits"].as_array().unwrap().iter();
    let others = ["Error_bits", "Adjustment_bits", "Height_bits"].map(|key| &recorded[key]);
    point.chain(others).map(|hex| u64::from_str_radix(hex.as_str().unwrap(), 16).unwrap()).collect()
}

fn bits_of(coordinate: &Coordinate) -> Vec<u64> {
    let others = [coordinate.error(), coordinate.adjustment(), coordinate.height()];
    coordinate.vec().iter().chain(&others).map(|x| x.to_bits()).collect()
}

fn peers(trace: &Value) -> BTreeMap<String, Coordinate> {
    let peers = trace["peers"].as_object().unwrap().iter();
    let coordinate = |recorded| {
        let parts: Vec<f64> = bits(recorded).into_iter().map(f64::from_bits).collect();
        Coordinate::new(&parts[..8], parts[8], parts[9], parts[10]).unwrap()
    };
    peers.map(|(name, recorded)| (name.clone(), coordinate(recorded))).collect()
}

#[test]
fn every_step_of_the_recorded_run_gives_the_same_bits() {
    let trace = trace();
    let peers = peers(&trace);
    let mut filters: BTreeMap<&str, LatencyFilter> = BTreeMap::new();
    let (mut vivaldi, mut rng) = (Vivaldi::new(), Rng::stream(&Seed::from_u64(1), 0));
    let steps = trace["trace"].as_array().unwrap();
    assert_eq!(steps.len(), 8);
    for (at, step) in steps.iter().enumerate() {
        let peer = step["peer"].as_str().unwrap();
        let rtt = Duration::from_nanos(step["rtt_ns"].as_u64().unwrap());
        vivaldi.update(filters.entry(peer).or_default(), &peers[peer], rtt, &mut rng).unwrap();
        let own = vivaldi.coordinate();
        assert_eq!(bits_of(own), bits(step), "step {at}");
        for (name, key) in [("n1", "distance_to_n1_ns"), ("n2", "distance_to_n2_ns")] {
            let distance = own.distance_to(&peers[name]);
            assert_eq!(distance, Duration::from_nanos(step[key].as_u64().unwrap()), "step {at}, to {name}");
        }
    }
}

#[test]
fn what_hashicorps_client_refuses_is_refused_and_one_huge_coordinate_with_it() {
    let refused = |vec: &[f64], height| Coordinate::new(vec, 1.0, 0.0, height).is_err();
    assert!(refused(&[0.0; 7], 0.0));
    assert!(refused(&[f64::NAN; 8], 0.0));
    // HashiCorp's client accepts these two; the second makes it reset twenty times.
    assert!(refused(&[0.0; 8], -0.001));
    assert!(refused(&[1e308; 8], 0.0));

    let (mut vivaldi, mut filter) = (Vivaldi::new(), LatencyFilter::default());
    let mut rng = Rng::stream(&Seed::from_u64(1), 0);
    let mut update = |rtt| vivaldi.update(&mut filter, &Coordinate::ORIGIN, rtt, &mut rng);
    let ten = Duration::from_secs(10);
    assert_eq!(update(ten), Ok(()));
    assert_eq!(update(ten + Duration::from_nanos(1)), Err(CoordinateError::Rtt(ten + Duration::from_nanos(1))));
}
