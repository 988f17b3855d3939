//! The shared part of rosters.

use super::{Identity, MemberIdx, Peer, RecordHashes};
use crate::wire::native;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A table of peers that is shared by many nodes of one process.
///
/// An optimisation for simulations. A node behaves the same with and without one, but a member whose record equals the
/// directory's needs no memory in the node.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    peers: Vec<Arc<Peer>>,
    by_name: Names,
    /// One block of equal size per peer: a head, and the native announcement at the first incarnation, which ends with
    /// the record. A lookup reads one block, usually one cache line.
    blocks: Vec<u8>,
    block_bytes: usize,
    /// Copies of the peers' hashes, side by side.
    hashes: Vec<RecordHashes>,
}

impl Directory {
    /// A directory of `identities`. Of several with one name the first is used.
    pub fn new(identities: impl IntoIterator<Item = Identity>) -> Self {
        let mut inner = Inner::default();
        for Identity { peer } in identities {
            let name = peer.name().as_bytes();
            let taken = |idx: u32| inner.peers[idx as usize].name().as_bytes() == name;
            if inner.by_name.find(hash(name), taken).is_some() {
                continue;
            }
            let idx = u32::try_from(inner.peers.len()).expect("a directory holds fewer than 2^32 peers");
            inner.by_name.insert(hash(name), idx);
            inner.peers.push(peer);
        }
        inner.lay_out();
        Self(Arc::new(inner))
    }

    /// Number of peers.
    pub fn len(&self) -> usize {
        self.0.peers.len()
    }

    /// Whether there is no peer.
    pub fn is_empty(&self) -> bool {
        self.0.peers.is_empty()
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<MemberIdx> {
        let inner = &*self.0;
        inner.by_name.find(hash(name), |idx| inner.name(idx as usize) == name).map(MemberIdx)
    }

    /// The peer whose first announcement (incarnation and record) this is.
    #[inline]
    pub(super) fn find_first(&self, announcement: &[u8]) -> Option<MemberIdx> {
        let inner = &*self.0;
        let name = native::name_in_first(announcement)?;
        inner.by_name.find(hash(name), |idx| inner.first_announcement(idx as usize) == announcement).map(MemberIdx)
    }

    /// The first announcement of a peer: incarnation and record.
    #[inline]
    pub(super) fn first_announcement(&self, idx: MemberIdx) -> &[u8] {
        self.0.first_announcement(idx.at())
    }

    /// Hashes of a peer's record and name.
    #[inline]
    pub(super) fn hashes(&self, idx: MemberIdx) -> RecordHashes {
        self.0.hashes[idx.at()]
    }

    /// The peer of this name, and whether the record equals the peer's.
    #[inline]
    pub(super) fn find_record(&self, name: &[u8], record: &[u8]) -> Option<(MemberIdx, bool)> {
        let (inner, mut same) = (&*self.0, false);
        let found = inner.by_name.find(hash(name), |idx| {
            same = inner.record(idx as usize) == record;
            same || inner.name(idx as usize) == name
        });
        found.map(|idx| (MemberIdx(idx), same))
    }

    pub(super) fn peer(&self, idx: MemberIdx) -> &Arc<Peer> {
        &self.0.peers[idx.at()]
    }

    pub(super) fn name(&self, idx: MemberIdx) -> &[u8] {
        self.0.name(idx.at())
    }

    pub(super) fn record(&self, idx: MemberIdx) -> &[u8] {
        self.0.record(idx.at())
    }
}

impl Inner {
    fn lay_out(&mut self) {
        self.hashes = self.peers.iter().map(|peer| peer.hashes()).collect();
        let longest = self.peers.iter().map(|peer| peer.record().len()).max().unwrap_or(0);
        self.block_bytes = (RECORD_AT + longest).next_multiple_of(CACHE_LINE_BYTES);
        self.blocks = alloc::vec![0; self.block_bytes * self.peers.len()];
        for (peer, block) in self.peers.iter().zip(self.blocks.chunks_exact_mut(self.block_bytes)) {
            let record = peer.record();
            let bounded = "names and metadata are bounded, so that a record is short";
            let [high, low] = u16::try_from(RECORD_AT + record.len()).expect(bounded).to_be_bytes();
            let name_len = peer.name().len();
            let name_at = u8::try_from(RECORD_AT + native::name_start(name_len)).expect(bounded);
            block[..HEAD_BYTES].copy_from_slice(&[high, low, name_at, u8::try_from(name_len).expect(bounded)]);
            block[HEAD_BYTES] = native::FIRST;
            block[RECORD_AT..][..record.len()].copy_from_slice(record);
        }
    }

    #[inline(always)]
    fn block(&self, at: usize) -> &[u8] {
        &self.blocks[at * self.block_bytes..][..self.block_bytes]
    }

