use serf_proto::Status;

use super::{PhaseSettings, PhaseStart};
use crate::bounds::Bounds;
use crate::truth::{Aim, HostState, Watch};
use crate::world::World;

/// Starts the nodes of a cold start.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    if !world.all(HostState::Up).is_empty() {
        return PhaseStart::Skipped("all nodes know each other from the start");
    }
    world.begin(Aim::Views { status: Status::Alive, watch: Watch::Everyone });
    world.start_cold(settings.join_spread);
    PhaseStart::Until(settings.join_spread + bounds.join())
}
