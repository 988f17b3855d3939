//! Draws faults.

use core::time::Duration;

use serf_proto::{Instant, KeyOperation, Rng};

use super::FAULTS_FROM;
use crate::net::{Effect, NodeSet, Rule};
use crate::shared::draw_distinct;
use crate::world::Fault;

/// A kind of fault that a world may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// A crash, and a start without state.
    Restart,
    /// A crash, and a return from the snapshot.
    Return,
    /// Crashes of many nodes at once, as of a rack.
    Rack,
    /// A process that stalls.
    Stall,
    /// A partition in both directions.
    Partition,
    /// A partition in one direction: outbound, inbound, or between two groups that may overlap.
    OneWay,
    /// A burst of loss.
    Loss,
    /// A burst of delay.
    Delay,
    /// A leave, with or without a return.
    Leave,
    /// User events.
    Events,
    /// A query.
    Query,
    /// Changes of tags.
    Role,
    /// A power failure, and a return from what is left of the snapshot.
    PowerLoss,
    /// A key rotation.
    Rotation,
}

impl FaultKind {
    /// The kinds of worlds that know all kinds, as often as they are drawn. Worlds of older seeds depend on the order.
    pub(super) const USUAL: [Self; 14] = [
        Self::Restart,
        Self::Return,
        Self::Return,
        Self::Rack,
        Self::Stall,
        Self::Partition,
        Self::Partition,
        Self::OneWay,
        Self::Loss,
        Self::Delay,
        Self::Leave,
        Self::Events,
        Self::Query,
        Self::Role,
    ];

    /// All kinds.
    pub(super) const ALL: [Self; 14] = [
        Self::Restart,
        Self::Return,
        Self::Rack,
        Self::Stall,
        Self::Partition,
        Self::OneWay,
        Self::Loss,
        Self::Delay,
        Self::Leave,
        Self::Events,
        Self::Query,
        Self::Role,
        Self::PowerLoss,
        Self::Rotation,
    ];
}

/// Draws faults of these kinds, sorted by time. They overlap at random; an inapplicable fault, such as the crash of a
/// dead process, has no effect.
pub(super) fn draw(rng: &mut Rng, nodes: u32, kinds: &[FaultKind], time: Duration) -> Vec<(Instant, Fault)> {
    let mut faults = Vec::new();
    for _ in 0..FAULTS_MIN + rng.below(FAULTS_SPAN) {
        let at = FAULTS_FROM + rng.duration_below(time);
        let end = at + rng.duration_below((FAULTS_FROM + time) - at);
        draw_one(rng, nodes, kinds, [at, end], &mut faults);
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn draw_one(
    rng: &mut Rng,
    nodes: u32,
    kinds: &[FaultKind],
    [at, end]: [Instant; 2],
    faults: &mut Vec<(Instant, Fault)>,
) {
    // Node 0 never fails, so that returning nodes always have a contact.
    let node = 1 + rng.below(nodes - 1);
    let rule = |from, to, effect| Fault::Rule(Rule { from, to, effect, during: Some((at, end)) });
    let count = u32::try_from(kinds.len()).expect("there are a few");
    match kinds[rng.below(count) as usize] {
        FaultKind::Restart => faults.extend([(at, Fault::Crash(node)), (end, Fault::Restart(node))]),
        FaultKind::Return => faults.extend([(at, Fault::Crash(node)), (end, Fault::Return(node))]),
        FaultKind::Rack => {
            for node in some_of(rng, nodes).into_iter().filter(|node| *node != 0) {
                faults.extend([(at, Fault::Crash(node)), (end, Fault::Return(node))]);
            }
        }
        FaultKind::Stall => faults.extend([(at, Fault::Pause(node)), (end, Fault::Resume(node))]),
        FaultKind::Partition => {
            let side = some_of(rng, nodes);
            let others = NodeSet::of((0..nodes).filter(|node| !side.contains(node)));
            let rules = Rule::partition(NodeSet::of(side), others, Some((at, end)));
            faults.extend(rules.map(|rule| (at, Fault::Rule(rule))));
        }
        FaultKind::OneWay => {
            let (some, others) = (some_of(rng, nodes), some_of(rng, nodes));
            let [from, to] = match rng.below(3) {
                0 => [NodeSet::One(node), NodeSet::All],
                1 => [NodeSet::All, NodeSet::One(node)],
                _ => [NodeSet::of(some), NodeSet::of(others)],
            };
            faults.push((at, rule(from, to, Effect::Drop)));
        }
        FaultKind::Loss => {
            let effect = Effect::Loss { ppm: 200_000 + rng.below(600_000) };
            faults.push((at, rule(NodeSet::of(some_of(rng, nodes)), NodeSet::All, effect)));
        }
        FaultKind::Delay => {
            let effect = Effect::Delay(rng.duration_below(Duration::from_secs(3)));
            faults.push((at, rule(NodeSet::All, NodeSet::of(some_of(rng, nodes)), effect)));
        }
        FaultKind::Leave => {
            faults.push((at, Fault::Leave(node)));
            if rng.below(2) == 0 {
                let back = if rng.below(2) == 0 { Fault::Restart(node) } else { Fault::Return(node) };
                faults.push((end, back));
            }
        }
        FaultKind::Events => {
            faults.extend((0..1 + rng.below(8)).map(|_| (at, Fault::Event(rng.below(nodes)))).collect::<Vec<_>>());
        }
        FaultKind::Query => faults.push((at, Fault::Query(rng.below(nodes)))),
        FaultKind::Role => faults.extend([(at, Fault::Role(node)), (end, Fault::Role(rng.below(nodes)))]),
        FaultKind::PowerLoss => {
            faults.extend([(at, Fault::PowerLoss { node, draw: rng.next_u32() }), (end, Fault::Return(node))]);
        }
        FaultKind::Rotation => rotate(node, [at, end], faults),
    }
}

/// Adds the steps of a key rotation, evenly from `at` to `end`. Each is repeated, as it reaches few nodes while there are
/// other faults, and the next has no effect before all have it.
fn rotate(node: u32, [at, end]: [Instant; 2], faults: &mut Vec<(Instant, Fault)>) {
    let is_install =
        |(_, fault): &&(Instant, Fault)| matches!(fault, Fault::Rotate { operation: KeyOperation::Install, .. });
    let rotations = faults.iter().filter(is_install).count() / STEP_REPEATS;
    let old = u32::try_from(rotations).expect("there are a few");
    let steps = [(KeyOperation::Install, old + 1), (KeyOperation::Use, old + 1), (KeyOperation::Remove, old)];
    let steps = steps.into_iter().flat_map(|step| core::iter::repeat_n(step, STEP_REPEATS));
    let pause = (end - at) / (3 * u32::try_from(STEP_REPEATS).expect("a few"));
    for (nth, (operation, key)) in (0_u32..).zip(steps) {
        faults.push((at + pause * nth, Fault::Rotate { node, operation, key }));
    }
}

/// Draws a subset of one to all but one nodes.
fn some_of(rng: &mut Rng, nodes: u32) -> Vec<u32> {
    let count = 1 + rng.below(nodes - 1);
    draw_distinct(rng, nodes, count)
}

const FAULTS_MIN: u32 = 4;
const FAULTS_SPAN: u32 = 24;

/// How often each step of a key rotation is tried.
const STEP_REPEATS: usize = 3;
