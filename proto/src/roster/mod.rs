//! Roster: interns members' names as dense indices, and stores their records. Contains no protocol.
//!
//! A [`MemberIdx`] identifies a name within a node. Layers keep a dense table of rows by index and nothing else per
//! member, which keeps rows small. A [`Directory`] is the part of a roster that nodes share: in a simulation all nodes
//! know the same members, and their records are stored once instead of once per node.

mod directory;
mod hash;
mod identity;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

pub use self::directory::Directory;
pub(crate) use self::hash::{RecordHashes, event_hash, mix, short};
pub use self::identity::{Identity, IdentityError, Peer, canonical};
pub(crate) use self::identity::{StoredPeer, acts, stored_peer};
use crate::fingerprint::Fingerprint;
use crate::limits::{MEMBERS_BYTES_MAX, MEMBERS_MAX};
use crate::types::Name;
use crate::wire::Announced;
use crate::wire::swim::PeerRef;

/// Index of a name within a node. Dense, since tables are indexed by it. Reused when no layer holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct MemberIdx(pub(crate) u32);

impl MemberIdx {
    pub(crate) const fn at(self) -> usize {
        self.0 as usize
    }
}

/// A layer that holds a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Holder {
    Swim = 1,
    Serf = 2,
}

/// A name outside the directory.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// `None` while only the name is known.
    peer: Option<Arc<Peer>>,
    /// `None` while the slot is free.
    name: Option<Name>,
    /// The slot's part of [`Roster::used`]; 0 without a record.
    cost: u32,
    holders: u8,
}

/// All names that this node knows.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    directory: Directory,
    /// Records that replace the directory's, by index; allocated at the first change.
    changed: Vec<Option<Arc<Peer>>>,
    /// Names outside the directory; their indices start at the directory's length.
    own: Vec<Slot>,
    by_name: HashTable<u32>,
    free: Vec<u32>,
    /// Memory cost of the members outside the directory, in bytes; at most [`MEMBERS_BYTES_MAX`]. The directory belongs
    /// to the process and costs nothing.
    used: usize,
    hash_key: u64,
    hash: FixedState,
    generation: u64,
}

/// A roster in a checkpoint. The table of names is built anew.
#[derive(Serialize, Deserialize)]
pub(crate) struct RosterState {
    slots: Vec<(Option<StoredPeer>, Option<Name>, u32, u8)>,
    free: Vec<u32>,
    used: usize,
    hash_key: u64,
    generation: u64,
}

impl RosterState {
    /// The roster; `None` if a number in the state is none of a slot.
    pub(crate) fn into_roster(self) -> Option<Roster> {
        let mut roster = Roster::new(Directory::default(), self.hash_key);
        let slots = self.slots.into_iter();
        roster.own = slots
            .map(|(peer, name, cost, holders)| Slot { peer: peer.map(|StoredPeer(peer)| peer), name, cost, holders })
            .collect();
        let len = roster.own.len();
        if len > MEMBERS_MAX || self.free.iter().any(|idx| *idx as usize >= len) {
            return None;
        }
        let Roster { own, by_name, hash: state, .. } = &mut roster;
        let key = |i: u32| own[i as usize].name.as_deref().unwrap_or_default();
        for idx in (0..u32::try_from(len).ok()?).filter(|idx| own[*idx as usize].name.is_some()) {
            by_name.insert_unique(hash(state, key(idx).as_bytes()), idx, |&i| hash(state, key(i).as_bytes()));
        }
        Some(Roster { free: self.free, used: self.used, generation: self.generation, ..roster })
    }
}

impl Roster {
    /// Creates a roster. `hash_key` must be secret, or peers could choose colliding names.
    pub(crate) fn new(directory: Directory, hash_key: u64) -> Self {
        Self {
            directory,
            changed: Vec::new(),
            own: Vec::new(),
            by_name: HashTable::new(),
            free: Vec::new(),
            used: 0,
            hash_key,
            hash: FixedState::with_seed(hash_key),
            generation: 0,
        }
    }

    /// The state for a checkpoint; `None` with a directory, which belongs to the process.
    pub(crate) fn into_state(self) -> Option<RosterState> {
        let Self { directory, own, free, used, hash_key, generation, .. } = self;
        if !directory.is_empty() {
            return None;
        }
        let slots = own.into_iter().map(|slot| (slot.peer.map(StoredPeer), slot.name, slot.cost, slot.holders));
        Some(RosterState { slots: slots.collect(), free, used, hash_key, generation })
    }

    /// One more than the greatest index in use: the length of a dense table.
    pub(crate) fn len(&self) -> usize {
        self.directory.len() + self.own.len()
    }

