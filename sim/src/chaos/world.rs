//! A drawn world as a value, which can be repeated, shrunk, and written to a file.

use core::time::Duration;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serf_proto::{Config, Instant, Key, Options};

use crate::hostile::{AfterAttack, Attack};
use crate::net::LinkModel;
use crate::world::{Fault, WorldOptions};

/// A drawn world: its nodes, its network and all its faults. Equal worlds give equal runs, whatever draws them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChaosWorld {
    /// Seed of the nodes, of the fate of packets, and of the checks.
    pub(crate) seed: u64,
    /// Number of nodes that start before the faults.
    pub(crate) nodes: u32,
    /// Number of nodes that start after the faults. Only in worlds with a hostile member.
    pub(crate) late_nodes: u32,
    /// The nodes' options, without the key.
    pub(crate) options: Options,
    /// The first key, in base64; `None`: no encryption.
    pub(crate) key: Option<String>,
    /// Whether every second node uses HashiCorp's codec only.
    pub(crate) mixed_codecs: bool,
    /// Whether the nodes have a policy, which admits each name only at the address of its host.
    pub(crate) has_policy: bool,
    /// The links before the faults end.
    pub(crate) model: LinkModel,
    /// Whether the network is without faults, so that a node that loses its name is a violation.
    pub(crate) is_calm: bool,
    /// Virtual time during which faults are injected.
    pub(crate) faults_time: Duration,
    /// Whether the checks wait for all of the time that agreement may take, although all nodes agree sooner.
    pub(crate) waits_longest: bool,
    /// Whether the checks wait until the members that are gone are forgotten.
    pub(crate) awaits_reaping: bool,
    /// The hostile member, if there is one.
    pub(crate) hostile: Option<HostileMember>,
    /// A sight that counts as a violation, to try a checker or the shrinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rejects: Option<String>,
    /// Faults by time.
    pub(crate) faults: Vec<(Instant, Fault)>,
}

/// The hostile member of a world. Its attacks are among the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostileMember {
    /// Whether its node joins the cluster.
    pub(crate) joins: bool,
    /// Fate of its node after the attack.
    pub(crate) after_attack: AfterAttack,
}

impl ChaosWorld {
    /// Parses the content of a file that [`ChaosWorld::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the file.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let world: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        world.check()?;
        Ok(world)
    }

    /// Returns the content of a file that repeats this world.
    ///
    /// # Errors
    ///
    /// Returns an error if the world cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }

    /// Returns the world with a sight that counts as a violation, to try a checker or the shrinking.
    #[must_use]
    pub fn rejecting(mut self, sight: &str) -> Self {
        self.rejects = Some(sight.to_owned());
        self
    }

    /// Returns the number of nodes, without those that start after the faults.
    pub const fn nodes(&self) -> u32 {
        self.nodes
    }

    /// Returns the faults by time.
    pub fn faults(&self) -> &[(Instant, Fault)] {
        &self.faults
    }

    /// Checks what a file may have wrong.
    fn check(&self) -> Result<(), String> {
        if !(2..=CHAOS_NODES_MAX).contains(&self.nodes) || self.late_nodes > CHAOS_NODES_MAX {
            return Err(format!("a world has from 2 to {CHAOS_NODES_MAX} nodes"));
        }
        if let Some(fault) = self.faults.iter().map(|(_, fault)| fault).find(|fault| fault.node() >= Some(self.nodes)) {
            return Err(format!("there is no node for the fault {fault:?}"));
        }
        self.model.check().map_err(|error| error.to_string())?;
        self.config().map(drop)
    }

    /// Returns the nodes' options with the key.
    pub(super) fn config(&self) -> Result<Config, String> {
        let key = self.key.as_deref().map(Key::from_base64).transpose().map_err(|error| error.to_string())?;
        let options = self.options.clone().with(|options| options.transport.encrypt_keys = key.into_iter().collect());
        Config::new(options).map_err(|error| error.to_string())
    }

    pub(super) fn world_options(&self, threads: u32) -> WorldOptions {
        WorldOptions {
            nodes: self.nodes + self.late_nodes,
            seed: self.seed,
            threads,
            config: self.config().expect("a drawn world has valid options, and a file is checked"),
            mixed_codecs: self.mixed_codecs,
            model: self.model,
            has_checks: true,
            has_hostile: self.hostile.is_some(),
        }
    }

    /// The kinds of attack among the faults.
    pub(super) fn attacks(&self) -> BTreeSet<Attack> {
        let attack =
            |(_, fault): &(Instant, Fault)| if let Fault::Assault(attack) = fault { Some(*attack) } else { None };
        self.faults.iter().filter_map(attack).collect()
    }
}

/// The largest world: in larger ones the drawn faults hit too few nodes to matter.
pub(crate) const CHAOS_NODES_MAX: u32 = 5_000;
