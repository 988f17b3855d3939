//! Invariants of a whole world, which are looked at from time to time.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use serf_proto::internals::state;
use serf_proto::limits::{STREAMS_INBOUND_MAX, STREAMS_UNFINISHED_BYTES_MAX};
use serf_proto::{Clocks, Config, Coordinate, Name, Node, Snapshot, Status};

use crate::addressing::name_of;
use crate::check::{Finding, Violation, reconciliation};
use crate::truth::HostState;
use crate::world::World;

/// Invariants that hold at any time, and what they need of earlier looks.
#[derive(Debug, Default)]
pub(super) struct Invariants {
    /// By member: some nodes that knew it, each with the number of its process life.
    knowers: BTreeMap<u32, Vec<(u32, u32)>>,
    /// Member clocks at the last look, each with the number of the process life.
    clocks: BTreeMap<u32, (u32, u64)>,
    /// The same at the look before.
    clocks_before: BTreeMap<u32, (u32, u64)>,
}

impl Invariants {
    /// Checks what must hold at any time, under any faults.
    pub(super) fn look(&mut self, world: &World, config: &Config, is_hostile: bool) -> Vec<Violation> {
        self.clocks_before = core::mem::take(&mut self.clocks);
        let mut findings = Vec::new();
        let running = (0..world.nodes()).filter_map(|id| Some((id, world.node(id)?)));
        for (id, node) in running {
            self.clocks.insert(id, (world.life(id).0, node.clocks().member));
            findings.extend(bounded(node).map(|finding| (id, finding)));
            findings.extend(own_coordinate(node).map(|finding| (id, finding)));
            let (age, unsettled) = (world.now() - world.life(id).1, node.disagreements().count());
            let cost = reconciliation::check(node.stats(), unsettled, age, config);
            findings.extend(cost.map(|finding| (id, finding)));
        }
        findings.extend(balanced(world).map(|finding| (0, finding)));
        findings.extend(digest_differs_from_view(world));
        if !is_hostile {
            // A forged leave with prune makes members forget.
            findings.extend(self.forgotten(world).map(|member| (0, Finding::Forgotten { member })));
        }
        at_this_time(world, findings)
    }

    /// Checks what must hold once all nodes agree.
    pub(super) fn look_settled(&self, world: &World, is_hostile: bool) -> Vec<Violation> {
        let mut findings = Vec::new();
        for id in world.all(HostState::Up) {
            let Some(node) = world.node(id) else { continue };
            findings.extend(stored_coordinates(node).map(|finding| (id, finding)));
            if let Some(snapshot) = world.snapshot_of(id).filter(|_| !is_hostile) {
                // A clock that has just moved is not yet written.
                let before = self.clocks_before.get(&id).filter(|(life, _)| *life == world.life(id).0);
                let written = before.map_or(0, |(_, clock)| *clock);
                let finding = snapshot_differs(node, &snapshot, world.began_blank(id), written);
                findings.extend(finding.map(|finding| (id, finding)));
            }
        }
        findings.extend(counted(world).map(|finding| (0, finding)));
        at_this_time(world, findings)
    }

    /// Returns a member that runs and that no node knows, although some knew it and still run.
    fn forgotten(&mut self, world: &World) -> Option<u32> {
        let up = world.all(HostState::Up);
        let mut lost = None;
        for &member in &up {
            let name = name_of(member);
            let knows =
                |other: &u32| *other != member && world.node(*other).is_some_and(|node| node.member(&name).is_some());
            let knowers: Vec<(u32, u32)> = up
                .iter()
                .filter(|other| knows(other))
                .take(KNOWERS)
                .map(|other| (*other, world.life(*other).0))
                .collect();
            if knowers.is_empty() {
                let forgot =
                    |(id, life): &(u32, u32)| world.life(*id).0 == *life && world.node(*id).is_some() && !knows(id);
                if self.knowers.remove(&member).is_some_and(|knowers| knowers.iter().any(forgot)) {
                    lost = Some(member);
                }
            } else {
                self.knowers.insert(member, knowers);
            }
        }
        lost
    }
}

/// Whether a message of any node can be followed by all others: their Lamport clocks are close. After a clock was forged far
/// ahead, the others follow at a bounded rate. The clocks of events are equal: a node that returns from its snapshot ignores
/// events of those that have not exchanged states with it, if its clock is ahead, which takes push/pull intervals.
pub(super) fn clocks_are_close(world: &World) -> bool {
    let nodes = world.all(HostState::Up).into_iter().filter_map(|id| world.node(id));
    let clocks: Vec<Clocks> = nodes.map(Node::clocks).collect();
    let apart = |time: fn(&Clocks) -> u64| {
        let times = || clocks.iter().map(time);
        times().max().unwrap_or(0) - times().min().unwrap_or(0)
    };
    apart(|clocks| clocks.event) == 0
        && apart(|clocks| clocks.member).max(apart(|clocks| clocks.query)) <= CLOCKS_APART_MAX
}

/// Checks that no node remembers a member that is gone.
pub(super) fn look_reaped(world: &World) -> Vec<Violation> {
    let gone = |node: &Node| {
        let mut members = node.members();
        members.find(|member| matches!(member.status(), Status::Failed | Status::Left)).map(|gone| gone.name().into())
    };
    let remembers = |id: u32| Some((id, Finding::NotReaped { member: gone(world.node(id)?)? }));
    at_this_time(world, world.all(HostState::Up).into_iter().filter_map(remembers).collect())
}

