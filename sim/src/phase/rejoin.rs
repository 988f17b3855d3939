use serf_proto::Status;

use super::Begun;
use crate::bounds::Bounds;
use crate::shared::Contacts;
use crate::truth::{Aim, Standing, Watch};
use crate::world::World;

/// The crashed come back.
pub(super) fn begin(world: &mut World, bounds: &Bounds) -> Begun {
    let returning = world.all(Standing::Crashed);
    let up = world.all(Standing::Up);
    if returning.is_empty() {
        return Begun::Skipped("no node has crashed");
    }
    for &node in &returning {
        world.restart_through(node, Contacts::These(up.clone()));
    }
    world.set_subjects(&returning);
    world.begin(Aim::Views { status: Status::Alive, watch: Watch::SubjectsAndAll });
    Begun::Until(bounds.rejoin())
}