    /// Index of a name that any layer holds, or that is in the directory.
    pub(crate) fn find(&self, name: &str) -> Option<MemberIdx> {
        self.find_bytes(name.as_bytes())
    }

    /// Index of a name that is not checked as UTF-8 yet.
    pub(crate) fn find_bytes(&self, name: &[u8]) -> Option<MemberIdx> {
        if let Some(idx) = self.directory.find(name) {
            return Some(idx);
        }
        if self.own.is_empty() {
            return None;
        }
        let base = self.directory.len();
        let found = self.by_name.find(hash(&self.hash, name), |&i| {
            self.own[i as usize - base].name.as_deref().map(str::as_bytes) == Some(name)
        });
        found.map(|&i| MemberIdx(i))
    }

    /// Index of the name, and whether the record equals the member's.
    pub(crate) fn find_record(&self, name: &[u8], record: &[u8]) -> Option<(MemberIdx, bool)> {
        if self.changed.is_empty()
            && let Some(found) = self.directory.find_record(name, record)
        {
            return Some(found);
        }
        let idx = self.find_bytes(name)?;
        Some((idx, self.record(idx) == record))
    }

    /// The member whose first announcement (incarnation and record) this is, if the directory has it and no record of
    /// the directory changed.
    #[inline]
    pub(crate) fn find_first(&self, announcement: &[u8]) -> Option<MemberIdx> {
        if self.changed.is_empty() { self.directory.find_first(announcement) } else { None }
    }

    /// The first announcement of a member, under the same conditions.
    #[inline]
    pub(crate) fn first_announcement(&self, idx: MemberIdx) -> Option<&[u8]> {
        let shared = self.changed.is_empty() && idx.at() < self.directory.len();
        shared.then(|| self.directory.first_announcement(idx))
    }

    /// Hashes of a member's record and name; `None` if only its name is known.
    pub(crate) fn hashes(&self, idx: MemberIdx) -> Option<RecordHashes> {
        let base = self.directory.len();
        if idx.at() >= base {
            return self.own[idx.at() - base].peer.as_ref().map(|peer| peer.hashes());
        }
        match self.changed.get(idx.at()) {
            Some(Some(peer)) => Some(peer.hashes()),
            _ => Some(self.directory.hashes(idx)),
        }
    }

    /// Changes whenever an index is reused or a record changes. Detects stale indices.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Index of `name`. Tries the index after `previous` first, because nodes often list their members in the same
    /// order.
    pub(crate) fn find_after(&self, previous: Option<MemberIdx>, name: &[u8]) -> Option<MemberIdx> {
        let next = MemberIdx(previous.map_or(0, |idx| idx.0.wrapping_add(1)));
        if next.at() < self.directory.len() && self.directory.name(next) == name {
            return Some(next);
        }
        self.find_bytes(name)
    }

    /// Interns `name`; `None` if [`MEMBERS_MAX`] names are in use.
    pub(crate) fn intern(&mut self, name: &str) -> Option<MemberIdx> {
        if let Some(idx) = self.find(name) {
            return Some(idx);
        }
        // Indices below `base` are the directory's; our own follow. A freed index is reused first, so that the dense
        // rows of all layers stay short.
        let base = self.directory.len();
        let idx = match self.free.pop() {
            Some(idx) => idx,
            None if self.len() < MEMBERS_MAX => {
                self.own.push(Slot::default());
                u32::try_from(self.len() - 1).ok()?
            }
            None => return None,
        };
        self.own[idx as usize - base].name = Some(name.into());
        let Self { own, by_name, hash: state, .. } = self;
        let key = |i: u32| own[i as usize - base].name.as_deref().unwrap_or_default();
        by_name.insert_unique(hash(state, name.as_bytes()), idx, |&i| hash(state, key(i).as_bytes()));
        Some(MemberIdx(idx))
    }

    /// Protects `idx` from reuse on behalf of a layer.
    pub(crate) fn hold(&mut self, idx: MemberIdx, holder: Holder) {
        if let Some(slot) = self.own_slot(idx) {
            slot.holders |= holder as u8;
        }
    }

    /// Ends a layer's hold on `idx`. The index is reused once no layer holds it.
    pub(crate) fn release(&mut self, idx: MemberIdx, holder: Holder) {
        let Some(slot) = self.own_slot(idx) else { return };
        slot.holders &= !(holder as u8);
        if slot.holders != 0 {
            return;
        }
        // No layer holds the slot: its record and cost are dropped with it.
        let Slot { name: Some(name), cost, .. } = core::mem::take(slot) else { return };
        self.used -= cost as usize;
        if let Ok(entry) = self.by_name.find_entry(hash(&self.hash, name.as_bytes()), |&i| i == idx.0) {
            entry.remove();
            self.free.push(idx.0);
            // Indices recognised before this must be looked up again.
            self.generation += 1;
        }
    }

