//! A sharded cache: each key is owned by one of the live members, by consistent hashing.
//!
//! Every replica computes the ring from its own view of the members, so no replica coordinates. Views differ for a moment
//! after a change, and for as long as a partition lasts: on each side the members of that side own all keys. That is right
//! for a cache, whose entries may be computed twice, and wrong for a store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serf_tokio::{Event, Options, Serf, StartError, Status};

use crate::lock;

/// Points of a member on the ring. More give shares that differ less: with 64 about a tenth.
const POINTS: u32 = 64;

/// The owners of all keys, as one replica sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring(BTreeMap<u64, String>);

impl Ring {
    /// Returns the ring of these members. It depends on the set of names only, so that equal views give equal rings.
    pub fn of<'a>(members: impl IntoIterator<Item = &'a str>) -> Self {
        let points = members.into_iter().flat_map(|name| {
            (0..POINTS).map(move |point| (hash(format!("{name}/{point}").as_bytes()), name.to_owned()))
        });
        Self(points.collect())
    }

    /// Returns the owner of a key; `None` without members.
    pub fn owner(&self, key: &str) -> Option<&str> {
        let after = self.0.range(hash(key.as_bytes())..).next();
        after.or_else(|| self.0.first_key_value()).map(|(_, name)| name.as_str())
    }
}

/// A replica of the cache.
#[derive(Clone, Debug)]
pub struct Cache {
    serf: Serf,
    ring: Arc<Mutex<Arc<Ring>>>,
}

impl Cache {
    /// Starts a replica.
    ///
    /// # Errors
    ///
    /// Returns an error if the node cannot be started.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let (serf, mut events) = Serf::builder(options).start_with_events()?;
        let ring = Arc::new(Mutex::new(Arc::new(ring_of(&serf))));
        let (weak, current) = (serf.downgrade(), Arc::clone(&ring));
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                // A task that holds a strong handle would keep the node running.
                let Some(serf) = weak.upgrade() else { return };
                // After a lag too, the ring is made anew from all members.
                if matches!(event, Ok(Event::Member(_)) | Err(_)) {
                    *lock(&current) = Arc::new(ring_of(&serf));
                }
            }
        });
        Ok(Self { serf, ring })
    }

    /// Returns the node.
    pub const fn serf(&self) -> &Serf {
        &self.serf
    }

    /// Returns the name of the replica that owns a key, by this replica's view.
    pub fn owner(&self, key: &str) -> Option<String> {
        lock(&self.ring).owner(key).map(str::to_owned)
    }

    /// Whether this replica owns a key, by its own view.
    pub fn owns(&self, key: &str) -> bool {
        self.owner(key).as_deref() == Some(self.serf.local().name())
    }

    /// Returns the current ring.
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&lock(&self.ring))
    }
}

fn ring_of(serf: &Serf) -> Ring {
    let members = serf.members();
    Ring::of(members.iter().filter(|member| member.status() == Status::Alive).map(|member| member.name()))
}

/// FNV-1a with a final mix. It must be the same on all replicas, which std's hasher is not.
fn hash(bytes: &[u8]) -> u64 {
    let folded = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (folded ^ (folded >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
