use serf_proto::Status;

use super::PhaseStart;
use crate::bounds::Bounds;
use crate::shared::Contacts;
use crate::truth::{Aim, HostState, Watch};
use crate::world::World;

/// Restarts the crashed nodes.
pub(super) fn begin(world: &mut World, bounds: &Bounds) -> PhaseStart {
    let returning = world.all(HostState::Crashed);
    let up = world.all(HostState::Up);
    if returning.is_empty() {
        return PhaseStart::Skipped("no node has crashed");
    }
    for &node in &returning {
        world.restart_through(node, Contacts::These(up.clone()));
    }
    world.set_subjects(&returning);
    world.begin(Aim::Views { status: Status::Alive, watch: Watch::SubjectsAndAll });
    PhaseStart::Until(bounds.rejoin())
}