    /// Removes a name that was interned but is held by no layer.
    pub(crate) fn forget_unheld(&mut self, idx: MemberIdx) {
        self.release(idx, Holder::Swim);
    }

    /// The name of `idx`.
    pub(crate) fn name(&self, idx: MemberIdx) -> Name {
        match self.own.get(idx.at().wrapping_sub(self.directory.len())) {
            Some(slot) => slot.name.clone().expect("an index in use has a name"),
            None => self.directory.peer(idx).shared_name(),
        }
    }

    /// The name of `idx`, borrowed.
    pub(crate) fn name_ref(&self, idx: MemberIdx) -> &str {
        match self.own.get(idx.at().wrapping_sub(self.directory.len())) {
            Some(slot) => slot.name.as_deref().expect("an index in use has a name"),
            None => self.directory.peer(idx).name(),
        }
    }

    /// The name of `idx`, as bytes.
    pub(crate) fn name_bytes(&self, idx: MemberIdx) -> &[u8] {
        if idx.at() < self.directory.len() { self.directory.name(idx) } else { self.name_ref(idx).as_bytes() }
    }

    /// The indices of the directory.
    pub(crate) fn indices(&self) -> impl Iterator<Item = MemberIdx> + use<> {
        let count = u32::try_from(self.directory.len()).unwrap_or(u32::MAX);
        (0..count).map(MemberIdx)
    }

    /// The record of a member; `None` if only its name is known.
    pub(crate) fn peer(&self, idx: MemberIdx) -> Option<&Arc<Peer>> {
        let base = self.directory.len();
        if idx.at() >= base {
            return self.own[idx.at() - base].peer.as_ref();
        }
        match self.changed.get(idx.at()) {
            Some(Some(peer)) => Some(peer),
            _ => Some(self.directory.peer(idx)),
        }
    }

    /// The native record of a member; empty if only its name is known.
    pub(crate) fn record(&self, idx: MemberIdx) -> &[u8] {
        let base = self.directory.len();
        if idx.at() >= base {
            return self.own[idx.at() - base].peer.as_ref().map_or(&[], |peer| peer.record());
        }
        match self.changed.get(idx.at()) {
            Some(Some(peer)) => peer.record(),
            _ => self.directory.record(idx),
        }
    }

    /// Whether the member's record equals the announcement. An announcement that does not decode equals none.
    pub(crate) fn announces(&self, idx: MemberIdx, announced: &Announced<'_>) -> bool {
        match announced {
            Announced::Record(record) => self.record(idx) == *record,
            Announced::Fields(fields) => self.peer(idx).is_some_and(|peer| peer.announces(fields)),
        }
    }

    /// Stores a member's record.
    pub(crate) fn set_peer(&mut self, idx: MemberIdx, peer: PeerRef<'_>) {
        // Without a change the generation stays, and so do recognised indices.
        if self.peer(idx).is_some_and(|known| known.announced() == peer) {
            return;
        }
        self.generation += 1;
        let base = self.directory.len();
        let new = || Arc::new(Peer::new(self.name(idx), peer));
        if idx.at() >= base {
            let new = new();
            let slot = &mut self.own[idx.at() - base];
            let cost = cost(peer.name.len(), peer.meta.len());
            self.used = self.used + cost as usize - slot.cost as usize;
            (slot.peer, slot.cost) = (Some(new), cost);
            return;
        }
        // Back to the directory's record: free the copy.
        let same_as_shared = self.directory.peer(idx).announced() == peer;
        let change = if same_as_shared { None } else { Some(new()) };
        if self.changed.is_empty() {
            self.changed.resize(base, None);
        }
        self.changed[idx.at()] = change;
    }

    /// Memory cost of the members, in bytes.
    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// Uses up the memory for members.
    #[cfg(test)]
    pub(crate) const fn use_all(&mut self) {
        self.used = MEMBERS_BYTES_MAX;
    }

    /// Whether `bytes` more would fit.
    pub(crate) const fn has_room(&self, bytes: usize) -> bool {
        self.used + bytes <= MEMBERS_BYTES_MAX
    }

    /// Cost of a member with this record.
    pub(crate) fn cost_of(&self, peer: PeerRef<'_>) -> usize {
        cost(peer.name.len(), peer.meta.len()) as usize
    }

    /// Additional cost if a member changes to this record.
    pub(crate) fn growth(&self, idx: MemberIdx, peer: PeerRef<'_>) -> usize {
        let known = self.own.get(idx.at().wrapping_sub(self.directory.len()));
        known.map_or(0, |slot| self.cost_of(peer).saturating_sub(slot.cost as usize))
    }