fn at_this_time(world: &World, findings: Vec<(u32, Finding)>) -> Vec<Violation> {
    let at = world.now();
    findings.into_iter().take(VIOLATIONS_SHOWN).map(|(node, finding)| Violation { at, node, finding }).collect()
}

/// Checks the limits of all that remote input can grow. Queues have their own check, at each timer.
fn bounded(node: &Node) -> Option<Finding> {
    let streams = [
        ("streams", node.streams_live() as u64, (STREAMS_INBOUND_MAX + STREAMS_OUTBOUND_MAX) as u64),
        ("unfinished bytes", node.streams_unfinished_bytes() as u64, STREAMS_UNFINISHED_BYTES_MAX as u64),
    ];
    let usage = node.usage().into_iter().filter(|usage| !usage.name.ends_with("_queue"));
    let all = usage.map(|usage| (usage.name, usage.used, usage.limit)).chain(streams);
    let mut beyond = all.filter(|(_, used, limit)| used > limit);
    beyond.next().map(|(of, used, limit)| Finding::UsageExceeded { of, used, limit })
}

/// Looks for two nodes with equal digests and different views, or the reverse: the difference would never be repaired, or
/// in vain. Compares up to [`VIEWS_COMPARED`] nodes, because a view costs as much as all members.
fn digest_differs_from_view(world: &World) -> Option<(u32, Finding)> {
    let up = world.all(HostState::Up);
    let every = up.len().div_ceil(VIEWS_COMPARED).max(1);
    let mut seen = Vec::<(u64, state::View, u32)>::new();
    for &id in up.iter().step_by(every) {
        let Some(node) = world.node(id) else { continue };
        let (digest, view) = (node.digest(), state::view(node));
        if let Some((.., other)) = seen.iter().find(|(known, of, _)| (*known == digest) != (*of == view)) {
            return Some((id, Finding::DigestWrong { other: *other }));
        }
        if seen.iter().all(|(known, ..)| *known != digest) {
            seen.push((digest, view, id));
        }
    }
    None
}

fn own_coordinate(node: &Node) -> Option<Finding> {
    let own = node.coordinate()?;
    (!is_sound(&own)).then(|| Finding::CoordinateWrong { member: node.local().name().into() })
}

fn stored_coordinates(node: &Node) -> Option<Finding> {
    let wrong = |name: &str| node.coordinate_of(name).is_some_and(|coordinate| !is_sound(&coordinate));
    let member = node.members().find(|member| wrong(member.name()))?;
    Some(Finding::CoordinateWrong { member: member.name().into() })
}

fn is_sound(coordinate: &Coordinate) -> bool {
    Coordinate::new(coordinate.vec(), coordinate.error(), coordinate.adjustment(), coordinate.height()).is_ok()
}

/// Checks that datagrams that were sent were delivered, dropped for a reason, or are on their way.
fn balanced(world: &World) -> Option<Finding> {
    let (expected, on_their_way) = (world.datagram_balance().on_their_way(), world.datagrams_on_their_way());
    (expected != Some(on_their_way)).then_some(Finding::DatagramsUnbalanced { expected, on_their_way })
}

/// Checks that the nodes' own counters add up to what the network has counted.
fn counted(world: &World) -> Option<Finding> {
    let witness = world.witness();
    [("datagrams_out", witness.datagrams.sent), ("datagrams_in", witness.datagrams.delivered)]
        .into_iter()
        .map(|(counter, actual)| (counter, witness.count(counter), actual))
        .find(|(_, counted, actual)| counted != actual)
        .map(|(counter, counted, actual)| Finding::CountersWrong { counter, counted, actual })
}

/// Checks that the snapshot has every live member, at its address, and the clocks of the node. A node that began without
/// one has no other members in it. A later life may keep members that left while it was down: no event reports them. `clock`
/// is the least time that the clock of members must have been written with.
fn snapshot_differs(node: &Node, snapshot: &Snapshot, began_blank: bool, clock: u64) -> Option<Finding> {
    let differs = |what: String| Some(Finding::SnapshotDiffers { what: what.into() });
    let written: BTreeMap<&Name, SocketAddr> = snapshot.alive().collect();
    let is_live = |status| matches!(status, Status::Alive | Status::Leaving);
    let mut live = 0;
    for member in node.members().filter(|member| is_live(member.status())) {
        live += 1;
        if written.get(&Name::from(member.name())) != Some(&member.addr()) {
            return differs(format!("{} is alive at {}", member.name(), member.addr()));
        }
    }
    if began_blank && written.len() != live {
        return differs(format!("{} members are alive, not {}", live, written.len()));
    }
    let clocks = node.clocks();
    // A clock shows the time of the next message, the snapshot that of the last one.
    if !(clock..=clocks.member).contains(&(snapshot.clock() + 1)) {
        let (seen, written) = (clocks.member, snapshot.clock() + 1);
        return differs(format!("the clock of members was {clock} and is {seen}, not {written}"));
    }
    let is_ahead = snapshot.event_clock() >= clocks.event.max(1) || snapshot.query_clock() >= clocks.query.max(1);
    if is_ahead { differs("a clock is ahead of the node's".to_owned()) } else { None }
}

/// Less than the number of times for which nodes remember events.
const CLOCKS_APART_MAX: u64 = 100;

/// Nodes that are remembered per member as having known it.
const KNOWERS: usize = 3;

/// Number of nodes, at most, whose views a look compares.
const VIEWS_COMPARED: usize = 32;

/// Streams that a node opens itself: joins, push/pulls, pings. Far fewer than this.
const STREAMS_OUTBOUND_MAX: usize = 1024;

const VIOLATIONS_SHOWN: usize = 5;
