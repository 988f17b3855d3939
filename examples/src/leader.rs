//! A leader without an election: the live member with the lowest name leads, and a fencing token keeps an old leader from
//! doing harm.
//!
//! Membership alone never gives one leader: a stalled process still takes itself for the leader when it wakes, and each
//! side of a partition has its own. So the leader takes a token from the store that it writes to, greater than all before,
//! and the store refuses writes with a smaller one (Kleppmann, "How to do distributed locking", 2016).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serf_tokio::{Options, Serf, StartError, Status};

use crate::lock;

/// How often a replica looks at whether it leads, and a leader writes.
const INTERVAL: Duration = Duration::from_millis(500);

/// The store that the leader writes to. A real one is a database; what it needs is a compare-and-set of the token.
#[derive(Debug, Default)]
pub struct Store(Mutex<StoreState>);

#[derive(Debug, Default)]
struct StoreState {
    token: u64,
    /// The writer of each token, in the order of the writes.
    log: Vec<(u64, String)>,
    refused: u64,
}

impl Store {
    /// Issues a token greater than all before. Writes with earlier ones are refused from now on.
    pub fn issue(&self) -> u64 {
        let mut state = lock(&self.0);
        state.token += 1;
        state.token
    }

    /// Writes, unless a later token was issued.
    ///
    /// # Errors
    ///
    /// Returns the current token if it is newer.
    pub fn write(&self, token: u64, writer: &str) -> Result<(), u64> {
        let mut state = lock(&self.0);
        if token < state.token {
            state.refused += 1;
            return Err(state.token);
        }
        state.log.push((token, writer.to_owned()));
        Ok(())
    }

    /// Returns the accepted writes.
    pub fn log(&self) -> Vec<(u64, String)> {
        lock(&self.0).log.clone()
    }

    /// Returns how many writes were refused.
    pub fn refused(&self) -> u64 {
        lock(&self.0).refused
    }
}

/// A replica, of which one leads.
#[derive(Clone, Debug)]
pub struct Replica {
    serf: Serf,
    leads: Arc<Mutex<Option<u64>>>,
}

impl Replica {
    /// Starts a replica.
    ///
    /// # Errors
    ///
    /// Returns an error if the node cannot be started.
    pub fn start(options: Options, store: Arc<Store>) -> Result<Self, StartError> {
        let serf = Serf::start(options)?;
        let leads = Arc::new(Mutex::new(None));
        let (weak, token) = (serf.downgrade(), Arc::clone(&leads));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let Some(serf) = weak.upgrade() else { return };
                let next = step(&serf, &store, *lock(&token));
                *lock(&token) = next;
            }
        });
        Ok(Self { serf, leads })
    }

    /// Returns the node.
    pub const fn serf(&self) -> &Serf {
        &self.serf
    }

    /// Whether this replica takes itself for the leader.
    pub fn leads(&self) -> bool {
        lock(&self.leads).is_some()
    }
}

/// One step of a replica: leads if it should, and steps down if it was fenced off. Returns its token.
fn step(serf: &Serf, store: &Store, token: Option<u64>) -> Option<u64> {
    let name = serf.local().name().to_owned();
    if leader_of(serf).as_deref() != Some(&*name) {
        return None;
    }
    let token = token.unwrap_or_else(|| store.issue());
    // A leader that was replaced while it was away begins anew, with a new token.
    store.write(token, &name).ok().map(|()| token)
}

/// Returns the member that should lead, by the view of `serf`: the lowest name among those alive.
pub fn leader_of(serf: &Serf) -> Option<String> {
    let members = serf.members();
    let alive = members.iter().filter(|member| member.status() == Status::Alive);
    alive.map(|member| member.name().to_owned()).min()
}
