//! The part of a roster that many nodes share.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{Identity, MemberIdx, Peer};
use crate::wire::native;

/// Peers that many nodes of one process may meet, stored once and shared by all of them.
///
/// Only an optimisation, for simulations: a node with a directory behaves exactly as one without, but a member that is
/// as the directory says takes no memory of its own.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    peers: Vec<Arc<Peer>>,
    by_name: HashTable<u32>,
    /// The peers' records one after the other: what is looked at for nearly every message, packed to stay in cache.
    records: Vec<u8>,
    places: Vec<Place>,
}

/// Where a peer's record lies, and in it its name.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u32,
    len: u16,
    name_at: u8,
    name_len: u8,
}

impl Directory {
    /// A directory of `identities`. Of two with one name the first is kept.
    ///
    /// # Panics
    ///
    /// When their records take 4 GiB or more.
    pub fn new(identities: impl IntoIterator<Item = Identity>) -> Self {
        let mut inner = Inner::default();
        for Identity { peer } in identities {
            let name = peer.name().as_bytes();
            if inner.find(name).is_some() {
                continue;
            }
            let size = |len| u32::try_from(len).expect("a directory's records take less than 4 GiB");
            let (idx, hash) = (size(inner.peers.len()), hash(name));
            inner.places.push(Place::new(size(inner.records.len()), peer.record(), name.len()));
            inner.records.extend_from_slice(peer.record());
            inner.peers.push(peer);
            let peers = &inner.peers;
            inner.by_name.insert_unique(hash, idx, |&i| self::hash(peers[i as usize].name().as_bytes()));
        }
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
        self.0.find(name).map(MemberIdx)
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
    fn find(&self, name: &[u8]) -> Option<u32> {
        if self.peers.is_empty() {
            return None;
        }
        self.by_name.find(hash(name), |&i| self.name(i as usize) == name).copied()
    }

    fn name(&self, at: usize) -> &[u8] {
        let Place { at, name_at, name_len, .. } = self.places[at];
        &self.records[at as usize + usize::from(name_at)..][..usize::from(name_len)]
    }

    fn record(&self, at: usize) -> &[u8] {
        let Place { at, len, .. } = self.places[at];
        &self.records[at as usize..][..usize::from(len)]
    }
}

impl Place {
    fn new(at: u32, record: &[u8], name_len: usize) -> Self {
        let bounded = "names and metadata are bounded, so that a record is short and begins with versions and name";
        Self {
            at,
            len: u16::try_from(record.len()).expect(bounded),
            name_at: u8::try_from(native::name_start(name_len)).expect(bounded),
            name_len: u8::try_from(name_len).expect(bounded),
        }
    }
}

/// The names in a directory come from this process, not from peers, so that their hash needs no secret.
fn hash(name: &[u8]) -> u64 {
    FixedState::with_seed(0x5e1f).hash_one(name)
}
