//! Checkpoints: the whole state of a node as bytes, from which an equal node is restored.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::gossip::Gossip;
use super::isolation::Isolation;
use super::join::Joins;
use super::leave::Leave;
use super::partition::Partition;
use super::{Node, SharedPolicy};
use crate::complaints::Complaints;
use crate::conceal::Concealer;
use crate::config::{Config, ConfigError, Options, SerfOptions, SwimOptions, TransportOptions};
use crate::core::{Core, KeyRequests, Rngs};
use crate::envelope::Envelope;
use crate::rng::Rng;
use crate::roster::RosterState;
use crate::serf::Serf;
use crate::stats::Stats;
use crate::stream::Streams;
use crate::swim::Swim;
use crate::time::Instant;
use crate::timer::Timers;
use crate::types::Key;

/// A node as it is saved. The layout belongs to one version of this crate.
#[derive(Serialize, Deserialize)]
struct Saved {
    options: (SwimOptions, SerfOptions, TransportOptions),
    /// Replacements of the keys, the primary first.
    keys: Vec<Vec<u8>>,
    nonces: Rng,
    now: Instant,
    rng: Rngs,
    roster: RosterState,
    timers: Timers,
    key_requests: KeyRequests,
    stats: Stats,
    complaints: Complaints,
    swim: Swim,
    serf: Serf,
    streams: Streams,
    joins: Joins,
    leave: Leave,
    isolation: Isolation,
    partition: Partition,
    gossip: Gossip,
}

/// Why [`Node::checkpoint`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a node that shares a directory with others has no checkpoint")]
pub struct Unsaved;

/// Why [`Node::restore`] failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The bytes are no checkpoint of this version of the crate.
    #[error("not a checkpoint of version {} of serf-proto", crate::VERSION)]
    Malformed,
    /// The settings in it contradict each other.
    #[error("the checkpoint's settings: {0}")]
    Config(ConfigError),
}

impl Node {
    /// Encodes the state of this node. `concealer` replaces the keys, and the payloads if it replaces those; what it reports
    /// as [concealed](Concealer::concealed) was in messages, beside the keyring. The buffered bytes of incomplete messages on
    /// streams are not saved.
    ///
    /// Copies the node first, so that the time grows with the number of members and of buffered events.
    ///
    /// # Errors
    ///
    /// If the node has a shared [`Directory`](crate::Directory), as in a simulation.
    pub fn checkpoint(&self, concealer: &mut Concealer<'_>) -> Result<Vec<u8>, Unsaved> {
        let Self { core, swim, serf, envelope, streams, joins, leave, isolation, partition, gossip, tapped: _ } =
            self.clone();
        debug_assert!(!core.has_effects(), "a call leaves nothing behind");
        let Core { now, cfg, rng, roster, timers, key_requests, stats, complaints, .. } = core;
        let mut keys: Vec<Vec<u8>> = envelope.keyring().keys().map(|key| Vec::from(key.as_bytes())).collect();
        keys.iter_mut().for_each(|key| concealer.own_key(key));
        let mut serf = serf;
        serf.conceal(concealer);
        let Options { swim: swim_options, serf: serf_options, transport } = cfg.options().clone();
        let saved = Saved {
            options: (swim_options, serf_options, transport),
            keys,
            nonces: envelope.into_nonces(),
            now,
            rng,
            roster: roster.into_state().ok_or(Unsaved)?,
            timers,
            key_requests,
            stats,
            complaints,
            swim,
            serf,
            streams,
            joins,
            leave,
            isolation,
            partition,
            gossip,
        };
        Ok(postcard::to_allocvec(&saved).expect("every part of a node has a known length"))
    }

    /// Restores a node from a checkpoint. It gives the outputs that the saved one gave for equal inputs, except for the
    /// contents of packets with a replaced key or payload. `policy` is that of the saved node.
    ///
    /// The bytes must come from [`checkpoint`](Self::checkpoint): a forged state may make the node panic.
    ///
    /// # Errors
    ///
    /// If the bytes are no checkpoint of this version.
    pub fn restore(checkpoint: &[u8], policy: Option<SharedPolicy>) -> Result<Self, CheckpointError> {
        let saved: Saved = postcard::from_bytes(checkpoint).map_err(|_| CheckpointError::Malformed)?;
        let (swim_options, serf_options, mut transport) = saved.options;
        let keys = saved.keys.iter().map(|key| Key::new(key));
        transport.encrypt_keys = keys.collect::<Result<_, _>>().map_err(|_| CheckpointError::Malformed)?;
        let options = Options { swim: swim_options, serf: serf_options, transport };
        let cfg = Config::new(options).map_err(CheckpointError::Config)?;
        let envelope = Envelope::resume(cfg.envelope().clone(), saved.nonces);
        let core = Core {
            now: saved.now,
            cfg: Arc::new(cfg),
            policy,
            rng: saved.rng,
            roster: saved.roster.into_roster().ok_or(CheckpointError::Malformed)?,
            timers: saved.timers,
            unicasts: Vec::new(),
            notifications: Vec::new(),
            dials: Vec::new(),
            abandoned: Vec::new(),
            events: Vec::new(),
            key_requests: saved.key_requests,
            stats: saved.stats,
            complaints: saved.complaints,
            detail: Default::default(),
            met: Default::default(),
        };
        Ok(Self {
            core,
            swim: saved.swim,
            serf: saved.serf,
            envelope,
            streams: saved.streams,
            joins: saved.joins,
            leave: saved.leave,
            isolation: saved.isolation,
            partition: saved.partition,
            gossip: saved.gossip,
            tapped: None,
        })
    }
}
