//! Persistent state of a host: the snapshot and the keyring.

use std::collections::VecDeque;

use serf_proto::Key;
use serf_proto::{AfterLeave, Record, Snapshot};

/// A host's disk. Stores the parsed snapshot instead of the file, which would grow without bound; reads return the
/// result of serialising and parsing it. The last records are kept apart, as a power failure may lose them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// The records that survive a power failure, applied in order.
    snapshot: Snapshot,
    /// Later records, oldest first: written, but not synced.
    unsynced: VecDeque<Record>,
    /// Beginning of a line that a power failure tore, without its line end.
    torn: String,
    keys: Vec<Key>,
}

/// What a power failure did to the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Torn {
    /// Whole records that are gone.
    pub(crate) lost: usize,
    /// The record of which a part is left.
    pub(crate) record: Option<Record>,
}

/// Files that a process finds at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The snapshot of an earlier life, if it is to be used.
    pub(crate) snapshot: Option<Snapshot>,
    /// The keyring; empty if it was never changed.
    pub(crate) keys: Vec<Key>,
}

impl Disk {
    /// Returns the disk of a node that was a member together with `members`.
    pub(crate) fn of(members: impl IntoIterator<Item = Record>) -> Self {
        let mut disk = Self::default();
        members.into_iter().for_each(|record| disk.append(&record));
        disk
    }

    /// Appends a record. A crash does not lose it; a power failure may.
    pub(crate) fn append(&mut self, record: &Record) {
        self.unsynced.push_back(record.clone());
        // A driver syncs after a leave. Otherwise the system writes old pages back sooner or later.
        let keeps = if record.must_be_synced() { 0 } else { UNSYNCED_MAX };
        while self.unsynced.len() > keeps
            && let Some(oldest) = self.unsynced.pop_front()
        {
            self.snapshot.apply(&oldest);
        }
    }

    /// Loses unsynced records, the newest first, and tears the first of these in the middle. `draw` decides how many and
    /// where.
    pub(crate) fn lose_power(&mut self, draw: u32) -> Torn {
        let choices = u32::try_from(self.unsynced.len() + 1).unwrap_or(u32::MAX);
        let kept = (draw % choices) as usize;
        let mut lost = self.unsynced.split_off(kept);
        let Some(first) = lost.front() else { return Torn::default() };
        let mut line = first.line();
        // Names and addresses of the simulator are ASCII, so every cut is at a character.
        line.truncate((draw / choices) as usize % line.len());
        let record = if line.is_empty() { None } else { lost.pop_front() };
        self.torn = line;
        Torn { lost: lost.len(), record }
    }

    /// Overwrites the keyring. Durable: the driver renames a synced file.
    pub(crate) fn keep_keys(&mut self, keys: Vec<Key>) {
        self.keys = keys;
    }

    /// Removes the snapshot but keeps the keyring: without its key the host could never join again.
    pub(crate) fn forget_cluster(&mut self) {
        (self.snapshot, self.torn) = (Snapshot::default(), String::new());
        self.unsynced.clear();
    }

    /// Reads the snapshot as a process does.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut file = self.snapshot.compacted();
        self.unsynced.iter().for_each(|record| file.push_str(&record.line()));
        file.push_str(&self.torn);
        Snapshot::replay(file.as_bytes(), AfterLeave::default()).snapshot
    }

    /// Reads everything, at the start of a process. A driver cuts a torn line off before it appends.
    pub(crate) fn read(&mut self) -> Found {
        let snapshot = Some(self.snapshot());
        self.torn.clear();
        Found { snapshot, ..self.read_keys() }
    }

    /// Reads the keyring only.
    pub(crate) fn read_keys(&self) -> Found {
        Found { snapshot: None, keys: self.keys.clone() }
    }

    /// Returns the keyring; empty if it was never changed.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

/// Records that a power failure may lose. A system writes back far more at once; but the fewer are at risk, the more
/// often each kind is the one that is torn.
const UNSYNCED_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addressing::{addr_of, name_of};

    fn alive(node: u32) -> Record {
        Record::Alive { name: name_of(node).as_str().into(), addr: addr_of(node) }
    }

    fn not_alive(node: u32) -> Record {
        Record::NotAlive { name: name_of(node).as_str().into() }
    }

    fn names(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.alive().map(|(name, _)| &**name).collect()
    }

    #[test]
    fn what_was_written_is_read_again() {
        let mut disk = Disk::of([alive(1), alive(2)]);
        disk.append(&Record::EventClock(7));
        disk.append(&not_alive(1));
        let read = disk.snapshot();
        assert_eq!((names(&read), read.event_clock()), (vec![&*name_of(2)], 7));
    }

    #[test]
    fn many_records_are_read_as_the_same_state() {
        let mut disk = Disk::default();
        for node in 0..100 {
            disk.append(&alive(node));
            disk.append(&Record::Clock(u64::from(node)));
        }
        (0..60).for_each(|node| disk.append(&not_alive(node)));
        assert_eq!((disk.snapshot().alive().count(), disk.snapshot().clock()), (40, 99));
    }

    #[test]
    fn a_power_failure_loses_the_newest_records_and_tears_one() {
        for draw in 0..4_000 {
            let mut disk = Disk::of([alive(1), alive(2), not_alive(1), Record::EventClock(7)]);
            let before = disk.clone();
            let torn = disk.lose_power(draw);
            let kept = 4 - torn.lost - usize::from(torn.record.is_some());
            let mut expected =
                Disk::of([alive(1), alive(2), not_alive(1), Record::EventClock(7)].into_iter().take(kept));
            assert_eq!(disk.snapshot(), expected.snapshot(), "draw {draw}: {torn:?}");
            assert_eq!(disk.torn.is_empty(), torn.record.is_none());
            // What the next process appends does not merge with the torn line.
            _ = (disk.read(), expected.read());
            disk.append(&alive(3));
            expected.append(&alive(3));
            assert_eq!(disk.snapshot(), expected.snapshot(), "draw {draw}");
            assert!(kept < 4 || disk.snapshot().event_clock() == before.snapshot().event_clock());
        }
    }

    #[test]
    fn a_power_failure_loses_nothing_before_a_leave() {
        for draw in 0..100 {
            let mut disk = Disk::of([alive(1), Record::Leave]);
            assert_eq!(disk.lose_power(draw), Torn::default());
            assert!(disk.snapshot().left());
        }
    }

    #[test]
    fn a_node_that_forgets_the_cluster_keeps_its_keys() {
        let key = Key::new(&[1; 16]).unwrap();
        let mut disk = Disk::of([Record::EventClock(7)]);
        disk.keep_keys(vec![key.clone()]);
        disk.forget_cluster();
        assert_eq!((disk.snapshot().event_clock(), disk.read().keys), (0, vec![key]));
    }
}
