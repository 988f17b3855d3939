use super::{PhaseSettings, PhaseStart};
use crate::truth::Aim;
use crate::world::World;

/// Nothing happens but probes and anti-entropy.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings) -> PhaseStart {
    if settings.idle.is_zero() {
        return PhaseStart::Skipped("--idle says for how long, and it does not");
    }
    world.begin(Aim::Nothing);
    PhaseStart::Until(settings.idle)
}
