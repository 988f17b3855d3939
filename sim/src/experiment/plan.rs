//! From a scenario file to a world and its course, with every check that is possible before the run.

use core::time::Duration;
use std::path::Path;

use serf_proto::{Config, Key, Options, Rng, Seed, Tags};

use super::assertion::{self, Assertion};
use super::document::{Document, FileError, suggestion};
use super::file::{Exception, Fault, FaultKind, File, Network};
use super::options;
use super::timeline::{self, Effect, Planned, Timeline, Victims};
use super::values::{LatencyValue, Share, Time};
use crate::estimate;
use crate::layout::Layout;
use crate::net::{self, Bursts, Latency, Link, LinkModel, NodeSet, Rule, Topology};
use crate::phase::{Phase, PhaseSettings};
use crate::profile::StartKind;
use crate::scenario::Scenario;
use crate::world::{NODES_MAX, WorldOptions};

/// A cell that can run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The world, with seed 1 and one thread.
    pub(crate) world: WorldOptions,
    pub(crate) layout: Layout,
    /// Name of each group.
    pub(crate) groups: Vec<String>,
    pub(crate) course: Course,
    pub(crate) assertions: Vec<Assertion>,
    /// Estimated memory in bytes.
    pub(crate) memory_bytes: u64,
    /// Whether the nodes have a key, drawn from the seed.
    is_encrypted: bool,
}

/// What happens in a world.
#[derive(Clone, Debug)]
pub(crate) enum Course {
    Phases(Scenario),
    Timeline(Timeline),
}

impl Plan {
    /// Checks a scenario. `directory` is that of its file.
    pub(crate) fn new(document: &Document, file: &File, directory: &Path) -> Result<Self, FileError> {
        let planner = Planner::new(document, file, directory)?;
        let configs = planner.configs()?;
        let course = planner.course()?;
        let layout = planner.layout(configs.clone())?;
        let model = planner.model(layout.topology.as_ref())?;
        let config = configs.into_iter().next_back().expect("the rest is always a group");
        let is_converged = planner.is_converged();
        let has_snapshots = config.serf().snapshot;
        Ok(Self {
            memory_bytes: estimate::memory_bytes(planner.nodes, is_converged, has_snapshots),
            world: WorldOptions {
                nodes: planner.nodes,
                seed: 1,
                threads: 1,
                config,
                mixed_codecs: file.cluster.mixed_codecs.unwrap_or(false),
                model,
                has_checks: file.cluster.checks.unwrap_or(true),
                has_hostile: false,
            },
            groups: planner.names(),
            layout,
            assertions: assertion::parse(document, file, &course)?,
            course,
            is_encrypted: planner.is_encrypted(),
        })
    }

    /// Returns the estimated processor time in a release build, to within a factor of about three.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let nodes = self.world.nodes;
        let (virtual_s, changed, events) = match &self.course {
            Course::Phases(scenario) => {
                let changed = |phase: &Phase| match phase {
                    Phase::Join => 0.1,
                    Phase::Partition => 1.0,
                    Phase::Restart => f64::from(scenario.settings.restart_ppm) / 1e6,
                    _ => 0.05,
                };
                let changed: f64 = scenario.phases.iter().map(changed).sum();
                (PHASE_S * scenario.phases.len() as f64, changed * f64::from(nodes), 0.0)
            }
            Course::Timeline(timeline) => (timeline.length.as_secs_f64(), timeline.changes(nodes), timeline.events()),
        };
        estimate::cpu_seconds(nodes, virtual_s, changed, events)
    }

    /// Returns the world and the layout of a run with this seed, which also determines the key.
    pub(crate) fn seeded(&self, seed: u64, threads: u32) -> (WorldOptions, Layout) {
        let keyed = |config: &Config| {
            if !self.is_encrypted {
                return config.clone();
            }
            let options = config.options().clone().with(|options| options.transport.encrypt_keys = vec![key(seed)]);
            Config::new(options).expect("another key of the same length makes no setting wrong")
        };
        let world = WorldOptions { seed, threads, config: keyed(&self.world.config), ..self.world.clone() };
        let configs = self.layout.configs.iter().map(keyed).collect();
        (world, Layout { configs, ..self.layout.clone() })
    }
}

/// Returns the key of all nodes of a world.
pub(crate) fn key(seed: u64) -> Key {
    let bytes: [u8; 16] = Rng::stream(&Seed::from_u64(seed), KEY_STREAM).bytes();
    Key::new(&bytes).expect("a key may have 16 bytes")
}

