use serf_proto::Status;

use super::{Begun, PhaseSettings, draw_victims};
use crate::bounds::Bounds;
use crate::truth::{Aim, Watch};
use crate::world::{Fault, World};

/// Several processes die at once.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> Begun {
    let victims = draw_victims(world, settings.crash_ppm);
    if victims.is_empty() {
        return Begun::Skipped("nobody would be left to notice");
    }
    for &node in &victims {
        world.strike(Fault::Crash(node));
    }
    world.set_subjects(&victims);
    world.begin(Aim::Views { status: Status::Failed, watch: Watch::SubjectsByOthers });
    Begun::Until(bounds.crash())
}
