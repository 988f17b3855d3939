//! Two connected nodes, with faults of the network between them.

mod network;
mod pair;

use std::time::Duration;

use serf_model::{Finding, Known, Rule};
use serf_proto::internals::state;
use serf_proto::internals::wire::swim::State;
use serf_proto::{Coalescing, CodecChoice, Input, KeyOperation, NodeState, OldEvents, Status, Tombstone};

use self::network::Fate;
use self::pair::{NAMES, Pair, address, report};
use crate::sealed::KEY;
use crate::subject::Kind;

/// Maximum number of steps.
const STEPS_MAX: usize = 96;
/// Virtual time in which the steps must fit; later ones are ignored.
const FAULTS_MAX: Duration = Duration::from_secs(120);
/// Virtual time in which the two must agree after the last fault. Failed members are reconnected to and states exchanged
/// every 30 s.
const AGREEMENT_MAX: Duration = Duration::from_secs(300);
/// How often the keys are repaired in this time. A query about keys that a node still has to send can part the two again
/// after the first repair.
const REPAIRS: u32 = 5;
/// A key that the nodes can install beside their first.
const SECOND_KEY: [u8; 16] = *b"another key of b";

/// Runs a sequence of faults, commands and pauses on two nodes that know each other, and checks the rules of `serf-model`
/// after each call. At the end the faults stop, and the two must agree.
///
/// The first byte selects the codecs (its lowest two bits), a label and a key (the next), and the seed. Each further three
/// bytes are a step: what, for which node, and how.
pub fn two_nodes(data: &[u8]) {
    let Some((&first, steps)) = data.split_first() else { return };
    let codecs = match first & 3 {
        0 => [CodecChoice::Native; 2],
        1 => [CodecChoice::HashiCorp; 2],
        2 => [CodecChoice::Auto, CodecChoice::HashiCorp],
        _ => [CodecChoice::Auto; 2],
    };
    let is_sealed = first & 4 != 0;
    let mut pair = Pair::new(codecs.map(|codec| Kind { codec, is_sealed }), first >> 3);
    let end = pair.now + FAULTS_MAX;
    let mut was_parted = false;
    for &[what, which, how] in steps.as_chunks().0.iter().take(STEPS_MAX) {
        if pair.now >= end {
            break;
        }
        was_parted |= step(&mut pair, what, which, how);
        pair.settle();
    }
    make_peace(&mut pair, is_sealed, was_parted);
    pair.stop(0);
    pair.stop(1);
}

/// Carries out a step. Returns whether a node may know no address of the other one afterwards.
fn step(pair: &mut Pair, what: u8, which: u8, how: u8) -> bool {
    let at = usize::from(which & 1);
    match what % 8 {
        // Half of the codes: faults need time to have an effect.
        0 => _ = pair.pass(Duration::from_millis(10 << (which % 11)), |_| false),
        1 => pair.network.plan(Fate::of(which, how), 1 + which / 7 % 8),
        2 => pair.network.release(how),
        3 => pair.network.is_cut = which & 1 != 0,
        4 => pair.hurry(at),
        5 if which & 2 == 0 => pair.stop(at),
        5 => {
            pair.start(at, how & 1 != 0);
            match how & 2 {
                0 => pair.join(at),
                _ => pair.give(at, Input::Rejoin { old: OldEvents::Ignore }),
            }
            return true;
        }
        _ => {
            if let Some(input) = command(pair, at, which >> 1, how) {
                let parts = matches!(input, Input::ForceLeave { .. });
                pair.give(at, input);
                return parts;
            }
        }
    }
    false
}

/// A command to a node.
fn command(pair: &Pair, at: usize, which: u8, how: u8) -> Option<Input> {
    let operation = match how % 4 {
        0 => KeyOperation::Install,
        1 => KeyOperation::Use,
        2 => KeyOperation::Remove,
        _ => KeyOperation::List,
    };
    let key = if how & 4 == 0 { KEY } else { SECOND_KEY }.to_vec();
    Some(match which % 10 {
        0 => {
            let coalescing = if how & 1 == 0 { Coalescing::Forbid } else { Coalescing::Allow };
            let name = ["deploy", "scale"][usize::from(how >> 1 & 1)].into();
            Input::UserEvent { name, payload: vec![how >> 5; usize::from(how) * 2], coalescing }
        }
        1 => Input::Query {
            name: "uptime".into(),
            payload: vec![],
            nodes: if how & 1 == 0 { vec![] } else { vec![NAMES[1 - at].into()] },
            tags: vec![],
            acks: how & 2 != 0,
            relay_factor: how >> 2 & 1,
            timeout: Duration::from_millis(100 * u64::from(how)),
        },
        2 => {
            let to = pair.up().find(|(up, _)| *up == at)?.1.asked?;
            Input::Respond { to, payload: vec![how; usize::from(how) * 40] }
        }
        3 => Input::SetTags([("role".to_owned(), how.to_string())].into()),
        4 => Input::Leave,
        5 => {
            let tombstone = if how & 1 == 0 { Tombstone::Keep } else { Tombstone::Erase };
            let name = NAMES[if how & 2 == 0 { 1 - at } else { at }].into();
            Input::ForceLeave { name, tombstone }
        }
        6 => Input::Join { seeds: vec![address(1 - at)], old: OldEvents::Deliver },
        7 => Input::ChangeAllKeys { operation, key, relay_factor: how >> 3 & 1 },
        8 => Input::ChangeKey { operation, key },
        _ => Input::Rejoin { old: OldEvents::Deliver },
    })
}

/// Ends the faults and checks that the nodes come to agree.
fn make_peace(pair: &mut Pair, is_sealed: bool, was_parted: bool) {
    pair.network.end_faults();
    for repair in 0..REPAIRS {
        for at in 0..2 {
            if is_sealed {
                for operation in [KeyOperation::Install, KeyOperation::Use] {
                    pair.give(at, Input::ChangeKey { operation, key: KEY.to_vec() });
                }
            }
            // An operator does so after these commands.
            if was_parted && repair == 0 {
                pair.join(at);
            }
        }
        pair.settle();
        // A forged message may have told of members that do not exist, or have used up a Lamport time.
        if pair.is_forged {
            pair.pass(Duration::from_secs(10), |_| false);
            return;
        }
        if pair.pass(AGREEMENT_MAX / REPAIRS, |pair| disagreement(pair).is_none()) {
            return;
        }
    }
    report(disagreement(pair));
}

/// The first difference between what a running node knows and the truth.
fn disagreement(pair: &Pair) -> Option<Finding> {
    let wrong = |what| Some(Finding { rule: Rule::Agreement, what });
    for (at, life) in pair.up() {
        let (other, name) = (&pair.slots[1 - at].life, NAMES[1 - at]);
        let known = Known::of(&life.known, name);
        let node = &life.subject.node;
        let Some(other) = other else {
            if known.is_some_and(Known::is_live) {
                return wrong(format!("{} sees {name} as live, although it is gone", NAMES[at]));
            }
            continue;
        };
        if node.state() != NodeState::Alive {
            return wrong(format!("{} has not left", NAMES[at]));
        }
        let incarnation = other.subject.node.incarnation();
        let is_alive = |known: &Known| (known.member.state, known.member.incarnation) == (State::Alive, incarnation);
        let status = node.member(name).map(|member| member.status());
        if !known.is_some_and(is_alive) || status != Some(Status::Alive) {
            return wrong(format!("{} sees {known:?}, {status:?}, of incarnation {incarnation}", NAMES[at]));
        }
        if state::view(node) != state::view(&other.subject.node) {
            return wrong("the views differ".to_owned());
        }
    }
    None
}
