use serf_proto::Status;

use super::{PhaseSettings, PhaseStart, draw_victims};
use crate::bounds::Bounds;
use crate::truth::{Aim, Watch};
use crate::world::{Fault, World};

/// Several processes die at once.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let victims = draw_victims(world, settings.crash_ppm);
    if victims.is_empty() {
        return PhaseStart::Skipped("nobody would be left to notice");
    }
    for &node in &victims {
        world.inject(Fault::Crash(node));
    }
    world.set_subjects(&victims);
    world.begin(Aim::Views { status: Status::Failed, watch: Watch::SubjectsByOthers });
    PhaseStart::Until(bounds.crash())
}
