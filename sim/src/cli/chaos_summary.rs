//! The result of `sim chaos`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::addressing::name_of;
use crate::chaos::{ChaosReport, Sight, Unseen};
use crate::hostile::Attack;

/// Results of all worlds so far. Sums are of whole numbers, so that they do not depend on the order in which worlds end.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    worlds: u64,
    nodes: u64,
    nodes_max: u32,
    node_nanos: u128,
    virtual_nanos: u128,
    faults: BTreeMap<&'static str, u64>,
    suspicions: u64,
    split: u64,
    hostile: Hostile,
    seen: BTreeMap<&'static str, u64>,
    failed: BTreeMap<u64, Failed>,
}

/// Results of all worlds. The keys of its JSON form are stable: they may be added to, not changed.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) seeds: u64,
    /// Worlds that were completed: fewer than `seeds` after Ctrl-C.
    pub(super) worlds: u64,
    pub(super) first_seed: u64,
    /// Whether each world drew which kinds of faults it knows.
    pub(super) swarm: bool,
    /// The share of this process, such as 1/4.
    pub(super) shard: String,
    pub(super) simulator: &'static str,
    pub(super) nodes: u64,
    pub(super) nodes_max: u32,
    pub(super) node_seconds: f64,
    pub(super) virtual_s: f64,
    pub(super) faults: BTreeMap<&'static str, u64>,
    pub(super) suspicions: u64,
    /// Worlds without a hostile member whose nodes did not know each other any more, and agreed after another join.
    pub(super) split: u64,
    pub(super) hostile: Hostile,
    /// By sight, the worlds that showed it.
    pub(super) seen: BTreeMap<&'static str, u64>,
    /// Sights that so many worlds should have shown and have not. Only of a swarm.
    pub(super) unseen: Vec<Unseen>,
    /// Whether a signal ended the run.
    pub(super) interrupted: bool,
    pub(super) failed: Vec<Failed>,
    pub(super) wall_s: f64,
    pub(super) cpu_s: Option<f64>,
}

/// Hostile members and their effects.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Hostile {
    pub(super) worlds: u64,
    /// Worlds whose nodes agreed only after another join.
    pub(super) joined_again: u64,
    pub(super) attacks: BTreeMap<&'static str, u64>,
    pub(super) datagrams: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) worst_answer: (u64, u64),
    pub(super) content_bytes_max: usize,
    pub(super) heap_bytes_a_node_max: Option<i64>,
}

/// A failed world.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failed {
    pub(super) seed: u64,
    pub(super) nodes: u32,
    pub(super) violations: Vec<String>,
    pub(super) deaf: Vec<u32>,
    pub(super) hostile: Option<Culprit>,
}

/// The hostile member of a failed world.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Culprit {
    pub(super) node: String,
    pub(super) joined: bool,
    /// Its attacks up to the first violation, the latest first.
    pub(super) attacks: Vec<&'static str>,
}

/// What a summary needs besides the results of worlds.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) seeds: u64,
    pub(super) first_seed: u64,
    pub(super) is_swarm: bool,
    pub(super) shard: String,
}

impl Sums {
    /// Adds a world.
    pub(super) fn add(&mut self, report: &ChaosReport) {
        self.worlds += 1;
        self.nodes += u64::from(report.nodes);
        self.nodes_max = self.nodes_max.max(report.nodes);
        self.virtual_nanos += report.virtual_time.as_nanos();
        self.node_nanos += report.virtual_time.as_nanos() * u128::from(report.nodes);
        for (_, fault) in &report.faults {
            *self.faults.entry(fault.kind()).or_default() += 1;
        }
        self.suspicions += report.suspicions;
        self.split += u64::from(report.hostile.is_none() && report.was_joined_again);
        self.hostile.add(report);
        for sight in &report.seen {
            *self.seen.entry(sight).or_default() += 1;
        }
        if !report.is_fine() {
            self.failed.insert(report.seed, Failed::of(report));
        }
    }

