//! A rolling deploy: a user event announces the version, and the replicas restart one after the other.
//!
//! A user event reaches every live member once, in time proportional to the logarithm of their number. The order is by
//! name: a replica deploys when all replicas with lower names announce the new version in their tags. A replica that fails
//! is skipped. One that was away reads the version from the others' tags.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serf_tokio::{Coalescing, CommandError, Event, Options, Serf, StartError, Status, UserEventError};

use crate::lock;

/// The event that announces a version.
const DEPLOY: &str = "deploy";

/// The tag with the version that a replica runs.
const VERSION: &str = "version";

/// How long a deploy of one replica takes.
const DEPLOY_TIME: Duration = Duration::from_secs(3);

/// How often a replica looks at whether it is its turn.
const INTERVAL: Duration = Duration::from_millis(500);

/// A replica that deploys what is announced.
#[derive(Clone, Debug)]
pub struct Replica {
    serf: Serf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    wanted: u64,
    is_deploying: bool,
}

impl Replica {
    /// Starts a replica that runs version 0.
    ///
    /// # Errors
    ///
    /// Returns an error if the node cannot be started.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let options = options.with(|options| options.tags.set(VERSION, "0"));
        let (serf, mut events) = Serf::builder(options).start_with_events()?;
        let state = Arc::<Mutex<State>>::default();
        let announced = Arc::clone(&state);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Ok(Event::User(user)) = event
                    && &*user.name == DEPLOY
                    && let Some(version) = parse(&user.payload)
                {
                    let mut state = lock(&announced);
                    state.wanted = state.wanted.max(version);
                }
            }
        });
        let (weak, deploying) = (serf.downgrade(), Arc::clone(&state));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let Some(serf) = weak.upgrade() else { return };
                if let Some(version) = next_version(&serf, &deploying) {
                    lock(&deploying).is_deploying = true;
                    tokio::time::sleep(DEPLOY_TIME).await;
                    lock(&deploying).is_deploying = false;
                    // Fails only for a node that is about to stop.
                    _ = serf.update_tags(|tags| tags.set(VERSION, version.to_string()));
                }
            }
        });
        Ok(Self { serf, state })
    }

    /// Returns the node.
    pub const fn serf(&self) -> &Serf {
        &self.serf
    }

    /// Announces a version to all replicas. A greater number is newer.
    ///
    /// # Errors
    ///
    /// Returns an error if the node has stopped.
    pub fn announce(&self, version: u64) -> Result<(), CommandError<UserEventError>> {
        self.serf.user_event(DEPLOY, version.to_string().as_bytes(), Coalescing::Allow)
    }

    /// Returns the version that runs here.
    pub fn version(&self) -> u64 {
        self.serf.tags().get(VERSION).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Whether this replica is down for its deploy.
    pub fn is_deploying(&self) -> bool {
        lock(&self.state).is_deploying
    }
}

/// Returns the version to deploy now; `None` if there is none or it is another's turn.
fn next_version(serf: &Serf, state: &Mutex<State>) -> Option<u64> {
    let local = serf.local();
    let members = serf.members();
    let others: Vec<(&str, u64)> = members
        .iter()
        .filter(|member| member.status() == Status::Alive && member.name() != local.name())
        .map(|member| {
            let version = member.tag(VERSION).and_then(|text| text.parse().ok());
            (member.name(), version.unwrap_or(0))
        })
        .collect();
    let mut state = lock(state);
    // The version of others stands for an event that was missed.
    state.wanted = others.iter().map(|(_, version)| *version).fold(state.wanted, u64::max);
    let wanted = state.wanted;
    let current: u64 = serf.tags().get(VERSION).and_then(|text| text.parse().ok()).unwrap_or(0);
    let is_our_turn = others.iter().all(|(name, version)| *name > local.name() || *version >= wanted);
    (wanted > current && is_our_turn).then_some(wanted)
}

fn parse(payload: &[u8]) -> Option<u64> {
    core::str::from_utf8(payload).ok()?.parse().ok()
}
