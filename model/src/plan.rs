//! Plans: which world is explored, and what bounds it.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serf_proto::{CodecChoice, Config, Options};

use crate::world::World;

/// How often each kind of fault may still happen, and each command be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Messages that are lost, or connections that no one answers.
    pub losses: u8,
    /// Messages that arrive twice; the second copy at any time.
    pub repeats: u8,
    /// Messages that are held back, and arrive at any time or never.
    pub delays: u8,
    /// Times that the clock of a node runs ahead to its next timer.
    pub hurries: u8,
    /// Crashes.
    pub crashes: u8,
    /// Starts of a node that crashed or left, without memory. It joins again.
    pub restarts: u8,
    /// Leaves.
    pub leaves: u8,
    /// Starts of a node that was not there at first. It joins.
    pub joins: u8,
    /// User events.
    pub events: u8,
    /// Changes of tags.
    pub tags: u8,
}

/// A world, and its bounds.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is called.
    pub name: &'static str,
    /// The bounds that were changed; see [`set`](Self::set).
    pub changes: Vec<String>,
    /// The names of the nodes that are members of each other at the start.
    pub members: &'static [&'static str],
    /// The names of the nodes that may join.
    pub others: &'static [&'static str],
    /// The nodes that crash, leave, send events or change tags. The others start alike, so that it is enough to aim at
    /// these.
    pub aims: &'static [usize],
    /// Faults and commands.
    pub budget: Budget,
    /// Until when faults happen, and all orders are tried.
    pub horizon: Duration,
    /// Starts with different phases of the timers.
    pub starts: u8,
    /// Seeds that are tried for each call that draws random numbers.
    pub seeds: Vec<u64>,
    /// Of the states with a false accusation, every how many'th is followed by a run without faults. Of the states at the
    /// horizon, each is.
    pub sample: u64,
    /// Settings of all nodes.
    pub config: Arc<Config>,
}

impl Plan {
    /// A plan without faults, for nodes that know each other.
    pub fn new(name: &'static str, members: &'static [&'static str], horizon: Duration) -> Self {
        let config = Arc::new(Config::new(options()).expect("the settings are valid"));
        let aims = &[1];
        Self {
            name,
            changes: Vec::new(),
            members,
            others: &[],
            aims,
            budget: Budget::default(),
            horizon,
            starts: 1,
            seeds: vec![0],
            sample: 1,
            config,
        }
    }

    /// With this budget.
    #[must_use]
    pub fn with(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// With nodes that may join. One with the name of a member claims its name.
    #[must_use]
    pub fn joined_by(self, others: &'static [&'static str]) -> Self {
        Self { others, ..self }
    }

    /// With so many seeds for each call that draws random numbers that every first target of every node's probes is
    /// tried.
    #[must_use]
    pub fn choosing(mut self) -> Self {
        self.seeds = covering_seeds(&self);
        self
    }

    /// With nodes that remember dead members for longer than any run takes. In other worlds a member whose refutation is
    /// refused returns when it is forgotten.
    #[must_use]
    pub fn remembering(self) -> Self {
        let options = options().with(|options| options.swim.gossip_to_the_dead_time = seconds(3600));
        let config = Arc::new(Config::new(options).expect("the settings are valid"));
        Self { config, ..self }
    }

    /// Changes a bound: `losses=2`, `horizon=5000` in milliseconds, `members=3` (2 to 4).
    ///
    /// # Errors
    ///
    /// If there is no such bound, or its value is not a number in its range.
    pub fn set(&mut self, assignment: &str) -> Result<(), String> {
        let wrong = || format!("{assignment} is not a bound");
        let (key, value) = assignment.split_once('=').ok_or_else(wrong)?;
        let number: u64 = value.parse().map_err(|_| wrong())?;
        let small = u8::try_from(number).map_err(|_| wrong());
        let budget = &mut self.budget;
        match key {
            "horizon" => self.horizon = millis(number),
            "sample" => self.sample = number.max(1),
            "members" => {
                // A node alone has nothing to probe, and plans aim at the second node.
                let count = usize::from(small?);
                self.members = FOUR.get(..count).filter(|members| members.len() >= 2).ok_or_else(wrong)?;
                self.seeds = covering_seeds(self);
            }
            "starts" => self.starts = small?,
            "losses" => budget.losses = small?,
            "repeats" => budget.repeats = small?,
            "delays" => budget.delays = small?,
            "hurries" => budget.hurries = small?,
            "crashes" => budget.crashes = small?,
            "restarts" => budget.restarts = small?,
            "leaves" => budget.leaves = small?,
            "joins" => budget.joins = small?,
            "events" => budget.events = small?,
            "tags" => budget.tags = small?,
            _ => return Err(wrong()),
        }
        self.changes.push(assignment.to_owned());
        Ok(())
    }

    /// The number of nodes, those that may join included.
    pub fn nodes(&self) -> usize {
        self.members.len() + self.others.len()
    }

    /// The name of a node.
    pub fn name_of(&self, at: usize) -> &'static str {
        self.members.iter().chain(self.others).nth(at).copied().unwrap_or_default()
    }

