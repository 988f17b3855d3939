//! Persistent state of a host: the snapshot and the keyring.

use serf_proto::Key;
use serf_proto::{AfterLeave, Record, Snapshot};

/// A host's disk. Stores the parsed snapshot instead of the file, which would grow without bound; reads return the
/// result of serialising and parsing it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    snapshot: Snapshot,
    keys: Vec<Key>,
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

    /// Appends a record. Never lost: crashes in this simulator are not power failures.
    pub(crate) fn append(&mut self, record: &Record) {
        self.snapshot.apply(record);
    }

    /// Overwrites the keyring.
    pub(crate) fn keep_keys(&mut self, keys: Vec<Key>) {
        self.keys = keys;
    }

    /// Removes the snapshot but keeps the keyring: without its key the host could never join again.
    pub(crate) fn forget_cluster(&mut self) {
        self.snapshot = Snapshot::default();
    }

    /// Reads the snapshot.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::replay(self.snapshot.compacted().as_bytes(), AfterLeave::default()).snapshot
    }

    /// Reads everything.
    pub(crate) fn read(&self) -> Found {
        Found { snapshot: Some(self.snapshot()), ..self.read_keys() }
    }

    /// Reads the keyring only.
    pub(crate) fn read_keys(&self) -> Found {
        Found { snapshot: None, keys: self.keys.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addressing::{addr_of, name_of};

    #[test]
    fn what_was_written_is_read_again() {
        let alive = |node| Record::Alive { name: name_of(node).as_str().into(), addr: addr_of(node) };
        let mut disk = Disk::of([alive(1), alive(2)]);
        disk.append(&Record::EventClock(7));
        disk.append(&Record::NotAlive { name: name_of(1).as_str().into() });
        let read = disk.snapshot();
        let names: Vec<&str> = read.alive().map(|(name, _)| &**name).collect();
        assert_eq!((names, read.event_clock()), (vec![&*name_of(2)], 7));
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
