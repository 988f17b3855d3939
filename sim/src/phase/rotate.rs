use core::time::Duration;

use serf_proto::Key;
use serf_proto::{DropReason, KeyOperation};

use super::{Figures, PhaseSettings, PhaseStart, PhaseSteps, Step};
use crate::bounds::Bounds;
use crate::check::Finding;
use crate::command::KeyChange;
use crate::tally::Tally;
use crate::truth::{Aim, HostState};
use crate::world::World;

/// Rotates the key from one node in three steps while others send events. As an operator would, it repeats each
/// operation until all nodes have confirmed it, and only then proceeds.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let Some(&asker) = world.draw_up(1).first() else { return PhaseStart::Skipped("no node is up") };
    let Some(old) = world.node(asker).and_then(|node| node.keys().next().cloned()) else {
        return PhaseStart::Skipped("encryption is off; use --encrypt");
    };
    let new = Key::new(&world.rng().bytes::<16>()).expect("a key may have 16 bytes");
    PhaseStart::Steps(Box::new(Rotate {
        asker,
        relay_factor: settings.query_relays,
        keys: [old, new],
        steps: [KeyOperation::Install, KeyOperation::Use, KeyOperation::Remove].into_iter(),
        within: bounds.query(ROUNDS),
        deliver: bounds.event(),
        events_sent: 0,
        is_delivering: false,
        dropped_before: undecryptable(world),
    }))
}

struct Rotate {
    asker: u32,
    relay_factor: u8,
    /// The old key and the new key.
    keys: [Key; 2],
    steps: core::array::IntoIter<KeyOperation, 3>,
    within: Duration,
    deliver: Duration,
    events_sent: u32,
    is_delivering: bool,
    dropped_before: u64,
}

impl PhaseSteps for Rotate {
    fn next(&mut self, world: &mut World) -> Option<Step> {
        if self.events_sent == 0 {
            world.listen_for(NAME);
        }
        if let Some(operation) = self.steps.next() {
            let [old, new] = &self.keys;
            let key = if operation == KeyOperation::Remove { old } else { new };
            world.begin(Aim::Keys { asker: self.asker });
            let key = key.as_bytes().to_vec();
            world.change_keys(self.asker, KeyChange { operation, key, relay_factor: self.relay_factor });
            self.send_events(world);
            let (name, goal) = match operation {
                KeyOperation::Install => ("install", "all have the new key, the asker knows"),
                KeyOperation::Use => ("use", "all encrypt with it, the asker knows"),
                _ => ("remove", "none has the old key, the asker knows"),
            };
            return Some(Step { name, goal, within: self.within });
        }
        if core::mem::replace(&mut self.is_delivering, true) {
            return None;
        }
        world.begin(Aim::Events { count: self.events_sent });
        Some(Step { name: "deliver", goal: "every node has delivered every event", within: self.deliver })
    }

    /// Checks that no packet was undecryptable at any time, and that all nodes have the new key only.
    fn end(&mut self, world: &mut World, tally: &Tally) -> Figures {
        let packets = undecryptable(world) - self.dropped_before;
        self.dropped_before += packets;
        if packets > 0 {
            world.violate(self.asker, Finding::Undecryptable { packets });
        }
        if self.is_delivering {
            check_keys(world, &self.keys[1]);
        }
        Figures::default()
            .with_count("rounds_of_asking", tally.queries)
            .with_count("events_sent", self.events_sent.into())
            .with_count("undecryptable_packets", packets)
    }
}

impl Rotate {
    /// Sends events during the first seconds of a step, and beyond its end if it is short.
    fn send_events(&mut self, world: &mut World) {
        for nth in 0..EVENTS_PER_STEP {
            let Some(&sender) = world.draw_up(1).first() else { return };
            self.events_sent += 1;
            world.user_event_after(sender, EVENTS_EVERY * nth, NAME, &self.events_sent.to_le_bytes());
        }
    }
}

/// Reports nodes whose keyring is not this key alone.
fn check_keys(world: &mut World, key: &Key) {
    for node in world.all(HostState::Up) {
        let Some(keys) = world.node(node).map(|node| node.keys().cloned().collect::<Vec<_>>()) else { continue };
        if let Some(finding) = wrong_keys(&keys, key) {
            world.violate(node, finding);
        }
    }
}

fn wrong_keys(keys: &[Key], wanted: &Key) -> Option<Finding> {
    let is_primary_right = keys.first() == Some(wanted);
    (keys.len() != 1 || !is_primary_right).then_some(Finding::WrongKeys { count: keys.len(), is_primary_right })
}

/// Returns the number of packets that nodes dropped because they could not, or need not, decrypt them.
fn undecryptable(world: &World) -> u64 {
    let drops = world.node_drops();
    DropReason::ALL
        .iter()
        .zip(drops)
        .filter(|(reason, _)| matches!(reason, DropReason::Key | DropReason::Unencrypted))
        .map(|(_, count)| count)
        .sum()
}

/// Maximum rounds of an operation. With a tenth of the packets lost, a tenth of the silent nodes stays silent in the
/// next round.
const ROUNDS: u32 = 12;

const NAME: &str = "rotation";
const EVENTS_PER_STEP: u32 = 10;
const EVENTS_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_and_a_wrong_primary_are_found() {
        let [old, new] = [1, 2].map(|byte| Key::new(&[byte; 16]).unwrap());
        assert_eq!(wrong_keys(std::slice::from_ref(&new), &new), None);
        let finding = |count, is_primary_right| Some(Finding::WrongKeys { count, is_primary_right });
        assert_eq!(wrong_keys(&[new.clone(), old.clone()], &new), finding(2, true));
        assert_eq!(wrong_keys(core::slice::from_ref(&old), &new), finding(1, false));
        assert_eq!(wrong_keys(&[old, new.clone()], &new), finding(2, false));
    }
}