    /// The shipped plan of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::small().into_iter().chain(Self::large()).find(|plan| plan.name == name)
    }

    /// The plans that the tests explore, each in seconds.
    pub fn small() -> Vec<Self> {
        let none = Budget::default();
        vec![
            Self::new("two-losses", TWO, millis(6000)).with(Budget { losses: 2, ..none }),
            Self::new("two-order", TWO, millis(2000)).with(Budget { losses: 1, delays: 1, hurries: 1, ..none }),
            Self::new("two-leave", TWO, millis(2000)).with(Budget { leaves: 1, losses: 1, delays: 1, ..none }),
            Self::new("two-tags", TWO, millis(2000)).with(Budget { tags: 1, leaves: 1, delays: 1, ..none }),
            Self::new("two-crash", TWO, millis(6000)).with(Budget { tags: 1, crashes: 1, delays: 1, ..none }),
            Self::new("two-event", TWO, millis(2000)).with(Budget { events: 1, losses: 1, repeats: 1, ..none }),
            Self::new("two-restart", TWO, millis(4000))
                .with(Budget { crashes: 1, restarts: 1, losses: 1, ..none })
                .remembering(),
            Self::new("three-loss", THREE, millis(4000)).with(Budget { losses: 1, ..none }).choosing(),
            Self::new("three-name", THREE, millis(1500)).joined_by(&["b"]).with(Budget { joins: 1, losses: 1, ..none }),
        ]
    }

    /// The plans that take minutes.
    pub fn large() -> Vec<Self> {
        let none = Budget::default();
        vec![
            Self::new("two-many-losses", TWO, millis(10_000)).with(Budget { losses: 4, ..none }),
            Self::new("two-late", TWO, millis(5000)).with(Budget { losses: 2, delays: 1, ..none }),
            Self::new("two-return", TWO, millis(4000)).with(Budget {
                leaves: 1,
                restarts: 1,
                losses: 1,
                delays: 1,
                ..none
            }),
            Self::new("three-losses", THREE, millis(5000)).with(Budget { losses: 2, ..none }).choosing(),
            Self::new("three-leave", THREE, millis(2000)).with(Budget { leaves: 1, losses: 1, delays: 1, ..none }),
            Self::new("three-restart", THREE, millis(4000))
                .with(Budget { crashes: 1, restarts: 1, losses: 1, ..none })
                .choosing(),
            Self::new("three-names", THREE, millis(4000)).joined_by(&["b"]).with(Budget {
                joins: 1,
                losses: 1,
                ..none
            }),
            Self::new("four-loss", FOUR, millis(2000)).with(Budget { losses: 1, ..none }).choosing(),
        ]
    }
}

/// Few seeds under which each node's first probe goes to each other node.
fn covering_seeds(plan: &Plan) -> Vec<u64> {
    let world = World::new(plan, 0);
    let count = plan.members.len();
    let targets: Vec<BTreeSet<(usize, usize)>> = (0..SEEDS_SEARCHED)
        .map(|seed| (0..count).filter_map(|at| Some((at, world.first_target(plan, at, seed)?))).collect())
        .collect();
    let (mut covered, mut seeds) = (BTreeSet::new(), Vec::new());
    while covered.len() < count * (count - 1) {
        let gain = |seed: &usize| targets[*seed].difference(&covered).count();
        let Some(best) = (0..targets.len()).rev().max_by_key(gain).filter(|best| gain(best) > 0) else { break };
        covered.extend(&targets[best]);
        seeds.push(best as u64);
    }
    seeds
}

/// The seeds among which covering ones are searched.
const SEEDS_SEARCHED: u64 = 64;

/// The address of a node.
pub(crate) fn address(at: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(at + 1).unwrap_or(u8::MAX)], 7946))
}

/// The node at an address.
pub(crate) fn node_at(addr: SocketAddr) -> Option<usize> {
    let SocketAddr::V4(addr) = addr else { return None };
    usize::from(addr.ip().octets()[3]).checked_sub(1)
}

/// Settings under which little time passes between the steps of the protocol, so that few states lie between them. The
/// order of the deadlines is that of the `lan` profile.
fn options() -> Options {
    Options::lan().hashicorp_pace().with(|options| {
        options.transport.codec = CodecChoice::Auto;
        options.transport.stream_timeout = seconds(2);
        options.swim.stream_pings = false;
        options.swim.suspicion_mult = 2;
        options.swim.suspicion_max_timeout_mult = 2;
        options.swim.awareness_max_multiplier = 2;
        options.swim.gossip_interval = Duration::from_millis(400);
        options.swim.gossip_to_the_dead_time = seconds(6);
        options.swim.retransmit_mult = 2;
        options.swim.push_pull_interval = seconds(8);
        options.serf.broadcast_timeout = seconds(2);
        options.serf.query_timeout_mult = 2;
        options.serf.reap_interval = seconds(5);
        options.serf.reconnect_interval = seconds(4);
        options.serf.coordinates = false;
    })
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const TWO: &[&str] = &["a", "b"];
const THREE: &[&str] = &["a", "b", "c"];
const FOUR: &[&str] = &["a", "b", "c", "d"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_out_of_its_range_is_refused_and_changes_nothing() {
        for wrong in ["members=0", "members=1", "members=5", "losses=256", "losses=-1", "losses", "nothing=1"] {
            let mut plan = Plan::find("two-losses").expect("it is shipped");
            assert!(plan.set(wrong).is_err(), "{wrong}");
            assert!(plan.changes.is_empty(), "{wrong}");
        }
        let mut plan = Plan::find("two-losses").expect("it is shipped");
        assert_eq!((plan.set("sample=1000"), plan.sample), (Ok(()), 1000));
    }
}
