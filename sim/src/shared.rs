//! State shared by all shards, read-only during a window.

use core::net::SocketAddr;
use std::sync::Arc;

use serf_proto::{
    CodecChoice, Config, Directory, Identity, Instant, Key, Node, Outbox, Record, Rng, Seed, SharedPolicy, Start,
};

use crate::addressing::{addr_of, name_of};
use crate::app::{Apps, Slot};
use crate::check::QueueBounds;
use crate::disk::{Disk, Found};
use crate::layout::Layout;
use crate::net::Network;
use crate::truth::{Goal, Truth};
use crate::world::WorldOptions;

/// State shared by all shards.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Honest nodes. Rules apply to these only.
    pub(crate) nodes: u32,
    /// All hosts: the nodes, plus the hostile one after them if there is one.
    pub(crate) hosts: u32,
    pub(crate) shards: u32,
    pub(crate) settings: Settings,
    pub(crate) network: Network,
    pub(crate) truth: Truth,
    pub(crate) goal: Goal,
    /// Whether losing a name is a violation: no node is ever unreachable, so the attacker cannot take a name over
    /// legitimately.
    pub(crate) names_kept: bool,
    /// The nodes' policy, if they have one.
    pub(crate) policy: Option<SharedPolicy>,
    /// Name of the counted user events.
    pub(crate) listened_for: Option<Box<str>>,
    /// Contacts of nodes that join without given contacts.
    pub(crate) contacts: Contacts,
    /// `None` if checks are off.
    pub(crate) checks: Option<QueueBounds>,
    /// Disk content of a node that starts with all nodes known.
    pub(crate) converged_disk: Disk,
    pub(crate) layout: Layout,
    /// Starts the applications of the nodes, if there are any.
    pub(crate) apps: Option<Apps>,
    identities: Vec<Identity>,
    directory: Directory,
    seed: Seed,
}

/// Options of all nodes.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    all: Arc<Config>,
    /// Options of every second node, if different.
    odd: Option<Arc<Config>>,
    /// Options by group, and the group of each node; empty if all groups have the same.
    by_group: Vec<Arc<Config>>,
    group_of: Vec<u16>,
}

impl Settings {
    /// Creates the options. With `mixed_codecs` every second node uses HashiCorp's codec only.
    pub(crate) fn new(config: Config, mixed_codecs: bool) -> Self {
        let hashicorp = || config.options().clone().with(|options| options.transport.codec = CodecChoice::HashiCorp);
        let odd = mixed_codecs.then(|| Config::new(hashicorp()).expect("the codec makes no other setting wrong"));
        Self { odd: odd.map(Arc::new), all: Arc::new(config), by_group: Vec::new(), group_of: Vec::new() }
    }

    /// Sets the options of groups.
    pub(crate) fn with_groups(self, layout: &Layout) -> Self {
        let by_group = layout.configs.iter().cloned().map(Arc::new).collect();
        Self { by_group, group_of: layout.group_of.clone(), ..self }
    }

    /// Returns the options of a node with this keyring; the initial ones if it is empty.
    fn with_keys(&self, node: u32, keys: Vec<Key>) -> Arc<Config> {
        let settings = self.of(node);
        if keys.is_empty() {
            return Arc::clone(settings);
        }
        let options = settings.options().clone().with(|options| options.transport.encrypt_keys = keys);
        Arc::new(Config::new(options).expect("a node's own keyring is within its limits"))
    }

    pub(crate) fn of(&self, node: u32) -> &Arc<Config> {
        if !self.by_group.is_empty() {
            let group = self.group_of.get(node as usize).copied().unwrap_or(0);
            return &self.by_group[usize::from(group)];
        }
        match &self.odd {
            Some(odd) if node % 2 == 1 => odd,
            _ => &self.all,
        }
    }

    /// Returns the options with the longest queues.
    fn longest_queues(&self) -> &Config {
        let all = self.by_group.iter().map(|config| &**config);
        all.max_by_key(|config| config.serf().queue_depth_max).unwrap_or(&self.all)
    }
}

/// Contacts to join through.
#[derive(Clone, Debug)]
pub(crate) enum Contacts {
    /// Nodes with smaller numbers, which started earlier.
    Earlier,
    /// A draw from these.
    These(Vec<u32>),
}

