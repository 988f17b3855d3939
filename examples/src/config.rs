//! Distribution of a configuration: every replica keeps the newest that it knows, and asks the others for theirs.
//!
//! A publisher hands the configuration to its own replica. Replicas ask all members with a query at intervals and after each
//! join, and take the greatest version of the answers. A query has answers, so that a replica that was away gets what it has
//! missed, which a user event does not guarantee. What an answer may hold is bounded (a kilobyte by default); a larger
//! configuration is announced by its version and fetched over a stream.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serf_tokio::{Handlers, MemberEventKind, Options, Question, Serf, StartError, bytes::Bytes};
use tokio::sync::Notify;

use crate::lock;

const QUERY: &str = "config";

/// How often a replica asks, if nothing happens.
const INTERVAL: Duration = Duration::from_secs(10);

/// A configuration. A greater version is newer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The version.
    pub version: u64,
    /// The content.
    pub content: Bytes,
}

impl Config {
    fn encode(&self) -> Vec<u8> {
        [&self.version.to_be_bytes(), &*self.content].concat()
    }

    fn decode(bytes: &Bytes) -> Option<Self> {
        let version = u64::from_be_bytes(*bytes.first_chunk()?);
        Some(Self { version, content: bytes.slice(8..) })
    }
}

/// A replica that has the configuration.
#[derive(Clone, Debug)]
pub struct Replica {
    serf: Serf,
    config: Arc<Mutex<Config>>,
    changed: Arc<Notify>,
}

impl Replica {
    /// Starts a replica with the empty configuration of version 0.
    ///
    /// # Errors
    ///
    /// Returns an error if the node cannot be started.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let (config, changed) = (Arc::<Mutex<Config>>::default(), Arc::<Notify>::default());
        let (ours, joined) = (Arc::clone(&config), Arc::clone(&changed));
        let handlers = Handlers::new()
            .on_query(QUERY, move |_query| {
                let answer = lock(&ours).encode();
                async move { Some(answer) }
            })
            .on_member(MemberEventKind::Join, move |_event| {
                joined.notify_one();
                async {}
            });
        let serf = Serf::builder(options).handlers(handlers).start()?;
        let (weak, known, wake) = (serf.downgrade(), Arc::clone(&config), Arc::clone(&changed));
        tokio::spawn(async move {
            loop {
                // Either way the replica asks.
                _ = tokio::time::timeout(INTERVAL, wake.notified()).await;
                let Some(asked) = weak.upgrade().map(|serf| serf.query(&Question::new(QUERY))) else { return };
                let Ok(asked) = asked else { continue };
                let Ok(answers) = asked.answers().await else { return };
                for newest in answers.responses.values().filter_map(Config::decode) {
                    let mut config = lock(&known);
                    if newest.version > config.version {
                        *config = newest;
                    }
                }
            }
        });
        Ok(Self { serf, config, changed })
    }

    /// Returns the node.
    pub const fn serf(&self) -> &Serf {
        &self.serf
    }

    /// Returns the configuration that this replica has.
    pub fn config(&self) -> Config {
        lock(&self.config).clone()
    }

    /// Publishes a configuration. Ignored if this replica knows a newer one.
    pub fn publish(&self, config: Config) {
        let mut current = lock(&self.config);
        if config.version > current.version {
            *current = config;
            self.changed.notify_one();
        }
    }
}
