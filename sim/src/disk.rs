//! What of a node outlives its process: the snapshot and the keyring.

use serf_proto::envelope::Key;
use serf_proto::{AfterLeave, Record, Snapshot};

/// A host's disk. It keeps what the snapshot's file would say rather than the file, which would grow without end; a reader gets it
/// as written and read again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    snapshot: Snapshot,
    keys: Vec<Key>,
}

/// What a process finds on the disk when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// What an earlier life left behind, if it is to be looked at.
    pub(crate) snapshot: Option<Snapshot>,
    /// The keyring; empty when it was never changed.
    pub(crate) keys: Vec<Key>,
}

impl Disk {
    /// The disk of a node that was a member together with all of `members`.
    pub(crate) fn of(members: impl IntoIterator<Item = Record>) -> Self {
        let mut disk = Self::default();
        members.into_iter().for_each(|record| disk.append(&record));
        disk
    }

    /// Writes a record. It is never lost: no crash of this simulator is a power failure.
    pub(crate) fn append(&mut self, record: &Record) {
        self.snapshot.apply(record);
    }

    /// Writes the keyring anew.
    pub(crate) fn keep_keys(&mut self, keys: Vec<Key>) {
        self.keys = keys;
    }

    /// Removes the snapshot. A host that knows nothing of its cluster still has its key, or could never join it.
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
    fn who_forgets_the_cluster_keeps_its_keys() {
        let key = Key::new(&[1; 16]).unwrap();
        let mut disk = Disk::of([Record::EventClock(7)]);
        disk.keep_keys(vec![key.clone()]);
        disk.forget_cluster();
        assert_eq!((disk.snapshot().event_clock(), disk.read().keys), (0, vec![key]));
    }
}
