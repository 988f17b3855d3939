use super::{PhaseSettings, PhaseStart};
use crate::bounds::Bounds;
use crate::truth::Aim;
use crate::world::World;

/// Sends one user event from one node.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let Some(&sender) = world.draw_up(1).first() else { return PhaseStart::Skipped("no node is up") };
    world.listen_for(NAME);
    world.begin(Aim::Events { count: 1 });
    world.user_event(sender, NAME, &vec![b'x'; settings.event_bytes as usize]);
    PhaseStart::Until(bounds.event())
}

const NAME: &str = "deploy";
