//! A timeline: faults and load at given times, and what is measured meanwhile.

use core::time::Duration;
use std::collections::BTreeMap;

use serf_proto::{Instant, Key, KeyOperation};

use crate::command::QueryParams;
use crate::engine::{Progress, Stop};
use crate::net::{NodeSet, Rule};
use crate::truth::{Aim, HostState};
use crate::world::{Fault, World};

/// A timeline.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// Its length.
    pub(crate) length: Duration,
    /// Time over which the nodes arrive; `None` if they know each other from the start.
    pub(crate) join_spread: Option<Duration>,
    /// Nodes that start later, and when.
    pub(crate) late: Vec<(Duration, NodeSet)>,
    /// Faults, in the order of the file.
    pub(crate) faults: Vec<Planned>,
    pub(crate) loads: Vec<Load>,
    /// Rules that hold for the whole run.
    pub(crate) rules: Vec<Rule>,
}

impl Timeline {
    /// Returns about how many members fail, return or join in the eyes of the others.
    pub(crate) fn changes(&self, nodes: u32) -> f64 {
        let of = |fault: &Planned| {
            let pool = if let NodeSet::Range(range) = &fault.victims.of { range.end - range.start } else { nodes };
            let count = f64::from(fault.victims.count.unwrap_or(pool));
            match fault.effect {
                Effect::Crash | Effect::Leave | Effect::Stall { .. } | Effect::Slow { .. } => count,
                Effect::Restart { .. } | Effect::Rolling { .. } => 2.0 * count,
                // Each side loses the other.
                Effect::Partition { .. } => 2.0 * count.min(f64::from(nodes) - count).max(1.0),
                Effect::Link { .. } | Effect::Rotate { .. } | Effect::Clock { .. } => 0.0,
            }
        };
        let joining = if self.join_spread.is_some() { 0.1 * f64::from(nodes) } else { 0.0 };
        joining + self.faults.iter().map(of).sum::<f64>()
    }

    /// Returns about how many messages to all nodes are sent.
    pub(crate) fn events(&self) -> f64 {
        let of = |load: &Load| (load.until - load.from).as_secs_f64() / load.every.as_secs_f64();
        self.loads.iter().map(of).sum()
    }
}

/// A fault of the timeline.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// Name in results, unique.
    pub(crate) name: String,
    pub(crate) at: Duration,
    pub(crate) victims: Victims,
    pub(crate) effect: Effect,
}

impl Planned {
    /// Whether others are to detect that its nodes stopped.
    pub(crate) const fn is_crash(&self) -> bool {
        matches!(self.effect, Effect::Crash)
    }
}

/// The nodes that a fault hits.
#[derive(Clone, Debug)]
pub(crate) struct Victims {
    /// The nodes to draw from.
    pub(crate) of: NodeSet,
    /// How many: all that are up if absent.
    pub(crate) count: Option<u32>,
}

/// What a fault does.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Crash,
    Restart {
        down: Duration,
        spread: Duration,
        has_snapshot: bool,
    },
    Leave,
    /// The processes stall, or their packets alone.
    Stall {
        lasts: Duration,
        stall: Duration,
        gap: Duration,
        blocks_packets: bool,
    },
    Slow {
        lasts: Option<Duration>,
        input_cost: Duration,
    },
    /// The clocks stand still if `stops`, until the end without `lasts`, and are then set ahead.
    Clock {
        stops: bool,
        lasts: Option<Duration>,
        jump: Duration,
    },
    Partition {
        lasts: Option<Duration>,
    },
    Link {
        lasts: Option<Duration>,
        rules: Vec<Rule>,
    },
    Rolling {
        down: Duration,
        every: Duration,
        has_snapshot: bool,
        leaves: bool,
    },
    Rotate {
        every: Duration,
    },
}

/// Load during a part of the timeline.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) kind: LoadKind,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// Time between two.
    pub(crate) every: Duration,
    pub(crate) bytes: u32,
    pub(crate) senders: NodeSet,
}

/// Kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadKind {
    Event,
    Query,
    Tags,
}

/// What was measured, besides the world's own counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// By fault: nodes that it hit, and pairs of an observer and a crashed node that were to notice.
    pub(crate) struck: Vec<Struck>,
    /// Sent events, and deliveries that these should have.
    pub(crate) events: u64,
    pub(crate) deliveries_due: u64,
    /// Share of right views at the end of each second.
    pub(crate) converged: Vec<f64>,
    /// Wrong views at the end.
    pub(crate) wrong_views: usize,
    /// Whether the run was stopped from outside.
    pub(crate) is_halted: bool,
}

