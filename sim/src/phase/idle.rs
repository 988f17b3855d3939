use super::{PhaseSettings, PhaseStart};
use crate::truth::Aim;
use crate::world::World;

/// Leaves the cluster to probes and anti-entropy.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings) -> PhaseStart {
    if settings.idle.is_zero() {
        return PhaseStart::Skipped("--idle is missing");
    }
    world.begin(Aim::Nothing);
    PhaseStart::Until(settings.idle)
}