    #[inline(always)]
    fn name(&self, at: usize) -> &[u8] {
        let block = self.block(at);
        &block[usize::from(block[2])..][..usize::from(block[3])]
    }

    #[inline(always)]
    fn record(&self, at: usize) -> &[u8] {
        &self.first_announcement(at)[RECORD_AT - HEAD_BYTES..]
    }

    #[inline(always)]
    fn first_announcement(&self, at: usize) -> &[u8] {
        let block = self.block(at);
        &block[HEAD_BYTES..usize::from(u16::from_be_bytes([block[0], block[1]]))]
    }
}

/// Size of a block's head: the end of the announcement, and position and length of the name, in bytes.
const HEAD_BYTES: usize = 4;

/// Offset of the record within a block.
const RECORD_AT: usize = HEAD_BYTES + 1;

const CACHE_LINE_BYTES: usize = 64;

/// Hash table from names to indices: linear probing, at most half full, no removal. Small and fast, because a
/// simulation looks up nearly every message in it, from many nodes.
#[derive(Debug, Default)]
struct Names {
    /// A power of two of slots, or none.
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Upper half of the hash. Slots with another tag need no comparison of names.
    tag: u32,
    /// [`Slot::FREE`] if the slot is free.
    idx: u32,
}

impl Slot {
    const FREE: u32 = u32::MAX;
}

impl Names {
    #[inline]
    fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let (tag, mut at) = split(hash);
        // Terminates: at least half of the slots are free.
        loop {
            let slot = self.slots[at & mask];
            if slot.idx == Slot::FREE {
                return None;
            }
            if slot.tag == tag && is_it(slot.idx) {
                return Some(slot.idx);
            }
            at += 1;
        }
    }

    fn insert(&mut self, hash: u64, idx: u32) {
        if self.slots.len() <= 2 * self.used {
            let free = Slot { tag: 0, idx: Slot::FREE };
            // Places by the tag alone, so that growing does not rehash the names.
            let grown = alloc::vec![free; (4 * self.used).next_power_of_two().max(8)];
            let old = core::mem::replace(&mut self.slots, grown);
            for slot in old.into_iter().filter(|slot| slot.idx != Slot::FREE) {
                self.place(slot.tag, slot.tag as usize, slot.idx);
            }
        }
        let (tag, at) = split(hash);
        self.place(tag, at, idx);
        self.used += 1;
    }

    fn place(&mut self, tag: u32, mut at: usize, idx: u32) {
        let mask = self.slots.len() - 1;
        while self.slots[at & mask].idx != Slot::FREE {
            at += 1;
        }
        self.slots[at & mask] = Slot { tag, idx };
    }
}

/// The tag of a hash, and its first slot, taken from the tag's low bits.
const fn split(hash: u64) -> (u32, usize) {
    let tag = (hash >> 32) as u32;
    (tag, tag as usize)
}

/// Hash of a name. Unkeyed, because the names in a directory come from this process and not from peers.
#[inline]
fn hash(name: &[u8]) -> u64 {
    let mut hash = SALT ^ name.len() as u64;
    let Some(last) = name.last_chunk::<8>() else {
        return fold(hash ^ name.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte)));
    };
    // The last word overlaps the previous one, so that names of eight bytes or more are never hashed by single bytes.
    for word in name[..name.len() - 1].as_chunks::<8>().0 {
        hash = fold(hash ^ u64::from_le_bytes(*word));
    }
    fold(hash ^ u64::from_le_bytes(*last))
}

/// Multiplies, and folds the upper half of the product into the lower.
fn fold(word: u64) -> u64 {
    let product = u128::from(word) * u128::from(MULTIPLIER);
    let upper = u64::try_from(product >> u64::BITS).expect("half of it is left");
    word.wrapping_mul(MULTIPLIER) ^ upper
}

/// Fractions of the golden ratio and of pi: constants without structure.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const SALT: u64 = 0x243f_6a88_85a3_08d3;

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<_> = (0..3000).map(|n| alloc::format!("node-{n:05}")).collect();
        let tags = crate::Tags::default();
        let identity = |name: &String| Identity::new(name, "10.0.0.1:7946".parse().unwrap(), &tags).unwrap();
        let directory = Directory::new(names.iter().map(identity));
        for (at, name) in names.iter().enumerate() {
            let idx = directory.find(name.as_bytes()).unwrap();
            assert_eq!(idx.at(), at);
            assert_eq!(directory.find_record(name.as_bytes(), directory.record(idx)), Some((idx, true)));
            assert_eq!(directory.find_record(name.as_bytes(), b"another"), Some((idx, false)));
        }
        assert_eq!(directory.find(b"node-03000"), None);
        assert_eq!(Directory::default().find(b"node-00000"), None);
    }
}