/// A scenario being checked.
struct Planner<'a> {
    document: &'a Document,
    file: &'a File,
    directory: &'a Path,
    nodes: u32,
    phases: Vec<Phase>,
    /// The nodes of each group, the rest last.
    groups: Vec<(String, core::ops::Range<u32>)>,
}

impl<'a> Planner<'a> {
    fn new(document: &'a Document, file: &'a File, directory: &'a Path) -> Result<Self, FileError> {
        let nodes = file.cluster.nodes.unwrap_or(NODES_DEFAULT);
        if !(1..=NODES_MAX).contains(&nodes) {
            return Err(document.error("cluster.nodes", format!("expected 1 to {NODES_MAX} nodes")));
        }
        let mut planner = Self { document, file, directory, nodes, phases: Vec::new(), groups: Vec::new() };
        planner.groups = planner.divide()?;
        planner.phases = planner.phases()?;
        Ok(planner)
    }

    fn error(&self, path: &str, reason: impl Into<String>) -> FileError {
        self.document.error(path, reason)
    }

    fn names(&self) -> Vec<String> {
        self.groups.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Divides the nodes among the groups.
    fn divide(&self) -> Result<Vec<(String, core::ops::Range<u32>)>, FileError> {
        let mut groups: Vec<(String, core::ops::Range<u32>)> = Vec::new();
        let mut next = 0;
        for (nth, group) in self.file.group.iter().enumerate() {
            let path = |key: &str| format!("group.{nth}.{key}");
            if group.name.is_empty() || [REST, ALL].contains(&group.name.as_str()) {
                return Err(self.error(&path("name"), format!("{:?} is no name for a group", group.name)));
            }
            if groups.iter().any(|(name, _)| *name == group.name) {
                return Err(self.error(&path("name"), format!("two groups are named {:?}", group.name)));
            }
            let count = match (group.nodes, group.share) {
                (Some(count), None) if count > 0 => count,
                (None, Some(Share(ppm))) if ppm > 0 => share_of(self.nodes, ppm),
                (Some(_), Some(_)) => return Err(self.error(&path("share"), "give either nodes or share, not both")),
                (None, None) => return Err(self.error(&format!("group.{nth}"), "nodes or share is missing")),
                _ => return Err(self.error(&format!("group.{nth}"), "a group has at least one node")),
            };
            let end = next + count.min(NODES_MAX);
            if end > self.nodes {
                let message = format!("the groups have {end} nodes or more, the cluster has {}", self.nodes);
                return Err(self.error(&format!("group.{nth}"), message));
            }
            groups.push((group.name.clone(), next..end));
            next = end;
        }
        groups.push((REST.to_owned(), next..self.nodes));
        Ok(groups)
    }

    fn group(&self, path: &str, name: &str) -> Result<usize, FileError> {
        self.groups.iter().position(|(other, _)| other == name).ok_or_else(|| {
            let known = self.groups.iter().map(|(name, _)| name.as_str());
            self.error(path, format!("there is no group {name:?}; {}", suggestion(name, known)))
        })
    }

    /// Returns the nodes of a group; all nodes without one.
    fn set(&self, path: &str, name: Option<&String>) -> Result<NodeSet, FileError> {
        match name {
            None => Ok(NodeSet::All),
            Some(name) if name == ALL => Ok(NodeSet::All),
            Some(name) => Ok(NodeSet::Range(self.groups[self.group(path, name)?].1.clone())),
        }
    }

    fn phases(&self) -> Result<Vec<Phase>, FileError> {
        let mut phases = Vec::new();
        for name in &self.file.phases {
            let phase = Phase::all().iter().find(|phase| phase.name() == name).ok_or_else(|| {
                let known = Phase::all().iter().map(|phase| phase.name());
                self.error("phases", format!("there is no phase {name:?}; {}", suggestion(name, known)))
            })?;
            phases.push(*phase);
        }
        let is_timeline = !self.file.fault.is_empty() || !self.file.load.is_empty();
        match (phases.is_empty(), self.file.length) {
            (true, None) if is_timeline => return Err(self.error("for", "is missing: the length of the timeline")),
            (true, None) => {
                let reason = "the scenario does nothing: give phases, or for and a timeline of [[fault]] and [[load]]";
                return Err(self.error("", reason));
            }
            (false, None) if self.file.group.iter().any(|group| group.start_at.is_some()) => {
                return Err(self.error("phases", "no group starts later in phases: start_at is of a timeline"));
            }
            (false, Some(_)) => return Err(self.error("for", "is of a timeline; phases end by themselves")),
            (false, None) if is_timeline => {
                let key = if self.file.fault.is_empty() { "load.0" } else { "fault.0" };
                return Err(self.error(key, "phases and a timeline exclude each other"));
            }
            _ => {}
        }
        if phases.contains(&Phase::Idle) && self.file.phase.idle.is_none() {
            return Err(self.error("phases", "phase idle needs phase.idle with a duration"));
        }
        if !phases.is_empty() && self.file.cluster.start == Some(StartKind::Cold) {
            phases.push(Phase::Join);
        }
        phases.sort_unstable();
        phases.dedup();
        Ok(phases)
    }

    fn is_converged(&self) -> bool {
        let default = if self.phases.contains(&Phase::Join) { StartKind::Cold } else { StartKind::Converged };
        self.file.cluster.start.unwrap_or(default) == StartKind::Converged
    }

    fn is_encrypted(&self) -> bool {
        let rotates =
            self.phases.contains(&Phase::Rotate) || self.file.fault.iter().any(|fault| fault.kind == FaultKind::Rotate);
        self.file.cluster.encrypt.unwrap_or(rotates)
    }

    /// Whether processes return from their disks.
    fn keeps_snapshots(&self) -> bool {
        let returns = |fault: &Fault| {
            matches!(fault.kind, FaultKind::Restart | FaultKind::Rolling) && fault.snapshot != Some(false)
        };
        self.phases.iter().any(|phase| matches!(phase, Phase::Restart | Phase::Flap))
            || self.file.fault.iter().any(returns)
    }

    /// Returns the options of each group; those of the rest are the cluster's.
    fn configs(&self) -> Result<Vec<Config>, FileError> {
        let settings = &self.file.settings;
        let base = options::options(self.file.pace, settings, self.directory)
            .map_err(|(name, why)| self.error(&format!("settings.{name}"), why))?;
        let mut configs = Vec::new();
        for (nth, group) in self.file.group.iter().enumerate() {
            let path = |name: &str| format!("group.{nth}.settings.{name}");
            let is_fresh = group.settings.profile.is_some() || group.settings.agent_config.is_some();
            let own = if is_fresh {
                options::options(self.file.pace, &group.settings, self.directory)
            } else {
                options::apply(base.clone(), &group.settings)
            };
            let own = own.map_err(|(name, why)| self.error(&path(&name), why))?;
            configs.push(self.config(own, &format!("group.{nth}"))?);
        }
        configs.push(self.config(base, "settings")?);
        Ok(configs)
    }

    fn config(&self, options: Options, path: &str) -> Result<Config, FileError> {
        let is_encrypted = self.is_encrypted() || !options.transport.encrypt_keys.is_empty();
        let options = options.with(|options| {
            options.serf.snapshot |= self.keeps_snapshots();
            options.transport.keyring_kept = true;
            options.transport.encrypt_keys = is_encrypted.then(|| key(1)).into_iter().collect();
        });
        Config::new(options).map_err(|error| self.error(path, error.to_string()))
    }

    fn layout(&self, configs: Vec<Config>) -> Result<Layout, FileError> {
        let tags = self.tags()?;
        if self.groups.len() == 1 && self.file.network.burst.is_none() && is_plain(&self.file.network) {
            return Ok(Layout::default());
        }
        let mut group_of = Vec::new();
        let mut is_late = Vec::new();
        for (index, (nth, (_, nodes))) in (0_u16..).zip(self.groups.iter().enumerate()) {
            group_of.extend(nodes.clone().map(|_| index));
            let starts_late = self.file.group.get(nth).is_some_and(|group| group.start_at.is_some());
            is_late.extend(nodes.clone().map(|_| starts_late));
        }
        let topology = Some(self.topology(group_of.clone())?);
        Ok(Layout { group_of, configs, tags, topology, is_late })
    }

    /// Returns the tags of each group, those of the rest last.
    fn tags(&self) -> Result<Vec<Tags>, FileError> {
        let mut all = Vec::new();
        for (nth, group) in self.file.group.iter().enumerate() {
            let tags: Tags = group.tags.clone().into();
            if tags.encode().len() > TAGS_BYTES_MAX {
                let message = format!("take {} bytes, at most {TAGS_BYTES_MAX} fit", tags.encode().len());
                return Err(self.error(&format!("group.{nth}.tags"), message));
            }
            all.push(tags);
        }
        all.push(Tags::default());
        Ok(all)
    }

    fn topology(&self, group_of: Vec<u16>) -> Result<Topology, FileError> {
        let network = &self.file.network;
        let base = Link {
            latency: network.latency.map_or(LATENCY, |LatencyValue(latency)| latency),
            loss_ppm: network.loss.0,
            duplicate_ppm: network.duplicate.0,
            reorder_ppm: network.reorder.0,
        };
        let groups = self.groups.len();
        let mut links = vec![base; groups * groups];
        let mut given = vec![None; groups * groups];
        for (nth, between) in network.between.iter().enumerate() {
            let path = |key: &str| format!("network.between.{nth}.{key}");
            let (from, to) = (self.group(&path("from"), &between.from)?, self.group(&path("to"), &between.to)?);
            let reverse = (between.both_ways != Some(false)).then_some((to, from));
            let ways =
                if from == to { vec![(from, to)] } else { [Some((from, to)), reverse].into_iter().flatten().collect() };
            for (from, to) in ways {
                let at = from * groups + to;
                if let Some(other) = given[at].replace(nth) {
                    let message =
                        format!("network.between.{other} is about the same links; one direction: both_ways = false");
                    return Err(self.error(&format!("network.between.{nth}"), message));
                }
                let link = &mut links[at];
                link.latency = between.latency.map_or(link.latency, |LatencyValue(latency)| latency);
                link.loss_ppm = between.loss.map_or(link.loss_ppm, |Share(ppm)| ppm);
                link.duplicate_ppm = between.duplicate.map_or(link.duplicate_ppm, |Share(ppm)| ppm);
                link.reorder_ppm = between.reorder.map_or(link.reorder_ppm, |Share(ppm)| ppm);
            }
        }
        let bursts = network.burst.as_ref().map(|burst| Bursts {
            loss_ppm: burst.loss.0,
            lasts: burst.lasts.0,
            every: burst.every.0,
        });
        if bursts.is_some_and(|bursts| bursts.lasts.is_zero() || bursts.every.is_zero()) {
            return Err(self.error("network.burst", "for and every must be above zero"));
        }
        Ok(Topology::new(group_of, links, bursts))
    }

    /// Returns the model of all links, or, with a topology, of what it leaves open.
    fn model(&self, topology: Option<&Topology>) -> Result<LinkModel, FileError> {
        let network = &self.file.network;
        let (mut min, mut max) = match network.latency.map_or(LATENCY, |LatencyValue(latency)| latency) {
            Latency::Uniform { min, max } => (min, max),
            other => (other.min(), other.mean().max(other.min())),
        };
        if let Some(topology) = topology {
            (min, max) = (topology.latency_min(), max.max(topology.latency_min()));
        }
        let model = LinkModel::new(min, max).map_err(|error| self.error("network.latency", error.to_string()))?;
        let mbit = network.bandwidth_mbit.unwrap_or(BANDWIDTH_MBIT);
        if mbit == 0 {
            return Err(self.error("network.bandwidth_mbit", "must be above zero"));
        }
        let datagram_kbit = network.datagram_kbit.unwrap_or(0);
        if network.datagram_kbit == Some(0) {
            return Err(self.error("network.datagram_kbit", "must be above zero"));
        }
        let mtu = network.mtu.unwrap_or(0);
        if network.mtu.is_some_and(|mtu| !(MTU_MIN..=MTU_MAX).contains(&mtu)) {
            return Err(self.error("network.mtu", format!("must be from {MTU_MIN} to {MTU_MAX}")));
        }
        let default = if self.phases.contains(&Phase::Rtt) { GEOMETRY } else { Duration::ZERO };
        Ok(model
            .with_loss_ppm(network.loss.0)
            .with_duplicate_ppm(network.duplicate.0)
            .with_reorder_ppm(network.reorder.0)
            .with_stream_reset_ppm(network.stream_reset.0)
            .with_bits_per_second(u64::from(mbit) * 1_000_000)
            .with_datagram_bits_per_second(u64::from(datagram_kbit) * 1_000)
            .with_mtu_bytes(mtu)
            .with_square_side(network.geometry.map_or(default, |Time(side)| side)))
    }

    fn course(&self) -> Result<Course, FileError> {
        if !self.phases.is_empty() {
            return Ok(Course::Phases(Scenario {
                phases: self.phases.clone(),
                settings: self.phase_settings()?,
                is_converged: self.is_converged(),
                virtual_max: None,
            }));
        }
        let length = self.file.length.map_or(Duration::ZERO, |Time(length)| length);
        if length < Duration::from_secs(1) {
            return Err(self.error("for", "a timeline lasts at least 1s"));
        }
        let timeline = Timeline {
            length,
            join_spread: (!self.is_converged())
                .then(|| self.file.cluster.join_spread.map_or(JOIN_SPREAD, |Time(spread)| spread)),
            late: self.late(length)?,
            faults: self.faults(length)?,
            loads: self.loads(length)?,
            rules: self.permanent_rules()?,
        };
        Ok(Course::Timeline(timeline))
    }

    fn late(&self, length: Duration) -> Result<Vec<(Duration, NodeSet)>, FileError> {
        let mut late = Vec::new();
        for (nth, group) in self.file.group.iter().enumerate() {
            let Some(Time(at)) = group.start_at else { continue };
            self.within(&format!("group.{nth}.start_at"), at, length)?;
            late.push((at, NodeSet::Range(self.groups[nth].1.clone())));
        }
        if late.len() == self.groups.len()
            || late.len() + 1 == self.groups.len() && self.groups[late.len()].1.is_empty()
        {
            return Err(self.error("group.0.start_at", "at least one group must start with the run"));
        }
        Ok(late)
    }

    fn within(&self, path: &str, at: Duration, length: Duration) -> Result<(), FileError> {
        if at >= length {
            return Err(self.error(path, format!("is not before the end of the timeline, {length:?}")));
        }
        Ok(())
    }

    fn faults(&self, length: Duration) -> Result<Vec<Planned>, FileError> {
        let mut planned: Vec<Planned> = Vec::new();
        for (nth, fault) in self.file.fault.iter().enumerate() {
            let path = format!("fault.{nth}");
            self.allowed_keys(&path, fault)?;
            self.within(&format!("{path}.at"), fault.at.0, length)?;
            let base = kind_name(fault.kind);
            let same = planned.iter().filter(|other| other.name.split('#').next() == Some(base)).count();
            let name = if same == 0 { base.to_owned() } else { format!("{base}#{}", same + 1) };
            planned.push(Planned {
                name,
                at: fault.at.0,
                victims: self.victims(&path, fault)?,
                effect: self.effect(&path, fault)?,
            });
            self.no_overlap(&path, nth)?;
        }
        Ok(planned)
    }

    /// Refuses keys that a fault of this kind does not have.
    fn allowed_keys(&self, path: &str, fault: &Fault) -> Result<(), FileError> {
        use FaultKind::{Block, Clock, Crash, Leave, Link, Partition, Restart, Rolling, Rotate, Slow, Stall};
        let hits = [Crash, Restart, Leave, Stall, Block, Slow, Clock, Partition, Rolling];
        let keys: [(&str, bool, &[FaultKind]); 19] = [
            ("for", fault.lasts.is_some(), &[Stall, Block, Slow, Clock, Partition, Link]),
            ("nodes", fault.nodes.is_some(), &hits),
            ("share", fault.share.is_some(), &hits),
            ("group", fault.group.is_some(), &hits),
            ("down", fault.down.is_some(), &[Restart, Rolling]),
            ("spread", fault.spread.is_some(), &[Restart]),
            ("snapshot", fault.snapshot.is_some(), &[Restart, Rolling]),
            ("leave", fault.leave.is_some(), &[Rolling]),
            ("every", fault.every.is_some(), &[Rolling, Rotate]),
            ("stall", fault.stall.is_some(), &[Stall, Block]),
            ("gap", fault.gap.is_some(), &[Stall, Block]),
            ("input_cost", fault.input_cost.is_some(), &[Slow]),
            ("jump", fault.jump.is_some(), &[Clock]),
            ("from", fault.from.is_some(), &[Link]),
            ("to", fault.to.is_some(), &[Link]),
            ("both_ways", fault.both_ways.is_some(), &[Link]),
            ("loss", fault.loss.is_some(), &[Link]),
            ("delay", fault.delay.is_some(), &[Link]),
            ("drop", fault.drop.is_some(), &[Link]),
        ];
        let foreign = keys.iter().find(|(_, is_given, kinds)| *is_given && !kinds.contains(&fault.kind));
        let Some((key, ..)) = foreign else { return Ok(()) };
        let known: Vec<&str> =
            keys.iter().filter(|(_, _, kinds)| kinds.contains(&fault.kind)).map(|(key, ..)| *key).collect();
        let message = format!("a fault of kind {} has no such key; it has {}", kind_name(fault.kind), known.join(", "));
        Err(self.error(&format!("{path}.{key}"), message))
    }

    fn victims(&self, path: &str, fault: &Fault) -> Result<Victims, FileError> {
        let of = self.set(&format!("{path}.group"), fault.group.as_ref())?;
        let pool = match &of {
            NodeSet::Range(range) => range.end - range.start,
            _ => self.nodes,
        };
        let count = match (fault.nodes, fault.share) {
            (Some(_), Some(_)) => {
                return Err(self.error(&format!("{path}.share"), "give either nodes or share, not both"));
            }
            (Some(0), _) => return Err(self.error(&format!("{path}.nodes"), "must be above zero")),
            (Some(count), None) if count > pool => {
                return Err(self.error(&format!("{path}.nodes"), format!("there are only {pool} nodes")));
            }
            (Some(count), None) => Some(count),
            (None, Some(Share(0))) => return Err(self.error(&format!("{path}.share"), "must be above zero")),
            (None, Some(Share(ppm))) => Some(share_of(pool, ppm)),
            (None, None) => None,
        };
        let needs_some = !matches!(fault.kind, FaultKind::Link | FaultKind::Rotate);
        if needs_some && count.is_none() && fault.group.is_none() {
            return Err(self.error(path, "says not which nodes it hits: nodes, share or group is missing"));
        }
        if fault.kind == FaultKind::Partition && count.unwrap_or(pool) >= self.nodes {
            return Err(self.error(path, "no node would be left on the other side of the partition"));
        }
        Ok(Victims { of, count })
    }

    fn effect(&self, path: &str, fault: &Fault) -> Result<Effect, FileError> {
        let time = |time: Option<Time>, default: Duration| time.map_or(default, |Time(time)| time);
        let positive = |key: &str, time: Duration| {
            if time.is_zero() { Err(self.error(&format!("{path}.{key}"), "must be above zero")) } else { Ok(time) }
        };
        let missing = |key: &str| self.error(path, format!("{key} is missing"));
        let lasts = fault.lasts.map(|Time(lasts)| positive("for", lasts)).transpose()?;
        let every = positive("every", time(fault.every, EVERY))?;
        let has_snapshot = fault.snapshot.unwrap_or(true);
        Ok(match fault.kind {
            FaultKind::Crash => Effect::Crash,
            FaultKind::Leave => Effect::Leave,
            FaultKind::Restart => Effect::Restart {
                down: time(fault.down, DOWN),
                spread: time(fault.spread, Duration::ZERO),
                has_snapshot,
            },
            FaultKind::Stall | FaultKind::Block => {
                let lasts = lasts.ok_or_else(|| missing("for"))?;
                let stall = positive("stall", time(fault.stall, lasts))?;
                let gap = positive("gap", time(fault.gap, GAP))?;
                Effect::Stall { lasts, stall, gap, blocks_packets: fault.kind == FaultKind::Block }
            }
            FaultKind::Slow => {
                let Time(cost) = fault.input_cost.ok_or_else(|| missing("input_cost"))?;
                Effect::Slow { lasts, input_cost: positive("input_cost", cost)? }
            }
            FaultKind::Clock => {
                let jump = fault.jump.map(|Time(jump)| positive("jump", jump)).transpose()?;
                let stops = lasts.is_some() || jump.is_none();
                Effect::Clock { stops, lasts, jump: jump.unwrap_or_default() }
            }
            FaultKind::Partition => Effect::Partition { lasts },
            FaultKind::Link => {
                let exception = Exception {
                    from: fault.from.clone(),
                    to: fault.to.clone(),
                    both_ways: fault.both_ways.unwrap_or(false),
                    loss: fault.loss,
                    delay: fault.delay,
                    drop: fault.drop.unwrap_or(false),
                };
                Effect::Link { lasts, rules: self.rules(path, &exception)? }
            }
            FaultKind::Rolling => Effect::Rolling {
                down: time(fault.down, DOWN),
                every,
                has_snapshot,
                leaves: fault.leave.unwrap_or(true),
            },
            FaultKind::Rotate => {
                if !self.is_encrypted() {
                    return Err(self.error(path, "there is no key to rotate: cluster.encrypt is false"));
                }
                Effect::Rotate { every }
            }
        })
    }

    /// Refuses two partitions at one time, and two faults of the same clocks, of which neither would be what it says.
    fn no_overlap(&self, path: &str, nth: usize) -> Result<(), FileError> {
        let span = |fault: &Fault| {
            let is_moment = fault.kind == FaultKind::Clock && fault.jump.is_some();
            let default = if is_moment { fault.at.0 } else { Duration::MAX };
            (fault.at.0, fault.lasts.map_or(default, |Time(lasts)| fault.at.0.saturating_add(lasts)))
        };
        let (earlier, fault) = (&self.file.fault[..nth], &self.file.fault[nth]);
        let (start, end) = span(fault);
        for (other, before) in earlier.iter().enumerate().filter(|(_, before)| before.kind == fault.kind) {
            let (from, until) = span(before);
            let (meets, what) = match fault.kind {
                FaultKind::Partition => (true, "partition"),
                FaultKind::Clock => {
                    (before.group == fault.group || before.group.is_none() || fault.group.is_none(), "clock")
                }
                _ => return Ok(()),
            };
            if meets && start < until && from < end {
                return Err(self.error(path, format!("overlaps with the {what} fault.{other}")));
            }
        }
        Ok(())
    }

    fn permanent_rules(&self) -> Result<Vec<Rule>, FileError> {
        let mut rules = Vec::new();
        for (nth, exception) in self.file.network.link.iter().enumerate() {
            rules.extend(self.rules(&format!("network.link.{nth}"), exception)?);
        }
        Ok(rules)
    }

    fn rules(&self, path: &str, exception: &Exception) -> Result<Vec<Rule>, FileError> {
        let from = self.set(&format!("{path}.from"), exception.from.as_ref())?;
        let to = self.set(&format!("{path}.to"), exception.to.as_ref())?;
        let mut effects = Vec::new();
        effects.extend(exception.drop.then_some(net::Effect::Drop));
        effects.extend(exception.loss.map(|Share(ppm)| net::Effect::Loss { ppm }));
        effects.extend(exception.delay.map(|Time(delay)| net::Effect::Delay(delay)));
        if effects.is_empty() {
            return Err(self.error(path, "has no effect: loss, delay or drop is missing"));
        }
        let mut rules = Vec::new();
        for effect in effects {
            rules.push(Rule { from: from.clone(), to: to.clone(), effect, during: None });
            if exception.both_ways {
                rules.push(Rule { from: to.clone(), to: from.clone(), effect, during: None });
            }
        }
        Ok(rules)
    }

    fn loads(&self, length: Duration) -> Result<Vec<timeline::Load>, FileError> {
        let mut loads = Vec::new();
        for (nth, load) in self.file.load.iter().enumerate() {
            let path = |key: &str| format!("load.{nth}.{key}");
            if !(load.per_second > 0.0 && load.per_second <= PER_SECOND_MAX) {
                let message = format!("must be above 0 and at most {PER_SECOND_MAX}");
                return Err(self.error(&path("per_second"), message));
            }
            let from = load.from.map_or(Duration::ZERO, |Time(from)| from);
            let until = load.until.map_or(length, |Time(until)| until).min(length);
            self.within(&path("from"), from, until)?;
            let bytes = load.bytes.unwrap_or(LOAD_BYTES);
            let least = if load.kind == super::file::LoadKind::Event { TIME_BYTES } else { 0 };
            if !(least..=LOAD_BYTES_MAX).contains(&bytes) {
                return Err(self.error(&path("bytes"), format!("must be from {least} to {LOAD_BYTES_MAX}")));
            }
            loads.push(timeline::Load {
                kind: match load.kind {
                    super::file::LoadKind::Event => timeline::LoadKind::Event,
                    super::file::LoadKind::Query => timeline::LoadKind::Query,
                    super::file::LoadKind::Tags => timeline::LoadKind::Tags,
                },
                from,
                until,
                every: Duration::from_secs_f64(1.0 / load.per_second),
                bytes,
                senders: self.set(&path("group"), load.group.as_ref())?,
            });
        }
        Ok(loads)
    }

    fn phase_settings(&self) -> Result<PhaseSettings, FileError> {
        let (table, default) = (&self.file.phase, PhaseSettings::default());
        let some = |key: &str, share: Option<Share>, default: u32| match share {
            Some(Share(0)) => Err(self.error(&format!("phase.{key}"), "must be above zero")),
            share => Ok(share.map_or(default, |Share(ppm)| ppm)),
        };
        let time = |time: Option<Time>, default: Duration| time.map_or(default, |Time(time)| time);
        Ok(PhaseSettings {
            join_spread: time(self.file.cluster.join_spread, default.join_spread),
            crash_ppm: some("crash_fraction", table.crash_fraction, default.crash_ppm)?,
            leave_ppm: some("leave_fraction", table.leave_fraction, default.leave_ppm)?,
            event_bytes: table.event_bytes.unwrap_or(default.event_bytes),
            query_relays: table.query_relays.unwrap_or(default.query_relays),
            query_answer_bytes: table.query_answer_bytes.unwrap_or(default.query_answer_bytes),
            partition_ppm: some("partition_fraction", table.partition_fraction, default.partition_ppm)?,
            partition_for: time(table.partition_for, default.partition_for),
            restart_ppm: some("restart_fraction", table.restart_fraction, default.restart_ppm)?,
            restart_down: time(table.restart_down, default.restart_down),
            restart_spread: time(table.restart_spread, default.restart_spread),
            slow_ppm: some("slow_fraction", table.slow_fraction, default.slow_ppm)?,
            slow_by: time(table.slow_by, default.slow_by),
            slow_gap: time(table.slow_gap, default.slow_gap),
            slow_for: time(table.slow_for, default.slow_for),
            flap_ppm: some("flap_fraction", table.flap_fraction, default.flap_ppm)?,
            flap_count: table.flap_count.unwrap_or(default.flap_count),
            flap_every: time(table.flap_every, default.flap_every),
            rtt_error_ppm: some("rtt_error", table.rtt_error, default.rtt_error_ppm)?,
            idle: time(table.idle, default.idle),
        })
    }
}

/// Whether the links of a network are all alike and uniform: the world's model describes them.
fn is_plain(network: &Network) -> bool {
    let latency = network.latency.map_or(LATENCY, |LatencyValue(latency)| latency);
    network.between.is_empty() && matches!(latency, Latency::Uniform { .. })
}

/// Returns a share of the nodes, at least one.
fn share_of(nodes: u32, ppm: u32) -> u32 {
    let share = u64::from(nodes) * u64::from(ppm) / 1_000_000;
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}

const fn kind_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Crash => "crash",
        FaultKind::Restart => "restart",
        FaultKind::Leave => "leave",
        FaultKind::Stall => "stall",
        FaultKind::Block => "block",
        FaultKind::Slow => "slow",
        FaultKind::Clock => "clock",
        FaultKind::Partition => "partition",
        FaultKind::Link => "link",
        FaultKind::Rolling => "rolling",
        FaultKind::Rotate => "rotate",
    }
}

