use super::{Begun, PhaseSettings};
use crate::truth::Aim;
use crate::world::World;

/// Nothing happens but probes and anti-entropy.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings) -> Begun {
    if settings.idle.is_zero() {
        return Begun::Skipped("--idle says for how long, and it does not");
    }
    world.begin(Aim::Nothing);
    Begun::Until(settings.idle)
}