    /// Returns the number of worlds.
    pub(super) const fn worlds(&self) -> u64 {
        self.worlds
    }

    /// Returns the seeds of the worlds that failed.
    pub(super) fn failed(&self) -> impl ExactSizeIterator<Item = u64> {
        self.failed.keys().copied()
    }

    /// Returns the summary.
    #[expect(clippy::cast_precision_loss, reason = "seconds of a campaign need no more than 52 bits")]
    pub(super) fn summary(&self, header: &Header, interrupted: bool, wall_s: f64) -> Summary {
        let count = |sight: &str| self.seen.get(sight).copied().unwrap_or_default();
        Summary {
            seeds: header.seeds,
            worlds: self.worlds,
            first_seed: header.first_seed,
            swarm: header.is_swarm,
            shard: header.shard.clone(),
            simulator: crate::results::VERSION,
            nodes: self.nodes,
            nodes_max: self.nodes_max,
            node_seconds: self.node_nanos as f64 / 1e9,
            virtual_s: self.virtual_nanos as f64 / 1e9,
            faults: self.faults.clone(),
            suspicions: self.suspicions,
            split: self.split,
            hostile: self.hostile.clone(),
            seen: Sight::all().iter().map(|sight| (sight.name, count(sight.name))).collect(),
            unseen: if header.is_swarm { Sight::missed(self.worlds, count) } else { Vec::new() },
            interrupted,
            failed: self.failed.values().cloned().collect(),
            wall_s,
            cpu_s: crate::usage::cpu_seconds(),
        }
    }
}

impl Hostile {
    /// Whether more worlds than one in a hundred needed another join: then they do not heal by themselves.
    pub(super) const fn heals_rarely(&self) -> bool {
        self.joined_again > JOINED_AGAIN_FREE && self.joined_again * 100 > self.worlds
    }

    fn add(&mut self, report: &ChaosReport) {
        self.content_bytes_max = self.content_bytes_max.max(report.content_bytes_max);
        let Some(hostile) = &report.hostile else { return };
        self.worlds += 1;
        self.joined_again += u64::from(report.was_joined_again);
        for attack in &hostile.attacks {
            *self.attacks.entry(attack.name()).or_default() += 1;
        }
        self.datagrams += hostile.datagrams;
        self.bytes_in += hostile.bytes_in;
        self.bytes_out += hostile.bytes_out;
        let ((bytes_in, bytes_out), (worst_in, worst_out)) = (hostile.worst_answer, self.worst_answer);
        // Of equal ratios the smaller one, so that the order of worlds does not matter.
        let (this, worst) = (bytes_out * worst_in.max(1), worst_out * bytes_in.max(1));
        if this > worst || this == worst && hostile.worst_answer < self.worst_answer {
            self.worst_answer = hostile.worst_answer;
        }
        self.heap_bytes_a_node_max = self.heap_bytes_a_node_max.max(hostile.heap_bytes_a_node);
    }
}

impl Failed {
    fn of(report: &ChaosReport) -> Self {
        Self {
            seed: report.seed,
            nodes: report.nodes,
            violations: report.violations.iter().map(ToString::to_string).collect(),
            deaf: report.deaf.clone(),
            hostile: culprit(report),
        }
    }
}

fn culprit(report: &ChaosReport) -> Option<Culprit> {
    let hostile = report.hostile.as_ref()?;
    let first = report.violations.iter().map(|violation| violation.at).min().unwrap_or(serf_proto::Instant::MAX);
    let attacks = report.attacks_before(first).into_iter().map(Attack::name).collect();
    Some(Culprit { node: name_of(hostile.host), joined: hostile.joined, attacks })
}

impl Summary {
    pub(super) fn is_fine(&self) -> bool {
        self.failed.is_empty() && self.unseen.is_empty() && !self.heals_rarely()
    }

    /// Whether so many worlds needed another join that clusters do not heal by themselves: more than one in a hundred with
    /// a hostile member, or than one in a thousand without.
    const fn heals_rarely(&self) -> bool {
        let is_split = self.split > JOINED_AGAIN_FREE && self.split * 1000 > self.worlds - self.hostile.worlds;
        is_split || self.hostile.heals_rarely()
    }