/// Effect of one fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Struck {
    pub(crate) victims: Vec<u32>,
    /// Pairs of an observer and a node that crashed or was cut from it.
    pub(crate) detections_due: u64,
    /// Start and end; the end is that of the last thing that the fault itself does.
    pub(crate) at: Duration,
    pub(crate) until: Duration,
}

/// A pending action.
#[derive(Clone, Debug)]
enum Act {
    Late(usize),
    Strike(usize),
    Return { fault: usize, node: u32, has_snapshot: bool },
    Restore { fault: usize, nodes: Vec<u32> },
    StartClocks { fault: usize, nodes: Vec<u32> },
    Mend { fault: usize, rules: Vec<Rule> },
    Roll { fault: usize, left: Vec<u32> },
    Stopped { fault: usize, node: u32 },
    Turn { fault: usize, keys: [Key; 2], operation: u8 },
}

/// Runs a timeline. `progress` is called periodically and stops the run by returning true.
pub(crate) fn run(timeline: &Timeline, world: &mut World, progress: &mut dyn FnMut(Progress) -> bool) -> Measured {
    let mut course = Course {
        timeline,
        acts: BTreeMap::new(),
        acts_planned: 0,
        load_at: timeline.loads.iter().map(|load| load.from).collect(),
        measured: Measured { struck: vec![Struck::default(); timeline.faults.len()], ..Measured::default() },
    };
    course.begin(world);
    course.go(world, progress);
    course.measured.wrong_views = world.disagreements(WRONG_VIEWS_MAX).len();
    course.measured
}

struct Course<'a> {
    timeline: &'a Timeline,
    /// Pending actions by time, then in the order in which they were planned.
    acts: BTreeMap<(Duration, u32), Act>,
    acts_planned: u32,
    /// Time of the next event of each load.
    load_at: Vec<Duration>,
    measured: Measured,
}

