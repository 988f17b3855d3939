//! The part of a roster that many nodes share.

use super::{Identity, MemberIdx, Peer};
use crate::wire::native;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Peers that many nodes of one process may meet, stored once and shared by all of them.
///
/// Only an optimisation, for simulations: a node with a directory behaves exactly as one without, but a member that is
/// as the directory says takes no memory of its own.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    peers: Vec<Arc<Peer>>,
    by_name: Names,
    /// A block a peer, of equal size: its head and its record. What is looked at for nearly every message is one block, which
    /// is mostly one cache line.
    blocks: Vec<u8>,
    block_bytes: usize,
}

impl Directory {
    /// A directory of `identities`. Of two with one name the first is kept.
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

    /// How many peers it holds.
    pub fn len(&self) -> usize {
        self.0.peers.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.peers.is_empty()
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<MemberIdx> {
        let inner = &*self.0;
        inner.by_name.find(hash(name), |idx| inner.name(idx as usize) == name).map(MemberIdx)
    }

    /// The peer named in a record, and whether the record is the peer's.
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
        let longest = self.peers.iter().map(|peer| peer.record().len()).max().unwrap_or(0);
        self.block_bytes = (HEAD_BYTES + longest).next_multiple_of(CACHE_LINE_BYTES);
        self.blocks = alloc::vec![0; self.block_bytes * self.peers.len()];
        for (peer, block) in self.peers.iter().zip(self.blocks.chunks_exact_mut(self.block_bytes)) {
            let record = peer.record();
            let bounded = "names and metadata are bounded, so that a record is short";
            let [high, low] = u16::try_from(record.len()).expect(bounded).to_be_bytes();
            let name_len = peer.name().len();
            let name_at = u8::try_from(HEAD_BYTES + native::name_start(name_len)).expect(bounded);
            block[..HEAD_BYTES].copy_from_slice(&[high, low, name_at, u8::try_from(name_len).expect(bounded)]);
            block[HEAD_BYTES..][..record.len()].copy_from_slice(record);
        }
    }

    #[inline]
    fn block(&self, at: usize) -> &[u8] {
        &self.blocks[at * self.block_bytes..][..self.block_bytes]
    }

    #[inline]
    fn name(&self, at: usize) -> &[u8] {
        let block = self.block(at);
        &block[usize::from(block[2])..][..usize::from(block[3])]
    }

    #[inline]
    fn record(&self, at: usize) -> &[u8] {
        let block = self.block(at);
        &block[HEAD_BYTES..][..usize::from(u16::from_be_bytes([block[0], block[1]]))]
    }
}

/// A block begins with the length of the record, and where in the block the name is and how long.
const HEAD_BYTES: usize = 4;

const CACHE_LINE_BYTES: usize = 64;

/// Which number a name has: a hash table with linear probing, never more than half full. It is asked for nearly every message
/// of a simulation, by many nodes in turn, so that it must be small and quick; names are never removed.
#[derive(Debug, Default)]
struct Names {
    /// Their number is a power of two, or zero.
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The upper half of the hash: a name whose half differs need not be looked at.
    tag: u32,
    /// [`Slot::FREE`] when the slot is free.
    idx: u32,
}

impl Slot {
    const FREE: u32 = u32::MAX;
}

impl Names {
    fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let (tag, mut at) = split(hash);
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

/// The tag of a hash, and where the search begins: at the tag's own lower bits, so that growing needs no hash.
const fn split(hash: u64) -> (u32, usize) {
    let tag = (hash >> 32) as u32;
    (tag, tag as usize)
}

/// Mixes a name. The names in a directory come from this process, not from peers, so that the hash needs no secret.
fn hash(name: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mut hash = name.len() as u64;
    let (words, rest) = name.as_chunks::<8>();
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let last = rest.iter().fold(0, |last, &byte| (last << 8) | u64::from(byte));
    mix(mix(hash, last), 0)
}

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