    /// Prints the summary for people.
    pub(super) fn print(&self) {
        let Self { worlds, nodes, virtual_s, suspicions, wall_s, .. } = self;
        println!("{worlds} worlds, {nodes} nodes, {virtual_s:.0} virtual s, from seed {}", self.first_seed);
        println!("Largest world: {} nodes. {:.0} node-seconds", self.nodes_max, self.node_seconds);
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        println!("Faults: {}", faults.join(", "));
        println!("Suspicions raised: {suspicions}");
        if self.split > 0 {
            println!("Worlds without a hostile member that agreed only after another join: {}", self.split);
        }
        self.hostile.print();
        self.print_sights();
        let cpu = self.cpu_s.map(|cpu| format!(", {cpu:.1} s processor")).unwrap_or_default();
        println!("{wall_s:.1} s wall{cpu}");
        self.failed.iter().for_each(Failed::print);
        if self.interrupted {
            println!("Stopped after {worlds} worlds.");
        }
        let failed = self.failed.len();
        for Unseen { name, one_in } in &self.unseen {
            println!("NEVER SEEN: {name}; expected in one of {one_in} worlds");
        }
        println!(
            "{}",
            match (failed, self.unseen.len()) {
                (0, 0) if self.heals_rarely() => format!(
                    "\nToo many worlds agreed only after another join: {}.",
                    self.hostile.joined_again + self.split
                ),
                (0, 0) => "All rules held, and all nodes agreed at the end.".to_owned(),
                (0, unseen) => format!("\nAll rules held, but {unseen} sights are missing."),
                _ => format!("\n{failed} failed."),
            }
        );
    }

    fn print_sights(&self) {
        let seen = self.seen.values().filter(|count| **count > 0).count();
        println!("Coverage: {seen} of {} sights", self.seen.len());
        let due = |name: &str| self.unseen.iter().any(|unseen| unseen.name == name);
        let not_seen = self.seen.iter().filter(|(name, count)| **count == 0 && !due(name));
        let names: Vec<&str> = not_seen.map(|(name, _)| *name).collect();
        if !names.is_empty() {
            println!("Not seen, and not required of this campaign: {}", names.join("; "));
        }
    }
}

impl Hostile {
    fn print(&self) {
        let Self { worlds, joined_again, datagrams, bytes_in, bytes_out, worst_answer: (worst_in, worst_out), .. } =
            self;
        println!("Largest state of a node: {} bytes", self.content_bytes_max);
        if *worlds == 0 {
            return;
        }
        let attacks: Vec<String> = self.attacks.iter().map(|(name, count)| format!("{count} {name}")).collect();
        println!("Hostile members: {worlds}. Their attacks: {}", attacks.join(", "));
        if *joined_again > 0 {
            println!("Worlds that agreed only after another join: {joined_again}");
        }
        println!(
            "Their {datagrams} datagrams of {bytes_in} bytes were answered at once with {bytes_out} bytes; at worst {worst_in} with \
             {worst_out} to strangers"
        );
        if let Some(bytes) = self.heap_bytes_a_node_max {
            println!("Largest heap growth of a world during an attack: {bytes} bytes per node");
        }
    }
}

impl Failed {
    pub(super) fn print(&self) {
        let Self { seed, nodes, violations, deaf, hostile } = self;
        println!("\nFAILED: seed {seed}, {nodes} nodes");
        if let Some(Culprit { node, joined, attacks }) = hostile {
            let how = if *joined { "a member" } else { "no member" };
            println!("  {node} was hostile, {how}; its attacks, latest first: {}", attacks.join(", "));
        }
        violations.iter().for_each(|violation| println!("  {violation}"));
        deaf.iter().for_each(|node| println!("  node {node} missed events sent at the end"));
    }
}

/// So few worlds say nothing about a share.
const JOINED_AGAIN_FREE: u64 = 2;
