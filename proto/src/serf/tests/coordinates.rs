use super::*;

/// The ack payload of another node, at a point `x` seconds from the origin.
fn payload(x: f64) -> Vec<u8> {
    let mut bytes = Lone::lan(&[]).serf.ack_payload(Codec::HashiCorp).bytes().to_vec();
    let first = bytes.len() - 8 * 9 + 1;
    bytes[first..first + 8].copy_from_slice(&x.to_be_bytes());
    bytes
}

impl Lone {
    fn ping(&mut self, name: &str, payload: &[u8]) {
        let idx = self.idx(name);
        self.serf.pinged(&mut self.core, idx, Duration::from_millis(10), payload);
    }

    fn place(&self, name: &str) -> Option<Coordinate> {
        self.serf.coordinate(self.idx(name))
    }
}

#[test]
fn an_answer_moves_us_and_is_remembered_until_its_member_is_forgotten() {
    let mut lone = Lone::lan(&["b"]);
    assert_eq!((lone.place("a"), lone.place("b")), (Some(Coordinate::ORIGIN), None));
    lone.ping("b", &payload(0.25));
    assert_eq!(lone.place("b").unwrap().vec()[0], 0.25);
    assert_ne!(lone.place("a"), Some(Coordinate::ORIGIN));
    let idx = lone.idx("b");
    lone.gone("b");
    lone.serf.erase(&mut lone.core, idx);
    assert_eq!(lone.serf.coordinate(idx), None);
    lone.serf.pinged(&mut lone.core, idx, Duration::from_millis(10), &payload(0.25));
    assert_eq!(lone.serf.coordinate(idx), None, "a late answer does not bring it back");
}

#[test]
fn an_unusable_answer_is_counted_and_changes_nothing() {
    let mut lone = Lone::lan(&["b"]);
    lone.ping("b", b"");
    lone.ping("b", b"\x02");
    lone.ping("b", b"\x01\x81");
    lone.ping("b", &payload(1e308));
    assert_eq!((lone.place("a"), lone.place("b")), (Some(Coordinate::ORIGIN), None));
    assert_eq!((lone.dropped(DropReason::Versions), lone.dropped(DropReason::Malformed)), (1, 1));
    assert_eq!(lone.core.stats.coordinates_rejected, 1);
    let idx = lone.idx("b");
    lone.serf.pinged(&mut lone.core, idx, secs(11), &payload(0.25));
    assert_eq!((lone.place("a"), lone.place("b")), (Some(Coordinate::ORIGIN), None), "a time out of range");
    assert_eq!((lone.core.stats.coordinates_rejected, lone.core.stats.coordinate_updates), (2, 0));
}

#[test]
fn measurements_are_counted_with_the_distance_that_they_moved_us() {
    let mut lone = Lone::lan(&["b"]);
    let idx = lone.idx("b");
    let mut moved = Duration::ZERO;
    for millis in [10, 0, 20] {
        let before = lone.place("a").unwrap();
        lone.serf.pinged(&mut lone.core, idx, Duration::from_millis(millis), &payload(0.25));
        moved += before.distance_to(&lone.place("a").unwrap());
    }
    let stats = &lone.core.stats;
    assert_eq!((stats.coordinate_updates, stats.coordinates_zero_rtt), (3, 1));
    assert_eq!(u128::from(stats.coordinate_moved_nanos), moved.as_nanos());
    assert!(moved > Duration::from_millis(10), "{moved:?}");
}
