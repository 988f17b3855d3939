//! What all shards read and none writes while a window runs.

use core::net::SocketAddr;
use std::sync::Arc;

use serf_proto::envelope::Key;
use serf_proto::{
    CodecChoice, Config, Directory, Identity, Instant, Node, Options, Outbox, Record, Rng, Seed, Start, Tags,
};

use crate::addressing::{addr_of, name_of};
use crate::check::QueueBounds;
use crate::disk::{Disk, Found};
use crate::net::{LinkModel, Network};
use crate::truth::{Goal, Truth};

/// What all shards read.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Honest nodes: what is asked of nodes is asked of these.
    pub(crate) nodes: u32,
    /// All hosts: the nodes, and the hostile one behind them if there is one.
    pub(crate) hosts: u32,
    pub(crate) shards: u32,
    pub(crate) settings: Settings,
    pub(crate) network: Network,
    pub(crate) truth: Truth,
    pub(crate) goal: Goal,
    /// Whether no node may lose its name: none is ever out of reach, where an attacker could take it over.
    pub(crate) names_kept: bool,
    /// The name of the user events that are counted.
    pub(crate) listened_for: Option<Box<str>>,
    /// Whom nodes join through that were given nobody.
    pub(crate) contacts: Contacts,
    /// None when checks are off.
    pub(crate) checks: Option<QueueBounds>,
    /// What is on the disk of a node that starts as one who knows everybody.
    pub(crate) converged_disk: Disk,
    identities: Vec<Identity>,
    directory: Directory,
    seed: Seed,
}

/// The settings of all nodes.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    all: Arc<Config>,
    /// Of every second node, when they differ.
    odd: Option<Arc<Config>>,
}

impl Settings {
    /// With `mixed_codecs` every second node speaks HashiCorp's codec only.
    pub(crate) fn new(config: Config, mixed_codecs: bool) -> Self {
        let hashicorp = || Options { codec: CodecChoice::HashiCorp, ..config.options().clone() };
        let odd = mixed_codecs.then(|| Config::new(hashicorp()).expect("the codec makes no other setting wrong"));
        Self { odd: odd.map(Arc::new), all: Arc::new(config) }
    }

    /// The settings of a node whose keyring is this; as at first when it is empty.
    fn with_keys(&self, node: u32, keys: Vec<Key>) -> Arc<Config> {
        let settings = self.of(node);
        if keys.is_empty() {
            return Arc::clone(settings);
        }
        let options = Options { encrypt_keys: keys, ..settings.options().clone() };
        Arc::new(Config::new(options).expect("a node's own keyring is within its limits"))
    }

    pub(crate) const fn of(&self, node: u32) -> &Arc<Config> {
        match &self.odd {
            Some(odd) if node % 2 == 1 => odd,
            _ => &self.all,
        }
    }
}

/// Whom a node joins through.
#[derive(Clone, Debug)]
pub(crate) enum Contacts {
    /// Nodes with smaller numbers: those that started earlier.
    Earlier,
    /// Some of these.
    These(Vec<u32>),
}

impl Shared {
    pub(crate) fn new(
        nodes: u32,
        shards: u32,
        seed: u64,
        settings: Settings,
        model: LinkModel,
        has_checks: bool,
        has_hostile: bool,
    ) -> Self {
        let hosts = nodes + u32::from(has_hostile);
        let tags: Tags = [("role", "web")].into_iter().collect();
        let identity = |node| {
            let made = Identity::new(&name_of(node), addr_of(node), &tags);
            let made = made.expect("short names, real addresses and small tags are fine");
            made.with_versions(settings.of(node).codec.versions())
        };
        let identities: Vec<Identity> = (0..hosts).map(identity).collect();
        let directory = Directory::new(identities.iter().cloned());
        let seed = Seed::from_u64(seed);
        let everybody = if settings.of(0).snapshot { 0..nodes } else { 0..0 };
        let alive = |node| Record::Alive { name: name_of(node).as_str().into(), addr: addr_of(node) };
        Self {
            nodes,
            hosts,
            shards,
            checks: has_checks.then(|| QueueBounds::new(nodes, settings.of(0))),
            settings,
            network: Network::new(model, hosts, &seed.child(CHILD_PLACES)),
            truth: Truth::new(nodes),
            goal: Goal::none(Instant::ZERO),
            names_kept: false,
            listened_for: None,
            converged_disk: Disk::of(everybody.map(alive)),
            contacts: Contacts::Earlier,
            identities,
            directory,
            seed,
        }
    }

