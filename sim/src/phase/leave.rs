use serf_proto::Status;

use super::{PhaseSettings, PhaseStart, draw_victims};
use crate::bounds::Bounds;
use crate::truth::{Aim, Watch};
use crate::world::{Fault, World};

/// Lets several nodes leave gracefully.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let leavers = draw_victims(world, settings.leave_ppm);
    if leavers.is_empty() {
        return PhaseStart::Skipped("no node would be left to observe");
    }
    for &node in &leavers {
        world.inject(Fault::Leave(node));
    }
    world.set_subjects(&leavers);
    world.begin(Aim::Views { status: Status::Left, watch: Watch::SubjectsByOthers });
    PhaseStart::Until(bounds.leave())
}
