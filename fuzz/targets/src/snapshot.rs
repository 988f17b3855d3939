//! The lines of a snapshot.

use serf_proto::{AfterLeave, Replay, Snapshot};

/// Parses a file of any bytes: compaction preserves its content, and a truncated last line is ignored.
pub fn snapshot(data: &[u8]) {
    for after_leave in [AfterLeave::Forget, AfterLeave::Rejoin] {
        let Replay { snapshot, intact_bytes, lines_skipped, .. } = Snapshot::replay(data, after_leave);
        assert!(intact_bytes <= data.len());
        assert!(data[..intact_bytes].last().is_none_or(|last| *last == b'\n'), "it is cut behind a whole line");
        let again = Snapshot::replay(&data[..intact_bytes], after_leave);
        assert_eq!((&again.snapshot, again.lines_skipped), (&snapshot, lines_skipped), "the torn end says something");

        let file = snapshot.compacted();
        let compacted = Snapshot::replay(file.as_bytes(), after_leave);
        assert_eq!((compacted.snapshot, compacted.lines_skipped), (snapshot, 0), "of {file:?}");
        assert_eq!(compacted.intact_bytes, file.len());
    }
}