    /// The position of a node within its shard.
    pub(crate) const fn local(&self, node: u32) -> usize {
        (node / self.shards) as usize
    }

    /// The shard of a node.
    pub(crate) const fn shard(&self, node: u32) -> usize {
        (node % self.shards) as usize
    }

    /// The host of the attacker, if there is one.
    pub(crate) fn hostile(&self) -> Option<u32> {
        (self.hosts > self.nodes).then_some(self.nodes)
    }

    /// What the attacker draws from.
    pub(crate) fn hostile_seed(&self) -> Seed {
        self.seed.child(CHILD_HOSTILE)
    }

    /// What everything about the plan of a run is drawn from.
    pub(crate) fn plan_rng(&self) -> Rng {
        Rng::stream(&self.seed.child(CHILD_PLAN), 0)
    }

    /// What the fate of all that a host sends is drawn from.
    pub(crate) fn link_rng(&self, node: u32) -> Rng {
        Rng::stream(&self.seed.child(CHILD_LINKS), u64::from(node))
    }

    /// A node at the start of its `life`-th life.
    pub(crate) fn spawn(
        &self,
        node: u32,
        life: u32,
        now: Instant,
        is_converged: bool,
        found: Found,
        out: &mut Outbox,
    ) -> Node {
        let seed = self.seed.child(CHILD_NODES).child(u64::from(node)).child(u64::from(life));
        let mut start = Start::new();
        (start.directory, start.converged, start.snapshot) = (self.directory.clone(), is_converged, found.snapshot);
        Node::new(self.settings.with_keys(node, found.keys), &self.identities[node as usize], &seed, now, start, out)
    }

    /// Whom a node without given contacts tries to join through, at its `attempt`-th try.
    pub(crate) fn draw_contacts(&self, node: u32, attempt: u32) -> Vec<SocketAddr> {
        let mut rng = Rng::stream(&self.seed.child(CHILD_JOINS), u64::from(node) << 32 | u64::from(attempt));
        let others: Vec<u32> = match &self.contacts {
            Contacts::Earlier => return addrs(draw_distinct(&mut rng, node, JOIN_CONTACTS)),
            Contacts::These(list) => list.iter().copied().filter(|other| *other != node).collect(),
        };
        let pool = u32::try_from(others.len()).expect("nodes are counted in 32 bits");
        addrs(draw_distinct(&mut rng, pool, JOIN_CONTACTS).into_iter().map(|drawn| others[drawn as usize]))
    }
}

fn addrs(nodes: impl IntoIterator<Item = u32>) -> Vec<SocketAddr> {
    nodes.into_iter().map(addr_of).collect()
}

/// Up to `count` different numbers below `pool`, in the order drawn.
pub(crate) fn draw_distinct(rng: &mut Rng, pool: u32, count: u32) -> Vec<u32> {
    let mut drawn: Vec<u32> = Vec::new();
    if count.saturating_mul(2) >= pool {
        drawn.extend(0..pool);
        rng.shuffle(&mut drawn);
        drawn.truncate(count as usize);
        return drawn;
    }
    // At least every other draw is new, so this ends soon.
    while drawn.len() < count as usize {
        let candidate = rng.below(pool);
        if !drawn.contains(&candidate) {
            drawn.push(candidate);
        }
    }
    drawn
}

/// A few, as people write into their configuration.
const JOIN_CONTACTS: u32 = 3;

/// One child of the world's seed for each concern, so that drawing more for one does not shift the others.
const CHILD_PLAN: u64 = 0;
const CHILD_LINKS: u64 = 1;
const CHILD_NODES: u64 = 2;
const CHILD_JOINS: u64 = 3;
const CHILD_PLACES: u64 = 4;
const CHILD_HOSTILE: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_distinct_and_as_many_as_there_are() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        for (pool, count) in [(0, 3), (1, 3), (3, 3), (4, 3), (1_000, 3), (1_000, 600)] {
            let mut drawn = draw_distinct(&mut rng, pool, count);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), pool.min(count) as usize);
            assert!(drawn.iter().all(|node| *node < pool));
        }
    }
}