impl Shared {
    pub(crate) fn new(options: WorldOptions, layout: Layout) -> Self {
        let WorldOptions { nodes, seed, threads, config, mixed_codecs, model, has_checks, has_hostile } = options;
        let nodes = nodes.max(1);
        let settings = Settings::new(config, mixed_codecs).with_groups(&layout);
        let hosts = nodes + u32::from(has_hostile);
        let identity = |node| {
            let made = Identity::new(&name_of(node), addr_of(node), &layout.tags(node));
            let made = made.expect("short names, real addresses and small tags are fine");
            made.with_versions(settings.of(node).transport().versions())
        };
        let identities: Vec<Identity> = (0..hosts).map(identity).collect();
        // A converged node knows its whole directory, hence not the nodes that start later.
        let known = (0_u32..).zip(&identities).filter(|(node, _)| !layout.is_late(*node));
        let directory = Directory::new(known.map(|(_, identity)| identity.clone()));
        let seed = Seed::from_u64(seed);
        let last = if settings.of(0).serf().snapshot { nodes } else { 0 };
        let all = (0..last).filter(|node| !layout.is_late(*node));
        let alive = |node| Record::Alive { name: name_of(node).as_str().into(), addr: addr_of(node) };
        Self {
            nodes,
            hosts,
            shards: threads.clamp(1, nodes),
            checks: has_checks.then(|| QueueBounds::new(nodes, settings.longest_queues())),
            settings,
            network: Network::new(model, layout.topology.clone(), hosts, &seed.child(CHILD_PLACES)),
            truth: Truth::new(nodes),
            goal: Goal::none(Instant::ZERO),
            names_kept: false,
            policy: None,
            listened_for: None,
            converged_disk: Disk::of(all.map(alive)),
            contacts: Contacts::Earlier,
            layout,
            apps: None,
            identities,
            directory,
            seed,
        }
    }

    /// Returns the index of a node within its shard.
    pub(crate) const fn local(&self, node: u32) -> usize {
        (node / self.shards) as usize
    }

    /// Returns the shard of a node.
    pub(crate) const fn shard(&self, node: u32) -> usize {
        (node % self.shards) as usize
    }

    /// Returns the attacker's host, if there is one.
    pub(crate) fn hostile(&self) -> Option<u32> {
        (self.hosts > self.nodes).then_some(self.nodes)
    }

    /// Returns the seed of the attacker.
    pub(crate) fn hostile_seed(&self) -> Seed {
        self.seed.child(CHILD_HOSTILE)
    }

    /// Returns the RNG of the run's plan.
    pub(crate) fn plan_rng(&self) -> Rng {
        Rng::stream(&self.seed.child(CHILD_PLAN), 0)
    }

    /// Returns the RNG for the fate of a host's packets.
    pub(crate) fn link_rng(&self, node: u32) -> Rng {
        Rng::stream(&self.seed.child(CHILD_LINKS), u64::from(node))
    }

    /// Creates a node at the start of its `life`-th life.
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
        start.policy = self.policy.clone().filter(|_| node < self.nodes);
        Node::new(self.settings.with_keys(node, found.keys), &self.identities[node as usize], &seed, now, start, out)
    }

    /// Starts the application of a node's `life`-th life, if the world has applications. The attacker has none.
    pub(crate) fn start_app(&self, node: u32, life: u32) -> Option<Box<Slot>> {
        let apps = self.apps.as_ref().filter(|_| node < self.nodes)?;
        let rng = Rng::stream(&self.seed.child(CHILD_APPS).child(u64::from(node)), u64::from(life));
        Some(Box::new(Slot::new(apps.start(node), rng)))
    }

    /// Returns the key of this number in a rotation: 0 is the first key of the options. `None` without encryption.
    pub(crate) fn key(&self, number: u32) -> Option<Key> {
        let first = self.settings.of(0).transport().encrypt_keys.first()?.clone();
        if number == 0 {
            return Some(first);
        }
        let bytes = Rng::stream(&self.seed.child(CHILD_KEYS), u64::from(number)).bytes::<16>();
        Key::new(&bytes).ok()
    }

    /// Draws the contacts of a node's `attempt`-th join.
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

/// Draws up to `count` distinct numbers below `pool`, in the order drawn.
pub(crate) fn draw_distinct(rng: &mut Rng, pool: u32, count: u32) -> Vec<u32> {
    let mut drawn: Vec<u32> = Vec::new();
    if count.saturating_mul(2) >= pool {
        drawn.extend(0..pool);
        rng.shuffle(&mut drawn);
        drawn.truncate(count as usize);
        return drawn;
    }
    // At least half of the draws are new, so this terminates quickly.
    while drawn.len() < count as usize {
        let candidate = rng.below(pool);
        if !drawn.contains(&candidate) {
            drawn.push(candidate);
        }
    }
    drawn
}

/// A few, as in typical configurations.
const JOIN_CONTACTS: u32 = 3;

/// RNG streams: one child of the world's seed per concern, so that drawing more in one does not shift the others.
const CHILD_PLAN: u64 = 0;
const CHILD_LINKS: u64 = 1;
const CHILD_NODES: u64 = 2;
const CHILD_JOINS: u64 = 3;
const CHILD_PLACES: u64 = 4;
const CHILD_HOSTILE: u64 = 5;
const CHILD_APPS: u64 = 6;
const CHILD_KEYS: u64 = 7;

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