impl Course<'_> {
    fn begin(&mut self, world: &mut World) {
        let timeline = self.timeline;
        let late: Vec<u32> = timeline.late.iter().flat_map(|(_, set)| world.nodes_of(set)).collect();
        let early: Vec<u32> = (0..world.nodes()).filter(|node| !late.contains(node)).collect();
        world.begin_phase();
        world.begin(Aim::Nothing);
        match timeline.join_spread {
            Some(spread) => world.start_these(&early, spread),
            None => world.start_these_converged(&early),
        }
        for rule in &timeline.rules {
            world.add_rule(PERMANENT, rule.clone());
        }
        for (nth, (at, _)) in timeline.late.iter().enumerate() {
            self.plan(*at, Act::Late(nth));
        }
        for (nth, fault) in timeline.faults.iter().enumerate() {
            self.plan(fault.at, Act::Strike(nth));
        }
    }

    fn go(&mut self, world: &mut World, progress: &mut dyn FnMut(Progress) -> bool) {
        let mut second = 0_u64;
        loop {
            let now = world.now() - Instant::ZERO;
            while let Some((&(at, n), _)) = self.acts.first_key_value()
                && at <= now
                && at < self.timeline.length
                && let Some(act) = self.acts.remove(&(at, n))
            {
                self.act(world, act);
            }
            if now >= Duration::from_secs(second) && second > 0 {
                self.sample(world);
            }
            if now >= self.timeline.length {
                return;
            }
            if now >= Duration::from_secs(second) {
                self.send_load(world, now);
                second += 1;
            }
            let next = self.acts.first_key_value().map_or(Duration::MAX, |((at, _), _)| *at);
            let until = Duration::from_secs(second).min(next).min(self.timeline.length);
            let halted = world.run(Instant::ZERO + until, progress) == Stop::Halted;
            // A run of less than a few windows calls no progress; a long timeline must still be possible to stop.
            if halted || progress(Progress { now: world.now(), done: 0 }) {
                self.measured.is_halted = true;
                return;
            }
            world.settle_departures();
        }
    }

    fn plan(&mut self, at: Duration, act: Act) {
        self.acts_planned += 1;
        self.acts.insert((at, self.acts_planned), act);
    }

    fn act(&mut self, world: &mut World, act: Act) {
        let now = world.now() - Instant::ZERO;
        match act {
            Act::Late(nth) => {
                let nodes = world.nodes_of(&self.timeline.late[nth].1);
                world.start_late(&nodes);
            }
            Act::Strike(nth) => self.strike(world, nth, now),
            Act::Return { fault, node, has_snapshot } => {
                self.until(fault, now);
                world.bring_back(node, has_snapshot);
            }
            Act::Restore { fault, nodes } => {
                self.until(fault, now);
                nodes.into_iter().for_each(|node| world.set_input_cost(node, Duration::ZERO));
            }
            Act::StartClocks { fault, nodes } => self.start_clocks(world, fault, &nodes, now),
            Act::Mend { fault, rules } => {
                self.until(fault, now);
                world.end_rules(fault, &rules);
            }
            Act::Roll { fault, left } => self.roll(world, fault, left, now),
            Act::Stopped { fault, node } => self.return_when_down(world, fault, node, now),
            Act::Turn { fault, keys, operation } => self.turn(world, fault, keys, operation, now),
        }
    }

    fn strike(&mut self, world: &mut World, nth: usize, now: Duration) {
        let fault = &self.timeline.faults[nth];
        let victims = draw(world, &fault.victims);
        (self.measured.struck[nth].at, self.measured.struck[nth].until) = (now, now);
        self.measured.struck[nth].victims.clone_from(&victims);
        match &fault.effect {
            Effect::Crash => {
                victims.iter().for_each(|node| world.crash_for_detection(*node, nth));
                let observers = world.all(HostState::Up).len();
                self.measured.struck[nth].detections_due = (observers * victims.len()) as u64;
            }
            Effect::Restart { down, spread, has_snapshot } => {
                for node in victims {
                    world.inject(Fault::Crash(node));
                    let at = now + *down + world.rng().duration_below(*spread);
                    self.plan(at, Act::Return { fault: nth, node, has_snapshot: *has_snapshot });
                }
            }
            Effect::Leave => victims.iter().for_each(|node| world.inject(Fault::Leave(*node))),
            Effect::Stall { lasts, stall, gap, blocks_packets } => {
                self.until(nth, now + *lasts);
                victims.iter().for_each(|node| stalls(world, *node, *lasts, [*stall, *gap], *blocks_packets));
                world.add_subjects(&victims);
            }
            Effect::Slow { lasts, input_cost } => {
                victims.iter().for_each(|node| world.set_input_cost(*node, *input_cost));
                world.add_subjects(&victims);
                if let Some(lasts) = lasts {
                    self.plan(now + *lasts, Act::Restore { fault: nth, nodes: victims });
                }
            }
            Effect::Clock { stops, lasts, .. } => {
                world.add_subjects(&victims);
                if *stops {
                    victims.iter().for_each(|node| world.inject(Fault::StopClock(*node)));
                }
                if let Some(lasts) = lasts {
                    self.plan(now + *lasts, Act::StartClocks { fault: nth, nodes: victims });
                } else if !stops {
                    self.start_clocks(world, nth, &victims, now);
                }
            }
            Effect::Partition { lasts } => {
                let up = world.all(HostState::Up).len();
                self.measured.struck[nth].detections_due = (2 * victims.len() * (up - victims.len())) as u64;
                let others = NodeSet::of((0..world.nodes()).filter(|node| !victims.contains(node)));
                let rules = Rule::partition(NodeSet::of(victims), others, None).to_vec();
                self.link(world, nth, rules, *lasts, now);
            }
            Effect::Link { lasts, rules } => self.link(world, nth, rules.clone(), *lasts, now),
            Effect::Rolling { .. } => {
                let mut left = victims;
                left.sort_unstable_by(|a, b| b.cmp(a));
                self.roll(world, nth, left, now);
            }
            Effect::Rotate { .. } => self.begin_rotation(world, nth, now),
        }
    }

    /// Lets clocks run, set ahead by what the fault says.
    fn start_clocks(&mut self, world: &mut World, fault: usize, nodes: &[u32], now: Duration) {
        let Effect::Clock { jump, .. } = self.timeline.faults[fault].effect else { return };
        self.until(fault, now);
        nodes.iter().for_each(|node| world.inject(Fault::StartClock { node: *node, jump }));
    }

    fn link(&mut self, world: &mut World, fault: usize, rules: Vec<Rule>, lasts: Option<Duration>, now: Duration) {
        rules.iter().for_each(|rule| world.add_rule(fault, rule.clone()));
        if let Some(lasts) = lasts {
            self.plan(now + lasts, Act::Mend { fault, rules });
        }
    }

    /// Stops the next node of a rolling deploy.
    fn roll(&mut self, world: &mut World, fault: usize, mut left: Vec<u32>, now: Duration) {
        let Effect::Rolling { every, leaves, .. } = self.timeline.faults[fault].effect else { return };
        let Some(node) = left.pop() else { return };
        world.inject(if leaves { Fault::Leave(node) } else { Fault::Crash(node) });
        self.plan(now, Act::Stopped { fault, node });
        self.plan(now + every, Act::Roll { fault, left });
    }

    /// Lets a node of a rolling deploy return, after it has stopped and its downtime is over.
    fn return_when_down(&mut self, world: &World, fault: usize, node: u32, now: Duration) {
        let Effect::Rolling { down, has_snapshot, .. } = self.timeline.faults[fault].effect else { return };
        if world.all(HostState::Leaving).contains(&node) {
            self.plan(now + LEAVE_POLL, Act::Stopped { fault, node });
        } else {
            self.plan(now + down, Act::Return { fault, node, has_snapshot });
        }
    }

    fn begin_rotation(&mut self, world: &mut World, fault: usize, now: Duration) {
        let up = world.all(HostState::Up);
        let old = up.first().and_then(|node| world.node(*node)).and_then(|node| node.keys().next().cloned());
        let Some(old) = old else { return };
        let new = Key::new(&world.rng().bytes::<16>()).expect("a key may have 16 bytes");
        self.turn(world, fault, [old, new], 0, now);
    }

    /// Sends a step of a key rotation until all nodes have done it, then goes on to the next one, as an operator would.
    fn turn(&mut self, world: &mut World, fault: usize, keys: [Key; 2], operation: u8, now: Duration) {
        let Effect::Rotate { every } = self.timeline.faults[fault].effect else { return };
        self.until(fault, now);
        let [old, new] = &keys;
        let is_done = |node: u32| {
            let held: Vec<&Key> = world.node(node).map(|node| node.keys().collect()).unwrap_or_default();
            match operation {
                0 => held.contains(&new),
                1 => held.first() == Some(&new),
                _ => held == [new],
            }
        };
        let up = world.all(HostState::Up);
        let operation = if up.iter().all(|node| is_done(*node)) { operation + 1 } else { operation };
        let (command, key) = match operation {
            0 => (KeyOperation::Install, new),
            1 => (KeyOperation::Use, new),
            2 => (KeyOperation::Remove, old),
            _ => return,
        };
        if let Some(&asker) = up.first() {
            world.key_operation(asker, command, key.as_bytes().to_vec());
        }
        self.plan(now + every, Act::Turn { fault, keys, operation });
    }

    /// Schedules the load of the second that begins.
    fn send_load(&mut self, world: &mut World, now: Duration) {
        let end = (now + SECOND).min(self.timeline.length);
        for (load, next) in self.timeline.loads.iter().zip(&mut self.load_at) {
            let mut senders = world.all(HostState::Up);
            let up = senders.len() as u64;
            senders.retain(|node| load.senders.contains(*node));
            while *next < end.min(load.until) {
                let at = Instant::ZERO + *next;
                *next += load.every;
                let Some(&node) = world.draw_of(&senders, 1).first() else { continue };
                match load.kind {
                    LoadKind::Event => {
                        world.timed_event(node, at, load.bytes);
                        self.measured.events += 1;
                        self.measured.deliveries_due += up;
                    }
                    LoadKind::Query => {
                        world.query_at(node, at, QueryParams { relay_factor: 0, answer_bytes: load.bytes });
                    }
                    LoadKind::Tags => world.role_at(node, at),
                }
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
    fn sample(&mut self, world: &World) {
        let (right, total) = world.right_views(OBSERVERS);
        self.measured.converged.push(if total == 0 { 1.0 } else { right as f64 / total as f64 });
    }

    fn until(&mut self, fault: usize, end: Duration) {
        let until = &mut self.measured.struck[fault].until;
        *until = (*until).max(end.min(self.timeline.length));
    }
}

/// Draws the nodes that a fault hits, of those that are up, in ascending order.
fn draw(world: &mut World, victims: &Victims) -> Vec<u32> {
    let mut up = world.all(HostState::Up);
    up.retain(|node| victims.of.contains(*node));
    let Some(count) = victims.count else { return up };
    let mut drawn = world.draw_of(&up, count as usize);
    drawn.sort_unstable();
    drawn
}

/// Schedules the stalls of one node; several begin at a random time, so that the nodes do not stall in step.
fn stalls(world: &mut World, node: u32, lasts: Duration, [stall, gap]: [Duration; 2], blocks_packets: bool) {
    let mut from = if stall < lasts { world.rng().duration_below(stall + gap) } else { Duration::ZERO };
    while from < lasts {
        let time = stall.min(lasts - from);
        if blocks_packets {
            world.block_after(node, from, time);
        } else {
            world.stall_after(node, from, time);
        }
        from += stall + gap;
    }
}

/// Observers whose views are sampled every second: enough for a share, and cheap beside the simulation itself.
const OBSERVERS: u32 = 128;

/// Wrong views are counted up to this number.
const WRONG_VIEWS_MAX: usize = 1_000_000;

/// Number of the rules that no fault ends.
const PERMANENT: usize = usize::MAX;

const LEAVE_POLL: Duration = Duration::from_millis(100);

const SECOND: Duration = Duration::from_secs(1);
