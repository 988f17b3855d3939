use serf_proto::Status;

use super::{Begun, PhaseSettings};
use crate::bounds::Bounds;
use crate::truth::{Aim, Standing, Watch};
use crate::world::World;

/// A cold start.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> Begun {
    if !world.all(Standing::Up).is_empty() {
        return Begun::Skipped("all nodes know each other from the start");
    }
    world.begin(Aim::Views { status: Status::Alive, watch: Watch::Everyone });
    world.start_cold(settings.join_spread);
    Begun::Until(settings.join_spread + bounds.join())
}
