//! Snapshot files of HashiCorp's serf: reading theirs, and writing ours byte for byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use serf_proto::{AfterLeave, Record, Snapshot};

fn vectors() -> Vec<Value> {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/serf.json")).unwrap();
    vectors["snapshot"].as_array().unwrap().clone()
}

fn text(name: &str) -> String {
    let vector = vectors().into_iter().find(|vector| vector["name"] == name).unwrap();
    vector["text"].as_str().unwrap().to_owned()
}

#[test]
fn every_file_says_what_serf_reads_in_it() {
    assert_eq!(vectors().len(), 5);
    for vector in vectors() {
        let (name, expected) = (&vector["name"], &vector["replay"]);
        let snapshot = Snapshot::replay(vector["text"].as_str().unwrap().as_bytes(), AfterLeave::Forget).snapshot;
        let alive: BTreeMap<String, String> =
            snapshot.alive().map(|(name, addr)| (name.to_string(), addr.to_string())).collect();
        assert_eq!(serde_json::to_value(alive).unwrap(), expected["alive"], "{name}");
        assert_eq!(snapshot.clock(), expected["clock"].as_u64().unwrap(), "{name}");
        assert_eq!(snapshot.event_clock(), expected["event_clock"].as_u64().unwrap(), "{name}");
        assert_eq!(snapshot.query_clock(), expected["query_clock"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn the_records_of_a_file_are_written_as_serf_writes_them() {
    let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
    let alive = |name: &str, at| Record::Alive { name: name.into(), addr: addr(at) };
    let records = [
        alive("node-a", "10.0.0.1:7946"),
        alive("node b", "[fe80::1]:7946"),
        Record::Clock(41),
        Record::EventClock(9),
        Record::QueryClock(3),
        Record::NotAlive { name: "node-a".into() },
    ];
    let file: String = records.iter().map(Record::line).collect();
    assert_eq!(file, text("snapshot_basic"));
    assert_eq!(Record::Leave.line(), "leave\n");
}

#[test]
fn a_compacted_file_is_serfs() {
    let file = text("snapshot_compacted");
    let snapshot = Snapshot::replay(file.as_bytes(), AfterLeave::Forget).snapshot;
    assert_eq!(snapshot.compacted(), file);
}

#[test]
fn a_node_that_may_rejoin_after_a_leave_knows_everything_and_another_nothing() {
    let file = text("snapshot_after_leave");
    let read = |after_leave| Snapshot::replay(file.as_bytes(), after_leave).snapshot;
    let (forget, rejoin) = (read(AfterLeave::Forget), read(AfterLeave::Rejoin));
    assert!(forget.left() && rejoin.left());
    assert_eq!((forget.alive().count(), forget.clock(), forget.event_clock()), (0, 1, 0));
    assert_eq!((rejoin.alive().count(), rejoin.clock(), rejoin.event_clock()), (1, 1, 1));
}

#[test]
fn a_torn_last_line_is_to_be_cut_off() {
    let file = text("snapshot_torn_tail");
    let replay = Snapshot::replay(file.as_bytes(), AfterLeave::Forget);
    assert_eq!(&file[replay.intact_bytes..], "alive: foo 10.0.0");
    assert_eq!(replay.lines_skipped, 0);
}
