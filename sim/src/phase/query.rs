use super::{PhaseSettings, PhaseStart};
use crate::bounds::Bounds;
use crate::command::QueryParams;
use crate::truth::Aim;
use crate::world::World;

/// Sends one query from one node, which every node answers. It is repeated for nodes that did not answer.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let Some(&asker) = world.draw_up(1).first() else { return PhaseStart::Skipped("no node is up") };
    world.begin(Aim::Answers { asker });
    world.query(asker, QueryParams { relay_factor: settings.query_relays, answer_bytes: settings.query_answer_bytes });
    PhaseStart::Until(bounds.query(ROUNDS))
}

/// Rounds of the query, the first included.
const ROUNDS: u32 = 8;
