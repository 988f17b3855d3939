use serf_proto::Status;

use super::{PhaseSettings, PhaseStart, draw_victims};
use crate::bounds::Bounds;
use crate::truth::{Aim, Watch};
use crate::world::{Fault, World};

/// Crashes several processes at once.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let victims = draw_victims(world, settings.crash_ppm);
    if victims.is_empty() {
        return PhaseStart::Skipped("no node would be left to observe");
    }
    for &node in &victims {
        world.inject(Fault::Crash(node));
    }
    world.set_subjects(&victims);
    world.begin(Aim::Views { status: Status::Failed, watch: Watch::SubjectsByOthers });
    PhaseStart::Until(bounds.crash())
}