    /// Whether evicting a member would free memory. Requires that the Serf layer holds it too.
    pub(crate) fn makes_room(&self, idx: MemberIdx) -> bool {
        let slot = self.own.get(idx.at().wrapping_sub(self.directory.len()));
        slot.is_some_and(|slot| slot.peer.is_some() && slot.cost > 0 && slot.holders & Holder::Serf as u8 != 0)
    }

    /// Drops the cost of a member that every layer is about to release.
    pub(crate) fn write_off(&mut self, idx: MemberIdx) {
        if let Some(slot) = self.own_slot(idx) {
            let cost = core::mem::take(&mut slot.cost);
            self.used -= cost as usize;
        }
    }

    fn own_slot(&mut self, idx: MemberIdx) -> Option<&mut Slot> {
        let base = self.directory.len();
        self.own.get_mut(idx.at().wrapping_sub(base))
    }

    /// Feeds the names and records that differ from the directory's. Leaves out the hash table and its key, which decide
    /// nothing that can be observed.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { directory, changed, own, by_name: _, free, used: _, hash: _, hash_key: _, generation: _ } = self;
        to.put((directory.len(), own.len(), free));
        for (at, peer) in changed.iter().enumerate() {
            if let Some(peer) = peer {
                to.put((at, peer.record()));
            }
        }
        for Slot { peer, name, cost: _, holders } in own {
            to.put((peer.as_ref().map(|peer| peer.record()), name, holders));
        }
    }
}

/// Cost of a member: at least its size in a push/pull, in the larger codec and in both layers; the name is there three
/// times if the member left. Also at least a third of its size in memory.
fn cost(name_bytes: usize, meta_bytes: usize) -> u32 {
    u32::try_from(MEMBER_BYTES + 3 * name_bytes + meta_bytes).unwrap_or(u32::MAX)
}

/// Cost of a member besides its name and metadata.
const MEMBER_BYTES: usize = 160;

fn hash(state: &FixedState, name: &[u8]) -> u64 {
    state.hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tags;

    fn identity(name: &str) -> Identity {
        Identity::new(name, "10.0.0.1:7946".parse().unwrap(), &Tags::default()).unwrap()
    }

    #[test]
    fn a_name_keeps_its_index_while_one_layer_holds_it() {
        let mut roster = Roster::new(Directory::default(), 1);
        let idx = roster.intern("a").unwrap();
        roster.hold(idx, Holder::Swim);
        roster.hold(idx, Holder::Serf);
        roster.release(idx, Holder::Swim);
        assert_eq!(roster.find("a"), Some(idx));
        roster.release(idx, Holder::Serf);
        assert_eq!(roster.find("a"), None);
        assert_eq!(roster.intern("b"), Some(idx), "the index is used again");
        assert_eq!(&*roster.name(idx), "b");
    }

    #[test]
    fn a_peer_that_is_as_the_directory_says_takes_no_memory() {
        let directory = Directory::new([identity("a"), identity("b"), identity("a")]);
        assert_eq!(directory.len(), 2);
        let mut roster = Roster::new(directory, 1);
        let b = roster.find("b").unwrap();
        let known = Arc::clone(roster.peer(b).unwrap());
        roster.set_peer(b, known.announced());
        assert!(roster.changed.is_empty());
        roster.set_peer(b, PeerRef { meta: b"new", ..known.announced() });
        assert_eq!(roster.peer(b).unwrap().meta(), b"new");
        roster.set_peer(b, known.announced());
        assert_eq!(roster.peer(b), Some(&known));
    }

    #[test]
    fn names_that_cannot_be_gossiped_are_refused() {
        let addr = "10.0.0.1:1".parse().unwrap();
        let tags = Tags::default();
        assert_eq!(Identity::new("", addr, &tags), Err(IdentityError::NameEmpty));
        for letter in ['\0', '\n', '\t', '\x1b', '\x7f', '\u{85}', '\u{2028}', '\u{202e}', '\u{2066}', '\u{200f}'] {
            let name = alloc::format!("ab{letter}c");
            assert_eq!(Identity::new(&name, addr, &tags), Err(IdentityError::NameControl { at: 2 }), "{letter:?}");
        }
        assert!(
            Identity::new("Zo\u{eb} \u{5e9}\u{4f60}'\"\\", addr, &tags).is_ok(),
            "letters and blanks are nobody's harm"
        );
        assert!(matches!(Identity::new(&"x".repeat(256), addr, &tags), Err(IdentityError::NameTooLong { .. })));
        let nowhere = "0.0.0.0:7946".parse().unwrap();
        assert_eq!(Identity::new("a", nowhere, &tags), Err(IdentityError::AddrUnspecified { addr: nowhere }));
    }
}
