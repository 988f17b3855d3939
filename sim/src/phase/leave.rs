use serf_proto::Status;

use super::{Begun, PhaseSettings, draw_victims};
use crate::bounds::Bounds;
use crate::truth::{Aim, Watch};
use crate::world::{Fault, World};

/// Several nodes leave gracefully.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> Begun {
    let leavers = draw_victims(world, settings.leave_ppm);
    if leavers.is_empty() {
        return Begun::Skipped("nobody would be left to notice");
    }
    for &node in &leavers {
        world.strike(Fault::Leave(node));
    }
    world.set_subjects(&leavers);
    world.begin(Aim::Views { status: Status::Left, watch: Watch::SubjectsByOthers });
    Begun::Until(bounds.leave())
}