/// Group of the nodes that are in no other.
const REST: &str = "rest";

/// Stands for all nodes where a group is expected.
const ALL: &str = "all";

const NODES_DEFAULT: u32 = 1000;

const LATENCY: Latency = Latency::Uniform { min: Duration::from_millis(1), max: Duration::from_millis(20) };
const BANDWIDTH_MBIT: u32 = 1000;

/// What every IPv4 host must accept, and the largest IPv4 packet.
const MTU_MIN: u32 = 576;
const MTU_MAX: u32 = 65_535;

const JOIN_SPREAD: Duration = Duration::from_secs(10);

/// Default square of the rtt phase.
const GEOMETRY: Duration = Duration::from_millis(50);

const DOWN: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(5);
const GAP: Duration = Duration::from_millis(64);

const LOAD_BYTES: u32 = 64;

/// What fits into a user event and into an answer with the default limits.
const LOAD_BYTES_MAX: u32 = 400;

/// What a node can announce, less the role that loads change.
const TAGS_BYTES_MAX: usize = serf_proto::limits::META_BYTES_MAX - 32;

/// The time at the start of an event's payload.
const TIME_BYTES: u32 = 8;

const PER_SECOND_MAX: f64 = 100_000.0;

/// About what a phase takes, in virtual seconds.
const PHASE_S: f64 = 40.0;

/// The world's RNG stream for its key; nodes have their own seeds.
const KEY_STREAM: u64 = 0x6b65_7900;
